//! What was found of one thing, and what is to be thought of it.

/// What is to be thought of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it should be.
    Ok,
    /// It could not be looked at from here.
    NotSeen,
    /// It will do, with the consequence that the remedy tells.
    Warning,
    /// Without it the suite cannot run.
    Missing,
}

impl Verdict {
    /// In words; capitals for what must not be overlooked.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotSeen => "not seen",
            Self::Warning => "warning",
            Self::Missing => "MISSING",
        }
    }
}

/// One line of an examination.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was there.
    pub found: String,
    /// What the suite needs of it.
    pub needed: String,
    /// What is to be thought of it.
    pub verdict: Verdict,
    /// What to do, or what comes of it if nothing is done; none where all is well.
    pub remedy: Option<String>,
}

impl Finding {
    /// One that is as it should be.
    pub(super) fn ok(what: impl Into<String>, found: impl Into<String>, needed: impl Into<String>) -> Self {
        Self { what: what.into(), found: found.into(), needed: needed.into(), verdict: Verdict::Ok, remedy: None }
    }

    /// The same, judged otherwise.
    pub(super) fn but(self, verdict: Verdict, remedy: impl Into<String>) -> Self {
        Self { verdict, remedy: Some(remedy.into()), ..self }
    }

    /// The same if it `holds`; otherwise judged otherwise.
    pub(super) fn unless(self, holds: bool, verdict: Verdict, remedy: impl Into<String>) -> Self {
        if holds { self } else { self.but(verdict, remedy) }
    }

    /// One that could not be looked at.
    pub(super) fn not_seen(what: impl Into<String>, needed: impl Into<String>, why: impl Into<String>) -> Self {
        Self::ok(what, "unknown", needed).but(Verdict::NotSeen, why)
    }
}
