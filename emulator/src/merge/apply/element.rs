//! One step of the path to a field: structured-merge-diff's `fieldpath/element.go` and `serialize-pe.go`.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use crate::field::quote;
use crate::merge::go;

/// How a child is found in what contains it.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    /// A field of an object, a key of a map.
    Field(String),
    /// The item of an associative list with these keys, sorted by name.
    Key(Vec<(String, Value)>),
    /// An item of a set.
    Value(Value),
    /// An item of an atomic list.
    Index(i64),
}

impl Element {
    /// Reads the form that `fieldsV1` has: `f:spec`, `k:{"name":"a"}`, `v:"a"`, `i:0`. None is a kind of element that a
    /// later version may know; it is ignored.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let Some((kind, content)) = text.split_at_checked(2) else {
            return Err(if text.len() < 2 { "key must be 2 characters long:".into() } else { format!("missing colon: {text}") });
        };
        if !kind.ends_with(':') {
            return Err(format!("missing colon: {text}"));
        }
        match kind {
            "f:" => Ok(Some(Self::Field(content.to_owned()))),
            "v:" => serde_json::from_str(content).map(|value| Some(Self::Value(value))).map_err(|e| e.to_string()),
            "k:" => serde_json::from_str::<Map<String, Value>>(content)
                .map(|keys| Some(Self::Key(keys.into_iter().collect())))
                .map_err(|e| e.to_string()),
            "i:" => content
                .parse()
                .map(|index| Some(Self::Index(index)))
                .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", quote(content))),
            _ => Ok(None),
        }
    }

    /// The form in `fieldsV1`.
    pub(crate) fn serialize(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let mut out = String::from("k:{");
                for (index, (name, value)) in keys.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    out.push_str(&value.to_string());
                }
                out.push('}');
                out
            }
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for ((name_a, value_a), (name_b, value_b)) in a.iter().zip(b) {
                    let order = name_a.cmp(name_b).then_with(|| compare(value_a, value_b));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

/// As in messages: `.spec`, `[name="a"]`, `[="a"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", shown(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", shown(value)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// `value.ToString`.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => go::number(n),
        Value::String(s) => quote(s),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect(),
    }
}

fn type_rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// A total order of values, in which 1 and 1.0 are the same (`value.Compare`).
pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.as_f64().unwrap_or(0.0).total_cmp(&y.as_f64().unwrap_or(0.0)),
        },
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Array(x), Value::Array(y)) => {
            for (a, b) in x.iter().zip(y) {
                let order = compare(a, b);
                if order.is_ne() {
                    return order;
                }
            }
            x.len().cmp(&y.len())
        }
        (Value::Object(x), Value::Object(y)) => {
            for ((name_a, a), (name_b, b)) in x.iter().zip(y) {
                let order = name_a.cmp(name_b).then_with(|| compare(a, b));
                if order.is_ne() {
                    return order;
                }
            }
            x.len().cmp(&y.len())
        }
        _ => type_rank(a).cmp(&type_rank(b)),
    }
}

/// Whether two values are the same, 1 and 1.0 too (`value.Equals`).
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    compare(a, b).is_eq()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    // fieldpath/serialize-pe_test.go
    #[rstest]
    #[case("i:0")]
    #[case("i:1234")]
    #[case("f:")]
    #[case("f:spec")]
    #[case("f:more-complicated-string")]
    #[case(r#"k:{"name":"my-container"}"#)]
    #[case(r#"k:{"port":"8080","protocol":"TCP"}"#)]
    #[case(r#"k:{"optionalField":null}"#)]
    #[case(r#"k:{"jsonField":{"A":1,"B":null,"C":"D","E":{"F":"G"}}}"#)]
    #[case(r#"k:{"listField":["1","2","3"]}"#)]
    #[case("v:null")]
    #[case(r#"v:"some-string""#)]
    #[case("v:1234")]
    #[case(r#"v:{"some":"json"}"#)]
    fn round_trips(#[case] text: &str) {
        assert_eq!(Element::parse(text).unwrap().unwrap().serialize(), text);
    }

    #[rstest]
    #[case("")]
    #[case("f")]
    #[case("no-colon")]
    #[case("i:index is not a number")]
    #[case("i:1.23")]
    #[case("i:")]
    #[case("v:invalid json")]
    #[case("v:")]
    #[case("k:invalid json")]
    #[case("k:{\"name\":invalid}")]
    #[case("é")]
    fn refuses(#[case] text: &str) {
        assert!(Element::parse(text).is_err(), "{text}");
    }

    #[test]
    fn ignores_the_unknown() {
        assert_eq!(Element::parse("x:future").unwrap(), None);
    }

    #[test]
    fn orders_and_prints() {
        let key = Element::Key(vec![("containerPort".into(), json!(80)), ("protocol".into(), json!("TCP"))]);
        assert_eq!(key.to_string(), r#"[containerPort=80,protocol="TCP"]"#);
        assert!(Element::Field("z".into()) < key);
        assert!(key < Element::Value(json!(1)));
        assert_eq!(Element::Value(json!(1)), Element::Value(json!(1.0)));
        assert_eq!(Element::Value(json!("a")).to_string(), r#"[="a"]"#);
    }
}
