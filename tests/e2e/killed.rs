//! A run that is killed, at whatever moment, leaves nothing, and harms neither the next run nor one beside it.
//!
//! `K3S_ARC_KILL_ROUNDS` says how often; the moments are spread over a whole run: its boot, its launch, its checks, its clean-up.

use std::{
    collections::HashMap,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use k3s_arc_harness::{
    cluster::docker,
    fixture::{Target, Verdict},
};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};

use crate::CONTAINER;

/// The label of everything that a run makes in Docker.
const DIRECTORY_LABEL: &str = "k3s-arc.directory";

/// Within this, everything is gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Who is killed, and how.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// The run alone.
    Run(Signal),
    /// All of its process group but the reaper, which has none of theirs: a shell's job, a closed terminal.
    Group(Signal),
    /// The reaper first, and then the run: what they leave is the next run's to sweep.
    ReaperToo,
}

const KILLS: [Kill; 6] = [
    Kill::Run(Signal::KILL),
    Kill::Group(Signal::KILL),
    Kill::Run(Signal::TERM),
    Kill::Group(Signal::HUP),
    Kill::ReaperToo,
    Kill::Group(Signal::INT),
];

/// Runs that share a directory, as those of one user do.
struct Runs {
    directory: PathBuf,
    /// Their temporary directory.
    temporary: PathBuf,
    provider: &'static str,
    _parent: tempfile::TempDir,
}

impl Runs {
    fn new(target: Target) -> Self {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let provider = if target == Target::Emulator { "emulator" } else { "docker" };
        let temporary = parent.path().join("tmp");
        fs::create_dir(&temporary).expect("a directory in it");
        Self { directory: parent.path().join("runs"), temporary, provider, _parent: parent }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_k3s-arc"));
        command.args(arguments).envs([("K3S_ARC_RUN_DIR", self.directory.as_os_str())]).env("K3S_ARC_PROVIDER", self.provider);
        command.env("TMPDIR", &self.temporary);
        // Not a part of the run that this test belongs to.
        command.env_remove("NEXTEST_RUN_ID").env_remove("K3S_ARC_KEEP");
        if self.provider == "emulator" {
            // The suite's may be one that the emulator does not play.
            command.env_remove("K3S_ARC_K3S");
        }
        command
    }

    /// A run that boots, launches, checks and cleans up, in a process group of its own.
    fn start(&self) -> Child {
        let mut command = self.command(&["validate", "readiness"]);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    }

    /// A short run, which is to pass.
    fn run_once(&self) {
        let output = self.command(&["validate", "readiness::api"]).output().expect("the program starts");
        assert!(output.status.success(), "the next run is harmed:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The ids of the runs that are there.
    fn ids(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        // Beside them is what a channel's server answered.
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// What is there but the run beside them, in words.
    async fn left(&self, beside: &Beside) -> Vec<String> {
        let ids = self.ids().into_iter().filter(|id| *id != beside.id);
        let mut left: Vec<String> = ids.map(|id| format!("directory of {id}")).collect();
        let files = fs::read_dir(&self.temporary).into_iter().flatten().flatten();
        left.extend(files.map(|file| format!("file {}", file.path().display())));
        let processes = self.processes().into_iter().filter(|process| !beside.processes.contains(process));
        left.extend(processes.map(|process| format!("process {process}")));
        if self.provider == "docker" {
            left.extend(self.in_docker().await.expect("the engine tells what there is"));
        }
        left
    }

    /// What these runs have in Docker.
    async fn in_docker(&self) -> Result<Vec<String>, testcontainers::bollard::errors::Error> {
        let engine = docker::client().await.expect("an engine");
        let labelled = HashMap::from([("label".to_owned(), vec![DIRECTORY_LABEL.to_owned()])]);
        let ours = |labels: &HashMap<String, String>| {
            labels.get(DIRECTORY_LABEL).is_some_and(|directory| Path::new(directory).starts_with(&self.directory))
        };
        let containers = ListContainersOptionsBuilder::default().all(true).filters(&labelled).build();
        let containers = engine.list_containers(Some(containers)).await?.into_iter();
        let containers = containers.filter(|found| found.labels.as_ref().is_some_and(ours)).filter_map(|found| found.names);
        let volumes = ListVolumesOptionsBuilder::default().filters(&labelled).build();
        let volumes = engine.list_volumes(Some(volumes)).await?.volumes.unwrap_or_default().into_iter();
        let volumes = volumes.filter(|found| ours(&found.labels)).map(|found| found.name);
        let networks = ListNetworksOptionsBuilder::default().filters(&labelled).build();
        let networks = engine.list_networks(Some(networks)).await?.into_iter();
        let networks = networks.filter(|found| found.labels.as_ref().is_some_and(ours)).filter_map(|found| found.name);
        Ok(containers.flatten().chain(volumes).chain(networks).collect())
    }

    /// The processes of these runs.
    fn processes(&self) -> Vec<Pid> {
        let mark = format!("K3S_ARC_RUN_DIR={}", self.directory.display());
        let of = |entry: fs::DirEntry| {
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()).then_some(pid)
        };
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(of).collect()
    }

    /// Kills a run.
    fn kill(&self, kill: Kill, child: &Child, beside: &Beside) {
        let run = Pid::from_child(child);
        // It may have ended meanwhile: then there is nothing to kill.
        let _ = match kill {
            Kill::Run(signal) => kill_process(run, signal),
            Kill::Group(signal) => kill_process_group(run, signal),
            Kill::ReaperToo => {
                let mut others = self.processes();
                others.retain(|process| *process != run && !beside.processes.contains(process));
                for reaper in &others {
                    let _ = kill_process(*reaper, Signal::KILL);
                }
                let killed = kill_process(run, Signal::KILL);
                // On a host that is busy they take a while to go, and until then they hold what the next run would take.
                while self.processes().iter().any(|process| others.contains(process)) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                killed
            }
        };
    }
}

/// A test that fails leaves nothing either.
impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.command(&["down", "--all"]).output();
    }
}

/// A run that nobody is to touch.
struct Beside {
    id: String,
    processes: Vec<Pid>,
}

fn rounds(target: Target) -> u32 {
    let asked = std::env::var("K3S_ARC_KILL_ROUNDS").ok();
    let asked = asked.map(|rounds| rounds.parse().expect("K3S_ARC_KILL_ROUNDS is a number"));
    asked.unwrap_or(if target == Target::Emulator { 6 } else { 2 })
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn at_any_moment_and_nothing_is_left(#[case] target: Target) -> Verdict {
    let runs = Runs::new(target);
    // One beside them, which is to be left alone. It serves an emulated cluster, whoever is killed.
    let served = runs.command(&["up", "--provider", "emulator", "--detach"]).output().expect("the program starts");
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));
    let beside = Beside { id: runs.ids().pop().expect("a run that serves"), processes: runs.processes() };

    // How long a run takes when nobody kills it.
    let started = Instant::now();
    assert!(runs.start().wait().expect("it can be waited for").success(), "a run that nobody kills passes");
    let whole = started.elapsed();

    let rounds = rounds(target);
    for round in 0..rounds {
        let kill = KILLS[round as usize % KILLS.len()];
        let moment = whole.mul_f64((f64::from(round) + fastrand::f64()) / f64::from(rounds));
        let mut child = runs.start();
        tokio::time::sleep(moment).await;
        runs.kill(kill, &child, &beside);
        child.wait().expect("it can be waited for");
        if matches!(kill, Kill::ReaperToo) {
            runs.run_once();
        }
        let killed = Instant::now();
        loop {
            let left = runs.left(&beside).await;
            if left.is_empty() {
                break;
            }
            assert!(killed.elapsed() < GONE_WITHIN, "{kill:?} after {moment:?} of {whole:?} leaves {left:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    runs.run_once();
    let list = runs.command(&["list"]).output().expect("the program starts");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains(&format!("{}  serving", beside.id)), "the run beside them was touched:\n{list}");
    let down = runs.command(&["down", &beside.id]).output().expect("the program starts");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert_eq!(runs.ids(), [""; 0]);
    Ok(())
}
