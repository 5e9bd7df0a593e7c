//! Messages whose JSON is not that of their fields.

use base64::Engine;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{LENGTH, Reader, VARINT, put_bytes, put_integer, signed};
use super::{Depth, ProtoError, decode, encode};
use crate::kinds::quantity::Quantity;
use crate::schema::duration;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// RFC 3339, in seconds.
    Time,
    /// RFC 3339, in microseconds.
    MicroTime,
    /// `1m30s`.
    Duration,
    Quantity,
    IntOrString,
    /// JSON within a message: `RawExtension`, `FieldsV1`, a schema's `JSON`.
    Raw,
    /// A list with a message of its own, so that null and empty differ: `Verbs`, `ExtraValue`.
    Strings,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
}

impl Special {
    /// By the full name of the message.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (package, message) = name.rsplit_once('.')?;
        Some(match (package, message) {
            ("k8s.io.apimachinery.pkg.apis.meta.v1", "Time") => Self::Time,
            ("k8s.io.apimachinery.pkg.apis.meta.v1", "MicroTime") => Self::MicroTime,
            ("k8s.io.apimachinery.pkg.apis.meta.v1", "Duration") => Self::Duration,
            ("k8s.io.apimachinery.pkg.apis.meta.v1", "FieldsV1") => Self::Raw,
            ("k8s.io.apimachinery.pkg.apis.meta.v1", "Verbs") | (_, "ExtraValue") => Self::Strings,
            ("k8s.io.apimachinery.pkg.api.resource", "Quantity") => Self::Quantity,
            ("k8s.io.apimachinery.pkg.util.intstr", "IntOrString") => Self::IntOrString,
            ("k8s.io.apimachinery.pkg.runtime", "RawExtension") => Self::Raw,
            ("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1", message) => match message {
                "JSON" => Self::Raw,
                "JSONSchemaPropsOrArray" => Self::SchemaOrArray,
                "JSONSchemaPropsOrBool" => Self::SchemaOrBool,
                "JSONSchemaPropsOrStringArray" => Self::SchemaOrStrings,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The JSON of Go's zero value.
    pub(super) fn zero(self) -> Value {
        match self {
            Self::Duration => "0s".into(),
            Self::Quantity => "0".into(),
            Self::IntOrString => 0.into(),
            Self::SchemaOrBool => false.into(),
            _ => Value::Null,
        }
    }

    /// Reads the message.
    pub(super) fn decode(self, bytes: &[u8], depth: Depth) -> Result<Value, ProtoError> {
        if bytes.is_empty() {
            // An empty list in a message of its own is no null.
            return Ok(if self == Self::Strings { json!([]) } else { self.zero() });
        }
        match self {
            Self::Time | Self::MicroTime => {
                let (seconds, nanos) = integers(bytes)?;
                if self == Self::Time { time(seconds) } else { micro_time(seconds, nanos) }
            }
            Self::Duration => {
                let nanos = integers(bytes)?.0;
                duration::canonical(&format!("{nanos}ns")).map(Value::from).map_err(ProtoError::Value)
            }
            Self::Quantity => {
                let text = text(bytes, 1)?;
                Quantity::parse(&text)
                    .map(|quantity| quantity.to_string().into())
                    .map_err(|why| ProtoError::Value(why.to_string()))
            }
            Self::IntOrString => int_or_string(bytes),
            Self::Raw => raw(bytes),
            Self::Strings => Ok(strings(bytes, 1)?.into()),
            Self::SchemaOrArray | Self::SchemaOrBool | Self::SchemaOrStrings => self.decode_schema(bytes, depth),
        }
    }

    /// Writes the message's content; null is the zero value.
    pub(super) fn encode(self, value: &Value, out: &mut Vec<u8>, depth: Depth) -> Result<(), ProtoError> {
        let text = || value.as_str().ok_or_else(|| ProtoError::mismatch(value, "a string"));
        match (self, value) {
            (Self::Quantity, Value::Null) => put_bytes(1, b"0", out),
            (Self::Quantity, Value::Number(number)) => put_bytes(1, number.to_string().as_bytes(), out),
            (Self::Quantity, _) => put_bytes(1, text()?.as_bytes(), out),
            (Self::Duration, Value::Null) => put_integer(1, 0, out),
            (Self::Duration, _) => {
                put_integer(1, duration::nanoseconds(text()?).map_err(ProtoError::Value)?, out);
            }
            (Self::IntOrString, _) => encode_int_or_string(value, out)?,
            (Self::SchemaOrArray | Self::SchemaOrBool | Self::SchemaOrStrings, _) => self.encode_schema(value, out, depth)?,
            (_, Value::Null) => {}
            (Self::Time | Self::MicroTime, _) => {
                let time: Timestamp = text()?.parse().map_err(|_| ProtoError::mismatch(value, "a time"))?;
                // Go counts nanoseconds up from the second before.
                let nanos = time.subsec_nanosecond().rem_euclid(1_000_000_000);
                put_integer(1, time.as_nanosecond().div_euclid(1_000_000_000).try_into().unwrap_or_default(), out);
                put_integer(2, if self == Self::MicroTime { i64::from(nanos / 1000 * 1000) } else { 0 }, out);
            }
            (Self::Raw, _) => put_bytes(1, value.to_string().as_bytes(), out),
            (Self::Strings, _) => put_strings(1, value, out)?,
        }
        Ok(())
    }

    fn decode_schema(self, bytes: &[u8], depth: Depth) -> Result<Value, ProtoError> {
        let schema_field = if self == Self::SchemaOrBool { 2 } else { 1 };
        let (mut schema, mut others, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.tag("JSONSchemaProps")? {
            match (self, number, wire) {
                (_, number, LENGTH) if number == schema_field => schema = Some(decode::schema(reader.bytes()?, depth)?),
                (Self::SchemaOrArray, 2, LENGTH) => others.push(decode::schema(reader.bytes()?, depth)?),
                (Self::SchemaOrStrings, 2, LENGTH) => others.push(String::from_utf8_lossy(reader.bytes()?).into()),
                (Self::SchemaOrBool, 1, VARINT) => allows = reader.varint()? != 0,
                _ => reader.skip(wire)?,
            }
        }
        Ok(match schema {
            _ if !others.is_empty() => others.into(),
            Some(schema) => schema,
            None if self == Self::SchemaOrBool => allows.into(),
            None => Value::Null,
        })
    }

    fn encode_schema(self, value: &Value, out: &mut Vec<u8>, depth: Depth) -> Result<(), ProtoError> {
        if self == Self::SchemaOrBool {
            put_integer(1, i64::from(value.is_object() || value == &Value::Bool(true)), out);
        }
        match (self, value) {
            (Self::SchemaOrBool, Value::Object(_)) => put_bytes(2, &encode::schema(value, depth)?, out),
            (_, Value::Object(_)) => put_bytes(1, &encode::schema(value, depth)?, out),
            (Self::SchemaOrArray, Value::Array(items)) => {
                for item in items {
                    put_bytes(2, &encode::schema(item, depth)?, out);
                }
            }
            (Self::SchemaOrStrings, _) => put_strings(2, value, out)?,
            _ => {}
        }
        Ok(())
    }
}

/// The first two fields of a message of integers.
fn integers(bytes: &[u8]) -> Result<(i64, i64), ProtoError> {
    let mut values = [0; 2];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag("Timestamp")? {
        match (number, wire) {
            (1, VARINT) => values[0] = signed(reader.varint()?, false),
            (2, VARINT) => values[1] = signed(reader.varint()?, true),
            _ => reader.skip(wire)?,
        }
    }
    Ok((values[0], values[1]))
}

/// The texts of one field.
fn strings(bytes: &[u8], field: u32) -> Result<Vec<Value>, ProtoError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag("")? {
        if (number, wire) == (field, LENGTH) {
            found.push(String::from_utf8_lossy(reader.bytes()?).into());
        } else {
            reader.skip(wire)?;
        }
    }
    Ok(found)
}

fn text(bytes: &[u8], field: u32) -> Result<String, ProtoError> {
    Ok(strings(bytes, field)?.pop().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default())
}

fn put_strings(field: u32, value: &Value, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    for item in value.as_array().into_iter().flatten() {
        put_bytes(field, item.as_str().ok_or_else(|| ProtoError::mismatch(item, "a string"))?.as_bytes(), out);
    }
    Ok(())
}

fn time(seconds: i64) -> Result<Value, ProtoError> {
    let time = Timestamp::from_second(seconds).map_err(|why| ProtoError::Value(why.to_string()))?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into())
}

fn micro_time(seconds: i64, nanos: i64) -> Result<Value, ProtoError> {
    let time = Timestamp::from_nanosecond(i128::from(seconds) * 1_000_000_000 + i128::from(nanos));
    let time = time.map_err(|why| ProtoError::Value(why.to_string()))?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtoError> {
    let (mut is_string, mut integer, mut string) = (false, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag("IntOrString")? {
        match (number, wire) {
            (1, VARINT) => is_string = reader.varint()? != 0,
            (2, VARINT) => integer = signed(reader.varint()?, true),
            (3, LENGTH) => string = String::from_utf8_lossy(reader.bytes()?).into_owned(),
            _ => reader.skip(wire)?,
        }
    }
    Ok(if is_string { string.into() } else { integer.into() })
}

fn encode_int_or_string(value: &Value, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let (kind, integer, string) = match value {
        Value::Null => (0, 0, ""),
        Value::String(string) => (1, 0, string.as_str()),
        other => (0, other.as_i64().ok_or_else(|| ProtoError::mismatch(value, "an integer or a string"))?, ""),
    };
    put_integer(1, kind, out);
    put_integer(2, integer, out);
    put_bytes(3, string.as_bytes(), out);
    Ok(())
}

/// JSON as bytes; a message in protobuf there is one with an envelope of its own (as in a watch).
fn raw(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut json = &b""[..];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag("RawExtension")? {
        if (number, wire) == (1, LENGTH) {
            json = reader.bytes()?;
        } else {
            reader.skip(wire)?;
        }
    }
    if json.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(json).map_err(|why| ProtoError::Value(why.to_string()))
}

/// Bytes are base64 in JSON.
pub(super) fn bytes_from_json(value: &Value) -> Result<Vec<u8>, ProtoError> {
    let text = value.as_str().ok_or_else(|| ProtoError::mismatch(value, "base64"))?;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| ProtoError::mismatch(value, "base64"))
}

pub(super) fn bytes_to_json(bytes: &[u8]) -> Value {
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}
