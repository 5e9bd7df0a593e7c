//! What becomes of a built-in object when the API server decodes it into its Go struct and writes that again: fields it does
//! not know are gone (and named, for strict requests), values are in their canonical forms, fields without `omitempty` are
//! there even if nobody gave them. The errors are those of `sigs.k8s.io/json`, in its order.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::Type;
use super::golang::{self, Field, GoTypes, Id, Kind, Omit, Special};
use super::json::{Node, number, push_strict};
use super::time;
use crate::field::quote;
use crate::kinds::quantity::Quantity;

/// A decoded object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// As the API server would write it.
    pub value: Value,
    /// `unknown field "spec.foo"`, `duplicate field "spec.bar"`: an error, a warning or nothing, as the request has it.
    pub strict: Vec<String>,
}

/// An object that does not fit its type; the message is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Decodes a value of a built-in type.
///
/// # Errors
///
/// When the value does not fit the type.
pub fn decode(ty: Type<'_>, value: Value) -> Result<Decoded, DecodeError> {
    decode_document(ty, &value.into())
}

/// The same for a document as it was written, which may give fields twice.
///
/// # Errors
///
/// When the document does not fit the type.
pub fn decode_document(ty: Type<'_>, document: &Node) -> Result<Decoded, DecodeError> {
    let types = golang::table();
    let Some(id) = ty.name().and_then(|name| types.named(name)) else {
        let value = document.to_value().map_err(|number| DecodeError(Failure::number(&number).to_string()))?;
        return Ok(Decoded { value, strict: Vec::new() });
    };
    let mut reader = Reader::new(types, true);
    match reader.read_whole(id, document) {
        Ok(value) => Ok(Decoded { value: Writer { types, stored: false }.write(id, value), strict: reader.strict }),
        Err(failure) => Err(DecodeError(failure.to_string())),
    }
}

/// The value as Go writes it: empty fields are left out, those that are always there are added. The value is one that
/// [`decode`] has given, perhaps changed since; what does not fit the type stays as it is.
#[must_use]
pub fn encode(ty: Type<'_>, value: Value) -> Value {
    write(ty, value, false)
}

/// What is read back after storing the value: etcd's form has no empty lists and maps, so these become absent or null.
#[must_use]
pub fn stored(ty: Type<'_>, value: Value) -> Value {
    write(ty, value, true)
}

fn write(ty: Type<'_>, value: Value, stored: bool) -> Value {
    let types = golang::table();
    match ty.name().and_then(|name| types.named(name)) {
        Some(id) => Writer { types, stored }.write(id, Some(value)),
        None => value,
    }
}

/// Why a document does not fit. Go completes a type error by where it occurred, other errors it passes on.
#[derive(Clone, Debug, PartialEq)]
enum Failure {
    Type { what: String, owner: String, field: String, ty: String },
    Text(String),
}

impl Failure {
    fn of(what: impl Into<String>, ty: &str) -> Self {
        Self::Type { what: what.into(), owner: String::new(), field: String::new(), ty: ty.to_owned() }
    }

    fn number(text: &str) -> Self {
        Self::of(format!("number {text}"), "float64")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Type { what, owner, field, ty } if owner.is_empty() && field.is_empty() => {
                write!(f, "json: cannot unmarshal {what} into Go value of type {ty}")
            }
            Self::Type { what, owner, field, ty } => {
                write!(f, "json: cannot unmarshal {what} into Go struct field {owner}.{field} of type {ty}")
            }
        }
    }
}

/// What Go calls a value of the wrong type.
fn called(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Bool(_) => "bool",
        Node::Number(_) => "number",
        Node::String(_) => "string",
        Node::List(_) => "array",
        Node::Object(_) => "object",
    }
}

/// Reads a document into the fields that it gives; None is what leaves a field as it was. A wrong type does not end the
/// reading (the first one is reported at the end), an error of a type that reads itself does.
struct Reader<'a> {
    types: &'a GoTypes,
    /// Whether unknown fields and duplicates are collected.
    strictly: bool,
    strict: Vec<String>,
    saved: Option<Failure>,
    /// Where the reader is, as type errors tell it: the struct, and the fields from the root.
    owner: &'a str,
    fields: Vec<String>,
    /// The same as strict errors tell it: with indices and keys.
    path: String,
}

impl<'a> Reader<'a> {
    fn new(types: &'a GoTypes, strictly: bool) -> Self {
        Self { types, strictly, strict: Vec::new(), saved: None, owner: "", fields: Vec::new(), path: String::new() }
    }

    fn read_whole(&mut self, id: Id, document: &Node) -> Result<Option<Value>, Failure> {
        let value = self.read(id, document, None).map_err(|failure| self.placed(failure))?;
        match self.saved.take() {
            Some(failure) => Err(failure),
            None => Ok(value),
        }
    }

    fn placed(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Type { what, field, ty, .. } if !self.fields.is_empty() => {
                let mut path = self.fields.join(".");
                if !field.is_empty() {
                    path.push('.');
                    path.push_str(&field);
                }
                Failure::Type { what, owner: self.owner.to_owned(), field: path, ty }
            }
            other => other,
        }
    }

    fn save(&mut self, failure: Failure) {
        if self.saved.is_none() {
            self.saved = Some(self.placed(failure));
        }
    }

    fn wrong(&mut self, node: &Node, ty: &str) -> Option<Value> {
        self.save(Failure::of(called(node), ty));
        None
    }

    /// `before` is what the same field was given earlier in the document.
    fn read(&mut self, id: Id, node: &Node, before: Option<Value>) -> Result<Option<Value>, Failure> {
        let types = self.types;
        let ty = types.get(id);
        Ok(match (&ty.kind, node) {
            (Kind::Special(special), _) => self.special(*special, node)?,
            (Kind::Pointer(_) | Kind::Slice(_) | Kind::Map(_) | Kind::Bytes | Kind::Any, Node::Null) => Some(Value::Null),
            (Kind::Pointer(to), _) => {
                let before = before.filter(|value| !value.is_null());
                // A pointer to what cannot be read is still no nil pointer, but then an error is due anyway.
                self.read(*to, node, before)?
            }
            (_, Node::Null) => before,
            (Kind::Struct(fields), Node::Object(entries)) => Some(self.object(&ty.shown, fields, entries, before)?),
            (Kind::Map(values), Node::Object(entries)) => Some(self.map(*values, entries, before)?),
            (Kind::Slice(of), Node::List(items)) => Some(self.list(*of, items)?),
            (Kind::String, Node::String(text)) => Some(Value::String(text.clone())),
            (Kind::Bool, Node::Bool(value)) => Some(Value::Bool(*value)),
            (Kind::Bytes, Node::String(text)) => match bytes(text) {
                Ok(canonical) => Some(Value::String(canonical)),
                Err(at) => {
                    self.save(Failure::Text(format!("illegal base64 data at input byte {at}")));
                    None
                }
            },
            (Kind::Bytes, Node::List(items)) => Some(self.byte_list(items)),
            (Kind::Int(bits), Node::Number(text)) => match integer(text, *bits) {
                Some(value) => Some(value.into()),
                None => {
                    self.save(Failure::of(format!("number {text}"), &ty.shown));
                    None
                }
            },
            (Kind::Float, Node::Number(text)) => match number(text) {
                Some(value) => Some(Value::Number(value)),
                None => {
                    self.save(Failure::of(format!("number {text}"), &ty.shown));
                    None
                }
            },
            (Kind::Any, _) => match node.to_value() {
                Ok(value) => Some(value),
                Err(text) => {
                    self.save(Failure::number(&text));
                    None
                }
            },
            _ => self.wrong(node, &ty.shown),
        })
    }

    fn object(
        &mut self,
        shown: &'a str,
        fields: &'a [Field],
        entries: &[(String, Node)],
        before: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut map = match before {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let outer = self.owner;
        let (depth, length) = (self.fields.len(), self.path.len());
        let mut seen = std::collections::HashSet::new();
        for (key, node) in entries {
            let Some(field) = fields.iter().find(|field| field.name == key) else {
                self.strict_error("unknown field", key);
                continue;
            };
            if !seen.insert(field.name) {
                self.strict_error("duplicate field", key);
            }
            self.owner = shown.rsplit('.').next().unwrap_or(shown);
            self.fields.push(format!("{}{}", field.through, field.name));
            self.enter(field.name);
            let before = map.remove(field.name);
            if let Some(value) = self.read(field.ty, node, before)? {
                map.insert(field.name.to_owned(), value);
            }
            self.owner = outer;
            self.fields.truncate(depth);
            self.path.truncate(length);
        }
        Ok(Value::Object(map))
    }

    fn map(&mut self, values: Id, entries: &[(String, Node)], before: Option<Value>) -> Result<Value, Failure> {
        let mut map = match before {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let length = self.path.len();
        let mut seen = std::collections::HashSet::new();
        for (key, node) in entries {
            if !seen.insert(key) {
                self.strict_error("duplicate field", key);
            }
            self.enter(key);
            let value = self.read(values, node, None)?;
            map.insert(key.clone(), value.unwrap_or_else(|| self.zero(values)));
            self.path.truncate(length);
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, of: Id, items: &[Node]) -> Result<Value, Failure> {
        let length = self.path.len();
        let mut list = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            if self.strictly {
                self.path.push_str(&format!("[{index}]"));
            }
            let value = self.read(of, node, None)?;
            list.push(value.unwrap_or_else(|| self.zero(of)));
            self.path.truncate(length);
        }
        Ok(Value::Array(list))
    }

    /// Bytes may be given as a list of numbers, too.
    fn byte_list(&mut self, items: &[Node]) -> Value {
        let mut bytes = Vec::with_capacity(items.len());
        for item in items {
            bytes.push(match item {
                Node::Null => 0,
                Node::Number(text) => text.parse::<u8>().unwrap_or_else(|_| {
                    self.save(Failure::of(format!("number {text}"), "uint8"));
                    0
                }),
                other => {
                    self.wrong(other, "uint8");
                    0
                }
            });
        }
        Value::String(STANDARD.encode(bytes))
    }

    /// What stands for a value that was not given, where there must be one.
    fn zero(&self, id: Id) -> Value {
        match &self.types.get(id).kind {
            Kind::String => Value::String(String::new()),
            Kind::Bool => Value::Bool(false),
            Kind::Int(_) | Kind::Float => 0.into(),
            Kind::Struct(_) => Value::Object(Map::new()),
            _ => Value::Null,
        }
    }

    fn enter(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
    }

    fn strict_error(&mut self, what: &str, key: &str) {
        if self.strictly {
            let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            push_strict(&mut self.strict, format!("{what} {}", quote(&path)));
        }
    }

    /// A type that reads itself: its errors end the reading.
    fn special(&mut self, special: Special, node: &Node) -> Result<Option<Value>, Failure> {
        match (special, node) {
            (Special::Time | Special::MicroTime | Special::Duration, Node::String(text)) => {
                let canonical = match special {
                    Special::Time => time::seconds(text),
                    Special::MicroTime => time::micros(text),
                    _ => super::duration::canonical(text),
                };
                canonical.map(|text| Some(Value::String(text))).map_err(Failure::Text)
            }
            (Special::Time | Special::MicroTime, Node::Null) => Ok(Some(Value::Null)),
            (Special::Duration, Node::Null) => Err(Failure::Text(super::duration::invalid(""))),
            (Special::Time | Special::MicroTime | Special::Duration, _) => Err(Failure::of(called(node), "string")),
            (Special::Quantity, Node::Null) => Ok(Some(Value::Null)),
            (Special::Quantity, Node::String(text) | Node::Number(text)) => quantity(text),
            // The parser is given the text of whatever stands there, and that never is a quantity.
            (Special::Quantity, _) => quantity("x"),
            (Special::IntOrString, Node::String(text)) => Ok(Some(Value::String(text.clone()))),
            (Special::IntOrString, Node::Null) => Ok(Some(0.into())),
            (Special::IntOrString, Node::Number(text)) => match integer(text, 32) {
                Some(value) => Ok(Some(value.into())),
                None => Err(Failure::of(format!("number {text}"), "int32")),
            },
            (Special::IntOrString, _) => Err(Failure::of(called(node), "int32")),
            (Special::Raw, _) => node.to_value().map(Some).map_err(|text| Failure::number(&text)),
            (Special::SchemaOrBool, Node::Bool(value)) => Ok(Some(Value::Bool(*value))),
            (Special::SchemaOrBool | Special::SchemaOrArray | Special::SchemaOrStrings, Node::Object(_)) => {
                self.apart("JSONSchemaProps", node)
            }
            (Special::SchemaOrBool, _) => Err(Failure::Text("boolean or JSON schema expected".into())),
            (Special::SchemaOrArray, Node::List(items)) => {
                self.elements(items, |reader, item| reader.apart("JSONSchemaProps", item))
            }
            (Special::SchemaOrStrings, Node::List(items)) => self.elements(items, |_, item| match item {
                Node::String(text) => Ok(Some(Value::String(text.clone()))),
                Node::Null => Ok(Some(Value::String(String::new()))),
                other => Err(Failure::of(called(other), "string")),
            }),
            (Special::SchemaOrArray | Special::SchemaOrStrings, _) => Ok(Some(Value::Null)),
        }
    }

    fn elements(
        &mut self,
        items: &[Node],
        read: impl Fn(&mut Self, &Node) -> Result<Option<Value>, Failure>,
    ) -> Result<Option<Value>, Failure> {
        let read: Result<Vec<Value>, Failure> =
            items.iter().map(|item| Ok(read(self, item)?.unwrap_or_else(|| Value::Object(Map::new())))).collect();
        read.map(|list| Some(Value::Array(list)))
    }

    /// A schema within a schema is decoded by a decoder of its own, which is not strict.
    fn apart(&mut self, name: &str, node: &Node) -> Result<Option<Value>, Failure> {
        let full = format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.{name}");
        match self.types.named(&full) {
            Some(id) => Reader::new(self.types, false).read_whole(id, node),
            None => Ok(None),
        }
    }
}

fn quantity(text: &str) -> Result<Option<Value>, Failure> {
    match Quantity::parse(text.trim()) {
        Ok(quantity) => Ok(Some(Value::String(quantity.to_string()))),
        Err(error) => Err(Failure::Text(error.to_string())),
    }
}

fn integer(text: &str, bits: u32) -> Option<i64> {
    let value: i64 = text.parse().ok()?;
    (bits > 32 || i32::try_from(value).is_ok()).then_some(value)
}

/// Go ignores line breaks in base64, and so does this; a failure tells the offset of the byte it is about.
fn bytes(text: &str) -> Result<String, usize> {
    // Go does not look at the bits beyond the last byte.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let positions: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).map(|(at, _)| at).collect();
    let kept: Vec<u8> = positions.iter().map(|&at| text.as_bytes()[at]).collect();
    match LENIENT.decode(&kept) {
        Ok(bytes) => Ok(STANDARD.encode(bytes)),
        Err(_) => Err(illegal(&kept).map_or(text.len(), |at| positions.get(at).copied().unwrap_or(text.len()))),
    }
}

/// The first byte that Go complains of (`encoding/base64`, `decodeQuantum`); None is the end of the text.
fn illegal(text: &[u8]) -> Option<usize> {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let at = text.iter().position(|&byte| !is_digit(byte));
    let Some(at) = at else {
        // A quantum that is cut short is reported at its start.
        return Some(text.len() - text.len() % 4);
    };
    if text[at] != b'=' {
        return Some(at);
    }
    match at % 4 {
        0 | 1 => Some(at),
        2 if text.get(at + 1).is_none() => None,
        2 if text[at + 1] != b'=' => Some(at),
        2 => Some(at + 2),
        _ => Some(at + 1),
    }
}

/// Writes what a [`Reader`] has read.
struct Writer<'a> {
    types: &'a GoTypes,
    /// Whether the value has been through etcd.
    stored: bool,
}

impl Writer<'_> {
    fn write(&self, id: Id, value: Option<Value>) -> Value {
        match (&self.types.get(id).kind, value) {
            (Kind::Pointer(to), Some(value)) if !value.is_null() => self.write(*to, Some(value)),
            (Kind::Slice(of), Some(Value::Array(items))) if !(self.stored && items.is_empty()) => {
                Value::Array(items.into_iter().map(|item| self.write(*of, Some(item))).collect())
            }
            (Kind::Map(of), Some(Value::Object(map))) if !(self.stored && map.is_empty()) => {
                Value::Object(map.into_iter().map(|(key, value)| (key, self.element(*of, value))).collect())
            }
            (Kind::Pointer(_) | Kind::Any, None) => Value::Null,
            (Kind::Slice(_) | Kind::Map(_) | Kind::Bytes, None | Some(Value::Array(_) | Value::Object(_))) => Value::Null,
            (Kind::Struct(fields), None | Some(Value::Null)) => self.object(fields, Map::new()),
            (Kind::Struct(fields), Some(Value::Object(map))) => self.object(fields, map),
            (Kind::Special(Special::Quantity), None | Some(Value::Null)) => "0".into(),
            (Kind::Special(Special::IntOrString), None | Some(Value::Null)) => 0.into(),
            (Kind::Special(Special::Duration), None | Some(Value::Null)) => "0s".into(),
            (
                Kind::Special(special @ (Special::SchemaOrBool | Special::SchemaOrArray | Special::SchemaOrStrings)),
                Some(value),
            ) => self.schema(*special, value),
            // The zero time can be given, yet is written as null.
            (Kind::Special(Special::Time | Special::MicroTime), Some(Value::String(text))) if time::is_zero(&text) => Value::Null,
            (Kind::Special(_), None) => Value::Null,
            (Kind::String, None | Some(Value::Null)) => "".into(),
            (Kind::Bool, None | Some(Value::Null)) => false.into(),
            (Kind::Int(_) | Kind::Float, None | Some(Value::Null)) => 0.into(),
            // Anything else is as it is written, or nothing of this type.
            (_, value) => value.unwrap_or_default(),
        }
    }

    /// A map's value: none of these is nil when it comes back from etcd.
    fn element(&self, id: Id, value: Value) -> Value {
        match (&self.types.get(id).kind, value) {
            (Kind::Bytes, Value::Null) if self.stored => "".into(),
            (Kind::Slice(_), Value::Null) if self.stored => Value::Array(Vec::new()),
            (Kind::Slice(_), Value::Array(items)) if self.stored && items.is_empty() => Value::Array(items),
            (_, value) => self.write(id, Some(value)),
        }
    }

    fn object(&self, fields: &[Field], mut map: Map<String, Value>) -> Value {
        let mut out = Map::new();
        for field in fields {
            let value = map.remove(field.name);
            let absent = match field.omit {
                Omit::Never => false,
                Omit::Empty => self.is_empty(field.ty, value.as_ref()),
                Omit::Zero => value.as_ref().is_none_or(|value| value.is_null() || value.as_str().is_some_and(time::is_zero)),
            };
            if !absent {
                out.insert(field.name.to_owned(), self.write(field.ty, value));
            }
        }
        Value::Object(out)
    }

    /// What `omitempty` leaves out.
    fn is_empty(&self, id: Id, value: Option<&Value>) -> bool {
        match (&self.types.get(id).kind, value) {
            (Kind::Struct(_) | Kind::Special(_), _) => false,
            (_, None | Some(Value::Null)) => true,
            (Kind::Pointer(_) | Kind::Any, Some(_)) => false,
            (_, Some(Value::Bool(value))) => !value,
            (_, Some(Value::Number(number))) => number.as_f64() == Some(0.0),
            (_, Some(Value::String(text))) => text.is_empty(),
            (_, Some(Value::Array(items))) => items.is_empty(),
            (_, Some(Value::Object(map))) => map.is_empty(),
        }
    }

    fn schema(&self, special: Special, value: Value) -> Value {
        let props = self.types.named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
        match (value, props) {
            (Value::Object(map), Some(id)) => self.write(id, Some(Value::Object(map))),
            (Value::Array(items), _) if items.is_empty() => Value::Null,
            (Value::Array(items), Some(id)) if special == Special::SchemaOrArray => {
                Value::Array(items.into_iter().map(|item| self.write(id, Some(item))).collect())
            }
            (value, _) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::schema::json::parse;
    use crate::schema::table::builtin;

    fn ty(group: &str, version: &str, kind: &str) -> Type<'static> {
        builtin().type_of(group, version, kind).unwrap()
    }

    fn error(ty: Type<'_>, value: Value) -> String {
        decode(ty, value).unwrap_err().to_string()
    }

    #[test]
    fn writes_what_is_always_there() {
        let value = decode(ty("apps", "v1", "Deployment"), json!({"metadata": {"name": "a"}, "spec": {}})).unwrap().value;
        assert_eq!(
            value,
            json!({"metadata": {"name": "a"}, "spec": {"selector": null, "strategy": {}, "template": {"metadata": {},
                "spec": {"containers": null}}}, "status": {}})
        );
    }

    #[test]
    fn keeps_zero_behind_pointers_only() {
        let given = json!({"spec": {"replicas": 0, "paused": false, "minReadySeconds": 0}});
        let value = decode(ty("apps", "v1", "Deployment"), given).unwrap().value;
        assert_eq!(value["spec"]["replicas"], json!(0));
        assert_eq!(value["spec"].get("paused"), None);
    }

    #[test]
    fn names_unknown_fields_and_duplicates() {
        let text = br#"{"foo":1,"spec":{"template":{"spec":{"containers":[{"name":"a","nope":1,"name":"b"}]}},"bar":{"x":1}},
            "metadata":{"labels":{"a":"1","a":"2"}}}"#;
        let decoded = decode_document(ty("apps", "v1", "Deployment"), &parse(text).unwrap()).unwrap();
        assert_eq!(
            decoded.strict,
            [
                "unknown field \"foo\"",
                "unknown field \"spec.template.spec.containers[0].nope\"",
                "duplicate field \"spec.template.spec.containers[0].name\"",
                "unknown field \"spec.bar\"",
                "duplicate field \"metadata.labels.a\"",
            ]
        );
        assert_eq!(decoded.value["metadata"]["labels"], json!({"a": "2"}));
    }

    #[rstest]
    #[case(json!({"spec": {"replicas": "3"}}),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32")]
    #[case(json!({"spec": {"replicas": 1.5}}),
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32")]
    #[case(json!({"spec": {"template": {"spec": {"containers": "x"}}}}),
        "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container")]
    #[case(json!({"metadata": {"labels": {"a": 1}}}),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string")]
    #[case(json!({"spec": []}), "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec")]
    #[case(json!([]), "json: cannot unmarshal array into Go value of type v1.Deployment")]
    #[case(json!({"metadata": {"creationTimestamp": "now"}}),
        "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"")]
    #[case(json!({"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}}}}),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    #[case(json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": true}}}}),
        "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32")]
    #[case(json!({"spec": {"template": {"spec": {"containers": [{"livenessProbe": {"exec": "x"}}]}}}}),
        "json: cannot unmarshal string into Go struct field \
         Probe.spec.template.spec.containers.livenessProbe.ProbeHandler.exec of type v1.ExecAction")]
    fn says_what_is_wrong(#[case] value: Value, #[case] message: &str) {
        assert_eq!(error(ty("apps", "v1", "Deployment"), value), message);
    }

    #[rstest]
    #[case(json!({"data": {"a": "YQ=="}}), json!({"a": "YQ=="}))]
    #[case(json!({"data": {"a": "Y\nQ=="}}), json!({"a": "YQ=="}))]
    #[case(json!({"data": {"a": "YR=="}}), json!({"a": "YQ=="}))]
    #[case(json!({"data": {"a": null}}), json!({"a": null}))]
    fn canonical_bytes(#[case] value: Value, #[case] data: Value) {
        assert_eq!(decode(ty("", "v1", "Secret"), value).unwrap().value["data"], data);
    }

    #[rstest]
    #[case("x", 0)]
    #[case("YQ=", 3)]
    #[case("YQ", 0)]
    #[case("YW!j", 2)]
    #[case("YWJjZ", 4)]
    #[case("====", 0)]
    fn illegal_bytes(#[case] text: &str, #[case] at: usize) {
        let message = format!("illegal base64 data at input byte {at}");
        assert_eq!(error(ty("", "v1", "Secret"), json!({"data": {"a": text}})), message);
    }

    #[test]
    fn storing_drops_empty_lists() {
        let slice = ty("discovery.k8s.io", "v1", "EndpointSlice");
        let value = decode(slice, json!({"addressType": "IPv4", "endpoints": [], "ports": []})).unwrap().value;
        assert_eq!(value["endpoints"], json!([]));
        let value = stored(slice, value);
        assert_eq!(value, json!({"addressType": "IPv4", "endpoints": null, "ports": null, "metadata": {}}));
    }

    #[test]
    fn nested_schemas_are_not_strict() {
        let text = br#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"nope":1,"properties":{"a":{"items":{"type":"string","nope":1},
            "additionalProperties":false}}}}}]}}"#;
        let decoded =
            decode_document(ty("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), &parse(text).unwrap()).unwrap();
        assert_eq!(decoded.strict, ["unknown field \"spec.versions[0].schema.openAPIV3Schema.nope\""]);
        assert_eq!(
            decoded.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            json!({"properties": {"a": {"items": {"type": "string"}, "additionalProperties": false}}})
        );
    }

    /// Documents made at random from the schemas, with what does not fit them sprinkled in, and what Kubernetes' own Go types
    /// (k8s.io/api v0.34.1) made of them by `sigs.k8s.io/json`.
    #[test]
    fn decodes_like_go() {
        for line in include_str!("../../tests/decoding/cases.jsonl").lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let part = |key: &str| case[key].as_str().unwrap();
            let ty = ty(part("group"), part("version"), part("kind"));
            let body = part("body");
            match decode_document(ty, &parse(body.as_bytes()).unwrap()) {
                Ok(decoded) => {
                    let written = Node::from(case["written"].clone()).to_value().unwrap();
                    assert_eq!(decoded.value, written, "{body}");
                    let strict: Vec<&str> =
                        case["strict"].as_array().into_iter().flatten().map(|s| s.as_str().unwrap()).collect();
                    assert_eq!(decoded.strict, strict, "{body}");
                }
                Err(error) => assert_eq!(error.to_string(), part("error"), "{body}"),
            }
        }
    }
}
