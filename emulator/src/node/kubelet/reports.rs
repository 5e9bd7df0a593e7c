//! What the API is told of pods (`pkg/kubelet/status/status_manager.go`): the newest status of each, one after the other. What changes
//! while others wait is written once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::Context;
use super::client::{Client, PODS, heard};
use super::conditions;
use super::pod::Pod;
use crate::kinds::meta::Part;
use crate::kinds::view::{keep, list, text};
use crate::status::Refusal;

/// Takes pods whose status has changed.
#[derive(Clone)]
pub(super) struct Reports(UnboundedSender<Arc<Pod>>);

pub(super) struct Queue(UnboundedReceiver<Arc<Pod>>);

pub(super) fn channel() -> (Reports, Queue) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    (Reports(sender), Queue(receiver))
}

impl Reports {
    /// Gives a pod a new status. With `force` it is written although it is the old one: what the API has may be another.
    pub(super) fn set(&self, pod: &Arc<Pod>, status: Value, is_finished: bool, force: bool) {
        let mut cached = pod.cached();
        let is_news = cached.status != status || (is_finished && !cached.is_finished);
        cached.status = status;
        cached.is_finished |= is_finished;
        drop(cached);
        if is_news || force {
            self.again(pod);
        }
    }

    /// Writes the status that is known.
    pub(super) fn again(&self, pod: &Arc<Pod>) {
        if !pod.is_queued.swap(true, Ordering::Relaxed) {
            // Who does not listen any more is stopped.
            let _ = self.0.send(pod.clone());
        }
    }
}

/// Writes statuses, while the node is not silent.
pub(super) async fn write(context: Arc<Context>, mut queue: Queue, mut silent: watch::Receiver<bool>) {
    while let Some(pod) = queue.0.recv().await {
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        pod.is_queued.store(false, Ordering::Relaxed);
        write_one(&context.client, &pod);
        tokio::task::yield_now().await;
    }
}

fn write_one(client: &Client, pod: &Pod) {
    let (status, is_finished) = {
        let cached = pod.cached();
        (cached.status.clone(), cached.is_finished)
    };
    if status.is_null() {
        return;
    }
    let still_runs = pod.runtime().sandbox.is_some();
    let written = client.update(PODS, &pod.namespace, &pod.name, Part::Status, &|live| {
        if text(&live["metadata"]["uid"]) != pod.uid {
            // Another pod of that name.
            return Err(Refusal::not_found("", "pods", &pod.name));
        }
        live["status"] = merged(&live["status"], &status, still_runs);
        Ok(())
    });
    let object = pod.object();
    let Some(live) = heard(&object, written) else { return };
    pod.has_written(text(&live["metadata"]["resourceVersion"]).parse().unwrap_or_default());
    if is_finished && is_over(&live["status"]) && !live["metadata"]["deletionTimestamp"].is_null() {
        heard(&object, client.remove_pod(&pod.namespace, &pod.name, &pod.uid));
    }
}

fn is_over(status: &Value) -> bool {
    matches!(text(&status["phase"]), "Succeeded" | "Failed")
}

/// The status with what others have written into it (`mergePodStatus`). A pod is not over as long as something of it may run.
fn merged(live: &Value, own: &Value, still_runs: bool) -> Value {
    let mut merged = own.clone();
    if still_runs && is_over(own) && !is_over(live) {
        for key in ["phase", "reason", "message"] {
            keep(live, &mut merged, key);
        }
    }
    // That it is disrupted, a pod is told when it has ended.
    let ends = is_over(&merged) && !is_over(live);
    let is_disruption = |condition: &Value| condition["type"] == conditions::DISRUPTION;
    let own = list(&own["conditions"]).iter();
    let own: Vec<&Value> = own.filter(|one| conditions::is_own(one) || (ends && is_disruption(one))).collect();
    let has = |condition: &Value| own.iter().any(|one| one["type"] == condition["type"]);
    let others = list(&live["conditions"]).iter().filter(|one| !conditions::is_own(one) && !has(one));
    let all: Vec<Value> = others.chain(own.iter().copied()).cloned().collect();
    if !all.is_empty() {
        merged["conditions"] = all.into();
    }
    for key in ["nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus", "resize"] {
        if !live[key].is_null() {
            merged[key] = live[key].clone();
        }
    }
    merged
}
