//! Recording what a real cluster answers, and comparing another with it.

use std::{path::PathBuf, time::Duration};

use k3s_arc_exchange::{Cluster, Recording, Script, compare, play};
use miette::miette;

/// Which cluster, and what of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kubeconfig of the cluster to ask.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Only these areas: names of scripts without `.yaml`.
    #[arg(long, visible_alias = "only")]
    area: Vec<String>,
    /// Where the scripts and recordings lie.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../emulator/tests/recordings"))]
    folder: PathBuf,
    /// How many seconds to wait where a controller is to act.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Say of each exchange that is not alike where it differs.
    #[arg(long)]
    differences: bool,
}

fn report(error: k3s_arc_exchange::Error) -> miette::Report {
    miette!("{error}")
}

impl Arguments {
    fn scripts(&self) -> miette::Result<Vec<(String, Script)>> {
        let mut scripts = Script::read_all(&self.folder).map_err(report)?;
        scripts.retain(|(area, _)| self.area.is_empty() || self.area.contains(area));
        if scripts.is_empty() { Err(miette!("no such script in {}", self.folder.display())) } else { Ok(scripts) }
    }

    async fn play(&self, script: &Script) -> miette::Result<Recording> {
        let cluster = Cluster::from_kubeconfig(&self.kubeconfig).map_err(report)?;
        play(&cluster, script, Duration::from_secs(self.patience)).await.map_err(report)
    }

    fn recording(&self, area: &str) -> PathBuf {
        self.folder.join(area).with_extension("json")
    }
}

/// Keeps the answers.
#[expect(clippy::print_stdout, reason = "what a task says is for people")]
pub(crate) async fn record(arguments: &Arguments) -> miette::Result<()> {
    for (area, script) in arguments.scripts()? {
        let recording = arguments.play(&script).await?;
        let errors = recording.answers.iter().filter(|answer| answer.answer["status"].as_u64() >= Some(400)).count();
        println!("{area:<20} {:>4} exchanges, {errors} errors, {}", recording.answers.len(), recording.version);
        for name in &recording.late {
            println!("  what is waited for does not come: {name}");
        }
        recording.write(&arguments.recording(&area)).map_err(report)?;
    }
    Ok(())
}

/// Compares the answers with those that were kept.
#[expect(clippy::print_stdout, reason = "what a task says is for people")]
pub(crate) async fn replay(arguments: &Arguments) -> miette::Result<()> {
    let (mut alike, mut all) = (0, 0);
    for (area, script) in arguments.scripts()? {
        let recorded = Recording::read(&arguments.recording(&area)).map_err(report)?;
        let outcomes = compare(&recorded, &arguments.play(&script).await?);
        let good = outcomes.iter().filter(|outcome| outcome.differences.is_empty()).count();
        println!("{area:<20} {good:>4} of {:>4} alike", outcomes.len());
        for outcome in outcomes.iter().filter(|outcome| !outcome.differences.is_empty()) {
            println!("  {}", outcome.name);
            for difference in outcome.differences.iter().take(if arguments.differences { usize::MAX } else { 0 }) {
                println!("      {difference}");
            }
        }
        alike += good;
        all += outcomes.len();
    }
    println!("{:<20} {alike:>4} of {all:>4} alike", "together");
    Ok(())
}
