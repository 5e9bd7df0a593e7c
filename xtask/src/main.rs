//! Makes what is generated in this workspace. `cargo run -p k3s-arc-xtask -- help` lists it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // What it finds out is for the terminal.

mod boot;
mod cluster;
mod compare;
mod figures;
mod proto;
mod record;
mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use miette::IntoDiagnostic as _;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the emulator's table of types from a running K3s.
    Schema(schema::Arguments),
    /// Write the emulator's table of protobuf messages from Kubernetes' sources.
    Proto(proto::Arguments),
    /// Write the objects of a new cluster from a running K3s.
    Boot(boot::Arguments),
    /// Measure a cluster's API: an emulator's, or that of a kubeconfig.
    Figures(figures::Arguments),
    /// Ask every check of the emulator and of a real K3s, with and without faults, and compare the verdicts.
    Compare(compare::Arguments),
    /// Serve an emulator, for `figures`.
    #[command(hide = true)]
    Serve(figures::Serve),
    /// Play the scripts of API exchanges to a real cluster and keep its answers.
    Record(record::Arguments),
    /// Play them to any cluster and say how alike its answers are.
    Replay(record::Arguments),
}

fn main() -> miette::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().into_diagnostic()?;
    runtime.block_on(run(Arguments::parse().task))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(task: Task) -> miette::Result<()> {
    match task {
        Task::Schema(arguments) => schema::run(&arguments).await,
        Task::Proto(arguments) => proto::run(&arguments),
        Task::Boot(arguments) => boot::run(&arguments).await,
        Task::Figures(arguments) => figures::run(&arguments).await,
        Task::Compare(arguments) => compare::run(&arguments).await,
        Task::Serve(arguments) => figures::serve(&arguments).await,
        Task::Record(arguments) => record::record(&arguments).await,
        Task::Replay(arguments) => record::replay(&arguments).await,
    }
}
