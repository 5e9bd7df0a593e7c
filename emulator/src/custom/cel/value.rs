//! CEL's values. Objects of the API are borrowed and looked into as they are needed.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::Fault;
use super::library::{Quantity, Semver, Url};
use super::types::escape;
use crate::custom::schema::{Kind, Schema};

/// A value; `'a` is what API objects live for.
#[derive(Clone, Debug)]
pub(crate) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    List(Arc<Vec<Val<'a>>>),
    Map(Arc<Vec<(Val<'a>, Val<'a>)>>),
    /// A list of an API object.
    Items(&'a [Json], Option<&'a Schema>),
    /// An object of the API, or a map in one.
    Object(Object<'a>),
    Optional(Option<Arc<Val<'a>>>),
    Type(&'static str),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Quantity(Arc<Quantity>),
    Semver(Arc<Semver>),
    Format(&'static str),
}

/// An object and what its fields are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a> {
    pub(crate) fields: &'a Map<String, Json>,
    pub(crate) schema: Option<&'a Schema>,
    /// Whether kind, apiVersion and the names in metadata are there whatever the schema says.
    pub(crate) resource: bool,
}

static NAMES: LazyLock<Schema> = LazyLock::new(|| {
    Schema::parse(&serde_json::json!({"type": "object", "properties": {
        "name": {"type": "string"}, "generateName": {"type": "string"}}}))
});

static TEXT: LazyLock<Schema> = LazyLock::new(|| Schema::parse(&serde_json::json!({"type": "string"})));

/// JSON as a value of its schema; without one it is what it looks like.
pub(crate) fn wrap<'a>(json: &'a Json, schema: Option<&'a Schema>, resource: bool) -> Result<Val<'a>, Fault> {
    let natural = schema.is_none_or(|s| s.int_or_string || s.kind == Kind::Unspecified);
    let kind = schema.map(|s| s.kind).unwrap_or_default();
    let invalid = |wanted: &str| Err(Fault::new(format!("invalid data, expected {wanted}, got {}", go_type(json))));
    Ok(match json {
        Json::Null => Val::Null,
        Json::Bool(b) if natural || kind == Kind::Boolean => Val::Bool(*b),
        Json::Number(n) if natural || matches!(kind, Kind::Number | Kind::Integer) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) if kind != Kind::Number => Val::Int(n),
            (_, Some(f)) if kind == Kind::Integer && f.fract() == 0.0 =>
            {
                #[allow(clippy::cast_possible_truncation)]
                Val::Int(f as i64)
            }
            (_, Some(f)) => Val::Double(f),
            _ => return invalid("int"),
        },
        Json::String(text) if natural || kind == Kind::String => string(text, schema)?,
        Json::Array(items) if natural || kind == Kind::Array => {
            Val::Items(items, schema.and_then(|s| s.items.as_deref().map(|_| s)))
        }
        Json::Object(fields) if natural || kind == Kind::Object => Val::Object(Object { fields, schema, resource }),
        _ => {
            return invalid(match kind {
                Kind::Boolean => "bool",
                Kind::Number => "float",
                Kind::Integer => "int",
                Kind::String => "string",
                Kind::Array => "an array for the provided schema with type=array",
                _ => "a map for the provided schema with type=object",
            });
        }
    })
}

fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn string<'a>(text: &str, schema: Option<&Schema>) -> Result<Val<'a>, Fault> {
    let format = schema.filter(|s| !s.int_or_string).map_or("", |s| s.format.as_str());
    let bad = |what: &str| Fault::new(format!("Invalid {what} {text}"));
    match format {
        "byte" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| bad("byte formatted string"))?;
            Ok(Val::Bytes(bytes.into()))
        }
        "duration" => parse_duration(text).map(Val::Duration).ok_or_else(|| bad("duration")),
        "date" => format!("{text}T00:00:00Z").parse().map(Val::Timestamp).map_err(|_| bad("date formatted string")),
        "date-time" => text.parse().map(Val::Timestamp).map_err(|_| bad("date-time formatted string")),
        _ => Ok(Val::String(text.into())),
    }
}

/// A duration as Go's `time.ParseDuration` reads it, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    let mut exact: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !whole.is_empty() {
            exact = exact.checked_add(i128::from(whole.parse::<i64>().ok()?) * i128::from(scale))?;
        }
        if !fraction.is_empty() {
            #[allow(clippy::cast_precision_loss)]
            let part = format!("0.{fraction}").parse::<f64>().ok()? * scale as f64;
            total += part;
        }
        rest = after;
    }
    #[allow(clippy::cast_possible_truncation)]
    let sum = exact + total.round() as i128;
    i64::try_from(if negative { -sum } else { sum }).ok()
}

impl<'a> Object<'a> {
    /// Whether it is a map with keys of its own, as opposed to an object with declared fields.
    fn is_map(&self) -> bool {
        !self.resource && self.schema.is_none_or(|s| s.properties.is_empty() && s.values().is_some())
    }

    fn schema_of(&self, key: &str) -> Option<Option<&'a Schema>> {
        if self.resource {
            match key {
                "kind" | "apiVersion" => return Some(Some(&TEXT)),
                "metadata" => return Some(Some(&NAMES)),
                _ => {}
            }
        }
        match self.schema {
            None => Some(None),
            Some(schema) => schema.below(key).map(Some),
        }
    }

    /// A field by its name in CEL, or an entry by its key.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Val<'a>>, Fault> {
        let found = if self.is_map() || self.schema.is_none() {
            self.fields.get_key_value(name)
        } else {
            let plain = self.fields.get_key_value(name).filter(|(key, _)| escape(key).is_some());
            plain.or_else(|| self.fields.iter().find(|(key, _)| escape(key).as_deref() == Some(name)))
        };
        let Some((key, value)) = found else { return Ok(None) };
        match self.schema_of(key) {
            Some(schema) => wrap(value, schema, schema.is_some_and(|s| s.embedded)).map(Some),
            None => Ok(None),
        }
    }

    /// The keys that CEL sees.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> + use<'a> {
        let this = *self;
        let plain = this.is_map() || this.schema.is_none();
        let visible = this.fields.keys().filter(move |key| this.schema_of(key).is_some());
        visible.filter_map(move |key| if plain { Some(key.clone()) } else { escape(key) })
    }
}

impl<'a> Val<'a> {
    pub(crate) fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    pub(crate) fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The name of its type, as `type(x)` prints it and messages show it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) | Self::Items(..) => "list",
            Self::Map(_) => "map",
            Self::Object(object) if object.is_map() || object.schema.is_none() => "map",
            Self::Object(_) => "object",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
        }
    }

    /// The items of a list; `None` for anything else.
    pub(crate) fn items(&self) -> Option<Result<Vec<Self>, Fault>> {
        match self {
            Self::List(items) => Some(Ok(items.as_ref().clone())),
            Self::Items(items, schema) => {
                let below = schema.and_then(|s| s.items.as_deref());
                Some(items.iter().map(|item| wrap(item, below, below.is_some_and(|s| s.embedded))).collect())
            }
            _ => None,
        }
    }

    /// The length of a list, a map, a text or bytes.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            Self::String(text) => Some(text.chars().count()),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::List(items) => Some(items.len()),
            Self::Items(items, _) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Object(object) => Some(object.keys().count()),
            _ => None,
        }
    }

    /// An item of a list by its position.
    pub(crate) fn at(&self, index: i64) -> Option<Result<Self, Fault>> {
        let index = usize::try_from(index).ok()?;
        match self {
            Self::List(items) => items.get(index).cloned().map(Ok),
            Self::Items(items, schema) => {
                let below = schema.and_then(|s| s.items.as_deref());
                items.get(index).map(|item| wrap(item, below, below.is_some_and(|s| s.embedded)))
            }
            _ => None,
        }
    }

    /// The value at a key of a map or a field of an object.
    pub(crate) fn entry(&self, key: &Self) -> Result<Option<Self>, Fault> {
        match (self, key) {
            (Self::Object(object), Self::String(name)) => object.get(name),
            (Self::Map(entries), key) => Ok(entries.iter().find(|(k, _)| k.equals(key)).map(|(_, v)| v.clone())),
            _ => Ok(None),
        }
    }

    /// The keys of a map or an object.
    pub(crate) fn keys(&self) -> Option<Vec<Self>> {
        match self {
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.clone()).collect()),
            Self::Object(object) => Some(object.keys().map(|key| Self::text(&key)).collect()),
            _ => None,
        }
    }

    /// Equality, across numeric types too.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                self.compare(other) == Some(Ordering::Equal)
            }
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a, n), Self::Cidr(b, m)) => a == b && n == m,
            (Self::Quantity(a), Self::Quantity(b)) => a.cmp(b).is_eq(),
            (Self::Semver(a), Self::Semver(b)) => a.cmp(b).is_eq(),
            (Self::Format(a), Self::Format(b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            // The same part of the same schema: no need to look at each.
            (Self::Items(a, s), Self::Items(b, t)) if a == b && same(*s, *t) => true,
            (Self::Object(a), Self::Object(b)) if a.fields == b.fields && same(a.schema, b.schema) => true,
            (Self::List(_) | Self::Items(..), Self::List(_) | Self::Items(..)) => {
                let (Some(Ok(a)), Some(Ok(b))) = (self.items(), other.items()) else { return false };
                let within = |one: &[Self], all: &[Self]| one.iter().all(|a| all.iter().any(|b| a.equals(b)));
                // Sets and maps do not mind the order.
                let ordered = !self.is_unordered() && !other.is_unordered();
                a.len() == b.len()
                    && if ordered { a.iter().zip(&b).all(|(a, b)| a.equals(b)) } else { within(&a, &b) && within(&b, &a) }
            }
            (Self::Map(_) | Self::Object(_), Self::Map(_) | Self::Object(_)) => {
                let (Some(a), Some(b)) = (self.keys(), other.keys()) else { return false };
                a.len() == b.len()
                    && a.iter().all(|key| match (self.entry(key), other.entry(key)) {
                        (Ok(Some(a)), Ok(Some(b))) => a.equals(&b),
                        _ => false,
                    })
            }
            _ => false,
        }
    }

    /// Whether it is a list with the semantics of a set or a map.
    fn is_unordered(&self) -> bool {
        matches!(self.list_type(), Some("set" | "map"))
    }

    /// `x-kubernetes-list-type` of a list of an API object.
    pub(crate) fn list_type(&self) -> Option<&'a str> {
        match self {
            Self::Items(_, Some(schema)) => schema.list_type.as_deref(),
            _ => None,
        }
    }

    /// The order of two values of comparable types.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Uint(b)) => Some(u64::try_from(*a).map_or(Ordering::Less, |a| a.cmp(b))),
            (Self::Uint(_), Self::Int(_)) | (Self::Int(_) | Self::Uint(_), Self::Double(_)) => {
                other.compare_number(self).map(Ordering::reverse)
            }
            (Self::Double(_), Self::Int(_) | Self::Uint(_)) => self.compare_number(other),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Quantity(a), Self::Quantity(b)) => Some(a.cmp(b)),
            (Self::Semver(a), Self::Semver(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn compare_number(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Uint(b)) => Some(u64::try_from(*a).map_or(Ordering::Less, |a| a.cmp(b))),
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64)),
            _ => None,
        }
    }

    /// How much work it is to look at all of it, for the budget; deep enough for what is built in CEL.
    pub(crate) fn weight(&self) -> u64 {
        fn json(value: &Json) -> u64 {
            match value {
                Json::Array(items) => 1 + items.iter().map(json).sum::<u64>(),
                Json::Object(map) => 1 + map.values().map(json).sum::<u64>(),
                Json::String(text) => 1 + text.len() as u64 / 10,
                _ => 1,
            }
        }
        match self {
            Self::String(text) => 1 + text.len() as u64 / 10,
            Self::Bytes(bytes) => 1 + bytes.len() as u64 / 10,
            Self::List(items) => 1 + items.len() as u64,
            Self::Map(entries) => 1 + entries.len() as u64,
            Self::Items(items, _) => 1 + items.iter().map(json).sum::<u64>(),
            Self::Object(object) => 1 + object.fields.values().map(json).sum::<u64>(),
            _ => 1,
        }
    }
}

fn same(a: Option<&Schema>, b: Option<&Schema>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => std::ptr::eq(a, b),
        _ => false,
    }
}
