//! CEL's types, as the checker knows them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::custom::schema::{Kind, Schema};

/// A type of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Dyn,
    /// Of what is wrong already; everything fits.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    /// The type of a type.
    #[allow(clippy::enum_variant_names)]
    Type(Arc<Type>),
    /// Kubernetes' own: `kubernetes.URL`, `net.IP`, ...
    Named(&'static str),
    Object(Arc<ObjectType>),
    /// A parameter in a declaration.
    Param(char),
    /// A parameter in an expression, to be found out.
    Var(usize),
}

/// An object with known fields, by their escaped names.
#[derive(Debug, Default)]
pub(crate) struct ObjectType {
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<String, Type>,
}

impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Type {
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    pub(crate) fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub(crate) fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    pub(crate) fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
        Self::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
    }

    /// Whether null is a value of it.
    pub(crate) fn is_nullable(&self) -> bool {
        matches!(self, Self::Named(_) | Self::Object(_) | Self::Timestamp | Self::Duration | Self::Null)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Type(of) => write!(f, "type({of})"),
            Self::Named(name) => f.write_str(name),
            Self::Object(object) => f.write_str(&object.name),
            Self::Param(name) => write!(f, "{name}"),
            Self::Var(_) => f.write_str("_"),
        }
    }
}

const RESERVED: [&str; 18] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
];

/// A property's name as an identifier in CEL; `None` for one that cannot be written.
pub(crate) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/".contains(c)) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__").replace('.', "__dot__");
    Some(escaped.replace('-', "__dash__").replace('/', "__slash__"))
}

/// The type of what a schema describes; `None` for what CEL does not see.
pub(crate) fn of_schema(schema: &Schema, resource: bool, name: &str) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::Dyn);
    }
    match schema.kind {
        Kind::Array => {
            let items = schema.items.as_deref()?;
            Some(Type::list(of_schema(items, items.embedded, &format!("{name}.@idx"))?))
        }
        Kind::Object => {
            if let Some(values) = schema.values() {
                return Some(Type::map(Type::String, of_schema(values, values.embedded, &format!("{name}.@elem"))?));
            }
            let mut fields = BTreeMap::new();
            for (key, below) in &schema.properties {
                let ty = of_schema(below, below.embedded, &format!("{name}.{key}"));
                if let (Some(key), Some(ty)) = (escape(key), ty) {
                    fields.insert(key, ty);
                }
            }
            if resource {
                fields.insert("kind".to_owned(), Type::String);
                fields.insert("apiVersion".to_owned(), Type::String);
                let names = [("name", Type::String), ("generateName", Type::String)];
                fields.insert("metadata".to_owned(), Type::object(&format!("{name}.metadata"), names));
            }
            Some(Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields })))
        }
        Kind::String => Some(match schema.format.as_str() {
            "byte" => Type::Bytes,
            "duration" => Type::Duration,
            "date" | "date-time" => Type::Timestamp,
            _ => Type::String,
        }),
        Kind::Boolean => Some(Type::Bool),
        Kind::Number => Some(Type::Double),
        Kind::Integer => Some(Type::Int),
        Kind::Unspecified => None,
    }
}
