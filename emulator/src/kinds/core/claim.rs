//! PersistentVolumeClaims (`pkg/registry/core/persistentvolumeclaim/strategy.go`).

use serde_json::{Value, json};

use crate::field::{Errors, Path, quote};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{count, entries, fill, immutable, keep, list, put, remove, same, text};
use crate::kinds::{Rules, diff, internal, meta, names, resources, selector};

pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// In the order in which Go prints sets.
pub(super) const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub(super) const CLAIM: Rules = Rules {
    default: |claim| {
        if let Some(spec) = claim.get_mut("spec") {
            fill(spec, "volumeMode", "Filesystem");
            resources::round(spec.pointer_mut("/resources/requests"));
            resources::round(spec.pointer_mut("/resources/limits"));
        }
        if let Some(status) = claim.get_mut("status") {
            fill(status, "phase", "Pending");
        }
    },
    prepare_create: |claim| {
        put(claim, "status", json!({"phase": "Pending"}));
        if let Some(spec) = claim.get_mut("spec") {
            sync_sources(spec, false);
        }
    },
    validate: |claim, errors| validate_spec(&claim["spec"], &Path::new("spec"), true, errors),
    prepare_update: |old, new| {
        keep(old, new, "status");
        let had = !old["spec"]["dataSource"].is_null() || !old["spec"]["dataSourceRef"].is_null();
        if let Some(spec) = new.get_mut("spec") {
            sync_sources(spec, had);
        }
    },
    validate_update: |old, new, errors| {
        let group = |spec: &Value| ["dataSource", "dataSourceRef"].iter().any(|field| !spec[*field]["apiGroup"].is_null());
        let whole = |errors: &mut Errors| {
            meta::validate(new, true, names::dns1123_subdomain, errors);
            validate_spec(&new["spec"], &Path::new("spec"), !group(&old["spec"]), errors);
        };
        // Kubernetes validates twice, and reports twice.
        whole(errors);
        meta::validate_update(old, new, errors);
        whole(errors);
        validate_change(old, new, errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        if text(&new["metadata"]["resourceVersion"]).is_empty() {
            errors.required(&Path::new("resourceVersion"), "");
        }
        validate_status(&new["status"], errors);
    },
    warnings: |claim, _| warnings(claim),
    fields: |claim| vec![("name", text(&claim["metadata"]["name"]).to_owned())],
    ..Rules::PLAIN
};

/// `dataSource` and the newer `dataSourceRef` say the same (`NormalizeDataSources`).
fn sync_sources(spec: &mut Value, had: bool) {
    let source = &spec["dataSource"];
    let known = matches!(
        (text(&source["apiGroup"]), text(&source["kind"])),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    );
    if !had && spec["dataSourceRef"].is_null() && !known {
        remove(spec, "dataSource");
    }
    let (from, to) = match (spec["dataSource"].is_null(), spec["dataSourceRef"].is_null()) {
        (false, true) => ("dataSource", "dataSourceRef"),
        (true, false) if text(&spec["dataSourceRef"]["namespace"]).is_empty() => ("dataSourceRef", "dataSource"),
        _ => return,
    };
    let mut copy = spec[from].clone();
    remove(&mut copy, "namespace");
    put(spec, to, copy);
}

/// ValidatePersistentVolumeClaimSpec.
pub(crate) fn validate_spec(spec: &Value, path: &Path, check_groups: bool, errors: &mut Errors) {
    if count(&spec["accessModes"]) == 0 {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    if !spec["selector"].is_null() {
        selector::validate(&spec["selector"], &path.child("selector"), errors);
    }
    validate_access_modes(spec, path, errors);
    let (storage, at) = (&spec["resources"]["requests"]["storage"], path.child("resources").key("storage"));
    if storage.is_null() {
        errors.required(&at, "");
    } else if !is_positive(storage) {
        errors.invalid(&at, Quantity::of(storage).to_string(), "must be greater than zero");
    }
    let class = text(&spec["storageClassName"]);
    if !class.is_empty() {
        for wrong in names::subdomain(class) {
            errors.invalid(&path.child("storageClassName"), class, &wrong);
        }
    }
    validate_mode(spec, path, errors);
    for field in ["dataSource", "dataSourceRef"] {
        if !spec[field].is_null() {
            validate_source(&spec[field], &path.child(field), check_groups, errors);
        }
    }
    let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
    if !source.is_null() && !reference.is_null() {
        // What is shown is a path, an empty structure to JSON.
        if !text(&reference["namespace"]).is_empty() {
            errors.invalid(path, json!({}), "may not be specified when dataSourceRef.namespace is specified");
        } else if ["apiGroup", "kind", "name"].iter().any(|field| source[*field] != reference[*field]) {
            errors.invalid(path, json!({}), "must match dataSourceRef");
        }
    }
    let class = text(&spec["volumeAttributesClassName"]);
    if !class.is_empty() {
        for wrong in names::subdomain(class) {
            errors.invalid(&path.child("volumeAttributesClassName"), class, &wrong);
        }
    }
}

pub(super) fn is_positive(value: &Value) -> bool {
    let quantity = Quantity::of(value);
    !quantity.is_zero() && !quantity.is_negative()
}

pub(super) fn validate_access_modes(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("accessModes");
    let modes: Vec<_> = list(&spec["accessModes"]).iter().map(text).collect();
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&path, *mode, &ACCESS_MODES);
    }
    let one_pod = modes.contains(&"ReadWriteOncePod");
    if one_pod && modes.iter().any(|mode| ACCESS_MODES[..3].contains(mode)) {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

pub(super) fn validate_mode(spec: &Value, path: &Path, errors: &mut Errors) {
    if let Some(mode) = spec["volumeMode"].as_str()
        && !matches!(mode, "Block" | "Filesystem")
    {
        errors.not_supported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

fn validate_source(source: &Value, path: &Path, check_group: bool, errors: &mut Errors) {
    for field in ["name", "kind"] {
        if text(&source[field]).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
    let (group, kind) = (text(&source["apiGroup"]), text(&source["kind"]));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() && check_group {
        for wrong in names::subdomain(group) {
            errors.invalid(&path.child("apiGroup"), group, &wrong);
        }
    }
    let namespace = text(&source["namespace"]);
    if !namespace.is_empty() {
        for wrong in names::label(namespace) {
            errors.invalid(&path.child("namespace"), namespace, &wrong);
        }
    }
}

/// What of a claim may change (`ValidatePersistentVolumeClaimUpdate`).
fn validate_change(old: &Value, new: &Value, errors: &mut Errors) {
    let (was, is) = (&old["spec"], &new["spec"]);
    let (mut old_spec, mut new_spec) = (was.clone(), is.clone());
    if text(&was["volumeName"]).is_empty() {
        keep(is, &mut old_spec, "volumeName");
    }
    let annotation = |claim: &Value| claim["metadata"]["annotations"][CLASS_ANNOTATION].as_str().map(str::to_owned);
    let (old_annotation, new_annotation) = (annotation(old), annotation(new));
    let (old_class, new_class) = (was["storageClassName"].as_str(), is["storageClassName"].as_str());
    let from_annotation = old_annotation.is_some()
        && old_class.is_none()
        && new_class == old_annotation.as_deref()
        && (new_annotation.is_none() || new_annotation == old_annotation);
    if from_annotation {
        remove(&mut new_spec, "storageClassName");
    } else {
        if old_annotation.clone().unwrap_or_default() != new_annotation.clone().unwrap_or_default() {
            let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
            errors.invalid(&path, new_annotation.unwrap_or_default(), "field is immutable");
        }
        let from_none = old_class.is_none() && old_annotation.is_none_or(|old| Some(old.as_str()) == new_class);
        if from_none && new_class.is_some() {
            keep(was, &mut new_spec, "storageClassName");
        }
    }
    if text(&new["status"]["phase"]) == "Bound" {
        if let Some(requests) = new_spec.pointer_mut("/resources/requests") {
            put(requests, "storage", was["resources"]["requests"]["storage"].clone());
        }
        keep(was, &mut new_spec, "volumeAttributesClassName");
    }
    if !same(&old_spec, &new_spec) {
        let [a, b] = [&old_spec, &new_spec].map(|spec| internal::pretty("PersistentVolumeClaimSpec", spec));
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
            diff::unified(&a, &b)
        );
        errors.forbidden(&Path::new("spec"), &detail);
    }
    let size = |value: &Value| Quantity::of(&value["storage"]);
    let new_size = size(&is["resources"]["requests"]);
    if new_size < size(&was["resources"]["requests"]) && new_size <= size(&old["status"]["capacity"]) {
        let path = Path::new("spec").child("resources").child("requests").child("storage");
        errors.forbidden(&path, "field can not be less than status.capacity");
    }
    immutable(&was["volumeMode"], &is["volumeMode"], &Path::new("volumeMode"), errors);
    if was["volumeAttributesClassName"] != is["volumeAttributesClassName"]
        && !old["status"]["currentVolumeAttributesClassName"].is_null()
    {
        let what = match is["volumeAttributesClassName"].as_str() {
            None => "nil",
            Some("") => "empty string",
            Some(_) => return,
        };
        let path = Path::new("spec").child("volumeAttributesClassName");
        errors
            .forbidden(&path, &format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"));
    }
}

fn validate_status(status: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    for (name, value) in entries(&status["capacity"]) {
        nonnegative(value, &path.child("capacity").key(name), errors);
    }
    let at = path.child("allocatedResourceStatuses");
    for (name, state) in entries(&status["allocatedResourceStatuses"]) {
        validate_key(name, &at, errors);
        if !RESIZE_STATES.contains(&text(state)) {
            errors.not_supported(&at, name, &RESIZE_STATES);
        }
    }
    let at = path.child("allocatedResources");
    for (name, value) in entries(&status["allocatedResources"]) {
        if validate_key(name, &at, errors) {
            nonnegative(value, &at.key(name), errors);
        }
    }
}

/// validateBasicResource.
pub(super) fn nonnegative(value: &Value, path: &Path, errors: &mut Errors) {
    let quantity = Quantity::of(value);
    if quantity.value() < 0 {
        errors.invalid(path, quantity.value(), "must be a valid resource quantity");
    }
}

fn validate_key(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let wrong = names::qualified(name);
    for wrong in &wrong {
        errors.invalid(path, name, wrong);
    }
    if wrong.is_empty() && resources::is_native(name) && name != "storage" {
        errors.not_supported(path, name, &["storage"]);
        return false;
    }
    wrong.is_empty()
}

fn warnings(claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if claim["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some() {
        warnings.push(format!(
            "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
    for side in ["requests", "limits"] {
        let amount = Quantity::of(&claim["spec"]["resources"][side]["storage"]);
        if amount.milli_value() % 1000 != 0 {
            warnings.push(format!(
                "spec.resources.{side}[storage]: fractional byte value {} is invalid, must be an integer",
                quote(&amount.to_string())
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text is a real cluster's.
    #[test]
    fn an_unbound_claim_does_not_change() {
        let old = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "local-path", "volumeMode": "Filesystem"}});
        let mut new = old.clone();
        new["spec"]["accessModes"] = json!(["ReadWriteMany"]);
        new["spec"]["volumeName"] = "x".into();
        new["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
        new["spec"]["resources"] = json!({"requests": {"storage": "1Mi"}, "limits": {"storage": "1Gi"}});
        let mut errors = Errors::new();
        validate_change(&old, &new, &mut errors);
        let expected = [
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
            "@@ -1,12 +1,18 @@",
            " {",
            "  \"AccessModes\": [",
            "-  \"ReadWriteOnce\"",
            "+  \"ReadWriteMany\"",
            "  ],",
            "- \"Selector\": null,",
            "+ \"Selector\": {",
            "+  \"matchLabels\": {",
            "+   \"a\": \"b\"",
            "+  }",
            "+ },",
            "  \"Resources\": {",
            "-  \"Limits\": null,",
            "+  \"Limits\": {",
            "+   \"storage\": \"1Gi\"",
            "+  },",
            "   \"Requests\": {",
            "-   \"storage\": \"1Gi\"",
            "+   \"storage\": \"1Mi\"",
            "   }",
            "  },",
            "  \"VolumeName\": \"x\",",
            "",
        ];
        assert_eq!(errors.aggregate().unwrap(), expected.join("\n"));
    }
}
