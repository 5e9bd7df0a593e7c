//! Whether a node takes a pod that is bound to it (`pkg/kubelet/lifecycle/predicate.go`): who binds pods by hand need not have looked.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Context;
use super::client::NODES;
use super::evictions::is_critical;
use super::node_status::Pressure;
use super::pod::Pod;
use crate::kinds::pod::quality_of_service;
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{entries, list, text};

/// What a pod asks for: thousandths of a CPU, bytes of memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Requests {
    cpu: i64,
    memory: i64,
}

impl Requests {
    pub(super) fn of(pod: &Value) -> Self {
        let sum = |resource: &str, amount: fn(&Quantity) -> i64| -> i64 {
            let containers = list(&pod["spec"]["containers"]).iter();
            containers.map(|c| amount(&Quantity::of(&c["resources"]["requests"][resource]))).sum()
        };
        Self { cpu: sum("cpu", Quantity::milli_value), memory: sum("memory", Quantity::value) }
    }
}

/// Whether a pod may come to a node that is short of something: of memory only, if it has asked for some or does not mind.
fn bears(pod: &Value, short: &[&str]) -> bool {
    let tolerates = |toleration: &Value| {
        let key = text(&toleration["key"]);
        matches!(text(&toleration["effect"]), "" | "NoSchedule")
            && (key == "node.kubernetes.io/memory-pressure" || key.is_empty())
            && toleration["operator"] == "Exists"
    };
    short == ["MemoryPressure"]
        && (quality_of_service(&pod["spec"]) != "BestEffort" || list(&pod["spec"]["tolerations"]).iter().any(tolerates))
}

/// Why not: reason and message.
pub(super) fn admit(context: &Context, pod: &Pod) -> Result<(), (String, String)> {
    let Some(node) = context.client.get(NODES, "", context.node.name()) else { return Ok(()) };
    let object = pod.object();
    let labels = &node["metadata"]["labels"];
    if entries(&object["spec"]["nodeSelector"]).any(|(key, value)| labels[key] != *value) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(("NodeAffinity".into(), message.into()));
    }
    let short: Vec<&str> = Pressure::ALL.into_iter().filter(|one| context.pressures.get(*one)).map(Pressure::condition).collect();
    if !short.is_empty() && !is_critical(&object) && !bears(&object, &short) {
        return Err(("Evicted".into(), format!("The node had condition: [{}]. ", short.join(" "))));
    }
    // One at a time: who comes second sees what the first was given.
    let pods = context.pods();
    let admitted = || pods.all().filter(|other| other.is_admitted.load(Ordering::Relaxed) && other.uid != pod.uid);
    let capacity = |resource: &str| Quantity::of(&node["status"]["allocatable"][resource]);
    let used = |amount: fn(&Requests) -> i64| admitted().map(|other| amount(&other.requests)).sum::<i64>();
    let count = i64::try_from(admitted().count()).unwrap_or(i64::MAX);
    let asked = &pod.requests;
    let all = [
        ("cpu", asked.cpu, used(|r| r.cpu), capacity("cpu").milli_value()),
        ("memory", asked.memory, used(|r| r.memory), capacity("memory").value()),
        ("pods", 1, count, capacity("pods").value()),
    ];
    for (resource, requested, used, capacity) in all {
        if requested > 0 && requested + used > capacity {
            let amounts = format!("requested: {requested}, used: {used}, capacity: {capacity}");
            return Err((format!("OutOf{resource}"), format!("Node didn't have enough resource: {resource}, {amounts}")));
        }
    }
    pod.is_admitted.store(true, Ordering::Relaxed);
    Ok(())
}
