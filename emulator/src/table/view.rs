//! Reading an object as Go's printers read a struct: what is absent, null or of another type is the zero value.

use jiff::Timestamp;
use serde_json::Value;

use super::duration;

static NULL: Value = Value::Null;

/// The value at a JSON pointer.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&NULL)
}

pub(super) fn is_set(value: &Value, pointer: &str) -> bool {
    !at(value, pointer).is_null()
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or("")
}

/// The text there, or `otherwise` when it is absent or empty.
pub(super) fn text_or<'a>(value: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    match text(value, pointer) {
        "" => otherwise,
        text => text,
    }
}

/// The text there, or `otherwise` when it is absent: an empty one stays.
pub(super) fn optional<'a>(value: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    at(value, pointer).as_str().unwrap_or(otherwise)
}

pub(super) fn integer(value: &Value, pointer: &str) -> i64 {
    at(value, pointer).as_i64().unwrap_or(0)
}

pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    at(value, pointer).as_bool().unwrap_or(false)
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map, sorted by key.
pub(super) fn entries<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    at(value, pointer).as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// How many items a list or a map has.
pub(super) fn count(value: &Value, pointer: &str) -> usize {
    match at(value, pointer) {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(super) fn age(object: &Value, now: Timestamp) -> String {
    duration::since(at(object, "/metadata/creationTimestamp"), now)
}

pub(super) fn is_deleted(object: &Value) -> bool {
    is_set(object, "/metadata/deletionTimestamp")
}

/// A quantity; the canonical form is what objects hold.
pub(super) fn quantity<'a>(value: &'a Value, pointer: &str) -> &'a str {
    text_or(value, pointer, "0")
}

/// The condition of that type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}

/// Texts of the items of a list, with commas.
pub(super) fn joined(value: &Value, pointer: &str) -> String {
    let items: Vec<&str> = list(value, pointer).iter().map(|item| item.as_str().unwrap_or("")).collect();
    items.join(",")
}

/// The first few of many: `a,b,c + 2 more...` (`listWithMoreString`).
pub(super) fn few(mut items: Vec<String>, max: usize, separator: &str) -> String {
    let more = items.len().saturating_sub(max);
    items.truncate(max);
    let shown = items.join(separator);
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

/// Labels as `labels.FormatLabels` writes them.
pub(super) fn labels(value: &Value, pointer: &str) -> String {
    let pairs: Vec<_> = entries(value, pointer).map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    none_if_empty(pairs.join(","))
}

pub(super) fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

/// `labels.Selector.String()` of a `LabelSelector`; none when the selector is not valid.
pub(super) fn selector(selector: &Value) -> Option<String> {
    let mut requirements: Vec<(&str, String)> =
        entries(selector, "/matchLabels").map(|(key, value)| (key, format!("{key}={}", value.as_str().unwrap_or("")))).collect();
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let mut values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let operator = text(expression, "/operator");
        let requirement = match (operator, values.is_empty()) {
            ("In", false) => format!("{key} in ({})", values.join(",")),
            ("NotIn", false) => format!("{key} notin ({})", values.join(",")),
            ("Exists", true) => key.into(),
            ("DoesNotExist", true) => format!("!{key}"),
            _ => return None,
        };
        requirements.push((key, requirement));
    }
    requirements.sort_by_key(|(key, _)| *key);
    Some(requirements.into_iter().map(|(_, requirement)| requirement).collect::<Vec<_>>().join(","))
}

/// `metav1.FormatLabelSelector`.
pub(super) fn formatted_selector(value: &Value, pointer: &str) -> String {
    selector(at(value, pointer)).map_or_else(|| "<error>".into(), none_if_empty)
}

/// The names and the images of a pod template's containers.
pub(super) fn containers(spec: &Value) -> (String, String) {
    let all = |field| {
        let texts: Vec<&str> = list(spec, "/containers").iter().map(|container| text(container, field)).collect();
        texts.join(",")
    };
    (all("/name"), all("/image"))
}
