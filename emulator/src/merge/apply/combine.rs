//! Merges an applied object into a live one: structured-merge-diff's `typed/merge.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::compare::zip;
use super::element::Element;
use super::shape::{Form, ListOf, Shape};

/// The live object with all that the applied one says. None is an object without anything.
pub(crate) fn combine(shape: Shape<'_>, live: &Value, applied: &Value) -> Result<Option<Value>, String> {
    below(shape, Some(live), Some(applied))
}

fn below(shape: Shape<'_>, left: Option<&Value>, right: Option<&Value>) -> Result<Option<Value>, String> {
    // Where the two differ in form, the applied one's counts.
    let (_, form) = shape.atom().forms(left, right)?;
    match form {
        Form::Scalar(_) => Ok(leaf(left, right)),
        Form::List(list) => {
            let (items_left, items_right) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
            let empty = |items: Option<&Vec<Value>>| items.is_none_or(Vec::is_empty);
            if list.atomic || (empty(items_left) && empty(items_right)) {
                return Ok(leaf(left, right));
            }
            let none = Vec::new();
            let out = items(list, items_left.unwrap_or(&none), items_right.unwrap_or(&none))?;
            Ok((!out.is_empty()).then_some(Value::Array(out)))
        }
        Form::Map(map) => {
            let (fields_left, fields_right) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
            let empty = |fields: Option<&Map<String, Value>>| fields.is_none_or(Map::is_empty);
            if map.atomic || (empty(fields_left) && empty(fields_right)) {
                return Ok(leaf(left, right));
            }
            let mut out = Map::new();
            for (name, left, right) in zip(fields_left, fields_right) {
                let shape = map.below(name).ok_or_else(|| format!(".{name}: schema error: invalid atom: inlined"))?;
                if let Some(value) = below(shape, left, right)? {
                    out.insert(name.to_owned(), value);
                }
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
    }
}

fn leaf(left: Option<&Value>, right: Option<&Value>) -> Option<Value> {
    right.or(left).cloned()
}

/// The items of a list by their elements, in order.
struct Indexed<'a> {
    order: Vec<Element>,
    items: BTreeMap<Element, Option<&'a Value>>,
}

fn index<'a>(list: ListOf<'_>, items: &'a [Value], twice: bool) -> Result<Indexed<'a>, String> {
    let mut out = Indexed { order: Vec::with_capacity(items.len()), items: BTreeMap::new() };
    for (index, item) in items.iter().enumerate() {
        let element = list.element(item).map_err(|why| format!("element {index}: {why}"))?;
        match out.items.get_mut(&element) {
            Some(_) if !twice => return Err(format!("duplicate entries for key {element}")),
            // Items that occur twice are not merged with an applied one.
            Some(seen) => *seen = None,
            None => {
                out.items.insert(element.clone(), Some(item));
            }
        }
        out.order.push(element);
    }
    Ok(out)
}

/// Keeps the order of both lists as far as possible: the applied one's goes first where they contradict.
fn items(list: ListOf<'_>, left: &[Value], right: &[Value]) -> Result<Vec<Value>, String> {
    let applied = index(list, right, false)?;
    let live = index(list, left, true)?;
    let mut shared = applied.order.iter().filter(|element| live.items.contains_key(element));
    let mut next_shared = shared.next();
    let mut merged: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    // What occurs twice is null in the live list.
    let null = Value::Null;
    let of_live = |element: &Element| live.items.get(element).map(|item| item.unwrap_or(&null));
    let of_applied = |element: &Element| applied.items.get(element).copied().flatten();
    let (mut at_live, mut at_applied) = (0, 0);
    while at_live < live.order.len() || at_applied < applied.order.len() {
        if let (Some(element), Some(other)) = (live.order.get(at_live), applied.order.get(at_applied)) {
            if element == other {
                merged.insert(element);
                out.extend(below(list.item(), of_live(element), of_applied(element))?);
                at_live += 1;
                at_applied += 1;
                next_shared = shared.next();
                continue;
            }
            if applied.items.contains_key(element) && next_shared.is_some_and(|next| next != element) {
                // Shared, but its turn comes later.
                at_live += 1;
                continue;
            }
        }
        if let Some(element) = live.order.get(at_live) {
            if !applied.items.contains_key(element) {
                out.extend(below(list.item(), left.get(at_live), None)?);
                at_live += 1;
                continue;
            }
            if merged.contains(element) {
                at_live += 1;
            }
        }
        if let Some(element) = applied.order.get(at_applied) {
            merged.insert(element);
            out.extend(below(list.item(), of_live(element), of_applied(element))?);
            at_applied += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    Ok(out)
}
