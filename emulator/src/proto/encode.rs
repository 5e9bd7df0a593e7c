//! JSON to messages, byte for byte as Go's generated code writes the struct that the JSON makes: fields by number, map
//! entries by key, and whatever is no pointer even when it is zero.

use serde_json::Value;

use super::table::{Field, Kind, Message, Shape, Table};
use super::wire::{FIXED64, put_bytes, put_integer, put_tag};
use super::{Depth, ProtoError, special};

/// The message of a JSON object; null is an empty one.
pub(super) fn message(message: &Message, value: &Value, depth: Depth) -> Result<Vec<u8>, ProtoError> {
    let depth = depth.deeper()?;
    if !(value.is_object() || value.is_null()) {
        return Err(ProtoError::mismatch(value, "an object"));
    }
    let mut out = Vec::new();
    for field in &message.fields {
        let value = if field.inline { value } else { value.get(field.name).unwrap_or(&Value::Null) };
        match (field.shape, value) {
            (Shape::Plain, _) => put(field, field.number, value, &mut out, depth)?,
            (_, Value::Null) => {}
            (Shape::Pointer, _) => put(field, field.number, value, &mut out, depth)?,
            (Shape::List, Value::Array(items)) => {
                for item in items {
                    put(field, field.number, item, &mut out, depth)?;
                }
            }
            (Shape::Map, Value::Object(entries)) => {
                for (key, value) in entries {
                    let mut entry = Vec::new();
                    put_bytes(1, key.as_bytes(), &mut entry);
                    put(field, 2, value, &mut entry, depth)?;
                    put_bytes(field.number, &entry, &mut out);
                }
            }
            (Shape::List, _) => return Err(ProtoError::mismatch(value, "a list")),
            (Shape::Map, _) => return Err(ProtoError::mismatch(value, "an object")),
        }
    }
    Ok(out)
}

/// `JSONSchemaProps`, which messages of special JSON hold.
pub(super) fn schema(value: &Value, depth: Depth) -> Result<Vec<u8>, ProtoError> {
    message(Table::get().schema(), value, depth)
}

/// One value of the field's kind under a number; null is zero, but of bytes and lists, which are then absent.
fn put(field: &Field, number: u32, value: &Value, out: &mut Vec<u8>, depth: Depth) -> Result<(), ProtoError> {
    match field.kind {
        Kind::Bool => put_integer(number, i64::from(value.as_bool().unwrap_or(false)), out),
        Kind::Int32 | Kind::Int64 => put_integer(number, integer(value)?, out),
        Kind::Double => {
            put_tag(number, FIXED64, out);
            out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Kind::String => {
            let text = match value {
                Value::Null => "",
                Value::String(text) => text,
                _ => return Err(ProtoError::mismatch(value, "a string")),
            };
            put_bytes(number, text.as_bytes(), out);
        }
        Kind::Bytes if value.is_null() => {}
        Kind::Bytes => put_bytes(number, &special::bytes_from_json(value)?, out),
        Kind::Special(special::Special::Strings) if value.is_null() => {}
        Kind::Special(special) => {
            let mut inner = Vec::new();
            special.encode(value, &mut inner, depth)?;
            put_bytes(number, &inner, out);
        }
        Kind::Message(id) => put_bytes(number, &message(Table::get().message(id), value, depth)?, out),
    }
    Ok(())
}

fn integer(value: &Value) -> Result<i64, ProtoError> {
    match value {
        Value::Null => Ok(0),
        _ => value.as_i64().ok_or_else(|| ProtoError::mismatch(value, "an integer")),
    }
}
