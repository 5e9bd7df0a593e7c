//! Rules of `node.k8s.io` (`pkg/apis/node/validation/validation.go`).

use serde_json::Value;

use super::view::{entries, immutable, list, text};
use super::{Rules, meta, names, resources};
use crate::field::{Errors, Path};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "runtimeclasses" => &RUNTIME_CLASS,
        _ => &Rules::PLAIN,
    }
}

const RUNTIME_CLASS: Rules = Rules {
    default: |class| resources::round(class.pointer_mut("/overhead/podFixed")),
    validate,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        immutable(&old["handler"], &new["handler"], &Path::new("handler"), errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate(class: &Value, errors: &mut Errors) {
    let handler = text(&class["handler"]);
    for wrong in names::label(handler) {
        errors.invalid(&Path::new("handler"), handler, &wrong);
    }
    for (name, value) in entries(&class["overhead"]["podFixed"]) {
        let path = Path::new("overhead").child("limits").key(name);
        resources::validate_container_name(name, &path, errors);
        resources::validate_quantity(name, value, &path, errors);
    }
    let path = Path::new("scheduling");
    names::validate_labels(&class["scheduling"]["nodeSelector"], &path.child("nodeSelector"), errors);
    let tolerations = list(&class["scheduling"]["tolerations"]);
    // The path names the field twice in Kubernetes, too.
    validate_tolerations(tolerations, &path.child("tolerations").child("tolerations"), errors);
}

/// ValidateTolerations.
fn validate_tolerations(tolerations: &[Value], path: &Path, errors: &mut Errors) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = path.index(i);
        let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(|field| text(&toleration[field]));
        if !key.is_empty() {
            names::validate_label_name(key, &path.child("key"), errors);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&path.child("operator"), operator, detail);
        }
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            errors.invalid(&path.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(&path.child("operator"), value, &wrong.join(";"));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => errors.invalid(&path.child("operator"), value, "value must be empty when `operator` is 'Exists'"),
            _ => errors.not_supported(&path.child("operator"), operator, &["Equal", "Exists"]),
        }
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.not_supported(&path.child("effect"), effect, &known);
        }
    }
}
