//! Clusters: what is asked for, who makes it, what it can do, and how a test run shares it.

mod cached;
mod choice;
pub(crate) mod client;
mod coredns;
pub mod docker;
mod emulator;
pub(crate) mod existing;
mod exited;
mod k3s;
mod kept;
mod lease;
mod lock;
pub mod multipass;
mod node;
mod orphan;
mod process;
mod provider;
mod ready;
mod reaper;
mod run;
mod spec;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
    path::{Path, PathBuf},
    sync::Arc,
};

use kube::Client;

pub use self::{
    cached::{Cached, CachedState, Cleared},
    choice::{Choice, choose},
    emulator::{Controls, Emulator, EmulatorError, Serving, ServingError},
    existing::{Existing, ExistingError, Uncleaned},
    exited::{ExitCause, LogTail},
    k3s::{K3sImage, K3sImageError},
    lease::{Access, Lease, LeaseError},
    node::{Machine, MachineState, NodeAccess, NodeError, NodeOutput},
    provider::{Boot, ClusterRecord, DEFAULT_BOOT_TIMEOUT, Provider, ProviderError},
    reaper::{CleanError, Found, Removed, Unused, find, remove_orphans},
    run::{Run, RunError, host},
    spec::{ClusterSpec, Packaged},
};
pub(crate) use self::{
    client::client,
    docker::archives_in,
    emulator::end_all,
    lock::exclusive,
    node::lost,
    run::{RUN_LABEL, base as run_base, private_directory, write_private},
};
use crate::namespace::MANAGED_BY;

/// Something a cluster can do and a check may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Capability {
    /// Commands can be run on the node itself ([`Cluster::node`]).
    NodeExec,
    /// The node has a `kubectl` of its own, and with it the Kustomize that its users have.
    NodeKubectl,
    /// Limits are enforced, and containers see them as the files of their cgroups.
    Cgroups,
    /// It is K3s: what K3s packages, and does beside Kubernetes, can be asked about.
    K3s,
    /// It is the run's own: what everyone on it relies on may be taken away for a while.
    Own,
    /// Arc data services can be launched on it, and disturb nobody else's.
    Launch,
    /// Its node is a container, which can be killed, frozen and started again where it was.
    Container,
    /// Its DNS is behind Service `kube-system/kube-dns`.
    KubeDns,
    /// A claim that names no class gets a volume.
    DefaultClass,
    /// That volume is one of K3s's local-path.
    LocalPath,
}

impl Capability {
    /// What a cluster that is made for a run can do, whoever makes it.
    pub(crate) fn of_our_own(spec: &ClusterSpec) -> BTreeSet<Self> {
        let always = [Self::K3s, Self::Own, Self::Launch];
        let dns = spec.has(Packaged::Coredns).then_some(Self::KubeDns);
        let storage = spec.has(Packaged::LocalStorage).then_some([Self::DefaultClass, Self::LocalPath]);
        always.into_iter().chain(dns).chain(storage.into_iter().flatten()).collect()
    }
}

/// A running cluster.
pub struct Cluster {
    provider: &'static str,
    version: String,
    kubeconfig: PathBuf,
    standin_image: String,
    boot: Boot,
    client: Client,
    capabilities: BTreeSet<Capability>,
    lacks: BTreeMap<Capability, String>,
    run: String,
    storage_class: Option<String>,
    emulated: bool,
    node: Arc<dyn NodeAccess>,
}

impl Cluster {
    /// A cluster that a provider found running.
    pub(crate) fn new(
        provider: &'static str,
        record: &ClusterRecord,
        kubeconfig: &Path,
        client: Client,
        node: Arc<dyn NodeAccess>,
    ) -> Self {
        Self {
            provider,
            version: record.version.clone(),
            kubeconfig: kubeconfig.to_owned(),
            standin_image: record.standin_image.clone(),
            boot: record.boot.clone(),
            client,
            capabilities: record.capabilities.clone(),
            lacks: record.lacks.clone(),
            run: record.run.clone(),
            storage_class: record.storage_class.clone(),
            emulated: record.emulated,
            node,
        }
    }

    /// The name of the provider that made it: `docker`, ...
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// Whether it is an emulated one, on which nothing is a verdict on K3s itself.
    pub fn is_emulated(&self) -> bool {
        self.emulated
    }

    /// The version its API server reports, such as `v1.34.1+k3s1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A kubeconfig with full rights on it, readable by this user alone.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What it was booted from.
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The stand-in's image, there without a pull: what probes run, and Arc where Microsoft's images are not to be had.
    pub fn standin_image(&self) -> &str {
        &self.standin_image
    }

    /// Whether it can do this.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Why it cannot do this.
    pub fn lack(&self, capability: Capability) -> String {
        let by_provider = || format!("a cluster by provider {} cannot do that", self.provider);
        self.lacks.get(&capability).cloned().unwrap_or_else(by_provider)
    }

    /// The StorageClass to ask for where K3s's local-path is not to be had.
    pub(crate) fn storage_class(&self) -> Option<&str> {
        self.storage_class.as_deref()
    }

    /// The id of the run that uses it.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The labels of everything that the run makes on it, and by which alone it is removed.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let managed = (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        [managed, (RUN_LABEL.to_owned(), self.run.clone())].into()
    }

    /// The (first) server node itself, for commands and files that are not the API's to give.
    pub fn node(&self) -> &dyn NodeAccess {
        &*self.node
    }
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("provider", &self.provider)
            .field("version", &self.version)
            .field("kubeconfig", &self.kubeconfig)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
