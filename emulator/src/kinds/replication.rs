//! ReplicationControllers, and what they share with the kinds of `apps`.

use serde_json::Value;

use super::pod::{self, nonnegative};
use super::view::{self, count, entries, fill, int, keep, put, same, set_generation, text};
use super::{Rules, meta, names};
use crate::field::{Errors, Path};

/// The rules of replicationcontrollers.
pub(super) fn rules() -> &'static Rules {
    &CONTROLLERS
}

static CONTROLLERS: Rules = Rules {
    default,
    prepare_create: |object| prepare_create(object),
    validate: |object, errors| validate(&object["spec"], &Path::new("spec"), errors),
    prepare_update,
    validate_update: |old, new, errors| {
        // The strategy validates twice, once as if for a create; the message tells each error once, the causes twice.
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate(&new["spec"], &Path::new("spec"), errors);
        meta::validate_update(old, new, errors);
        validate(&new["spec"], &Path::new("spec"), errors);
    },
    prepare_status: keep_spec,
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_status(&new["status"], "fullyLabeledReplicas", errors);
    },
    warnings: |new, old| template_warnings(new, old, true),
    fields: |object| vec![("status.replicas", int(&object["status"]["replicas"]).to_string())],
    ..Rules::PLAIN
};

fn default(object: &mut Value) {
    view::object(object, "spec");
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if count(&labels) > 0 {
        if count(&object["spec"]["selector"]) == 0
            && let Some(spec) = object.get_mut("spec")
        {
            put(spec, "selector", labels.clone());
        }
        take_labels(object, labels);
    }
    let Some(spec) = object.get_mut("spec") else { return };
    fill(spec, "replicas", 1);
    if let Some(template) = spec.get_mut("template").filter(|template| !template.is_null()) {
        pod::default_template(template);
    }
}

/// A template's labels are the object's when it has none.
pub(super) fn take_labels(object: &mut Value, labels: Value) {
    if count(&object["metadata"]["labels"]) == 0
        && count(&labels) > 0
        && let Some(metadata) = view::object(object, "metadata")
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

/// No status, the first generation, no fields of features that are off.
pub(super) fn prepare_create(object: &mut Value) {
    put(object, "status", empty());
    set_generation(object, 1);
    drop_disabled(object, &Value::Null);
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

fn drop_disabled(object: &mut Value, old: &Value) {
    let template = object.get_mut("spec").and_then(|spec| spec.get_mut("template"));
    let spec = template.and_then(|template| template.get_mut("spec"));
    pod::drop_disabled(spec, &old["spec"]["template"]["spec"]);
}

/// The status stays; a changed spec is a new generation.
pub(super) fn prepare_update(old: &Value, new: &mut Value) {
    keep(old, new, "status");
    drop_disabled(new, old);
    view::bump_generation(old, new);
}

/// The spec stays when the status is written.
pub(super) fn keep_spec(old: &Value, new: &mut Value) {
    keep(old, new, "spec");
}

/// Warnings of an object with a template in its spec, when it is new or changed.
pub(super) fn template_warnings(new: &Value, old: Option<&Value>, checks_name: bool) -> Vec<String> {
    let path = Path::new("spec").child("template");
    match old {
        Some(old) if old["metadata"]["generation"] == new["metadata"]["generation"] => Vec::new(),
        Some(_) => pod::template_warnings(&new["spec"]["template"], &path),
        None => {
            let name = pod::name_warning(new, "Pod names and hostnames").filter(|_| checks_name);
            name.into_iter().chain(pod::template_warnings(&new["spec"]["template"], &path)).collect()
        }
    }
}

fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    nonnegative(int(&spec["minReadySeconds"]), &path.child("minReadySeconds"), errors);
    let selector = &spec["selector"];
    if count(selector) == 0 {
        errors.required(&path.child("selector"), "");
    }
    nonnegative(int(&spec["replicas"]), &path.child("replicas"), errors);
    let (template, path) = (&spec["template"], path.child("template"));
    if template.is_null() {
        return errors.required(&path, "");
    }
    let labels = &template["metadata"]["labels"];
    if entries(selector).any(|(key, value)| labels.get(key) != Some(value)) {
        mismatch(labels, &path.child("metadata").child("labels"), errors);
    }
    pod::validate_template(template, &path, errors);
    validate_always_on(template, "ReplicationController", &path, errors);
}

/// The selector's complaint.
pub(super) fn mismatch(labels: &Value, path: &Path, errors: &mut Errors) {
    errors.invalid(path, labels.clone(), "`selector` does not match template `labels`");
}

/// Pods that are to be replaced restart always and have no deadline.
pub(super) fn validate_always_on(template: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let (spec, path) = (&template["spec"], path.child("spec"));
    let policy = text(&spec["restartPolicy"]);
    if policy != "Always" {
        errors.not_supported(&path.child("restartPolicy"), policy, &["Always"]);
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        let text = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.child("activeDeadlineSeconds"), &text);
    }
}

/// The counts of a status; `partial` is the one between all replicas and the ready ones.
pub(super) fn validate_status(status: &Value, partial: &str, errors: &mut Errors) {
    let path = Path::new("status");
    for field in ["replicas", partial, "readyReplicas", "availableReplicas", "observedGeneration", "terminatingReplicas"] {
        nonnegative(int(&status[field]), &path.child(field), errors);
    }
    no_more_than(status, &[partial, "readyReplicas", "availableReplicas"], errors);
}

/// None of these counts is more than all replicas, nor are more available than ready.
pub(super) fn no_more_than(status: &Value, fields: &[&str], errors: &mut Errors) {
    let path = Path::new("status");
    for field in fields {
        let number = int(&status[*field]);
        if number > int(&status["replicas"]) {
            errors.invalid(&path.child(field), number, "cannot be greater than status.replicas");
        }
    }
    let available = int(&status["availableReplicas"]);
    if available > int(&status["readyReplicas"]) {
        errors.invalid(&path.child("availableReplicas"), available, "cannot be greater than readyReplicas");
    }
}

/// `ValidateImmutableField`, for a value that Go prints as in the API.
pub(super) fn immutable(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    if !same(old, new) {
        errors.invalid(path, new.clone(), "field is immutable");
    }
}
