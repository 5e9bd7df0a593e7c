//! Pods that are to be spread over domains (`podtopologyspread`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::node::{NodeInfo, Snapshot};
use super::super::pod::PodInfo;
use super::super::verdict::{Plugin, Rejection};
use super::nodes::{WantedNodes, repelling_taint};
use crate::kinds::selector;
use crate::kinds::view::{int, list, text};
use crate::selector::labels::Selector;

const BROKEN: &str = "node(s) didn't match pod topology spread constraints";

pub(in super::super) struct Constraint {
    pub(in super::super) max_skew: i64,
    pub(in super::super) topology: String,
    pub(in super::super) selector: Selector,
    min_domains: i64,
    heeds_affinity: bool,
    heeds_taints: bool,
}

/// How many of the pods that count are in a domain.
#[derive(Clone, Default)]
pub(in super::super) struct SpreadCounts(pub(in super::super) BTreeMap<String, i64>);

impl Constraint {
    /// One that kube-scheduler adds by itself.
    pub(in super::super) fn usual(topology: &str, max_skew: i64, selector: Selector) -> Self {
        Self { max_skew, topology: topology.to_owned(), selector, min_domains: 1, heeds_affinity: true, heeds_taints: false }
    }

    fn of(constraint: &Value, pod: &PodInfo) -> Option<Self> {
        let keys = list(&constraint["matchLabelKeys"]).iter().map(text);
        let mut selector = constraint["labelSelector"].clone();
        if !selector.is_null() {
            let mut labels = selector["matchLabels"].as_object().cloned().unwrap_or_else(Map::new);
            labels.extend(keys.filter_map(|key| Some((key.to_owned(), pod.labels().get(key)?.clone()))));
            selector["matchLabels"] = labels.into();
        }
        Some(Self {
            max_skew: int(&constraint["maxSkew"]),
            topology: text(&constraint["topologyKey"]).to_owned(),
            selector: selector::compile(&selector).ok()?,
            min_domains: constraint["minDomains"].as_i64().unwrap_or(1),
            heeds_affinity: constraint["nodeAffinityPolicy"] != "Ignore",
            heeds_taints: constraint["nodeTaintsPolicy"] == "Honor",
        })
    }

    /// Whether the pods of that node count (`matchNodeInclusionPolicies`).
    pub(in super::super) fn includes(&self, pod: &PodInfo, wanted: &WantedNodes<'_>, node: &NodeInfo) -> bool {
        (!self.heeds_affinity || wanted.matches(node)) && (!self.heeds_taints || repelling_taint(pod, node).is_none())
    }

    /// How many pods of a node count.
    pub(in super::super) fn count(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        if self.selector.is_everything() {
            return 0;
        }
        let counts = |other: &&std::sync::Arc<PodInfo>| {
            !other.is_going() && other.namespace() == pod.namespace() && self.selector.matches(other.labels())
        };
        i64::try_from(node.pods.iter().filter(counts).count()).unwrap_or(i64::MAX)
    }
}

/// The pod's constraints of a kind: `DoNotSchedule`, `ScheduleAnyway`.
pub(in super::super) fn constraints(pod: &PodInfo, kind: &str) -> Vec<Constraint> {
    let of_kind = list(&pod.spec()["topologySpreadConstraints"]).iter().filter(|one| one["whenUnsatisfiable"] == kind);
    of_kind.filter_map(|constraint| Constraint::of(constraint, pod)).collect()
}

/// Whether a node is in a domain of every constraint.
pub(in super::super) fn is_in_all(constraints: &[Constraint], node: &NodeInfo) -> bool {
    constraints.iter().all(|constraint| node.label(&constraint.topology).is_some())
}

pub(super) fn count_all(
    constraints: &[Constraint],
    pod: &PodInfo,
    wanted: &WantedNodes<'_>,
    snapshot: &Snapshot,
    counts: &mut [SpreadCounts],
) {
    if constraints.is_empty() {
        return;
    }
    for node in snapshot.nodes.iter().filter(|node| is_in_all(constraints, node)) {
        for (constraint, counts) in constraints.iter().zip(&mut *counts) {
            if let Some(domain) = node.label(&constraint.topology)
                && constraint.includes(pod, wanted, node)
            {
                *counts.0.entry(domain.to_owned()).or_default() += constraint.count(pod, node);
            }
        }
    }
}

/// Another pod comes to a node or leaves it.
pub(super) fn change(
    constraints: &[Constraint],
    pod: &PodInfo,
    wanted: &WantedNodes<'_>,
    other: &PodInfo,
    node: &NodeInfo,
    counts: &mut [SpreadCounts],
    by: i64,
) {
    if other.namespace() != pod.namespace() || !is_in_all(constraints, node) {
        return;
    }
    for (constraint, counts) in constraints.iter().zip(counts) {
        if let Some(domain) = node.label(&constraint.topology)
            && constraint.selector.matches(other.labels())
            && constraint.includes(pod, wanted, node)
        {
            *counts.0.entry(domain.to_owned()).or_default() += by;
        }
    }
}

pub(super) fn check(
    constraints: &[Constraint],
    pod: &PodInfo,
    node: &NodeInfo,
    counts: &[SpreadCounts],
) -> Result<(), Rejection> {
    for (constraint, SpreadCounts(counts)) in constraints.iter().zip(counts) {
        let Some(domain) = node.label(&constraint.topology) else {
            return Err(Rejection::unresolvable(Plugin::PodTopologySpread, format!("{BROKEN} (missing required label)")));
        };
        let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
        // Domains that are yet to come are empty.
        let least = if domains < constraint.min_domains { 0 } else { counts.values().copied().min().unwrap_or_default() };
        let itself = i64::from(constraint.selector.matches(pod.labels()));
        if counts.get(domain).copied().unwrap_or_default() + itself - least > constraint.max_skew {
            return Err(Rejection::unschedulable(Plugin::PodTopologySpread, BROKEN));
        }
    }
    Ok(())
}
