//! The suffix by which the name of a generated object changes with its content. Ported from `api/hasher/hasher.go`.

use serde_json::{Map, Value, json};

use super::{node::Node, resource::Resource};
use crate::digest;

/// The suffix for an object.
pub(super) fn suffix(resource: &Resource) -> Result<String, String> {
    let field = |name: &str| match resource.node.get(name) {
        None => Ok(json!("")),
        Some(node) if matches!(node.kind, super::node::Kind::Scalar(_)) => Ok(json!(node.text())),
        Some(node) => Node::to_json(node),
    };
    // The name is left empty: Kustomize looks for a field `metadata/name`.
    let mut encoded = Map::from_iter([("data".to_owned(), field("data")?), ("name".to_owned(), json!(""))]);
    encoded.insert("kind".to_owned(), json!(resource.kind()));
    let further = match resource.kind() {
        "ConfigMap" => "binaryData",
        "Secret" => {
            encoded.insert("type".to_owned(), field("type")?);
            "stringData"
        }
        kind => return Err(format!("a {kind} has no hash")),
    };
    let value = field(further)?;
    if value.is_object() {
        encoded.insert(further.to_owned(), value);
    }
    let mut text = String::new();
    write(&Value::Object(encoded), &mut text);
    Ok(digest::full(text.as_bytes()).chars().take(10).map(without_vowels).collect())
}

/// So that no word comes out.
fn without_vowels(digit: char) -> char {
    match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    }
}

/// Writes JSON as Go does: keys sorted, and what HTML could take for markup escaped.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&json!(name), out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::String(text) => string(text, out),
        Value::Number(number) => out.push_str(&self::number(number.as_f64().unwrap_or_default())),
        other => out.push_str(&other.to_string()),
    }
}

/// Every number has been one with a fraction on its way.
fn number(number: f64) -> String {
    const PLAIN: std::ops::Range<f64> = 1e-6..1e21;
    if number == 0.0 || PLAIN.contains(&number.abs()) {
        return number.to_string();
    }
    let scientific = format!("{number:e}");
    if scientific.contains("e-") { scientific } else { scientific.replace('e', "e+") }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
