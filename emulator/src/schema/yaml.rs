//! YAML bodies, as `sigs.k8s.io/yaml` turns them into JSON: by YAML 1.1 (`yes` is true, `0777` is 511), keys as strings, in
//! their order, each once.

use std::collections::{BTreeMap, HashMap};

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::json::{MAX_DEPTH, Node};
use crate::field::quote;

/// Why a text is no YAML that could be JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {0}")]
pub struct YamlError(String);

/// How much anchors and aliases may copy, in nodes and bytes of text: far more than an object has, far less than hurts.
const MAX_COPIED: usize = 4_000_000;

/// The document in a body, and what a strict reading complains of (keys given twice), in go-yaml's words.
///
/// # Errors
///
/// When the body is no YAML or has keys that JSON cannot have.
pub fn parse(text: &[u8]) -> Result<(Node, Option<String>), YamlError> {
    let text = std::str::from_utf8(text).map_err(|_| YamlError("invalid leading UTF-8 octet".into()))?;
    let mut reader =
        Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), read: 0, copied: 0, duplicates: Vec::new() };
    let node = reader.document()?;
    let duplicates = match reader.duplicates.as_slice() {
        [] => None,
        lines => Some(format!("yaml: unmarshal errors:\n  {}", lines.join("\n  "))),
    };
    Ok((node, duplicates))
}

/// An error in go-yaml's words, as far as the two parsers agree on what is wrong.
fn failed(error: &ScanError) -> YamlError {
    // The parser tells what it was doing, go-yaml does not.
    let info = error.info();
    let problem =
        info.split_once(", ").filter(|(doing, _)| doing.starts_with("while")).map_or(info.as_str(), |(_, problem)| problem);
    let line = error.marker().line();
    YamlError(match problem {
        "unclosed bracket '{'" => format!("line {line}: did not find expected ',' or '}}'"),
        "unclosed bracket '['" => format!("line {line}: did not find expected ',' or ']'"),
        "unclosed quote" => "found unexpected end of stream".to_owned(),
        _ if problem.starts_with("unexpected character") => "found character that cannot start any token".to_owned(),
        _ if line > 1 => format!("line {line}: {problem}"),
        _ => problem.to_owned(),
    })
}

struct Reader<I> {
    events: I,
    /// The nodes that aliases repeat, and the size of each.
    anchors: HashMap<usize, (Node, usize)>,
    /// The size of what was read so far, with what aliases stand for.
    read: usize,
    /// The size of what was copied so far.
    copied: usize,
    duplicates: Vec<String>,
}

impl<'t, I: Iterator<Item = Result<(Event<'t>, Span), ScanError>>> Reader<I> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        loop {
            match self.events.next() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(failed(&error)),
                None => return Err(YamlError("unexpected end of the document".into())),
            }
        }
    }

    /// The first document; null if there is none.
    fn document(&mut self) -> Result<Node, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Node::Null),
                (event, _) => {
                    let node = self.node(event, 0)?;
                    // What follows must be YAML too.
                    while !matches!(self.next()?.0, Event::DocumentEnd | Event::StreamEnd) {}
                    return Ok(node);
                }
            }
        }
    }

    fn copy(&mut self, size: usize) -> Result<(), YamlError> {
        self.copied += size;
        if self.copied > MAX_COPIED { Err(YamlError("document contains excessive aliasing".into())) } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError("exceeded max depth of 10000".into()));
        }
        let before = self.read;
        self.read += 1;
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let size = self.anchors.get(&id).map(|(_, size)| *size).unwrap_or_default();
                self.copy(size)?;
                self.read += size;
                let (node, _) = self.anchors.get(&id).ok_or_else(|| YamlError("unknown anchor referenced".into()))?;
                return Ok(node.clone());
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.read += text.len();
                (scalar(&text, style, tag.as_deref())?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth + 1)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(depth + 1)?, anchor),
            _ => return Err(YamlError("did not find expected node content".into())),
        };
        if anchor != 0 {
            let size = self.read - before;
            self.copy(size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()?.0 {
                Event::SequenceEnd => return Ok(Node::List(items)),
                event => items.push(self.node(event, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, YamlError> {
        let mut map: BTreeMap<String, Node> = BTreeMap::new();
        let mut merged = Vec::new();
        loop {
            let event = match self.next()?.0 {
                Event::MappingEnd => break,
                event => event,
            };
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, depth)?;
            let (event, span) = self.next()?;
            let value = self.node(event, depth)?;
            if merges {
                merged.push(value);
                continue;
            }
            let (key, shown) = key_text(key)?;
            if map.contains_key(&key) {
                self.duplicates.push(format!("line {}: key {shown} already set in map", span.start.line()));
            }
            map.insert(key, value);
        }
        for value in merged {
            merge(&mut map, value)?;
        }
        Ok(Node::Object(map.into_iter().collect()))
    }
}

/// `<<: *base`: what the mapping has itself goes first.
fn merge(map: &mut BTreeMap<String, Node>, value: Node) -> Result<(), YamlError> {
    match value {
        Node::Object(entries) => {
            for (key, value) in entries {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Node::List(items) if items.iter().all(|item| matches!(item, Node::Object(_))) => {
            items.into_iter().try_for_each(|item| merge(map, item))
        }
        _ => Err(YamlError("map merge requires map or sequence of maps as the value".into())),
    }
}

/// A key as JSON has it, and as Go's `%#v` shows it.
fn key_text(key: Node) -> Result<(String, String), YamlError> {
    match key {
        Node::String(text) => {
            let shown = quote(&text);
            Ok((text, shown))
        }
        Node::Number(text) => Ok((text.clone(), text)),
        Node::Bool(value) => Ok((value.to_string(), value.to_string())),
        Node::Null => Err(YamlError("unsupported map key of type: %!s(<nil>), key: <nil>".into())),
        Node::List(_) | Node::Object(_) => Err(YamlError("invalid map key".into())),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, YamlError> {
    let tag = tag.and_then(Tag::core_suffix);
    if tag == Some("str") || tag == Some("binary") || (tag.is_none() && style != ScalarStyle::Plain) {
        return Ok(Node::String(text.to_owned()));
    }
    let node = resolve(text);
    match (&node, tag) {
        (Node::Number(number), _) if matches!(number.as_str(), "NaN" | "+Inf" | "-Inf") => {
            Err(YamlError(format!("json: unsupported value: {number}")))
        }
        (_, Some("int")) if !matches!(node, Node::Number(_)) => Err(YamlError(format!("cannot decode `{text}` as a !!int"))),
        _ => Ok(node),
    }
}

/// Whether a text remains one when it is written without quotes.
pub(crate) fn is_string(text: &str) -> bool {
    !is_time(text) && !is_sexagesimal(text) && matches!(resolve(text), Node::String(_))
}

/// `2001-01-01` and the like, with or without a time of day.
fn is_time(text: &str) -> bool {
    let number = |part: &str, digits: &[usize]| digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = text.split_once(['T', 't', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
    let parts: Vec<&str> = date.split('-').collect();
    let is_date = matches!(parts.as_slice(), [y, m, d] if number(y, &[4]) && number(m, &[1, 2]) && number(d, &[1, 2]));
    is_date
        && time.is_none_or(|time| {
            let parts: Vec<&str> = time.trim_end_matches('Z').splitn(3, ':').collect();
            matches!(parts.as_slice(), [h, m, s] if number(h, &[1, 2]) && number(m, &[1, 2]) && s.starts_with(|c: char| c.is_ascii_digit()))
        })
}

/// What YAML 1.1 took for a number of base 60: `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = rest.split(':');
    let whole = parts
        .next()
        .is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()) && p.bytes().all(|b| b.is_ascii_digit() || b == b'_'));
    let parts: Vec<&str> = parts.collect();
    let last = parts.len().saturating_sub(1);
    let sixty = |index: usize, part: &str| {
        let whole = if index == last { part.split_once('.').map_or(part, |(whole, _)| whole) } else { part };
        matches!(whole.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    };
    whole && !parts.is_empty() && parts.iter().enumerate().all(|(index, part)| sixty(index, part))
}

/// What a plain scalar is (`resolve.go`).
#[must_use]
pub fn resolve(text: &str) -> Node {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Node::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Node::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        ".nan" | ".NaN" | ".NAN" => return Node::Number("NaN".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Node::Number("+Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Node::Number("-Inf".into()),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Node::String(text.to_owned());
    }
    // Behind a point, Go takes no underscores.
    let plain = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    if let Some(integer) = integer(&plain) {
        return Node::Number(integer.to_string());
    }
    if is_float(&plain)
        && let Ok(float) = plain.parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(float)
    {
        return Node::Number(number.to_string());
    }
    Node::String(text.to_owned())
}

/// Go's `ParseInt` with base 0: `0x1f`, `0o17`, `017`, `0b1`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -value } else { value };
    (value >= i128::from(i64::MIN)).then_some(value)
}

/// `^[-+]?[0-9]*\.?[0-9]+([eE][-+][0-9]+)?$`, and what has nothing after its point.
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) =
        rest.split_once(['e', 'E']).map_or((rest, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        parse(text.as_bytes()).unwrap().0.to_value().unwrap()
    }

    #[rstest]
    #[case("a: yes", json!({"a": true}))]
    #[case("a: 'yes'", json!({"a": "yes"}))]
    #[case("a: 0777", json!({"a": 511}))]
    #[case("a: 0x1f", json!({"a": 31}))]
    #[case("a: 1_000", json!({"a": 1000}))]
    #[case("a: 1.5", json!({"a": 1.5}))]
    #[case("a: 1.", json!({"a": 1}))]
    #[case("a: 2024-01-02T03:04:05Z", json!({"a": "2024-01-02T03:04:05Z"}))]
    #[case("a: 1.2.3", json!({"a": "1.2.3"}))]
    #[case("a:", json!({"a": null}))]
    #[case("1: a\ntrue: b", json!({"1": "a", "true": "b"}))]
    #[case("a: !!str 5", json!({"a": "5"}))]
    #[case("base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3", json!({"base": {"x": 1, "true": 2}, "c": {"x": 1, "true": 3}}))]
    #[case("{\"a\": [1, \"x\", null]}", json!({"a": [1, "x", null]}))]
    #[case("", json!(null))]
    #[case("# nothing\n", json!(null))]
    #[case("a: |\n  x\n  y\n", json!({"a": "x\ny\n"}))]
    #[case("a: 1\n---\nb: 2\n", json!({"a": 1}))]
    fn reads(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(value(text), expected);
    }

    #[test]
    fn tells_duplicates() {
        let (node, duplicates) = parse(b"a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!(node.to_value().unwrap(), json!({"a": 3, "b": 2}));
        assert_eq!(duplicates.unwrap(), "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map");
    }

    #[rstest]
    #[case("a: b: c", "yaml: mapping values are not allowed in this context")]
    #[case("{a: 1", "yaml: line 1: did not find expected ',' or '}'")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message);
    }

    #[test]
    fn bounds_aliases() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), "yaml: document contains excessive aliasing");
    }
}
