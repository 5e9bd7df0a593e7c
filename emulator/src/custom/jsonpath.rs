//! The JSONPath of printer columns and selectable fields, as client-go has it (`client-go/util/jsonpath`): fields, indices, slices,
//! unions, wildcards, recursive descent and filters.

use std::cmp::Ordering;

use serde_json::Value;

/// How deep unions, filters and recursive descents may nest.
const DEEPEST: usize = 64;

/// A parsed path.
#[derive(Debug, Clone)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Slice { from: Option<i64>, to: Option<i64>, step: Option<i64>, single: bool },
    Wildcard,
    Recursive,
    Union(Vec<JsonPath>),
    Filter { left: Operand, op: String, right: Operand },
}

#[derive(Debug, Clone)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

impl JsonPath {
    /// A path without its braces: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::nested(text, 0)
    }

    fn nested(text: &str, depth: usize) -> Result<Self, String> {
        if depth > DEEPEST {
            return Err("nested too deeply".to_owned());
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("[?(") {
                let (filter, after) = filter(after, depth)?;
                steps.push(filter);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("..") {
                if matches!(steps.last(), Some(Step::Recursive)) {
                    return Err("invalid multiple recursive descent".to_owned());
                }
                steps.push(Step::Recursive);
                rest = after;
                if rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
                    rest = field(rest, &mut steps);
                }
            } else if c == '.' {
                rest = field(&rest[1..], &mut steps);
            } else if c == '[' {
                let end = rest.find([']', '\n']).filter(|&i| rest[i..].starts_with(']')).ok_or("unterminated array")?;
                steps.extend(brackets(&rest[1..end], depth)?);
                rest = &rest[end + 1..];
            } else if c == '@' || c == '$' || c == ' ' {
                rest = &rest[1..];
            } else if c == '\n' || c == '\r' {
                return Err("unclosed action".to_owned());
            } else {
                return Err(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32));
            }
        }
        Ok(Self(steps))
    }

    /// The values at the path; none if something on the way is missing. An error is an index outside of a list and the like.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Result<Vec<&'a Value>, String> {
        let mut found = vec![root];
        for step in &self.0 {
            found = step.apply(&found)?;
        }
        Ok(found)
    }
}

fn is_end(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// Reads a field's name up to the next unescaped terminator.
fn field<'a>(text: &'a str, steps: &mut Vec<Step>) -> &'a str {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((i, c)) = chars.next() {
        if c == '\\' {
            if let Some((_, escaped)) = chars.next() {
                name.push(escaped);
            }
        } else if is_end(c) {
            end = i;
            break;
        } else {
            name.push(c);
        }
    }
    steps.push(if name == "*" { Step::Wildcard } else { Step::Field(name) });
    &text[end..]
}

fn brackets(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    let text = if text == "*" { ":" } else { text };
    if text.contains(',') {
        let each = text.split(',').map(|part| JsonPath::nested(&format!("[{}]", part.trim_matches(' ')), depth + 1));
        return Ok(vec![Step::Union(each.collect::<Result<_, _>>()?)]);
    }
    if let Some(key) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).filter(|k| !k.is_empty()) {
        return Ok(JsonPath::nested(&format!(".{key}"), depth + 1)?.0);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| match part {
        "" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| format!("invalid array index {text}")),
    };
    let at = |i: usize| parts.get(i).map_or(Ok(None), |part| number(part));
    if parts.len() > 3 || text.is_empty() {
        return Err(format!("invalid array index {text}"));
    }
    Ok(vec![Step::Slice { from: at(0)?, to: at(1)?, step: at(2)?, single: parts.len() == 1 }])
}

/// Reads `@.a=="b")]`.
fn filter(text: &str, depth: usize) -> Result<(Step, &str), String> {
    let mut quote = None;
    let mut previous = ' ';
    let end = text.char_indices().find(|&(_, c)| {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open && previous != '\\' => quote = None,
            _ => {}
        }
        previous = c;
        c == ')' && quote.is_none()
    });
    let (end, _) = end.ok_or("unterminated filter")?;
    let inside = &text[..end];
    let rest = text[end + 1..].strip_prefix(']').ok_or("unclosed array expect ]")?;
    let is_op = |c: char| "!<>=".contains(c);
    let step = match inside.find(is_op).filter(|&i| i > 0) {
        None => Step::Filter { left: operand(inside, depth)?, op: "exists".to_owned(), right: Operand::Literal(Value::Null) },
        Some(i) => {
            let after = inside[i..].find(|c| !is_op(c)).map_or(inside.len(), |n| i + n);
            Step::Filter {
                left: operand(&inside[..i], depth)?,
                op: inside[i..after].to_owned(),
                right: operand(&inside[after..], depth)?,
            }
        }
    };
    Ok((step, rest))
}

fn operand(text: &str, depth: usize) -> Result<Operand, String> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return Ok(Operand::Literal(inner.replace(&format!("\\{quote}"), &quote.to_string()).into()));
        }
    }
    match text {
        "true" | "false" => Ok(Operand::Literal((text == "true").into())),
        _ if text.starts_with(|c: char| c == '+' || c == '-' || c.is_ascii_digit()) => {
            let number = text.strip_prefix('+').unwrap_or(text);
            let parsed = number.parse::<i64>().map(Value::from).or_else(|_| number.parse::<f64>().map(Value::from));
            parsed.map(Operand::Literal).map_err(|_| format!("cannot parse number {text}"))
        }
        _ => JsonPath::nested(text, depth + 1).map(Operand::Path),
    }
}

impl Step {
    fn apply<'a>(&self, input: &[&'a Value]) -> Result<Vec<&'a Value>, String> {
        let mut found = Vec::new();
        for value in input {
            match (self, value) {
                (Self::Field(name), Value::Object(map)) => found.extend(map.get(name)),
                (Self::Slice { .. }, Value::Null) => {}
                (Self::Slice { from, to, step, single }, Value::Array(items)) => {
                    found.extend(slice(items, *from, *to, *step, *single)?);
                }
                (Self::Slice { .. }, _) => return Err("value is not array or slice".to_owned()),
                (Self::Wildcard, Value::Object(map)) => found.extend(map.values()),
                (Self::Wildcard, Value::Array(items)) => found.extend(items),
                (Self::Recursive, value) => descend(value, &mut found),
                (Self::Union(paths), value) => {
                    for path in paths {
                        found.extend(path.find(value)?);
                    }
                }
                (Self::Filter { left, op, right }, Value::Array(items)) => {
                    for item in items {
                        if matches(left, op, right, item)? {
                            found.push(item);
                        }
                    }
                }
                (Self::Filter { .. }, Value::Null) => {}
                (Self::Filter { .. }, _) => return Err("value is not array or slice and cannot be filtered".to_owned()),
                (Self::Field(_) | Self::Wildcard, _) => {}
            }
        }
        Ok(found)
    }
}

/// A value and everything below it.
fn descend<'a>(root: &'a Value, found: &mut Vec<&'a Value>) {
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        found.push(value);
        match value {
            Value::Object(map) => open.extend(map.values().rev()),
            Value::Array(items) => open.extend(items.iter().rev()),
            _ => {}
        }
    }
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, step: Option<i64>, single: bool) -> Result<Vec<&Value>, String> {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from = from.unwrap_or(0);
    let mut start = from;
    let mut end = if single { from.saturating_add(1) } else { to.unwrap_or(length) };
    if start < 0 {
        start += length;
    }
    if end < 0 || (end == 0 && single) {
        end += length;
    }
    if start == end {
        return Ok(Vec::new());
    }
    let outside = |i: i64| format!("array index out of bounds: index {i}, length {length}");
    let (Ok(first), Ok(last)) = (usize::try_from(start), usize::try_from(end)) else { return Err(outside(start)) };
    if start >= length || end > length {
        return Err(outside(if start >= length { start } else { end - 1 }));
    }
    if first > last {
        return Err(format!("starting index {start} is greater than ending index {end}"));
    }
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|s| *s > 0).ok_or("step must be > 0")?;
    Ok(items[first..last].iter().step_by(step).collect())
}

fn matches(left: &Operand, op: &str, right: &Operand, item: &Value) -> Result<bool, String> {
    let value = |operand: &Operand| match operand {
        Operand::Literal(value) => Ok(Some(value.clone())),
        Operand::Path(path) => Ok::<_, String>(path.find(item)?.first().map(|v| (*v).clone())),
    };
    let left = value(left)?;
    if op == "exists" {
        return Ok(left.is_some());
    }
    let (Some(left), Some(right)) = (left, value(right)?) else { return Ok(false) };
    let order = match (&left, &right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(Ordering::Equal),
        _ => None,
    };
    match op {
        "==" => Ok(order == Some(Ordering::Equal)),
        "!=" => Ok(order != Some(Ordering::Equal)),
        "<" => Ok(order == Some(Ordering::Less)),
        ">" => Ok(order == Some(Ordering::Greater)),
        "<=" => Ok(order.is_some_and(Ordering::is_le)),
        ">=" => Ok(order.is_some_and(Ordering::is_ge)),
        other => Err(format!("unrecognized filter operator {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find() {
        let object = json!({"spec": {"a": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}], "b.c": 3, "m": {"k": "v"}}});
        for (path, expected) in [
            (".spec.a[0].n", vec![json!(1)]),
            (".spec.a[-1].n", vec![json!(2)]),
            (".spec.a[*].n", vec![json!(1), json!(2)]),
            (".spec.a[0:1].n", vec![json!(1)]),
            (".spec.a[?(@.t==\"y\")].n", vec![json!(2)]),
            (".spec.a[?(@.n>1)].t", vec![json!("y")]),
            (".spec.a[?(@.q)].t", vec![]),
            (".spec.b\\.c", vec![json!(3)]),
            (".spec.m['k']", vec![json!("v")]),
            (".spec.missing.x", vec![]),
            ("..n", vec![json!(1), json!(2)]),
            (".spec.a[0,1].n", vec![json!(1), json!(2)]),
        ] {
            let found = JsonPath::parse(path).unwrap().find(&object).unwrap().into_iter().cloned().collect::<Vec<_>>();
            assert_eq!(found, expected, "{path}");
        }
        assert!(JsonPath::parse(".spec[").is_err());
        assert!(JsonPath::parse("a").is_err());
        assert!(JsonPath::parse(".spec.a[7].n").unwrap().find(&object).is_err());
    }
}
