//! Whether a pod may run on a node: the filters of kube-scheduler in their order (`pkg/scheduler/framework/plugins`). What they
//! find out about a pod once is a [`Cycle`]; what other pods add to it, [`Counts`].
//!
//! Limits of volumes per node are those of CSI drivers, which nothing here is; devices are not emulated, and a pod that claims
//! some is turned away with words that say so.

mod affinity;
mod fit;
pub(super) mod nodes;
pub(super) mod spread;
mod volumes;
mod zones;

use std::collections::BTreeSet;

pub(super) use affinity::AffinityCounts;
pub(super) use volumes::{Choice, Stock, fits_node, is_bound};

use self::nodes::{NodeTerms, WantedNodes};
use self::spread::{Constraint, SpreadCounts};
use self::volumes::Claims;
use super::node::{NodeInfo, Snapshot};
use super::pod::{Namespaces, PodInfo};
use super::verdict::{Kind, Plugin, Rejection};
use crate::kinds::view::{count, list};

/// What is found out about a pod before nodes are looked at (`PreFilter`).
pub(super) struct Cycle<'a> {
    pub(super) pod: &'a PodInfo,
    namespaces: &'a Namespaces,
    stock: &'a Stock<'a>,
    wanted: WantedNodes<'a>,
    /// The only nodes to look at, if the pod names some.
    pub(super) named: Option<BTreeSet<String>>,
    /// The claims of which one pod at a time may make use.
    exclusive: BTreeSet<String>,
    claims: Claims,
    zones: Vec<zones::Zone>,
    constraints: Vec<Constraint>,
}

/// What the pods on nodes mean for a pod; changed when pods are thought to come or go.
#[derive(Clone, Default)]
pub(super) struct Counts {
    /// How many hold a claim that this pod wants for itself.
    holders: i64,
    spread: Vec<SpreadCounts>,
    affinity: AffinityCounts,
}

impl<'a> Cycle<'a> {
    /// Refused with what holds for all nodes.
    pub(super) fn new(pod: &'a PodInfo, snapshot: &'a Snapshot, stock: &'a Stock<'a>) -> Result<(Self, Counts), Rejection> {
        let wanted = WantedNodes::of(pod);
        let named = wanted.names().map_err(|()| Rejection::unresolvable(Plugin::NodeAffinity, "pod affinity terms conflict"))?;
        let exclusive = volumes::exclusive_claims(pod, stock)?;
        let claims = Claims::of(pod, stock)?;
        let zones = zones::of(pod, stock)?;
        let constraints = spread::constraints(pod, "DoNotSchedule");
        if count(&pod.spec()["resourceClaims"]) > 0 {
            let why = "resource claims are not emulated, no node has devices to allocate";
            return Err(Rejection::unresolvable(Plugin::DynamicResources, why));
        }
        let namespaces = &snapshot.namespaces;
        let cycle = Self { pod, namespaces, stock, wanted, named, exclusive, claims, zones, constraints };
        let mut counts = Counts {
            holders: volumes::holders(pod, &cycle.exclusive, snapshot),
            spread: vec![SpreadCounts::default(); cycle.constraints.len()],
            affinity: AffinityCounts::of(pod, snapshot),
        };
        spread::count_all(&cycle.constraints, pod, &cycle.wanted, snapshot, &mut counts.spread);
        Ok((cycle, counts))
    }

    /// Another pod comes to a node (1) or leaves it (-1).
    pub(super) fn change(&self, counts: &mut Counts, other: &PodInfo, node: &NodeInfo, by: i64) {
        counts.holders += by * volumes::holds(other, self.pod, &self.exclusive);
        spread::change(&self.constraints, self.pod, &self.wanted, other, node, &mut counts.spread, by);
        counts.affinity.change(self.pod, self.namespaces, other, node, by);
    }

    /// Whether the pod may run on the node (`RunFilterPlugins`).
    pub(super) fn check(&self, counts: &Counts, node: &NodeInfo) -> Result<(), Rejection> {
        let pod = self.pod;
        nodes::check_unschedulable(pod, node)?;
        nodes::check_taints(pod, node)?;
        self.wanted.check(node)?;
        fit::check_ports(pod, node)?;
        fit::check_resources(pod, node)?;
        volumes::check_restrictions(pod, node, counts.holders)?;
        self.claims.check(self.stock, node)?;
        zones::check(&self.zones, node)?;
        spread::check(&self.constraints, pod, node, &counts.spread)?;
        counts.affinity.check(pod, self.namespaces, node)
    }

    /// The same as [`Self::check`], mindful of pods for which room was made on the node: those that are at least as important as
    /// this one are thought to be there already, and thought not to be (`RunFilterPluginsWithNominatedPods`).
    pub(super) fn check_beside(&self, counts: &Counts, node: &NodeInfo, snapshot: &Snapshot) -> Result<(), Rejection> {
        let ahead = snapshot.nominated_on(node.name());
        let ahead: Vec<_> = ahead.filter(|other| other.priority >= self.pod.priority && other.uid() != self.pod.uid()).collect();
        if !ahead.is_empty() {
            let (mut crowded, mut counts) = (node.clone(), counts.clone());
            for other in ahead {
                self.change(&mut counts, other, node, 1);
                crowded.add(other.clone());
            }
            self.check(&counts, &crowded)?;
        }
        self.check(counts, node)
    }

    /// The volumes for the pod's claims on that node.
    pub(super) fn choose_volumes(&self, node: &NodeInfo) -> Choice {
        self.claims.choose(self.stock, node).unwrap_or_default()
    }

    /// How much the pod would like to be on the node, by its own words (`NodeAffinity`).
    pub(super) fn preference(&self, node: &NodeInfo) -> i64 {
        let preferred = list(&self.pod.spec()["affinity"]["nodeAffinity"][super::pod::PREFERRED]);
        let weights = preferred.iter().filter(|one| NodeTerms::of_one(&one["preference"]).matches(node));
        weights.map(|one| crate::kinds::view::int(&one["weight"])).sum()
    }

    pub(super) fn wanted(&self) -> &WantedNodes<'a> {
        &self.wanted
    }
}

impl Rejection {
    /// What could not be found out is said with who could not (`framework.go`).
    pub(super) fn failure(&self, before: bool) -> Option<String> {
        let (name, why) = (self.plugin.name(), self.message());
        (self.kind == Kind::Error).then(|| {
            if before {
                format!("running PreFilter plugin \"{name}\": {why}")
            } else {
                format!("running \"{name}\" filter plugin: {why}")
            }
        })
    }
}
