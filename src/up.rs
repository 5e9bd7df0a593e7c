//! `k3s-arc up`: a cluster to work with, until this program is interrupted, or in the background: the emulator's is then served by this program
//! started once more; that of Docker or Multipass is one that is kept, which any run that asks for an equal one uses.

use std::io::{BufRead, BufReader};
use std::os::unix::{fs::OpenOptionsExt, process::CommandExt};
use std::path::Path;
use std::process::{Command, Stdio};

use k3s_arc_harness::{
    check::Access,
    cluster::Serving,
    config::{Config, Keep, ProviderChoice},
    fixture::{self, Fixture},
};
use miette::Report;

use crate::{
    ENVIRONMENT, Failed, INTERRUPTED, PASSED, USAGE,
    arguments::Up,
    interrupt::interrupted,
    progress::{self, Progress},
    validate::chosen,
};

/// What is printed once it serves.
const LINES: usize = 3;

pub(crate) async fn run(config: Config, what: &Up) -> Result<u8, Failed> {
    let shown = Progress::start();
    let config = config.resolved_to_one().map_err(|error| (error.into(), USAGE))?;
    let (config, _) = chosen(config).await;
    if config.provider == ProviderChoice::Kubeconfig {
        let error = miette::miette!(help = "`--provider docker`, or emulator", "a cluster that exists needs no starting");
        return Err((error, USAGE));
    }
    if config.provider != ProviderChoice::Emulator {
        return keep(config, what, shown).await;
    }
    drop(shown);
    if what.detach { detach() } else { serve(&config, what).await }
}

/// Leaves a cluster that outlives this process, or waits until somebody asks it to end and removes the cluster.
async fn keep(config: Config, what: &Up, shown: Progress) -> Result<u8, Failed> {
    let (place, port) = match config.provider {
        ProviderChoice::Multipass => ("in a VM", "K3s's own"),
        _ => ("in Docker", "a free one"),
    };
    if what.port != 0 {
        return Err((miette::miette!(help = "leave --port out", "the port of a cluster {place} is {port}"), USAGE));
    }
    let how_long = if what.detach {
        let hours = config.keep_for.as_secs_f64() / 3600.0;
        format!("kept for {hours} h after its last use; `k3s-arc list` shows it, `k3s-arc down --all` removes it")
    } else {
        "until this is interrupted".to_owned()
    };
    let made = tokio::select! {
        made = Fixture::new(Config { keep: Keep::Always, ..config }, Access::Shared) => made,
        () = interrupted() => {
            fixture::remove().await;
            return Err((Report::msg("interrupted; what was made is removed"), INTERRUPTED));
        }
    };
    let fixture = match made {
        Ok(fixture) => fixture,
        Err(error) => {
            fixture::remove().await;
            let code = if error.is_input() { USAGE } else { ENVIRONMENT };
            return Err((error.into(), code));
        }
    };
    drop(shown);
    let cluster = fixture.cluster();
    let mut kubeconfig = cluster.kubeconfig().to_owned();
    if let Some(path) = &what.write_kubeconfig {
        if let Err(error) = copy_kubeconfig(&kubeconfig, path) {
            drop(fixture);
            fixture::remove().await;
            return Err((Report::msg(format!("writing {}: {error}", path.display())), ENVIRONMENT));
        }
        kubeconfig.clone_from(path);
    }
    progress::print(&format!(
        "K3s {} {place}, {how_long}\nthe stand-in's image on it: {}\nexport KUBECONFIG={}",
        cluster.version(),
        cluster.standin_image(),
        kubeconfig.display()
    ));
    if what.detach {
        return Ok(PASSED);
    }
    interrupted().await;
    if let Some(path) = &what.write_kubeconfig {
        // A file that cannot be removed leads nowhere now.
        let _ = std::fs::remove_file(path);
    }
    drop(fixture);
    fixture::remove().await;
    Ok(PASSED)
}

/// For this user alone, and never over another: that may lead to other clusters too.
fn copy_kubeconfig(from: &Path, to: &Path) -> std::io::Result<()> {
    let text = std::fs::read(from)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::Write::write_all(&mut file, &text)
}

async fn serve(config: &Config, what: &Up) -> Result<u8, Failed> {
    let serving = Serving::start(config, what.port, what.write_kubeconfig.clone())
        .await
        .map_err(|error| (Report::new(error), ENVIRONMENT))?;
    progress::print(&format!(
        "emulated K3s at {}, run {}\nthe stand-in's image on it: {}\nexport KUBECONFIG={}",
        serving.url(),
        serving.id(),
        serving.standin_image(),
        serving.kubeconfig().display()
    ));
    interrupted().await;
    serving.stop().await;
    Ok(PASSED)
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
