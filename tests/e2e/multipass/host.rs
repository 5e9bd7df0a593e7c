//! A host with a Multipass of its own, whose machines no other test sees.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Which image machines are made of, as `tests/multipass` has it.
const IMAGE: (&str, &str) = ("FAKE_MULTIPASS_IMAGE", "debian:12");

/// Within this, what a run made is gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// What this host lacks to have machines.
pub(super) fn lacks_machines() -> Option<String> {
    if !directory().join("multipass").exists() {
        return Some("the multipass of the tests is not built: cargo build -p k3s-arc-fake-multipass".to_owned());
    }
    let image = std::env::var(IMAGE.0).unwrap_or_else(|_| IMAGE.1.to_owned());
    let found = Command::new("docker").args(["image", "inspect", &image]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = found.is_ok_and(|status| status.success());
    (!is_there).then(|| format!("machines are made of Docker's image {image}, which is not at hand: docker pull {image}"))
}

/// What this host lacks to have K3s in them.
pub(super) fn lacks_k3s() -> Option<String> {
    let needed = "K3s is installed from the files of its release, which K3S_ARC_AIRGAP_DIR is to name";
    lacks_machines().or_else(|| std::env::var_os("K3S_ARC_AIRGAP_DIR").is_none().then(|| needed.to_owned()))
}

/// Where cargo puts this workspace's programs.
fn directory() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_k3s-arc")).parent().unwrap_or(Path::new("/"))
}

/// A host.
pub(super) struct Host {
    name: String,
    parent: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Host {
    pub(super) fn new() -> Self {
        static HOSTS: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), HOSTS.fetch_add(1, Ordering::Relaxed));
        Self { name, parent: tempfile::tempdir().expect("a temporary directory"), variables: Vec::new() }
    }

    /// The same, with a variable for all that runs on it but [`multipass`](Self::multipass).
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// A file for what a program prints.
    pub(super) fn log(&self) -> PathBuf {
        self.parent.path().join("log")
    }

    /// The run directory.
    fn runs(&self) -> PathBuf {
        self.parent.path().join("runs")
    }

    /// A command on this host.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([directory().to_owned()].into_iter().chain(std::env::split_paths(&path)));
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path.expect("a PATH")).env("FAKE_MULTIPASS_HOST", &self.name);
        command
    }

    /// This program, with small VMs, in a process group of its own.
    pub(super) fn k3s_arc(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_k3s-arc")), arguments);
        command.env("K3S_ARC_PROVIDER", "multipass").env("K3S_ARC_RUN_DIR", self.runs());
        command.env("XDG_STATE_HOME", self.parent.path().join("state"));
        command.envs([("K3S_ARC_MULTIPASS_CPUS", "1"), ("K3S_ARC_MULTIPASS_MEMORY", "2G"), ("K3S_ARC_MULTIPASS_DISK", "5G")]);
        // Not a part of the run that this test belongs to.
        command.env_remove("NEXTEST").env_remove("NEXTEST_RUN_ID").env_remove("K3S_ARC_KEEP");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).process_group(0);
        command
    }

    /// Runs this program, and gives its exit code and all that it printed, on one line: reports are wrapped, wherever that is.
    pub(super) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.k3s_arc(arguments).output().expect("the program starts");
        (output.status.code(), text(&output).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// What `multipass` prints, which must succeed, without the faults that were asked for.
    pub(super) fn multipass(&self, arguments: &[&str]) -> String {
        let output = self.command(&directory().join("multipass"), arguments).output().expect("it starts");
        assert!(output.status.success(), "multipass {arguments:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The machines that there are, and their states.
    pub(super) fn machines(&self) -> Vec<(String, String)> {
        let told = self.multipass(&["list", "--format", "json"]);
        let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
        let text = |machine: &serde_json::Value, key: &str| machine[key].as_str().unwrap_or_default().to_owned();
        told["list"].as_array().into_iter().flatten().map(|machine| (text(machine, "name"), text(machine, "state"))).collect()
    }

    /// What is there but these machines, in words.
    fn left(&self, others: &[(&str, &str)]) -> Vec<String> {
        let machines = self.machines().into_iter();
        let machines =
            machines.filter(|(name, state)| !others.contains(&(name, state))).map(|(name, state)| format!("{name}, {state}"));
        let runs = fs::read_dir(self.runs()).into_iter().flatten().flatten().map(|run| run.path().display().to_string());
        machines.chain(runs).collect()
    }

    /// All that runs made must be gone soon, and others' machines as they were.
    pub(super) async fn assert_nothing_is_left_but(&self, others: &[(&str, &str)]) {
        let since = Instant::now();
        loop {
            let left = self.left(others);
            if left.is_empty() {
                break;
            }
            assert!(since.elapsed() < GONE_WITHIN, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let machines = self.machines();
        for (name, state) in others {
            let is_there = machines.iter().any(|(its_name, its_state)| its_name == name && its_state == state);
            assert!(is_there, "{name} is somebody else's, and was {state}: {machines:?}");
        }
    }

    /// Waits until there is a machine that is so, and gives its name.
    pub(super) async fn machine_that_is(&self, wanted: &str, but: &[&str]) -> String {
        let since = Instant::now();
        loop {
            let machines = self.machines().into_iter();
            let mut found = machines.filter(|(name, state)| state == wanted && !but.contains(&name.as_str()));
            if let Some((name, _)) = found.next() {
                return name;
            }
            assert!(since.elapsed() < GONE_WITHIN, "no machine is {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The container that a machine is.
    pub(super) fn container(&self, machine: &str) -> String {
        format!("multipass.{}.{machine}", self.name)
    }
}

/// A test that fails leaves nothing either.
impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.k3s_arc(&["down", "--all"]).env_remove("FAKE_MULTIPASS_FAULTS").output();
        let names: Vec<String> = self.machines().into_iter().map(|(name, _)| name).collect();
        let arguments = ["delete", "--purge"].into_iter().chain(names.iter().map(String::as_str));
        if !names.is_empty() {
            let _ = self.command(&directory().join("multipass"), &arguments.collect::<Vec<_>>()).output();
        }
    }
}

/// All that a command printed.
pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
