//! What controllers ask of pods, and how they make them (`pkg/controller/controller_utils.go`, `pkg/api/v1/pod/util.go`).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::conditions;
use super::desk::{Desk, PODS, Resource};
use crate::kinds::meta::Part;
use crate::kinds::view::{int, list, text};
use crate::selector::labels::Selector;
use crate::status::Refusal;

/// The owner that controls an object.
pub(crate) fn controller_of(object: &Value) -> Option<&Value> {
    list(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)
}

/// Whether an object is being deleted.
pub(crate) fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// An owner as its dependents name it, when it controls them.
pub(crate) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Whether a pod has ended.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

/// Whether it counts as a replica.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_over(pod) && !is_going(pod)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    conditions::holds(&pod["status"], "Ready")
}

/// A time in an object.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// When a ready pod became so.
fn ready_since(pod: &Value) -> Option<Timestamp> {
    conditions::find(&pod["status"], "Ready")
        .filter(|ready| ready["status"] == "True")
        .and_then(|ready| time(&ready["lastTransitionTime"]))
}

/// When a pod has been ready for that many seconds: None when it is not ready.
pub(crate) fn available_at(pod: &Value, seconds: i64) -> Option<Timestamp> {
    is_ready(pod).then_some(())?;
    if seconds == 0 {
        return Some(Timestamp::UNIX_EPOCH);
    }
    ready_since(pod)?.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Whether it has been ready long enough; if it is only ready, the controller is woken in time.
pub(crate) fn is_available(desk: &Desk, pod: &Value, seconds: i64) -> bool {
    match available_at(pod, seconds) {
        Some(at) if at <= desk.clock() => true,
        Some(at) => {
            desk.wake_at(at);
            false
        }
        None => false,
    }
}

/// All pods, by who controls them.
pub(crate) struct Pods {
    controlled: HashMap<String, Vec<Arc<Value>>>,
    /// By namespace: those that nobody controls.
    orphans: HashMap<String, Vec<Arc<Value>>>,
}

impl Pods {
    pub(crate) fn of(desk: &Desk) -> Self {
        let mut pods = Self { controlled: HashMap::new(), orphans: HashMap::new() };
        for pod in desk.all(PODS) {
            let list = match controller_of(&pod) {
                Some(owner) => pods.controlled.entry(text(&owner["uid"]).to_owned()),
                None => pods.orphans.entry(text(&pod["metadata"]["namespace"]).to_owned()),
            };
            list.or_default().push(pod);
        }
        pods
    }

    /// The pods that an object controls, whatever their labels.
    pub(crate) fn controlled(&self, owner: &Value) -> &[Arc<Value>] {
        self.controlled.get(text(&owner["metadata"]["uid"])).map_or(&[], Vec::as_slice)
    }

    /// The pods of an owner (`ClaimPods`): orphans that it selects become its own, and what it no longer selects is let go.
    pub(crate) fn claim(
        &self,
        desk: &Desk,
        owner: &Value,
        selector: &Selector,
        wanted: &dyn Fn(&Value) -> bool,
    ) -> Vec<Arc<Value>> {
        let mut claimed = Vec::new();
        for pod in self.controlled(owner).iter().filter(|pod| wanted(pod)) {
            if selector.matches(&pod["metadata"]["labels"]) {
                claimed.push(pod.clone());
            } else if !is_going(owner) {
                let released = desk.update(PODS, pod, Part::Whole, &|live| release(live, owner));
                desk.heard(pod, released);
            }
        }
        let orphans = self.orphans.get(text(&owner["metadata"]["namespace"])).map_or(&[][..], Vec::as_slice);
        if is_going(owner) {
            return claimed;
        }
        for pod in orphans {
            if wanted(pod) && !is_going(pod) && selector.matches(&pod["metadata"]["labels"]) {
                let adopted = desk.update(PODS, pod, Part::Whole, &|live| adopt(live, owner));
                if let Some(mine) = desk.heard(pod, adopted).filter(|pod| controls(owner, pod)) {
                    claimed.push(Arc::new(mine));
                }
            }
        }
        claimed
    }
}

/// Whether an object is controlled by that owner.
pub(crate) fn controls(owner: &Value, object: &Value) -> bool {
    controller_of(object).is_some_and(|found| found["uid"] == owner["metadata"]["uid"])
}

/// Makes an object one's own, unless someone else was faster.
pub(crate) fn adopt(object: &mut Value, owner: &Value) {
    if controller_of(object).is_some() {
        return;
    }
    match object["metadata"]["ownerReferences"].as_array_mut() {
        Some(owners) => owners.push(reference(owner)),
        None => object["metadata"]["ownerReferences"] = json!([reference(owner)]),
    }
}

/// Lets go of an object.
pub(crate) fn release(object: &mut Value, owner: &Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    let Some(owners) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) else { return };
    owners.retain(|found| found["uid"] != owner["metadata"]["uid"]);
    if owners.is_empty() {
        metadata.remove("ownerReferences");
    }
}

/// A pod as a template has it (`GetPodFromTemplate`).
pub(crate) fn from_template(template: &Value, owner: &Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("generateName".into(), format!("{}-", text(&owner["metadata"]["name"])).into());
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata.insert(field.into(), template["metadata"][field].clone());
        }
    }
    metadata.insert("ownerReferences".into(), json!([reference(owner)]));
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": template["spec"]})
}

/// Creates a pod of an owner and tells of it. In a namespace that ends, nothing is made and nothing is wrong: None.
pub(crate) fn create(desk: &Desk, owner: &Value, component: &str, pod: Value) -> Result<Option<Value>, Refusal> {
    match desk.create(PODS, text(&owner["metadata"]["namespace"]), pod) {
        Ok(pod) => {
            desk.tell(owner, component, false, "SuccessfulCreate", &format!("Created pod: {}", text(&pod["metadata"]["name"])));
            Ok(Some(pod))
        }
        Err(refusal) if is_ending(&refusal) => Ok(None),
        Err(refusal) => {
            desk.tell(owner, component, true, "FailedCreate", &format!("Error creating: {}", refusal.message));
            Err(refusal)
        }
    }
}

/// Whether the namespace is being deleted, or gone.
pub(crate) fn is_ending(refusal: &Refusal) -> bool {
    let causes = refusal.details.as_ref().map_or(&Value::Null, |details| &details["causes"]);
    refusal.reason == "NotFound" || list(causes).iter().any(|cause| cause["reason"] == "NamespaceTerminating")
}

/// Deletes a pod of an owner and tells of it.
pub(crate) fn delete(desk: &Desk, owner: &Value, component: &str, pod: &Value) -> Result<(), Refusal> {
    match desk.delete(PODS, pod, None) {
        Ok(()) => {
            desk.tell(owner, component, false, "SuccessfulDelete", &format!("Deleted pod: {}", text(&pod["metadata"]["name"])));
            Ok(())
        }
        Err(refusal) if matches!(refusal.reason.as_str(), "NotFound" | "Conflict") => Ok(()),
        Err(refusal) => {
            desk.tell(owner, component, true, "FailedDelete", &format!("Error deleting: {}", refusal.message));
            Err(refusal)
        }
    }
}

/// Sorts pods so that those come first that are best done without (`ActivePodsWithRanks`). Among `related` pods, it is better to
/// end one that has many of them beside it on its node.
pub(crate) fn sort_by_worth(pods: &mut [Arc<Value>], related: &[Arc<Value>], now: Timestamp) {
    let mut crowds: HashMap<&str, i64> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *crowds.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
    }
    let phase = |pod: &Value| match text(&pod["status"]["phase"]) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    let cost = |pod: &Value| {
        let cost = text(&pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"]);
        cost.parse::<i32>().unwrap_or_default()
    };
    let restarts =
        |pod: &Value| list(&pod["status"]["containerStatuses"]).iter().map(|c| int(&c["restartCount"])).max().unwrap_or_default();
    // Younger first, but only if the ages differ by a power of two: among equals, a uid is as good as chance.
    let rank = |since: Timestamp| {
        let age = now.duration_since(since).as_nanos();
        if age > 0 { i64::from(age.ilog2()) } else { -1 }
    };
    let by_age = |a: Option<Timestamp>, b: Option<Timestamp>, x: &Value, y: &Value| match (a, b) {
        (Some(a), Some(b)) if a != b => {
            rank(a).cmp(&rank(b)).then_with(|| text(&x["metadata"]["uid"]).cmp(text(&y["metadata"]["uid"])))
        }
        _ => Ordering::Equal,
    };
    pods.sort_by(|a, b| {
        let node = |pod: &Value| !text(&pod["spec"]["nodeName"]).is_empty();
        let crowd = |pod: &Value| crowds.get(text(&pod["spec"]["nodeName"])).copied().unwrap_or_default();
        node(a)
            .cmp(&node(b))
            .then_with(|| phase(a).cmp(&phase(b)))
            .then_with(|| is_ready(a).cmp(&is_ready(b)))
            .then_with(|| cost(a).cmp(&cost(b)))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(|| by_age(ready_since(a), ready_since(b), a, b))
            .then_with(|| restarts(b).cmp(&restarts(a)))
            .then_with(|| by_age(time(&a["metadata"]["creationTimestamp"]), time(&b["metadata"]["creationTimestamp"]), a, b))
    });
}

/// The pods of other objects of the same controller, beside those of `object` itself.
pub(crate) fn related(desk: &Desk, resource: Resource, object: &Value, pods: &Pods) -> Vec<Arc<Value>> {
    let Some(above) = controller_of(object) else { return pods.controlled(object).to_vec() };
    let siblings = desk.within(resource, text(&object["metadata"]["namespace"]));
    let siblings = siblings.iter().filter(|other| controller_of(other).is_some_and(|owner| owner["uid"] == above["uid"]));
    siblings.flat_map(|sibling| pods.controlled(sibling).to_vec()).collect()
}

/// Adds a finalizer to an object, at the end.
pub(crate) fn add_finalizer(object: &mut Value, finalizer: &str) {
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(all) if all.iter().any(|found| found == finalizer) => {}
        Some(all) => all.push(finalizer.into()),
        None => object["metadata"]["finalizers"] = json!([finalizer]),
    }
}

/// Takes a finalizer away.
pub(crate) fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    let Some(all) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) else { return };
    all.retain(|found| found != finalizer);
    if all.is_empty() {
        metadata.remove("finalizers");
    }
}
