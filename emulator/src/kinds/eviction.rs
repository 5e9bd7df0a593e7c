//! Evictions: the subresource `eviction` of pods (`pkg/registry/core/pod/storage/eviction.go`). The caller stores the budget that
//! [`charge`] gives, marks the pod by [`mark`] and deletes it.

use serde_json::{Value, json};

use super::selector;
use super::view::{count, int, list, object, put, text};
use crate::admission::Objects;
use crate::status::Refusal;

/// How many evictions a budget remembers that its controller has not seen.
const MAX_DISRUPTED: usize = 2000;

/// The budget to store with one disruption less, if the pod has one that counts; refused when there is none left.
pub(crate) fn charge(pod: &Value, objects: &dyn Objects, now: &str) -> Result<Option<Value>, Refusal> {
    let ended = matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed" | "Pending");
    if ended || !pod["metadata"]["deletionTimestamp"].is_null() {
        return Ok(None);
    }
    let namespace = text(&pod["metadata"]["namespace"]);
    let labels = &pod["metadata"]["labels"];
    let budgets = objects.list("policy", "poddisruptionbudgets", Some(namespace));
    let mut matching = budgets
        .iter()
        .filter(|budget| selector::compile(&budget["spec"]["selector"]).is_ok_and(|selector| selector.matches(labels)));
    let Some(budget) = matching.next() else { return Ok(None) };
    if matching.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Refusal::new(500, "", why));
    }
    let (spec, status) = (&budget["spec"], &budget["status"]);
    if !is_ready(pod) {
        let (healthy, desired) = (int(&status["currentHealthy"]), int(&status["desiredHealthy"]));
        if spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || (healthy >= desired && desired > 0) {
            return Ok(None);
        }
    }
    decrement(budget, text(&pod["metadata"]["name"]), now).map(Some)
}

fn is_ready(pod: &Value) -> bool {
    list(&pod["status"]["conditions"]).iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn too_many(retry_after: u32, cause: String) -> Refusal {
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
    if retry_after > 0 {
        details["retryAfterSeconds"] = retry_after.into();
    }
    Refusal::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
        .with_details(details)
}

/// `checkAndDecrement`.
fn decrement(budget: &Value, pod: &str, now: &str) -> Result<Value, Refusal> {
    let (name, status) = (text(&budget["metadata"]["name"]), &budget["status"]);
    if int(&status["observedGeneration"]) < int(&budget["metadata"]["generation"]) {
        return Err(too_many(10, format!("The disruption budget {name} is still being processed by the server.")));
    }
    let allowed = int(&status["disruptionsAllowed"]);
    let forbidden = |why: &str| Refusal::forbidden("policy", "poddisruptionbudget", name, why);
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if count(&status["disruptedPods"]) > MAX_DISRUPTED {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        let (desired, healthy) = (int(&status["desiredHealthy"]), int(&status["currentHealthy"]));
        let cause = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(too_many(0, cause));
    }
    let mut budget = budget.clone();
    let Some(status) = budget.get_mut("status") else { return Ok(budget) };
    put(status, "disruptionsAllowed", (allowed - 1).into());
    if allowed == 1 {
        exhaust(status, now);
    }
    if let Some(pods) = object(status, "disruptedPods") {
        pods.insert(pod.to_owned(), now.into());
    }
    Ok(budget)
}

/// The condition of a budget that allows no further disruption.
fn exhaust(status: &mut Value, now: &str) {
    let condition = json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "reason": "InsufficientPods",
        "message": "",
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": now,
    });
    set_condition(status, condition);
}

fn set_condition(status: &mut Value, new: Value) {
    let Value::Object(fields) = status else { return };
    let Value::Array(conditions) = fields.entry("conditions").or_insert_with(|| json!([])) else { return };
    match conditions.iter_mut().find(|condition| condition["type"] == new["type"]) {
        Some(present) => *present = new,
        None => conditions.push(new),
    }
}

/// The pod says why it ends.
pub(crate) fn mark(pod: &mut Value, now: &str) {
    object(pod, "status");
    if let Some(status) = pod.get_mut("status") {
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": now,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        });
        set_condition(status, condition);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Budgets(Vec<Value>);

    impl Objects for Budgets {
        fn get(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Arc<Value>> {
            None
        }

        fn list(&self, _: &str, _: &str, _: Option<&str>) -> Vec<Arc<Value>> {
            self.0.iter().cloned().map(Arc::new).collect()
        }
    }

    fn budget(allowed: i64) -> Value {
        json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"a": "b"}}},
               "status": {"disruptionsAllowed": allowed, "desiredHealthy": 1, "currentHealthy": 1}})
    }

    #[test]
    fn a_budget_is_spent() {
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "labels": {"a": "b"}}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let spent = charge(&pod, &Budgets(vec![budget(1)]), "now").unwrap().unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert_eq!(spent["status"]["disruptedPods"], json!({"p": "now"}));
        let refusal = charge(&pod, &Budgets(vec![spent]), "now").unwrap_err();
        assert_eq!(refusal.code, 429);
        assert_eq!(
            refusal.details.unwrap()["causes"][0]["message"],
            "The disruption budget b needs 1 healthy pods and has 1 currently"
        );
        assert_eq!(charge(&pod, &Budgets(vec![budget(0), budget(0)]), "now").unwrap_err().code, 500);
    }
}
