//! Messages to JSON: what Go's `encoding/json` writes of the struct that the message makes.

use serde_json::{Map, Value, json};

use super::table::{Field, Kind, Message, Omit, Shape, Table};
use super::wire::{FIXED64, LENGTH, Reader, VARINT, signed};
use super::{Depth, ProtoError, special};

/// The JSON object of a message.
pub(super) fn message(message: &Message, bytes: &[u8], depth: Depth) -> Result<Map<String, Value>, ProtoError> {
    let depth = depth.deeper()?;
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag(message.name)? {
        match message.fields.binary_search_by_key(&number, |field| field.number) {
            Ok(index) => field(&message.fields[index], wire, &mut reader, &mut object, depth)?,
            Err(_) => reader.skip(wire)?,
        }
    }
    complete(message, &mut object, depth)?;
    Ok(object)
}

/// `JSONSchemaProps`, which messages of special JSON hold.
pub(super) fn schema(bytes: &[u8], depth: Depth) -> Result<Value, ProtoError> {
    message(Table::get().schema(), bytes, depth).map(Value::Object)
}

fn field(
    field: &Field,
    wire: u8,
    reader: &mut Reader<'_>,
    object: &mut Map<String, Value>,
    depth: Depth,
) -> Result<(), ProtoError> {
    if field.inline {
        let Value::Object(inner) = value(field, wire, reader, depth)? else { return Ok(()) };
        object.extend(inner);
        return Ok(());
    }
    match field.shape {
        Shape::Plain | Shape::Pointer => {
            let value = value(field, wire, reader, depth)?;
            object.insert(field.name.to_owned(), value);
        }
        Shape::List => {
            let slot = object.entry(field.name).or_insert_with(|| json!([]));
            let Value::Array(items) = slot else { return Ok(()) };
            if wire == LENGTH && matches!(field.kind, Kind::Bool | Kind::Int32 | Kind::Int64) {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    items.push(value(field, VARINT, &mut packed, depth)?);
                }
            } else {
                items.push(value(field, wire, reader, depth)?);
            }
        }
        Shape::Map => {
            expect(field, wire, LENGTH)?;
            let (key, value) = entry(field, reader.bytes()?, depth)?;
            let slot = object.entry(field.name).or_insert_with(|| json!({}));
            if let Value::Object(entries) = slot {
                entries.insert(key, value);
            }
        }
    }
    Ok(())
}

/// A map's entry, which is a message of key and value.
fn entry(field: &Field, bytes: &[u8], depth: Depth) -> Result<(String, Value), ProtoError> {
    let (mut key, mut found) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag(field.name)? {
        match number {
            1 => {
                expect(field, wire, LENGTH)?;
                key = String::from_utf8_lossy(reader.bytes()?).into_owned();
            }
            2 => found = Some(value(field, wire, &mut reader, depth)?),
            _ => reader.skip(wire)?,
        }
    }
    let value = match found {
        Some(value) => value,
        None => zero(field.kind, depth)?,
    };
    Ok((key, value))
}

/// One value of a field's kind.
fn value(field: &Field, wire: u8, reader: &mut Reader<'_>, depth: Depth) -> Result<Value, ProtoError> {
    expect(
        field,
        wire,
        match field.kind {
            Kind::Bool | Kind::Int32 | Kind::Int64 => VARINT,
            Kind::Double => FIXED64,
            _ => LENGTH,
        },
    )?;
    Ok(match field.kind {
        Kind::Bool => (reader.varint()? != 0).into(),
        Kind::Int32 => signed(reader.varint()?, true).into(),
        Kind::Int64 => signed(reader.varint()?, false).into(),
        Kind::Double => number(f64::from_bits(reader.fixed64()?)),
        Kind::String => String::from_utf8_lossy(reader.bytes()?).into(),
        Kind::Bytes => special::bytes_to_json(reader.bytes()?),
        Kind::Special(special) => special.decode(reader.bytes()?, depth)?,
        Kind::Message(id) => message(Table::get().message(id), reader.bytes()?, depth)?.into(),
    })
}

fn expect(field: &Field, wire: u8, expected: u8) -> Result<(), ProtoError> {
    if wire == expected { Ok(()) } else { Err(ProtoError::WrongWire { field: field.name, wire }) }
}

/// Go writes a whole number without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { value.into() }
}

/// What Go's JSON has of fields that were absent, or present with nothing in them.
fn complete(message: &Message, object: &mut Map<String, Value>, depth: Depth) -> Result<(), ProtoError> {
    for field in &message.fields {
        if field.inline {
            if let Kind::Message(id) = field.kind {
                complete(Table::get().message(id), object, depth)?;
            }
            continue;
        }
        let is_struct = field.shape == Shape::Plain && matches!(field.kind, Kind::Message(_) | Kind::Special(_));
        let is_slice = field.kind == Kind::Special(special::Special::Strings);
        let omits = field.omit == Omit::Zero || field.omit == Omit::Empty && (!is_struct || is_slice);
        match object.get(field.name) {
            Some(value) if omits && field.shape == Shape::Plain && is_zero(value) => {
                object.remove(field.name);
            }
            None if !omits => {
                let value = match field.shape {
                    Shape::Plain => zero(field.kind, depth)?,
                    _ => Value::Null,
                };
                object.insert(field.name.to_owned(), value);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of what can be left out when it is zero.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

fn zero(kind: Kind, depth: Depth) -> Result<Value, ProtoError> {
    Ok(match kind {
        Kind::String => "".into(),
        Kind::Bytes => Value::Null,
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Double => 0.into(),
        Kind::Special(special) => special.zero(),
        Kind::Message(id) => message(Table::get().message(id), &[], depth)?.into(),
    })
}
