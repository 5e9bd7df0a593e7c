//! Probes and the hooks of a container's life.

use serde_json::Value;

use super::super::names;
use super::super::view::{count, int, list, text};
use super::{enumerated, nonnegative};
use crate::field::{Errors, Path};

/// `validateLivenessProbe` and its kin: all the probes of a container.
pub(super) fn validate_all(container: &Value, path: &Path, errors: &mut Errors) {
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (probe, path) = (&container[kind], path.child(kind));
        if probe.is_null() {
            continue;
        }
        validate(probe, &path, errors);
        let grace = &probe["terminationGracePeriodSeconds"];
        if kind == "readinessProbe" {
            if !grace.is_null() {
                let text = "must not be set for readinessProbes";
                errors.invalid(&path.child("terminationGracePeriodSeconds"), grace.clone(), text);
            }
        } else if int(&probe["successThreshold"]) != 1 {
            errors.invalid(&path.child("successThreshold"), int(&probe["successThreshold"]), "must be 1");
        }
    }
}

fn validate(probe: &Value, path: &Path, errors: &mut Errors) {
    // A probe has no grace period for `sleep`, nor `sleep`.
    validate_handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], None, path, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        nonnegative(int(&probe[field]), &path.child(field), errors);
    }
    if let Some(grace) = probe["terminationGracePeriodSeconds"].as_i64()
        && grace <= 0
    {
        errors.invalid(&path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0");
    }
}

/// `validateLifecycle`.
pub(super) fn validate_lifecycle(lifecycle: &Value, grace: Option<i64>, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if !lifecycle[hook].is_null() {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            validate_handler(&lifecycle[hook], &kinds, grace, &path.child(hook), errors);
        }
    }
}

fn validate_handler(handler: &Value, kinds: &[&str], grace: Option<i64>, path: &Path, errors: &mut Errors) {
    let mut found = false;
    for kind in kinds.iter().filter(|kind| !handler[**kind].is_null()) {
        let (action, path) = (&handler[*kind], path.child(kind));
        if found {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *kind {
            "exec" => {
                if count(&action["command"]) == 0 {
                    errors.required(&path.child("command"), "");
                }
            }
            "httpGet" => validate_http_get(action, &path, errors),
            "sleep" => {
                let seconds = int(&action["seconds"]);
                if let Some(grace) = grace
                    && !(0..=grace).contains(&seconds)
                {
                    let text = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.invalid(&path, seconds, &text);
                }
            }
            _ => validate_port(&action["port"], &path.child("port"), errors),
        }
    }
    if !found {
        errors.required(path, "must specify a handler type");
    }
}

fn validate_http_get(action: &Value, path: &Path, errors: &mut Errors) {
    if text(&action["path"]).is_empty() {
        errors.required(&path.child("path"), "");
    }
    validate_port(&action["port"], &path.child("port"), errors);
    enumerated(&action["scheme"], &["HTTP", "HTTPS"], &path.child("scheme"), errors);
    for header in list(&action["httpHeaders"]) {
        let name = text(&header["name"]);
        for why in names::http_header(name) {
            errors.invalid(&path.child("httpHeaders"), name, &why);
        }
    }
}

/// `ValidatePortNumOrName`.
fn validate_port(port: &Value, path: &Path, errors: &mut Errors) {
    match port {
        Value::String(name) => {
            for why in names::port_name(name) {
                errors.invalid(path, name.as_str(), &why);
            }
        }
        _ => {
            for why in names::port_number(int(port)) {
                errors.invalid(path, int(port), &why);
            }
        }
    }
}
