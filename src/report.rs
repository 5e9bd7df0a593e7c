//! `k3s-arc report`: the JUnit files of one suite or several, put together.

use k3s_arc_harness::report::junit::{self, JunitError, Suite};
use miette::IntoDiagnostic;

use crate::{
    ENVIRONMENT, FAILED, Failed, PASSED, USAGE,
    arguments::{Format, Report},
    progress,
};

pub(crate) fn run(what: &Report) -> Result<u8, Failed> {
    let input = |error: JunitError| (error.into(), USAGE);
    let suites = Suite::read(&what.files).map_err(input)?;
    if let Some(path) = &what.merged {
        let merged = junit::merge(&suites).map_err(input)?;
        let written = std::fs::write(path, merged).into_diagnostic();
        written.map_err(|error| (error.wrap_err(format!("{} could not be written", path.display())), ENVIRONMENT))?;
    }
    let text = match what.output {
        Format::Table => junit::table(&suites, progress::width()),
        Format::Markdown => junit::markdown(&suites),
        Format::Github => junit::annotations(&suites),
    };
    progress::print(text.trim_end());
    Ok(if suites.iter().all(Suite::passed) { PASSED } else { FAILED })
}
