//! LabelSelectors as objects (`{"matchLabels": …, "matchExpressions": […]}`).

use serde_json::Value;

use super::names;
use crate::field::{Errors, Path};
use crate::selector::labels::{Operator, Requirement, Selector};

/// What `ValidateLabelSelector` finds wrong; nothing when the selector is absent.
pub(crate) fn validate(selector: &Value, path: &Path, errors: &mut Errors) {
    names::validate_labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    for (i, requirement) in list(&selector["matchExpressions"]).iter().enumerate() {
        validate_requirement(requirement, &path.child("matchExpressions").index(i), errors);
    }
}

fn validate_requirement(requirement: &Value, path: &Path, errors: &mut Errors) {
    let values = list(&requirement["values"]);
    match text(&requirement["operator"]) {
        "In" | "NotIn" => {
            if values.is_empty() {
                errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                errors.forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
        }
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    names::validate_label_name(text(&requirement["key"]), &path.child("key"), errors);
    for (i, value) in values.iter().map(text).enumerate() {
        for why in names::label_value(value) {
            errors.invalid(&path.child("values").index(i), value, &why);
        }
    }
}

/// What it selects (`LabelSelectorAsSelector`): nothing when it is absent, everything when it is empty. Its text is what
/// `Scale.status.selector` shows.
pub(crate) fn compile(selector: &Value) -> Result<Selector, String> {
    if selector.is_null() {
        return Ok(Selector::nothing());
    }
    let mut requirements = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        requirements.push(Requirement::new(key, Operator::Equals, vec![text(value).to_owned()])?);
    }
    for one in list(&selector["matchExpressions"]) {
        let operator = match text(&one["operator"]) {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(format!("{} is not a valid label selector operator", crate::field::quote(other))),
        };
        let values = list(&one["values"]).iter().map(|value| text(value).to_owned()).collect();
        requirements.push(Requirement::new(text(&one["key"]), operator, values)?);
    }
    Ok(Selector::new(requirements))
}

/// The text of a plain map of labels, such as a ReplicationController's selector: `a=1,b=2`.
pub(crate) fn map_text(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn compiles() {
        let selector = compile(&json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "Exists"}],
        }))
        .unwrap();
        assert_eq!(selector.to_string(), "a=1,b=2,c in (x,y),d");
        assert!(selector.matches(&json!({"a": "1", "b": "2", "c": "x", "d": ""})));
        assert!(!compile(&Value::Null).unwrap().matches(&json!({})));
        assert!(compile(&json!({})).unwrap().matches(&Value::Null));
    }

    #[test]
    fn validates() {
        let mut errors = Errors::new();
        let selector = json!({"matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "b", "operator": "Exists", "values": ["x"]},
            {"key": "c", "operator": "Foo"},
        ]});
        validate(&selector, &Path::new("s"), &mut errors);
        assert_eq!(
            errors.aggregate().unwrap(),
            "[s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', \
             s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', \
             s.matchExpressions[2].operator: Invalid value: \"Foo\": not a valid selector operator]"
        );
    }
}
