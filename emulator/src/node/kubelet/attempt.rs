//! One attempt at running a container: what containerd and runc do for the kubelet. Its first process is a task; when that ends, or is
//! ended, whatever else runs in it ends too.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::Timestamp;
use k3s_arc_container::{Container, Executable, Input, Killer, NotFound, Output, Process, Program, Signals, User};
use rustix::fs::OFlags;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, watch};

use super::logs::{Log, Stream};

/// What a process exits with that was killed: 128 and the signal.
pub(super) const KILLED: i32 = 137;
/// What runc says of a process that crashed by itself (SIGSEGV): the nearest to a panic.
pub(super) const CRASHED: i32 = 139;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Created,
    Running { since: Timestamp },
    Exited(Exit),
}

/// What probes have found so far; none: nothing yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) startup: Option<bool>,
    pub(super) readiness: Option<bool>,
    pub(super) liveness: Option<bool>,
}

/// Where what a container says at its end is found (`terminationMessagePath`, `terminationMessagePolicy`).
pub(super) struct LastWords {
    /// The file on this machine, if there is one.
    pub(super) file: Option<PathBuf>,
    /// Whether the end of the log serves when that is empty and the container failed.
    pub(super) or_log: bool,
}

/// The most bytes of that file that are read, of the log, and of its lines (`pkg/kubelet/container`).
const MOST_WORDS: u64 = 4096;
const MOST_LOG: usize = 2048;
const MOST_LINES: usize = 80;

/// What an attempt is made from.
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) number: u64,
    /// As the pod names it.
    pub(super) requested: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) resources: Value,
    pub(super) user: User,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    pub(super) container: Arc<Container>,
    pub(super) last_words: LastWords,
    /// Whether something can be written to its first process.
    pub(super) has_stdin: bool,
    /// Whether that ends when the first who has attached leaves (`stdinOnce`).
    pub(super) is_stdin_once: bool,
    pub(super) has_terminal: bool,
}

impl Recipe {
    /// What a command means in the container.
    pub(super) fn executable(&self, command: &[String]) -> Result<Executable, NotFound> {
        let name = command.first().map_or("", String::as_str);
        self.container.executable(name, &self.cwd, self.env.get("PATH").map(String::as_str))
    }
}

/// One attempt.
pub(super) struct Attempt {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    pub(super) recipe: Recipe,
    pub(super) log: Arc<Log>,
    killer: Killer,
    signals: Mutex<Option<Signals>>,
    state: watch::Sender<State>,
    kill: Notify,
    found: watch::Sender<Found>,
    stdin: Mutex<Option<DuplexStream>>,
    stdin_end: Mutex<Option<DuplexStream>>,
}

/// Bytes that a container's standard input holds until they are read: a pipe's.
const PIPE: usize = 64 * 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 64 hexadecimal digits, as containerd names what it makes.
pub(super) fn new_id() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

impl Attempt {
    pub(super) fn new(recipe: Recipe, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let (killer, signals) = Signals::by_hand();
        let (stdin, stdin_end) = if recipe.has_stdin {
            let (near, far) = tokio::io::duplex(PIPE);
            (Some(near), Some(far))
        } else {
            (None, None)
        };
        Self {
            id: new_id(),
            recipe,
            log: Log::new(clock),
            killer,
            signals: Mutex::new(Some(signals)),
            state: watch::Sender::new(State::Created),
            kill: Notify::new(),
            found: watch::Sender::default(),
            stdin: Mutex::new(stdin),
            stdin_end: Mutex::new(stdin_end),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), State::Running { .. })
    }

    pub(super) fn found(&self) -> Found {
        *self.found.borrow()
    }

    /// Takes note of what a probe found. True when that is news.
    pub(super) fn find(&self, edit: impl FnOnce(&mut Found)) -> bool {
        self.found.send_if_modified(|found| {
            let before = *found;
            edit(found);
            before != *found
        })
    }

    /// Returns once its startup probe has succeeded.
    pub(super) async fn started(&self) {
        if self.found.subscribe().wait_for(|found| found.startup == Some(true)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is written to its first process, for who attaches first.
    pub(super) fn take_stdin(&self) -> Option<DuplexStream> {
        lock(&self.stdin).take()
    }

    /// Gives it back, for who attaches next.
    pub(super) fn return_stdin(&self, stdin: DuplexStream) {
        *lock(&self.stdin) = Some(stdin);
    }

    /// Sends a signal to its first process.
    pub(super) fn signal(&self, signal: i32) {
        self.killer.send(signal);
    }

    /// Ends it at once, whatever it does.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Returns once it does not run any more.
    pub(super) async fn exited(&self) {
        let mut state = self.state.subscribe();
        if state.wait_for(|state| matches!(state, State::Exited(_))).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// It ended without having run.
    pub(super) fn never_started(&self, message: String, now: Timestamp) {
        let exit = Exit { code: 128, reason: "StartError", message, started: Timestamp::UNIX_EPOCH, finished: now };
        self.log.close(now);
        self.state.send_replace(State::Exited(exit));
    }

    /// It ended with the machine that it ran on.
    pub(super) fn lost(&self, now: Timestamp) {
        let started = match self.state() {
            State::Running { since } => since,
            State::Created => now,
            State::Exited(_) => return,
        };
        let exit = Exit { code: 255, reason: "Unknown", message: String::new(), started, finished: now };
        self.log.close(now);
        self.state.send_replace(State::Exited(exit));
        self.kill();
    }

    /// A process in it, about to run.
    pub(super) fn process(&self, args: Vec<String>, stdin: Input, stdout: Output, stderr: Output, signals: Signals) -> Process {
        let (env, cwd) = (self.recipe.env.clone(), self.recipe.cwd.clone());
        Process { args, env, cwd, stdin, stdout, stderr, signals, container: self.recipe.container.clone() }
    }

    /// Begins to run: from now on it is running. What is returned runs it to its end.
    pub(super) fn start(
        self: Arc<Self>,
        program: &Arc<dyn Program>,
        args: Vec<String>,
        clock: impl Fn() -> Timestamp + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let since = clock();
        let mut stdin = lock(&self.stdin_end).take().map_or_else(Input::empty, Input::new);
        let signals = lock(&self.signals).take().unwrap_or_else(|| Signals::by_hand().1);
        let mut stdout = self.log.output(Stream::Out);
        let mut stderr = self.log.output(Stream::Err);
        if self.recipe.has_terminal {
            // A terminal has but one stream.
            (stdin, stdout) = (stdin.terminal(), stdout.terminal());
            stderr = stdout.clone();
        }
        let process = self.process(args, stdin, stdout, stderr, signals);
        let entry = self.recipe.container.processes.enter(0, &process);
        let program = program.clone();
        self.state.send_replace(State::Running { since });
        async move {
            let (code, reason) = tokio::select! {
                biased;
                () = self.kill.notified() => (KILLED, "Error"),
                () = self.recipe.container.memory.exceeded() => (KILLED, "OOMKilled"),
                ended = entry.run(run(&*program, process, &self.log)) => match ended.code() {
                    0 => (0, "Completed"),
                    code => (code, "Error"),
                },
            };
            let now = clock();
            self.log.close(now);
            let message = self.last_words(code);
            self.state.send_if_modified(|state| {
                let runs = matches!(state, State::Running { .. });
                if runs {
                    *state = State::Exited(Exit { code, reason, message, started: since, finished: now });
                }
                runs
            });
        }
    }

    /// What it says at its end (`getTerminationMessage`).
    fn last_words(&self, code: i32) -> String {
        let file = self.recipe.last_words.file.as_ref();
        let content = file.and_then(|file| end_of(file).ok()).unwrap_or_default();
        if content.is_empty() && self.recipe.last_words.or_log && code != 0 {
            return self.log.tail(MOST_LINES, MOST_LOG);
        }
        String::from_utf8_lossy(&content).into_owned()
    }
}

/// The end of a file that a container could write (`tail.ReadAtMost`): nothing but a file, wherever links may lead, and however large
/// it is.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::canonicalize(path)? != path {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // Who opens a pipe waits for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    file.seek(SeekFrom::Start(found.len().saturating_sub(MOST_WORDS)))?;
    let mut end = Vec::new();
    file.take(MOST_WORDS).read_to_end(&mut end)?;
    Ok(end)
}

/// Runs a program. A panic is the program's end, and nobody else's.
async fn run(program: &dyn Program, process: Process, log: &Log) -> i32 {
    let running = AssertUnwindSafe(async move { program.run(process).await });
    match running.catch_unwind().await {
        Ok(code) => code & 0xff,
        Err(panic) => {
            let line = format!("panicked: {}\n", words_of(&*panic));
            log.print(Stream::Err, line.as_bytes());
            CRASHED
        }
    }
}

/// What a panic says.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of unknown cause")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn last_words_are_the_end_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::write(at("short"), "bye").unwrap();
        assert_eq!(end_of(&at("short")).unwrap(), b"bye");
        // Far more than there is memory for.
        fs::File::create(at("huge")).unwrap().set_len(1 << 42).unwrap();
        assert_eq!(end_of(&at("huge")).unwrap(), [0; 4096]);
        std::os::unix::fs::symlink(at("short"), at("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("folder")).unwrap();
        for path in ["link", "folder/short", "."] {
            assert!(end_of(&at(path)).is_err(), "{path}");
        }
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(end_of(&at("socket")).is_err());
    }
}
