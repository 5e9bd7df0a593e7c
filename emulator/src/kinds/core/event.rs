//! Events (`pkg/registry/core/event/strategy.go`, `pkg/apis/core/validation/events.go`). They are served by two groups and stored
//! in the form of the core group, which the validation knows.

use serde_json::{Map, Value};

use crate::field::{Errors, Path};
use crate::kinds::view::{count, immutable, int, same, text};
use crate::kinds::{Rules, meta, names};

/// By `v1`.
pub(crate) const EVENT: Rules = Rules {
    validate: |event, errors| validate_any(event, "reportingComponent", errors),
    validate_update: |_, new, errors| validate_any(new, "reportingComponent", errors),
    fields,
    allow_create_on_update: true,
    ..Rules::PLAIN
};

/// By `events.k8s.io/v1`, which is stricter; given objects of either form.
pub(crate) const STRICT_EVENT: Rules = Rules {
    validate: |event, errors| {
        let event = to_core(event);
        validate_any(&event, "reportingController", errors);
        validate_strict(&event, errors);
    },
    validate_update: |old, new, errors| {
        let (old, new) = (to_core(old), to_core(new));
        validate_any(&new, "reportingController", errors);
        validate_strict_change(&old, &new, errors);
    },
    fields: |event| fields(&to_core(event)),
    ..EVENT
};

/// The names of fields: `events.k8s.io/v1`, `v1`.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];
/// What the core group writes even when it is empty: maps, times and texts.
const ALWAYS: [&str; 3] = ["involvedObject", "source", "metadata"];

fn rename(event: &Value, pairs: impl Fn(&str) -> Option<&'static str>) -> Map<String, Value> {
    let fields = event.as_object().into_iter().flatten();
    fields.map(|(key, value)| (pairs(key).map_or_else(|| key.clone(), str::to_owned), value.clone())).collect()
}

/// From `events.k8s.io/v1` to the form of `v1`.
pub(crate) fn to_core(event: &Value) -> Value {
    let mut fields = rename(event, |key| NAMES.iter().find(|(new, _)| *new == key).map(|(_, core)| *core));
    if fields.contains_key("apiVersion") {
        fields.insert("apiVersion".into(), "v1".into());
    }
    for name in ALWAYS {
        fields.entry(name).or_insert_with(|| Map::new().into());
    }
    for name in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        fields.entry(name).or_insert(Value::Null);
    }
    for name in ["reportingComponent", "reportingInstance"] {
        fields.entry(name).or_insert_with(|| "".into());
    }
    fields.into()
}

/// From the form of `v1` to `events.k8s.io/v1`.
pub(crate) fn from_core(event: &Value) -> Value {
    let mut fields = rename(event, |key| NAMES.iter().find(|(_, core)| *core == key).map(|(new, _)| *new));
    if fields.contains_key("apiVersion") {
        fields.insert("apiVersion".into(), "events.k8s.io/v1".into());
    }
    for name in ["reportingController", "reportingInstance"] {
        if fields.get(name).is_some_and(|value| value == "") {
            fields.remove(name);
        }
    }
    fields.into()
}

fn fields(event: &Value) -> Vec<(&'static str, String)> {
    let object = &event["involvedObject"];
    let source = match text(&event["source"]["component"]) {
        "" => text(&event["reportingComponent"]),
        component => component,
    };
    vec![
        ("involvedObject.kind", text(&object["kind"]).to_owned()),
        ("involvedObject.namespace", text(&object["namespace"]).to_owned()),
        ("involvedObject.name", text(&object["name"]).to_owned()),
        ("involvedObject.uid", text(&object["uid"]).to_owned()),
        ("involvedObject.apiVersion", text(&object["apiVersion"]).to_owned()),
        ("involvedObject.resourceVersion", text(&object["resourceVersion"]).to_owned()),
        ("involvedObject.fieldPath", text(&object["fieldPath"]).to_owned()),
        ("reason", text(&event["reason"]).to_owned()),
        ("reportingComponent", text(&event["reportingComponent"]).to_owned()),
        ("source", source.to_owned()),
        ("type", text(&event["type"]).to_owned()),
    ]
}

/// legacyValidateEvent.
fn validate_any(event: &Value, controller_field: &str, errors: &mut Errors) {
    let (namespace, object) = (text(&event["metadata"]["namespace"]), text(&event["involvedObject"]["namespace"]));
    let timed = !event["eventTime"].is_null();
    let agrees = match (object, namespace) {
        ("", "default") => true,
        ("", "") => !timed,
        ("", "kube-system") => timed,
        ("", _) => false,
        (object, namespace) => timed || object == namespace,
    };
    if !agrees {
        let path = Path::new("involvedObject").child("namespace");
        errors.invalid(&path, object, "does not match event.namespace");
    }
    if timed {
        let controller = text(&event["reportingComponent"]);
        let path = Path::new(controller_field);
        if controller.is_empty() {
            errors.required(&path, "");
        }
        for wrong in names::qualified(controller) {
            errors.invalid(&path, controller, &wrong);
        }
        for field in ["reportingInstance", "action", "reason"] {
            let value = text(&event[field]);
            if value.is_empty() {
                errors.required(&Path::new(field), "");
            }
            if value.len() > 128 {
                errors.invalid(&Path::new(field), "", "can have at most 128 characters");
            }
        }
        if text(&event["message"]).len() > 1024 {
            errors.invalid(&Path::new("message"), "", "can have at most 1024 characters");
        }
    }
    for wrong in names::subdomain(namespace) {
        errors.invalid(&Path::new("namespace"), namespace, &wrong);
    }
}

fn validate_series(event: &Value, errors: &mut Errors) {
    let series = &event["series"];
    if series.is_null() {
        return;
    }
    if int(&series["count"]) < 2 {
        errors.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    if series["lastObservedTime"].is_null() {
        errors.required(&Path::new("series.lastObservedTime"), "");
    }
}

fn validate_strict(event: &Value, errors: &mut Errors) {
    meta::validate(event, true, names::dns1123_subdomain, errors);
    validate_series(event, errors);
    if event["eventTime"].is_null() {
        errors.required(&Path::new("eventTime"), "");
    }
    let kind = text(&event["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&Path::new("type"), "", &format!("has invalid value: {kind}"));
    }
    let unset = "needs to be unset";
    for field in ["firstTimestamp", "lastTimestamp"] {
        if !event[field].is_null() {
            errors.invalid(&Path::new(field), "", unset);
        }
    }
    if int(&event["count"]) != 0 {
        errors.invalid(&Path::new("count"), "", unset);
    }
    if count(&event["source"]["component"]) + count(&event["source"]["host"]) > 0 {
        errors.invalid(&Path::new("source"), "", unset);
    }
}

fn validate_strict_change(old: &Value, new: &Value, errors: &mut Errors) {
    meta::validate_update(old, new, errors);
    if !same(&old["series"], &new["series"]) {
        validate_series(new, errors);
    }
    for field in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
    ] {
        immutable(&old[field], &new[field], &Path::new(field), errors);
    }
    immutable(&old["reportingComponent"], &new["reportingComponent"], &Path::new("reportingController"), errors);
    immutable(&old["reportingInstance"], &new["reportingInstance"], &Path::new("reportingInstance"), errors);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms() {
        let event = json!({"metadata": {"name": "e", "namespace": "default"}, "note": "n", "regarding": {"kind": "Pod"},
            "reportingController": "c", "reportingInstance": "i", "eventTime": "2026-01-01T00:00:00.000000Z"});
        let core = to_core(&event);
        assert_eq!(core["message"], "n");
        assert_eq!(core["firstTimestamp"], Value::Null);
        assert_eq!(core["source"], json!({}));
        assert_eq!(from_core(&core)["regarding"], json!({"kind": "Pod"}));
    }
}
