//! Values as Go prints them, for messages that show them.

use std::fmt::Write;

use serde_json::{Number, Value};

use crate::field::quote;

/// A number as `%v` prints a float64 or an int64.
pub(crate) fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            let shortest = format!("{float:e}");
            match shortest.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
                Some((digits, Ok(exponent))) if !(-4..6).contains(&exponent) => {
                    let sign = if exponent < 0 { '-' } else { '+' };
                    format!("{digits}e{sign}{:02}", exponent.abs())
                }
                _ => float.to_string(),
            }
        }
        _ => number.to_string(),
    }
}

/// `%v`.
pub(crate) fn show(value: &Value) -> String {
    let mut out = String::new();
    write_shown(value, &mut out);
    out
}

fn write_shown(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => out.push_str(s),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_shown(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("map[");
            for (index, (name, item)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(name);
                out.push(':');
                write_shown(item, out);
            }
            out.push(']');
        }
    }
}

/// `%s`, which is meant for strings.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "%!s(<nil>)".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => format!("%!s({}={})", type_name(value), show(value)),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, field)| format!("{name}:{}", text(field))).collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// `%#v`.
pub(crate) fn syntax(value: &Value) -> String {
    let mut out = String::new();
    write_syntax(value, &mut out);
    out
}

fn write_syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::String(s) => out.push_str(&quote(s)),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_syntax(item, out);
            }
            out.push('}');
        }
        Value::Object(fields) => {
            out.push_str("map[string]interface {}{");
            for (index, (name, item)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{}:", quote(name));
                write_syntax(item, out);
            }
            out.push('}');
        }
        other => write_shown(other, out),
    }
}

/// The name of the Go type that a value of unknown type is decoded into (`%T`).
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What encoding/json calls a value that does not fit its destination.
pub(crate) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// JSON as encoding/json writes it: sorted keys, and `<`, `>`, `&`, U+2028 and U+2029 escaped.
pub(crate) fn json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_like_go() {
        let value = json!({"b": [1, 2.5, "x y"], "a": null, "c": {"d": true, "e": 1e25}});
        assert_eq!(show(&value), "map[a:<nil> b:[1 2.5 x y] c:map[d:true e:1e+25]]");
        assert_eq!(
            syntax(&value),
            r#"map[string]interface {}{"a":interface {}(nil), "b":[]interface {}{1, 2.5, "x y"}, "c":map[string]interface {}{"d":true, "e":1e+25}}"#
        );
        assert_eq!(json(&json!({"a": "<&>"})), r#"{"a":"\u003c\u0026\u003e"}"#);
    }
}
