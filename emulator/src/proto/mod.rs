//! `application/vnd.kubernetes.protobuf`, which Go's clients speak: objects to and from JSON.
//!
//! Custom resources have no messages; a request for them in protobuf is refused, as an API server does.

mod decode;
mod encode;
mod special;
mod table;
mod wire;

use serde_json::Value;

use crate::status::Refusal;
use table::{Message, Table};
use wire::{LENGTH, Reader, put_bytes};

/// What every body begins with; the rest is a `runtime.Unknown`.
const MAGIC: &[u8] = b"k8s\0";

/// Why bytes are no object, in the words of Go's generated code; or why an object has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtoError {
    #[error("empty data")]
    EmptyData,
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    #[error("empty body")]
    EmptyBody,
    #[error("unexpected EOF")]
    UnexpectedEof,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    #[error("proto: {0}: wiretype end group for non-group")]
    EndGroup(&'static str),
    #[error("proto: unexpected end of group")]
    UnexpectedEndGroup,
    #[error("proto: {message}: illegal tag {number} (wire type {wire})")]
    IllegalTag { message: &'static str, number: i32, wire: u8 },
    #[error("proto: illegal wireType {0}")]
    IllegalWire(u8),
    #[error("proto: wrong wireType = {wire} for field {}", go_name(field))]
    WrongWire { field: &'static str, wire: u8 },
    /// Go has no limit there; a stack has.
    #[error("proto: messages are nested too deeply")]
    TooDeep,
    #[error(
        "no kind {kind:?} is registered for version {api_version:?} in scheme \"k8s.io/apimachinery@v1.34.1-k3s1/pkg/runtime/scheme.go:110\""
    )]
    Unregistered { api_version: String, kind: String },
    #[error("{0}")]
    Value(String),
}

impl ProtoError {
    fn mismatch(value: &Value, expected: &str) -> Self {
        Self::Value(format!("{value} is not {expected}"))
    }
}

/// What Go calls a field, of which JSON's name is known.
fn go_name(field: &str) -> String {
    let mut letters = field.chars();
    match letters.next() {
        Some(_) if field == "metadata" => "ObjectMeta".into(),
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// How many messages may be within one another.
#[derive(Clone, Copy, Debug)]
struct Depth(u16);

impl Depth {
    const LIMIT: Self = Self(200);

    fn deeper(self) -> Result<Self, ProtoError> {
        self.0.checked_sub(1).map(Self).ok_or(ProtoError::TooDeep)
    }
}

/// What an envelope says of the object in it, and the message.
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

fn open(body: &[u8]) -> Result<Envelope<'_>, ProtoError> {
    let unknown = match body.strip_prefix(MAGIC) {
        _ if body.is_empty() => return Err(ProtoError::EmptyData),
        None => return Err(ProtoError::Prefix),
        Some([]) => return Err(ProtoError::EmptyBody),
        Some(unknown) => unknown,
    };
    let (mut type_meta, mut raw) = (&[][..], &[][..]);
    let mut reader = Reader::new(unknown);
    while let Some((number, wire)) = reader.tag("Unknown")? {
        match (number, wire) {
            (1, LENGTH) => type_meta = reader.bytes()?,
            (2, LENGTH) => raw = reader.bytes()?,
            _ => reader.skip(wire)?,
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    let mut reader = Reader::new(type_meta);
    while let Some((number, wire)) = reader.tag("TypeMeta")? {
        match (number, wire) {
            (1, LENGTH) => api_version = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            (2, LENGTH) => kind = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            _ => reader.skip(wire)?,
        }
    }
    Ok(Envelope { api_version, kind, raw })
}

/// The object in a body. One that does not name its apiVersion or kind (a client may leave that to the address) is of those
/// `expected`.
pub(crate) fn decode(body: &[u8], expected: (&str, &str)) -> Result<Value, ProtoError> {
    contents(open(body)?, expected)
}

fn contents(envelope: Envelope<'_>, expected: (&str, &str)) -> Result<Value, ProtoError> {
    let or = |own: String, expected: &str| if own.is_empty() { expected.to_owned() } else { own };
    let api_version = or(envelope.api_version, expected.0);
    let kind = or(envelope.kind, expected.1);
    let mut object = decode::message(find(&api_version, &kind)?, envelope.raw, Depth::LIMIT)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// The object in the body of a request for a built-in kind, refused as an API server refuses what it cannot read.
pub(crate) fn decode_request(body: &[u8], api_version: &str, kind: &str) -> Result<Value, Refusal> {
    let envelope = open(body).map_err(|why| {
        let why = format!("the object provided is unrecognized (must be of type {kind}): {why} ({})", summary(body));
        Refusal::bad_request(why)
    })?;
    let given = if envelope.kind.is_empty() { kind.to_owned() } else { envelope.kind.clone() };
    let full = if envelope.api_version.is_empty() { api_version.to_owned() } else { envelope.api_version.clone() };
    let version = full.rsplit('/').next().unwrap_or_default();
    contents(envelope, (api_version, kind))
        .map_err(|why| Refusal::bad_request(format!("{given} in version {version:?} cannot be handled as a {kind}: {why}")))
}

/// The start of a body in an error.
fn summary(body: &[u8]) -> String {
    const MAX: usize = 30;
    let shown = body.get(..MAX).unwrap_or(body);
    let mut text = if body.first() == Some(&b'{') {
        String::from_utf8_lossy(shown).into_owned()
    } else {
        shown.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    match body.len() {
        0 => text.push_str("<empty>"),
        length if length > MAX => text.push_str(" ..."),
        _ => {}
    }
    text
}

/// The body of an object, which says itself what it is.
pub(crate) fn encode(object: &Value) -> Result<Vec<u8>, ProtoError> {
    let text = |field| object.get(field).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let raw = encode::message(find(api_version, kind)?, object, Depth::LIMIT)?;
    let mut type_meta = Vec::new();
    put_bytes(1, api_version.as_bytes(), &mut type_meta);
    put_bytes(2, kind.as_bytes(), &mut type_meta);
    let mut out = MAGIC.to_vec();
    put_bytes(1, &type_meta, &mut out);
    put_bytes(2, &raw, &mut out);
    // contentEncoding and contentType, which are empty.
    put_bytes(3, b"", &mut out);
    put_bytes(4, b"", &mut out);
    Ok(out)
}

/// One event of a watch (`application/vnd.kubernetes.protobuf;stream=watch`): the length in four bytes, then a `WatchEvent`
/// without an envelope, with the object in one.
pub(crate) fn watch_frame(event: &str, object: &Value) -> Result<Vec<u8>, ProtoError> {
    let mut raw = Vec::new();
    put_bytes(1, &encode(object)?, &mut raw);
    let mut message = Vec::new();
    put_bytes(1, event.as_bytes(), &mut message);
    put_bytes(2, &raw, &mut message);
    let length = u32::try_from(message.len()).map_err(|_| ProtoError::Value("the event is too large".into()))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.append(&mut message);
    Ok(frame)
}

fn find(api_version: &str, kind: &str) -> Result<&'static Message, ProtoError> {
    Table::get()
        .find(api_version, kind)
        .ok_or_else(|| ProtoError::Unregistered { api_version: api_version.into(), kind: kind.into() })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// Objects as a K3s v1.34.1 gave them, in both forms.
    const RECORDED: &str = include_str!("recorded.jsonl");

    #[test]
    fn objects_are_those_of_a_real_one() {
        for line in RECORDED.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let bytes = special::bytes_from_json(&case["protobuf"]).unwrap();
            let object = decode(&bytes, ("", "")).unwrap();
            assert_eq!(object, case["object"]);
            assert_eq!(encode(&object).unwrap(), bytes, "{}", object["kind"]);
        }
    }

    #[rstest]
    #[case(b"", "the object provided is unrecognized (must be of type ConfigMap): empty data (<empty>)")]
    #[case(b"k8s\0", "the object provided is unrecognized (must be of type ConfigMap): empty body (6b387300)")]
    #[case(
        b"abc",
        "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a protobuf \
         message, expected prefix [107 56 115 0] (616263)"
    )]
    #[case(b"k8s\0\xff", "the object provided is unrecognized (must be of type ConfigMap): unexpected EOF (6b387300ff)")]
    #[case(b"k8s\0\x12\x02\xff\xff", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: unexpected EOF")]
    #[case(
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x04\x05",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: proto: ConfigMap: wiretype end group for non-group"
    )]
    #[case(
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x08\x01",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: proto: wrong wireType = 0 for field ObjectMeta"
    )]
    #[case(
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigFoo\x12\x02\x0a\x00",
        "ConfigFoo in version \"v1\" cannot be handled as a ConfigMap: no kind \"ConfigFoo\" is registered for version \"v1\" in \
         scheme \"k8s.io/apimachinery@v1.34.1-k3s1/pkg/runtime/scheme.go:110\""
    )]
    fn refuses_as_a_real_one(#[case] body: &[u8], #[case] message: &str) {
        assert_eq!(decode_request(body, "v1", "ConfigMap").unwrap_err().message, message);
    }

    #[test]
    fn an_object_that_does_not_say_what_it_is_is_what_is_expected() {
        let object = decode_request(b"k8s\0\x12\x00", "v1", "ConfigMap").unwrap();
        assert_eq!(object, json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}}));
    }

    #[test]
    fn depth_is_bounded() {
        let mut schema = json!({"type": "object"});
        for _ in 0..150 {
            schema = json!({"items": schema});
        }
        let version = |schema| json!({"name": "v1", "schema": {"openAPIV3Schema": schema}});
        let crd = |schema| json!({"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": {"versions": [version(schema)]}});
        let bytes = encode(&crd(schema.clone())).unwrap();
        assert_eq!(decode(&bytes, ("", "")).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], schema);
        for _ in 0..150 {
            schema = json!({"items": schema});
        }
        assert_eq!(encode(&crd(schema)), Err(ProtoError::TooDeep));
    }

    #[test]
    fn a_watch_frame_has_its_length_first() {
        let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}});
        let frame = watch_frame("BOOKMARK", &object).unwrap();
        let (length, message) = frame.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, message.len());
        assert!(message.starts_with(b"\x0a\x08BOOKMARK\x12"));
    }

    proptest::proptest! {
        #[test]
        fn no_body_is_too_strange(mut body: Vec<u8>, prefix: bool) {
            if prefix {
                body.splice(0..0, b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x7f".iter().copied());
            }
            let _ = decode(&body, ("v1", "Pod"));
        }
    }
}
