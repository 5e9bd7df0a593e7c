//! What differs between two objects: structured-merge-diff's `typed/compare.go`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{Element, same};
use super::set::Set;
use super::shape::{Form, ListOf, MapOf, Shape};

/// The fields that differ; none is in two of the sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) removed: Set,
    pub(crate) modified: Set,
    pub(crate) added: Set,
}

impl Comparison {
    /// Without the fields that a strategy resets, and all below them.
    pub(crate) fn without(self, reset: &Set) -> Self {
        if reset.is_empty() {
            return self;
        }
        Self {
            removed: self.removed.recursive_difference(reset),
            modified: self.modified.recursive_difference(reset),
            added: self.added.recursive_difference(reset),
        }
    }

    fn push(&mut self, element: impl Fn() -> Element, other: Self) {
        if !other.removed.is_empty() {
            self.removed.push(element(), other.removed);
        }
        if !other.modified.is_empty() {
            self.modified.push(element(), other.modified);
        }
        if !other.added.is_empty() {
            self.added.push(element(), other.added);
        }
    }

    /// Compares leaves.
    fn leaf(&mut self, left: Option<&Value>, right: Option<&Value>) {
        match (left, right) {
            (None, _) => self.added.owned = true,
            (_, None) => self.removed.owned = true,
            (Some(left), Some(right)) => self.modified.owned |= !same(left, right),
        }
    }
}

/// Compares two objects of a type.
pub(crate) fn compare(shape: Shape<'_>, left: &Value, right: &Value) -> Result<Comparison, String> {
    let mut found = below(shape, Some(left), Some(right))?;
    // The object as a whole belongs to nobody.
    for set in [&mut found.removed, &mut found.modified, &mut found.added] {
        set.owned = false;
    }
    Ok(found)
}

fn below(shape: Shape<'_>, left: Option<&Value>, right: Option<&Value>) -> Result<Comparison, String> {
    let mut found = Comparison::default();
    let (first, second) = shape.atom().forms(left, right)?;
    if let Some(form) = first {
        visit(form, left, right, &mut found)?;
    }
    let is_leaf = visit(second, left, right, &mut found)?;
    if !is_leaf {
        found.added.owned |= left.is_none();
        found.removed.owned |= right.is_none();
    }
    Ok(found)
}

/// Compares in one form; true when it was as leaves.
fn visit(form: Form<'_>, left: Option<&Value>, right: Option<&Value>, found: &mut Comparison) -> Result<bool, String> {
    match form {
        Form::Scalar(_) => {
            found.leaf(left, right);
            Ok(true)
        }
        Form::List(list) => {
            let (items_left, items_right) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
            let empty = |items: Option<&Vec<Value>>| items.is_none_or(Vec::is_empty);
            // Empty ones are leaves, so that empty and null are told apart.
            if list.atomic || (empty(items_left) && empty(items_right)) {
                found.leaf(left, right);
                return Ok(true);
            }
            let none = Vec::new();
            compare_items(list, items_left.unwrap_or(&none), items_right.unwrap_or(&none), found)?;
            Ok(false)
        }
        Form::Map(map) => {
            let (fields_left, fields_right) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
            let empty = |fields: Option<&Map<String, Value>>| fields.is_none_or(Map::is_empty);
            if map.atomic || (empty(fields_left) && empty(fields_right)) {
                found.leaf(left, right);
                return Ok(true);
            }
            for (name, left, right) in zip(fields_left, fields_right) {
                compare_field(map, name, left, right, found)?;
            }
            Ok(false)
        }
    }
}

fn compare_field(
    map: MapOf<'_>,
    name: &str,
    left: Option<&Value>,
    right: Option<&Value>,
    found: &mut Comparison,
) -> Result<(), String> {
    let shape = map.below(name).ok_or_else(|| format!(".{name}: schema error: invalid atom: inlined"))?;
    let inner = below(shape, left, right).map_err(|why| format!(".{name}{}{why}", colon(&why)))?;
    found.push(|| Element::Field(name.to_owned()), inner);
    Ok(())
}

/// Steps of a path are joined without anything between them.
fn colon(why: &str) -> &'static str {
    if why.starts_with(['.', '[']) { "" } else { ": " }
}

fn compare_items(list: ListOf<'_>, left: &[Value], right: &[Value], found: &mut Comparison) -> Result<(), String> {
    let mut items: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for (index, item) in left.iter().enumerate() {
        let element = list.element(item).map_err(|why| format!("element {index}: {why}"))?;
        items.entry(element).or_default().0.push(item);
    }
    for (index, item) in right.iter().enumerate() {
        let element = list.element(item).map_err(|why| format!("element {index}: {why}"))?;
        items.entry(element).or_default().1.push(item);
    }
    for (element, (left, right)) in items {
        let inner = match (&left[..], &right[..]) {
            ([] | [_], [] | [_]) => below(list.item(), left.first().copied(), right.first().copied())
                .map_err(|why| format!("{element}{}{why}", colon(&why)))?,
            // Items that occur twice are compared as one leaf.
            ([_, _, ..], [_, _, ..]) => {
                let mut inner = Comparison::default();
                inner.modified.owned = left.len() != right.len() || left.iter().zip(&right).any(|(a, b)| !same(a, b));
                inner
            }
            ([_, _, ..], _) => {
                let mut inner = match right.first() {
                    Some(right) => below(list.item(), None, Some(right))?,
                    None => Comparison::default(),
                };
                inner.removed.owned = true;
                inner
            }
            (_, _) => {
                let mut inner = match left.first() {
                    Some(left) => below(list.item(), Some(left), None)?,
                    None => Comparison::default(),
                };
                inner.added.owned = true;
                inner
            }
        };
        found.push(|| element.clone(), inner);
    }
    Ok(())
}

/// The fields of two objects side by side, by name.
pub(crate) fn zip<'a>(
    left: Option<&'a Map<String, Value>>,
    right: Option<&'a Map<String, Value>>,
) -> impl Iterator<Item = (&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let mut left = left.into_iter().flatten().peekable();
    let mut right = right.into_iter().flatten().peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, _) => std::cmp::Ordering::Greater,
        };
        match order {
            std::cmp::Ordering::Less => left.next().map(|(name, value)| (name.as_str(), Some(value), None)),
            std::cmp::Ordering::Greater => right.next().map(|(name, value)| (name.as_str(), None, Some(value))),
            std::cmp::Ordering::Equal => {
                let (name, value) = left.next()?;
                Some((name.as_str(), Some(value), right.next().map(|(_, value)| value)))
            }
        }
    })
}
