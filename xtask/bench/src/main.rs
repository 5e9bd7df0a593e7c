//! How long it takes until a new pod with a new claim runs: from a bare `docker run`, by testcontainers' K3s module, and by k3s-arc: cold,
//! from its cache, and on a cluster that was kept. Nothing of a measurement outlives it.
//!
//! `cargo run --manifest-path xtask/bench/Cargo.toml` prints the table; `--output DIR` also keeps it, every figure, and a plot.

#![allow(clippy::print_stdout)] // What it finds out is for the terminal.

mod ours;
mod peers;
mod plot;
mod pod;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use comfy_table::Table;
use miette::{Context as _, IntoDiagnostic as _};
use serde::Serialize;

use crate::ours::Program;

#[derive(Parser)]
#[command(version, about = "How long it takes until a new pod with a new claim runs")]
struct Arguments {
    /// The K3s image, which the Docker Engine must have
    #[arg(long, default_value = "rancher/k3s:v1.34.1-k3s1")]
    k3s: String,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure only these
    #[arg(long)]
    only: Vec<Way>,
    /// Where to keep the table, the figures and the plot
    #[arg(long)]
    output: Option<PathBuf>,
}

/// A way to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
enum Way {
    /// `docker run`, and then no mistake.
    Raw,
    /// testcontainers-modules.
    Peer,
    /// k3s-arc without its cache.
    Cold,
    /// k3s-arc from its cache.
    Warm,
    /// k3s-arc on a cluster that was kept.
    Attached,
}

impl Way {
    const ALL: [Self; 5] = [Self::Raw, Self::Peer, Self::Cold, Self::Warm, Self::Attached];

    fn name(self) -> &'static str {
        match self {
            Self::Raw => "docker run",
            Self::Peer => "testcontainers-modules",
            Self::Cold => "k3s-arc, cold",
            Self::Warm => "k3s-arc, warm",
            Self::Attached => "k3s-arc, attached",
        }
    }
}

/// What one measurement gives.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    /// From nothing to a new pod with a new claim that runs, in seconds.
    seconds: f64,
    /// A whole run of one small test, in seconds: its process, its lease, its namespace, its teardown.
    per_test: Option<f64>,
    /// The most memory that the program had, in bytes; 0 where there is none to speak of.
    memory: u64,
}

#[tokio::main]
async fn main() -> miette::Result<()> {
    let arguments = Arguments::parse();
    let program = Program::build(&arguments.k3s).await?;
    let (kept, booted): (Vec<Way>, Vec<Way>) = Way::ALL
        .into_iter()
        .filter(|way| arguments.only.is_empty() || arguments.only.contains(way))
        .partition(|way| *way == Way::Attached);
    if booted.contains(&Way::Warm) {
        // The first one fills the cache, and does not count.
        program.boot(Way::Warm).await?;
    }
    let mut measured: Vec<(Way, Vec<Figures>)> = booted.iter().map(|way| (*way, Vec::new())).collect();
    for round in 1..=arguments.rounds {
        // In turn, so that what else the machine does meets all of them.
        for (way, figures) in &mut measured {
            let found =
                measure(*way, &arguments.k3s, &program).await.wrap_err_with(|| format!("{}, round {round}", way.name()))?;
            println!("round {round}: {}: {:.1} s", way.name(), found.seconds);
            figures.push(found);
        }
    }
    // What is kept takes a part of the machine, so the others are measured before.
    for way in kept {
        let figures = attached(&program, arguments.rounds).await;
        program.down().await?;
        measured.push((way, figures?));
    }
    let table = table(&measured);
    println!("{table}");
    if let Some(directory) = &arguments.output {
        std::fs::create_dir_all(directory).into_diagnostic()?;
        std::fs::write(directory.join("boots.txt"), format!("{table}\n")).into_diagnostic()?;
        std::fs::write(directory.join("boots.json"), serde_json::to_string_pretty(&measured).into_diagnostic()?)
            .into_diagnostic()?;
        plot::write(&directory.join("boots.svg"), &measured)?;
    }
    Ok(())
}

async fn measure(way: Way, k3s: &str, program: &Program) -> miette::Result<Figures> {
    // Those two are measured in this process, which has had other work before: its memory says nothing of them.
    let seconds = match way {
        Way::Raw => peers::raw(k3s).await?,
        Way::Peer => peers::testcontainers(k3s).await?,
        Way::Cold | Way::Warm => return program.boot(way).await,
        Way::Attached => return program.attached().await,
    };
    Ok(Figures { seconds, per_test: None, memory: 0 })
}

/// Keeps a cluster, and measures on it.
async fn attached(program: &Program, rounds: usize) -> miette::Result<Vec<Figures>> {
    program.keep().await?;
    let mut figures = Vec::new();
    for round in 1..=rounds {
        let found = program.attached().await?;
        println!("round {round}: {}: {:.1} s", Way::Attached.name(), found.seconds);
        figures.push(found);
    }
    Ok(figures)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(measured: &[(Way, Vec<Figures>)]) -> Table {
    let seconds = |figures: &[Figures]| figures.iter().map(|figures| figures.seconds).collect::<Vec<_>>();
    let peer = measured.iter().find(|(way, _)| *way == Way::Peer).map(|(_, figures)| median(seconds(figures)));
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "until a new pod with a new claim runs",
        "median",
        "best",
        "worst",
        "of the peer's",
        "memory",
        "a run of one test",
    ]);
    for (way, figures) in measured {
        let all = seconds(figures);
        let middle = median(all.clone());
        let memory = figures.iter().map(|figures| figures.memory).max().unwrap_or_default();
        let per_test: Vec<f64> = figures.iter().filter_map(|figures| figures.per_test).collect();
        table.add_row([
            way.name().to_owned(),
            format!("{middle:.1} s"),
            format!("{:.1} s", all.iter().copied().fold(f64::INFINITY, f64::min)),
            format!("{:.1} s", all.iter().copied().fold(0.0, f64::max)),
            peer.map_or_else(String::new, |peer| format!("{:.2}", middle / peer)),
            if memory == 0 { String::new() } else { format!("{} MB", memory / 1_000_000) },
            if per_test.is_empty() { String::new() } else { format!("{:.0} ms", median(per_test) * 1000.0) },
        ]);
    }
    table
}
