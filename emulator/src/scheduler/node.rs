//! A node and what is left of it (`framework.NodeInfo`).

use std::sync::Arc;

use serde_json::Value;

use super::pod::{Namespaces, PodInfo};
use super::resources::Resources;
use crate::kinds::quantity::Quantity;
use crate::kinds::view::text;

#[derive(Clone)]
pub(super) struct NodeInfo {
    pub(super) object: Arc<Value>,
    pub(super) allocatable: Resources,
    pub(super) allowed_pods: i64,
    pub(super) requested: Resources,
    /// CPU and memory as nodes are compared by it.
    pub(super) at_least: Resources,
    pub(super) pods: Vec<Arc<PodInfo>>,
}

impl NodeInfo {
    pub(super) fn of(object: Arc<Value>) -> Self {
        Self {
            allocatable: Resources::of_node(&object),
            allowed_pods: Quantity::of(&object["status"]["allocatable"]["pods"]).value(),
            requested: Resources::default(),
            at_least: Resources::default(),
            pods: Vec::new(),
            object,
        }
    }

    pub(super) fn name(&self) -> &str {
        text(&self.object["metadata"]["name"])
    }

    pub(super) fn labels(&self) -> &Value {
        &self.object["metadata"]["labels"]
    }

    /// The value of a label, which is the domain of a topology that the node is in.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key)?.as_str()
    }

    pub(super) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.at_least.add(&pod.at_least);
        self.pods.push(pod);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        if let Some(at) = self.pods.iter().position(|pod| pod.uid() == uid) {
            let pod = self.pods.remove(at);
            self.requested.sub(&pod.requests);
            self.at_least.sub(&pod.at_least);
        }
    }
}

/// All nodes in the order of their names, with the pods on them.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) nodes: Vec<NodeInfo>,
    pub(super) namespaces: Namespaces,
    /// Pods that wait for room on a node, by its name.
    pub(super) nominated: Vec<(String, Arc<PodInfo>)>,
}

impl Snapshot {
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.nodes.binary_search_by(|node| node.name().cmp(name)).ok()
    }

    pub(super) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.position(name).map(|at| &self.nodes[at])
    }

    /// A pod takes its place on a node.
    pub(super) fn place(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.nominate(&pod, "");
        if let Some(at) = self.position(node) {
            self.nodes[at].add(pod);
        }
    }

    /// A pod waits for room on a node, or on none any more.
    pub(super) fn nominate(&mut self, pod: &Arc<PodInfo>, node: &str) {
        self.nominated.retain(|(_, other)| other.uid() != pod.uid());
        if !node.is_empty() {
            self.nominated.push((node.to_owned(), pod.clone()));
        }
    }

    /// The pods that wait for room on a node.
    pub(super) fn nominated_on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Arc<PodInfo>> {
        self.nominated.iter().filter(move |(name, _)| name == node).map(|(_, pod)| pod)
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = (&NodeInfo, &Arc<PodInfo>)> {
        self.nodes.iter().flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
    }
}
