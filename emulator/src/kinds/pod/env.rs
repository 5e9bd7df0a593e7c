//! Environment variables and where their values come from, and what the downward API can tell.

use serde_json::Value;

use super::super::names;
use super::super::quantity::Quantity;
use super::super::view::{list, text};
use super::volumes::no_backsteps;
use crate::field::{Errors, Path, quote};

/// Since 1.34 (RelaxedEnvironmentVariableValidation) nearly any name goes (`IsRelaxedEnvVarName`).
fn name_errors(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if name.chars().any(|c| !matches!(c, ' '..='~') || c == '=') {
        let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        wrong.push(why.to_owned());
    }
    wrong
}

/// `ValidateEnv`.
pub(super) fn validate(variables: &[Value], path: &Path, errors: &mut Errors) {
    for (i, variable) in variables.iter().enumerate() {
        let (name, path) = (text(&variable["name"]), path.index(i));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        for why in name_errors(name).iter().filter(|_| !name.is_empty()) {
            errors.invalid(&path.child("name"), name, why);
        }
        validate_source(variable, &path.child("valueFrom"), errors);
    }
}

fn validate_source(variable: &Value, path: &Path, errors: &mut Errors) {
    let from = &variable["valueFrom"];
    if from.is_null() {
        return;
    }
    const FIELDS: [&str; 9] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let mut sources = 0;
    type Check = fn(&Value, &Path, &mut Errors);
    let checks: [(&str, Check); 5] = [
        ("fieldRef", |from, path, errors| validate_field_ref(from, &FIELDS, path, errors)),
        ("resourceFieldRef", |from, path, errors| validate_resource_ref(from, false, path, errors)),
        ("configMapKeyRef", validate_key_ref),
        ("secretKeyRef", validate_key_ref),
        ("fileKeyRef", validate_file_ref),
    ];
    for (kind, check) in checks {
        if !from[kind].is_null() {
            sources += 1;
            check(&from[kind], &path.child(kind), errors);
        }
    }
    if sources == 0 {
        let text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.invalid(path, "", text);
    } else if !text(&variable["value"]).is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

/// `a['b']` as a and b.
fn subscript(field: &str) -> Option<(&str, &str)> {
    field.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// `ConvertDownwardAPIFieldLabel`: the field's name inside Kubernetes.
fn internal_name<'a>(version: &str, field: &'a str) -> Result<&'a str, String> {
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    if let Some((path, _)) = subscript(field) {
        return match path {
            "metadata.annotations" | "metadata.labels" => Ok(field),
            _ => Err(format!("field label does not support subscript: {field}")),
        };
    }
    match field {
        "metadata.annotations"
        | "metadata.labels"
        | "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.nodeName"
        | "spec.restartPolicy"
        | "spec.serviceAccountName"
        | "spec.schedulerName"
        | "status.phase"
        | "status.hostIP"
        | "status.hostIPs"
        | "status.podIP"
        | "status.podIPs" => Ok(field),
        "spec.host" => Ok("spec.nodeName"),
        _ => Err(format!("field label not supported: {field}")),
    }
}

/// `validateObjectFieldSelector`; `known` are the fields without a subscript.
pub(super) fn validate_field_ref(selector: &Value, known: &[&str], path: &Path, errors: &mut Errors) {
    let (version, field) = (text(&selector["apiVersion"]), text(&selector["fieldPath"]));
    if version.is_empty() {
        return errors.required(&path.child("apiVersion"), "");
    }
    if field.is_empty() {
        return errors.required(&path.child("fieldPath"), "");
    }
    let name = match internal_name(version, field) {
        Ok(name) => name,
        Err(why) => return errors.invalid(&path.child("fieldPath"), field, &format!("error converting fieldPath: {why}")),
    };
    match subscript(name) {
        Some(("metadata.annotations", key)) => names::validate_label_name(&key.to_lowercase(), path, errors),
        Some((_, key)) => names::validate_label_name(key, path, errors),
        None if !known.contains(&name) => errors.not_supported(&path.child("fieldPath"), name, known),
        None => {}
    }
}

const RESOURCES: [&str; 6] =
    ["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

/// `validateContainerResourceFieldSelector`.
pub(super) fn validate_resource_ref(selector: &Value, of_volume: bool, path: &Path, errors: &mut Errors) {
    let resource = text(&selector["resource"]);
    let is_huge_pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if of_volume && text(&selector["containerName"]).is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !RESOURCES.contains(&resource) && !is_huge_pages {
        errors.not_supported(&path.child("resource"), resource, &RESOURCES);
    }
    let divisor = Quantity::of(&selector["divisor"]);
    if divisor.is_zero() {
        return;
    }
    let (allowed, what): (&[&str], _) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&BYTES, "local ephemeral storage"),
        _ if is_huge_pages => (&BYTES, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&divisor.to_string().as_str()) {
        let all = if what == "cpu" { "1m and 1".to_owned() } else { allowed.join(", ") };
        let text = format!("only divisor's values {all} are supported with the {what} resource");
        errors.invalid(&path.child("divisor"), resource, &text);
    }
}

const BYTES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `validateConfigMapKeySelector` and its twin for secrets.
fn validate_key_ref(selector: &Value, path: &Path, errors: &mut Errors) {
    let (name, key) = (text(&selector["name"]), text(&selector["key"]));
    for why in names::subdomain(name) {
        errors.invalid(&path.child("name"), name, &why);
    }
    if key.is_empty() {
        return errors.required(&path.child("key"), "");
    }
    for why in names::config_key(key) {
        errors.invalid(&path.child("key"), key, &why);
    }
}

fn validate_file_ref(selector: &Value, path: &Path, errors: &mut Errors) {
    let [key, volume, file] = ["key", "volumeName", "path"].map(|field| text(&selector[field]));
    if key.is_empty() {
        errors.required(&path.child("key"), "");
    } else {
        for why in name_errors(key) {
            errors.invalid(&path.child("key"), key, &why);
        }
    }
    if volume.is_empty() {
        errors.required(&path.child("volumeName"), "");
    } else {
        for why in names::label(volume) {
            errors.invalid(&path.child("volumeName"), volume, &why);
        }
    }
    if file.is_empty() {
        errors.required(&path.child("path"), "");
    } else {
        no_backsteps(file, &path.child("path"), errors);
    }
}

/// `ValidateEnvFrom`.
pub(super) fn validate_from(sources: &[Value], path: &Path, errors: &mut Errors) {
    for (i, source) in sources.iter().enumerate() {
        let own_path = path.index(i);
        let prefix = text(&source["prefix"]);
        for why in name_errors(prefix).iter().filter(|_| !prefix.is_empty()) {
            errors.invalid(&own_path.child("prefix"), prefix, why);
        }
        let mut found = 0;
        for kind in ["configMapRef", "secretRef"] {
            if source[kind].is_null() {
                continue;
            }
            found += 1;
            let (name, path) = (text(&source[kind]["name"]), own_path.child(kind).child("name"));
            if name.is_empty() {
                errors.required(&path, "");
            } else {
                for why in names::dns1123_subdomain(name, true) {
                    errors.invalid(&path, name, &why);
                }
            }
        }
        if found == 0 {
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if found > 1 {
            errors.invalid(path, "", "may not have more than one field specified at a time");
        }
    }
}

/// What redefinitions of variables warn of.
pub(super) fn warnings(variables: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, variable) in list(variables).iter().enumerate() {
        let (name, value) = (text(&variable["name"]), text(&variable["value"]));
        if !seen.contains(&name) {
            seen.push(name);
            continue;
        }
        // A value that builds on the previous one is meant; a reference to itself alone is not.
        let reference = format!("$({name})");
        if !variable["valueFrom"].is_null() || value == reference || !value.contains(&reference) {
            let path = path.index(i);
            let name = quote(name);
            warnings.push(format!("{path}: hides previous definition of {name}, which may be dropped when using apply"));
        }
    }
}
