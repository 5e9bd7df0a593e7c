//! `k3s-arc validate`: the checks of the e2e suite, asked by one process of one cluster after another, and a report of each.

use std::time::Instant;

use crate::{
    ENVIRONMENT, FAILED, Failed, INTERRUPTED, PASSED, USAGE, arguments::Validate, interrupt::interrupted, progress,
    progress::Progress,
};
use futures::{StreamExt, stream};
use k3s_arc_harness::{
    check::{self, Access, Check},
    cluster::{Capability, Choice, choose},
    config::Config,
    fixture::{self, Fixture, FixtureError},
    report::{self, Column, Line, Report, Verdict},
};

/// How many checks are asked at once of a K3s. They wait for the cluster more than they work; with more of them, the
/// cluster's two cores are what each waits for.
const AT_ONCE: usize = 4;
/// And of an emulated one, whose pods cost next to nothing.
const AT_ONCE_EMULATED: usize = 12;

pub(crate) async fn run(config: Config, what: &Validate) -> Result<u8, Failed> {
    let checks = selected(&what.checks)?;
    let shown = Progress::start();
    let configs = config.resolved().map_err(|error| (error.into(), USAGE))?;
    let several = configs.len() > 1;
    let mut asked = Vec::new();
    for config in configs {
        let k3s = config.k3s.to_string();
        if several {
            tracing::info!(target: "k3s_arc::validate", "validating {k3s}");
        }
        let outcome = tokio::select! {
            outcome = validate(config, checks.clone()) => Some(outcome),
            () = interrupted() => None,
        };
        tracing::info!(target: "k3s_arc::clean", "removing what the run made");
        tokio::select! {
            () = fixture::finish() => {}
            () = interrupted() => {
                let help = "it goes on in the background; `k3s-arc list` shows whether it is over";
                return Err((miette::miette!(help = help, "interrupted while the run's things were removed"), INTERRUPTED));
            }
        }
        let report = match outcome {
            Some(Ok(report)) => {
                shown.print(report::render(&report, progress::width(), what.evidence).trim_end());
                Some(report)
            }
            Some(Err(error)) if error.is_input() => return Err((error.into(), USAGE)),
            Some(Err(error)) if several => {
                // The others may still be had.
                shown.print_error(&format!("{k3s}: {:?}", miette::Report::from(error)));
                None
            }
            Some(Err(error)) => return Err((error.into(), ENVIRONMENT)),
            None => return Err((miette::miette!("interrupted; what the run made is removed"), INTERRUPTED)),
        };
        asked.push((k3s, report));
    }
    if several {
        let columns: Vec<_> = asked.iter().map(|(k3s, report)| Column { k3s: k3s.clone(), report: report.as_ref() }).collect();
        shown.print(&format!("\n{}", report::compare(&columns, progress::width())));
    }
    Ok(code(asked.iter().map(|(_, report)| report.as_ref())))
}

/// The exit code of several validations: a check that failed is an answer, and counts before one that could not be had.
fn code<'a>(reports: impl Iterator<Item = Option<&'a Report>>) -> u8 {
    let codes = reports.map(|report| match report {
        Some(report) if report.passed() => PASSED,
        Some(_) => FAILED,
        None => ENVIRONMENT,
    });
    codes.reduce(|one, other| if one == FAILED || other == FAILED { FAILED } else { one.max(other) }).unwrap_or(PASSED)
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
        fixture::check_inputs(&config).await?;
    }
    let fixture = Fixture::new(config.clone(), Access::Shared).await?;
    let launcher = if on_arc && fixture.cluster().can(Capability::Launch) {
        Some(fixture.launched().await?).map(|outcome| (outcome.image, outcome.standin))
    } else {
        None
    };
    let at_once = if fixture.cluster().is_emulated() { AT_ONCE_EMULATED } else { AT_ONCE };
    let mut lines: Vec<Line> = stream::iter(shared).map(|check| ask(&fixture, check)).buffered(at_once).collect().await;
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
        is_k3s: cluster.can(Capability::K3s),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k3s_arc_harness::check::Area;

    use super::*;

    fn report(verdict: Verdict) -> Report {
        let line = Line { area: Area::Dns, check: "cluster_ip", question: "?", verdict, took: Duration::ZERO };
        let k3s = "v1.34.1+k3s1".to_owned();
        Report {
            k3s,
            provider: "docker",
            is_k3s: true,
            emulated: false,
            choice: None,
            launcher: None,
            lines: vec![line],
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_failed_check_counts_before_a_cluster_that_could_not_be_had() {
        let passed = report(Verdict::NotApplicable("no node".to_owned()));
        let failed = report(Verdict::NotAsked("the launch failed".to_owned()));
        assert_eq!(code([Some(&passed), Some(&passed)].into_iter()), PASSED);
        assert_eq!(code([Some(&passed), None].into_iter()), ENVIRONMENT);
        assert_eq!(code([None, Some(&failed), Some(&passed)].into_iter()), FAILED);
        assert_eq!(code([Some(&failed), None].into_iter()), FAILED);
    }
}
