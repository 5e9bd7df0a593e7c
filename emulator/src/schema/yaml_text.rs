//! JSON as YAML, in the form that the API server writes (`sigs.k8s.io/yaml`, its fork of `go-yaml`): the same quotes,
//! the same order of keys, the same lines.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::yaml::is_string;

/// Lines of text are broken at the first space after this column.
const WIDTH: usize = 80;

/// A longer key is written behind a `?`, as one of several lines is.
const LONGEST_KEY: usize = 128;

/// `value` as a document.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
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
    sort(&mut fields);
    for (index, (key, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        let simple = key.len() <= LONGEST_KEY && !key.contains(is_break);
        if simple {
            scalar(key, indent, true, out);
        } else {
            out.push_str("? ");
            scalar(key, indent + 2, false, out);
            line(indent, out);
        }
        out.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                if simple {
                    line(indent + 2, out)
                } else {
                    out.push(' ')
                }
                mapping(fields, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                let indent = if simple { indent } else { indent + 2 };
                if simple {
                    line(indent, out)
                } else {
                    out.push(' ')
                }
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
        Value::Number(value) => out.push_str(&number(value)),
        _ => out.push_str(&value.to_string()),
    }
}

/// A number without a fraction has become an integer on its way.
fn number(number: &Number) -> String {
    const INTEGERS: f64 = 1e19;
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    if value.fract() == 0.0 && value.abs() < INTEGERS { value.to_string() } else { float(value) }
}

/// A number as Go prints it in YAML (`strconv.FormatFloat` with `g`).
#[must_use]
pub fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(-4..6) | Err(_) => value.to_string(),
        Ok(exponent) => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// Sorts as Go does a list that short: by an order that is none for some texts.
fn sort(fields: &mut [(&String, &Value)]) {
    for index in 1..fields.len() {
        let mut at = index;
        while at > 0 && natural(fields[at].0, fields[at - 1].0) == Ordering::Less {
            fields.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Letters after everything else, and numbers by their value (`sorter.go`).
fn natural(a: &str, b: &str) -> Ordering {
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for index in 0..x.len().min(y.len()) {
        if x[index] == y[index] {
            continue;
        }
        match (x[index].is_alphabetic(), y[index].is_alphabetic()) {
            (true, true) => return x[index].cmp(&y[index]),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // A zero counts if it comes behind another digit than zero.
        let before = x[..index].iter().rev().take_while(|c| c.is_ascii_digit());
        let inside = (x[index] == '0' || y[index] == '0') && before.into_iter().any(|c| *c != '0');
        let value = |text: &[char]| {
            let digits = text[index..].iter().map_while(|c| c.to_digit(10));
            digits.fold((i64::from(inside), 0), |(value, length), digit| {
                (value.wrapping_mul(10).wrapping_add(i64::from(digit)), length + 1)
            })
        };
        return value(&x).cmp(&value(&y)).then(x[index].cmp(&y[index]));
    }
    x.len().cmp(&y.len())
}

/// In which ways a text can be written.
struct Allowed {
    plain: bool,
    single: bool,
    literal: bool,
    multiline: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// What need not be escaped; characters beyond the first 65,536 must be.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// `yaml_emitter_analyze_scalar`.
fn analyze(text: &str) -> Allowed {
    if text.is_empty() {
        return Allowed { plain: true, single: true, literal: false, multiline: false };
    }
    let mut indicator = text.starts_with("---") || text.starts_with("...");
    let (mut special, mut multiline, mut break_space, mut space_break) = (false, false, false, false);
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let blank_follows = rest.peek().is_none_or(|next| is_blank(*next));
        indicator |= match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => before.is_none(),
            '?' | '-' => before.is_none() && blank_follows,
            ':' => blank_follows,
            '#' => before.is_none_or(|before| is_blank(before) || is_break(before) || before == '\0'),
            _ => false,
        };
        special |= !is_printable(c);
        multiline |= is_break(c);
        break_space |= c == ' ' && before.is_some_and(is_break);
        space_break |= is_break(c) && before == Some(' ');
        before = Some(c);
    }
    let around = |c: char| c == ' ' || is_break(c);
    Allowed {
        plain: !indicator && !special && !multiline && !text.starts_with(around) && !text.ends_with(around),
        single: !special && !break_space && !space_break,
        literal: !special && !space_break && !text.ends_with(' '),
        multiline,
    }
}

/// `indent`: of the lines that follow, if any do.
fn scalar(text: &str, indent: usize, key: bool, out: &mut String) {
    let allowed = analyze(text);
    let has_lines = text.contains('\n');
    if has_lines && !key && allowed.literal {
        literal(text, indent, out);
    } else if has_lines || (key && allowed.multiline) || !is_string(text) {
        double(text, indent, key, out);
    } else if allowed.plain && !(key && text.is_empty()) {
        folded(text, indent, key, false, out);
    } else if allowed.single {
        out.push('\'');
        folded(text, indent, key, true, out);
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

fn folded(text: &str, indent: usize, key: bool, single: bool, out: &mut String) {
    let mut column = column(out);
    let (mut after_space, mut after_break) = (false, false);
    let mut rest = text.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        let first = std::mem::take(&mut first);
        if is_break(c) {
            // Of the breaks, only those that are none to anybody else come here.
            out.push(c);
            column = 0;
            after_break = true;
            continue;
        }
        if c == ' '
            && !key
            && !after_space
            && column > WIDTH
            && !(single && first)
            && rest.peek().is_some_and(|next| *next != ' ')
        {
            line(indent, out);
            column = indent;
        } else {
            if after_break && c != ' ' {
                pad(indent, out);
                column = indent;
            }
            if single && c == '\'' {
                out.push(c);
                column += 1;
            }
            out.push(c);
            column += 1;
        }
        after_space = c == ' ';
        after_break = after_break && c == ' ';
    }
}

fn double(text: &str, indent: usize, key: bool, out: &mut String) {
    out.push('"');
    let mut column = column(out);
    let mut after_space = false;
    // Behind a byte order mark, all is taken for one.
    let marked = text.starts_with('\u{feff}');
    let mut rest = text.chars().enumerate().peekable();
    while let Some((index, c)) = rest.next() {
        if c == ' ' && !marked && !key && !after_space && column > WIDTH && index > 0 && rest.peek().is_some() {
            line(indent, out);
            column = indent;
            if rest.peek().is_some_and(|(_, next)| *next == ' ') {
                out.push('\\');
                column += 1;
            }
            after_space = true;
            continue;
        }
        let before = out.len();
        if !is_printable(c) || marked || is_break(c) || matches!(c, '"' | '\\') {
            escape(c, out);
            after_space = false;
        } else {
            out.push(c);
            after_space = c == ' ';
        }
        column += out[before..].chars().count();
    }
    out.push('"');
}

fn escape(c: char, out: &mut String) {
    out.push('\\');
    match c {
        '"' | '\\' => out.push(c),
        '\0' => out.push('0'),
        '\u{7}' => out.push('a'),
        '\u{8}' => out.push('b'),
        '\t' => out.push('t'),
        '\n' => out.push('n'),
        '\u{b}' => out.push('v'),
        '\u{c}' => out.push('f'),
        '\r' => out.push('r'),
        '\u{1b}' => out.push('e'),
        '\u{85}' => out.push('N'),
        '\u{a0}' => out.push('_'),
        '\u{2028}' => out.push('L'),
        '\u{2029}' => out.push('P'),
        c if c <= '\u{ff}' => out.push_str(&format!("x{:02X}", u32::from(c))),
        c if c <= '\u{ffff}' => out.push_str(&format!("u{:04X}", u32::from(c))),
        c => out.push_str(&format!("U{:08X}", u32::from(c))),
    }
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with(|c| c == ' ' || is_break(c)) {
        out.push('2');
    }
    let mut from_end = text.chars().rev();
    match (from_end.next().is_some_and(is_break), from_end.next()) {
        (false, _) => out.push('-'),
        (true, None) => out.push('+'),
        (true, Some(c)) if is_break(c) => out.push('+'),
        (true, Some(_)) => {}
    }
    // The caller ends the last line.
    out.push('\n');
    let body = text.strip_suffix('\n').unwrap_or(text);
    let mut after_break = true;
    for c in body.chars() {
        if !is_break(c) && after_break {
            pad(indent, out);
        }
        out.push(c);
        after_break = is_break(c);
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
    #[case(json!({"a1b": "x \ny", "a12": "\u{1f600}", "b": "x\n y\n\n"}), "a12: \"\\U0001F600\"\na1b: \"x \\ny\"\nb: |+\n  x\n   y\n\n")]
    #[case(json!({"a": 1234567.5, "b": 1e10, "c": 1e-7}), "a: 1.2345675e+06\nb: 10000000000\nc: 1e-07\n")]
    fn reads_as_from_the_server(#[case] value: Value, #[case] text: &str) {
        assert_eq!(to_yaml(&value), text);
    }
}
