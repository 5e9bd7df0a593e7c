//! What a patch makes of `kind` and `apiVersion` of a built-in object: the API server decodes what it has patched by them.

use serde_json::{Map, Value, json};

use super::go;
use crate::field::quote;
use crate::schema::codec;
use crate::schema::table::builtin;

/// The scheme of the built-in kinds is known to itself by where it was made.
const SCHEME: &str = "k8s.io/apimachinery@v1.34.1-k3s1/pkg/runtime/scheme.go:110";

/// Why a patched object is not of the kind that the present one is; none if it is. `Unversioned` when it has lost its version.
pub(crate) fn check(current: &Value, patched: &Value) -> Option<Identity> {
    let Value::Object(fields) = patched else {
        return Some(Identity::Wrong(unreadable(&format!(
            "{} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            go::json_kind(patched)
        ))));
    };
    for name in ["apiVersion", "kind"] {
        if let Some(other) = fields.get(name).filter(|value| !value.is_string() && !value.is_null()) {
            let what = format!("{} into Go struct field .{name} of type string", go::json_kind(other));
            return Some(Identity::Wrong(unreadable(&what)));
        }
    }
    let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text(patched, "apiVersion"), text(patched, "kind"));
    if version.matches('/').count() > 1 {
        return Some(Identity::Wrong(format!("unexpected GroupVersion string: {version}")));
    }
    if version.is_empty() {
        return Some(Identity::Unversioned(unknown_to_internal(fields)));
    }
    let kind = if kind.is_empty() { text(current, "kind") } else { kind };
    if version == text(current, "apiVersion") && kind == text(current, "kind") {
        return None;
    }
    let (group, number) = version.split_once('/').unwrap_or(("", &version));
    let elsewhere = matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
    let Some(ty) = builtin().type_of(group, number, &kind).filter(|_| !elsewhere) else {
        let (kind, version) = (quote(&kind), quote(&version));
        return Some(Identity::Wrong(format!("no kind {kind} is registered for version {version} in scheme {}", quote(SCHEME))));
    };
    Some(Identity::Wrong(match codec::decode(ty, patched.clone()) {
        Err(why) => why.to_string(),
        Ok(_) => {
            let current_version = text(current, "apiVersion");
            let package = match current_version.split_once('/') {
                Some((group, _)) => group.split('.').next().unwrap_or_default(),
                None => "core",
            };
            format!("converting ({number}.{kind}) to ({package}.{}): unknown conversion", text(current, "kind"))
        }
    }))
}

/// What became of an object's kind and version.
pub(crate) enum Identity {
    /// It cannot be decoded.
    Wrong(String),
    /// Without a version it is read as the internal form, which knows none of the names. These are the errors about that.
    Unversioned(Vec<String>),
}

impl Identity {
    /// What is left of an object that has lost its version.
    pub(crate) fn remains(current: &Value) -> Value {
        json!({"kind": current.get("kind"), "apiVersion": current.get("apiVersion"), "metadata": {}})
    }
}

fn unreadable(what: &str) -> String {
    format!("couldn't get version/kind; json parse error: json: cannot unmarshal {what}")
}

fn unknown_to_internal(fields: &Map<String, Value>) -> Vec<String> {
    fields
        .keys()
        .filter(|name| !matches!(name.as_str(), "kind" | "apiVersion"))
        .map(|name| format!("unknown field {}", quote(name)))
        .collect()
}
