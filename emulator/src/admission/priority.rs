//! Priority: a pod's priority is that of its class, and one class at most is the default.

use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Objects, Operation};
use crate::kinds::view::{flag, int, object, text};
use crate::status::Refusal;

const GROUP: &str = "scheduling.k8s.io";

fn default_class(objects: &dyn Objects) -> Option<Arc<Value>> {
    let classes = objects.list(GROUP, "priorityclasses", None).into_iter();
    classes.filter(|class| flag(&class["globalDefault"])).min_by_key(|class| int(&class["value"]))
}

pub(super) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    if attributes.operation == Operation::Update {
        let old = attributes.old.clone();
        if let Some(spec) = object(&mut attributes.object, "spec") {
            for field in ["priority", "preemptionPolicy"] {
                if !spec.contains_key(field) && !old["spec"][field].is_null() {
                    spec.insert(field.into(), old["spec"][field].clone());
                }
            }
        }
        return Ok(());
    }
    let given = &attributes.object["spec"];
    let named = text(&given["priorityClassName"]);
    let class = if named.is_empty() {
        default_class(objects)
    } else {
        let class = objects.get(GROUP, "priorityclasses", "", named);
        Some(class.ok_or_else(|| attributes.forbidden(&format!("no PriorityClass with name {named} was found")))?)
    };
    let (value, policy, name) = match &class {
        Some(class) => (int(&class["value"]), class["preemptionPolicy"].as_str(), text(&class["metadata"]["name"])),
        None => (0, Some("PreemptLowerPriority"), ""),
    };
    if let Some(priority) = given["priority"].as_i64()
        && priority != value
    {
        return Err(attributes.forbidden(&format!(
            "the integer value of priority ({priority}) must not be provided in pod spec; priority admission controller computed \
             {value} from the given PriorityClass name"
        )));
    }
    if let (Some(policy), Some(given)) = (policy, given["preemptionPolicy"].as_str())
        && policy != given
    {
        return Err(attributes.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller \
             computed {policy} from the given PriorityClass name"
        )));
    }
    let (policy, name) = (policy.map(str::to_owned), name.to_owned());
    if let Some(spec) = object(&mut attributes.object, "spec") {
        if !name.is_empty() {
            spec.insert("priorityClassName".into(), name.into());
        }
        spec.insert("priority".into(), value.into());
        if let Some(policy) = policy {
            spec.insert("preemptionPolicy".into(), policy.into());
        }
    }
    Ok(())
}

pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    if !attributes.is(GROUP, "priorityclasses") || !flag(&attributes.object["globalDefault"]) {
        return Ok(());
    }
    let Some(default) = default_class(objects) else { return Ok(()) };
    let name = text(&default["metadata"]["name"]);
    if attributes.operation == Operation::Create || name != text(&attributes.object["metadata"]["name"]) {
        let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
        return Err(attributes.forbidden(&why));
    }
    Ok(())
}
