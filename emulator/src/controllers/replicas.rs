//! ReplicaSets and ReplicationControllers: as many pods as they ask for (`pkg/controller/replicaset`, which does both).

use std::sync::Arc;

use serde_json::{Value, json};

use super::conditions;
use super::desk::{Controller, Desk, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Resource};
use super::pods::{self, Pods};
use crate::kinds::selector;
use crate::kinds::view::{entries, int};
use crate::status::Refusal;

pub(super) const REPLICA_SET: Controller =
    Controller { watches: &[REPLICA_SETS, PODS], settle: |desk| settle(desk, REPLICA_SETS, "replicaset-controller") };
pub(super) const REPLICATION_CONTROLLER: Controller = Controller {
    watches: &[REPLICATION_CONTROLLERS, PODS],
    settle: |desk| settle(desk, REPLICATION_CONTROLLERS, "replication-controller"),
};

fn settle(desk: &Desk, resource: Resource, component: &str) {
    let sets = desk.all(resource);
    if sets.is_empty() {
        return;
    }
    let pods = Pods::of(desk);
    for set in sets {
        settle_one(desk, resource, component, &set, &pods);
    }
}

fn settle_one(desk: &Desk, resource: Resource, component: &str, set: &Value, pods: &Pods) {
    // That of a ReplicationController is a mere map.
    let selector = &set["spec"]["selector"];
    let selector = if resource == REPLICATION_CONTROLLERS { &json!({"matchLabels": selector}) } else { selector };
    let Ok(selector) = selector::compile(selector) else { return };
    let mut active = pods.claim(desk, set, &selector, &pods::is_active);
    let wanted = usize::try_from(int(&set["spec"]["replicas"])).unwrap_or_default();
    let (found, mut outcome) = (active.len(), Ok(()));
    let waits = found < wanted && !desk.may_try(set);
    if !pods::is_going(set) && !waits {
        outcome = if found < wanted {
            grow(desk, component, set, wanted - found, &mut active)
        } else {
            let related = || pods::related(desk, resource, set, pods);
            shrink(desk, component, set, found - wanted, &mut active, &related)
        };
        match outcome {
            Ok(()) => desk.succeeded(set),
            Err(_) => desk.failed(set),
        }
    }
    let failure = if waits { None } else { Some((outcome.err(), found < wanted)) };
    desk.set_status(resource, set, status(desk, set, &active, failure));
}

/// Adds pods: one, then two, then four…, so that what cannot be is not tried a thousand times.
fn grow(desk: &Desk, component: &str, set: &Value, mut missing: usize, active: &mut Vec<Arc<Value>>) -> Result<(), Refusal> {
    let pod = pods::from_template(&set["spec"]["template"], set);
    let mut batch = 1;
    while missing > 0 {
        let mut outcome = Ok(());
        for _ in 0..batch.min(missing) {
            match pods::create(desk, set, component, pod.clone()) {
                Ok(Some(pod)) => active.push(Arc::new(pod)),
                Ok(None) => return Ok(()),
                Err(refusal) => outcome = Err(refusal),
            }
        }
        outcome?;
        missing -= batch.min(missing);
        batch *= 2;
    }
    Ok(())
}

fn shrink(
    desk: &Desk,
    component: &str,
    set: &Value,
    excess: usize,
    active: &mut Vec<Arc<Value>>,
    related: &dyn Fn() -> Vec<Arc<Value>>,
) -> Result<(), Refusal> {
    if excess == 0 {
        return Ok(());
    }
    if excess < active.len() {
        pods::sort_by_worth(active, &related(), desk.clock());
    }
    let mut outcome = Ok(());
    for pod in active.drain(..excess) {
        if let Err(refusal) = pods::delete(desk, set, component, &pod) {
            outcome = Err(refusal);
        }
    }
    outcome
}

/// `failure` is what came of adding or removing pods, and whether it was adding; None when that was put off.
fn status(desk: &Desk, set: &Value, active: &[Arc<Value>], failure: Option<(Option<Refusal>, bool)>) -> Value {
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let count = |holds: &dyn Fn(&Value) -> bool| active.iter().filter(|pod| holds(pod)).count();
    let labeled = |pod: &Value| entries(labels).all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value));
    let seconds = int(&set["spec"]["minReadySeconds"]);
    let mut status = json!({
        "replicas": active.len(),
        "fullyLabeledReplicas": count(&labeled),
        "readyReplicas": count(&pods::is_ready),
        "availableReplicas": count(&|pod| pods::is_available(desk, pod, seconds)),
        "observedGeneration": set["metadata"]["generation"],
        "conditions": set["status"]["conditions"],
    });
    match failure {
        Some((Some(refusal), adding)) if conditions::find(&status, "ReplicaFailure").is_none() => {
            let reason = if adding { "FailedCreate" } else { "FailedDelete" };
            let failed = json!({
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": desk.now(),
                "reason": reason,
                "message": refusal.message,
            });
            conditions::replace(&mut status, failed);
        }
        Some((None, _)) => conditions::remove(&mut status, "ReplicaFailure"),
        _ => {}
    }
    status
}
