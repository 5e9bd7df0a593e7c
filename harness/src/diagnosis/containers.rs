//! Containers that do not start, do not stay, or do not answer.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;

use super::{
    Finding, Snapshot, Standing,
    snapshot::{ContainerView, containers, message, reason, told},
};
use crate::quantity::{Amount, amount_in};

/// At most one finding for a container: what it waits for, else how it ended, else what its probes say.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let of_pod = |pod| containers(pod).into_iter().filter_map(move |container| finding(snapshot, pod, &container));
    snapshot.pods.iter().flat_map(of_pod).collect()
}

fn finding(snapshot: &Snapshot, pod: &Pod, container: &ContainerView<'_>) -> Option<Finding> {
    let name = format!("pod {}, container {}", pod.name_any(), container.status.name);
    not_created(&name, container)
        .or_else(|| ended(snapshot, pod, &name, container))
        .or_else(|| probe_failed(snapshot, pod, &name, container))
}

/// The kubelet cannot make the container from what the pod asks for.
fn not_created(name: &str, container: &ContainerView<'_>) -> Option<Finding> {
    let (why, text) = container.waits()?;
    let evidence = vec![format!("{why}: {text}")];
    let stuck = |cause: String, remedy: &str| Some(Finding::new(Standing::Stuck, format!("{name}: {cause}"), evidence, remedy));
    match why {
        "CreateContainerConfigError" => match missing(text) {
            Some(missing) => {
                stuck(format!("{missing} is missing"), "create it, or correct the reference; the kubelet tries again by itself")
            }
            None if text.contains("runAsNonRoot") || text.contains("run as root") => stuck(
                "it must not run as root, and its image does".to_owned(),
                "set securityContext.runAsUser to another user than 0, or drop runAsNonRoot",
            ),
            None => stuck(format!("its configuration cannot be put together: {text}"), "correct what the message names"),
        },
        "CreateContainerError" | "RunContainerError" | "StartError" | "PostStartHookError" | "ImageInspectError" => {
            stuck(format!("it cannot be started: {}", start_failure(text)), START_REMEDY)
        }
        _ => None,
    }
}

const START_REMEDY: &str = "correct the pod's command, or what else the message names";

/// The ConfigMap or Secret (or a key in one) whose absence the kubelet tells.
fn missing(text: &str) -> Option<String> {
    let of = |kind: &str, name: &str| format!("{kind} {}", name.trim_matches('"'));
    if let Some(rest) = text.strip_prefix("couldn't find key ") {
        // couldn't find key password in Secret arc/controller-login
        let (key, owner) = rest.split_once(" in ")?;
        return Some(format!("key {key} in {owner}"));
    }
    let name = text.strip_suffix(" not found")?;
    let name = |kind: &str| name.strip_prefix(kind).map(str::trim);
    name("configmap").map(|name| of("ConfigMap", name)).or_else(|| name("secret").map(|name| of("Secret", name)))
}

/// What runc says, without the layers that only say that they failed.
fn start_failure(text: &str) -> &str {
    // ... runc create failed: unable to start container process: error during container init: exec: "x": stat x: no such file
    let inner = text.rsplit_once("container init: ").or_else(|| text.rsplit_once("container process: "));
    inner.map_or(text, |(_, inner)| inner).trim()
}

/// The container ended, now or before, with other than 0.
fn ended(snapshot: &Snapshot, pod: &Pod, name: &str, container: &ContainerView<'_>) -> Option<Finding> {
    let backs_off = container.waits().filter(|(why, _)| *why == "CrashLoopBackOff");
    // While it backs off, or runs again, what it ended of is the state before.
    let end = container.ended().or_else(|| container.last_ended())?;
    if end.exit_code == 0 && backs_off.is_none() && end.reason.as_deref() != Some("OOMKilled") {
        return None;
    }
    let runs_again = container.status.state.as_ref().is_some_and(|state| state.running.is_some());
    let standing = if runs_again { Standing::Over } else { Standing::Stuck };
    let restarts = container.status.restart_count;

    let mut evidence: Vec<String> = backs_off.map(|(why, text)| format!("{why}: {text}")).into_iter().collect();
    evidence.push(told_end(end));
    evidence.extend(killing_events(snapshot, pod, container));
    evidence.extend(snapshot.log_tail(&pod.name_any(), &container.status.name));

    let often = match (backs_off.is_some(), restarts) {
        (true, _) => format!("crash loop, restarts so far {restarts}: "),
        (false, 0) => String::new(),
        (false, _) => format!("restarts so far {restarts}, the last: "),
    };
    let (what, remedy) = match evidence.iter().any(|line| line.contains("failed liveness probe")) {
        true if end.reason.as_deref() != Some("OOMKilled") => (
            format!("killed because it failed its liveness probe (exit code {})", end.exit_code),
            "see why it does not answer; a slow start wants a startupProbe or a longer initialDelaySeconds",
        ),
        _ => explain_end(container, end),
    };
    Some(Finding::new(standing, format!("{name}: {often}{what}"), evidence, remedy))
}

fn told_end(end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("no reason");
    let message = end.message.as_deref().map(|message| format!(": {}", message.trim_end())).unwrap_or_default();
    format!("ended: exit code {}, {reason}{message}", end.exit_code)
}

/// What the exit code and the reason mean; codes above 128 are 128 and the signal's number.
fn explain_end(container: &ContainerView<'_>, end: &ContainerStateTerminated) -> (String, &'static str) {
    let code = end.exit_code;
    match (end.reason.as_deref(), code) {
        (Some("OOMKilled"), _) => match memory_limit(container) {
            Some(limit) => (
                format!("killed for using more memory than its limit of {} (OOMKilled, exit code {code})", limit.of("memory")),
                "raise the container's memory limit (for Arc: the component's resources in the DataController), or give it less to do",
            ),
            None => (
                format!("killed because the node ran out of memory (OOMKilled, exit code {code}, no limit of its own)"),
                "give the node more memory, or the containers on it limits",
            ),
        },
        (Some("StartError" | "ContainerCannotRun"), _) => {
            (format!("it cannot be started: {}", start_failure(end.message.as_deref().unwrap_or_default())), START_REMEDY)
        }
        (_, 0) => ("it ends with 0 where it should stay".to_owned(), "a server's process must not end; see its log"),
        (_, 126) => ("exit code 126: its command is not executable".to_owned(), "make it executable, or correct the command"),
        (_, 127) => ("exit code 127: its command does not exist".to_owned(), "correct the command, or the image"),
        (_, 137) => (
            "exit code 137: killed (SIGKILL), and not told as out of memory".to_owned(),
            "look for an eviction, an end that took longer than the grace period, or a kill by hand",
        ),
        (_, 139) => ("exit code 139: it crashed (SIGSEGV)".to_owned(), "see its log; report it to who made it"),
        (_, 143) => {
            ("exit code 143: it was asked to end (SIGTERM)".to_owned(), "look for an eviction or a roll-out in the events")
        }
        (_, code) => (format!("exit code {code}"), "see its log"),
    }
}

fn memory_limit(container: &ContainerView<'_>) -> Option<Amount> {
    amount_in(container.spec?.resources.as_ref()?.limits.as_ref(), "memory")
}

/// Whom the kubelet killed says so in an event, with the reason.
fn killing_events(snapshot: &Snapshot, pod: &Pod, container: &ContainerView<'_>) -> Vec<String> {
    let own = format!("ontainer {}", container.status.name);
    let events = snapshot.events_about("Pod", &pod.name_any());
    let killing = events.iter().filter(|event| reason(event) == "Killing" && message(event).contains(&own));
    killing.take(1).map(|event| told(event)).collect()
}

/// The container runs, and its probe says that it does not work.
fn probe_failed(snapshot: &Snapshot, pod: &Pod, name: &str, container: &ContainerView<'_>) -> Option<Finding> {
    let runs = container.status.state.as_ref().is_some_and(|state| state.running.is_some());
    if !runs || container.status.ready {
        return None;
    }
    let own = format!("spec.containers{{{}}}", container.status.name);
    let is_own = |field: Option<&String>| field.is_none_or(|field| *field == own);
    let events = snapshot.events_about("Pod", &pod.name_any());
    let event =
        events.into_iter().find(|event| reason(event) == "Unhealthy" && is_own(event.involved_object.field_path.as_ref()))?;
    let text = message(event).trim_end();
    let (probe, remedy) = if text.starts_with("Liveness") {
        ("liveness", "see why it does not answer; a slow start wants a startupProbe or a longer initialDelaySeconds")
    } else if text.starts_with("Startup") {
        ("startup", "see why it does not answer; give it more time with failureThreshold times periodSeconds")
    } else {
        ("readiness", "see why it does not answer; no Service sends it anything until it does")
    };
    let mut evidence = vec![told(event)];
    evidence.extend(killing_events(snapshot, pod, container));
    Some(Finding::new(Standing::Retrying, format!("{name}: runs, and fails its {probe} probe"), evidence, remedy))
}
