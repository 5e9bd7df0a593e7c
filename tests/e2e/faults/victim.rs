//! The cluster that faults are done to, and how they are done: to a container, or to what the emulator plays for one.

use std::{collections::BTreeSet, fs, time::Duration};

use k3s_arc_harness::{
    check::{Access, Check, Evidence},
    cluster::{Capability, Cluster, ClusterSpec, Controls, docker},
    fixture::{Fixture, FixtureError, Target},
    namespace::MANAGED_BY,
    probe,
    wait::{self, Seen, Selection},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Node, PersistentVolumeClaim},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use testcontainers::bollard::{
    Docker,
    models::{ContainerCreateBody, ContainerInspectResponse},
    query_parameters::RemoveContainerOptionsBuilder,
};

use super::questions::{DOORBELL, LETTER, WAITING};

/// Within this, whatever was broken and mended works again. A K3s that starts anew takes 15 s on two cores.
const RECOVERY: Duration = Duration::from_secs(90);

/// What a test has to say that it needs.
const NO_CONTAINER: &str = "a test that does this needs a container";

/// A cluster for faults alone, which no other test is on meanwhile.
pub(super) struct Victim {
    fixture: Fixture,
    machine: Machine,
}

/// What its node is.
enum Machine {
    Container {
        engine: Docker,
        name: String,
    },
    /// One that is only broken from within.
    Vm,
    Emulated(Controls),
}

impl Victim {
    /// The K3s that the faults of one kind have for themselves: they break it and mend it one after the other. An emulated one costs next
    /// to nothing, so that each test has its own, and all are done at once.
    pub(super) async fn of(target: Target, kind: &str, test: &str) -> Result<Self, FixtureError> {
        let config = target.config()?;
        let spec = ClusterSpec::new(config.k3s.clone());
        let spec = match target {
            Target::K3s => with_a_disk_of_its_own(spec.private(format!("faults: {kind}"))),
            Target::Emulator => spec.private(format!("faults: {test}")),
        };
        let fixture = Fixture::with_spec(config, spec, Access::Alone).await?;
        let machine = match Controls::of(&fixture.cluster()) {
            Some(controls) => Machine::Emulated(controls),
            None if !fixture.cluster().can(Capability::Container) => Machine::Vm,
            None => {
                let machine = fixture.cluster().node().machine().await.expect("the engine tells of the container");
                let name = machine.expect("the node is a container").name;
                Machine::Container { engine: docker::client().await.expect("the engine answers"), name }
            }
        };
        Ok(Self { fixture, machine })
    }

    pub(super) fn cluster(&self) -> std::sync::Arc<Cluster> {
        self.fixture.cluster()
    }

    pub(super) async fn ask(&self, check: &Check) -> Result<Evidence, FixtureError> {
        self.fixture.ask(check).await
    }

    /// What a check that has to fail says; no check may take longer than two minutes to say anything.
    pub(super) async fn refusal(&self, check: &Check) -> String {
        let answer = tokio::time::timeout(Duration::from_secs(120), self.ask(check)).await.expect("a verdict in bounded time");
        answer.expect_err("the check cannot pass with this fault").to_string()
    }

    pub(super) async fn kill(&self) {
        match &self.machine {
            Machine::Container { engine, name } => engine.kill_container(name, None).await.expect("the container is killed"),
            Machine::Emulated(controls) => controls.kill(),
            Machine::Vm => panic!("{NO_CONTAINER}"),
        }
    }

    pub(super) async fn start(&self) {
        match &self.machine {
            Machine::Container { engine, name } => engine.start_container(name, None).await.expect("the container starts"),
            Machine::Emulated(controls) => controls.start(),
            Machine::Vm => panic!("{NO_CONTAINER}"),
        }
    }

    /// Kills the node and starts it again at another address: its own is another container's by then.
    pub(super) async fn start_elsewhere(&self) {
        let Machine::Container { engine, name } = &self.machine else { panic!("{NO_CONTAINER}") };
        let inspect = || async { engine.inspect_container(name, None).await.expect("the engine tells of the container") };
        let before = inspect().await;
        self.kill().await;
        let labels = before.config.as_ref().and_then(|config| config.labels.clone());
        let body = ContainerCreateBody {
            image: before.config.as_ref().and_then(|config| config.image.clone()),
            entrypoint: Some(vec!["sleep".to_owned(), "600".to_owned()]),
            // Of the run, so that it goes with the run if this test is killed.
            labels,
            ..ContainerCreateBody::default()
        };
        let mut others = Vec::new();
        // Docker gives each the first address that is free, and some before the node's may be.
        while !others.iter().any(|(_, at)| *at == addresses(&before)) {
            assert!(others.len() < 20, "the node's address is nobody's: {others:?}");
            let id = engine.create_container(None, body.clone()).await.expect("another container is made").id;
            engine.start_container(&id, None).await.expect("the other container starts");
            let at = addresses(&engine.inspect_container(&id, None).await.expect("the engine tells of the other container"));
            others.push((id, at));
        }
        self.start().await;
        for (id, _) in others {
            let remove = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            engine.remove_container(&id, Some(remove)).await.expect("the other container is removed");
        }
        assert_ne!(addresses(&before), addresses(&inspect().await), "the node has another address now");
    }

    pub(super) async fn pause(&self) {
        match &self.machine {
            Machine::Container { engine, name } => engine.pause_container(name).await.expect("the container pauses"),
            Machine::Emulated(controls) => controls.pause(),
            Machine::Vm => panic!("{NO_CONTAINER}"),
        }
    }

    pub(super) async fn resume(&self) {
        match &self.machine {
            Machine::Container { engine, name } => engine.unpause_container(name).await.expect("the container goes on"),
            Machine::Emulated(controls) => controls.resume(),
            Machine::Vm => panic!("{NO_CONTAINER}"),
        }
    }

    /// The emulator's way to do a fault, where this is an emulated cluster.
    pub(super) fn controls(&self) -> Option<&Controls> {
        match &self.machine {
            Machine::Emulated(controls) => Some(controls),
            Machine::Container { .. } | Machine::Vm => None,
        }
    }

    /// Runs a command on the node, which must succeed.
    pub(super) async fn sh(&self, command: &str) -> String {
        let words = ["sh", "-c", command];
        let output = self.cluster().node().exec(&words).await.expect("the node runs commands");
        output.success(&words).expect("the command succeeds on the node")
    }

    /// Resolves once a check that waits for its letter has come to wait; to its namespace.
    pub(super) async fn is_asked(&self) -> String {
        let maps: Api<ConfigMap> = Api::all(self.cluster().client());
        let asked = |found: &[ConfigMap]| match found.iter().find(|map| map.metadata.deletion_timestamp.is_none()) {
            Some(map) => Seen::Done(map.namespace().unwrap_or_default()),
            None => Seen::NotYet("none".to_owned()),
        };
        let found = wait::until(maps, wait::named(DOORBELL), "the check waits", Duration::from_secs(30), asked);
        let namespace = found.await.expect("the check is asked");
        let mut waiting = WAITING.subscribe();
        let comes = waiting.wait_for(|namespaces| namespaces.contains(&namespace));
        tokio::time::timeout(Duration::from_secs(30), comes).await.expect("the check comes to wait").expect("it is told");
        namespace
    }

    /// Gives the check in this namespace the letter that it waits for.
    pub(super) async fn send_letter(&self, namespace: &str) {
        let letter = ConfigMap {
            metadata: kube::api::ObjectMeta { name: Some(LETTER.to_owned()), ..Default::default() },
            ..ConfigMap::default()
        };
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster().client(), namespace);
        maps.create(&PostParams::default(), &letter).await.expect("the API takes the letter");
    }

    /// Scales a deployment of K3s's own, and waits until it has as many pods.
    pub(super) async fn scale(&self, name: &str, replicas: i32) {
        let deployments: Api<Deployment> = Api::namespaced(self.cluster().client(), "kube-system");
        let patch = json!({"spec": {"replicas": replicas}});
        deployments.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("the deployment is scaled");
        let what = format!("{name} has {replicas} pods");
        let scaled = wait::until(deployments, wait::named(name), what, RECOVERY, |found| {
            let status = found.first().and_then(|found| found.status.clone()).unwrap_or_default();
            let counts = (status.replicas.unwrap_or_default(), status.available_replicas.unwrap_or_default());
            if counts == (replicas, replicas) { Seen::Done(()) } else { Seen::NotYet(format!("{counts:?}")) }
        });
        scaled.await.expect("the deployment is scaled");
    }

    /// Waits until its node says that it is short of disk, or is not any more.
    pub(super) async fn has_disk_pressure(&self, holds: bool) {
        let nodes: Api<Node> = Api::all(self.cluster().client());
        let said = wait::until(nodes, Selection::default(), "the node says how its disk is", RECOVERY, |nodes| {
            let mut conditions = nodes.iter().filter_map(|node| node.status.as_ref()?.conditions.as_ref()).flatten();
            let pressure = conditions.find(|condition| condition.type_ == "DiskPressure").map(|found| found.status == "True");
            if pressure == Some(holds) { Seen::Done(()) } else { Seen::NotYet(format!("{pressure:?}")) }
        });
        said.await.expect("the node says it");
    }

    /// Proves that the cluster works again, and that nothing is left of what the checks made on it.
    pub(super) async fn is_mended(&self) {
        let cluster = self.cluster();
        let ends = tokio::time::Instant::now() + RECOVERY;
        loop {
            let served = probe::served(cluster.client(), "default", cluster.standin_image(), Duration::from_secs(40)).await;
            match served {
                Ok(()) => break,
                // What a kubelet finds after a start it first has to clean up.
                Err(_) if tokio::time::Instant::now() < ends => {}
                Err(error) => panic!("the cluster must work again: {error:?}"),
            }
        }
        self.has_nothing_left().await;
    }

    /// Proves that nothing is left of what the checks made on the cluster.
    pub(super) async fn has_nothing_left(&self) {
        let cluster = self.cluster();
        let namespaces: Api<Namespace> = Api::all(cluster.client());
        let ours = wait::labelled(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        wait::until_gone(namespaces, ours, "the checks' namespaces are gone", RECOVERY).await.expect("nothing is left");
        let claims: Api<PersistentVolumeClaim> = Api::all(cluster.client());
        wait::until_gone(claims, Selection::default(), "all claims are gone", RECOVERY).await.expect("nothing is left");
    }

    /// Changes the kubeconfig by which tests come to the cluster, until this is dropped.
    pub(super) fn change_kubeconfig(&self, change: impl FnOnce(&str) -> String) -> Restored {
        let path = self.cluster().kubeconfig().to_owned();
        let before = fs::read_to_string(&path).expect("the kubeconfig is readable");
        fs::write(&path, change(&before)).expect("the kubeconfig is writable");
        Restored { path, before }
    }
}

/// The addresses of a container, as many as it has networks.
fn addresses(inspected: &ContainerInspectResponse) -> BTreeSet<String> {
    let networks = inspected.network_settings.iter().flat_map(|settings| settings.networks.iter().flatten());
    networks.filter_map(|(_, network)| network.ip_address.clone()).collect()
}

/// A K3s whose kubelet's disk is a tmpfs, so that it can be filled, and that soon says that it is not full any more.
fn with_a_disk_of_its_own(spec: ClusterSpec) -> ClusterSpec {
    let arguments = ["root-dir=/run/kubelet", "eviction-pressure-transition-period=5s"];
    arguments.into_iter().fold(spec, |spec, argument| spec.server_argument(format!("--kubelet-arg={argument}")))
}

/// Gives a kubeconfig back what it was.
pub(super) struct Restored {
    path: std::path::PathBuf,
    before: String,
}

impl Drop for Restored {
    fn drop(&mut self) {
        fs::write(&self.path, &self.before).expect("the kubeconfig is writable");
    }
}
