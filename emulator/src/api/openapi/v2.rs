//! The document of OpenAPI version 2, in which older clients look up how to validate and to merge.

use serde_json::{Map, Value, json};

use super::custom::Edition;
use super::paths::{self, Namer, Operation, Parameter};
use super::{builtin_name, builtin_schemas, code_text, custom_name, custom_schemas, discovery, security, shared_parameters};
use crate::schema::table::{Resource, builtin};

/// `/openapi/v2`.
pub(super) fn swagger(definitions: &[&Value]) -> Value {
    let mut schemas: Map<String, Value> = builtin_schemas().into_iter().map(|(name, schema)| (name, convert(schema))).collect();
    let mut all = Map::new();
    let mut add = |resource: &Resource, custom: bool, namer: Namer| {
        for path in paths::of(resource, custom, namer) {
            let shared = shared_parameters(&path);
            let mut item: Map<String, Value> =
                path.operations.iter().map(|one| (one.method.to_owned(), operation(one, &shared))).collect();
            if !shared.is_empty() {
                item.insert("parameters".into(), shared.into_iter().map(parameter).collect());
            }
            all.insert(path.path, Value::Object(item));
        }
    };
    for resource in builtin().resources() {
        add(resource, false, builtin_name);
    }
    for definition in definitions {
        for resource in discovery::resources(definition) {
            add(&resource, true, custom_name);
            schemas.extend(custom_schemas(definition, &resource.version, Edition::V2));
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "1.34"},
        "paths": all,
        "definitions": schemas,
        "securityDefinitions": security(),
        "security": [{"BearerToken": []}],
    })
}

/// A schema of version 3 as version 2 has it: no defaults, no alternatives, references without `allOf`.
fn convert(schema: Value) -> Value {
    let Value::Object(map) = schema else { return schema };
    let mut out = Map::new();
    for (key, value) in map {
        match (key.as_str(), value) {
            ("default" | "nullable" | "anyOf" | "not", _) => {}
            // A quantity, or a port by number or name: version 2 has them as strings.
            ("oneOf", _) => {
                out.insert("type".into(), "string".into());
            }
            ("allOf", Value::Array(mut all)) if all.len() == 1 => {
                if let Value::Object(reference) = convert(all.swap_remove(0)) {
                    out.extend(reference);
                }
            }
            ("$ref", Value::String(reference)) => {
                out.insert(key, reference.replace(super::PREFIX, "#/definitions/").into());
            }
            ("properties", Value::Object(fields)) => {
                out.insert(key, fields.into_iter().map(|(name, field)| (name, convert(field))).collect());
            }
            ("items" | "additionalProperties", value) => {
                out.insert(key, convert(value));
            }
            (_, value) => {
                out.insert(key, value);
            }
        }
    }
    Value::Object(out)
}

fn parameter(one: Parameter) -> Value {
    let mut value = json!({"name": one.name, "in": one.place, "type": one.ty, "uniqueItems": true});
    if one.place == "path" {
        value["required"] = true.into();
    }
    value
}

fn operation(one: &Operation, shared: &[Parameter]) -> Value {
    let [group, version, kind] = &one.kind;
    let reference = |name: &str| json!({"$ref": Edition::V2.reference(name)});
    let mut responses = Map::new();
    for &code in one.codes {
        responses.insert(code.to_string(), json!({"description": code_text(code), "schema": reference(&one.answer)}));
    }
    responses.insert("401".into(), json!({"description": "Unauthorized"}));
    let mut parameters = Vec::new();
    if let Some((schema, required)) = &one.body {
        let mut body = json!({"name": "body", "in": "body", "schema": reference(schema)});
        if *required {
            body["required"] = true.into();
        }
        parameters.push(body);
    }
    parameters.extend(one.parameters.iter().filter(|one| !shared.contains(one)).map(|&one| parameter(one)));
    let mut value = json!({
        "consumes": one.consumes,
        "produces": one.produces,
        "schemes": ["https"],
        "tags": [one.tag],
        "operationId": one.id,
        "responses": responses,
        "x-kubernetes-action": one.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    });
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    value
}
