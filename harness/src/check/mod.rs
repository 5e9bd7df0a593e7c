//! Checks: one question each, asked of a cluster, answered with evidence.
//!
//! The tests of the e2e suite and `k3s-arc validate` run the same checks, listed in [`all`]. A check
//! never asks which provider its cluster came from, only for the [`Capability`]s it needs.

mod context;
pub mod dns;
mod evidence;
pub mod launcher;
pub mod readiness;
pub mod resources;
pub mod storage;

use futures::future::BoxFuture;

pub use self::{
    context::Context,
    evidence::{Evidence, Failure},
};
pub use crate::cluster::{Access, Capability};

/// The part of a cluster's behaviour that a check asks about; also its module's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// Is it up, and does it answer?
    Readiness,
    /// Do names resolve as they should?
    Dns,
    /// Are claims provisioned, bound, written and reclaimed?
    Storage,
    /// Are requests, limits and quotas what they should be, and enforced?
    Resources,
    /// Does the launcher leave the cluster as it found it?
    Launcher,
}

impl Area {
    /// The area's name, as in test names and reports.
    pub fn name(self) -> &'static str {
        match self {
            Area::Readiness => "readiness",
            Area::Dns => "dns",
            Area::Storage => "storage",
            Area::Resources => "resources",
            Area::Launcher => "launcher",
        }
    }
}

/// One question asked of a cluster.
#[derive(Debug)]
pub struct Check {
    /// What it asks about.
    pub area: Area,
    /// Its name, unique within the area, in snake case.
    pub name: &'static str,
    /// The question, as a reader of a report sees it.
    pub question: &'static str,
    /// What the cluster must be able to do for the question to make sense.
    pub needs: &'static [Capability],
    /// Whether it can share the cluster.
    pub access: Access,
    /// Whether Arc data services must have been launched on the cluster first.
    pub on_arc: bool,
    /// Asks it, noting each fact as it is seen: a failure shows them, whatever ended the asking.
    pub ask: for<'a> fn(&'a Context, &'a mut Evidence) -> BoxFuture<'a, Result<(), Failure>>,
}

impl Check {
    /// What the cluster must be able to do; that Arc can be launched on it, where the check is about Arc.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Capability> {
        self.needs.iter().copied().chain(self.on_arc.then_some(Capability::Launch))
    }

    /// `area::name`, as in reports and in the names of tests.
    pub fn id(&self) -> String {
        format!("{}::{}", self.area.name(), self.name)
    }
}

/// Every check, in the order in which `validate` runs them.
pub fn all() -> Vec<&'static Check> {
    [readiness::CHECKS, dns::CHECKS, storage::CHECKS, resources::CHECKS, launcher::CHECKS].into_iter().flatten().collect()
}
