//! Reports: what a run leaves for people and programs to read.

mod terminal;

use std::time::Duration;

use crate::check::{Area, Evidence, Failure};

pub use self::terminal::render;

/// What became of one check.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// What must hold does.
    Passed(Evidence),
    /// It does not.
    Failed(Box<Failure>),
    /// The cluster cannot do what the check needs.
    NotApplicable(String),
    /// It could not be asked: its namespace was refused, the launch before it failed, ...
    NotAsked(String),
}

/// One line of a report.
#[derive(Debug, Clone)]
pub struct Line {
    /// The area of the check.
    pub area: Area,
    /// The check's name in it.
    pub check: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took, its namespace and teardown not counted.
    pub took: Duration,
}

/// What a validation found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The version that the cluster's API reports.
    pub k3s: String,
    /// Who made the cluster.
    pub provider: &'static str,
    /// Whether it was an emulated one, so that nothing here is a verdict on K3s itself.
    pub emulated: bool,
    /// Why it was that provider, where nobody asked for it.
    pub choice: Option<String>,
    /// The image that ran as launcher, and whether it was the stand-in's; `None` if nothing was launched.
    pub launcher: Option<(String, bool)>,
    /// The checks, in order.
    pub lines: Vec<Line>,
    /// From the first step to the last check's answer.
    pub took: Duration,
}

impl Report {
    /// Whether every check that applies was asked and passed.
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.verdict, Verdict::Passed(_) | Verdict::NotApplicable(_)))
    }
}
