//! ResourceQuotas and LimitRanges (`pkg/registry/core/{resourcequota,limitrange}/strategy.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{at, count, entries, invalid_shown, items, keep, list, put, text};
use crate::kinds::{Rules, meta, names, resources};

pub(super) const RESOURCE_QUOTA: Rules = Rules {
    default: |quota| {
        resources::round(quota.pointer_mut("/spec/hard"));
        resources::round(quota.pointer_mut("/status/hard"));
        resources::round(quota.pointer_mut("/status/used"));
    },
    prepare_create: |quota| put(quota, "status", json!({})),
    validate: |quota, errors| validate_spec(&quota["spec"], errors),
    prepare_update: |old, new| keep(old, new, "status"),
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_spec(&new["spec"], errors);
        let scopes = |quota: &Value| list(&quota["spec"]["scopes"]).iter().map(|s| text(s).to_owned()).collect::<BTreeSet<_>>();
        if scopes(old) != scopes(new) {
            errors.invalid(&Path::new("spec").child("scopes"), new["spec"]["scopes"].clone(), "field is immutable");
        }
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        if text(&new["metadata"]["resourceVersion"]).is_empty() {
            errors.required(&Path::new("resourceVersion"), "");
        }
        for field in ["hard", "used"] {
            validate_amounts(&new["status"][field], &Path::new("status").child(field), errors);
        }
    },
    ..Rules::PLAIN
};

fn validate_amounts(amounts: &Value, path: &Path, errors: &mut Errors) {
    for (name, value) in entries(amounts) {
        resources::validate_quota_name(name, &path.key(name), errors);
        resources::validate_quantity(name, value, &path.key(name), errors);
    }
}

fn is_standard_scope(scope: &str) -> bool {
    matches!(
        scope,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "VolumeAttributesClass"
            | "CrossNamespacePodAffinity"
    )
}

/// IsResourceQuotaScopeValidForResource.
fn scope_fits(scope: &str, resource: &str) -> bool {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"].contains(&resource);
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || compute
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn misfits(scope: &str, spec: &Value) -> usize {
    entries(&spec["hard"]).filter(|(name, _)| resources::is_standard_quota(name) && !scope_fits(scope, name)).count()
}

fn conflicting(scopes: &BTreeSet<&str>) -> usize {
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]]
        .iter()
        .filter(|pair| pair.iter().all(|s| scopes.contains(s)))
        .count()
}

fn validate_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    validate_amounts(&spec["hard"], &path.child("hard"), errors);
    let (scopes, at) = (&spec["scopes"], path.child("scopes"));
    for scope in list(scopes).iter().map(text) {
        if !is_standard_scope(scope) {
            errors.invalid(&at, scopes.clone(), "unsupported scope");
        }
        for _ in 0..misfits(scope, spec) {
            errors.invalid(&at, scopes.clone(), "unsupported scope applied to resource");
        }
    }
    for _ in 0..conflicting(&list(scopes).iter().map(text).collect()) {
        errors.invalid(&at, scopes.clone(), "conflicting scopes");
    }
    if !spec["scopeSelector"].is_null() {
        validate_selector(spec, &path.child("scopeSelector").child("matchExpressions"), errors);
    }
}

fn validate_selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let expressions = list(&spec["scopeSelector"]["matchExpressions"]);
    for one in expressions {
        let (scope, operator, values) = (text(&one["scopeName"]), text(&one["operator"]), &one["values"]);
        if !is_standard_scope(scope) {
            errors.invalid(&path.child("scopeName"), scope, "unsupported scope");
        }
        for _ in 0..misfits(scope, spec) {
            invalid_shown(errors, path, &selector_text(expressions), "unsupported scope applied to resource");
        }
        let by_value = matches!(scope, "PriorityClass" | "VolumeAttributesClass") || !is_standard_scope(scope);
        if !by_value && operator != "Exists" {
            errors.invalid(
                &path.child("operator"),
                operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator {
            "In" | "NotIn" if count(values) == 0 => errors.required(
                &path.child("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if count(values) != 0 => errors.invalid(
                &path.child("values"),
                values.clone(),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ),
            "Exists" | "DoesNotExist" => {}
            _ => errors.invalid(&path.child("operator"), operator, "not a valid selector operator"),
        }
    }
    for _ in 0..conflicting(&expressions.iter().map(|e| text(&e["scopeName"])).collect()) {
        errors.invalid(path, spec["scopes"].clone(), "conflicting scopes");
    }
}

/// The internal type, which has no JSON names.
fn selector_text(expressions: &[Value]) -> String {
    let all: Vec<_> = expressions
        .iter()
        .map(|e| format!("{{\"ScopeName\":{},\"Operator\":{},\"Values\":{}}}", e["scopeName"], e["operator"], e["values"]))
        .collect();
    format!("{{\"MatchExpressions\":[{}]}}", all.join(","))
}

pub(super) const LIMIT_RANGE: Rules = Rules {
    default: |range| {
        let Some(spec) = range.get_mut("spec") else { return };
        for limit in items(spec, "limits") {
            default_limit(limit);
        }
    },
    prepare_create: |range| {
        if text(&range["metadata"]["name"]).is_empty()
            && let Some(metadata) = range.get_mut("metadata")
        {
            put(metadata, "name", uuid::Uuid::new_v4().to_string().into());
        }
    },
    validate: validate_limits,
    validate_update: |_, new, errors| {
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_limits(new, errors);
    },
    allow_create_on_update: true,
    ..Rules::PLAIN
};

const LIMITS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

fn default_limit(limit: &mut Value) {
    for field in LIMITS {
        resources::round(limit.get_mut(field));
    }
    if text(&limit["type"]) != "Container" {
        return;
    }
    for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let source = limit[from].clone();
        if count(&source) == 0 {
            continue;
        }
        if let Some(target) = crate::kinds::view::object(limit, to) {
            for (name, value) in entries(&source) {
                target.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

fn validate_limits(range: &Value, errors: &mut Errors) {
    let path = Path::new("spec").child("limits");
    let mut seen = BTreeSet::new();
    for (i, limit) in list(at(range, &["spec", "limits"])).iter().enumerate() {
        let path = path.index(i);
        let kind = text(&limit["type"]);
        let wrong = names::qualified(kind);
        for wrong in &wrong {
            errors.invalid(&path.child("type"), kind, wrong);
        }
        if wrong.is_empty() && !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            errors.invalid(&path.child("type"), kind, "must be a standard limit type or fully qualified");
        }
        if !seen.insert(kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        validate_limit(kind, limit, &path, errors);
    }
}

fn validate_limit(kind: &str, limit: &Value, path: &Path, errors: &mut Errors) {
    let mut by_field: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for field in LIMITS {
        if kind == "Pod" && matches!(field, "default" | "defaultRequest") {
            if count(&limit[field]) > 0 {
                errors.forbidden(&path.child(field), "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if field == "maxLimitRequestRatio"
            && kind == "PersistentVolumeClaim"
            && limit["min"]["storage"].is_null()
            && limit["max"]["storage"].is_null()
        {
            errors
                .required(&path.child("limits"), "either minimum or maximum storage value is required, but neither was provided");
        }
        for (name, value) in entries(&limit[field]) {
            let at = path.child(field).key(name);
            if matches!(kind, "Pod" | "Container") {
                resources::validate_container_name(name, &at, errors);
            } else {
                resources::validate_name(name, &at, errors);
            }
            keys.insert(name);
            by_field.entry(field).or_default().insert(name, Quantity::of(value));
        }
    }
    for key in keys {
        let get = |field: &str| by_field.get(field).and_then(|values| values.get(key));
        validate_amounts_of_limit(key, get, path, errors);
    }
}

/// The amounts for one resource must not contradict each other.
fn validate_amounts_of_limit<'a>(key: &str, get: impl Fn(&str) -> Option<&'a Quantity>, path: &Path, errors: &mut Errors) {
    let (min, max, ratio) = (get("min"), get("max"), get("maxLimitRequestRatio"));
    let (default, request) = (get("default"), get("defaultRequest"));
    let mut ordered =
        |low: Option<&Quantity>, high: Option<&Quantity>, field: &str, shown: bool, low_name: &str, high_name: &str| {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                let value = if shown { low } else { high };
                let detail = format!("{low_name} value {low} is greater than {high_name} value {high}");
                errors.invalid(&path.child(field).key(key), value.to_string(), &detail);
            }
        };
    ordered(min, max, "min", true, "min", "max");
    ordered(min, request, "defaultRequest", false, "min", "default request");
    ordered(request, max, "defaultRequest", true, "default request", "max");
    ordered(request, default, "defaultRequest", true, "default request", "default limit");
    ordered(min, default, "default", true, "min", "default");
    ordered(default, max, "default", false, "default", "max");
    if let Some(ratio) = ratio {
        let at = path.child("maxLimitRequestRatio").key(key);
        if *ratio < Quantity::integer(1) {
            errors.invalid(&at, ratio.to_string(), &format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max) {
            #[allow(clippy::cast_precision_loss)] // As Kubernetes computes it.
            let (value, limit) = (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64);
            if value > limit {
                let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                errors.invalid(&at, ratio.to_string(), &detail);
            }
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !resources::is_overcommit_allowed(key)
        && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {key}");
        errors.invalid(&path.child("defaultRequest").key(key), request.to_string(), &detail);
    }
}
