//! Reading and amending decoded objects without ceremony. An absent field and one of an unexpected type read as empty.

use serde_json::{Map, Value};

use crate::field::{Errors, Kind, Path};

/// A string, or "".
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, or none.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The entries of an object, or none.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// How many items or entries, or characters.
pub(crate) fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::String(text) => text.len(),
        _ => 0,
    }
}

/// An integer, or 0.
pub(crate) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Whether it is `true`.
pub(crate) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

/// A copy of the field, for [`put`].
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| &value[*key])
}

/// The fields below, for changes; the field is made when it is absent. None when it is there and no object.
pub(crate) fn object<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// The items of a list, for changes; none when it is absent.
pub(crate) fn items<'a>(value: &'a mut Value, key: &str) -> std::slice::IterMut<'a, Value> {
    match value.get_mut(key) {
        Some(Value::Array(items)) => items.iter_mut(),
        _ => [].iter_mut(),
    }
}

/// Sets a field that is absent. Nothing happens to what is no object.
pub(crate) fn fill(value: &mut Value, key: &str, default: impl Into<Value>) {
    if let Value::Object(fields) = value
        && fields.get(key).is_none_or(Value::is_null)
    {
        fields.insert(key.to_owned(), default.into());
    }
}

/// Sets a field that is absent or "".
pub(crate) fn fill_text(value: &mut Value, key: &str, default: &str) {
    if text(&value[key]).is_empty() {
        remove(value, key);
        fill(value, key, default);
    }
}

/// Sets a field, or removes it when the new value is null.
pub(crate) fn put(value: &mut Value, key: &str, new: Value) {
    if let Value::Object(fields) = value {
        if new.is_null() {
            fields.remove(key);
        } else {
            fields.insert(key.to_owned(), new);
        }
    }
}

/// Removes a field.
pub(crate) fn remove(value: &mut Value, key: &str) {
    if let Value::Object(fields) = value {
        fields.remove(key);
    }
}

/// Makes a field what it is in the other.
pub(crate) fn keep(old: &Value, new: &mut Value, key: &str) {
    put(new, key, old[key].clone());
}

/// Sets `metadata.generation`.
pub(crate) fn set_generation(value: &mut Value, generation: i64) {
    if let Some(metadata) = object(value, "metadata") {
        metadata.insert("generation".to_owned(), generation.into());
    }
}

/// What most kinds with a generation do on an update: one more when the spec changed.
pub(crate) fn bump_generation(old: &Value, new: &mut Value) {
    bump_on(old, new, "spec");
}

/// One more generation when that field changed.
pub(crate) fn bump_on(old: &Value, new: &mut Value, field: &str) {
    if !same(&old[field], &new[field]) {
        set_generation(new, int(&old["metadata"]["generation"]) + 1);
    }
}

/// Whether two values are equal as `apiequality.Semantic` sees it: null, {} and [] are alike where either is absent.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    fn empty(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            _ => false,
        }
    }
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter().all(|(key, value)| same(value, y.get(key).unwrap_or(&Value::Null)))
                && y.iter().all(|(key, value)| x.contains_key(key) || empty(value))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        _ => a == b || (empty(a) && empty(b)),
    }
}

/// ValidateImmutableField.
pub(crate) fn immutable(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    if !same(old, new) {
        errors.invalid(path, new.clone(), "field is immutable");
    }
}

/// An invalid value that Go prints in its own way: `shown` is printed as it is.
pub(crate) fn invalid_shown(errors: &mut Errors, path: &Path, shown: &str, detail: &str) {
    errors.other(Kind::Invalid, &path.to_string(), format!("Invalid value: {shown}: {detail}"));
}

/// Go's `%#v` of a list of strings.
pub(crate) fn go_strings<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = all.map(crate::field::quote).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}
