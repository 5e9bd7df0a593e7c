//! Label selectors in their string form, as `pkg/labels/selector.go` of apimachinery reads and writes them:
//! `app=web,tier in (a,b),!old`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::names;

/// How a requirement relates its key and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// Refuses what no label can have; the error is one line, as the API server answers it.
    pub(crate) fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Errors::new();
        let bad_key = names::qualified(key);
        if !bad_key.is_empty() {
            errors.invalid(&Path::new("key"), key, &bad_key.join("; "));
        }
        let path = Path::new("values");
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.invalid(&path, values.clone(), "for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                errors.invalid(&path, values.clone(), "exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                errors.invalid(&path, values.clone(), "values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    errors.invalid(&path, values.clone(), "for 'Gt', 'Lt' operators, exactly one value is required");
                }
                for (i, value) in values.iter().enumerate().filter(|(_, value)| integer(value).is_none()) {
                    let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.invalid(&path.index(i), value.as_str(), text);
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let bad = names::label_value(value);
            if !bad.is_empty() {
                errors.invalid(&path.index(i).key(key), value.as_str(), &bad.join("; "));
            }
        }
        match errors.aggregate() {
            Some(text) => Err(text),
            None => Ok(Self { key: key.to_owned(), operator, values }),
        }
    }

    fn matches(&self, labels: &Value) -> bool {
        let value = labels.get(&self.key).and_then(Value::as_str);
        let listed = |value: &str| self.values.iter().any(|one| one == value);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let bound = self.values.first().and_then(|bound| integer(bound));
                match (value.and_then(integer), bound) {
                    (Some(value), Some(bound)) if self.operator == Operator::GreaterThan => value > bound,
                    (Some(value), Some(bound)) => value < bound,
                    _ => false,
                }
            }
        }
    }
}

/// What Go's `strconv.ParseInt` takes.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<_> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// All requirements must hold, so that the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    /// Selects no object at all: what an absent LabelSelector stands for.
    pub(crate) fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// All of them together.
    pub(crate) fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// What both of them select.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.nothing |= other.nothing;
        self.requirements.extend(other.requirements);
        self.requirements.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }

    /// From a query parameter.
    ///
    /// # Errors
    /// The message of the 400 that it is answered with.
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser::new(text).parse().map(Self::new)
    }

    /// Whether every object is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether an object with these labels (`metadata.labels`, or null) is selected.
    #[must_use]
    pub fn matches(&self, labels: &Value) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.matches(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Word,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

/// The tokens of a text, the last of which is [`Token::End`]. Like Go's, it takes a NUL byte for the end of the text.
fn scan(text: &str) -> Vec<(Token, &str)> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let is_symbol = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let mut rest = text.split('\0').next().unwrap_or_default();
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_space);
        let (token, length) = match rest.as_bytes() {
            [] => break,
            [b'=', b'=', ..] => (Token::DoubleEquals, 2),
            [b'!', b'=', ..] => (Token::NotEquals, 2),
            [b'=', ..] => (Token::Equals, 1),
            [b'!', ..] => (Token::Not, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'>', ..] => (Token::Greater, 1),
            [b'<', ..] => (Token::Less, 1),
            _ => {
                let length = rest.find(|c| is_space(c) || is_symbol(c)).unwrap_or(rest.len());
                match &rest[..length] {
                    "in" => (Token::In, length),
                    "notin" => (Token::NotIn, length),
                    _ => (Token::Word, length),
                }
            }
        };
        tokens.push((token, &rest[..length]));
        rest = &rest[length..];
    }
    tokens.push((Token::End, ""));
    tokens
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { tokens: scan(text), position: 0 }
    }

    /// The next token; `in` and `notin` are mere words everywhere but in the place of an operator.
    fn peek(&self) -> (Token, &'a str) {
        match self.tokens.get(self.position) {
            Some(&(Token::In | Token::NotIn, text)) => (Token::Word, text),
            Some(&token) => token,
            None => (Token::End, ""),
        }
    }

    fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::Word | Token::Not, _) => {
                    let one = self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
                    requirements.push(one);
                    match self.next() {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => match self.peek() {
                            (Token::Word | Token::Not, _) => {}
                            (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
                        },
                        (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                    }
                }
                (Token::End, _) => return Ok(requirements),
                (_, text) => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Word {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let bad = names::qualified(key);
        if !bad.is_empty() {
            let mut errors = Errors::new();
            errors.invalid(&Path::root(), key, &bad.join("; "));
            return Err(errors.aggregate().unwrap_or_default());
        }
        if negated {
            // What follows is the caller's to refuse.
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => BTreeSet::from([self.value()?]),
        };
        Requirement::new(key, operator, values.into_iter().map(str::to_owned).collect())
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (token, text) = self.tokens.get(self.position).copied().unwrap_or((Token::End, ""));
        self.position += 1;
        Ok(match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        })
    }

    fn value(&mut self) -> Result<&'a str, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok("");
        }
        match self.next() {
            (Token::Word, text) => Ok(text),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<&'a str>, String> {
        let (token, text) = self.next();
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        match self.peek() {
            (Token::Word | Token::Comma, first) => {
                let values = self.identifiers()?;
                match self.next() {
                    (Token::Close, _) => Ok(values),
                    // It names the first token of the list, wherever the list went wrong.
                    _ => Err(format!("found '{first}', expected: ')'")),
                }
            }
            (Token::Close, _) => {
                self.position += 1;
                Ok(BTreeSet::from([""]))
            }
            (_, text) => Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// Values up to the closing parenthesis; two commas in a row have an empty one between them.
    fn identifiers(&mut self) -> Result<BTreeSet<&'a str>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Word, value) => {
                    values.insert(value);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert("");
                    }
                    match self.peek().0 {
                        Token::Close => {
                            values.insert("");
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.position += 1;
                            values.insert("");
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()")]
    #[case("b==2,a=1,!c", "a=1,b==2,!c")]
    #[case("a!=", "a!=")]
    #[case("a>5,b<3", "a>5,b<3")]
    #[case("in in (in, notin)", "in in (in,notin)")]
    #[case("", "")]
    fn reads_and_writes(#[case] text: &str, #[case] written: &str) {
        assert_eq!(Selector::parse(text).unwrap().to_string(), written);
    }

    #[rstest]
    #[case("a in", "unable to parse requirement: found '' expected: '('")]
    #[case("a,", "found '', expected: identifier after ','")]
    #[case("(", "found '(', expected: !, identifier, or 'end of string'")]
    #[case("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")]
    #[case(
        "a>x",
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
    )]
    fn refuses(#[case] text: &str, #[case] why: &str) {
        assert_eq!(Selector::parse(text).unwrap_err(), why);
    }

    #[test]
    fn bad_keys_and_values_are_named() {
        let why = Selector::parse("a/b/c=1").unwrap_err();
        assert!(why.starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a qualified name must"), "{why}");
        let why = Selector::parse("a=$").unwrap_err();
        assert!(why.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"$\": a valid label must"), "{why}");
    }

    #[rstest]
    #[case("a=1", true)]
    #[case("a!=1", false)]
    #[case("b!=1", true)]
    #[case("b notin (x)", true)]
    #[case("a in (1,2),!b", true)]
    #[case("a>0", true)]
    #[case("a<1", false)]
    fn matches(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(Selector::parse(text).unwrap().matches(&json!({"a": "1"})), expected);
        assert!(!Selector::nothing().matches(&Value::Null));
        assert!(Selector::default().matches(&Value::Null));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn never_panics_on_symbols(text in "[abn (),=!<>in\\x00]{0,20}") {
            let _ = Selector::parse(&text);
        }
    }
}
