//! JSON as Go reads it: Kubernetes' messages about malformed bodies and about fields given twice follow the document, byte
//! by byte and in its order, and a map of values has lost both.

use serde_json::{Map, Number, Value};

use crate::field::quote;

/// A value as written: numbers by their text, keys in their order, repeated ones included.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Node {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Why a text is no JSON, in the words of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(crate) String);

/// Go stops at 10,000; values here are walked by recursion, which the 2 MiB of a thread's stack must bear: decoding takes some
/// 5 KiB for each level of a schema, unoptimized.
pub(crate) const MAX_DEPTH: usize = 250;

/// As many as Go collects.
const MAX_STRICT: usize = 100;

/// A whole text.
///
/// # Errors
///
/// When the text is no JSON, nests too deep, or something follows the value.
pub fn parse(text: &[u8]) -> Result<Node, SyntaxError> {
    let mut scanner = Scanner { text, at: 0 };
    let value = scanner.value(0)?;
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(value),
        Some(byte) => Err(unexpected(byte, "after top-level value")),
    }
}

/// A whole text as a value without a type, and `duplicate field "a.b"` for each key that is given twice.
///
/// # Errors
///
/// Those of [`parse`], and numbers that no float can hold.
pub fn parse_value(text: &[u8]) -> Result<(Value, Vec<String>), SyntaxError> {
    let node = parse(text)?;
    let duplicates = node.duplicates();
    let value = node
        .to_value()
        .map_err(|number| SyntaxError(format!("json: cannot unmarshal number {number} into Go value of type float64")))?;
    Ok((value, duplicates))
}

/// How many bytes of paths are written for repeated keys, most of which may be the same path again: a long key around many
/// short ones would otherwise take minutes.
const MOST_WRITTEN: usize = 16 << 20;

/// Collects the keys that are given twice.
struct Duplicates {
    path: String,
    written: usize,
    found: Vec<String>,
}

impl Duplicates {
    fn search(&mut self, node: &Node) {
        let length = self.path.len();
        match node {
            Node::Object(entries) => {
                let mut seen = std::collections::HashSet::new();
                for (key, value) in entries {
                    if !self.path.is_empty() {
                        self.path.push('.');
                    }
                    self.path.push_str(key);
                    if !seen.insert(key) && self.found.len() < MAX_STRICT && self.written < MOST_WRITTEN {
                        self.written += self.path.len();
                        push_strict(&mut self.found, format!("duplicate field {}", quote(&self.path)));
                    }
                    self.search(value);
                    self.path.truncate(length);
                }
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.search(item);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }
}

/// Adds a strict error as Go does: each once, and no more than a hundred.
pub(crate) fn push_strict(errors: &mut Vec<String>, error: String) {
    if errors.len() < MAX_STRICT && !errors.contains(&error) {
        errors.push(error);
    }
}

/// A number without a type: an integer if it is written as one and fits 64 bits, else a float. None when no float holds it.
pub(crate) fn number(text: &str) -> Option<Number> {
    if !text.contains('.')
        && let Ok(integer) = text.parse::<i64>()
    {
        return Some(integer.into());
    }
    let float: f64 = text.parse().ok()?;
    // Go writes 1000.0 as 1000, so the two are the same to everyone.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    if float.fract() == 0.0 && float.abs() < 9.0e15 {
        return Some((float as i64).into());
    }
    Number::from_f64(float)
}

impl Node {
    /// The value without a type; of keys given twice the last counts, within objects too.
    ///
    /// # Errors
    ///
    /// The text of a number that no float can hold.
    pub fn to_value(&self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(text) => Value::Number(number(text).ok_or_else(|| text.clone())?),
            Self::String(text) => Value::String(text.clone()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_value).collect::<Result<_, _>>()?),
            Self::Object(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key.clone(), value.to_value()?);
                }
                Value::Object(map)
            }
        })
    }

    /// `duplicate field "a.b"` for each key that is given twice, in the order of the document.
    #[must_use]
    pub fn duplicates(&self) -> Vec<String> {
        let mut duplicates = Duplicates { path: String::new(), written: 0, found: Vec::new() };
        duplicates.search(self);
        duplicates.found
    }

    /// The value of a key of an object: the last one, if it is given twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => Self::Object(map.into_iter().map(|(key, value)| (key, value.into())).collect()),
        }
    }
}

/// Go quotes the byte as if it were a character.
fn unexpected(byte: u8, context: &str) -> SyntaxError {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        other => {
            let quoted = quote(&char::from(other).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    SyntaxError(format!("invalid character {shown} {context}"))
}

fn end() -> SyntaxError {
    SyntaxError("unexpected end of JSON input".into())
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, SyntaxError> {
        let byte = self.peek().ok_or_else(end)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    fn token(&mut self) -> Result<u8, SyntaxError> {
        self.skip_space();
        self.next()
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let byte = self.token()?;
        match byte {
            b'{' | b'[' if depth >= MAX_DEPTH => Err(unexpected(byte, "exceeded max depth")),
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'"' => self.string().map(Node::String),
            b't' => self.literal("true").map(|()| Node::Bool(true)),
            b'f' => self.literal("false").map(|()| Node::Bool(false)),
            b'n' => self.literal("null").map(|()| Node::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let mut entries = Vec::new();
        loop {
            match self.token()? {
                b'}' if entries.is_empty() => return Ok(Node::Object(entries)),
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            match self.token()? {
                b':' => {}
                byte => return Err(unexpected(byte, "after object key")),
            }
            let value = self.value(depth)?;
            entries.push((key, value));
            match self.token()? {
                b',' => {}
                b'}' => return Ok(Node::Object(entries)),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            match self.token()? {
                b',' => {}
                b']' => return Ok(Node::List(items)),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    /// The rest of a literal whose first letter has been read.
    fn literal(&mut self, word: &str) -> Result<(), SyntaxError> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                return Err(unexpected(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// At least one digit.
    fn some_digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        match self.next()? {
            b'0'..=b'9' => {
                self.digits();
                Ok(())
            }
            byte => Err(unexpected(byte, context)),
        }
    }

    /// A number whose first character has been read.
    fn number(&mut self) -> Result<Node, SyntaxError> {
        let start = self.at - 1;
        let mut first = self.text[start];
        if first == b'-' {
            first = self.next()?;
            if !first.is_ascii_digit() {
                return Err(unexpected(first, "in numeric literal"));
            }
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Node::Number(String::from_utf8_lossy(&self.text[start..self.at]).into_owned()))
    }

    /// A string whose opening quote has been read. What is no UTF-8 or no UTF-16 becomes U+FFFD.
    fn string(&mut self) -> Result<String, SyntaxError> {
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            push_lossy(&mut out, &self.text[start..self.at]);
            match self.next()? {
                b'"' => return Ok(out),
                b'\\' => self.escape(&mut out)?,
                byte => return Err(unexpected(byte, "in string literal")),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), SyntaxError> {
        out.push(match self.next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            byte @ (b'\\' | b'/' | b'"') => char::from(byte),
            b'u' => return self.unicode(out),
            byte => return Err(unexpected(byte, "in string escape code")),
        });
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| unexpected(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }

    fn unicode(&mut self, out: &mut String) -> Result<(), SyntaxError> {
        let first = self.hex4()?;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            } else {
                // The second stands for itself.
                self.at = back;
            }
        }
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(())
    }
}

/// Go replaces each byte that belongs to no character by one U+FFFD, not each broken sequence.
fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("", "unexpected end of JSON input")]
    #[case("{", "unexpected end of JSON input")]
    #[case("nope", "invalid character 'o' in literal null (expecting 'u')")]
    #[case("{\"a\":1,}", "invalid character '}' looking for beginning of object key string")]
    #[case("[1,]", "invalid character ']' looking for beginning of value")]
    #[case("{\"a\" 1}", "invalid character '1' after object key")]
    #[case("{\"a\":1 2}", "invalid character '2' after object key:value pair")]
    #[case("[1 2]", "invalid character '2' after array element")]
    #[case("{} x", "invalid character 'x' after top-level value")]
    #[case("01", "invalid character '1' after top-level value")]
    #[case("-x", "invalid character 'x' in numeric literal")]
    #[case("1.x", "invalid character 'x' after decimal point in numeric literal")]
    #[case("1ex", "invalid character 'x' in exponent of numeric literal")]
    #[case("\"\\x\"", "invalid character 'x' in string escape code")]
    #[case("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape")]
    #[case("\"a\nb\"", "invalid character '\\n' in string literal")]
    #[case("'a'", "invalid character '\\'' looking for beginning of value")]
    #[case("{\"a\":1\"", "invalid character '\"' after object key:value pair")]
    #[case("\u{e9}", "invalid character '\u{c3}' looking for beginning of value")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message);
    }

    #[test]
    fn bounds_depth() {
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()).unwrap_err().to_string(), "invalid character '[' exceeded max depth");
    }

    #[test]
    fn finds_duplicates() {
        let (value, duplicates) = parse_value(br#"{"a":{"b":1,"b":2},"l":[{"c":1,"c":1}],"a":3}"#).unwrap();
        assert_eq!(value, json!({"a": 3, "l": [{"c": 1}]}));
        assert_eq!(duplicates, ["duplicate field \"a.b\"", "duplicate field \"l[0].c\"", "duplicate field \"a\""]);
    }

    #[rstest]
    #[case(b"\"\xff\xfe\"", "\u{fffd}\u{fffd}")]
    #[case(br#""\ud800""#, "\u{fffd}")]
    #[case(br#""\ud83d\ude00\u00e9""#, "\u{1f600}\u{e9}")]
    #[case(br#""\ud800\u0041""#, "\u{fffd}A")]
    fn strings(#[case] text: &[u8], #[case] expected: &str) {
        assert_eq!(parse(text).unwrap(), Node::String(expected.into()));
    }

    #[rstest]
    #[case("1", json!(1))]
    #[case("1.0", json!(1))]
    #[case("1e3", json!(1000))]
    #[case("1.5", json!(1.5))]
    #[case("9223372036854775807", json!(9_223_372_036_854_775_807_i64))]
    fn numbers(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(parse(text.as_bytes()).unwrap().to_value().unwrap(), expected);
    }
}
