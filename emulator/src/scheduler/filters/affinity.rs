//! Pods that want to be near to others, or far from them (`interpodaffinity/filtering.go`).

use std::collections::HashMap;

use super::super::node::{NodeInfo, Snapshot};
use super::super::pod::{Namespaces, PodInfo, Term};
use super::super::verdict::{Plugin, Rejection};

/// How many pods are in a domain, by its label and value.
type Domains = HashMap<(String, String), i64>;

#[derive(Clone, Default)]
pub(in super::super) struct AffinityCounts {
    /// Pods that want to be far from this one.
    repelled: Domains,
    /// Pods that this one wants to be near to.
    near: Domains,
    /// Pods that this one wants to be far from.
    far: Domains,
}

fn add(domains: &mut Domains, term: &Term, node: &NodeInfo, by: i64) {
    let Some(value) = node.label(&term.topology) else { return };
    let domain = (term.topology.clone(), value.to_owned());
    let count = domains.entry(domain.clone()).or_default();
    *count += by;
    if *count == 0 {
        domains.remove(&domain);
    }
}

/// Whether every term of a pod means another.
fn wants_all(pod: &PodInfo, other: &PodInfo, namespaces: &Namespaces) -> bool {
    !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.matches(other, namespaces))
}

impl AffinityCounts {
    pub(super) fn of(pod: &PodInfo, snapshot: &Snapshot) -> Self {
        let mut counts = Self::default();
        let has_own = !pod.affinity.is_empty() || !pod.anti_affinity.is_empty();
        for (node, other) in snapshot.pods().filter(|(_, other)| has_own || !other.anti_affinity.is_empty()) {
            counts.change(pod, &snapshot.namespaces, other, node, 1);
        }
        counts
    }

    pub(super) fn change(&mut self, pod: &PodInfo, namespaces: &Namespaces, other: &PodInfo, node: &NodeInfo, by: i64) {
        for term in other.anti_affinity.iter().filter(|term| term.matches(pod, namespaces)) {
            add(&mut self.repelled, term, node, by);
        }
        if wants_all(pod, other, namespaces) {
            pod.affinity.iter().for_each(|term| add(&mut self.near, term, node, by));
        }
        for term in pod.anti_affinity.iter().filter(|term| term.matches(other, namespaces)) {
            add(&mut self.far, term, node, by);
        }
    }

    pub(super) fn check(&self, pod: &PodInfo, namespaces: &Namespaces, node: &NodeInfo) -> Result<(), Rejection> {
        if !self.is_near(pod, namespaces, node) {
            return Err(Rejection::unresolvable(Plugin::InterPodAffinity, "node(s) didn't match pod affinity rules"));
        }
        let holds = |domains: &Domains, label: &str, value: &str| {
            domains.get(&(label.to_owned(), value.to_owned())).is_some_and(|count| *count > 0)
        };
        let is_far = |term: &Term| !node.label(&term.topology).is_some_and(|value| holds(&self.far, &term.topology, value));
        if !self.far.is_empty() && !pod.anti_affinity.iter().all(is_far) {
            return Err(Rejection::unschedulable(Plugin::InterPodAffinity, "node(s) didn't match pod anti-affinity rules"));
        }
        let repels = |((label, value), count): (&(String, String), &i64)| *count > 0 && node.label(label) == Some(value);
        if self.repelled.iter().any(repels) {
            let why = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Err(Rejection::unschedulable(Plugin::InterPodAffinity, why));
        }
        Ok(())
    }

    fn is_near(&self, pod: &PodInfo, namespaces: &Namespaces, node: &NodeInfo) -> bool {
        let mut all = true;
        for term in &pod.affinity {
            // Without a domain, nothing is near.
            let Some(value) = node.label(&term.topology) else { return false };
            all &= self.near.get(&(term.topology.clone(), value.to_owned())).is_some_and(|count| *count > 0);
        }
        // The first of pods that want to be near to one another is near enough to itself.
        all || (self.near.is_empty() && wants_all(pod, pod, namespaces))
    }
}
