//! Whether one JSON document holds of another: the question of everything that is "as it was asked for".
//!
//! An API server gives back more than it was sent (defaults, status, bookkeeping), so equality is too much to ask.

use serde_json::Value;

/// The path (dotted) of the first thing in `asked` that `found` lacks or has otherwise; none if all of it holds.
///
/// Objects may have more members than asked for, lists may not have more elements.
pub(crate) fn missing(asked: &Value, found: &Value) -> Option<String> {
    match (asked, found) {
        (Value::Object(asked), Value::Object(found)) => asked.iter().find_map(|(name, asked)| match found.get(name) {
            Some(found) => missing(asked, found).map(|path| join(name, &path)),
            // What is not there is as good as null.
            None if asked.is_null() => None,
            None => Some(name.clone()),
        }),
        (Value::Array(asked), Value::Array(found)) if asked.len() == found.len() => asked
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(index, (asked, found))| missing(asked, found).map(|path| join(&index.to_string(), &path))),
        (asked, found) if asked == found => None,
        _ => Some(String::new()),
    }
}

fn join(name: &str, path: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{name}.{path}") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::equal(json!({"a": 1}), json!({"a": 1}), None)]
    #[case::more_than_asked(json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}, "status": {}}), None)]
    #[case::null_is_absent(json!({"a": null}), json!({}), None)]
    #[case::absent(json!({"a": {"b": 1}}), json!({"a": {}}), Some("a.b"))]
    #[case::other_value(json!({"a": [{"b": 1}]}), json!({"a": [{"b": 2}]}), Some("a.0.b"))]
    #[case::longer_list(json!({"a": [1]}), json!({"a": [1, 2]}), Some("a"))]
    #[case::other_type(json!(1), json!("1"), Some(""))]
    fn tells_what_is_missing(#[case] asked: Value, #[case] found: Value, #[case] path: Option<&str>) {
        assert_eq!(missing(&asked, &found).as_deref(), path);
    }
}
