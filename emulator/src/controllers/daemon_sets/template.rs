//! The pods of a DaemonSet (`daemon/util.CreatePodTemplate`).

use serde_json::{Value, json};

use crate::controllers::pods;
use crate::kinds::view::{flag, text};

/// The annotation with the number of the template, from before there were revisions.
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// Taints that do not keep a set's pods away: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The same for pods in the node's network.
const OF_THE_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// A pod of the set, meant for no node yet.
pub(super) fn pod(set: &Value, hash: &str) -> Value {
    let mut pod = pods::from_template(&set["spec"]["template"], set);
    let generation = text(&set["metadata"]["annotations"][GENERATION]);
    if !generation.is_empty() {
        pod["metadata"]["labels"]["pod-template-generation"] = generation.into();
    }
    pod["metadata"]["labels"][super::HASH] = hash.into();
    let of_the_network = flag(&pod["spec"]["hostNetwork"]).then_some(OF_THE_NETWORK);
    for (key, effect) in TOLERATED.into_iter().chain(of_the_network) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        match pod["spec"]["tolerations"].as_array_mut() {
            Some(present) if present.contains(&toleration) => {}
            Some(present) => present.push(toleration),
            None => pod["spec"]["tolerations"] = json!([toleration]),
        }
    }
    pod
}

/// The same, meant for a node.
pub(super) fn for_node(mut pod: Value, node: &str) -> Value {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = required;
    pod
}
