//! Objects inside of objects (`x-kubernetes-embedded-resource`): their kind, apiVersion and metadata are checked as if they
//! stood alone (`pkg/apiserver/schema/objectmeta`).

use serde_json::Value;

use super::schema::Schema;
use crate::field::{Errors, Path};
use crate::kinds::{meta, names};
use crate::schema::codec;
use crate::schema::table::builtin;

/// Brings the metadata of embedded objects into form. `unknown` gets the paths of what metadata does not know.
///
/// # Errors
///
/// When something is of another type than it must be.
pub(crate) fn coerce(value: &mut Value, schema: &Schema, unknown: &mut Vec<String>) -> Result<(), String> {
    walk(value, schema, &Path::root(), unknown)
}

fn walk(value: &mut Value, schema: &Schema, path: &Path, unknown: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if schema.embedded {
                    own(key, value, path, unknown)?;
                }
                if let Some(below) = schema.properties.get(key) {
                    walk(value, below, &path.child(key), unknown)?;
                } else if let Some(below) = schema.values() {
                    walk(value, below, &path.key(key), unknown)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for (i, item) in items.iter_mut().enumerate() {
                    walk(item, below, &path.index(i), unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn own(key: &str, value: &mut Value, path: &Path, unknown: &mut Vec<String>) -> Result<(), String> {
    let at = path.child(key);
    match key {
        "apiVersion" | "kind" if !value.is_string() => {
            let mut errors = Errors::new();
            errors.invalid(&at, value.clone(), "must be a string");
            Err(errors.aggregate().unwrap_or_default())
        }
        "metadata" => {
            let Some(ty) = builtin().types().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") else { return Ok(()) };
            let decoded = codec::decode(ty, value.clone()).map_err(|why| {
                let mut errors = Errors::new();
                errors.invalid(&at, value.clone(), &why.to_string());
                errors.aggregate().unwrap_or_default()
            })?;
            let names = decoded.strict.iter().filter_map(|text| text.strip_prefix("unknown field \"")?.strip_suffix('"'));
            unknown.extend(names.map(|name| format!("{at}.{name}")));
            *value = decoded.value;
            if let Some(metadata) = value.as_object_mut() {
                metadata.retain(|key, value| key != "creationTimestamp" || !value.is_null());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks what embedded objects say of themselves.
pub(crate) fn validate(value: &Value, schema: &Schema, path: &Path, errors: &mut Errors) {
    match value {
        Value::Object(map) => {
            if schema.embedded {
                validate_own(value, path, errors);
            }
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    validate(value, below, &path.child(key), errors);
                } else if let Some(below) = schema.values() {
                    validate(value, below, &path.key(key), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    validate(item, below, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn validate_own(object: &Value, path: &Path, errors: &mut Errors) {
    for key in ["apiVersion", "kind"] {
        if object.get(key).is_none() {
            errors.required(&path.child(key), "");
        }
    }
    if let Some(given) = object.get("apiVersion") {
        let at = path.child("apiVersion");
        match given.as_str() {
            None => errors.invalid(&at, given.clone(), "must be a string"),
            Some("") => errors.invalid(&at, "", "must not be empty"),
            Some(text) if text.matches('/').count() > 1 => {
                errors.invalid(&at, text, &format!("unexpected GroupVersion string: {text}"));
            }
            Some(_) => {}
        }
    }
    if let Some(given) = object.get("kind") {
        let at = path.child("kind");
        match given.as_str() {
            None => errors.invalid(&at, given.clone(), "must be a string"),
            Some("") => errors.invalid(&at, "", "must not be empty"),
            Some(text) => {
                let messages = names::dns1035(&text.to_lowercase());
                if !messages.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
                    errors.invalid(&at, text, &why);
                }
            }
        }
    }
    if let Some(metadata) = object.get("metadata").filter(|m| m.is_object()) {
        let mut metadata = metadata.clone();
        if metadata["name"].as_str().unwrap_or_default().is_empty() {
            // Embedded objects need no name.
            metadata["name"] = "fakename".into();
        }
        let namespaced = metadata["namespace"].as_str().is_some_and(|n| !n.is_empty());
        meta::validate_at(&metadata, namespaced, names::path_segment, &path.child("metadata"), errors);
    }
}
