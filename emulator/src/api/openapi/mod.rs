//! The OpenAPI documents: `/openapi/v3`, an index and a document per group and version, and `/openapi/v2`, one for all. They
//! are made from the table of built-in types and from CustomResourceDefinitions, and are large: who serves them keeps them
//! until a definition changes. What they say is what K3s's say, but for prose and for subresources that stream.
//!
//! [`Documents`] keeps them and answers requests for them.

mod answer;
mod custom;
mod paths;
mod protobuf;
mod v2;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha512};

use super::discovery;
use crate::schema::table::{self, Resource, builtin};
pub(crate) use answer::Documents;
use custom::Edition;
use paths::{Operation, Parameter, Path};
use v2::swagger;

const PREFIX: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Documents that belong to no group and version; no client of the emulator needs more of them than that they exist.
const OTHERS: [&str; 5] = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"];

/// `/openapi/v3`: which documents there are, and under which URLs they can be cached.
fn index(definitions: &[&Value]) -> Value {
    let mut names: BTreeSet<String> = OTHERS.iter().map(|&name| name.to_owned()).collect();
    for group in builtin().groups() {
        if !group.name.is_empty() {
            names.insert(format!("apis/{}", group.name));
        }
        names.extend(group.versions.iter().map(|version| document_name(&group.name, version)));
    }
    for resource in definitions.iter().flat_map(|definition| discovery::resources(definition)) {
        names.insert(document_name(&resource.group, &resource.version));
    }
    let entry = |name: String| {
        let url = format!("/openapi/v3/{name}?hash={}", hash(&name, definitions));
        (name, json!({"serverRelativeURL": url}))
    };
    json!({"paths": names.into_iter().map(entry).collect::<Map<_, _>>()})
}

fn document_name(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What changes whenever the document does, or, without a name, whenever any does. Cheaper than the document itself.
fn hash(name: &str, definitions: &[&Value]) -> String {
    let mut digest = Sha512::new();
    digest.update(name);
    digest.update(builtin().version().to_string());
    for definition in definitions.iter().filter(|definition| name.is_empty() || describes(definition, name)) {
        digest.update(definition["spec"].to_string());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Whether a definition is part of a document.
fn describes(definition: &Value, name: &str) -> bool {
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    name.strip_prefix("apis/").and_then(|rest| rest.strip_prefix(group)).is_some_and(|rest| rest.starts_with('/'))
}

/// The document of that name in the index: `api/v1`, `apis/apps/v1`.
fn document(name: &str, definitions: &[&Value]) -> Option<Value> {
    let parts: Vec<&str> = name.split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        ["apis", group] => {
            return builtin().groups().iter().any(|known| known.name == *group).then(|| empty("Kubernetes", "1.34"));
        }
        _ => return OTHERS.contains(&name).then(|| empty("Kubernetes", "1.34")),
    };
    let of_this = |resource: &Resource| resource.group == group && resource.version == version;
    let resources: Vec<&Resource> = builtin().resources().iter().filter(|resource| of_this(resource)).collect();
    let mut schemas = builtin_schemas();
    if !resources.is_empty() {
        let paths = resources.iter().flat_map(|resource| paths::of(resource, false, builtin_name)).collect();
        let mut document = assemble("Kubernetes", "1.34", paths, &schemas, []);
        document["components"]["securitySchemes"] = security();
        let listing = format!("{META}APIResourceList");
        document["paths"][format!("/{name}/")] = json!({"get": {
            "tags": [paths::names(group, version).0],
            "operationId": format!("get{}APIResources", paths::names(group, version).1),
            "responses": responses(&[200], &listing, &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]),
        }});
        add_reachable(&mut document, &schemas, [listing]);
        return Some(document);
    }
    let (mut all, mut roots) = (Vec::new(), Vec::new());
    for definition in definitions.iter().filter(|definition| describes(definition, name)) {
        let Some(resource) = discovery::resources(definition).into_iter().find(of_this) else { continue };
        all.extend(paths::of(&resource, true, custom_name));
        for (name, schema) in custom_schemas(definition, version, Edition::V3) {
            roots.push(name.clone());
            schemas.insert(name, schema);
        }
    }
    (!all.is_empty()).then(|| assemble("Kubernetes CRD Swagger", "v0.1.0", all, &schemas, roots))
}

fn security() -> Value {
    json!({"BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"}})
}

fn empty(title: &str, version: &str) -> Value {
    json!({"openapi": "3.0.0", "info": {"title": title, "version": version}, "paths": {}, "components": {}})
}

fn builtin_schemas() -> Map<String, Value> {
    serde_json::from_str(table::SCHEMAS).unwrap_or_default()
}

fn builtin_name(group: &str, version: &str, kind: &str) -> String {
    builtin().name_of(group, version, kind).unwrap_or_default().to_owned()
}

fn custom_name(group: &str, version: &str, kind: &str) -> String {
    if group == "autoscaling" { builtin_name(group, version, kind) } else { custom::name(group, version, kind) }
}

fn custom_schemas(definition: &Value, version: &str, edition: Edition) -> Vec<(String, Value)> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|one| one["name"] == version).flat_map(|one| custom::schemas(definition, one, edition)).collect()
}

fn assemble(
    title: &str,
    version: &str,
    paths: Vec<Path>,
    schemas: &Map<String, Value>,
    roots: impl IntoIterator<Item = String>,
) -> Value {
    let mut document = empty(title, version);
    let mut wanted: Vec<String> = roots.into_iter().collect();
    for path in paths {
        for operation in &path.operations {
            wanted.push(operation.answer.clone());
            wanted.extend(operation.body.iter().map(|(name, _)| name.clone()));
        }
        let (shared, item) = path_item(&path);
        let mut item = item;
        if !shared.is_empty() {
            item.insert("parameters".into(), shared.into_iter().map(parameter).collect());
        }
        document["paths"][path.path] = Value::Object(item);
    }
    add_reachable(&mut document, schemas, wanted);
    document
}

/// Adds the schemas of those names and all that they refer to.
fn add_reachable(document: &mut Value, schemas: &Map<String, Value>, roots: impl IntoIterator<Item = String>) {
    let mut wanted: Vec<String> = roots.into_iter().collect();
    while let Some(name) = wanted.pop() {
        let known = &mut document["components"]["schemas"];
        if let (None, Some(schema)) = (known.get(&name), schemas.get(&name)) {
            references(schema, &mut wanted);
            known[name] = schema.clone();
        }
    }
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix(PREFIX)) {
                found.push(name.to_owned());
            }
            map.values().for_each(|below| references(below, found));
        }
        Value::Array(items) => items.iter().for_each(|below| references(below, found)),
        _ => {}
    }
}

/// The parameters that all operations of a path share, and those operations.
fn path_item(path: &Path) -> (Vec<Parameter>, Map<String, Value>) {
    let shared = shared_parameters(path);
    let item = path.operations.iter().map(|one| (one.method.to_owned(), operation(one, &shared))).collect();
    (shared, item)
}

fn shared_parameters(path: &Path) -> Vec<Parameter> {
    let Some((first, rest)) = path.operations.split_first() else { return Vec::new() };
    let everywhere = |one: &&Parameter| rest.iter().all(|operation| operation.parameters.contains(one));
    first.parameters.iter().filter(everywhere).copied().collect()
}

fn parameter(one: Parameter) -> Value {
    let mut value = json!({"name": one.name, "in": one.place, "schema": {"type": one.ty, "uniqueItems": true}});
    if one.place == "path" {
        value["required"] = true.into();
    }
    value
}

fn content(schema: &str, types: &[&str]) -> Value {
    types
        .iter()
        .map(|&ty| (ty.to_owned(), json!({"schema": {"$ref": format!("{PREFIX}{schema}")}})))
        .collect::<Map<_, _>>()
        .into()
}

fn code_text(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        _ => "OK",
    }
}

fn responses(codes: &[u16], schema: &str, types: &[&str]) -> Value {
    let mut all = Map::new();
    for &code in codes {
        all.insert(code.to_string(), json!({"description": code_text(code), "content": content(schema, types)}));
    }
    all.insert("401".into(), json!({"description": "Unauthorized"}));
    all.into()
}

fn operation(one: &Operation, shared: &[Parameter]) -> Value {
    let [group, version, kind] = &one.kind;
    let mut value = json!({
        "tags": [one.tag],
        "operationId": one.id,
        "responses": responses(one.codes, &one.answer, one.produces),
        "x-kubernetes-action": one.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    });
    let own: Vec<Value> = one.parameters.iter().filter(|one| !shared.contains(one)).map(|&one| parameter(one)).collect();
    if !own.is_empty() {
        value["parameters"] = own.into();
    }
    if let Some((schema, required)) = &one.body {
        value["requestBody"] = json!({"content": content(schema, one.consumes)});
        if *required {
            value["requestBody"]["required"] = true.into();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_whole() {
        let index = index(&[]);
        let names: Vec<&String> = index["paths"].as_object().unwrap().keys().collect();
        assert!(names.contains(&&"apis/apps/v1".to_owned()));
        let document = document("apis/apps/v1", &[]).unwrap();
        let mut wanted = Vec::new();
        references(&document, &mut wanted);
        for name in wanted {
            assert!(document["components"]["schemas"].get(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn says_what_kubectl_asks_for() {
        let document = document("apis/apps/v1", &[]).unwrap();
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
        assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
        let names: Vec<&Value> = patch["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    }

    #[test]
    fn unknown_documents_are_none() {
        for name in ["apis/nope/v1", "apis/apps/v2", "nope", ""] {
            assert_eq!(document(name, &[]), None);
        }
    }
}
