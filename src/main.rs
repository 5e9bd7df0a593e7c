//! The command line of k3s-arc: arguments, progress, exit codes. The work is `k3s-arc-harness`'s.

mod arguments;
mod cache;
mod doctor;
mod interrupt;
mod progress;
mod report;
mod up;
mod validate;
mod versions;

use std::{path::Path, process::ExitCode};

use clap::Parser;
use k3s_arc_harness::{cluster, config::Config, image::Standin};
use miette::Report;

use crate::arguments::{Arguments, Command};

/// All checks passed.
const PASSED: u8 = 0;
/// A check failed.
const FAILED: u8 = 1;
/// Bad usage or input.
const USAGE: u8 = 2;
/// The environment lacks something: Docker, an image, room.
const ENVIRONMENT: u8 = 3;
/// Interrupted, after clean-up: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // clap ends the process itself on bad usage, with 2.
    let arguments = Arguments::parse();
    let config = match Config::read(|name| arguments.options.value(name)) {
        Ok(config) => config,
        Err(error) => return fail(error.into(), USAGE),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Report::msg(format!("no runtime: {error}")), ENVIRONMENT),
    };
    let code = match arguments.command {
        Command::Validate(what) => runtime.block_on(validate::run(config, &what)),
        Command::Versions(what) => runtime.block_on(versions::run(&config, &what)),
        Command::Doctor(what) => runtime.block_on(doctor::run(&config, &what)),
        Command::Report(what) => report::run(&what),
        Command::Up(what) => runtime.block_on(up::run(config, &what)),
        Command::StandinImage { output } => standin_image(&output),
        Command::List => list(&config),
        Command::Cache(what) => runtime.block_on(cache::run(&what)),
        Command::Down { runs, all } => runtime.block_on(down(&config, &runs, all)),
    };
    // A name server that does not answer keeps its thread for longer than anybody waits here.
    runtime.shutdown_background();
    code.map_or_else(|(report, code)| fail(report, code), ExitCode::from)
}

/// An error to show, with the code to exit with.
type Failed = (Report, u8);

fn fail(report: Report, code: u8) -> ExitCode {
    progress::print_error(&format!("{report:?}"));
    ExitCode::from(code)
}

fn found(config: &Config) -> Result<Vec<cluster::Found>, Failed> {
    cluster::find(config).map_err(|error| (error.into(), ENVIRONMENT))
}

fn list(config: &Config) -> Result<u8, Failed> {
    let found = found(config)?;
    if found.is_empty() {
        progress::print("no runs");
    }
    for run in found {
        let state = match (run.active, run.serves, run.left) {
            (true, true, _) => "serving".to_owned(),
            (true, false, _) => "active".to_owned(),
            (false, _, Some(left)) => format!("kept, for {} min unless it is used", left.as_secs().div_ceil(60)),
            (false, _, None) => "to be removed".to_owned(),
        };
        progress::print(&format!("{}  {state}", run.id));
        for (kubeconfig, cluster) in &run.clusters {
            let place = Some(&cluster.place).filter(|place| !place.is_empty() && !place.starts_with("unix:"));
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            progress::print(&format!("  {} by {}{place}: {}", cluster.version, cluster.provider, kubeconfig.display()));
        }
    }
    Ok(PASSED)
}

/// Writes the stand-in's image, which the nodes of a cluster that exists must be given.
fn standin_image(output: &Path) -> Result<u8, Failed> {
    let standin = Standin::new(None).map_err(|error| (Report::new(error), ENVIRONMENT))?;
    let archive = standin.archive().map_err(|error| (Report::new(error), ENVIRONMENT))?.unwrap_or_default();
    std::fs::write(output, archive)
        .map_err(|error| (Report::msg(format!("{} could not be written: {error}", output.display())), ENVIRONMENT))?;
    progress::print(standin.reference());
    Ok(PASSED)
}

async fn down(config: &Config, runs: &[String], all: bool) -> Result<u8, Failed> {
    let found = found(config)?;
    if let Some(unknown) = runs.iter().find(|run| !found.iter().any(|found| found.id == **run)) {
        return Err((miette::miette!(help = "`k3s-arc list` shows the runs there are", "there is no run {unknown}"), USAGE));
    }
    let wanted = |run: &&cluster::Found| match (runs, all) {
        ([], false) => run.serves,
        ([], true) => run.serves || !run.active,
        (named, _) => named.contains(&run.id),
    };
    for run in found.iter().filter(wanted) {
        // By its id it is removed whoever uses it.
        let unused = run.unused();
        if runs.is_empty() && unused.is_none() {
            progress::print(&format!(
                "another run uses a cluster of run {0}; `k3s-arc down {0}` removes it all the same",
                run.id
            ));
            continue;
        }
        let removed = run.remove().await.map_err(|error| (Report::new(error), ENVIRONMENT))?;
        progress::print(&format!("removed run {}", run.id));
        removed.iter().for_each(|removed| progress::print(&format!("  {removed}")));
    }
    if all {
        let orphans = cluster::remove_orphans().await.map_err(|error| (error.into(), ENVIRONMENT))?;
        orphans.iter().for_each(|removed| progress::print(&format!("removed {removed}, of a run that nobody knows any more")));
    }
    Ok(PASSED)
}
