//! Nodes under pressure, and the pods that they put out.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::ResourceExt;

use super::{Finding, Snapshot, Standing};

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let conditions = snapshot.nodes.iter().flat_map(node_findings);
    conditions.chain(snapshot.pods.iter().filter_map(refused_or_evicted)).collect()
}

fn node_findings(node: &Node) -> Vec<Finding> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter_map(|condition| condition_finding(&node.name_any(), condition)).collect()
}

fn condition_finding(node: &str, condition: &NodeCondition) -> Option<Finding> {
    let (cause, remedy) = match (condition.type_.as_str(), condition.status.as_str()) {
        ("DiskPressure", "True") => (
            "is short of disk: it evicts pods, removes images and takes no new pods",
            "free disk space (images, logs, volumes of K3s under /var/lib/rancher/k3s)",
        ),
        ("MemoryPressure", "True") => {
            ("is short of memory: it evicts pods and takes no new ones", "give it more memory, or pods limits")
        }
        ("PIDPressure", "True") => ("is short of process ids", "find the pod that forks too much"),
        ("NetworkUnavailable", "True") => ("has no pod network", "see K3s's own log for flannel"),
        ("Ready", "False" | "Unknown") => ("is not Ready", "see the message; K3s's own log says more"),
        _ => return None,
    };
    let text = condition.message.as_deref().unwrap_or_default();
    let reason = condition.reason.as_deref().unwrap_or_default();
    let evidence = vec![format!("{}={}, {reason}: {text}", condition.type_, condition.status)];
    Some(Finding::new(Standing::Stuck, format!("node {node} {cause}"), evidence, remedy))
}

/// A pod that its node evicted, or did not admit: it has failed without a container's doing.
fn refused_or_evicted(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = status.reason.as_deref()?;
    let text = status.message.as_deref().unwrap_or_default();
    let (cause, remedy) = match reason {
        "Evicted" if text.contains("ephemeral-storage") || text.contains("ephemeral local storage") => {
            ("evicted: too little disk space on the node", "free disk space on the node, or limit what the pod writes")
        }
        "Evicted" if text.contains("memory") => {
            ("evicted: too little memory on the node", "give the node more memory, or the pod a request")
        }
        "Evicted" => ("evicted by its node", "read the message"),
        "DeadlineExceeded" => ("stopped: it ran longer than its activeDeadlineSeconds", "give it more time, or see what kept it"),
        "OutOfcpu" | "OutOfmemory" | "OutOfpods" | "NodeAffinity" | "UnexpectedAdmissionError" => {
            ("refused by the node that it was given to", "create it anew: the scheduler's view of the node was old")
        }
        "NodeShutdown" | "Terminated" | "Shutdown" => ("ended because its node shut down", "create it anew"),
        _ => return None,
    };
    Some(Finding::new(Standing::Stuck, format!("pod {}: {cause}", pod.name_any()), vec![format!("{reason}: {text}")], remedy))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The texts are those of the kubelet's eviction manager (pkg/kubelet/eviction/helpers.go).
    #[test]
    fn an_eviction_is_told_with_the_pressure_behind_it() {
        let snapshot: Snapshot = serde_json::from_value(json!({
            "nodes": [{
                "metadata": {"name": "n"},
                "status": {"conditions": [
                    {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"},
                    {"type": "Ready", "status": "True", "reason": "KubeletReady"},
                ]},
            }],
            "pods": [{
                "metadata": {"name": "logsdb-0"},
                "status": {"phase": "Failed", "reason": "Evicted", "message":
                    "The node was low on resource: ephemeral-storage. Threshold quantity: 12G, available: 9G. "},
            }],
        }))
        .unwrap();
        let causes: Vec<String> = findings(&snapshot).into_iter().map(|finding| finding.diagnosis.cause).collect();
        assert_eq!(
            causes,
            [
                "node n is short of disk: it evicts pods, removes images and takes no new pods",
                "pod logsdb-0: evicted: too little disk space on the node",
            ]
        );
    }
}
