//! Why a pod fits nowhere, and how that is said (`framework.FitError`).

use std::collections::BTreeMap;

use super::queue::Changes;

/// What turned a pod away. In the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DynamicResources,
    DefaultPreemption,
}

impl Plugin {
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// What must change for it to say something else (`EventsToRegister`).
    pub(super) fn hopes_for(self) -> Changes {
        // With the taints of nodes all may change: those that look at new nodes only are not told of all of them.
        let nodes = Changes::NODE | Changes::TAINTS;
        match self {
            Self::NodeUnschedulable | Self::TaintToleration => nodes,
            Self::NodeAffinity => nodes | Changes::LABELS,
            Self::NodePorts => nodes | Changes::POD_GONE,
            Self::NodeResourcesFit => nodes | Changes::ALLOCATABLE | Changes::POD_GONE,
            Self::VolumeRestrictions => nodes | Changes::POD_GONE | Changes::CLAIM,
            Self::VolumeBinding | Self::VolumeZone => nodes | Changes::LABELS | Changes::CLAIM | Changes::VOLUME | Changes::CLASS,
            Self::PodTopologySpread | Self::InterPodAffinity => nodes | Changes::LABELS | Changes::POD_GONE | Changes::POD_PLACED,
            Self::DynamicResources | Self::DefaultPreemption => Changes::NONE,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without some pods it might fit.
    Unschedulable,
    /// No pod that goes would help.
    Unresolvable,
    /// It could not be found out.
    Error,
}

/// A pod was turned away.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) plugin: Plugin,
    pub(super) kind: Kind,
    pub(super) reasons: Vec<String>,
}

impl Rejection {
    pub(super) fn unschedulable(plugin: Plugin, reason: &str) -> Self {
        Self { plugin, kind: Kind::Unschedulable, reasons: vec![reason.to_owned()] }
    }

    pub(super) fn unresolvable(plugin: Plugin, reason: impl Into<String>) -> Self {
        Self { plugin, kind: Kind::Unresolvable, reasons: vec![reason.into()] }
    }

    pub(super) fn error(plugin: Plugin, why: impl Into<String>) -> Self {
        Self { plugin, kind: Kind::Error, reasons: vec![why.into()] }
    }

    pub(super) fn message(&self) -> String {
        self.reasons.join(", ")
    }
}

/// The nodes that were asked, and those that were not, with what they would have said.
#[derive(Default)]
pub(super) struct Verdicts {
    pub(super) by_node: BTreeMap<String, Rejection>,
    /// Of all other nodes.
    pub(super) elsewhere: Option<String>,
}

impl Verdicts {
    /// `1 Insufficient cpu, 2 node(s) were unschedulable`: how many nodes say so, sorted as text.
    fn histogram(&self, nodes: usize) -> String {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.by_node.values().flat_map(|rejection| &rejection.reasons) {
            *reasons.entry(reason).or_default() += 1;
        }
        if let Some(reason) = &self.elsewhere
            && nodes > self.by_node.len()
        {
            *reasons.entry(reason).or_default() += nodes - self.by_node.len();
        }
        let mut texts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        texts.sort();
        texts.join(", ")
    }
}

/// The message for a pod that fits nowhere: what all nodes have in common, or else how many say what; then what became of making
/// room.
pub(super) fn fit_error(nodes: usize, common: Option<&str>, verdicts: &Verdicts, preemption: &str) -> String {
    let mut message = format!("0/{nodes} nodes are available:");
    let reasons = common.map_or_else(|| verdicts.histogram(nodes), str::to_owned);
    if !reasons.is_empty() {
        message.push_str(&format!(" {reasons}."));
    }
    if !preemption.is_empty() {
        message.push_str(&format!(" {preemption}"));
    }
    message
}
