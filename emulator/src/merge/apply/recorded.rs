//! Writes recorded on a real K3s v1.34.1, each with the object before it and the answer.

use serde_json::{Value, json};

use super::{Manager, Versions, custom_reset_fields, reset_fields};
use crate::merge::{Patch, Strictness, patch};
use crate::schema::codec::decode;
use crate::schema::table::builtin;
use crate::schema::{Type, Types};
use crate::status::Refusal;

fn now(answer: &Value) -> String {
    let entries = answer.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry["time"].as_str()).max().unwrap_or("2001-01-01T00:00:00Z").to_owned()
}

fn written(step: &Value) -> Result<Value, Refusal> {
    let path: Vec<_> = step["path"].as_str().unwrap().trim_start_matches('/').split('/').collect();
    let (group, version, rest) = if path[0] == "api" { ("", path[1], &path[2..]) } else { (path[1], path[2], &path[3..]) };
    let (resource, subresource) = (rest[2], rest.get(4).copied().unwrap_or_default());
    let found = builtin().resources().iter().find(|r| r.group == group && r.version == version && r.plural == resource).unwrap();
    let ty = builtin().type_of(group, version, &found.kind).unwrap();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let head = |object: &Value| {
        let mut object = object.clone();
        object["kind"] = found.kind.clone().into();
        object["apiVersion"] = api_version.clone().into();
        object
    };
    let empty = decode(ty, head(&json!({}))).unwrap().value;
    let manager = Manager {
        ty: Some(ty),
        metadata: None,
        api_version: &api_version,
        kind: &found.kind,
        subresource,
        empty: &empty,
        reset: reset_fields(group, resource, subresource),
        versions: None,
    };
    let rules = crate::kinds::rules(group, resource);
    let (body, live, query) = (&step["body"], &step["live"], step["query"].as_str().unwrap());
    let name = query.split(['=', '&']).nth(1).unwrap();
    let now = now(&step["out"]);
    let kind = match step["ct"].as_str().unwrap() {
        "application/apply-patch+yaml" => {
            let applied = manager.apply(live, body, name, query.contains("force=true"), &now)?;
            let mut object = decode(ty, applied).unwrap().value;
            (rules.default)(&mut object);
            return Ok(object);
        }
        "application/merge-patch+json" => Some(Patch::Merge),
        "application/strategic-merge-patch+json" => Some(Patch::Strategic),
        "application/json-patch+json" => Some(Patch::Json),
        _ => None,
    };
    let mut object = match kind {
        Some(kind) => patch(kind, Some(ty), live, body.to_string().as_bytes(), Strictness::Warn)?.value,
        None => decode(ty, head(body)).unwrap().value,
    };
    (rules.default)(&mut object);
    Ok(manager.update(live, object, name, &now))
}

/// The API server lists the conflicts of one manager together, and the managers in no order.
fn sorted(mut answer: Value) -> Value {
    if let Some(causes) = answer.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
        causes.sort_by_key(ToString::to_string);
    }
    answer
}

#[test]
fn owners_are_as_recorded() {
    let steps: Value = serde_json::from_str(include_str!("../testdata/owners.json")).unwrap();
    for (index, step) in steps.as_array().unwrap().iter().enumerate() {
        let case = || format!("{index}: {} {}{} {}", step["verb"], step["path"], step["query"], step["body"]);
        match written(step) {
            Ok(object) => {
                assert_eq!(
                    object.pointer("/metadata/managedFields"),
                    step["out"].pointer("/metadata/managedFields"),
                    "{}",
                    case()
                );
            }
            Err(refusal) => assert_eq!(sorted(refusal.to_json()), sorted(step["out"].clone()), "{}", case()),
        }
    }
}

struct TwoVersions<'a>(&'a Types);

impl Versions for TwoVersions<'_> {
    fn at(&self, object: &Value, version: &str) -> Option<(Value, Option<Type<'_>>)> {
        let mut object = matches!(version, "merge.example.com/v1" | "merge.example.com/v2").then(|| object.clone())?;
        object["apiVersion"] = version.into();
        Some((object, self.0.get("")))
    }
}

/// The same for custom resources: `things` have a schema and two versions, `opens` a schema that says nothing.
fn written_custom(schema: &Types, step: &Value) -> Result<Value, Refusal> {
    let path: Vec<_> = step["path"].as_str().unwrap().trim_start_matches('/').split('/').collect();
    let (version, resource, subresource) = (path[2], path[5], path.get(7).copied().unwrap_or_default());
    let open = Types::from_schema(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let (types, kind) = if resource == "things" { (schema, "Thing") } else { (&open, "Open") };
    let api_version = format!("merge.example.com/{version}");
    let empty = json!({"apiVersion": api_version, "kind": kind});
    let versions = TwoVersions(types);
    let manager = Manager {
        ty: types.get(""),
        metadata: builtin().types().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        api_version: &api_version,
        kind,
        subresource,
        empty: &empty,
        reset: custom_reset_fields(true, subresource),
        versions: Some(&versions),
    };
    let (body, live, query) = (&step["body"], &step["live"], step["query"].as_str().unwrap());
    let name = query.split(['=', '&']).nth(1).unwrap();
    let now = now(&step["out"]);
    let object = match step["ct"].as_str().unwrap() {
        "application/apply-patch+yaml" => return manager.apply(live, body, name, query.contains("force=true"), &now),
        "application/merge-patch+json" => patch(Patch::Merge, None, live, body.to_string().as_bytes(), Strictness::Warn)?.value,
        _ => body.clone(),
    };
    Ok(manager.update(live, object, name, &now))
}

#[test]
fn owners_of_custom_resources_are_as_recorded() {
    let recorded: Value = serde_json::from_str(include_str!("../testdata/custom.json")).unwrap();
    let schema = Types::from_schema(&recorded["schema"]);
    for (index, step) in recorded["steps"].as_array().unwrap().iter().enumerate() {
        let case = || format!("{index}: {} {}{} {}", step["verb"], step["path"], step["query"], step["body"]);
        match written_custom(&schema, step) {
            Ok(object) => {
                let (found, expected) = (&object["metadata"]["managedFields"], &step["out"]["metadata"]["managedFields"]);
                assert_eq!(found, expected, "{}", case());
                if step["ct"] == "application/apply-patch+yaml" {
                    assert_eq!(object["spec"], step["out"]["spec"], "{}", case());
                }
            }
            Err(refusal) => assert_eq!(lines(refusal.to_json()), lines(step["out"].clone()), "{}", case()),
        }
    }
}

/// Several errors come in the order of a Go map, that is in none.
fn lines(mut answer: Value) -> Value {
    let mut lines: Vec<_> = answer["message"].as_str().unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    answer["message"] = lines.join("\n").into();
    sorted(answer)
}
