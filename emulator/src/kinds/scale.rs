//! The subresource `scale` of the built-in kinds that have replicas: a view of the object as `autoscaling/v1`'s Scale.

use serde_json::{Value, json};

use super::pod::nonnegative;
use super::view::{count, int, object, text};
use super::{meta, names, selector};
use crate::field::{Errors, Path};
use crate::status::Refusal;

/// The Scale of an object.
pub(crate) fn scale_of(group: &str, resource: &str, owner: &Value) -> Result<Value, Refusal> {
    let own = &owner["spec"]["selector"];
    let selected = match (group, resource) {
        ("", "replicationcontrollers") => selector::map_text(own),
        _ => selector::compile(own).map_err(Refusal::bad_request)?.to_string(),
    };
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        // Zero replicas are omitted, as any empty value is.
        "spec": {},
        "status": {"replicas": int(&owner["status"]["replicas"])},
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = owner["metadata"].get(field) {
            scale["metadata"][field] = value.clone();
        }
    }
    let replicas = int(&owner["spec"]["replicas"]);
    if replicas != 0 {
        scale["spec"]["replicas"] = replicas.into();
    }
    if !selected.is_empty() {
        scale["status"]["selector"] = selected.into();
    }
    Ok(scale)
}

/// The object with the replicas of a Scale, which is validated. Its uid and resourceVersion are preconditions that the caller
/// checks.
pub(crate) fn with_scale(owner: &Value, scale: &Value) -> Result<Value, Refusal> {
    let mut errors = Errors::new();
    meta::validate(scale, true, names::dns1123_subdomain, &mut errors);
    nonnegative(int(&scale["spec"]["replicas"]), &Path::new("spec").child("replicas"), &mut errors);
    if !errors.is_empty() {
        let name = text(&owner["metadata"]["name"]);
        return Err(Refusal::invalid("autoscaling", "Scale", name, &errors));
    }
    let mut scaled = owner.clone();
    if let Some(spec) = object(&mut scaled, "spec") {
        spec.insert("replicas".to_owned(), int(&scale["spec"]["replicas"]).into());
    }
    if let Some(metadata) = object(&mut scaled, "metadata") {
        let version = &scale["metadata"]["resourceVersion"];
        if count(version) > 0 {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
    }
    Ok(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_deployment() {
        let owner = json!({
            "metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "1", "labels": {"x": "y"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"b": "2", "a": "1"}}},
            "status": {},
        });
        assert_eq!(
            scale_of("apps", "deployments", &owner).unwrap(),
            json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "1"},
                "spec": {}, "status": {"replicas": 0, "selector": "a=1,b=2"},
            })
        );
        let scale = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"replicas": -1}});
        assert_eq!(
            with_scale(&owner, &scale).unwrap_err().message,
            "Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
    }
}
