//! Whether a schema is structural: `pkg/apiserver/schema/validation.go` and `complete.go`.

use serde_json::{Map, Value};

use super::schema::DEEPEST;
use crate::field::{Errors, Path};

/// Checks a schema that [`unsupported`] has nothing against.
pub(crate) fn validate(schema: &Value, path: &Path, errors: &mut Errors) {
    let mut found = Errors::new();
    invariants(schema, Level::Root, path, 0, &mut found);
    complete(&only_junctors(schema), schema, path, path, 0, &mut found);
    // In the order of their texts, since the API server walks maps.
    let mut all: Vec<_> = found.iter().cloned().collect();
    all.sort_by_cached_key(|e| format!("{}: {}", e.field, e.body));
    for e in all {
        errors.other(e.kind, &e.field, e.body);
    }
}

fn only_junctors(schema: &Value) -> Value {
    let each = ["allOf", "anyOf", "oneOf", "not"].into_iter().filter_map(|key| Some((key.to_owned(), schema.get(key)?.clone())));
    Value::Object(each.collect())
}

/// Why a schema cannot even be read as a structural one.
pub(crate) fn unsupported(schema: &Value) -> Option<String> {
    let mut open = vec![(schema, 0)];
    while let Some((schema, depth)) = open.pop() {
        for key in ["id", "$schema", "$ref"] {
            if schema[key].as_str().is_some_and(|s| !s.is_empty()) {
                return Some(format!("OpenAPIV3Schema '{}' is not supported", if key == "$schema" { "schema" } else { key }));
            }
        }
        for key in ["patternProperties", "dependencies", "definitions"] {
            if schema[key].as_object().is_some_and(|m| !m.is_empty()) {
                return Some(format!("OpenAPIV3Schema '{key}' is not supported"));
            }
        }
        if schema.get("additionalItems").is_some() {
            return Some("OpenAPIV3Schema 'additionalItems' is not supported".to_owned());
        }
        if schema["items"].is_array() {
            return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
        }
        if schema["x-kubernetes-preserve-unknown-fields"] == false {
            return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
        }
        if depth > DEEPEST {
            return Some("OpenAPIV3Schema is nested too deeply".to_owned());
        }
        open.extend(children(schema).map(|s| (s, depth + 1)));
    }
    None
}

/// All schemas directly inside of one.
pub(crate) fn children(schema: &Value) -> impl Iterator<Item = &Value> {
    let one = ["items", "not", "additionalProperties", "additionalItems"].into_iter().map(|key| &schema[key]);
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| schema[key].as_array().into_iter().flatten());
    let maps = ["properties", "patternProperties", "definitions"];
    let maps = maps.into_iter().flat_map(|key| schema[key].as_object().into_iter().flat_map(Map::values));
    one.filter(|s| s.is_object()).chain(lists).chain(maps)
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

fn on(schema: &Value, key: &str) -> bool {
    schema[key] == true
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

fn invariants(schema: &Value, level: Level, path: &Path, depth: usize, errors: &mut Errors) {
    if depth > DEEPEST {
        return;
    }
    let kind = text(schema, "type");
    match &schema["items"] {
        items if items.is_object() => invariants(items, Level::Item, &path.child("items"), depth + 1, errors),
        _ if kind == "array" => errors.required(&path.child("items"), "must be specified"),
        _ => {}
    }
    let properties = schema["properties"].as_object();
    for (name, below) in properties.into_iter().flatten() {
        invariants(below, Level::Field, &path.child("properties").key(name), depth + 1, errors);
    }
    if let Some(additional) = schema.get("additionalProperties") {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            errors.forbidden(&at, "must not be used at the root");
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &at, depth + 1, errors);
        }
    }
    let (embedded, either) = (on(schema, "x-kubernetes-embedded-resource"), on(schema, "x-kubernetes-int-or-string"));
    let preserve = on(schema, "x-kubernetes-preserve-unknown-fields");
    if either && preserve {
        errors.invalid(
            &path.child("x-kubernetes-preserve-unknown-fields"),
            true,
            "must be false if x-kubernetes-int-or-string is true",
        );
    }
    if either && embedded {
        errors.invalid(
            &path.child("x-kubernetes-embedded-resource"),
            true,
            "must be false if x-kubernetes-int-or-string is true",
        );
    }
    junctors(schema, is_either(&schema["anyOf"]), is_either(&schema["allOf"][0]["anyOf"]), level, path, depth, errors);

    let root = level == Level::Root;
    let at = path.child("type");
    if embedded && kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() { errors.required(&at, why) } else { errors.invalid(&at, kind, why) }
    } else if kind.is_empty() && !either && !preserve {
        errors.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    }
    if embedded && schema.get("additionalProperties").is_some() {
        errors.forbidden(&path.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
    }
    if root && !kind.is_empty() && kind != "object" {
        errors.invalid(&at, kind, "must be object at the root");
    }
    let below = |name: &str| properties.and_then(|p| p.get(name));
    if root || embedded {
        for name in ["kind", "apiVersion"] {
            if let Some(kind) = below(name).map(|s| text(s, "type")).filter(|t| *t != "string") {
                errors.invalid(&path.child("properties").key(name).child("type"), kind, "must be string");
            }
        }
    }
    if let Some(metadata) = below("metadata") {
        let at = path.child("properties").key("metadata");
        if (root || embedded) && text(metadata, "type") != "object" {
            errors.invalid(&at.child("type"), text(metadata, "type"), "must be object");
        }
        if root && !only_names(metadata) {
            errors.forbidden(
                &at,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            );
        }
    }
    if embedded && !preserve && properties.is_none_or(Map::is_empty) {
        errors.required(
            &path.child("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        );
    }
}

/// Whether a schema of metadata restricts nothing but the two names.
fn only_names(metadata: &Value) -> bool {
    metadata.as_object().into_iter().flatten().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => value.as_object().is_some_and(|p| p.keys().all(|name| name == "name" || name == "generateName")),
        _ => matches!(value, Value::Null | Value::Bool(false)),
    })
}

/// `[{type: integer}, {type: string}]`, which is permitted beside `x-kubernetes-int-or-string`.
fn is_either(any_of: &Value) -> bool {
    let just = |schema: &Value, kind: &str| schema.as_object().is_some_and(|s| s.len() == 1) && text(schema, "type") == kind;
    any_of.as_array().is_some_and(|any| any.len() == 2 && just(&any[0], "integer") && just(&any[1], "string"))
}

fn junctors(schema: &Value, skip_any: bool, skip_first: bool, level: Level, path: &Path, depth: usize, errors: &mut Errors) {
    let all = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
    if !skip_any {
        for (i, below) in all("anyOf").iter().enumerate() {
            nested(below, false, level, &path.child("anyOf").index(i), depth + 1, errors);
        }
    }
    for (i, below) in all("allOf").iter().enumerate() {
        nested(below, skip_first && i == 0, level, &path.child("allOf").index(i), depth + 1, errors);
    }
    for (i, below) in all("oneOf").iter().enumerate() {
        nested(below, false, level, &path.child("oneOf").index(i), depth + 1, errors);
    }
    if schema["not"].is_object() {
        nested(&schema["not"], false, level, &path.child("not"), depth + 1, errors);
    }
    let pattern = text(schema, "pattern");
    if let Err(why) = super::schema::Pattern::new(pattern).compiled {
        errors.invalid(
            &path.child("pattern"),
            pattern,
            &format!("must be a valid regular expression, but isn't: {}", go_regex_error(pattern, &why)),
        );
    }
}

/// What Go says of a pattern that does not compile, as far as it is easily told.
pub(crate) fn go_regex_error(pattern: &str, why: &str) -> String {
    let reason = |text: &str, part: &str| format!("error parsing regexp: {text}: `{part}`");
    if why.contains("unclosed group") {
        reason("missing closing )", pattern)
    } else if why.contains("unopened group") {
        reason("unexpected )", pattern)
    } else if why.contains("unclosed character class") {
        let from = pattern.rfind('[').unwrap_or(0);
        reason("missing closing ]", &pattern[from..])
    } else if why.contains("repetition operator missing expression") {
        let operator = pattern.chars().find(|c| "*+?".contains(*c)).map(String::from).unwrap_or_default();
        reason("missing argument to repetition operator", &operator)
    } else {
        let last = why.lines().last().unwrap_or_default();
        reason(last.strip_prefix("error: ").unwrap_or(last), pattern)
    }
}

fn nested(schema: &Value, skip_any: bool, level: Level, path: &Path, depth: usize, errors: &mut Errors) {
    if depth > DEEPEST {
        return;
    }
    junctors(schema, skip_any, false, level, path, depth, errors);
    if schema["items"].is_object() {
        nested(&schema["items"], false, level, &path.child("items"), depth + 1, errors);
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        nested(below, false, Level::Field, &path.child("properties").key(name), depth + 1, errors);
    }
    let mut forbid = |set: bool, key: &str, why: &str| {
        if set {
            errors.forbidden(&path.child(key), why);
        }
    };
    let listed = |key: &str| schema[key].as_array().is_some_and(|l| !l.is_empty());
    let additional = schema.get("additionalProperties").is_some_and(|a| *a != false);
    forbid(!text(schema, "type").is_empty(), "type", "must be empty to be structural");
    forbid(additional, "additionalProperties", "must be undefined to be structural");
    forbid(schema.get("default").is_some_and(|d| !d.is_null()), "default", "must be undefined to be structural");
    forbid(!text(schema, "title").is_empty(), "title", "must be empty to be structural");
    forbid(!text(schema, "description").is_empty(), "description", "must be empty to be structural");
    forbid(on(schema, "nullable"), "nullable", "must be false to be structural");
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"] {
        forbid(on(schema, key), key, "must be false to be structural");
    }
    forbid(listed("x-kubernetes-list-map-keys"), "x-kubernetes-list-map-keys", "must be empty to be structural");
    forbid(schema.get("x-kubernetes-list-type").is_some(), "x-kubernetes-list-type", "must be undefined to be structural");
    forbid(schema.get("x-kubernetes-map-type").is_some(), "x-kubernetes-map-type", "must be undefined to be structural");
    forbid(listed("x-kubernetes-validations"), "x-kubernetes-validations", "must be empty to be structural");
    if schema["properties"].get("metadata").is_some() {
        errors.forbidden(&path.child("properties").key("metadata"), "must not be specified in a nested context");
    }
}

/// What is said about a value in `allOf` and its kin must be said of a value that the schema itself specifies.
fn complete(nested: &Value, schema: &Value, at: &Path, from: &Path, depth: usize, errors: &mut Errors) {
    if depth > DEEPEST {
        return;
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (i, below) in nested[key].as_array().into_iter().flatten().enumerate() {
            complete(below, schema, at, &from.child(key).index(i), depth + 1, errors);
        }
    }
    if nested["not"].is_object() {
        complete(&nested["not"], schema, at, &from.child("not"), depth + 1, errors);
    }
    if nested["items"].is_object() {
        let (inner, source) = (at.child("items"), from.child("items"));
        if schema["items"].is_object() {
            complete(&nested["items"], &schema["items"], &inner, &source, depth + 1, errors);
        } else {
            errors.required(&inner, &format!("because it is defined in {source}"));
        }
    }
    for (name, below) in nested["properties"].as_object().into_iter().flatten() {
        let (inner, source) = (at.child("properties").key(name), from.child("properties").key(name));
        match schema["properties"].get(name) {
            Some(specified) => complete(below, specified, &inner, &source, depth + 1, errors),
            None => errors.required(&inner, &format!("because it is defined in {source}")),
        }
    }
}
