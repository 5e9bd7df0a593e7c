//! The cluster as a whole: its machine, its API, its clock, its disks, and what K3s packages.
//!
//! A check that fails of these fails in its own words (a deadline, a connection refused). So the cluster is asked, from the
//! outside in: what the outer does not let through, the inner is not asked.

mod api;
mod machine;
mod node;
mod packaged;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::ListParams};
use tokio::time::timeout;

pub use self::{
    api::Answer,
    node::{Disk, NodeView},
    packaged::Component,
};
use super::{Finding, Snapshot, Standing, namespaces};
use crate::cluster::{Machine, MachineState, NodeAccess, client};

/// How long each question to a cluster may take.
const ASKED: Duration = Duration::from_secs(5);

/// Of how many namespaces that do not end it is asked what holds them.
const HELD: usize = 3;

/// What a cluster as a whole says of itself at one moment.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// The machine of its node, or what came back instead; nothing, where nobody was asked.
    pub machine: Option<Result<Machine, String>>,
    /// The kubeconfig by which it is asked.
    pub kubeconfig: PathBuf,
    /// The URL of the API in it.
    pub server: String,
    /// What the API answers.
    pub api: Option<Answer>,
    /// What its node says; nothing, if it could not be asked.
    pub node: Option<NodeView>,
    /// CoreDNS and local-path, as far as they are there.
    pub components: Vec<Component>,
    /// The namespace in which K3s's own pods are.
    pub system: Option<Snapshot>,
    /// Namespaces that are to go.
    pub terminating: Vec<Snapshot>,
}

impl Vitals {
    /// Asks the cluster that a kubeconfig leads to, and its node; it takes 15 s at most.
    pub async fn take(kubeconfig: &Path, node: &dyn NodeAccess) -> Self {
        let mut vitals = Self { kubeconfig: kubeconfig.to_owned(), server: api::server(kubeconfig), ..Self::default() };
        let client = client::plain(kubeconfig).await;
        let answer = async {
            match &client {
                Ok(client) => api::ask(client).await,
                Err(error) => Answer::NoClient { reason: crate::chain(&**error) },
            }
        };
        let (machine, answer) = tokio::join!(timeout(ASKED, node.machine()), answer);
        let machine = machine.map_err(|_| format!("no answer within {} s", ASKED.as_secs()));
        let machine = machine.and_then(|machine| machine.map_err(|error| crate::chain(&error))).transpose();
        let moves =
            machine.as_ref().is_none_or(|machine| matches!(machine, Ok(machine) if machine.state == MachineState::Running));
        let view = async { if moves { node::look(node).await } else { None } };
        let contents = async {
            match &client {
                Ok(client) if answer.is_usable() => vitals.contents(client).await,
                _ => {}
            }
        };
        let (view, ()) = tokio::join!(view, contents);
        Self { machine, api: Some(answer), node: view, ..vitals }
    }

    async fn contents(&mut self, client: &Client) {
        let (components, system, terminating) = tokio::join!(
            packaged::components(client),
            Snapshot::take(client.clone(), packaged::NAMESPACE, ASKED),
            terminating(client)
        );
        self.components = components;
        self.system = Some(system);
        self.terminating = terminating;
    }

    /// Whether the API can be asked for more.
    pub fn is_usable(&self) -> bool {
        self.api.as_ref().is_some_and(Answer::is_usable)
    }
}

async fn terminating(client: &Client) -> Vec<Snapshot> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let Ok(Ok(listed)) = timeout(ASKED, namespaces.list(&ListParams::default())).await else { return Vec::new() };
    let going = listed.into_iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_some()).take(HELD);
    let looks = going.map(|namespace| async move {
        let held = timeout(ASKED, super::held::objects(client, &namespace)).await.unwrap_or_default();
        Snapshot { namespace: Some(namespace), held, ..Snapshot::default() }
    });
    futures::future::join_all(looks).await
}

/// What is wrong with a cluster as a whole.
pub(super) fn findings(vitals: &Vitals) -> Vec<Finding> {
    let mut findings = machine::findings(vitals);
    // A machine that does not run explains all the rest.
    if findings.is_empty() || vitals.is_usable() {
        findings.extend(api::findings(vitals));
    }
    findings.extend(vitals.node.iter().flat_map(node::findings));
    findings.extend(vitals.components.iter().filter_map(packaged::finding));
    // What was over before the failure is none of its causes.
    let lasting = vitals.system.iter().flat_map(super::findings).filter(|finding| finding.standing != Standing::Over);
    findings.extend(lasting);
    let by_others = |snapshot: &&Snapshot| snapshot.held.iter().any(super::held::Held::is_by_others);
    findings.extend(vitals.terminating.iter().filter(by_others).flat_map(namespaces::findings));
    findings
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::diagnosis::ordered;

    /// Vitals of a cluster in good health, but for what is said here.
    fn vitals(but: &Value) -> Vitals {
        let mut json = json!({
            "machine": {"Ok": {"kind": "container", "name": "k3s-arc-1", "state": "Running", "restarted": null, "api": "127.0.0.1:32768"}},
            "kubeconfig": "/tmp/kubeconfig",
            "server": "https://127.0.0.1:32768",
            "api": {"Good": {"after": {"secs": 0, "nanos": 5_000_000}}},
            "components": [{"name": "coredns", "wanted": 1, "available": 1}],
        });
        for (key, value) in but.as_object().unwrap() {
            json[key] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    fn machine(state: Value, restarted: Value) -> Value {
        json!({"Ok": {"kind": "container", "name": "k3s-arc-1", "state": state, "restarted": restarted, "api": "127.0.0.1:32768"}})
    }

    fn told(vitals: &Vitals) -> String {
        ordered(findings(vitals)).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn of_a_cluster_in_good_health_nothing_is_said() {
        assert_eq!(told(&vitals(&json!({}))), "");
    }

    fn ended(exit_code: i64, out_of_memory: bool) -> Value {
        machine(
            json!({"Ended": {"exit_code": exit_code, "out_of_memory": out_of_memory, "at": "2026-11-01T10:00:00Z"}}),
            Value::Null,
        )
    }

    fn refused(reason: &str) -> Value {
        json!({"Unreachable": {"reason": reason}})
    }

    #[rstest]
    #[case::killed("killed", json!({"machine": ended(137, false), "api": refused("connection refused")}))]
    #[case::out_of_memory("out_of_memory", json!({"machine": ended(137, true), "api": refused("connection refused")}))]
    #[case::removed("removed", json!({"machine": machine(json!("Gone"), Value::Null), "api": refused("connection refused")}))]
    #[case::paused(
        "paused",
        json!({"machine": machine(json!("Paused"), Value::Null), "api": {"Silent": {"after": {"secs": 5, "nanos": 0}}}})
    )]
    #[case::started_again("started_again", json!({"machine": machine(json!("Running"), json!("2026-11-01T10:00:00Z"))}))]
    #[case::no_engine(
        "no_engine",
        json!({"machine": {"Err": "the Docker Engine does not say how the node's machine is: No such file or directory"},
               "api": refused("connection refused")})
    )]
    #[case::refused("refused", json!({"api": refused("connection refused")}))]
    #[case::silent("silent", json!({"api": {"Silent": {"after": {"secs": 5, "nanos": 0}}}}))]
    #[case::elsewhere("elsewhere", json!({"server": "https://127.0.0.1:1", "api": refused("connection refused")}))]
    #[case::stranger("stranger", json!({"api": {"Stranger": {"reason": "invalid peer certificate: UnknownIssuer"}}}))]
    #[case::unknown_user("unknown_user", json!({"api": {"UnknownUser": {"reason": "401 Unauthorized"}}}))]
    #[case::overloaded("overloaded", json!({"api": {"Good": {"after": {"secs": 3, "nanos": 0}}}}))]
    #[case::no_names("no_names", json!({"components": [{"name": "coredns", "wanted": 0, "available": 0}]}))]
    fn what_is_wrong_with_a_cluster_is_told(#[case] name: &str, #[case] but: Value) {
        insta::assert_snapshot!(name, told(&vitals(&but)));
    }
}
