//! Where a pod may run: affinity, tolerations, topology spread.

use serde_json::Value;

use super::super::view::{count, entries, int, list, text};
use super::super::{names, selector};
use super::enumerated;
use crate::field::{Errors, Path};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `validateAffinity`.
pub(super) fn validate(affinity: &Value, path: &Path, errors: &mut Errors) {
    let (node, node_path) = (&affinity["nodeAffinity"], path.child("nodeAffinity"));
    if !node[REQUIRED].is_null() {
        validate_node_selector(&node[REQUIRED], &node_path.child(REQUIRED), errors);
    }
    for (i, term) in list(&node[PREFERRED]).iter().enumerate() {
        let path = node_path.child(PREFERRED).index(i);
        validate_weight(term, &path, errors);
        validate_node_term(&term["preference"], false, &path.child("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (own, path) = (&affinity[kind], path.child(kind));
        for (i, term) in list(&own[REQUIRED]).iter().enumerate() {
            validate_pod_term(term, &path.child(REQUIRED).index(i), errors);
        }
        for (i, term) in list(&own[PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            validate_weight(term, &path, errors);
            validate_pod_term(&term["podAffinityTerm"], &path.child("podAffinityTerm"), errors);
        }
    }
}

fn validate_weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = int(&term["weight"]);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// `ValidateNodeSelector`.
fn validate_node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("nodeSelectorTerms");
    if count(&selector["nodeSelectorTerms"]) == 0 {
        return errors.required(&path, "must have at least one node selector term");
    }
    for (i, term) in list(&selector["nodeSelectorTerms"]).iter().enumerate() {
        validate_node_term(term, true, &path.index(i), errors);
    }
}

/// Preferred terms may have values that no label has.
fn validate_node_term(term: &Value, check_values: bool, path: &Path, errors: &mut Errors) {
    for (i, requirement) in list(&term["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let values = list(&requirement["values"]);
        match text(&requirement["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.child("values"), text);
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.required(&path.child("values"), text);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        names::validate_label_name(text(&requirement["key"]), &path.child("key"), errors);
        for (i, value) in values.iter().map(text).enumerate().filter(|_| check_values) {
            for why in names::label_value(value) {
                errors.invalid(&path.child("values").index(i), value, &why);
            }
        }
    }
    for (i, requirement) in list(&term["matchFields"]).iter().enumerate() {
        let path = path.child("matchFields").index(i);
        let (key, values) = (text(&requirement["key"]), list(&requirement["values"]));
        match text(&requirement["operator"]) {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    let text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                    errors.required(&path.child("values"), text);
                }
            }
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        if key != "metadata.name" {
            errors.invalid(&path.child("key"), key, "not a valid field selector key");
            continue;
        }
        for (i, value) in values.iter().map(text).enumerate() {
            for why in names::subdomain(value) {
                errors.invalid(&path.child("values").index(i), value, &why);
            }
        }
    }
}

fn validate_pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    selector::validate(&term["labelSelector"], &path.child("labelSelector"), errors);
    selector::validate(&term["namespaceSelector"], &path.child("namespaceSelector"), errors);
    for name in list(&term["namespaces"]).iter().map(text) {
        for why in names::label(name) {
            errors.invalid(&path.child("namespace"), name, &why);
        }
    }
    validate_label_keys(term, path, errors);
    let key = text(&term["topologyKey"]);
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    names::validate_label_name(key, &path.child("topologyKey"), errors);
}

/// `ValidateMatchLabelKeysAndMismatchLabelKeys`.
fn validate_label_keys(term: &Value, path: &Path, errors: &mut Errors) {
    let own_selector = &term["labelSelector"];
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let (keys, path) = (list(&term[field]), path.child(field));
        if !keys.is_empty() && own_selector.is_null() {
            errors.forbidden(&path, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            names::validate_label_name(text(key), &path.index(i), errors);
        }
    }
    let (matched, mismatched) = (list(&term["matchLabelKeys"]), list(&term["mismatchLabelKeys"]));
    // A key that the pod's creation added occurs once in the selector; a client's own one twice.
    let mut selected: Vec<&str> = entries(&own_selector["matchLabels"]).map(|(key, _)| key).collect();
    for expression in list(&own_selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let position = matched.iter().rposition(|one| text(one) == key);
        if let Some(i) = position.filter(|_| selected.contains(&key)) {
            errors.invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.push(key);
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let text_ = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.invalid(&path.child("matchLabelKeys").index(i), text(key), text_);
    }
}

/// What a pod's creation makes of `matchLabelKeys`: requirements of the selectors beside them (`mutatePodAffinity`,
/// `mutateTopologySpreadConstraints`).
pub(super) fn apply_label_keys(pod: &mut Value) {
    let labels = pod["metadata"]["labels"].clone();
    let Some(spec) = pod.get_mut("spec") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(own) = spec.get_mut("affinity").and_then(|affinity| affinity.get_mut(kind)) else { continue };
        for term in super::super::view::items(own, PREFERRED) {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                apply_to_term(term, &labels);
            }
        }
        for term in super::super::view::items(own, REQUIRED) {
            apply_to_term(term, &labels);
        }
    }
    for constraint in super::super::view::items(spec, "topologySpreadConstraints") {
        apply_to_term(constraint, &labels);
    }
}

fn apply_to_term(term: &mut Value, labels: &Value) {
    let mut added = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in list(&term[field]).iter().map(text) {
            if let Some(value) = labels.get(key) {
                added.push(serde_json::json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    let Some(Value::Object(selector)) = term.get_mut("labelSelector") else { return };
    if added.is_empty() {
        return;
    }
    match selector.get_mut("matchExpressions") {
        Some(Value::Array(present)) => present.extend(added),
        _ => {
            selector.insert("matchExpressions".to_owned(), added.into());
        }
    }
}

/// `validateTaintEffect`, for a toleration or a taint that has one.
fn validate_effect(effect: &Value, path: &Path, errors: &mut Errors) {
    enumerated(effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], path, errors);
}

/// `ValidateTolerations`.
pub(super) fn validate_tolerations(tolerations: &Value, path: &Path, errors: &mut Errors) {
    for (i, toleration) in list(tolerations).iter().enumerate() {
        let path = path.index(i);
        let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(|field| text(&toleration[field]));
        let operator_path = path.child("operator");
        if !key.is_empty() {
            names::validate_label_name(key, &path.child("key"), errors);
        } else if operator != "Exists" {
            let text = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&operator_path, operator, text);
        }
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, text);
        }
        match operator {
            "Equal" | "" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.invalid(&operator_path, value, &wrong.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    errors.invalid(&operator_path, value, "value must be empty when `operator` is 'Exists'");
                }
            }
            other => errors.not_supported(&operator_path, other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            validate_effect(&toleration["effect"], &path.child("effect"), errors);
        }
    }
}

/// `validateTopologySpreadConstraints`.
pub(super) fn validate_spread(constraints: &Value, path: &Path, errors: &mut Errors) {
    let all = list(constraints);
    for (i, constraint) in all.iter().enumerate() {
        let path = path.index(i);
        let (key, action) = (text(&constraint["topologyKey"]), text(&constraint["whenUnsatisfiable"]));
        positive(int(&constraint["maxSkew"]), &path.child("maxSkew"), errors);
        if key.is_empty() {
            errors.required(&path.child("topologyKey"), "can not be empty");
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let path = path.child("whenUnsatisfiable");
            errors.not_supported(&path, action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let is_same = |other: &Value| text(&other["topologyKey"]) == key && text(&other["whenUnsatisfiable"]) == action;
        if all[i + 1..].iter().any(is_same) {
            errors.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        if let Some(least) = constraint["minDomains"].as_i64() {
            let path = path.child("minDomains");
            positive(least, &path, errors);
            if action != "DoNotSchedule" {
                let text = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(&path, least, &text);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            enumerated(&constraint[policy], &["Honor", "Ignore"], &path.child(policy), errors);
        }
        validate_label_keys(constraint, &path, errors);
        selector::validate(&constraint["labelSelector"], &path.child("labelSelector"), errors);
    }
}

fn positive(number: i64, path: &Path, errors: &mut Errors) {
    if number <= 0 {
        errors.invalid(path, number, "must be greater than zero");
    }
}
