//! Do Azure Arc-enabled data services deploy and behave on this K3s?
//!
//! `k3s-arc-harness` holds the fixtures and the checks that answer it: a [`cluster`] provider starts K3s,
//! the [`launcher`] puts Arc data services on it, [`check`]s ask it and bring evidence, a [`diagnosis`]
//! explains what failed, a [`report`] tells. The e2e suite and the command line are thin layers over it.

pub mod arc;
pub mod check;
pub mod cluster;
pub mod config;
pub mod diagnosis;
mod digest;
pub mod doctor;
pub mod fixture;
mod http;
pub mod image;
pub mod launcher;
pub mod namespace;
pub mod probe;
pub mod quantity;
pub mod report;
pub mod suite;
pub mod versions;
pub mod wait;

pub use k3s_arc_harness_macros::test;
pub(crate) use k3s_arc_standin::kubernetes::chain;

/// A diagnostic as plain text: the error, its causes, and its help.
pub(crate) fn report_of(diagnostic: &dyn miette::Diagnostic) -> String {
    let mut text = String::new();
    if diagnostic.related().is_some() {
        // Problems of input, each with its place in a file.
        let narrated = miette::NarratableReportHandler::new().render_report(&mut text, diagnostic);
        return narrated.map_or_else(|_| diagnostic.to_string(), |()| text.trim().to_owned());
    }
    text.push_str(&diagnostic.to_string());
    let mut source = diagnostic.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!("\n  caused by: {}", cause_text.replace('\n', "\n  ")));
        }
        source = cause.source();
    }
    let mut inner = Some(diagnostic);
    while let Some(diagnostic) = inner {
        if let Some(help) = diagnostic.help() {
            text.push_str(&format!("\n  help: {help}"));
        }
        inner = diagnostic.diagnostic_source();
    }
    text
}
