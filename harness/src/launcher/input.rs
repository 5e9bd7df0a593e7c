//! What is wrong with an input file, shown where it stands in it.

use std::{
    fmt::{self, Display},
    io,
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// One thing that is wrong, or worth a warning, in an input file.
#[derive(Debug, Clone)]
pub struct Problem {
    severity: Severity,
    message: String,
    label: Option<(Range<usize>, String)>,
    help: String,
    source: Source,
}

impl Problem {
    /// Whether it does not prevent a launch.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// The line it stands on, from 1; nothing where it is about what is not in the file.
    pub fn line(&self) -> Option<usize> {
        self.label.as_ref().map(|(span, _)| self.source.line_of(span.start))
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        // Without a place in it, the file's first lines would be shown for no reason.
        self.label.as_ref().map(|_| &self.source.shown as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (span, label) = self.label.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::at(span.clone(), label))))
    }
}

/// An input file: its text, and the text that may be shown of it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    shown: NamedSource<Arc<str>>,
}

impl Source {
    /// A file by the name to show; where it holds secrets, `shown` is its text with them masked byte for byte.
    pub(crate) fn new(name: &str, shown: &str) -> Self {
        Self { shown: NamedSource::new(name, Arc::from(shown)) }
    }

    pub(crate) fn name(&self) -> &str {
        self.shown.name()
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.shown.inner().bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// A place cut at the end of its first line.
    pub(crate) fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.shown.inner().get(span.clone()).unwrap_or_default();
        let length = text.find('\n').unwrap_or(text.len());
        span.start..span.start + text[..length].trim_end().len()
    }

    /// `name:line`.
    pub(crate) fn place(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.name(), self.line_of(span.start))
    }

    /// An error at a place in the file.
    pub(crate) fn error(
        &self,
        message: impl Into<String>,
        at: Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        self.problem(Severity::Error, message, Some((at, label.into())), help)
    }

    /// An error about what is not in the file.
    pub(crate) fn missing(&self, message: impl Into<String>, help: impl Into<String>) -> Problem {
        self.problem(Severity::Error, message, None, help)
    }

    /// A warning about a place in the file.
    pub(crate) fn warning(
        &self,
        message: impl Into<String>,
        at: Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        self.problem(Severity::Warning, message, Some((at, label.into())), help)
    }

    fn problem(
        &self,
        severity: Severity,
        message: impl Into<String>,
        label: Option<(Range<usize>, String)>,
        help: impl Into<String>,
    ) -> Problem {
        Problem { severity, message: message.into(), label, help: help.into(), source: self.clone() }
    }
}

/// Why the files that drive a launch cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InputError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    #[diagnostic(help("see that the file exists and that you may read it"))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the files hold would not do; every problem is told at once.
    #[error("{}", summary(.problems))]
    Invalid {
        /// The errors, and the warnings found on the way.
        #[related]
        problems: Vec<Problem>,
    },
}

fn summary(problems: &[Problem]) -> String {
    let mut files: Vec<&str> =
        problems.iter().filter(|problem| !problem.is_warning()).map(|problem| problem.source.name()).collect();
    let count = files.len();
    files.dedup();
    format!("{count} {} in {}", if count == 1 { "error" } else { "errors" }, files.join(" and "))
}

/// The value, or every problem, if one of them is an error.
pub(crate) fn unless_errors<T>(value: T, problems: Vec<Problem>) -> Result<(T, Vec<Problem>), InputError> {
    if problems.iter().all(Problem::is_warning) { Ok((value, problems)) } else { Err(InputError::Invalid { problems }) }
}

/// Problems as a person sees them, for snapshots.
#[cfg(test)]
pub(crate) fn rendered(diagnostic: &dyn Diagnostic) -> String {
    let mut text = String::new();
    miette::NarratableReportHandler::new().render_report(&mut text, diagnostic).unwrap();
    text
}
