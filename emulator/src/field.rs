//! Errors about fields, as apimachinery's `util/validation/field` words them.

use std::fmt;

use serde_json::{Value, json};

/// The path of a field: `spec.containers[0].image`, `metadata.labels[a/b]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// The root: its first child has no dot before it.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A path of one name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// `self.name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// `self[index]`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// `self[key]`.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What apimachinery writes for a nil path.
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What kind of error a field has; the names on the wire are [`Kind::wire`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in apimachinery.
pub enum Kind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl Kind {
    /// `FieldValueRequired` and its kin, as in a Status's causes.
    #[must_use]
    pub fn wire(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One error about one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// Its kind.
    pub kind: Kind,
    /// Where.
    pub field: String,
    /// The text without the field.
    pub body: String,
}

/// All errors about an object, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn push(&mut self, kind: Kind, path: &Path, value: Option<&Value>, detail: &str) {
        let mut body = kind.words().to_owned();
        if let Some(value) = value {
            body.push_str(": ");
            match value {
                Value::String(text) => body.push_str(&quote(text)),
                other => body.push_str(&other.to_string()),
            }
        }
        if !detail.is_empty() {
            body.push_str(": ");
            body.push_str(detail);
        }
        self.0.push(Error { kind, field: path.to_string(), body });
    }

    /// The value is missing.
    pub fn required(&mut self, path: &Path, detail: &str) {
        self.push(Kind::Required, path, None, detail);
    }

    /// The value is malformed. `value` is what the message shows.
    pub fn invalid(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.push(Kind::Invalid, path, Some(&value.into()), detail);
    }

    /// The value is of another type than its schema's.
    pub fn type_invalid(&mut self, path: &Path, value: impl Into<Value>, detail: &str) {
        self.push(Kind::TypeInvalid, path, Some(&value.into()), detail);
    }

    /// The value is none of `supported`, which the message lists in the order given.
    pub fn not_supported(&mut self, path: &Path, value: impl Into<Value>, supported: &[&str]) {
        let list: Vec<_> = supported.iter().map(|s| quote(s)).collect();
        let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        self.push(Kind::NotSupported, path, Some(&value.into()), &detail);
    }

    /// The value may not be set or changed here.
    pub fn forbidden(&mut self, path: &Path, detail: &str) {
        self.push(Kind::Forbidden, path, None, detail);
    }

    /// The value occurs twice.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(Kind::Duplicate, path, Some(&value.into()), "");
    }

    /// What the value names does not exist.
    pub fn not_found(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(Kind::NotFound, path, Some(&value.into()), "");
    }

    /// The value is longer than `most` bytes.
    pub fn too_long(&mut self, path: &Path, most: usize) {
        let unit = if most == 1 { "byte" } else { "bytes" };
        self.push(Kind::TooLong, path, None, &format!("may not be more than {most} {unit}"));
    }

    /// The list has more than `most` items.
    pub fn too_many(&mut self, path: &Path, actual: usize, most: usize) {
        let unit = if most == 1 { "item" } else { "items" };
        self.push(Kind::TooMany, path, Some(&json!(actual)), &format!("must have at most {most} {unit}"));
    }

    /// An error with a text of its own.
    pub fn other(&mut self, kind: Kind, field: &str, body: String) {
        self.0.push(Error { kind, field: field.to_owned(), body });
    }

    /// Takes all of another's.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors in order.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    /// All in one line, each text once: alone when there is one, else in brackets. `None` when there are none.
    #[must_use]
    pub fn aggregate(&self) -> Option<String> {
        let mut seen: Vec<String> = Vec::new();
        for error in &self.0 {
            let line = format!("{}: {}", error.field, error.body);
            if !seen.contains(&line) {
                seen.push(line);
            }
        }
        match seen.len() {
            0 => None,
            1 => seen.pop(),
            _ => Some(format!("[{}]", seen.join(", "))),
        }
    }

    /// The causes of a Status.
    #[must_use]
    pub fn causes(&self) -> Value {
        self.0.iter().map(|e| json!({"reason": e.kind.wire(), "message": e.body, "field": e.field})).collect()
    }
}

/// A string as Go's `%q` prints it.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || c == '\u{feff}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
