//! JSON merge patch (RFC 7386).

use serde_json::Value;

use super::without_nulls;

/// Merges a patch into a document; null removes. What is new comes without the nulls in it.
pub(crate) fn merge(document: &mut Value, patch: Value) {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => {
            for (name, value) in patch {
                match (value, document.get_mut(&name)) {
                    (Value::Null, _) => drop(document.remove(&name)),
                    (value, None | Some(Value::Null)) => drop(document.insert(name, without_nulls(value))),
                    (value, Some(current)) => merge(current, value),
                }
            }
        }
        // The library takes what replaces an object as it is.
        (document @ Value::Object(_), patch) => *document = patch,
        (document, patch) => *document = without_nulls(patch),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // RFC 7386, appendix A, and gopkg.in/evanphx/json-patch.v4/merge_test.go
    #[rstest]
    #[case(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}))]
    #[case(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}))]
    #[case(json!({"a": "b"}), json!({"a": null}), json!({}))]
    #[case(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}))]
    #[case(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}))]
    #[case(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}))]
    #[case(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}))]
    #[case(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}))]
    #[case(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}))]
    #[case(json!({"a": {}}), json!({"a": [{"b": null}]}), json!({"a": [{"b": null}]}))]
    #[case(json!({"a": 1}), json!({"a": {"b": null, "c": [null, {"d": null}]}}), json!({"a": {"c": [null, {}]}}))]
    fn merges(#[case] mut document: Value, #[case] patch: Value, #[case] expected: Value) {
        merge(&mut document, patch);
        assert_eq!(document, expected);
    }
}
