//! Rules of `policy` (`pkg/registry/policy/poddisruptionbudget/strategy.go`).

use serde_json::{Value, json};

use super::view::{bump_generation, int, keep, put, set_generation};
use super::{Rules, meta, names, selector};
use crate::field::{Errors, Kind, Path};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "poddisruptionbudgets" => &POD_DISRUPTION_BUDGET,
        _ => &Rules::PLAIN,
    }
}

const POD_DISRUPTION_BUDGET: Rules = Rules {
    prepare_create: |budget| {
        let status = json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        put(budget, "status", status);
        set_generation(budget, 1);
    },
    validate: |budget, errors| validate(&budget["spec"], errors),
    // The kind's own validation leaves the metadata to what is checked of every object.
    name: names::path_segment,
    prepare_update: |old, new| {
        keep(old, new, "status");
        bump_generation(old, new);
    },
    validate_update: |_, new, errors| validate(&new["spec"], errors),
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |_, new, errors| {
        let (status, path) = (&new["status"], Path::new("status"));
        meta::conditions(&status["conditions"], &path.child("conditions"), errors);
        for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            let value = int(&status[field]);
            if value < 0 {
                errors.invalid(&path.child(field), value, "must be greater than or equal to 0");
            }
        }
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (least, most) = (&spec["minAvailable"], &spec["maxUnavailable"]);
    if !least.is_null() && !most.is_null() {
        // The internal type, which has no JSON names.
        let shown = format!(
            "{{\"MinAvailable\":{least},\"Selector\":{},\"MaxUnavailable\":{most},\"UnhealthyPodEvictionPolicy\":{}}}",
            spec["selector"], spec["unhealthyPodEvictionPolicy"]
        );
        let body = format!("Invalid value: {shown}: minAvailable and maxUnavailable cannot be both set");
        errors.other(Kind::Invalid, "spec", body);
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if !spec[field].is_null() {
            validate_amount(&spec[field], &path.child(field), errors);
        }
    }
    if !spec["selector"].is_null() {
        selector::validate(&spec["selector"], &path.child("selector"), errors);
    }
    if let Some(policy) = spec["unhealthyPodEvictionPolicy"].as_str()
        && !matches!(policy, "AlwaysAllow" | "IfHealthyBudget")
    {
        errors.not_supported(&path.child("unhealthyPodEvictionPolicy"), policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

/// A number of pods, or a percentage of at most 100.
fn validate_amount(value: &Value, path: &Path, errors: &mut Errors) {
    let Some(text) = value.as_str() else {
        if int(value) < 0 {
            errors.invalid(path, int(value), "must be greater than or equal to 0");
        }
        return;
    };
    let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()));
    match digits {
        None => {
            let wrong = names::regex_error(
                "a valid percent string must be a numeric string followed by an ending '%'",
                "[0-9]+%",
                &["1%", "93%"],
            );
            errors.invalid(path, text, &wrong);
        }
        Some(digits) if digits.parse::<u64>().is_ok_and(|n| n <= 100) => {}
        Some(_) => errors.invalid(path, text, "must not be greater than 100%"),
    }
}
