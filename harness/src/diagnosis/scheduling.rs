//! Pods that no node takes, and what was missing.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::{Finding, Snapshot, Standing};
use crate::quantity::{Amount, amount_in, pod_request};

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    snapshot.pods.iter().filter_map(|pod| finding(snapshot, pod)).collect()
}

fn finding(snapshot: &Snapshot, pod: &Pod) -> Option<Finding> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let text = condition.message.as_deref().unwrap_or_default();
    let name = pod.name_any();
    let mut evidence = vec![format!("{}: {text}", condition.reason.as_deref().unwrap_or("PodScheduled=False"))];
    let (reasons, remedies): (Vec<String>, Vec<&str>) =
        reasons(text).map(|reason| explain(snapshot, pod, reason, &mut evidence)).unzip();
    let cause = match reasons.as_slice() {
        [] => text.to_owned(),
        reasons => reasons.join("; "),
    };
    let mut remedies = remedies;
    remedies.dedup();
    Some(Finding::new(Standing::Stuck, format!("pod {name}: no node takes it: {cause}"), evidence, remedies.join("; ")))
}

/// The scheduler's reasons: `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {x: y}. preemption: ...`.
fn reasons(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split_once("nodes are available: ").map_or(text, |(_, reasons)| reasons);
    let text = text.split_once(" preemption: ").map_or(text, |(reasons, _)| reasons);
    let text = text.split_once(" no new claims to deallocate").map_or(text, |(reasons, _)| reasons);
    text.split(", ").map(|reason| reason.trim().trim_end_matches([',', '.']).trim()).filter(|reason| !reason.is_empty())
}

/// One of the scheduler's reasons in words, with figures where the snapshot has them, and what to do.
fn explain(snapshot: &Snapshot, pod: &Pod, reason: &str, evidence: &mut Vec<String>) -> (String, &'static str) {
    if let Some((_, resource)) = reason.split_once("Insufficient ") {
        let shortage = shortage(snapshot, pod, resource, evidence);
        return (
            shortage.unwrap_or_else(|| format!("not enough {resource}")),
            "lower the request, stop other pods, or use a bigger node (for Arc: the component's resources in the DataController)",
        );
    }
    if let Some((_, claim)) = reason.split_once("persistentvolumeclaim \"") {
        let claim = claim.split('"').next().unwrap_or(claim);
        return (format!("its claim {claim} does not exist"), "create the claim, or correct claimName");
    }
    if reason.contains("unbound immediate PersistentVolumeClaims") {
        return explain_unbound(snapshot, pod);
    }
    if let Some((_, taint)) = reason.split_once("had untolerated taint") {
        let taint = taint.trim().trim_start_matches("(s)").trim();
        let remedy = match taint {
            taint if taint.contains("node.kubernetes.io/not-ready") => "wait for the node to be Ready; see its conditions",
            taint if taint.contains("disk-pressure") => "free disk space on the node",
            taint if taint.contains("memory-pressure") => "free memory on the node",
            _ => "remove the taint, or let the pod tolerate it",
        };
        return (format!("a node has a taint that it does not tolerate: {taint}"), remedy);
    }
    let (cause, remedy) = match reason {
        _ if reason.contains("node affinity/selector") => {
            ("no node has the labels that it asks for", "label a node, or change nodeSelector or affinity")
        }
        _ if reason.contains("volume node affinity conflict") => (
            "its volume is on another node (a local-path volume lives on one node only)",
            "let the pod run on the volume's node, or give it a new claim",
        ),
        _ if reason.contains("available persistent volumes to bind") => {
            ("no volume fits its claim", "create one that fits, or use a class with a provisioner")
        }
        _ if reason.contains("free ports") => {
            ("a port that it wants on the node is taken", "free the hostPort, or choose another")
        }
        _ if reason.contains("Too many pods") => {
            ("the node has as many pods as it takes", "delete pods, or raise max-pods of the kubelet")
        }
        _ if reason.contains("were unschedulable") => ("the node is cordoned", "kubectl uncordon it"),
        _ if reason.contains("no nodes available") => {
            ("the cluster has no node", "see that K3s's agent runs and registers its node")
        }
        _ => return (reason.to_owned(), "read the message"),
    };
    (cause.to_owned(), remedy)
}

/// The scheduler says this of claims that should have been bound before the pod came. A claim that waits for its first
/// consumer is none of these; said of such a one, it was judged in the moment before its class was known.
fn explain_unbound(snapshot: &Snapshot, pod: &Pod) -> (String, &'static str) {
    let names: Vec<&str> = claim_names(pod).collect();
    let waits_for_consumer = |name: &&str| {
        let claim = snapshot.claims.iter().find(|claim| claim.name_any() == **name);
        let class = claim.and_then(|claim| claim.spec.as_ref()?.storage_class_name.clone());
        let known = snapshot.classes.iter().flatten().find(|known| Some(known.name_any()) == class);
        known.is_some_and(|known| known.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
    };
    if !names.is_empty() && names.iter().all(waits_for_consumer) {
        // Seen on K3s: a pod created in the second in which ServiceAccount `default` appears.
        return (
            "the scheduler judged it before it knew its claim's StorageClass, and looks again only after five minutes".to_owned(),
            "delete the pod and create it anew; wait for StorageClass and node before creating pods with claims",
        );
    }
    let is_unbound = |name: &&str| {
        let phase =
            snapshot.claims.iter().find(|claim| claim.name_any() == *name).and_then(|claim| claim.status.as_ref()?.phase.clone());
        phase.as_deref() != Some("Bound")
    };
    let unbound: Vec<&str> = names.into_iter().filter(is_unbound).collect();
    (format!("its claim {} is not bound", unbound.join(", ")), "see the claim: its class, its provisioner, its access modes")
}

fn claim_names(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()).map(|claim| claim.claim_name.as_str())
}

/// By how much the node with the most room is too small: what is asked for, what it can give, what others hold of it.
fn shortage(snapshot: &Snapshot, pod: &Pod, resource: &str, evidence: &mut Vec<String>) -> Option<String> {
    let asked = pod_request(pod, resource);
    let room = |node: &Node| {
        let allocatable = amount_in(node.status.as_ref()?.allocatable.as_ref(), resource)?;
        let held = requested_on(snapshot, node, resource);
        Some((node.name_any(), allocatable, held))
    };
    let rooms: Vec<(String, Amount, Amount)> = snapshot.nodes.iter().filter_map(room).collect();
    for (node, allocatable, held) in &rooms {
        evidence.push(format!(
            "node {node}: allocatable {resource} {}, of which {} are requested by its pods",
            allocatable.of(resource),
            held.of(resource)
        ));
    }
    let (node, allocatable, held) = rooms.into_iter().max_by_key(|(_, allocatable, held)| *allocatable - *held)?;
    let free = allocatable - held;
    if asked <= free {
        // Something left the node since the scheduler looked.
        return None;
    }
    Some(format!(
        "not enough {resource}: it asks for {}, node {node} has {} left of {}, so {} are missing",
        asked.of(resource),
        free.of(resource),
        allocatable.of(resource),
        (asked - free).of(resource)
    ))
}

/// What the pods on a node that have not ended request of a resource.
fn requested_on(snapshot: &Snapshot, node: &Node, resource: &str) -> Amount {
    let name = node.name_any();
    let is_on_it = |pod: &&Pod| {
        let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&name)
            && !matches!(ended, Some("Succeeded" | "Failed"))
    };
    snapshot.scheduled.iter().filter(is_on_it).map(|pod| pod_request(pod, resource)).sum()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// The message is the same in both cases; only the claim's class tells them apart.
    #[rstest]
    #[case::judged_too_early("WaitForFirstConsumer", "before it knew its claim's StorageClass")]
    #[case::nobody_provisions("Immediate", "its claim data is not bound")]
    fn the_stuck_pod_is_told_from_one_whose_claim_is_not_bound(#[case] mode: &str, #[case] told: &str) {
        let snapshot: Snapshot = serde_json::from_value(json!({
            "pods": [{
                "metadata": {"name": "p"},
                "spec": {"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
                "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"}]},
            }],
            "claims": [{
                "metadata": {"name": "data"}, "spec": {"storageClassName": "local-path"}, "status": {"phase": "Pending"},
            }],
            "classes": [{"metadata": {"name": "local-path"}, "provisioner": "p", "volumeBindingMode": mode}],
        }))
        .unwrap();
        let [finding] = findings(&snapshot).try_into().unwrap();
        assert!(finding.diagnosis.cause.contains(told), "{}", finding.diagnosis.cause);
    }

    #[test]
    fn each_of_the_schedulers_reasons_is_read() {
        let text = "0/3 nodes are available: 1 Insufficient cpu, 1 Too many pods, 1 node(s) had untolerated taint \
                    {node.kubernetes.io/not-ready: }. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption \
                    is not helpful for scheduling.";
        let reasons: Vec<&str> = reasons(text).collect();
        let taint = "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }";
        assert_eq!(reasons, ["1 Insufficient cpu", "1 Too many pods", taint]);
    }
}
