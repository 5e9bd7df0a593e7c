//! `k3s-arc up`: a cluster that is served until somebody ends it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use k3s_arc_harness::{
    cluster::Serving,
    config::{Config, ProviderChoice},
};
use miette::Report;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    ENVIRONMENT, Failed, PASSED, USAGE,
    arguments::Up,
    progress::{self, Progress},
    validate::chosen,
};

/// What is printed once it serves.
const LINES: usize = 3;

pub(crate) async fn run(config: Config, what: &Up) -> Result<u8, Failed> {
    let shown = Progress::start();
    let (config, _) = chosen(config).await;
    drop(shown);
    if config.provider != ProviderChoice::Emulator {
        let error = miette::miette!(help = "add `--provider emulator`", "`up` serves the emulator only, so far");
        return Err((error, USAGE));
    }
    if what.detach { detach() } else { serve(&config, what).await }
}

async fn serve(config: &Config, what: &Up) -> Result<u8, Failed> {
    let serving =
        Serving::start(config, what.port, what.kubeconfig.clone()).await.map_err(|error| (Report::new(error), ENVIRONMENT))?;
    progress::print(&format!(
        "emulated K3s at {}, run {}\nthe stand-in's image on it: {}\nexport KUBECONFIG={}",
        serving.url(),
        serving.id(),
        serving.standin_image(),
        serving.kubeconfig().display()
    ));
    let ended = ended().await;
    serving.stop().await;
    ended.map(|()| PASSED).map_err(|error| (Report::msg(format!("waiting for a signal: {error}")), ENVIRONMENT))
}

/// Returns when somebody asks this process to end.
async fn ended() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

/// Starts this program again, in the background, and returns when that one serves.
fn detach() -> Result<u8, Failed> {
    let failed = |attempted: &str, error: std::io::Error| (Report::msg(format!("{attempted}: {error}")), ENVIRONMENT);
    let program = std::env::current_exe().map_err(|error| failed("finding this program", error))?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut command = Command::new(program);
    // A process group of its own: a Ctrl-C in this terminal is not meant for it.
    command.args(arguments).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed("starting in the background", error))?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        lines.extend(BufReader::new(output).lines().map_while(Result::ok).take(LINES));
    }
    if lines.len() == LINES {
        progress::print(&lines.join("\n"));
        return Ok(PASSED);
    }
    // It ended, and said why.
    let output = child.wait_with_output().map_err(|error| failed("waiting for it", error))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(ENVIRONMENT);
    Err((Report::msg(format!("it did not start in the background\n{said}")), code))
}
