//! Pods that a taint drives away, at once or when their patience ends, and pods whose node is gone.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::taints;
use crate::controllers::conditions;
use crate::controllers::desk::{Desk, PODS};
use crate::controllers::pods;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};
use crate::scheduler::tolerates;

const COMPONENT: &str = "taint-eviction-controller";

/// When a pod has to leave a node whose taints it has tolerated since then; none: it may stay.
fn leaves_at(pod: &Value, taints: &[&Value], since: Timestamp) -> Option<Timestamp> {
    let mut end: Option<Timestamp> = None;
    for taint in taints {
        let tolerations = list(&pod["spec"]["tolerations"]).iter().filter(|toleration| tolerates(toleration, taint));
        let mut tolerated = tolerations.peekable();
        if tolerated.peek().is_none() {
            return Some(since);
        }
        let patience = tolerated.filter_map(|toleration| toleration["tolerationSeconds"].as_i64()).min();
        if let Some(seconds) = patience {
            let at = since.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX);
            end = Some(end.map_or(at, |end| end.min(at)));
        }
    }
    end
}

/// Deletes the pods that a node's taints drive away.
pub(super) fn settle(desk: &Desk, node: &Value, pods: &[Arc<Value>]) {
    let taints: Vec<&Value> = taints(node).iter().filter(|taint| taint["effect"] == "NoExecute").collect();
    let name = &node["metadata"]["name"];
    for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"] == *name && !pods::is_going(pod)) {
        let uid = text(&pod["metadata"]["uid"]);
        let since = desk.leaving.borrow().get(uid).copied();
        match leaves_at(pod, &taints, since.unwrap_or_else(|| desk.clock())) {
            Some(at) if at <= desk.clock() => {
                desk.leaving.borrow_mut().remove(uid);
                evict(desk, pod);
            }
            Some(at) => {
                desk.leaving.borrow_mut().entry(uid.to_owned()).or_insert_with(|| desk.clock());
                desk.wake_at(at);
            }
            None if since.is_some() => {
                desk.leaving.borrow_mut().remove(uid);
                let of = format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
                desk.tell(&by_name(pod), COMPONENT, false, "TaintManagerEviction", &format!("Cancelling deletion of Pod {of}"));
            }
            None => {}
        }
    }
}

/// A pod as this controller speaks of it: by name alone.
fn by_name(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]}})
}

fn evict(desk: &Desk, pod: &Value) {
    let metadata = &pod["metadata"];
    let of = format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
    desk.tell(&by_name(pod), COMPONENT, false, "TaintManagerEviction", &format!("Marking for deletion Pod {of}"));
    disrupt(desk, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", false);
    let deleted = desk.delete(PODS, pod, None);
    desk.heard(pod, deleted);
}

/// Says of a pod that it is not its own fault.
fn disrupt(desk: &Desk, pod: &Value, reason: &str, message: &str, fail: bool) {
    let now = desk.now();
    let marked = desk.update(PODS, pod, Part::Status, &|live| {
        let mut condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": now,
        });
        if !live["metadata"]["generation"].is_null() {
            condition["observedGeneration"] = live["metadata"]["generation"].clone();
        }
        conditions::set(&mut live["status"], condition);
        if fail && !pods::is_over(live) {
            live["status"]["phase"] = "Failed".into();
        }
    });
    desk.heard(pod, marked);
}

/// How long a node may be missing until it is taken for gone (`quarantineTime`).
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);

/// Removes the pods of nodes that are gone: nobody else will (`gcOrphaned`).
pub(super) fn of_lost_nodes(desk: &Desk, nodes: &[Arc<Value>], pods: &[Arc<Value>]) {
    let is_there = |node: &str| nodes.iter().any(|found| found["metadata"]["name"] == node);
    let mut missing = desk.missing_nodes.borrow_mut();
    missing.retain(|node, _| !is_there(node));
    desk.leaving.borrow_mut().retain(|uid, _| pods.iter().any(|pod| pod["metadata"]["uid"] == uid.as_str()));
    for pod in pods {
        let node = text(&pod["spec"]["nodeName"]);
        if node.is_empty() || is_there(node) {
            continue;
        }
        let since = *missing.entry(node.to_owned()).or_insert_with(|| desk.clock());
        let gone = since.checked_add(QUARANTINE).unwrap_or(Timestamp::MAX);
        if gone > desk.clock() {
            desk.wake_at(gone);
            continue;
        }
        disrupt(desk, pod, "DeletionByPodGC", "PodGC: node no longer exists", true);
        let removed = desk.delete_now(PODS, pod);
        desk.heard(pod, removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_leaves_when_its_shortest_patience_ends() {
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let taint = json!({"key": "k", "effect": "NoExecute"});
        let at = |tolerations: Value| leaves_at(&json!({"spec": {"tolerations": tolerations}}), &[&taint], since);
        assert_eq!(at(json!([])), Some(since));
        assert_eq!(at(json!([{"key": "k", "operator": "Exists"}])), None);
        let both = json!([
            {"key": "k", "operator": "Exists", "tolerationSeconds": 900},
            {"operator": "Exists", "tolerationSeconds": 1200},
        ]);
        assert_eq!(at(both), Some("2026-01-01T00:15:00Z".parse().unwrap()));
    }
}
