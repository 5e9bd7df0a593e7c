//! Which nodes the pod of a DaemonSet is meant for: the set's controller asks what the scheduler would say (`daemon.NodeShouldRunDaemonPod`).

use std::sync::Arc;

use serde_json::Value;

use super::filters::nodes::{WantedNodes, is_tolerated, repelling_taint};
use super::node::NodeInfo;
use super::pod::PodInfo;
use crate::kinds::view::{list, text};

/// What a node is to the pods of a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// One is to be there.
    pub(crate) should_run: bool,
    /// One that is there may stay.
    pub(crate) may_stay: bool,
}

/// Whether a DaemonSet's pod belongs on a node.
pub(crate) fn place(pod: &Arc<Value>, node: &Arc<Value>) -> Place {
    let (pod, node) = (PodInfo::of(pod.clone()), NodeInfo::of(node.clone()));
    let named = text(&pod.spec()["nodeName"]);
    if !(named.is_empty() || named == node.name()) || !WantedNodes::of(&pod).matches(&node) {
        return Place { should_run: false, may_stay: false };
    }
    let drives_away = |taint: &Value| taint["effect"] == "NoExecute" && !is_tolerated(&pod, taint);
    let may_stay = !list(&node.object["spec"]["taints"]).iter().any(drives_away);
    Place { should_run: repelling_taint(&pod, &node).is_none(), may_stay }
}
