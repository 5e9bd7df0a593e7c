//! Whether a patched object fits its Go type: a strategic merge patch is not decoded as JSON but by apimachinery's
//! `runtime/converter.go`, which has words of its own.

use serde_json::Value;

use super::go;
use crate::schema::golang::{self, GoTypes, Id, Kind};
use crate::schema::{Type, codec};

/// The unknown fields of an object, in the converter's order.
///
/// # Errors
/// The first thing that does not fit.
pub(crate) fn check(ty: Type<'_>, value: &Value) -> Result<Vec<String>, String> {
    let types = golang::table();
    let Some(id) = ty.name().and_then(|name| types.named(name)) else { return Ok(Vec::new()) };
    let mut walk = Walk { types, path: Vec::new(), unknown: Vec::new() };
    walk.visit(id, Some(ty), value)?;
    walk.unknown.sort();
    Ok(walk.unknown)
}

struct Walk {
    types: &'static GoTypes,
    path: Vec<String>,
    unknown: Vec<String>,
}

/// Go's kind of a value of unknown type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        other => go::type_name(other),
    }
}

impl Walk {
    fn visit(&mut self, id: Id, ty: Option<Type<'_>>, value: &Value) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let go_type = self.types.get(id);
        match (&go_type.kind, value) {
            (Kind::String, Value::String(_))
            | (Kind::Bool, Value::Bool(_))
            | (Kind::Float, Value::Number(_))
            | (Kind::Any, _) => Ok(()),
            (Kind::Int(_), Value::Number(number)) => {
                let whole = number.as_f64().is_none_or(|float| !number.is_f64() || float.fract() == 0.0);
                if whole { Ok(()) } else { Err(format!("cannot convert float64 to {}", go_type.shown)) }
            }
            // What Go converts in itself but the converter refuses: numbers to strings.
            (Kind::String, Value::Number(number)) if !number.is_f64() => {
                Err(format!("cannot convert int64 to {}", go_type.shown))
            }
            (Kind::String | Kind::Bool | Kind::Int(_) | Kind::Float, _) => {
                Err(format!("unrecognized type: {}", self.basic(&go_type.kind)))
            }
            (Kind::Special(_), value) => match ty {
                Some(ty) => codec::decode(ty, value.clone()).map(drop).map_err(|error| error.to_string()),
                None => Ok(()),
            },
            (Kind::Pointer(inner), value) => self.visit(*inner, ty, value),
            (Kind::Bytes, Value::String(text)) => match ty {
                _ if text.is_empty() => Ok(()),
                Some(ty) => {
                    codec::decode(ty, value.clone()).map(drop).map_err(|error| format!("error decoding from json: {error}"))
                }
                None => Ok(()),
            },
            (Kind::Bytes | Kind::Slice(_), value) => {
                let (Kind::Slice(item), Value::Array(items)) = (&go_type.kind, value) else {
                    return Err(format!("cannot restore slice from {}", kind(value)));
                };
                for (index, one) in items.iter().enumerate() {
                    self.path.push(format!("[{index}]"));
                    self.visit(*item, ty.and_then(Type::items), one)?;
                    self.path.pop();
                }
                Ok(())
            }
            (Kind::Map(item), Value::Object(fields)) => {
                fields.values().try_for_each(|field| self.visit(*item, ty.and_then(Type::values), field))
            }
            (Kind::Map(_), value) => Err(format!("cannot restore map from {}", kind(value))),
            (Kind::Struct(declared), Value::Object(fields)) => {
                for field in declared {
                    if let Some(value) = fields.get(field.name) {
                        self.push(field.name);
                        self.visit(field.ty, ty.and_then(|ty| ty.field(field.name)), value)?;
                        self.path.pop();
                    }
                }
                for name in fields.keys().filter(|name| !declared.iter().any(|field| field.name == **name)) {
                    self.push(name);
                    self.unknown.push(format!("unknown field \"{}\"", self.path.concat()));
                    self.path.pop();
                }
                Ok(())
            }
            (Kind::Struct(_), value) => Err(format!("cannot restore struct from: {}", kind(value))),
        }
    }

    fn push(&mut self, name: &str) {
        self.path.push(if self.path.is_empty() { name.to_owned() } else { format!(".{name}") });
    }

    fn basic(&self, kind: &Kind) -> String {
        match kind {
            Kind::String => "string".into(),
            Kind::Bool => "bool".into(),
            Kind::Int(32) => "int32".into(),
            Kind::Int(_) => "int64".into(),
            _ => "float64".into(),
        }
    }
}
