//! Rules of `scheduling.k8s.io` (`pkg/apis/scheduling/validation/validation.go`).

use serde_json::Value;

use super::view::{fill, flag, immutable, int, set_generation, text};
use super::{Rules, meta};
use crate::field::{Errors, Path};

/// Above it is the system's.
const HIGHEST: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "priorityclasses" => &PRIORITY_CLASS,
        _ => &Rules::PLAIN,
    }
}

const PRIORITY_CLASS: Rules = Rules {
    default: |class| fill(class, "preemptionPolicy", "PreemptLowerPriority"),
    prepare_create: |class| set_generation(class, 1),
    validate,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        if int(&old["value"]) != int(&new["value"]) {
            errors.forbidden(&Path::new("value"), "may not be changed in an update.");
        }
        let policy = "preemptionPolicy";
        immutable(&old[policy], &new[policy], &Path::new(policy), errors);
    },
    ..Rules::PLAIN
};

fn validate(class: &Value, errors: &mut Errors) {
    let (name, value) = (text(&class["metadata"]["name"]), int(&class["value"]));
    if name.starts_with("system-") {
        let why = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, known)) if *known != value => Some(format!("value of {name} PriorityClass must be {known}")),
            Some(_) if flag(&class["globalDefault"]) => Some(format!("globalDefault of {name} PriorityClass must be false")),
            Some(_) => None,
        };
        if let Some(why) = why {
            let detail = format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            errors.forbidden(&Path::new("metadata").child("name"), &detail);
        }
    } else if value > HIGHEST {
        errors.forbidden(&Path::new("value"), &format!("maximum allowed value of a user defined priority is {HIGHEST}"));
    }
    match text(&class["preemptionPolicy"]) {
        "PreemptLowerPriority" | "Never" => {}
        "" => errors.required(&Path::new("preemptionPolicy"), ""),
        other => errors.not_supported(&Path::new("preemptionPolicy"), other, &["PreemptLowerPriority", "Never"]),
    }
}
