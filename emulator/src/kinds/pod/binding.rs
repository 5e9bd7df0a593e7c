//! Binding a pod to a node (`pkg/registry/core/pod/storage/storage.go`).

use serde_json::{Value, json};

use super::super::view::{self, count, entries, text};
use crate::field::{Errors, Path};
use crate::status::Refusal;

/// The pod as the binding makes it. The answer to a client is a Status, `Success`, with code 201.
///
/// The binding names the pod; its uid and resourceVersion are preconditions.
pub(crate) fn bind(pod: &Value, binding: &Value, now: &str) -> Result<Value, Refusal> {
    let name = text(&pod["metadata"]["name"]);
    if text(&binding["metadata"]["name"]) != name {
        return Err(Refusal::bad_request("name in URL does not match name in Binding object"));
    }
    let (target, path) = (&binding["target"], Path::new("target"));
    let mut errors = Errors::new();
    let kind = text(&target["kind"]);
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&path.child("kind"), kind, &["Node", "<empty>"]);
    }
    if text(&target["name"]).is_empty() {
        errors.required(&path.child("name"), "");
    }
    if let Some(all) = errors.aggregate() {
        // An aggregate of field errors is no API status, and so has no reason.
        return Err(Refusal::new(500, "", all));
    }
    for (field, shown) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let [asked, actual] = [binding, pod].map(|object| text(&object["metadata"][field]));
        if !asked.is_empty() && asked != actual {
            let key = format!("/pods/{}/{name}", text(&pod["metadata"]["namespace"]));
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
                 {shown} in precondition: {asked}, {shown} in object meta: {actual}"
            );
            return Err(Refusal::conflict("", "pods", name, &why));
        }
    }
    let node = text(&pod["spec"]["nodeName"]);
    let refuse = |why: String| Err(Refusal::conflict("", "pods/binding", name, &why));
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {}", crate::field::quote(node)));
    }
    if count(&pod["spec"]["schedulingGates"]) > 0 {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut bound = pod.clone();
    if let Some(spec) = view::object(&mut bound, "spec") {
        spec.insert("nodeName".to_owned(), target["name"].clone());
    }
    if let Some(metadata) = bound.get_mut("metadata") {
        for kind in ["annotations", "labels"] {
            let added = &binding["metadata"][kind];
            if count(added) > 0
                && let Some(own) = view::object(metadata, kind)
            {
                own.extend(entries(added).map(|(key, value)| (key.to_owned(), value.clone())));
            }
        }
    }
    if let Some(status) = view::object(&mut bound, "status") {
        set_scheduled(status, now);
        // `ClearingNominatedNodeNameAfterBinding`
        status.remove("nominatedNodeName");
    }
    Ok(bound)
}

fn set_scheduled(status: &mut serde_json::Map<String, Value>, now: &str) {
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Value::Array(conditions) = conditions else { return };
    match conditions.iter_mut().find(|one| text(&one["type"]) == "PodScheduled") {
        Some(present) => {
            let since = (text(&present["status"]) == "True").then(|| present["lastTransitionTime"].clone());
            *present = condition;
            if let Some(since) = since {
                view::put(present, "lastTransitionTime", since);
            }
        }
        None => conditions.push(condition),
    }
}
