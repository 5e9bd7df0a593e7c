//! `k3s-arc validate`: the checks of the e2e suite, asked by one process of one cluster, and a report.

use std::time::Instant;

use futures::{StreamExt, stream};
use k3s_arc_harness::{
    check::{self, Access, Check},
    cluster::{Choice, choose},
    config::Config,
    fixture::{self, Fixture, FixtureError},
    launcher::{LaunchError, LaunchOptions},
    report::{self, Line, Report, Verdict},
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{ENVIRONMENT, FAILED, Failed, INTERRUPTED, PASSED, USAGE, arguments::Validate, progress, progress::Progress};

/// How many checks are asked at once. They wait for the cluster more than they work; with more of them, the
/// cluster's two cores are what each waits for.
const AT_ONCE: usize = 4;

pub(crate) async fn run(config: Config, what: &Validate) -> Result<u8, Failed> {
    let checks = selected(&what.checks)?;
    let shown = Progress::start();
    let outcome = tokio::select! {
        outcome = validate(config, checks) => Some(outcome),
        () = interrupted() => None,
    };
    tracing::info!(target: "k3s_arc::clean", "removing what the run made");
    tokio::select! {
        () = fixture::finish() => {}
        () = interrupted() => {
            drop(shown);
            let help = "it goes on in the background; `k3s-arc list` shows whether it is over";
            return Err((miette::miette!(help = help, "interrupted while the run's things were removed"), INTERRUPTED));
        }
    }
    drop(shown);
    match outcome {
        Some(Ok(report)) => {
            progress::print(report::render(&report, width(), what.evidence).trim_end());
            Ok(if report.passed() { PASSED } else { FAILED })
        }
        Some(Err(error)) => {
            let code = if error.is_input() { USAGE } else { ENVIRONMENT };
            Err((error.into(), code))
        }
        None => Err((miette::miette!("interrupted; what the run made is removed"), INTERRUPTED)),
    }
}

/// The checks whose id contains one of the texts; all, if there are none.
fn selected(texts: &[String]) -> Result<Vec<&'static Check>, Failed> {
    let all = check::all();
    if let Some(unknown) = texts.iter().find(|text| !all.iter().any(|check| check.id().contains(*text))) {
        let ids: Vec<String> = all.iter().map(|check| check.id()).collect();
        let help = format!("the checks: {}", ids.join(", "));
        return Err((miette::miette!(help = help, "no check's name contains `{unknown}`"), USAGE));
    }
    let wanted = |check: &&Check| texts.is_empty() || texts.iter().any(|text| check.id().contains(text));
    Ok(all.into_iter().filter(wanted).collect())
}

async fn validate(config: Config, checks: Vec<&'static Check>) -> Result<Report, FixtureError> {
    let started = Instant::now();
    let (config, choice) = chosen(config).await;
    let (alone, shared): (Vec<_>, Vec<_>) = checks.into_iter().partition(|check| check.access == Access::Alone);

    let on_arc = shared.iter().chain(&alone).any(|check| check.on_arc);
    if on_arc {
        // What is wrong with the inputs is said now, not after a boot.
        LaunchOptions::from_config(&config).stage().await.map_err(LaunchError::from)?;
    }
    let fixture = Fixture::new(config.clone(), Access::Shared).await?;
    let launcher = if on_arc { Some(fixture.launched().await?).map(|outcome| (outcome.image, outcome.standin)) } else { None };
    let mut lines: Vec<Line> = stream::iter(shared).map(|check| ask(&fixture, check)).buffered(AT_ONCE).collect().await;
    let cluster = fixture.cluster();
    drop(fixture);

    if !alone.is_empty() {
        let fixture = Fixture::new(config, Access::Alone).await?;
        for check in alone {
            lines.push(ask(&fixture, check).await);
        }
    }
    Ok(Report {
        k3s: cluster.version().to_owned(),
        provider: cluster.provider(),
        emulated: cluster.is_emulated(),
        choice,
        launcher,
        lines,
        took: started.elapsed(),
    })
}

/// The configuration with a provider that is chosen for good, and why it is that one where nobody said.
pub(crate) async fn chosen(config: Config) -> (Config, Option<String>) {
    let Choice { provider, why } = choose(&config).await;
    if let Some(why) = &why {
        tracing::info!(target: "k3s_arc::provider", "{why}");
    }
    (Config { provider, ..config }, why)
}

async fn ask(fixture: &Fixture, check: &'static Check) -> Line {
    tracing::info!(target: "k3s_arc::check", "{}: {}", check.id(), check.question);
    let started = Instant::now();
    let verdict = match fixture.ask(check).await {
        Ok(evidence) => Verdict::Passed(evidence),
        Err(FixtureError::Failed { failure, .. }) => Verdict::Failed(failure),
        Err(error @ FixtureError::NotApplicable { .. }) => Verdict::NotApplicable(error.to_string()),
        Err(error) => Verdict::NotAsked(error.to_string()),
    };
    Line { area: check.area, check: check.name, question: check.question, verdict, took: started.elapsed() }
}

/// Resolves when the user or the system asks the program to end, or the terminal is closed.
async fn interrupted() {
    let received = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => signal.recv().await,
            // Without a handler the signal ends the process, and the reaper cleans up.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = received(SignalKind::interrupt()) => {}
        _ = received(SignalKind::terminate()) => {}
        _ = received(SignalKind::hangup()) => {}
    }
}

/// How wide the report may be: the terminal's width, or enough for a log.
fn width() -> u16 {
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| columns);
    columns.unwrap_or(120).clamp(60, 160)
}
