//! Rules of `apiregistration.k8s.io` (`kube-aggregator/pkg/apis/apiregistration/validation/validation.go`).

use serde_json::{Value, json};

use super::core::config::decoded_len;
use super::view::{fill, flag, int, keep, list, put, text};
use super::{Rules, meta, names};
use crate::field::{Errors, Path, quote};

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "apiservices" => &API_SERVICE,
        _ => &Rules::PLAIN,
    }
}

const API_SERVICE: Rules = Rules {
    default: |service| {
        if let Some(reference) = service.pointer_mut("/spec/service") {
            fill(reference, "port", 443);
        }
    },
    prepare_create: |service| {
        let status = if service["spec"]["service"].is_null() {
            json!({"conditions": [{
                "type": "Available",
                "status": "True",
                "lastTransitionTime": meta::now(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            }]})
        } else {
            json!({})
        };
        put(service, "status", status);
    },
    validate,
    // What it must be depends on the spec: see `validate`.
    name: names::path_segment,
    prepare_update: |old, new| keep(old, new, "status"),
    validate_update: |old, new, errors| {
        meta::validate_plain_update(old, new, errors);
        meta::validate_plain(new, false, names::path_segment, errors);
        validate(new, errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_plain_update(old, new, errors);
        for (i, condition) in list(&new["status"]["conditions"]).iter().enumerate() {
            let status = text(&condition["status"]);
            if !matches!(status, "True" | "False" | "Unknown") {
                let path = Path::new("status").child("conditions").index(i).child("status");
                errors.not_supported(&path, status, &["True", "False", "Unknown"]);
            }
        }
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate(service: &Value, errors: &mut Errors) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let [group, version] = ["group", "version"].map(|field| text(&spec[field]));
    let (name, required) = (text(&service["metadata"]["name"]), format!("{version}.{group}"));
    if name != required && names::path_segment(name, false).is_empty() && !name.is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {}", quote(&required));
        errors.invalid(&Path::new("metadata").child("name"), name, &detail);
    }
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.required(&path.child("group"), detail);
    }
    if !group.is_empty() {
        for wrong in names::subdomain(group) {
            errors.invalid(&path.child("group"), group, &wrong);
        }
    }
    for wrong in names::dns1035(version) {
        errors.invalid(&path.child("version"), version, &wrong);
    }
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let priority = int(&spec[field]);
        if !(1..=most).contains(&priority) {
            errors.invalid(&path.child(field), priority, &format!("must be positive and less than {most}"));
        }
    }
    let (bundle, insecure) = (decoded_len(&spec["caBundle"]), flag(&spec["insecureSkipTLSVerify"]));
    let at_insecure = path.child("insecureSkipTLSVerify");
    let (reference, at) = (&spec["service"], path.child("service"));
    if reference.is_null() {
        if bundle > 0 {
            let detail = "local APIServices may not have a caBundle";
            errors.invalid(&path.child("caBundle"), format!("{bundle} bytes"), detail);
        }
        if insecure {
            errors.invalid(&at_insecure, true, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for field in ["namespace", "name"] {
        if text(&reference[field]).is_empty() {
            errors.required(&at.child(field), "");
        }
    }
    let port = int(&reference["port"]);
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        errors.invalid(&at.child("port"), port, &format!("port is not valid: {}", wrong.join(", ")));
    }
    if insecure && bundle > 0 {
        errors.invalid(&at_insecure, true, "may not be true if caBundle is present");
    }
}
