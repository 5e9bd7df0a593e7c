//! Whether the emulator's verdicts are a real K3s's: every check asked of both, as they are and with each fault that makes some of them
//! fail, in a table.

mod faults;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use k3s_arc_harness::check::{self, Access, Check};
use k3s_arc_harness::cluster::ClusterSpec;
use k3s_arc_harness::config::{Config, ProviderChoice};
use k3s_arc_harness::fixture::{self, Fixture, FixtureError};
use miette::miette;

use faults::{FAULTS, Fault};

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only faults whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Leave out the healthy clusters.
    #[arg(long)]
    faults_only: bool,
}

/// How many checks are asked at once.
const AT_ONCE: usize = 4;

/// A verdict as far as it is to be the same: passed or not, and what must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed(String),
    NotAsked(String),
}

impl Verdict {
    fn word(&self) -> &str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::NotAsked(_) => "not asked",
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

/// By situation (no fault, or a fault's name) and check.
type Verdicts = BTreeMap<(String, String), Verdict>;

const HEALTHY: &str = "";

/// Asks both and prints the table; an error when some verdicts differ.
pub(crate) async fn run(arguments: &Arguments) -> miette::Result<()> {
    let wanted: Vec<&Fault> =
        FAULTS.iter().filter(|fault| arguments.only.as_ref().is_none_or(|only| fault.name.contains(only.as_str()))).collect();
    let mut asked = Vec::new();
    for provider in [ProviderChoice::Emulator, ProviderChoice::Docker] {
        let started = Instant::now();
        asked.push(ask(provider, &wanted, !arguments.faults_only).await?);
        eprintln!("{provider:?}: {:.0} s", started.elapsed().as_secs_f64());
    }
    fixture::finish().await;
    let [emulated, real] = asked.as_slice() else { return Err(miette!("two clusters are compared")) };
    let unlike = print(emulated, real);
    if unlike == 0 { Ok(()) } else { Err(miette!("{unlike} verdicts are not alike")) }
}

async fn ask(provider: ProviderChoice, wanted: &[&Fault], healthy: bool) -> miette::Result<Verdicts> {
    let mut config = Config::from_env()?;
    config.provider = provider;
    let spec = ClusterSpec::new(config.k3s.clone()).private("compare");
    let fixture = Fixture::with_spec(config, spec, Access::Alone).await?;
    fixture.launched().await?;
    let mut verdicts = Verdicts::new();
    if healthy {
        let (last, first): (Vec<_>, Vec<_>) = check::all().into_iter().partition(|check| check.access == Access::Alone);
        record(&mut verdicts, HEALTHY, &fixture, &first).await;
        for check in last.into_iter().filter(|check| check.name != check::launcher::LEAVES_NOTHING.name) {
            record(&mut verdicts, HEALTHY, &fixture, &[check]).await;
        }
    }
    let client = fixture.cluster().client();
    for fault in wanted {
        eprintln!("{provider:?}: {}", fault.name);
        (fault.inject)(client.clone()).await?;
        record(&mut verdicts, fault.name, &fixture, fault.checks).await;
        (fault.mend)(client.clone()).await?;
        faults::recovered(&client).await?;
    }
    if healthy {
        record(&mut verdicts, HEALTHY, &fixture, &[&check::launcher::LEAVES_NOTHING]).await;
    }
    Ok(verdicts)
}

async fn record(verdicts: &mut Verdicts, situation: &str, fixture: &Fixture, checks: &[&'static Check]) {
    let asked = stream::iter(checks.iter().copied()).map(|check| async move {
        let verdict = match fixture.ask(check).await {
            Ok(_) => Verdict::Passed,
            Err(FixtureError::Failed { failure, .. }) => Verdict::Failed(failure.to_string()),
            Err(error) => Verdict::NotAsked(error.to_string()),
        };
        (check.id(), verdict)
    });
    let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    verdicts.extend(answers.into_iter().map(|(check, verdict)| ((situation.to_owned(), check), verdict)));
}

/// Prints a line for each verdict; returns how many are not alike.
fn print(emulated: &Verdicts, real: &Verdicts) -> usize {
    println!("{:<32} {:<48} {:<10} {:<10} alike", "fault", "check", "emulator", "K3s");
    let mut unlike = 0;
    for (key @ (situation, check), verdict) in emulated {
        let missing = Verdict::NotAsked("it was not".into());
        let other = real.get(key).unwrap_or(&missing);
        let alike = verdict.is_like(other);
        let fault = if situation == HEALTHY { "none" } else { situation };
        println!("{fault:<32} {check:<48} {:<10} {:<10} {}", verdict.word(), other.word(), if alike { "yes" } else { "NO" });
        if !alike {
            unlike += 1;
            for (who, verdict) in [("emulator", verdict), ("K3s", other)] {
                if let Verdict::Failed(why) | Verdict::NotAsked(why) = verdict {
                    println!("    {who}: {}", why.replace('\n', "\n      "));
                }
            }
        }
    }
    println!("{} of {} verdicts are alike", emulated.len() - unlike, emulated.len());
    unlike
}

/// How long a cluster may take to be itself again.
const RECOVERY: Duration = Duration::from_secs(180);
