//! What a check saw, and what it says when that is not what must hold.

use std::fmt::{self, Display};

use k3s_arc_standin::kubernetes::explain;

use crate::{diagnosis::Diagnosis, wait::WaitError};

/// What a check saw, fact by fact, in the order in which it looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Evidence(Vec<(String, String)>);

impl Evidence {
    /// No fact yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact.
    pub fn saw(&mut self, what: impl Display, value: impl Display) -> &mut Self {
        self.0.push((what.to_string(), value.to_string()));
        self
    }

    /// The facts, in order.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(what, value)| (what.as_str(), value.as_str()))
    }

    /// Passes if `holds`; otherwise a failure that says what must hold, what was `seen`, and every fact so far.
    ///
    /// # Errors
    /// The [`Failure`].
    pub fn require(&self, holds: bool, must_hold: impl Display, seen: impl Display) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure::new(must_hold, seen).with_evidence(self.clone())) }
    }
}

impl Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, value) in self.facts() {
            match value.trim_end().split_once('\n') {
                None => writeln!(f, "  {what}: {}", value.trim_end())?,
                Some(_) => {
                    writeln!(f, "  {what}:")?;
                    value.trim_end().lines().try_for_each(|line| writeln!(f, "    {line}"))?;
                }
            }
        }
        Ok(())
    }
}

/// A check's answer when what must hold does not, or could not be looked at.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What must hold.
    pub must_hold: String,
    /// What was there instead.
    pub seen: String,
    /// The facts gathered until then.
    pub evidence: Evidence,
    /// What explains it, if anything is recognised.
    pub diagnoses: Vec<Diagnosis>,
}

impl Failure {
    /// What must hold, and what was seen instead.
    pub fn new(must_hold: impl Display, seen: impl Display) -> Self {
        Self { must_hold: must_hold.to_string(), seen: seen.to_string(), evidence: Evidence::new(), diagnoses: Vec::new() }
    }

    /// The same, with the facts gathered so far.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "must hold: {}", self.must_hold)?;
        writeln!(f, "seen:      {}", self.seen)?;
        if self.evidence.facts().next().is_some() {
            write!(f, "evidence:\n{}", self.evidence)?;
        }
        self.diagnoses.iter().try_for_each(|diagnosis| write!(f, "{diagnosis}"))
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::new("the API answers what the check asks of it", explain(&error))
    }
}

/// Anything that goes wrong while a check looks is a failure of the check, told with its causes.
macro_rules! failure_from {
    ($($error:ty => $must_hold:literal),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new($must_hold, crate::chain(&error))
            }
        }
    )+};
}

failure_from! {
    WaitError => "what the check waits for happens in time",
    crate::probe::ProbeError => "a probe pod runs and reports",
    crate::cluster::NodeError => "commands run on the node",
    crate::launcher::LaunchError => "the launcher's overlay deploys, and the launcher runs to its end",
}
