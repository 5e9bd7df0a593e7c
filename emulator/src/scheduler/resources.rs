//! Amounts as the scheduler counts them (`framework.Resource`): CPU in thousandths, all else in whole units, rounded up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::pod_resources::{self, Amounts, Side};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{entries, items};

/// What a container that asks for nothing counts as when nodes are compared (`util.DefaultMilliCPURequest` and its kin).
const UNASKED: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "200Mi")];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) cpu: i64,
    pub(super) memory: i64,
    pub(super) storage: i64,
    /// Extended resources, huge pages and the like.
    pub(super) others: BTreeMap<String, i64>,
}

impl Resources {
    fn of(amounts: &Amounts) -> Self {
        let mut resources = Self::default();
        for (name, amount) in amounts {
            match name.as_str() {
                "cpu" => resources.cpu = amount.milli_value(),
                "memory" => resources.memory = amount.value(),
                "ephemeral-storage" => resources.storage = amount.value(),
                "pods" => {}
                _ => {
                    resources.others.insert(name.clone(), amount.value());
                }
            }
        }
        resources
    }

    /// What a node has to give.
    pub(super) fn of_node(node: &Value) -> Self {
        let allocatable = entries(&node["status"]["allocatable"]);
        Self::of(&allocatable.map(|(name, amount)| (name.to_owned(), Quantity::of(amount))).collect())
    }

    /// What a pod asks for.
    pub(super) fn of_pod(pod: &Value) -> Self {
        Self::of(&pod_resources::with_overhead(pod, Side::Requests))
    }

    /// The same, containers that do not say counted as if they asked for a little CPU and memory.
    pub(super) fn at_least(pod: &Value) -> Self {
        let spec = &pod["spec"];
        let mut filled = json!({"spec": {
            "containers": spec["containers"],
            "initContainers": spec["initContainers"],
            "resources": spec["resources"],
            "overhead": spec["overhead"],
        }});
        for kind in ["containers", "initContainers"] {
            for container in items(&mut filled["spec"], kind) {
                for (name, amount) in UNASKED {
                    if container["resources"]["requests"][name].is_null() {
                        container["resources"]["requests"][name] = amount.into();
                    }
                }
            }
        }
        Self::of_pod(&filled)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.change(other, 1);
    }

    pub(super) fn sub(&mut self, other: &Self) {
        self.change(other, -1);
    }

    fn change(&mut self, other: &Self, sign: i64) {
        self.cpu += sign * other.cpu;
        self.memory += sign * other.memory;
        self.storage += sign * other.storage;
        for (name, amount) in &other.others {
            *self.others.entry(name.clone()).or_default() += sign * amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_counts_a_little() {
        let pod = json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}},
            {"name": "b", "resources": {}},
        ], "overhead": {"memory": "1Mi"}}});
        let asked = Resources::of_pod(&pod);
        assert_eq!((asked.cpu, asked.memory), (1000, 1 << 20));
        let counted = Resources::at_least(&pod);
        assert_eq!((counted.cpu, counted.memory), (1100, 401 << 20));
    }
}
