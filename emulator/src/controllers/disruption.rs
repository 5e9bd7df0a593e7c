//! What a PodDisruptionBudget allows at the moment (`pkg/controller/disruption`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::conditions;
use super::desk::{Controller, DEPLOYMENTS, Desk, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Resource, STATEFUL_SETS};
use super::pods;
use crate::admission::Objects;
use crate::kinds::selector;
use crate::kinds::view::{entries, int, text};

const BUDGETS: Resource = ("policy", "poddisruptionbudgets");
const COMPONENT: &str = "controllermanager";
/// How long an eviction may take until the pod counts again.
const DELETION: SignedDuration = SignedDuration::from_secs(120);

pub(super) const CONTROLLER: Controller =
    Controller { watches: &[BUDGETS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, DEPLOYMENTS, STATEFUL_SETS], settle };

fn settle(desk: &Desk) {
    for budget in desk.all(BUDGETS) {
        let namespace = text(&budget["metadata"]["namespace"]);
        let Ok(selector) = selector::compile(&budget["spec"]["selector"]) else { continue };
        let mut pods = desk.within(PODS, namespace);
        pods.retain(|pod| selector.matches(&pod["metadata"]["labels"]));
        let status = match expected(desk, &budget, &pods) {
            Ok((expected, desired)) => status(desk, &budget, &pods, expected, desired),
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                desk.tell(&budget, COMPONENT, true, "CalculateExpectedPodCountFailed", &message);
                failed(desk, &budget, &why)
            }
        };
        if budget["status"] != status {
            if pods.is_empty() {
                desk.tell(&budget, COMPONENT, false, "NoPods", "No matching pods found");
            }
            desk.set_whole_status(BUDGETS, &budget, &status);
        }
    }
}

/// How many pods there should be, and how many of them healthy.
fn expected(desk: &Desk, budget: &Value, pods: &[Arc<Value>]) -> Result<(i64, i64), String> {
    let spec = &budget["spec"];
    let of_pods = || i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if !spec["maxUnavailable"].is_null() {
        let expected = scale(desk, pods)?;
        Ok((expected, (expected - share(&spec["maxUnavailable"], expected, true)?).max(0)))
    } else if let Some(least) = spec["minAvailable"].as_i64() {
        Ok((of_pods(), least))
    } else if spec["minAvailable"].is_string() {
        let expected = scale(desk, pods)?;
        Ok((expected, share(&spec["minAvailable"], expected, true)?))
    } else {
        Ok((0, 0))
    }
}

/// A number, or a percentage of another (`GetScaledValueFromIntOrPercent`).
pub(super) fn share(value: &Value, total: i64, up: bool) -> Result<i64, String> {
    if let Some(number) = value.as_i64() {
        return Ok(number);
    }
    let wrong = || "invalid type: string is not a percentage".to_owned();
    let percent: i64 = text(value).strip_suffix('%').and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    let hundredths = percent.saturating_mul(total);
    Ok(if up { hundredths.saturating_add(99).div_euclid(100) } else { hundredths.div_euclid(100) })
}

/// How many pods their controllers want, all together.
fn scale(desk: &Desk, pods: &[Arc<Value>]) -> Result<i64, String> {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = pods::controller_of(pod) else { continue };
        if scales.contains_key(text(&owner["uid"])) {
            continue;
        }
        let namespace = text(&pod["metadata"]["namespace"]);
        let Some((uid, replicas)) = controller(desk, owner, namespace) else {
            return Err(format!("found no controllers for pod {}", crate::field::quote(text(&pod["metadata"]["name"]))));
        };
        scales.insert(uid, replicas);
    }
    Ok(scales.values().sum())
}

/// The uid and the scale of a pod's controller, or of the one behind it.
fn controller(desk: &Desk, owner: &Value, namespace: &str) -> Option<(String, i64)> {
    let resource = match (text(&owner["kind"]), text(&owner["apiVersion"]).split('/').next()) {
        ("ReplicaSet", Some("apps")) => REPLICA_SETS,
        ("StatefulSet", Some("apps")) => STATEFUL_SETS,
        ("Deployment", Some("apps")) => DEPLOYMENTS,
        ("ReplicationController", _) => REPLICATION_CONTROLLERS,
        _ => return None,
    };
    let object =
        desk.get(resource.0, resource.1, namespace, text(&owner["name"])).filter(|o| o["metadata"]["uid"] == owner["uid"])?;
    if resource == REPLICA_SETS
        && let Some(above) = pods::controller_of(&object).filter(|above| above["kind"] == "Deployment")
    {
        return controller(desk, above, namespace);
    }
    Some((text(&owner["uid"]).to_owned(), int(&object["spec"]["replicas"])))
}

fn status(desk: &Desk, budget: &Value, pods: &[Arc<Value>], expected: i64, desired: i64) -> Value {
    let now = desk.clock();
    let known: BTreeMap<&str, Timestamp> =
        entries(&budget["status"]["disruptedPods"]).filter_map(|(name, at)| Some((name, text(at).parse().ok()?))).collect();
    let mut disrupted = Map::new();
    let mut healthy = 0;
    for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
        let name = text(&pod["metadata"]["name"]);
        let end = known.get(name).and_then(|at| at.checked_add(DELETION).ok());
        match end {
            Some(end) if end >= now => {
                desk.wake_at(end);
                disrupted.insert(name.to_owned(), budget["status"]["disruptedPods"][name].clone());
            }
            _ if pods::is_ready(pod) => healthy += 1,
            _ => {}
        }
    }
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let generation = &budget["metadata"]["generation"];
    let mut status = json!({
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": generation,
        "conditions": budget["status"]["conditions"],
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = disrupted.into();
    }
    let (holds, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    condition(desk, &mut status, holds, reason, "");
    status
}

fn condition(desk: &Desk, status: &mut Value, holds: &str, reason: &str, message: &str) {
    let condition = json!({
        "type": "DisruptionAllowed",
        "status": holds,
        "reason": reason,
        "message": message,
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": desk.now(),
    });
    conditions::set(status, condition);
}

/// When nothing is known, nothing is allowed.
fn failed(desk: &Desk, budget: &Value, why: &str) -> Value {
    let mut status = budget["status"].clone();
    status["disruptionsAllowed"] = 0.into();
    condition(desk, &mut status, "False", "SyncFailed", why);
    status
}
