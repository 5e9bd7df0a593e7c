//! What k3s-arc takes, as its users call it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use miette::{IntoDiagnostic as _, miette};
use tokio::process::Command;

use crate::{Figures, Way, median, pod};

/// How many tests are run to see what one costs.
const TESTS: usize = 5;
/// Between two looks at the memory of a process.
const LOOK: Duration = Duration::from_millis(20);

/// The program, and runs of its own.
pub(crate) struct Program {
    path: PathBuf,
    k3s: String,
    parent: tempfile::TempDir,
}

/// What the program said, and took.
struct Said {
    text: String,
    seconds: f64,
    memory: u64,
}

impl Program {
    /// Builds it, as `cargo run` would.
    pub(crate) async fn build(k3s: &str) -> miette::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = Command::new("cargo").args(["build", "--locked"]).current_dir(&workspace).status().await;
        if !built.into_diagnostic()?.success() {
            return Err(miette!("k3s-arc could not be built"));
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
        let path = target.join("debug/k3s-arc").canonicalize().into_diagnostic()?;
        Ok(Self { path, k3s: k3s.to_owned(), parent: tempfile::tempdir().into_diagnostic()? })
    }

    /// From nothing to a cluster that serves: a new pod with a new claim has run on it, and a name has resolved. It is removed after.
    pub(crate) async fn boot(&self, way: Way) -> miette::Result<Figures> {
        let said = self.up(way).await;
        self.down().await?;
        let said = said?;
        Ok(Figures { seconds: said.seconds, per_test: None, memory: said.memory })
    }

    /// Leaves a cluster for the measurements on one that is kept.
    pub(crate) async fn keep(&self) -> miette::Result<()> {
        self.up(Way::Warm).await.map(|_| ())
    }

    /// From the start of the program to a new pod with a new claim that runs on a kept cluster; and what a test costs there.
    pub(crate) async fn attached(&self) -> miette::Result<Figures> {
        let said = self.up(Way::Attached).await?;
        let started = Instant::now();
        let kubeconfig = said.text.lines().find_map(|line| line.strip_prefix("export KUBECONFIG="));
        let kubeconfig = kubeconfig.ok_or_else(|| miette!("`up` names no kubeconfig: {}", said.text))?;
        let client = pod::client(&std::fs::read_to_string(kubeconfig).into_diagnostic()?, None).await?;
        pod::runs(&client).await?;
        let seconds = said.seconds + started.elapsed().as_secs_f64();
        pod::gone(&client).await?;
        let mut tests = Vec::new();
        for _ in 0..TESTS {
            tests.push(self.run(Way::Attached, &["validate", "readiness::api"]).await?.seconds);
        }
        Ok(Figures { seconds, per_test: Some(median(tests)), memory: said.memory })
    }

    /// Removes everything.
    pub(crate) async fn down(&self) -> miette::Result<()> {
        self.run(Way::Warm, &["down", "--all"]).await.map(|_| ())
    }

    async fn up(&self, way: Way) -> miette::Result<Said> {
        self.run(way, &["up", "--detach"]).await
    }

    async fn run(&self, way: Way, arguments: &[&str]) -> miette::Result<Said> {
        let started = Instant::now();
        let mut command = Command::new(&self.path);
        command.args(arguments).env("K3S_ARC_RUN_DIR", self.parent.path().join("runs"));
        command.envs([("K3S_ARC_PROVIDER", "docker"), ("K3S_ARC_K3S", self.k3s.as_str())]);
        command.env("K3S_ARC_CACHE", if way == Way::Cold { "never" } else { "use" }).env_remove("K3S_ARC_KEEP");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().into_diagnostic()?;
        let status = child.id().map(|pid| PathBuf::from(format!("/proc/{pid}/status")));
        let mut memory = 0;
        while child.try_wait().into_diagnostic()?.is_none() {
            memory = memory.max(status.as_deref().and_then(most_memory).unwrap_or_default());
            tokio::time::sleep(LOOK).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        let output = child.wait_with_output().await.into_diagnostic()?;
        if !output.status.success() {
            return Err(miette!("k3s-arc {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Said { text: String::from_utf8_lossy(&output.stdout).into_owned(), seconds, memory })
    }
}

/// The most memory that a process has had so far, in bytes.
pub(crate) fn most_memory(status: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}
