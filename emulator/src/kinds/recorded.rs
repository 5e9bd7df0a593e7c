//! What a real K3s v1.34.1 answered to writes of workloads. `recorded/creates.json` has a line for each create,
//! `recorded/updates.json` one for each update: the objects, the warnings, and the answer or the errors.

use serde_json::{Value, json};

use super::meta::{self, Part};
use super::view::{count, list, text};
use super::{Rules, rules};
use crate::field::Errors;
use crate::schema::{Type, codec, table};
use crate::status::Refusal;

struct Outcome {
    object: Value,
    errors: Errors,
    warnings: Vec<String>,
}

/// A create without its admission.
fn create(given: &Value, uid: &str) -> Outcome {
    let (ty, rules) = rules_of(given);
    let kind = text(&given["kind"]);
    let mut object = codec::decode(ty, given.clone()).unwrap().value;
    object["metadata"]["namespace"] = "rec-workloads".into();
    object["metadata"]["uid"] = uid.into();
    (rules.default)(&mut object);
    if kind == "Pod" {
        object["spec"]["serviceAccountName"] = "default".into();
    }
    let errors = meta::before_create(rules, &mut object, true).err().unwrap_or_default();
    let warnings = (rules.warnings)(&object, None);
    let object = codec::encode(ty, object);
    Outcome { object, errors, warnings }
}

/// An update; `subresource` is "" for the object itself.
fn update(old: &Value, new: &Value, subresource: &str) -> Outcome {
    let (ty, rules) = rules_of(old);
    let part = match subresource {
        "status" => Part::Status,
        "resize" => Part::Resize,
        "ephemeralcontainers" => Part::EphemeralContainers,
        _ => Part::Whole,
    };
    let mut object = codec::decode(ty, new.clone()).unwrap().value;
    (rules.default)(&mut object);
    let errors = meta::before_update(rules, part, old, &mut object, true).err().unwrap_or_default();
    let warnings = if part == Part::Whole { (rules.warnings)(&object, Some(old)) } else { Vec::new() };
    Outcome { object: codec::encode(ty, object), errors, warnings }
}

fn rules_of(object: &Value) -> (Type<'static>, &'static Rules) {
    let version = text(&object["apiVersion"]);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = text(&object["kind"]);
    let ty = table::builtin().type_of(group, version, kind).unwrap();
    let resources = table::builtin().resources();
    let resource = resources.iter().find(|one| one.group == group && one.kind == kind && one.version == version).unwrap();
    (ty, rules(group, &resource.plural))
}

/// The message of the 422 for these errors.
fn message(object: &Value, errors: &Errors) -> Value {
    let group = text(&object["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    Refusal::invalid(group, text(&object["kind"]), text(&object["metadata"]["name"]), errors).message.into()
}

/// Takes away what admission adds.
fn unadmitted(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in ["serviceAccount", "serviceAccountName", "priority", "preemptionPolicy"] {
        spec.remove(field);
    }
    let retain = |owner: &mut Value, field: &str, keep: &dyn Fn(&Value) -> bool| {
        let Some(Value::Array(items)) = owner.get_mut(field) else { return };
        items.retain(keep);
        if items.is_empty() {
            super::view::remove(owner, field);
        }
    };
    let is_own = |one: &Value| !text(&one["name"]).starts_with("kube-api-access");
    let spec = &mut pod["spec"];
    retain(spec, "tolerations", &|one| !text(&one["key"]).starts_with("node.kubernetes.io/"));
    retain(spec, "volumes", &is_own);
    for kind in ["containers", "initContainers"] {
        for container in super::view::items(spec, kind) {
            retain(container, "volumeMounts", &is_own);
        }
    }
}

#[test]
fn creates() {
    let cases: Value = serde_json::from_str(include_str!("recorded/creates.json")).unwrap();
    let mut wrong = Vec::new();
    for case in list(&cases) {
        let given = &case["object"];
        let mut expected = case["answer"].clone();
        let uid = match text(&expected["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"]) {
            "" => "u".to_owned(),
            uid => uid.to_owned(),
        };
        let mut got = create(given, &uid);
        let mut differ = |what: &str, expected: &Value, got: &Value| {
            if expected != got {
                wrong.push(format!("{what} of {given}\n  expected {expected}\n  got      {got}"));
            }
        };
        if expected.is_null() {
            differ("the message", &case["message"], &message(given, &got.errors));
            differ("the causes", &case["causes"], &got.errors.causes());
            continue;
        }
        differ("errors", &json!([]), &if got.errors.is_empty() { json!([]) } else { got.errors.causes() });
        for object in [&mut expected, &mut got.object] {
            if given["kind"] == "Pod" {
                unadmitted(object);
            }
            for condition in super::view::items(&mut object["status"], "conditions") {
                condition["lastTransitionTime"] = Value::Null;
            }
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("uid");
            }
        }
        differ("the object", &expected, &got.object);
        differ("the warnings", &case["warnings"], &got.warnings.into());
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), count(&cases), wrong.join("\n"));
}

#[test]
fn updates() {
    let cases: Value = serde_json::from_str(include_str!("recorded/updates.json")).unwrap();
    let mut wrong = Vec::new();
    for case in list(&cases) {
        let (old, new) = (&case["old"], &case["new"]);
        let mut got = update(old, new, text(&case["subresource"]));
        let mut expected = case["answer"].clone();
        let mut differ = |what: &str, expected: &Value, got: &Value| {
            if expected != got {
                let title = format!("{} {}", text(&old["metadata"]["name"]), text(&case["subresource"]));
                wrong.push(format!("{what} of {title}: {}\n  expected {expected}\n  got      {got}", new["spec"]));
            }
        };
        if expected.is_null() {
            differ("the message", &case["message"], &message(old, &got.errors));
            differ("the causes", &case["causes"], &got.errors.causes());
            continue;
        }
        differ("errors", &json!([]), &if got.errors.is_empty() { json!([]) } else { got.errors.causes() });
        for object in [&mut expected, &mut got.object] {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
        }
        differ("the object", &expected, &got.object);
        differ("the warnings", &case["warnings"], &got.warnings.into());
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), count(&cases), wrong.join("\n"));
}
