//! Reports: what a run leaves for people and programs to read.

mod comparison;
pub mod doctor;
pub mod junit;
mod terminal;
pub mod versions;

use std::time::Duration;

use comfy_table::{LineStyle, TableStyle};

use crate::check::{Area, Evidence, Failure};

pub use self::{
    comparison::{Column, compare},
    terminal::render,
};

/// Lines around and below the header alone: with one between rows, a table is twice as long as the terminal.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

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

impl Verdict {
    /// The verdict in a word or two; capitals for those that must not be overlooked.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "FAILED",
            Self::NotApplicable(_) => "not applicable",
            Self::NotAsked(_) => "NOT ASKED",
        }
    }
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

impl Line {
    /// `area::name` of the check.
    pub fn id(&self) -> String {
        format!("{}::{}", self.area.name(), self.check)
    }
}

/// What a validation found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The version that the cluster's API reports.
    pub k3s: String,
    /// Who made the cluster.
    pub provider: &'static str,
    /// Whether it is K3s, so that there is a verdict on K3s at all.
    pub is_k3s: bool,
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
