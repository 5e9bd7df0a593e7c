//! Annotations of pods that once were, or stand in for, fields.

use serde_json::Value;

use super::super::view::{entries, text};
use super::affinity;
use super::volumes::descending;
use crate::field::{Errors, Path};

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const LOCALHOST: &str = "localhost/";

/// `ValidatePodSpecificAnnotations`.
pub(super) fn validate(annotations: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    if let Some(value) = annotations.get(MIRROR)
        && text(&spec["nodeName"]).is_empty()
    {
        errors.invalid(&path.key(MIRROR), text(value), "must set spec.nodeName if mirror pod annotation is set");
    }
    let tolerations = text(&annotations[TOLERATIONS]);
    if !tolerations.is_empty() {
        match serde_json::from_str::<Value>(tolerations) {
            Ok(tolerations) => affinity::validate_tolerations(&tolerations, &path.child(TOLERATIONS), errors),
            Err(why) => errors.invalid(path, TOLERATIONS, &why.to_string()),
        }
    }
    if let Some(cost) = annotations.get(DELETION_COST).map(text) {
        // Neither a plus sign nor leading zeros.
        let is_plain = cost == "0" || cost.starts_with(['-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        if !is_plain || cost.parse::<i32>().is_err() {
            errors.invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer");
        }
    }
    if let Some(profile) = annotations.get(SECCOMP_POD) {
        validate_seccomp(text(profile), &path.child(SECCOMP_POD), errors);
    }
    for (key, profile) in entries(annotations).filter(|(key, _)| key.starts_with(SECCOMP_CONTAINER)) {
        validate_seccomp(text(profile), &path.child(key), errors);
    }
    for (key, profile) in entries(annotations) {
        let (Some(container), profile) = (key.strip_prefix(APP_ARMOR), text(profile)) else { continue };
        let mut is_known = false;
        super::visit(spec, path, |one, _| is_known |= text(&one["name"]) == container);
        if !is_known {
            errors.invalid(&path.key(key), container, "container not found");
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with(LOCALHOST) {
            let text = format!("invalid AppArmor profile name: {}", crate::field::quote(profile));
            errors.invalid(&path.key(key), profile, &text);
        }
    }
}

fn validate_seccomp(profile: &str, path: &Path, errors: &mut Errors) {
    if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match profile.strip_prefix(LOCALHOST) {
        Some(file) => descending(file, path, errors),
        None => errors.invalid(path, profile, "must be a valid seccomp profile"),
    }
}

/// `ValidatePodSpecificAnnotationUpdates`.
pub(super) fn validate_update(old: &Value, new: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    for (key, _) in entries(old).filter(|(key, value)| new.get(*key) != Some(value)) {
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(&path.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for (key, _) in entries(new).filter(|(key, _)| old.get(*key).is_none()) {
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(&path.key(key), "may not add AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path.key(key), "may not add mirror pod annotation");
        }
    }
    validate(new, spec, path, errors);
}

/// An annotation and the field that replaced it must say the same (`validateSeccompAnnotationsAndFields`,
/// `validateAppArmorAnnotationsAndFieldsMatchOnCreate`).
pub(super) fn validate_fields(annotations: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let of_pod = &spec["securityContext"]["seccompProfile"];
    let seccomp_path = path.child("securityContext").child("seccompProfile");
    validate_match(annotations.get(SECCOMP_POD), of_pod, "seccomp", &seccomp_path, errors);
    super::visit(spec, path, |container, path| {
        let annotation = annotations.get(format!("{SECCOMP_CONTAINER}{}", text(&container["name"])));
        let path = path.child("securityContext").child("seccompProfile");
        validate_match(annotation, &container["securityContext"]["seccompProfile"], "seccomp", &path, errors);
    });
    if text(&spec["os"]["name"]) == "windows" {
        return;
    }
    super::visit(spec, path, |container, path| {
        let annotation = annotations.get(format!("{APP_ARMOR}{}", text(&container["name"])));
        let own = &container["securityContext"]["appArmorProfile"];
        let profile = if own.is_null() { &spec["securityContext"]["appArmorProfile"] } else { own };
        let path = path.child("securityContext").child("appArmorProfile");
        validate_match(annotation, profile, "apparmor", &path, errors);
    });
}

fn validate_match(annotation: Option<&Value>, profile: &Value, what: &str, path: &Path, errors: &mut Errors) {
    let Some(annotation) = annotation.map(text) else { return };
    let same_type = match text(&profile["type"]) {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default"),
        "Localhost" => match annotation.strip_prefix(LOCALHOST) {
            Some(file) if profile["localhostProfile"].as_str() == Some(file) => true,
            Some(_) => {
                let text = format!("{what} profile in annotation and field must match");
                return errors.forbidden(&path.child("localhostProfile"), &text);
            }
            None => false,
        },
        _ => true,
    };
    if !same_type {
        errors.forbidden(&path.child("type"), &format!("{what} type in annotation and field must match"));
    }
}

/// The field that an AppArmor annotation stands for; null for a malformed one.
pub(super) fn app_armor_field(annotation: &str) -> Value {
    match annotation {
        "unconfined" => serde_json::json!({"type": "Unconfined"}),
        "runtime/default" => serde_json::json!({"type": "RuntimeDefault"}),
        _ => match annotation.strip_prefix(LOCALHOST) {
            Some(profile) if !profile.is_empty() => {
                serde_json::json!({"type": "Localhost", "localhostProfile": profile})
            }
            _ => Value::Null,
        },
    }
}
