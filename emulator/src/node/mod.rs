//! Nodes: where pods run. Each has a root folder on this machine, a kubelet, and the images that were registered with the emulator.

pub(crate) mod command;
pub(crate) mod control;
pub(crate) mod images;
pub(crate) mod kubelet;
pub(crate) mod setup;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use k3s_arc_container::User;
use k3s_arc_container::files::{Disk, Files, Mount};

use crate::cluster::Cluster;
use crate::net::Network;
use images::Images;
use kubelet::Kubelet;

/// A node to be: its name and what it says it has.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    pub(crate) name: String,
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    pub(crate) pods: u32,
    pub(crate) labels: BTreeMap<String, String>,
}

impl NodeSpec {
    /// A node of 8 CPUs, 32 GiB and room for 110 pods (the kubelet's default). It says so; pods share what this machine has.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), cpus: 8, memory: 32 << 30, pods: 110, labels: BTreeMap::new() }
    }

    /// How many CPUs it has.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// How many bytes of memory it has.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// How many pods it takes.
    #[must_use]
    pub fn pods(mut self, pods: u32) -> Self {
        self.pods = pods;
        self
    }

    /// A label beside those of its own.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

/// A node: what everything on it shares.
pub(crate) struct Node {
    pub(crate) spec: NodeSpec,
    /// Counted from 0 in the order in which nodes were added; the first is the server.
    pub(crate) number: u8,
    /// Its root folder on this machine, a path without links. `/var/lib/rancher/k3s/storage` and the like are below it.
    pub(crate) root: PathBuf,
    pub(crate) disk: Arc<Disk>,
    pub(crate) images: Arc<Images>,
    pub(crate) network: Arc<Network>,
    pub(crate) cluster: Arc<Cluster>,
}

impl Node {
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its address in the cluster: one of those for benchmarks (RFC 2544), which are nobody's. Nothing is sent there: see [`crate::net`].
    pub(crate) fn address(&self) -> IpAddr {
        address_of(self.number)
    }

    /// Its own files, as its root sees them.
    pub(crate) fn files(&self) -> Files {
        let root = Mount { at: "/".into(), source: self.root.clone(), lower: None, read_only: false };
        Files::new(vec![root], User::default(), self.disk.clone())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("spec", &self.spec).field("root", &self.root).finish_non_exhaustive()
    }
}

/// The address of the node with that number.
pub(crate) fn address_of(number: u8) -> IpAddr {
    Ipv4Addr::new(198, 18, 0, number.saturating_add(1)).into()
}

/// The kubelets that the API server knows how to reach, by the names of their nodes.
#[derive(Debug, Default)]
pub(crate) struct Nodes(RwLock<BTreeMap<String, Arc<Kubelet>>>);

impl Nodes {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Kubelet>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn add(&self, name: &str, kubelet: Arc<Kubelet>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), kubelet);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
