//! Pods, whose status column sums up many containers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells;
use super::duration::{human, time};
use super::view::{age, at, condition, flag, integer, is_deleted, is_set, list, name, text, text_or};

/// `Completed` rows are hidden by some clients.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

/// Restarts, and when the last one was.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count = self.count.saturating_add(integer(status, "/restartCount"));
        self.last = self.last.max(time(at(status, "/lastState/terminated/finishedAt")));
    }

    fn shown(self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count != 0 => {
                format!("{} ({} ago)", self.count, human(now.duration_since(last)))
            }
            _ => self.count.to_string(),
        }
    }
}

/// How a terminated container ended, unless it gives a reason.
fn ending(status: &Value) -> String {
    match integer(status, "/state/terminated/signal") {
        0 => format!("ExitCode:{}", integer(status, "/state/terminated/exitCode")),
        signal => format!("Signal:{signal}"),
    }
}

/// What an init container that is not done waits for.
fn initializing(status: &Value, index: usize, total: usize) -> String {
    if is_set(status, "/state/terminated") {
        return match text(status, "/state/terminated/reason") {
            "" => format!("Init:{}", ending(status)),
            reason => format!("Init:{reason}"),
        };
    }
    match text(status, "/state/waiting/reason") {
        "" | "PodInitializing" => format!("Init:{index}/{total}"),
        reason => format!("Init:{reason}"),
    }
}

pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let phase = text(pod, "/status/phase");
    let mut reason = text_or(pod, "/status/reason", phase).to_owned();
    let conditions = list(pod, "/status/conditions");
    if conditions.iter().any(|one| text(one, "/type") == "PodScheduled" && text(one, "/reason") == "SchedulingGated") {
        reason = "SchedulingGated".into();
    }

    let init = list(pod, "/spec/initContainers");
    let is_sidecar = |container: &Value| text(container, "/restartPolicy") == "Always";
    let total = list(pod, "/spec/containers").len() + init.iter().filter(|container| is_sidecar(container)).count();
    let mut ready = 0;
    let mut restarts = Restarts::default();
    let mut sidecars = Restarts::default();
    let mut waits = None;
    for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        let container = text(status, "/name");
        let sidecar = init.iter().rfind(|one| name_of(one) == container).is_some_and(is_sidecar);
        restarts.add(status);
        if sidecar {
            sidecars.add(status);
        }
        let finished = is_set(status, "/state/terminated") && integer(status, "/state/terminated/exitCode") == 0;
        let started = sidecar && flag(status, "/started");
        if !finished && !started {
            waits = Some(initializing(status, index, init.len()));
            break;
        }
        if !finished && flag(status, "/ready") {
            ready += 1;
        }
    }

    let initialized = condition(pod, "Initialized").is_some_and(|one| text(one, "/status") == "True");
    let began = waits.is_none() || initialized;
    if let Some(waits) = waits {
        reason = waits;
    }
    if began {
        restarts = sidecars;
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            restarts.add(status);
            if !text(status, "/state/waiting/reason").is_empty() {
                reason = text(status, "/state/waiting/reason").into();
            } else if is_set(status, "/state/terminated") {
                reason = match text(status, "/state/terminated/reason") {
                    "" => ending(status),
                    reason => reason.into(),
                };
            } else if flag(status, "/ready") && is_set(status, "/state/running") {
                running = true;
                ready += 1;
            }
        }
        if running && reason == "Completed" {
            let is_ready = conditions.iter().any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True");
            reason = if is_ready { "Running" } else { "NotReady" }.into();
        }
    }

    if is_deleted(pod) {
        if text(pod, "/status/reason") == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".into();
        }
    }

    cells![
        name(pod),
        format!("{ready}/{total}"),
        reason,
        restarts.shown(now),
        age(pod, now),
        text_or(pod, "/status/podIPs/0/ip", "<none>"),
        text_or(pod, "/spec/nodeName", "<none>"),
        text_or(pod, "/status/nominatedNodeName", "<none>"),
        readiness_gates(pod),
    ]
}

fn name_of(container: &Value) -> &str {
    text(container, "/name")
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let is_true = |gate: &&Value| {
        condition(pod, text(gate, "/conditionType")).is_some_and(|condition| text(condition, "/status") == "True")
    };
    format!("{}/{}", gates.iter().filter(is_true).count(), gates.len())
}
