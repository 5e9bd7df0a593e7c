//! The taints that say of a node what its conditions say (`doNoScheduleTaintingPass`, `doNoExecuteTaintingPass`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::taints;
use crate::controllers::conditions;
use crate::controllers::desk::{Desk, NODES};
use crate::kinds::meta::Part;
use crate::kinds::view::{flag, text};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Those that the controller gives and takes away.
const OWN: [&str; 6] = [
    NOT_READY,
    UNREACHABLE,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// Gives a node the taints that it should have. Returns it as it is then.
pub(super) fn settle(desk: &Desk, node: &Arc<Value>, is_disrupted: bool) -> Arc<Value> {
    let mut wanted = wanted(node);
    wanted.retain(|(_, effect)| !is_disrupted || *effect != "NoExecute");
    let is_wanted = |taint: &Value| wanted.contains(&(text(&taint["key"]), text(&taint["effect"])));
    let has = |key: &str, effect: &str| taints(node).iter().any(|taint| taint["key"] == key && taint["effect"] == effect);
    let stays = |taint: &Value| !OWN.contains(&text(&taint["key"])) || is_wanted(taint);
    if taints(node).iter().all(stays) && wanted.iter().all(|(key, effect)| has(key, effect)) {
        return node.clone();
    }
    let now = desk.now();
    let written = desk.update(NODES, node, Part::Whole, &|live| {
        let mut all: Vec<Value> = taints(live).iter().filter(|taint| stays(taint)).cloned().collect();
        for (key, effect) in &wanted {
            if !all.iter().any(|taint| taint["key"] == *key && taint["effect"] == *effect) {
                all.push(json!({"key": key, "effect": effect, "timeAdded": now}));
            }
        }
        let Some(spec) = live["spec"].as_object_mut() else { return };
        if all.is_empty() {
            spec.remove("taints");
        } else {
            spec.insert("taints".into(), all.into());
        }
    });
    desk.heard(node, written).map_or_else(|| node.clone(), Arc::new)
}

/// The keys and effects that a node's conditions ask for.
fn wanted(node: &Value) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    let status = |kind: &str| conditions::find(&node["status"], kind).map_or("", |condition| text(&condition["status"]));
    match conditions::find(&node["status"], "Ready").map(|ready| text(&ready["status"])) {
        Some("True") => {}
        Some("False") => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        Some(_) => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        // One that has never said anything is taken for ready until its patience ends.
        None => {}
    }
    for (kind, key) in [("MemoryPressure", OWN[2]), ("DiskPressure", OWN[3]), ("PIDPressure", OWN[4])] {
        if status(kind) == "True" {
            wanted.push((key, "NoSchedule"));
        }
    }
    if flag(&node["spec"]["unschedulable"]) {
        wanted.push((OWN[5], "NoSchedule"));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ready(json!({"type": "Ready", "status": "True"}), false, &[])]
    #[case::not_ready(json!({"type": "Ready", "status": "False"}), false, &[(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")])]
    #[case::silent(json!({"type": "Ready", "status": "Unknown"}), false, &[(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")])]
    #[case::cordoned(json!({"type": "Ready", "status": "True"}), true, &[("node.kubernetes.io/unschedulable", "NoSchedule")])]
    fn conditions_ask_for_taints(#[case] ready: Value, #[case] cordoned: bool, #[case] expected: &[(&str, &str)]) {
        let node = json!({"spec": {"unschedulable": cordoned}, "status": {"conditions": [ready]}});
        assert_eq!(wanted(&node), expected);
    }
}
