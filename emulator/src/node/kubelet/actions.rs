//! What is to be done for a pod (`computePodActions` of `pkg/kubelet/kuberuntime`).

use serde_json::Value;

use super::attempt::State;
use super::status::{Attempts, Seen, is_sidecar, restarts, should_start};
use crate::kinds::view::{list, text};

/// Why a container is ended, which decides how long it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Startup,
    Liveness,
    Else,
}

/// A container that has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) cause: Cause,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Actions {
    /// All containers end, and the sandbox with them.
    pub(super) kill_pod: bool,
    pub(super) make_sandbox: bool,
    pub(super) kill: Vec<Kill>,
    /// Those to be started, by their places in the spec.
    pub(super) ephemeral: Vec<usize>,
    pub(super) init: Vec<usize>,
    pub(super) containers: Vec<usize>,
}

/// What is known of a pod's containers.
pub(super) struct Present<'a> {
    pub(super) pod: &'a Value,
    pub(super) attempts: &'a Attempts,
    pub(super) has_sandbox: bool,
    /// Whether a container has ever begun to run.
    pub(super) has_begun: bool,
}

impl Present<'_> {
    fn containers(&self, key: &str) -> &[Value] {
        list(&self.pod["spec"][key])
    }

    fn newest(&self, container: &Value) -> Option<&Seen> {
        self.attempts.get(text(&container["name"]))?.first()
    }

    fn never_restarts(&self) -> bool {
        self.pod["spec"]["restartPolicy"] == "Never"
    }
}

pub(super) fn of(present: &Present<'_>) -> Actions {
    if !present.has_sandbox {
        return begin(present);
    }
    let ephemeral = present.containers("ephemeralContainers").iter().enumerate();
    let ephemeral = ephemeral.filter(|(_, c)| present.newest(c).is_none()).map(|(i, _)| i).collect();
    let mut actions = Actions { ephemeral, ..Actions::default() };
    if !initialize(present, &mut actions) || actions.kill_pod {
        return actions;
    }
    let mut kept = 0;
    for (index, container) in present.containers("containers").iter().enumerate() {
        let newest = present.newest(container);
        let Some(running) = newest.filter(|seen| seen.is_running()) else {
            if should_start(present.pod, container, newest) {
                actions.containers.push(index);
            }
            continue;
        };
        let Some((what, cause)) = unwanted(container, running) else {
            kept += 1;
            continue;
        };
        let name = text(&container["name"]).to_owned();
        let mut message = format!("Container {name} {what}");
        if what == CHANGED || !present.never_restarts() {
            message.push_str(", will be restarted");
            actions.containers.push(index);
        }
        actions.kill.push(Kill { name, message, cause });
    }
    if kept == 0 && actions.containers.is_empty() {
        actions.kill_pod = true;
        // Sidecars do not keep a pod alive.
        actions.init.clear();
    }
    actions
}

const CHANGED: &str = "definition changed";

/// Why a running container is to end. Of its definition, only the image can change.
fn unwanted(container: &Value, seen: &Seen) -> Option<(&'static str, Cause)> {
    if container["image"] != seen.requested.as_str() {
        return Some((CHANGED, Cause::Else));
    }
    if seen.liveness == Some(false) {
        return Some(("failed liveness probe", Cause::Liveness));
    }
    (seen.startup == Some(false)).then_some(("failed startup probe", Cause::Startup))
}

/// Without a sandbox, all begins anew.
fn begin(present: &Present<'_>) -> Actions {
    let mut actions = Actions { kill_pod: true, make_sandbox: true, ..Actions::default() };
    if present.never_restarts() && present.has_begun {
        actions.make_sandbox = false;
        return actions;
    }
    let succeeded = |container: &Value| present.newest(container).and_then(Seen::exit).is_some_and(|exit| exit.code == 0);
    let only_failed = present.pod["spec"]["restartPolicy"] == "OnFailure";
    let containers = present.containers("containers");
    let wanted = containers.iter().enumerate().filter(|(_, c)| !(only_failed && succeeded(c)));
    let wanted: Vec<usize> = wanted.map(|(index, _)| index).collect();
    if wanted.is_empty() && containers.iter().any(|c| present.newest(c).is_some()) {
        actions.make_sandbox = false;
    } else if present.containers("initContainers").is_empty() {
        actions.containers = wanted;
    } else {
        actions.init = vec![0];
    }
    actions
}

/// What is to be done for init containers. Returns whether the others may be looked at (`computeInitContainerActions`).
fn initialize(present: &Present<'_>, actions: &mut Actions) -> bool {
    let containers = present.containers("initContainers");
    if containers.is_empty() {
        return true;
    }
    let runs = |container: &Value| present.newest(container).is_some_and(|seen| !matches!(seen.state, State::Exited(_)));
    let mut has_initialized = present.containers("containers").iter().any(runs);
    let mut later_has_begun = has_initialized;
    // The last first: where it has got to is known by the last that has begun.
    for (index, container) in containers.iter().enumerate().rev() {
        let Some(seen) = present.newest(container) else {
            if later_has_begun && is_sidecar(container) {
                actions.init.push(index);
            }
            continue;
        };
        if later_has_begun && !is_sidecar(container) {
            continue;
        }
        let is_last = index + 1 == containers.len();
        let mut is_done = || {
            if is_last {
                has_initialized = true;
            } else if !later_has_begun {
                actions.init.push(index + 1);
            }
        };
        match &seen.state {
            State::Created => actions.init.push(index),
            State::Running { .. } if is_sidecar(container) => {
                if container["startupProbe"].is_null() || seen.startup == Some(true) {
                    is_done();
                }
                if let Some((what, cause)) = unwanted(container, seen) {
                    let name = text(&container["name"]).to_owned();
                    let message = format!("Init container {name} {what}");
                    actions.kill.push(Kill { name, message, cause });
                    actions.init.push(index);
                }
            }
            State::Running { .. } => {}
            State::Exited(_) if is_sidecar(container) => actions.init.push(index),
            State::Exited(exit) if exit.code == 0 && exit.reason != "OOMKilled" => is_done(),
            State::Exited(exit) => {
                if !restarts(present.pod, container, exit.code) {
                    *actions =
                        Actions { kill_pod: true, ephemeral: std::mem::take(&mut actions.ephemeral), ..Actions::default() };
                    return false;
                }
                actions.init.push(index);
            }
        }
        later_has_begun = true;
    }
    if !later_has_begun {
        actions.init.push(0);
    }
    actions.init.sort_unstable();
    has_initialized
}
