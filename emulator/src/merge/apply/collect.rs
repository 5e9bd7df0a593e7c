//! The fields that an object mentions: structured-merge-diff's `typed/tofieldset.go`.

use serde_json::Value;

use super::element::Element;
use super::set::Set;
use super::shape::{Form, ListOf, Shape};

/// Every leaf and every item of an object that has been validated.
pub(crate) fn fields(shape: Shape<'_>, value: &Value) -> Set {
    let mut set = below(shape, value);
    set.owned = false;
    set
}

fn below(shape: Shape<'_>, value: &Value) -> Set {
    match (shape.atom().form(value), value) {
        (Some(Form::Scalar(_)), _) => Set::leaf(),
        (Some(Form::List(list)), _) if list.atomic => Set::leaf(),
        (Some(Form::Map(map)), _) if map.atomic => Set::leaf(),
        (Some(Form::List(list)), Value::Array(items)) => of_items(list, items),
        (Some(Form::Map(map)), Value::Object(fields)) => {
            let mut set = Set::default();
            for (name, field) in fields {
                let declared = map.field(name);
                let is_declared = declared.is_some();
                let Some(shape) = declared.or_else(|| map.element()) else { continue };
                let mut child = below(shape, field);
                child.owned |= !is_declared || field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                if !child.is_empty() {
                    set.push(Element::Field(name.clone()), child);
                }
            }
            set
        }
        _ => Set::default(),
    }
}

fn of_items(list: ListOf<'_>, items: &[Value]) -> Set {
    let mut set = Set::default();
    let elements: Vec<_> = items.iter().map(|item| list.element(item).ok()).collect();
    // Items that cannot be told apart are owned together, and nothing below them is.
    let mut sorted: Vec<_> = elements.iter().flatten().collect();
    sorted.sort();
    let twice: Vec<_> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    for (item, element) in items.iter().zip(elements) {
        let Some(element) = element else { continue };
        let child = if twice.binary_search(&element).is_ok() { Set::default() } else { below(list.item(), item) };
        set.push(element, Set { owned: true, below: child.below });
    }
    set
}
