//! The life of nodes: one whose kubelet falls silent is told so, tainted, and emptied (`pkg/controller/nodelifecycle`, `tainteviction`,
//! `podgc`).

mod eviction;
mod taints;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::conditions;
use super::desk::{Controller, Desk, NODES, PODS, Resource};
use super::pods;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};

const LEASES: Resource = ("coordination.k8s.io", "leases");
const LEASE_NAMESPACE: &str = "kube-node-lease";

pub(super) const CONTROLLER: Controller = Controller { watches: &[NODES, PODS, LEASES], settle };

const COMPONENT: &str = "node-controller";
/// How long a node may be silent (`--node-monitor-grace-period`), and how long a new one may (`--node-startup-grace-period`).
const GRACE: SignedDuration = SignedDuration::from_secs(50);
const STARTUP: SignedDuration = SignedDuration::from_secs(60);
/// What a kubelet tells of its node.
const TOLD: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

fn settle(desk: &Desk) {
    let (nodes, pods) = (desk.all(NODES), desk.all(PODS));
    let nodes: Vec<_> = nodes.iter().map(|node| watch(desk, node, &pods)).collect();
    // When no node at all is well, it is rather the server that does not hear of them, and nobody is driven away (`handleDisruption`).
    let is_disrupted =
        !nodes.iter().any(|node| conditions::find(&node["status"], "Ready").is_none_or(|ready| ready["status"] == "True"));
    for node in &nodes {
        let name = text(&node["metadata"]["name"]);
        let message = format!("Node {name} event: Registered Node {name} in Controller");
        desk.tell_once(node, COMPONENT, false, "RegisteredNode", &message);
        let tainted = taints::settle(desk, node, is_disrupted);
        eviction::settle(desk, &tainted, &pods);
    }
    eviction::of_lost_nodes(desk, &nodes, &pods);
}

/// When a node was last heard of.
fn heard_of(desk: &Desk, node: &Value) -> Option<Timestamp> {
    let lease = desk.get(LEASES.0, LEASES.1, LEASE_NAMESPACE, text(&node["metadata"]["name"]));
    let renewed = lease.and_then(|lease| pods::time(&lease["spec"]["renewTime"]));
    let posted = conditions::find(&node["status"], "Ready").and_then(|ready| pods::time(&ready["lastHeartbeatTime"]));
    renewed.max(posted)
}

/// Notices when a node has been silent for too long. Returns the node as it is then.
fn watch(desk: &Desk, node: &Arc<Value>, pods: &[Arc<Value>]) -> Arc<Value> {
    let heard = heard_of(desk, node);
    let since = heard.or_else(|| pods::time(&node["metadata"]["creationTimestamp"])).unwrap_or(Timestamp::UNIX_EPOCH);
    let patience = if heard.is_some() { GRACE } else { STARTUP };
    let end = since.checked_add(patience).unwrap_or(Timestamp::MAX);
    if end > desk.clock() {
        if !is_lost(node) {
            desk.wake_at(end);
        }
        return node.clone();
    }
    if is_lost(node) {
        return node.clone();
    }
    let was_ready = conditions::holds(&node["status"], "Ready");
    let now = desk.now();
    let written = desk.update(NODES, node, Part::Status, &|live| {
        for kind in TOLD {
            let silent = match conditions::find(&live["status"], kind) {
                Some(old) if old["status"] == "Unknown" => continue,
                Some(old) => {
                    let mut new = old.clone();
                    new["reason"] = "NodeStatusUnknown".into();
                    new["message"] = "Kubelet stopped posting node status.".into();
                    new
                }
                None => json!({
                    "type": kind,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": live["metadata"]["creationTimestamp"],
                }),
            };
            let mut silent = silent;
            silent["status"] = "Unknown".into();
            silent["lastTransitionTime"] = now.clone().into();
            conditions::set(&mut live["status"], silent);
        }
    });
    let name = text(&node["metadata"]["name"]);
    if was_ready {
        desk.tell(node, COMPONENT, false, "NodeNotReady", &format!("Node {name} status is now: NodeNotReady"));
        forsake(desk, name, pods);
    }
    desk.heard(node, written).map_or_else(|| node.clone(), Arc::new)
}

/// Whether it is known that nobody knows how a node is.
fn is_lost(node: &Value) -> bool {
    TOLD.iter().all(|kind| conditions::find(&node["status"], kind).is_some_and(|condition| condition["status"] == "Unknown"))
}

/// Nobody can say of a lost node's pods that they are ready (`MarkPodsNotReady`).
fn forsake(desk: &Desk, node: &str, pods: &[Arc<Value>]) {
    for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"] == node && pods::is_ready(pod)) {
        let now = desk.now();
        let written = desk.update(PODS, pod, Part::Status, &|live| {
            for condition in live["status"]["conditions"].as_array_mut().into_iter().flatten() {
                if condition["type"] == "Ready" {
                    condition["status"] = "False".into();
                    condition["lastTransitionTime"] = now.clone().into();
                }
            }
        });
        if desk.heard(pod, written).is_some() {
            desk.tell(pod, COMPONENT, true, "NodeNotReady", "Node is not ready");
        }
    }
}

/// The taints of a node.
fn taints(node: &Value) -> &[Value] {
    list(&node["spec"]["taints"])
}
