//! RuntimeClass: a pod takes over what its runtime class says.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Attributes, Objects, Operation};
use crate::field::quote;
use crate::kinds::view::{count, entries, list, object, same, text};
use crate::status::Refusal;

fn class(attributes: &Attributes, objects: &dyn Objects) -> Result<Option<Arc<Value>>, Refusal> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(None);
    }
    let name = text(&attributes.object["spec"]["runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    match objects.get("node.k8s.io", "runtimeclasses", "", name) {
        Some(class) => Ok(Some(class)),
        None => Err(attributes.forbidden(&format!("pod rejected: RuntimeClass {} not found", quote(name)))),
    }
}

pub(super) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    let Some(class) = class(attributes, objects)? else { return Ok(()) };
    let overhead = &class["overhead"]["podFixed"];
    let pod = &attributes.object["spec"];
    if count(&pod["overhead"]) > 0 && !same(&pod["overhead"], overhead) {
        return Err(attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
    }
    let scheduling = &class["scheduling"];
    let selector = &pod["nodeSelector"];
    if let Some((key, value)) =
        entries(&scheduling["nodeSelector"]).find(|(key, value)| selector.get(*key).is_some_and(|v| v != *value))
    {
        return Err(attributes.forbidden(&format!(
            "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
            text(value),
            text(&selector[key])
        )));
    }
    let Some(spec) = object(&mut attributes.object, "spec") else { return Ok(()) };
    if count(overhead) > 0 {
        spec.insert("overhead".into(), overhead.clone());
    }
    if count(&scheduling["nodeSelector"]) > 0
        && let Value::Object(selector) = spec.entry("nodeSelector").or_insert_with(|| json!({}))
    {
        selector.extend(entries(&scheduling["nodeSelector"]).map(|(key, value)| (key.to_owned(), value.clone())));
    }
    if count(&scheduling["tolerations"]) > 0
        && let Value::Array(tolerations) = spec.entry("tolerations").or_insert_with(|| json!([]))
    {
        for toleration in list(&scheduling["tolerations"]) {
            if !tolerations.contains(toleration) {
                tolerations.push(toleration.clone());
            }
        }
    }
    Ok(())
}

pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    let class = class(attributes, objects)?;
    let pod = &attributes.object["spec"]["overhead"];
    if attributes.is("", "pods") && attributes.operation == Operation::Create {
        let has = class.as_ref().is_some_and(|class| !class["overhead"].is_null());
        if !has && count(pod) > 0 {
            return Err(
                attributes.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
            );
        }
        if let Some(class) = class
            && has
            && !same(pod, &class["overhead"]["podFixed"])
        {
            return Err(attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
        }
    }
    Ok(())
}
