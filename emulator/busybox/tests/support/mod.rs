//! A container of the image, for tests.
#![allow(dead_code, unreachable_pub)] // Each test uses what it needs of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k3s_arc_container::files::{Disk, Mount};
use k3s_arc_container::{Container, Cpu, Files, HostNet, Input, Killer, Memory, Output, Process, Processes, Signals, User};
use tempfile::TempDir;

/// A container, with its root.
pub struct Made {
    /// The container.
    pub container: Arc<Container>,
    /// Its root folder.
    pub root: TempDir,
    /// Its first process, if something else than what is tested.
    pub init: Option<k3s_arc_container::processes::Entry>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
}

/// A command that runs.
pub struct Running {
    /// Sends it signals.
    pub killer: Killer,
    /// What it has printed.
    pub stdout: Arc<Mutex<Vec<u8>>>,
    /// What it has complained.
    pub stderr: Arc<Mutex<Vec<u8>>>,
    /// Its end.
    pub task: tokio::task::JoinHandle<i32>,
}

/// Longer than any of these commands takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What must not fail in a test.
pub trait Must {
    /// What there is when it does not.
    type Value;

    /// The value; the test ends without.
    fn must(self, what: &str) -> Self::Value;
}

impl<T, E: std::fmt::Debug> Must for Result<T, E> {
    type Value = T;

    #[track_caller]
    fn must(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
}

impl<T> Must for Option<T> {
    type Value = T;

    #[track_caller]
    fn must(self, what: &str) -> T {
        match self {
            Some(value) => value,
            None => panic!("{what}"),
        }
    }
}

/// A container with this memory.
pub fn container(memory: Memory) -> Made {
    container_on(memory, Arc::new(HostNet))
}

/// A container on this network.
pub fn container_on(memory: Memory, net: Arc<dyn k3s_arc_container::Net>) -> Made {
    let image = k3s_arc_busybox::image();
    let root = tempfile::tempdir().must("a temporary directory");
    let mount = Mount { at: "/".into(), source: root.path().into(), lower: None, read_only: false };
    let files = Files::new(vec![mount], User::default(), Arc::new(Disk::default()));
    for directory in ["/etc", "/tmp", "/root"] {
        files.create_dir(directory).must("a directory");
    }
    for (path, content, mode) in &image.files {
        files.write(path, content).must("a file");
        files.set_mode(path, *mode).must("its mode");
    }
    let container = Container {
        files,
        net,
        memory: Arc::new(memory),
        cpu: Arc::new(Cpu::unlimited()),
        programs: image.programs,
        processes: Arc::new(Processes::default()),
        hostname: "box".to_owned(),
    };
    Made { container: Arc::new(container), root, init: None }
}

fn collect() -> (Output, Arc<Mutex<Vec<u8>>>) {
    let text = Arc::new(Mutex::new(Vec::new()));
    let sink = text.clone();
    let output = Output::new(move |bytes| {
        sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    });
    (output, text)
}

/// What was collected.
pub fn text(collected: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&collected.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

impl Made {
    /// With a first process that does nothing, so that signals do to others what they do.
    pub fn with_init(mut self) -> Self {
        let process = Process {
            args: vec!["pause".to_owned()],
            env: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            stdin: Input::empty(),
            stdout: Output::null(),
            stderr: Output::null(),
            signals: Signals::by_hand().1,
            container: self.container.clone(),
        };
        self.init = Some(self.container.processes.enter(0, &process));
        self
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str], stdin: Input) -> Running {
        let (stdout, out) = collect();
        let (stderr, err) = collect();
        let (killer, signals) = Signals::by_hand();
        let env = [("PATH", "/bin"), ("HOME", "/root")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let process = Process {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::from(env),
            cwd: PathBuf::from("/tmp"),
            stdin,
            stdout,
            stderr,
            signals,
            container: self.container.clone(),
        };
        let (_, program) = self.container.programs.find(args[0], Some("/bin")).must("a program");
        Running { killer, stdout: out, stderr: err, task: tokio::spawn(program.run(process)) }
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str], stdin: &str) -> Ran {
        let input = Input::new(std::io::Cursor::new(stdin.as_bytes().to_vec()));
        let running = self.start(args, input);
        let code = tokio::time::timeout(PATIENCE, running.task).await.must("no end").must("no panic");
        Ran { stdout: text(&running.stdout), stderr: text(&running.stderr), code }
    }

    /// Runs a script.
    pub async fn sh(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script], "").await
    }
}
