//! JSON for people: on one line what fits there.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: usize = 120;

/// `value` as JSON, broken only where a line would become too long.
pub(super) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, 0, &mut text);
    text
}

/// `taken`: how much of the line the key before takes.
fn write(value: &Value, indent: usize, taken: usize, text: &mut String) {
    let line = value.to_string();
    if indent + taken + line.len() < WIDTH {
        text.push_str(&line);
        return;
    }
    let pad = " ".repeat(indent + 1);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "[\n" } else { ",\n" });
                text.push_str(&pad);
                write(item, indent + 1, 1, text);
            }
            let _ = write!(text, "\n{}]", " ".repeat(indent));
        }
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, item)) in fields.iter().enumerate() {
                text.push_str(if index == 0 { "{\n" } else { ",\n" });
                let key = Value::from(key.as_str()).to_string();
                let _ = write!(text, "{pad}{key}: ");
                write(item, indent + 1, key.len() + 3, text);
            }
            let _ = write!(text, "\n{}}}", " ".repeat(indent));
        }
        _ => text.push_str(&line),
    }
}
