//! Takes fields out of an object: structured-merge-diff's `typed/remove.go`.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::shape::{Form, Shape};

/// The object without the members of a set. What is left empty becomes null.
pub(crate) fn remove(shape: Shape<'_>, value: Value, gone: &Set) -> Value {
    match (shape.atom().form(&value), value) {
        (Some(Form::Scalar(_)), value) => value,
        (Some(Form::List(list)), Value::Array(items)) if !list.atomic => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let inner = list.element(&item).ok().and_then(|element| gone.get(&element));
                match inner {
                    Some(inner) if inner.owned => {}
                    Some(inner) => kept.push(remove(list.item(), item, inner)),
                    None => kept.push(item),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (Some(Form::Map(map)), Value::Object(fields)) if !map.atomic => {
            let mut kept = Map::new();
            for (name, field) in fields {
                let element = Element::Field(name);
                let inner = gone.get(&element);
                let Element::Field(name) = element else { continue };
                let field = match inner {
                    Some(inner) if inner.owned => continue,
                    Some(inner) => match map.below(&name) {
                        Some(shape) => remove(shape, field, inner),
                        None => Value::Null,
                    },
                    None => field,
                };
                kept.insert(name, field);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        // What is atomic has nothing below it that could be taken out alone.
        _ => Value::Null,
    }
}
