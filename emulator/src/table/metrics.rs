//! Metrics, which metrics-server prints: a column per resource that the first object tells of.

use serde_json::{Value, json};

use super::cells;
use super::view::{entries, list, name, text};
use crate::kinds::quantity::Quantity;

/// How much of each resource an object uses: a node as such, a pod with all its containers.
fn usage(object: &Value) -> Vec<(&str, Quantity)> {
    let mut total: Vec<(&str, Quantity)> =
        entries(object, "/usage").map(|(resource, amount)| (resource, Quantity::of(amount))).collect();
    for container in list(object, "/containers") {
        for (resource, amount) in entries(container, "/usage") {
            let amount = Quantity::of(amount);
            match total.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, sum)) => sum.add(&amount),
                None => total.push((resource, amount)),
            }
        }
    }
    total.sort_by_key(|(resource, _)| *resource);
    total
}

/// The columns; there are none without objects.
pub(super) fn columns(objects: &[&Value]) -> Value {
    let Some(first) = objects.first() else { return Value::Null };
    let column = |name: &str, format: &str, description: &str| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    let mut columns = vec![column("Name", "name", "Name of the resource")];
    columns.extend(usage(first).iter().map(|(resource, _)| column(resource, "quantity", "")));
    columns.push(column("Window", "duration", ""));
    columns.into()
}

/// The cells of one object, in the order of the first one's columns.
pub(super) fn cells(object: &Value, first: &Value) -> Vec<Value> {
    let own = usage(object);
    let mut cells = cells![name(object)];
    for (resource, _) in usage(first) {
        let amount = own.iter().find(|(known, _)| *known == resource);
        cells.push(amount.map_or_else(|| "0".into(), |(_, amount)| amount.to_string()).into());
    }
    cells.push(text(object, "/window").into());
    cells
}
