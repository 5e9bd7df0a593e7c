//! A pod's sandbox: what its containers share.

use std::net::IpAddr;
use std::sync::Arc;

use k3s_arc_container::Net;
use serde_json::Value;

use crate::kinds::view::text;
use crate::node::Node;

/// A sandbox. Its address is given back when the last who has it lets go.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    pub(super) net: Arc<dyn Net>,
    pub(super) ip: IpAddr,
    /// The name of the machine that its containers take themselves for.
    pub(super) hostname: String,
}

/// The longest name of a machine (`truncatePodHostnameIfNeeded`).
const LONGEST_HOSTNAME: usize = 63;

impl Sandbox {
    pub(super) fn make(node: &Node, pod: &Value) -> Result<Self, String> {
        let spec = &pod["spec"];
        let on_host = spec["hostNetwork"] == true;
        let net: Arc<dyn Net> = if on_host { node.network.host(node.number) } else { node.network.attach(node.number)? };
        let ip = net.address();
        let hostname = if on_host { node.name().to_owned() } else { hostname(pod) };
        Ok(Self { net, ip, hostname })
    }
}

/// `GeneratePodHostNameAndDomain`.
fn hostname(pod: &Value) -> String {
    let (spec, metadata) = (&pod["spec"], &pod["metadata"]);
    if let Some(given) = spec["hostnameOverride"].as_str() {
        return given.to_owned();
    }
    let name = match text(&spec["hostname"]) {
        "" => text(&metadata["name"]),
        given => given,
    };
    let name = name.get(..LONGEST_HOSTNAME).unwrap_or(name).trim_end_matches(['-', '.']);
    match text(&spec["subdomain"]) {
        subdomain if !subdomain.is_empty() && spec["setHostnameAsFQDN"] == true => {
            format!("{name}.{subdomain}.{}.svc.cluster.local", text(&metadata["namespace"]))
        }
        _ => name.to_owned(),
    }
}
