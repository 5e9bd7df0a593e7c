//! Writes that change nothing: apiserver's `endpoints/handlers/fieldmanager/equality.go`.

use serde_json::Value;

/// When nothing but times in `managedFields` differs, takes the old times, so that the write is none.
pub fn keep_times(old: &Value, new: &mut Value) {
    let entries = |object: &Value| object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned();
    let (Some(before), Some(after)) = (entries(old), entries(new)) else { return };
    if before.len() != after.len() || before == after {
        return;
    }
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("time");
        }
        entry
    };
    if before.iter().zip(&after).any(|(a, b)| timeless(a) != timeless(b)) {
        return;
    }
    let Some(entries) = new.pointer_mut("/metadata/managedFields") else { return };
    *entries = Value::Array(before);
    if new != old
        && let Some(entries) = new.pointer_mut("/metadata/managedFields")
    {
        *entries = Value::Array(after);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_when_nothing_else_differs() {
        let object =
            |time: &str, data: &str| json!({"data": data, "metadata": {"managedFields": [{"manager": "a", "time": time}]}});
        let old = object("1", "x");
        let mut new = object("2", "x");
        keep_times(&old, &mut new);
        assert_eq!(new, old);
        let mut new = object("2", "y");
        keep_times(&old, &mut new);
        assert_eq!(new, object("2", "y"));
    }
}
