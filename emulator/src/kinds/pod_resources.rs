//! What a pod as a whole requests and may use (`component-helpers/resource/helpers.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::quantity::Quantity;
use super::resources::add;
use super::view::{count, entries, list, text};

/// Amounts by resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Which side of `resources` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Limits,
}

impl Side {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

fn raise(amounts: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        match amounts.get(name) {
            Some(present) if present >= value => {}
            _ => {
                amounts.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Resources that a pod may be given as a whole.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || super::resources::is_huge_page(name)
}

/// The containers' amounts together; init containers run before, but for those that keep running beside.
pub(crate) fn of_pod(pod: &Value, side: Side) -> Amounts {
    let (spec, field) = (&pod["spec"], side.field());
    let mut sum = Amounts::new();
    for container in list(&spec["containers"]) {
        add(&mut sum, &container["resources"][field]);
    }
    let (mut beside, mut before) = (Amounts::new(), Amounts::new());
    for container in list(&spec["initContainers"]) {
        let own = &container["resources"][field];
        let mut at_once = beside.clone();
        add(&mut at_once, own);
        if text(&container["restartPolicy"]) == "Always" {
            add(&mut sum, own);
            beside.clone_from(&at_once);
        }
        raise(&mut before, &at_once);
    }
    raise(&mut sum, &before);
    for (name, value) in entries(&spec["resources"][field]).filter(|(name, _)| is_pod_level(name)) {
        sum.insert(name.to_owned(), Quantity::of(value));
    }
    sum
}

/// The same with the overhead of the pod's runtime; to limits it is added only where there is one.
pub(crate) fn with_overhead(pod: &Value, side: Side) -> Amounts {
    let mut sum = of_pod(pod, side);
    for (name, value) in entries(&pod["spec"]["overhead"]) {
        match (side, sum.get_mut(name)) {
            (_, Some(present)) if side == Side::Requests || !present.is_zero() => present.add(&Quantity::of(value)),
            (Side::Requests, None) => {
                sum.insert(name.to_owned(), Quantity::of(value));
            }
            _ => {}
        }
    }
    sum
}

/// Whether no container asks for CPU or memory (the class BestEffort).
pub(crate) fn is_best_effort(pod: &Value) -> bool {
    let asks = |resources: &Value| {
        ["requests", "limits"].iter().any(|side| {
            ["cpu", "memory"].iter().any(|name| {
                let amount = Quantity::of(&resources[*side][*name]);
                !amount.is_zero() && !amount.is_negative()
            })
        })
    };
    let spec = &pod["spec"];
    if count(&spec["resources"]["requests"]) + count(&spec["resources"]["limits"]) > 0 {
        return !asks(&spec["resources"]);
    }
    let containers = list(&spec["containers"]).iter().chain(list(&spec["initContainers"]));
    !containers.map(|container| &container["resources"]).any(asks)
}
