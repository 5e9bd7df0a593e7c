//! Rules of `coordination.k8s.io` (`pkg/apis/coordination/validation/validation.go`).

use serde_json::Value;

use super::view::{remove, text};
use super::{Rules, meta, names};
use crate::field::{Errors, Path};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "leases" => &LEASE,
        _ => &Rules::PLAIN,
    }
}

const LEASE: Rules = Rules {
    prepare_create: |lease| drop_strategy(&Value::Null, lease),
    prepare_update: drop_strategy,
    validate,
    validate_update: |old, new, errors| {
        meta::validate_plain_update(old, new, errors);
        validate(new, errors);
    },
    allow_create_on_update: true,
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

/// Coordinated leader election is off, as by default.
fn drop_strategy(old: &Value, lease: &mut Value) {
    let Some(spec) = lease.get_mut("spec") else { return };
    for field in ["strategy", "preferredHolder"] {
        if old["spec"][field].is_null() {
            remove(spec, field);
        }
    }
}

fn validate(lease: &Value, errors: &mut Errors) {
    let (spec, path) = (&lease["spec"], Path::new("spec"));
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64()
        && seconds <= 0
    {
        errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(transitions) = spec["leaseTransitions"].as_i64()
        && transitions < 0
    {
        errors.invalid(&path.child("leaseTransitions"), transitions, "must be greater than or equal to 0");
    }
    let strategy = text(&spec["strategy"]);
    if spec["strategy"].is_string() && strategy != "OldestEmulationVersion" {
        // A name of one's own needs a domain.
        let wrong = if strategy.contains('/') { names::qualified(strategy) } else { vec![String::new()] };
        if !wrong.is_empty() {
            errors.not_supported(&path.child("strategy"), strategy, &["OldestEmulationVersion"]);
        }
    }
    if !text(&spec["preferredHolder"]).is_empty() && strategy.is_empty() {
        errors.forbidden(&path.child("preferredHolder"), "may only be specified if `strategy` is defined");
    }
}
