//! A custom resource as a table (`pkg/registry/customresource/tableconvertor`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;

/// A column of a custom resource's table.
#[derive(Debug)]
pub(crate) struct Column {
    definition: Value,
    kind: String,
    path: JsonPath,
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of `additionalPrinterColumns`, or the age alone. Columns from the first malformed one on are left out.
pub(crate) fn columns(version: &Value) -> Vec<Column> {
    let age = [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": CREATED})];
    let given = version["additionalPrinterColumns"].as_array().filter(|list| !list.is_empty());
    given.map_or(&age[..], Vec::as_slice).iter().map_while(Column::parse).collect()
}

/// `columnDefinitions`, the name first.
pub(crate) fn definitions(columns: &[Column]) -> Value {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
    std::iter::once(name).chain(columns.iter().map(|c| c.definition.clone())).collect()
}

/// The cells of an object's row.
pub(crate) fn cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().into();
    std::iter::once(name).chain(columns.iter().map(|c| c.cell(object, now))).collect()
}

impl Column {
    fn parse(column: &Value) -> Option<Self> {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        let description = match text("description") {
            empty if empty.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given,
        };
        let definition = json!({
            "name": text("name"),
            "type": text("type"),
            "format": text("format"),
            "description": description,
            "priority": column["priority"].as_i64().unwrap_or(0),
        });
        Some(Self { definition, kind: text("type"), path: JsonPath::parse(&path).ok()? })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Ok(found) = self.path.find(object) else { return Value::Null };
        let Some(value) = found.first() else { return Value::Null };
        match (self.kind.as_str(), value) {
            ("string", value) => printed(value).into(),
            ("integer", Value::Number(n)) => {
                #[allow(clippy::cast_possible_truncation)] // As Go converts.
                let whole = n.as_i64().or_else(|| n.as_f64().map(|f| f as i64));
                whole.into()
            }
            ("number", Value::Number(n)) => {
                // A float without a fraction is written without one.
                n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Null, plain_float), Value::from)
            }
            ("boolean", Value::Bool(_)) => (*value).clone(),
            ("date", Value::String(text)) => age(text, now).into(),
            _ => Value::Null,
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::float_cmp)]
fn plain_float(number: f64) -> Value {
    let whole = number as i64;
    if whole as f64 == number { whole.into() } else { number.into() }
}

/// A value as Go prints it.
pub(crate) fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Number(n) if n.is_f64() => super::validate::float(n.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

fn age(text: &str, now: Timestamp) -> String {
    if text.is_empty() || text == "null" {
        return "<unknown>".to_owned();
    }
    let Ok(then) = text.parse::<Timestamp>() else { return "<invalid>".to_owned() };
    human_duration(now.as_second() - then.as_second())
}

/// As apimachinery's `duration.HumanDuration` prints it.
fn human_duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |large: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{sub}") }
    };
    match (seconds, minutes, hours) {
        (s, ..) if s < 120 => format!("{s}s"),
        (s, m, _) if m < 10 => two(m, "m", s % 60, "s"),
        (_, m, _) if m < 180 => format!("{m}m"),
        (_, m, h) if h < 8 => two(h, "h", m % 60, "m"),
        (_, _, h) if h < 48 => format!("{h}h"),
        (_, _, h) if h < 192 => two(h / 24, "d", h % 24, "h"),
        (_, _, h) if h < 24 * 365 * 2 => format!("{}d", h / 24),
        (_, _, h) if h < 24 * 365 * 8 => two(h / 24 / 365, "y", h / 24 % 365, "d"),
        (_, _, h) => format!("{}y", h / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_their_columns_types() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "S", "type": "string", "jsonPath": ".spec.s"},
            {"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 1},
            {"name": "F", "type": "number", "jsonPath": ".spec.f"},
            {"name": "B", "type": "boolean", "jsonPath": ".spec.b"},
            {"name": "Gone", "type": "string", "jsonPath": ".spec.gone"},
            {"name": "List", "type": "string", "jsonPath": ".spec.list"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]});
        let columns = columns(&version);
        let object = json!({"metadata": {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"s": 5, "n": 3, "f": 1.5, "b": true, "list": ["a", 1]}});
        let now = "2024-01-01T00:03:05Z".parse().unwrap();
        assert_eq!(
            cells(&columns, &object, now),
            [json!("x"), json!("5"), json!(3), json!(1.5), json!(true), Value::Null, json!("[\"a\",1]"), json!("3m5s")]
        );
        assert_eq!(definitions(&columns)[2]["priority"], 1);
        assert_eq!(definitions(&columns)[1]["description"], "Custom resource definition column (in JSONPath format): .spec.s");
    }
}
