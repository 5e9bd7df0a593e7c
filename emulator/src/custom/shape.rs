//! What the API server does to a custom object before it looks at its values: drop what the schema does not name, drop nulls
//! that are no values, fill in defaults (`pkg/apiserver/schema/pruning`, `.../defaulting`).

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops the fields that the schema does not specify and returns their paths in order: `spec.x`, `spec.list[0].y`.
/// kind, apiVersion and metadata stay in embedded resources, and at the root if that is one (`resource`).
pub(crate) fn prune(object: &mut Value, schema: &Schema, resource: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    Pruner { unknown: &mut unknown }.walk(object, Some(schema), resource, "");
    unknown.sort();
    unknown
}

struct Pruner<'a> {
    unknown: &'a mut Vec<String>,
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Pruner<'_> {
    fn walk(&mut self, value: &mut Value, schema: Option<&Schema>, resource: bool, path: &str) {
        if let Some(schema) = schema.filter(|s| s.preserve_unknown) {
            return self.preserved(value, schema, resource, path);
        }
        match (value, schema) {
            (Value::Object(map), None) => {
                self.unknown.extend(map.keys().map(|key| join(path, key)));
                map.clear();
            }
            (Value::Object(map), Some(schema)) => self.object(map, schema, resource, path),
            (Value::Array(items), schema) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.walk(item, schema.and_then(|s| s.items.as_deref()), false, &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, schema: &Schema, resource: bool, path: &str) {
        let mut drop = Vec::new();
        for (key, value) in map.iter_mut() {
            if (resource || schema.embedded) && META.contains(&key.as_str()) {
                continue;
            }
            match specified(schema, key) {
                Some(below) => self.walk(value, below, false, &join(path, key)),
                None => drop.push(key.clone()),
            }
        }
        for key in drop {
            self.unknown.push(join(path, &key));
            map.remove(&key);
        }
    }

    /// Inside of something preserved: only what is specified nevertheless is looked at.
    fn preserved(&mut self, value: &mut Value, schema: &Schema, resource: bool, path: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if (resource || schema.embedded) && META.contains(&key.as_str()) {
                        continue;
                    }
                    if let Some(below) = specified(schema, key) {
                        self.walk(value, below, false, &join(path, key));
                    }
                }
            }
            Value::Array(items) => {
                if let Some(below) = &schema.items {
                    for (i, item) in items.iter_mut().enumerate() {
                        self.preserved(item, below, false, &format!("{path}[{i}]"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a field is specified, and with which schema: `additionalProperties: true` brings none.
#[allow(clippy::option_option)]
fn specified<'a>(schema: &'a Schema, key: &str) -> Option<Option<&'a Schema>> {
    match (schema.properties.get(key), &schema.additional) {
        (Some(below), _) => Some(Some(below)),
        (None, Some(Additional::Of(below))) => Some(Some(below)),
        (None, Some(_)) => Some(None),
        (None, None) => None,
    }
}

/// Drops the nulls that are neither values (`nullable`) nor will become defaults.
pub(crate) fn drop_nulls(value: &mut Value, schema: Option<&Schema>) {
    let unwanted = |v: &Value, s: Option<&Schema>| v.is_null() && s.is_some_and(|s| !s.nullable && s.default.is_none());
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !unwanted(value, schema.and_then(|s| s.below(key))));
            for (key, value) in map {
                if let Some(below) = schema.and_then(|s| s.below(key)) {
                    drop_nulls(value, Some(below));
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.and_then(|s| s.items.as_deref()) {
                items.iter_mut().for_each(|item| drop_nulls(item, Some(below)));
            }
        }
        _ => {}
    }
}

/// Fills in defaults, also for nulls where null is no value.
pub(crate) fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (key, below) in &schema.properties {
                if let Some(given) = &below.default {
                    let missing = map.get(key).is_none_or(|v| v.is_null() && !below.nullable);
                    if missing {
                        map.insert(key.clone(), given.clone());
                    }
                }
            }
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    default(value, below);
                } else if let Some(below) = schema.values() {
                    default_item(value, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| default_item(item, below));
            }
        }
        _ => {}
    }
}

fn default_item(value: &mut Value, schema: &Schema) {
    if let Some(given) = schema.default.as_ref().filter(|_| value.is_null() && !schema.nullable) {
        *value = given.clone();
    }
    default(value, schema);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "string", "default": "x"},
                "n": {"type": "string", "nullable": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "known": {"type": "object", "properties": {"k": {"type": "string"}}}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer", "default": 3}}}},
                "map": {"type": "object", "additionalProperties": {"type": "string", "default": "v"}},
            }},
        }}))
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let mut object = json!({"kind": "K", "metadata": {"name": "n"}, "x": 1, "spec": {
            "y": {"z": 1}, "free": {"any": {"thing": 1}, "known": {"k": "1", "other": 2}},
            "list": [{"b": 1, "c": 2}], "map": {"q": "1"}}});
        let unknown = prune(&mut object, &schema(), true);
        assert_eq!(unknown, ["spec.free.known.other", "spec.list[0].c", "spec.y", "x"]);
        assert_eq!(
            object,
            json!({"kind": "K", "metadata": {"name": "n"}, "spec": {
            "free": {"any": {"thing": 1}, "known": {"k": "1"}}, "list": [{"b": 1}], "map": {"q": "1"}}})
        );
    }

    #[test]
    fn defaults_come_and_nulls_go() {
        let mut object = json!({"spec": {"a": null, "n": null, "list": [{}, {"b": null}], "map": {"q": null}, "free": null}});
        drop_nulls(&mut object, Some(&schema()));
        default(&mut object, &schema());
        assert_eq!(object, json!({"spec": {"a": "x", "n": null, "list": [{"b": 3}, {"b": 3}], "map": {"q": "v"}}}));
    }
}
