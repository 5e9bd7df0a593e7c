//! What the API answers instead of an object: a `Status`, as apimachinery's `api/errors` words it.

use serde_json::{Value, json};

use crate::field::{Errors, quote};

/// One reason among several that a request was refused (`metav1.StatusCause`).
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldManagerConflict`, ...; empty when the server gives none.
    pub reason: String,
    /// What is wrong, for people.
    pub message: String,
    /// The path of the field, when it is about one.
    pub field: String,
}

/// A refused or failed request. Its JSON form is what a client receives.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason: `NotFound`, `Conflict`, ...; empty when the server gives none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// `details`, when there are any; `{}` is written as such.
    pub details: Option<Value>,
    /// `metadata` of the Status: `{}` but for a few.
    pub metadata: Value,
}

fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = serde_json::Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.into(), value.into());
        }
    }
    Value::Object(details)
}

impl Refusal {
    /// Any other: `code` and `reason` as HTTP and `metav1.StatusReason` have them.
    #[must_use]
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: None, metadata: json!({}) }
    }

    /// The same with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// 404 for one object; `resource` is the plural.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {} not found", qualified(group, resource), quote(name)))
            .with_details(details(group, resource, name))
    }

    /// 409 on a create.
    #[must_use]
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {} already exists", qualified(group, resource), quote(name)))
            .with_details(details(group, resource, name))
    }

    /// 409 on an update.
    #[must_use]
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {}: {why}", qualified(group, resource), quote(name));
        Self::new(409, "Conflict", message).with_details(details(group, resource, name))
    }

    /// 403. Without a name the message speaks of the resource alone.
    #[must_use]
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", qualified(group, resource)),
            _ => format!("{} {} is forbidden: {why}", qualified(group, resource), quote(name)),
        };
        Self::new(403, "Forbidden", message).with_details(details(group, resource, name))
    }

    /// 422 with a cause per error. `kind` is the kind, not the resource.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> Self {
        let what = format!("{} {} is invalid", qualified(group, kind), quote(name));
        let message = match errors.aggregate() {
            Some(all) => format!("{what}: {all}"),
            None => what,
        };
        let mut details = details(group, kind, name);
        if !errors.is_empty() {
            details["causes"] = errors.causes();
        }
        Self::new(422, "Invalid", message).with_details(details)
    }

    /// 400.
    #[must_use]
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", why)
    }

    /// 500, in the words of `NewInternalError`.
    #[must_use]
    pub fn internal(why: &str) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {why}"))
            .with_details(json!({"causes": [{"message": why}]}))
    }

    /// 405.
    #[must_use]
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {}", quote(&qualified(group, resource)));
        Self::new(405, "MethodNotAllowed", message).with_details(details(group, resource, ""))
    }

    /// The body that a client receives.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "code": self.code,
        });
        if !self.message.is_empty() {
            status["message"] = self.message.clone().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.clone().into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}
