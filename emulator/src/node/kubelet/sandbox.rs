//! A pod's sandbox: what its containers share.

use std::net::IpAddr;
use std::sync::Arc;

use k3s_arc_container::Net as _;
use serde_json::Value;

use crate::net::PodNet;
use crate::node::Node;

/// A sandbox. Its address is given back when the last who has it lets go.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    pub(super) net: Arc<PodNet>,
    pub(super) ip: IpAddr,
}

impl Sandbox {
    pub(super) fn make(node: &Node, pod: &Value) -> Result<Self, String> {
        let spec = &pod["spec"];
        let on_host = spec["hostNetwork"] == true;
        let net = if on_host { node.network.host(node.number) } else { node.network.attach(node.number)? };
        let ip = net.address();
        Ok(Self { net, ip })
    }
}
