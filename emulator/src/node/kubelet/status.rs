//! A pod's status, made of what is known of its containers (`pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k3s_arc_container::User;
use serde_json::{Value, json};

use super::attempt::{Attempt, Exit, State};
use super::conditions;
use super::phase;
use crate::cluster::time;
use crate::kinds::pod::quality_of_service;
use crate::kinds::view::{int, items, list, put, text};

/// The most bytes of last words that a pod's containers have together (`MaxPodTerminationMessageLogLength`).
const MOST_WORDS: usize = 12 * 1024;
const UNKNOWN: &str = "ContainerStatusUnknown";

/// What is to be known of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) number: u64,
    /// The image as the pod named it when this began.
    pub(super) requested: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) resources: Value,
    pub(super) user: User,
    pub(super) state: State,
    /// What probes say of it; none: nothing yet.
    pub(super) startup: Option<bool>,
    pub(super) readiness: Option<bool>,
    pub(super) liveness: Option<bool>,
}

impl Seen {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let (recipe, found) = (&attempt.recipe, attempt.found());
        Self {
            id: attempt.id.clone(),
            number: recipe.number,
            requested: recipe.requested.clone(),
            image: recipe.image.clone(),
            image_id: recipe.image_id.clone(),
            resources: recipe.resources.clone(),
            user: recipe.user.clone(),
            state: attempt.state(),
            startup: found.startup,
            readiness: found.readiness,
            liveness: found.liveness,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub(super) fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

/// The attempts at each container, the newest first.
pub(super) type Attempts = BTreeMap<String, Vec<Seen>>;

/// Why a container is not started yet, by its name: reason and message.
pub(super) type Reasons = BTreeMap<String, (&'static str, String)>;

/// What a status is made of.
pub(super) struct Known<'a> {
    pub(super) pod: &'a Value,
    /// The status before.
    pub(super) old: &'a Value,
    pub(super) attempts: &'a Attempts,
    pub(super) reasons: &'a Reasons,
    pub(super) has_sandbox: bool,
    pub(super) ips: &'a [String],
    pub(super) host_ip: &'a str,
    /// No container is started any more.
    pub(super) is_terminal: bool,
    /// Why the pod has to go: reason and message.
    pub(super) evicted: Option<(&'a str, &'a str)>,
    /// Whether that is not its own fault.
    pub(super) is_disrupted: bool,
    pub(super) now: Timestamp,
}

/// Whether an init container is one that goes on beside the others.
pub(super) fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// Whether a container is started again, or for the first time (`ShouldContainerBeRestarted`).
pub(super) fn should_start(pod: &Value, container: &Value, newest: Option<&Seen>) -> bool {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return false;
    }
    match newest.map(|seen| &seen.state) {
        None | Some(State::Created) => true,
        Some(State::Running { .. }) => false,
        Some(State::Exited(exit)) => restarts(pod, container, exit.code),
    }
}

/// Whether the policies start a container again that exited so.
pub(super) fn restarts(pod: &Value, container: &Value, code: i32) -> bool {
    let policy = if is_sidecar(container) { "Always" } else { text(&pod["spec"]["restartPolicy"]) };
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// The status (`generateAPIPodStatus`).
pub(super) fn generate(known: &Known<'_>) -> Value {
    let (pod, spec, old) = (known.pod, &known.pod["spec"], known.old);
    let mut status = json!({});
    let init = statuses(known, list(&spec["initContainers"]), "initContainerStatuses", true);
    let mut main = statuses(known, list(&spec["containers"]), "containerStatuses", false);
    let mut ephemeral = statuses(known, list(&spec["ephemeralContainers"]), "ephemeralContainerStatuses", false);
    for status in &mut ephemeral {
        // Of these, nobody asks whether they are ready (`prober.UpdatePodStatus`).
        put(status, "started", Value::Null);
        status["ready"] = false.into();
    }
    main.sort_by(|a, b| text(&a["name"]).cmp(text(&b["name"])));
    let has_started = list(&spec["containers"]).iter().any(|c| known.attempts.contains_key(text(&c["name"])));
    let all: Vec<&Value> = init.iter().chain(&main).collect();
    let phase = phase::of(spec, &all, known.is_terminal, known.has_sandbox && has_started);
    settle_phase(&mut status, phase, known);
    let phase = text(&status["phase"]).to_owned();
    status["conditions"] = conditions::of(known, &all, &phase);
    status["qosClass"] = quality_of_service(spec).into();
    status["observedGeneration"] = pod["metadata"]["generation"].clone();
    status["hostIP"] = known.host_ip.into();
    status["hostIPs"] = json!([{"ip": known.host_ip}]);
    if let Some(first) = known.ips.first() {
        status["podIP"] = first.as_str().into();
        status["podIPs"] = known.ips.iter().map(|ip| json!({"ip": ip})).collect();
    }
    status["startTime"] = if old["startTime"].is_null() { time(known.now).into() } else { old["startTime"].clone() };
    for (key, all) in [("initContainerStatuses", init), ("containerStatuses", main), ("ephemeralContainerStatuses", ephemeral)] {
        if !all.is_empty() {
            status[key] = all.into();
        }
    }
    status
}

/// A pod that has ended does not begin again, and what is said of a phase is kept as long as it lasts.
fn settle_phase(status: &mut Value, phase: &str, known: &Known<'_>) {
    let is_over = |phase: &str| matches!(phase, "Succeeded" | "Failed");
    let (was, old) = (text(&known.old["phase"]), known.old);
    // How it has ended is known for good only once all of it has.
    let phase = if is_over(was) && !is_over(phase) { was } else { phase };
    status["phase"] = phase.into();
    if phase == was {
        for key in ["reason", "message"] {
            put(status, key, old[key].clone());
        }
    }
    if let Some((reason, message)) = known.evicted {
        (status["phase"], status["reason"], status["message"]) = ("Failed".into(), reason.into(), message.into());
    }
}

/// The statuses of containers, in the order of the spec (`convertToAPIContainerStatuses`).
fn statuses(known: &Known<'_>, containers: &[Value], key: &str, is_init: bool) -> Vec<Value> {
    let before = list(&known.old[key]);
    let count: usize =
        ["containers", "initContainers", "ephemeralContainers"].iter().map(|k| list(&known.pod["spec"][*k]).len()).sum();
    let most_words = MOST_WORDS / count.max(1);
    let one = |container: &Value| {
        let old = before.iter().find(|status| status["name"] == container["name"]).unwrap_or(&Value::Null);
        let mut status = status_of(known, container, old);
        restart_note(known, container, &mut status, is_init);
        probes_note(known, container, &mut status, is_init);
        for state in ["state", "lastState"] {
            if let Some(Value::String(message)) = status[state].pointer_mut("/terminated/message") {
                message.truncate(message.floor_char_boundary(most_words));
            }
        }
        status
    };
    containers.iter().map(one).collect()
}

fn status_of(known: &Known<'_>, container: &Value, old: &Value) -> Value {
    let attempts = known.attempts.get(text(&container["name"])).map_or(&[][..], Vec::as_slice);
    let Some(newest) = attempts.first() else { return without_attempt(known, container, old) };
    let state = state_of(newest);
    // Of what has ended the newest alone is kept (`cleanUpContainersInPod`).
    let before = attempts.get(1).filter(|_| newest.exit().is_none());
    let last = before.map(state_of).unwrap_or_else(|| match &old["lastState"] {
        // What ran before this kubelet knew of the pod.
        Value::Object(last) if newest.number > 0 && attempts.len() == 1 => Value::Object(last.clone()),
        _ => json!({}),
    });
    let mut status = json!({
        "name": container["name"],
        "state": state,
        "lastState": last,
        "ready": false,
        "restartCount": newest.number,
        "image": newest.image,
        "imageID": newest.image_id,
        "containerID": format!("containerd://{}", newest.id),
        "started": false,
        "resources": newest.resources,
        "user": {"linux": {"uid": newest.user.uid, "gid": newest.user.gid, "supplementalGroups": groups(&newest.user)}},
    });
    if newest.is_running() && !container["resources"]["requests"].is_null() {
        // What is asked for is given at once; there is nothing that has to be changed for it.
        status["resources"]["requests"] = container["resources"]["requests"].clone();
    }
    if !status["resources"]["requests"].is_null() {
        status["allocatedResources"] = status["resources"]["requests"].clone();
    }
    put(&mut status, "volumeMounts", volume_mounts(container));
    status
}

/// The group is one of them, as containerd tells it.
fn groups(user: &User) -> Vec<u32> {
    let others = user.groups.iter().copied().filter(|group| *group != user.gid);
    std::iter::once(user.gid).chain(others).collect()
}

/// Of a container that was not made yet, or of which nothing is left.
fn without_attempt(known: &Known<'_>, container: &Value, old: &Value) -> Value {
    if !old["state"]["terminated"].is_null() {
        return old.clone();
    }
    let has_init = !list(&known.pod["spec"]["initContainers"]).is_empty();
    let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
    let (mut last, mut restarts) = (old["lastState"].clone(), int(&old["restartCount"]));
    if !old["state"]["running"].is_null() && last["terminated"].is_null() {
        let message = "The container could not be located when the pod was deleted.  The container used to be Running";
        last = json!({"terminated": {"exitCode": KILLED, "reason": UNKNOWN, "message": message, "startedAt": null, "finishedAt": null}});
        restarts += i64::from(known.pod["metadata"]["deletionTimestamp"].is_null());
    }
    let mut status = json!({
        "name": container["name"],
        "state": {"waiting": {"reason": reason}},
        "lastState": if last.is_null() { json!({}) } else { last },
        "ready": false,
        "restartCount": restarts,
        "image": container["image"],
        "imageID": "",
        "started": false,
    });
    put(&mut status, "volumeMounts", volume_mounts(container));
    status
}

const KILLED: i32 = super::attempt::KILLED;

fn state_of(seen: &Seen) -> Value {
    match &seen.state {
        State::Created => json!({"waiting": {}}),
        State::Running { since } => json!({"running": {"startedAt": time(*since)}}),
        State::Exited(exit) => {
            let mut state = json!({
                "exitCode": exit.code,
                "reason": exit.reason,
                "startedAt": time(exit.started),
                "finishedAt": time(exit.finished),
                "containerID": format!("containerd://{}", seen.id),
            });
            if !exit.message.is_empty() {
                state["message"] = exit.message.as_str().into();
            }
            json!({"terminated": state})
        }
    }
}

fn volume_mounts(container: &Value) -> Value {
    let mounts = list(&container["volumeMounts"]);
    if mounts.is_empty() {
        return Value::Null;
    }
    let one = |mount: &Value| {
        let mut status = json!({"name": mount["name"], "mountPath": mount["mountPath"]});
        if mount["readOnly"] == true {
            status["readOnly"] = true.into();
            let mode = text(&mount["recursiveReadOnly"]);
            let enabled = matches!(mode, "Enabled" | "IfPossible");
            status["recursiveReadOnly"] = if enabled { "Enabled" } else { "Disabled" }.into();
        }
        status
    };
    mounts.iter().map(one).collect()
}

/// A container that is to be started and was not is waiting for something.
fn restart_note(known: &Known<'_>, container: &Value, status: &mut Value, is_init: bool) {
    let name = text(&container["name"]);
    let newest = known.attempts.get(name).and_then(|attempts| attempts.first());
    let is_done = is_init && newest.and_then(Seen::exit).is_some_and(|exit| exit.code == 0) && !is_sidecar(container);
    if is_done || !should_start(known.pod, container, newest) {
        return;
    }
    let Some((reason, message)) = known.reasons.get(name) else { return };
    if !status["state"]["terminated"].is_null() {
        status["lastState"] = status["state"].clone();
    }
    let mut waiting = json!({"reason": reason});
    if !message.is_empty() {
        waiting["message"] = message.as_str().into();
    }
    status["state"] = json!({"waiting": waiting});
}

/// What probes say (`prober.UpdatePodStatus`).
fn probes_note(known: &Known<'_>, container: &Value, status: &mut Value, is_init: bool) {
    let newest = known.attempts.get(text(&container["name"])).and_then(|attempts| attempts.first());
    let running = newest.filter(|seen| seen.is_running() && !status["state"]["running"].is_null());
    let started = running.is_some_and(|seen| container["startupProbe"].is_null() || seen.startup == Some(true));
    status["started"] = started.into();
    status["ready"] = if is_init && !is_sidecar(container) {
        status["state"]["terminated"]["exitCode"] == 0
    } else {
        started && running.is_some_and(|seen| container["readinessProbe"].is_null() || seen.readiness == Some(true))
    }
    .into();
}

/// The status of a pod of which nothing runs any more, whatever became of its containers (`TerminatePod`).
pub(super) fn finished(mut status: Value, pod: &Value) -> Value {
    let unknown = || {
        let message = "The container could not be located when the pod was terminated";
        json!({"terminated": {"exitCode": KILLED, "reason": UNKNOWN, "message": message, "startedAt": null, "finishedAt": null}})
    };
    let sidecars_and_init = list(&pod["spec"]["initContainers"]);
    let has_begun = |status: &Value| status["state"]["waiting"].is_null() || !status["lastState"]["terminated"].is_null();
    let init = list(&status["initContainerStatuses"]);
    let last_init_done = init.last().zip(sidecars_and_init.last()).is_some_and(|(status, container)| {
        if is_sidecar(container) {
            status["started"] == true
        } else {
            ["state", "lastState"].iter().any(|state| status[*state]["terminated"]["exitCode"] == 0)
        }
    });
    let is_initialized =
        sidecars_and_init.is_empty() || list(&status["containerStatuses"]).iter().any(has_begun) || last_init_done;
    let begun_init = init.iter().rposition(has_begun).map_or(usize::from(!init.is_empty()), |last| last + 1);
    let mut lose = |key: &str, most: usize| {
        for status in items(&mut status, key).take(most) {
            if status["state"]["terminated"].is_null() {
                status["state"] = unknown();
            }
        }
    };
    if is_initialized {
        lose("containerStatuses", usize::MAX);
    }
    lose("initContainerStatuses", begun_init);
    if !matches!(text(&status["phase"]), "Succeeded" | "Failed") {
        status["phase"] = "Failed".into();
    }
    status
}
