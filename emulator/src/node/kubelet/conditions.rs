//! A pod's conditions, as far as they are the kubelet's (`pkg/kubelet/status/generate.go`).

use serde_json::{Value, json};

use super::status::{Known, is_sidecar};
use crate::cluster::time;
use crate::kinds::view::{list, text};

/// Those that the kubelet writes.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// That a pod goes without having asked for it; others may write it, too.
pub(super) const DISRUPTION: &str = "DisruptionTarget";

pub(super) fn is_own(condition: &Value) -> bool {
    OWN.contains(&text(&condition["type"]))
}

/// Whether a condition holds, why (not), and what there is to say.
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes(reason: &'static str) -> Self {
        Self { holds: true, reason, message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { holds: false, reason, message }
    }
}

/// The conditions: what others have set first, then one's own.
pub(super) fn of(known: &Known<'_>, statuses: &[&Value], phase: &str) -> Value {
    let others = list(&known.pod["status"]["conditions"]).iter().filter(|condition| !is_own(condition));
    let mut all: Vec<Value> = others.cloned().collect();
    if let Some((_, message)) = known.evicted.filter(|_| known.is_disrupted) {
        all.retain(|condition| condition["type"] != DISRUPTION);
        let verdict = Verdict { holds: true, reason: "TerminationByKubelet", message: message.to_owned() };
        all.push(condition(known, DISRUPTION, verdict));
    } else if let Some(before) = list(&known.old["conditions"]).iter().find(|condition| condition["type"] == DISRUPTION) {
        all.retain(|condition| condition["type"] != DISRUPTION);
        all.push(before.clone());
    }
    let containers = containers_ready(known, statuses, phase);
    let ready = ready(known, &all, &containers);
    let own = [
        Verdict { holds: known.has_sandbox, reason: "", message: String::new() },
        initialized(known, statuses, phase),
        ready,
        containers,
        Verdict::yes(""),
    ];
    all.extend(OWN.into_iter().zip(own).map(|(kind, verdict)| condition(known, kind, verdict)));
    all.into()
}

fn condition(known: &Known<'_>, kind: &str, verdict: Verdict) -> Value {
    let holds = if verdict.holds { "True" } else { "False" };
    let before = [known.old, &known.pod["status"]].into_iter().flat_map(|status| list(&status["conditions"]));
    let before = before.into_iter().find(|condition| condition["type"] == kind && condition["status"] == holds);
    let since = before.map(|condition| condition["lastTransitionTime"].clone()).filter(Value::is_string);
    let mut condition = json!({
        "type": kind,
        "status": holds,
        "observedGeneration": known.pod["metadata"]["generation"],
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(|| time(known.now).into()),
    });
    if !verdict.reason.is_empty() {
        condition["reason"] = verdict.reason.into();
    }
    if !verdict.message.is_empty() {
        condition["message"] = verdict.message.into();
    }
    condition
}

fn names(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

/// The names of containers of which nothing is known, and of those that are not as they should be.
fn lacking<'a>(
    containers: impl Iterator<Item = &'a Value>,
    statuses: &[&Value],
    is_good: impl Fn(&Value, &Value) -> bool,
) -> [Vec<&'a str>; 2] {
    let [mut unknown, mut bad] = [Vec::new(), Vec::new()];
    for container in containers {
        match statuses.iter().find(|status| status["name"] == container["name"]) {
            None => unknown.push(text(&container["name"])),
            Some(status) if !is_good(container, status) => bad.push(text(&container["name"])),
            Some(_) => {}
        }
    }
    [unknown, bad]
}

fn message(unknown: &[&str], bad: &[&str], how: &str) -> String {
    let parts = [("unknown", unknown), (how, bad)].into_iter().filter(|(_, all)| !all.is_empty());
    parts.map(|(how, all)| format!("containers with {how} status: {}", names(all))).collect::<Vec<_>>().join(", ")
}

fn containers_ready(known: &Known<'_>, statuses: &[&Value], phase: &str) -> Verdict {
    let spec = &known.pod["spec"];
    let sidecars = list(&spec["initContainers"]).iter().filter(|container| is_sidecar(container));
    let all = sidecars.chain(list(&spec["containers"]));
    let [unknown, bad] = lacking(all, statuses, |_, status| status["ready"] == true);
    match phase {
        "Succeeded" if unknown.is_empty() => return Verdict::no("PodCompleted", String::new()),
        "Failed" => return Verdict::no("PodFailed", String::new()),
        _ => {}
    }
    let message = message(&unknown, &bad, "unready");
    if message.is_empty() { Verdict::yes("") } else { Verdict::no("ContainersNotReady", message) }
}

fn ready(known: &Known<'_>, others: &[Value], containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict::no(containers.reason, containers.message.clone());
    }
    let mut lacking = Vec::new();
    for gate in list(&known.pod["spec"]["readinessGates"]) {
        let kind = text(&gate["conditionType"]);
        match others.iter().find(|condition| condition["type"] == kind) {
            None => lacking.push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(condition) if condition["status"] != "True" => {
                let status = text(&condition["status"]);
                lacking.push(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {status}"));
            }
            Some(_) => {}
        }
    }
    if lacking.is_empty() { Verdict::yes("") } else { Verdict::no("ReadinessGatesNotReady", lacking.join(", ")) }
}

fn initialized(known: &Known<'_>, statuses: &[&Value], phase: &str) -> Verdict {
    let spec = &known.pod["spec"];
    let is_initialized = |container: &Value, status: &Value| {
        if is_sidecar(container) { status["started"] == true } else { status["ready"] == true }
    };
    let [unknown, bad] = lacking(list(&spec["initContainers"]).iter(), statuses, is_initialized);
    if phase == "Succeeded" && unknown.is_empty() {
        return Verdict::yes("PodCompleted");
    }
    let has_begun = list(&spec["containers"]).iter().any(|container| {
        let status = statuses.iter().find(|status| status["name"] == container["name"]);
        status.is_some_and(|status| !status["state"]["running"].is_null() || !status["state"]["terminated"].is_null())
    });
    let message = message(&unknown, &bad, "incomplete");
    if has_begun || message.is_empty() { Verdict::yes("") } else { Verdict::no("ContainersNotInitialized", message) }
}
