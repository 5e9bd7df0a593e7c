//! What a provider is: one who makes clusters, finds those made by other processes of the run, and removes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::Path,
    time::Duration,
};

use futures::future::BoxFuture;

use super::{Capability, Cluster, ClusterSpec, Run};

/// From the start of K3s to served, when nothing else is asked for. Cold boots take 15 to 40 s on two cores; the rest is
/// for slow disks and for the pulls of CoreDNS and local-path.
pub const DEFAULT_BOOT_TIMEOUT: Duration = Duration::from_secs(180);

/// What one process tells the others of a run about a cluster it made.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClusterRecord {
    /// The name of the provider that made it.
    pub provider: String,
    /// The id of the run, whose label everything made on it carries.
    pub run: String,
    /// The version its API server reports.
    pub version: String,
    /// The stand-in's image, as pods name it.
    pub standin_image: String,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Why it cannot do what it cannot, where there is more to say than who made it.
    #[serde(default)]
    pub lacks: BTreeMap<Capability, String>,
    /// The StorageClass to ask for where K3s's local-path is not to be had.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// Whether it is an emulated one.
    #[serde(default)]
    pub emulated: bool,
    /// Where the provider made it, if it can in several places: the address of a Docker Engine.
    #[serde(default)]
    pub place: String,
    /// What the provider finds it by: a container's id, a VM's name.
    pub handle: String,
    /// How a person looks at it, and removes it, once it is kept: shell commands.
    pub commands: Vec<String>,
    /// What it was booted from.
    #[serde(default)]
    pub boot: Boot,
}

/// What a cluster was booted from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Boot {
    /// Nothing: an empty data directory.
    #[default]
    FromNothing,
    /// The data of an earlier boot.
    FromCache,
    /// Nothing, because the data of an earlier boot was of no use; the text says why.
    Rebuilt(String),
}

impl ClusterRecord {
    /// The file that has it, among what the users of a cluster share.
    pub(super) const FILE: &str = "cluster.json";

    /// That of the cluster whose users share this directory, once it serves.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join(Self::FILE)).ok()?).ok()
    }
}

/// Why a provider could not do what was asked; it carries its help with it.
pub type ProviderError = Box<dyn miette::Diagnostic + Send + Sync>;

/// Makes and destroys clusters.
pub trait Provider: Debug + Send + Sync {
    /// Its name: `docker`, ...
    fn name(&self) -> &'static str;

    /// Whether its clusters live in the process that made them, where no other process of a run can use them.
    fn is_in_process(&self) -> bool {
        false
    }

    /// The stand-in's image, as it is on the clusters that it makes.
    fn standin_image(&self) -> &str;

    /// Whether a cluster is as this one would make it.
    fn made(&self, record: &ClusterRecord) -> bool {
        record.provider == self.name() && record.standin_image == self.standin_image()
    }

    /// Makes a cluster and returns once it serves; its kubeconfig goes to `kubeconfig`. What an earlier attempt at
    /// the same spec in the same run left half-made is removed first.
    fn make<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<ClusterRecord, ProviderError>>;

    /// Finds a cluster that this or another process made.
    fn attach<'a>(&'a self, record: &'a ClusterRecord, kubeconfig: &'a Path) -> BoxFuture<'a, Result<Cluster, ProviderError>>;

    /// Removes what an attempt to make a cluster left.
    fn discard<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;
}
