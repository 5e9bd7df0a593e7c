//! A pod's phase, from the states of its containers (`getPhase`).

use serde_json::Value;

use super::status::is_sidecar;
use crate::kinds::view::{list, text};

#[derive(Default)]
struct Counts {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
    pending_init: usize,
    pending_sidecars: usize,
    failed_init: bool,
}

impl Counts {
    fn init(&mut self, status: Option<&Value>) {
        let Some(status) = status else {
            self.pending_init += 1;
            return;
        };
        let exit = match (&status["state"]["terminated"], &status["lastState"]["terminated"]) {
            (Value::Object(exit), _) => Some(exit),
            (_, Value::Object(exit)) if !status["state"]["waiting"].is_null() => Some(exit),
            _ => None,
        };
        match exit {
            Some(exit) => self.failed_init |= exit["exitCode"] != 0,
            None => self.pending_init += 1,
        }
    }

    fn sidecar(&mut self, status: Option<&Value>) {
        let Some(status) = status else {
            self.unknown += 1;
            return;
        };
        let (state, last) = (&status["state"], &status["lastState"]);
        if !state["running"].is_null() {
            self.pending_sidecars += usize::from(status["started"] != true);
            self.running += 1;
        } else if state["terminated"].is_null() && last["terminated"].is_null() {
            self.pending_sidecars += 1;
            self.waiting += 1;
        }
    }

    fn main(&mut self, status: Option<&Value>) {
        let Some(status) = status else {
            self.unknown += 1;
            return;
        };
        let (state, last) = (&status["state"], &status["lastState"]);
        if !state["running"].is_null() {
            self.running += 1;
        } else if !state["terminated"].is_null() {
            self.stopped += 1;
            self.succeeded += usize::from(state["terminated"]["exitCode"] == 0);
        } else if !last["terminated"].is_null() {
            self.stopped += 1;
        } else {
            self.waiting += 1;
        }
    }
}

/// The phase. `has_initialized`: a main container was made in the present sandbox.
pub(super) fn of(spec: &Value, statuses: &[&Value], is_terminal: bool, has_initialized: bool) -> &'static str {
    let find = |container: &Value| statuses.iter().copied().find(|status| status["name"] == container["name"]);
    let mut counts = Counts::default();
    for container in list(&spec["initContainers"]) {
        if is_sidecar(container) { counts.sidecar(find(container)) } else { counts.init(find(container)) }
    }
    for container in list(&spec["containers"]) {
        counts.main(find(container));
    }
    let policy = text(&spec["restartPolicy"]);
    let ended = if counts.stopped == counts.succeeded { "Succeeded" } else { "Failed" };
    if counts.failed_init && policy == "Never" {
        return "Failed";
    }
    let initializes = counts.pending_init > 0 || (counts.pending_sidecars > 0 && !has_initialized);
    if initializes || counts.waiting > 0 {
        return "Pending";
    }
    if counts.unknown > 0 {
        return "Pending";
    }
    match (counts.running, counts.stopped) {
        (1.., _) => "Running",
        (0, 1..) if is_terminal => ended,
        (0, 1..) => match policy {
            "Always" => "Running",
            "Never" => ended,
            _ if ended == "Succeeded" => ended,
            _ => "Running",
        },
        _ => "Pending",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn status(name: &str, state: &str) -> Value {
        let state = match state {
            "waiting" => json!({"waiting": {}}),
            "running" => json!({"running": {}}),
            code => json!({"terminated": {"exitCode": code.parse::<i64>().unwrap()}}),
        };
        json!({"name": name, "state": state, "lastState": {}, "started": true})
    }

    #[rstest]
    #[case("Always", "0", "waiting", "waiting", "Pending")]
    #[case("Always", "running", "waiting", "waiting", "Pending")]
    #[case("Always", "0", "running", "running", "Running")]
    #[case("Always", "0", "running", "1", "Running")]
    #[case("Always", "0", "0", "0", "Running")]
    #[case("OnFailure", "0", "0", "0", "Succeeded")]
    #[case("OnFailure", "0", "0", "1", "Running")]
    #[case("Never", "0", "0", "1", "Failed")]
    #[case("Never", "1", "waiting", "waiting", "Failed")]
    #[case("Never", "0", "0", "0", "Succeeded")]
    fn phases(#[case] policy: &str, #[case] init: &str, #[case] a: &str, #[case] b: &str, #[case] phase: &str) {
        let spec =
            json!({"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]});
        let all = [status("i", init), status("a", a), status("b", b)];
        assert_eq!(of(&spec, &all.iter().collect::<Vec<_>>(), false, false), phase);
    }

    #[test]
    fn a_pod_that_has_to_end_ends_whatever_its_policy() {
        let spec = json!({"restartPolicy": "Always", "containers": [{"name": "a"}]});
        assert_eq!(of(&spec, &[&status("a", "0")], true, true), "Succeeded");
        assert_eq!(of(&spec, &[&status("a", "143")], true, true), "Failed");
    }
}
