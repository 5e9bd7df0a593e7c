//! `sh`: busybox's ash, as a task of this process. It forks by cloning itself, and what it executes are programs of its container.

mod arithmetic;
mod ast;
mod builtins;
mod exec;
mod expand;
mod glob;
mod here;
mod jobs;
mod lexer;
mod parse;
mod pattern;
mod redirect;
mod run;
mod simple;
mod traps;
mod variables;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use k3s_arc_container::{Container, Output, Signals};

use variables::Variables;

use crate::held::Held;
use crate::streams::Source;
use crate::view::View;

pub(crate) use pattern::{is_in, matches};
pub(crate) use run::sh;
pub(crate) use traps::{signal_name, signal_number};

/// How a command ended.
type Outcome = Result<i32, Leave>;

/// Why the commands that follow are not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// So many loops are left.
    Break(u32),
    /// So many loops but one are left, and the last one goes on.
    Continue(u32),
    /// The function, or the script that was read, ends.
    Return(i32),
    /// Something is wrong that a script is not meant to survive; who types at a prompt does.
    Error(i32),
    /// The shell ends.
    Exit(i32),
    /// It ends without a last word: by a signal, or by becoming another program.
    Gone(i32),
}

impl Leave {
    fn status(self) -> i32 {
        match self {
            Self::Break(_) | Self::Continue(_) => 0,
            Self::Return(status) | Self::Error(status) | Self::Exit(status) | Self::Gone(status) => status,
        }
    }
}

/// What `set` and the command line turn on.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// `-e`
    errexit: bool,
    /// `-u`
    nounset: bool,
    /// `-x`
    xtrace: bool,
    /// `-f`
    noglob: bool,
    /// `-n`
    noexec: bool,
    /// `-C`
    noclobber: bool,
    /// `-a`
    allexport: bool,
    /// `-v`
    verbose: bool,
    /// `-o pipefail`
    pipefail: bool,
    /// `-c`
    command: bool,
    /// `-s`
    stdin: bool,
    /// `-i`
    interactive: bool,
}

/// One open file.
#[derive(Clone, Default)]
struct Fd {
    source: Option<Source>,
    sink: Option<Output>,
}

/// What a shell is doing when something goes wrong.
#[derive(Debug, Clone, Default)]
struct Where {
    line: u32,
    /// The builtin that is run.
    builtin: Option<String>,
    /// Lines of a script file are told always, others by builtins alone.
    script: bool,
}

struct Shell {
    container: Arc<Container>,
    /// What it was called by, or the script.
    name: String,
    positional: Vec<String>,
    variables: Variables,
    functions: BTreeMap<String, Arc<ast::Command>>,
    options: Options,
    fds: BTreeMap<u32, Fd>,
    cwd: PathBuf,
    umask: u32,
    /// Its number, or that of the shell that it was forked from (`$$`).
    pid: u32,
    /// Its own number, where it has one.
    own_pid: u32,
    parent: u32,
    signals: Signals,
    traps: BTreeMap<i32, String>,
    /// Signals that wait for their traps to be run.
    caught: VecDeque<i32>,
    jobs: Vec<jobs::Job>,
    last_background: Option<u32>,
    status: i32,
    /// Of the last command substitution.
    substituted: Option<i32>,
    place: Where,
    /// How many conditions this is in, where failing is fine.
    tested: u32,
    loops: u32,
    /// Functions and scripts that `return` can end.
    calls: u32,
    depth: u32,
    getopts_at: usize,
    held: Held,
    /// All shells that have one ancestor have this, and so it tells how many there are.
    family: Arc<()>,
}

/// Shells of one family: a script must not be able to use up the memory of a process that others share.
const MOST_SHELLS: usize = 2000;

impl Shell {
    /// A child that has all that this has, but for jobs and traps.
    fn fork(&self) -> Self {
        // What is ignored stays ignored.
        let traps = self.traps.iter().filter(|(_, action)| action.is_empty()).map(|(signal, action)| (*signal, action.clone()));
        Self {
            container: self.container.clone(),
            name: self.name.clone(),
            positional: self.positional.clone(),
            variables: self.variables.clone(),
            functions: self.functions.clone(),
            options: Options { interactive: false, ..self.options },
            fds: self.fds.clone(),
            cwd: self.cwd.clone(),
            umask: self.umask,
            pid: self.pid,
            own_pid: self.own_pid,
            parent: self.parent,
            signals: self.signals.clone(),
            traps: traps.collect(),
            caught: VecDeque::new(),
            jobs: Vec::new(),
            last_background: self.last_background,
            status: self.status,
            substituted: None,
            place: self.place.clone(),
            tested: self.tested,
            loops: 0,
            calls: self.calls,
            depth: self.depth,
            getopts_at: self.getopts_at,
            held: Held::new(&self.container.memory),
            family: self.family.clone(),
        }
    }

    /// A child, unless there are too many.
    async fn try_fork(&self) -> Result<Self, Leave> {
        if Arc::strong_count(&self.family) > MOST_SHELLS {
            return Err(self.fail("can't fork: Resource temporarily unavailable").await);
        }
        Ok(self.fork())
    }

    fn view(&self) -> View {
        View { container: self.container.clone(), cwd: self.cwd.clone(), umask: self.umask, pid: self.own_pid }
    }

    /// Prints to an open file; a reader that is gone ends the shell, as SIGPIPE would.
    async fn put(&mut self, fd: u32, bytes: impl AsRef<[u8]>) -> Outcome {
        let Some(sink) = self.fds.get(&fd).and_then(|fd| fd.sink.clone()) else {
            self.complain_as("sh", "write error: Bad file descriptor").await;
            return Ok(1);
        };
        match sink.put(bytes.as_ref()).await {
            Ok(()) => Ok(0),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Leave::Gone(128 + 13)),
            Err(error) => {
                self.complain_as("sh", format!("write error: {}", crate::reason::reason(&error))).await;
                Ok(1)
            }
        }
    }

    /// Says on standard error what is wrong, and where.
    async fn complain(&self, what: impl Display + Send) {
        let place = &self.place;
        let line = match &place.builtin {
            Some(builtin) => format!("{}: {builtin}: line {}: {what}\n", self.name, place.line),
            None if place.script => format!("{}: line {}: {what}\n", self.name, place.line),
            None => format!("{}: {what}\n", self.name),
        };
        self.print_error(&line).await;
    }

    /// Says it as an applet of its name would.
    async fn complain_as(&self, name: &str, what: impl Display + Send) {
        self.print_error(&format!("{name}: {what}\n")).await;
    }

    async fn print_error(&self, line: &str) {
        if let Some(sink) = self.fds.get(&2).and_then(|fd| fd.sink.clone()) {
            // There is nowhere left to complain about it.
            let _ = sink.put(line.as_bytes()).await;
        }
    }

    /// Says what is wrong and that the script ends with it.
    async fn fail(&self, what: impl Display + Send) -> Leave {
        self.complain(what).await;
        Leave::Error(2)
    }

    fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), variables::ReadOnly> {
        self.variables.set(name, value)?;
        if self.options.allexport {
            self.variables.export(name, None)?;
        }
        if name == "OPTIND" {
            self.getopts_at = 0;
        }
        Ok(())
    }

    /// Sets a variable, and ends the script where that cannot be.
    async fn assign(&mut self, name: &str, value: impl Into<String>) -> Result<(), Leave> {
        if let Err(variables::ReadOnly(name)) = self.set(name, value) {
            return Err(self.fail(format!("{name}: is read only")).await);
        }
        self.account().await
    }

    /// Accounts for the memory that variables take.
    async fn account(&mut self) -> Result<(), Leave> {
        let bytes = self.variables.bytes();
        if self.held.cover(bytes).await.is_err() {
            return Err(self.fail("out of memory").await);
        }
        Ok(())
    }
}
