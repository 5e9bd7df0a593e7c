//! Terms by which nodes are selected (`ValidateNodeSelector` and its kin), and topologies.

use std::collections::BTreeSet;

use serde_json::Value;

use super::names;
use super::view::{count, list, text};
use crate::field::{Errors, Path};

/// ValidateNodeSelector.
pub(crate) fn validate_node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let (terms, path) = (list(&selector["nodeSelectorTerms"]), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        validate_node_selector_term(term, &path.index(i), errors);
    }
}

/// ValidateNodeSelectorTerm.
pub(crate) fn validate_node_selector_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (i, requirement) in list(&term["matchExpressions"]).iter().enumerate() {
        validate_label_requirement(requirement, &path.child("matchExpressions").index(i), errors);
    }
    for (i, requirement) in list(&term["matchFields"]).iter().enumerate() {
        validate_field_requirement(requirement, &path.child("matchFields").index(i), errors);
    }
}

fn validate_label_requirement(requirement: &Value, path: &Path, errors: &mut Errors) {
    let values = list(&requirement["values"]);
    let at = path.child("values");
    match text(&requirement["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(&at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    names::validate_label_name(text(&requirement["key"]), &path.child("key"), errors);
    for (i, value) in values.iter().map(text).enumerate() {
        for wrong in names::label_value(value) {
            errors.invalid(&at.index(i), value, &wrong);
        }
    }
}

fn validate_field_requirement(requirement: &Value, path: &Path, errors: &mut Errors) {
    let values = list(&requirement["values"]);
    match text(&requirement["operator"]) {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.required(&path.child("values"), detail);
        }
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = text(&requirement["key"]);
    if key != "metadata.name" {
        errors.invalid(&path.child("key"), key, "not a valid field selector key");
        return;
    }
    for (i, value) in values.iter().map(text).enumerate() {
        for wrong in names::subdomain(value) {
            errors.invalid(&path.child("values").index(i), value, &wrong);
        }
    }
}

/// ValidateTopologySelectorTerm for each of several, which must differ.
pub(crate) fn validate_topologies(terms: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<BTreeSet<(&str, BTreeSet<&str>)>> = Vec::new();
    for (i, term) in list(terms).iter().enumerate() {
        let at = path.index(i);
        let (mut keys, mut whole) = (BTreeSet::new(), BTreeSet::new());
        for (j, one) in list(&term["matchLabelExpressions"]).iter().enumerate() {
            let at = at.child("matchLabelExpressions").index(j);
            let mut values = BTreeSet::new();
            if count(&one["values"]) == 0 {
                errors.required(&at.child("values"), "");
            }
            for (k, value) in list(&one["values"]).iter().map(text).enumerate() {
                if !values.insert(value) {
                    errors.duplicate(&at.child("values").index(k), value);
                }
            }
            let key = text(&one["key"]);
            names::validate_label_name(key, &at.child("key"), errors);
            if !keys.insert(key) {
                errors.duplicate(&at.child("key"), key);
            }
            whole.insert((key, values));
        }
        if seen.contains(&whole) {
            errors.other(
                crate::field::Kind::Duplicate,
                &at.child("matchLabelExpressions").to_string(),
                "Duplicate value: \"\"".into(),
            );
        }
        seen.push(whole);
    }
}
