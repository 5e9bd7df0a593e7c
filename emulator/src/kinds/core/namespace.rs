//! Namespaces (`pkg/registry/core/namespace/strategy.go`).

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::kinds::view::{keep, list, object, put, text};
use crate::kinds::{Rules, meta, names};

/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) const NAMESPACE: Rules = Rules {
    default: |namespace| {
        label(namespace);
        if let Some(status) = object(namespace, "status") {
            status.entry("phase").or_insert_with(|| "Active".into());
        }
        object(namespace, "spec");
    },
    prepare_create: |namespace| {
        put(namespace, "status", json!({"phase": "Active"}));
        let Some(spec) = object(namespace, "spec") else { return };
        let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
        if let Value::Array(finalizers) = finalizers
            && !finalizers.iter().any(|f| f == "kubernetes")
        {
            finalizers.push("kubernetes".into());
        }
    },
    validate,
    name: names::dns1123_label,
    prepare_update: |old, new| {
        keep(old, new, "status");
        keep(old, new, "spec");
    },
    validate_update: |old, new, errors| {
        meta::validate(new, false, names::dns1123_label, errors);
        validate(new, errors);
        meta::validate_update(old, new, errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let path = Path::new("status").child("Phase");
        let phase = text(&new["status"]["phase"]);
        if new["metadata"]["deletionTimestamp"].is_null() {
            if phase != "Active" {
                errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
            }
        } else if phase != "Terminating" {
            errors.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
    },
    canonicalize: label,
    fields: |namespace| {
        vec![
            ("status.phase", text(&namespace["status"]["phase"]).to_owned()),
            ("name", text(&namespace["metadata"]["name"]).to_owned()),
        ]
    },
    ..Rules::PLAIN
};

/// What is wrong with the finalizers that `namespaces/finalize` sets (`ValidateNamespaceFinalizeUpdate`).
pub(crate) fn validate_finalize(namespace: &Value, errors: &mut Errors) {
    let path = Path::new("spec").child("finalizers");
    for (i, finalizer) in list(&namespace["spec"]["finalizers"]).iter().enumerate() {
        validate_finalizer(text(finalizer), &path.index(i), errors);
    }
}

fn label(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if !text(&name).is_empty()
        && let Some(metadata) = namespace.get_mut("metadata")
        && let Some(labels) = object(metadata, "labels")
    {
        labels.insert(NAME_LABEL.into(), name);
    }
}

fn validate(namespace: &Value, errors: &mut Errors) {
    for finalizer in list(&namespace["spec"]["finalizers"]) {
        validate_finalizer(text(finalizer), &Path::new("spec").child("finalizers"), errors);
    }
}

fn validate_finalizer(name: &str, path: &Path, errors: &mut Errors) {
    for wrong in names::qualified(name) {
        errors.invalid(path, name, &wrong);
    }
    meta::validate_known_finalizer(name, path, errors);
}
