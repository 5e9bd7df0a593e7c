//! JSON as YAML, in the form that the API server writes (`sigs.k8s.io/yaml`, its fork of `go-yaml`): the same quotes,
//! the same order of keys, the same lines.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::yaml::is_string;

/// Lines of text are broken at the first space after this column.
const WIDTH: usize = 80;

/// `value` as a document.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(fields, 0, &mut text),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut text),
        _ => {
            leaf(value, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

/// The first line is already indented.
fn mapping(fields: &Map<String, Value>, indent: usize, out: &mut String) {
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by(|a, b| natural(a.0, b.0));
    for (index, (key, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        scalar(key, indent, true, out);
        out.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push('\n');
                pad(indent + 2, out);
                mapping(fields, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(indent, out);
                sequence(items, indent, out);
            }
            _ => {
                out.push(' ');
                leaf(value, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => mapping(fields, indent + 2, out),
            Value::Array(items) if !items.is_empty() => sequence(items, indent + 2, out),
            _ => {
                leaf(item, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn leaf(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(text) => scalar(text, indent, false, out),
        _ => out.push_str(&value.to_string()),
    }
}

/// Letters after everything else, and numbers by their value (`sorter.go`).
fn natural(a: &str, b: &str) -> Ordering {
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for index in 0..x.len().min(y.len()) {
        if x[index] == y[index] {
            digits = x[index].is_numeric();
            continue;
        }
        let (p, q) = (x[index].is_alphabetic(), y[index].is_alphabetic());
        if p && q {
            return x[index].cmp(&y[index]);
        }
        if p || q {
            let less = if digits { p } else { q };
            return if less { Ordering::Less } else { Ordering::Greater };
        }
        // Where both sides are numbers, the longer one is the greater, as nobody writes leading zeros.
        let number = |text: &[char]| text[index..].iter().take_while(|c| c.is_ascii_digit()).count();
        let (p, q) = (number(&x), number(&y));
        return if p > 0 && q > 0 { p.cmp(&q).then(x[index].cmp(&y[index])) } else { x[index].cmp(&y[index]) };
    }
    x.len().cmp(&y.len())
}

/// In which ways a text can be written (`yaml_emitter_analyze_scalar`).
struct Allowed {
    plain: bool,
    single: bool,
    literal: bool,
}

fn analyze(text: &str) -> Allowed {
    let indicator = {
        let next_is_blank = |index: usize| text[index..].chars().nth(1).is_none_or(char::is_whitespace);
        let blank_before = |index: usize| text[..index].ends_with(char::is_whitespace);
        text.starts_with("---")
            || text.starts_with("...")
            || text.starts_with(['#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`'])
            || (text.starts_with(['?', '-']) && next_is_blank(0))
            || text.match_indices(':').any(|(index, _)| next_is_blank(index))
            || text.match_indices('#').any(|(index, _)| blank_before(index))
    };
    let special = text.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')));
    let blank_around = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
    let odd_breaks = text.contains(" \n");
    Allowed {
        plain: !text.is_empty() && !indicator && !special && !blank_around && !text.contains('\n'),
        single: !special && !odd_breaks && !text.contains("\n "),
        literal: !special && !text.ends_with(' '),
    }
}

/// `indent`: of the lines that follow, if any do.
fn scalar(text: &str, indent: usize, key: bool, out: &mut String) {
    let allowed = analyze(text);
    if text.contains('\n') && !key && allowed.literal {
        literal(text, indent, out);
    } else if text.contains('\n') || !is_string(text) {
        double(text, indent, key, out);
    } else if allowed.plain {
        folded(text, indent, key, out);
    } else if allowed.single {
        out.push('\'');
        folded(&text.replace('\'', "''"), indent, key, out);
        out.push('\'');
    } else {
        double(text, indent, key, out);
    }
}

fn column(out: &str) -> usize {
    out.rsplit('\n').next().unwrap_or_default().chars().count()
}

fn line(indent: usize, out: &mut String) {
    out.push('\n');
    pad(indent, out);
}

fn folded(text: &str, indent: usize, key: bool, out: &mut String) {
    let mut column = column(out);
    let mut after_space = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ' ' && !key && !after_space && column > WIDTH && rest.peek().is_some_and(|next| *next != ' ') {
            line(indent, out);
            column = indent;
        } else {
            out.push(c);
            column += 1;
        }
        after_space = c == ' ';
    }
}

fn double(text: &str, indent: usize, key: bool, out: &mut String) {
    out.push('"');
    let mut column = column(out);
    let mut after_space = false;
    let mut rest = text.chars().enumerate().peekable();
    while let Some((index, c)) = rest.next() {
        if c == ' ' && !key && !after_space && column > WIDTH && index > 0 && rest.peek().is_some() {
            line(indent, out);
            column = indent;
            if rest.peek().is_some_and(|(_, next)| *next == ' ') {
                out.push('\\');
                column += 1;
            }
            after_space = true;
            continue;
        }
        after_space = c == ' ';
        let before = out.len();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
        column += out[before..].chars().count();
    }
    out.push('"');
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) => {
            if body.is_empty() || body.ends_with('\n') {
                out.push('+');
            }
            body
        }
    };
    for part in body.split('\n') {
        out.push('\n');
        if !part.is_empty() {
            pad(indent, out);
            out.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"a": [], "b": {}, "c": null, "d": true}), "a: []\nb: {}\nc: null\nd: true\n")]
    #[case(json!({"l": [{"a": 1, "b": [2]}, [3, 4]]}), "l:\n- a: 1\n  b:\n  - 2\n- - 3\n  - 4\n")]
    #[case(json!({"f:data": {".": {}, "f:k": {}}}), "f:data:\n  .: {}\n  f:k: {}\n")]
    #[case(json!({"n": "1", "t": "true", "e": "", "d": "2001-01-01T00:00:00Z"}), "d: \"2001-01-01T00:00:00Z\"\ne: \"\"\n\"n\": \"1\"\nt: \"true\"\n")]
    #[case(json!({"a": "b: c", "s": " x", "m": "x\ny\n", "q": "it's #1"}), "a: 'b: c'\nm: |\n  x\n  y\nq: 'it''s #1'\ns: ' x'\n")]
    #[case(json!({"a10": 1, "a2": 2}), "a2: 2\na10: 1\n")]
    fn reads_as_from_the_server(#[case] value: Value, #[case] text: &str) {
        assert_eq!(to_yaml(&value), text);
    }
}
