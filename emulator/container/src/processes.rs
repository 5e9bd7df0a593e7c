//! A container's processes, by their numbers.
//!
//! The first one is number 1, and the others live no longer than it (`man 7 pid_namespaces`). What it does not catch does not reach it;
//! the others have the kernel's default actions ([`Entry::run`]).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio::task::coop::unconstrained;

use crate::{KILL, Killer, Process, Signals};

/// The processes of a container.
#[derive(Debug, Default)]
pub struct Processes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u32,
    running: BTreeMap<u32, Running>,
}

#[derive(Debug)]
struct Running {
    parent: u32,
    uid: u32,
    args: Vec<String>,
    killer: Killer,
    task: Option<AbortHandle>,
}

/// What others see of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub pid: u32,
    /// Who started it; 0: nobody in the container.
    pub parent: u32,
    /// Who it runs as.
    pub uid: u32,
    /// Its arguments.
    pub args: Vec<String>,
}

/// A process is listed until this is dropped.
#[derive(Debug)]
pub struct Entry {
    processes: Arc<Processes>,
    signals: Signals,
    pid: u32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl Ended {
    /// The exit code, as a shell tells it: 128 and the signal for the latter.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
        }
    }
}

impl Processes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a process that is about to run, under the next number. Its parent is another one's number, or 0.
    #[must_use]
    pub fn enter(self: &Arc<Self>, parent: u32, process: &Process) -> Entry {
        let mut table = self.table();
        table.last += 1;
        let pid = table.last;
        let killer = process.signals.killer();
        let uid = process.container.files.user().uid;
        let signals = killer.listener();
        table.running.insert(pid, Running { parent, uid, args: process.args.clone(), killer, task: None });
        Entry { processes: self.clone(), signals, pid }
    }

    /// The number of the process that hears these signals.
    #[must_use]
    pub fn pid_of(&self, signals: &Signals) -> Option<u32> {
        self.table().running.iter().find(|(_, running)| running.killer.reaches(signals)).map(|(pid, _)| *pid)
    }

    /// All of them, in order.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(pid, running): (&u32, &Running)| Listed {
            pid: *pid,
            parent: running.parent,
            uid: running.uid,
            args: running.args.clone(),
        };
        self.table().running.iter().map(listed).collect()
    }

    /// Sends a signal to one of them (0: to none); whether it is there.
    pub fn kill(&self, pid: u32, signal: i32) -> bool {
        let Some(killer) = self.table().running.get(&pid).map(|running| running.killer.clone()) else { return false };
        // Number 1 is not killed from within, not even with SIGKILL.
        if signal != 0 && (pid != 1 || killer.catches(signal)) {
            killer.send(signal);
        }
        true
    }

    /// What a process is called by from now on (`execve`).
    pub fn rename(&self, pid: u32, args: &[String]) {
        if let Some(running) = self.table().running.get_mut(&pid) {
            running.args = args.to_vec();
        }
    }

    /// The task that a process runs in, which ends with the container.
    pub fn set_task(&self, pid: u32, task: AbortHandle) {
        if let Some(running) = self.table().running.get_mut(&pid) {
            running.task = Some(task);
        }
    }

    fn leave(&self, pid: u32) {
        let mut table = self.table();
        table.running.remove(&pid);
        if pid != 1 {
            return;
        }
        for running in table.running.values() {
            running.killer.send(KILL);
            if let Some(task) = &running.task {
                task.abort();
            }
        }
    }
}

impl Entry {
    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Runs the process to its end, or until a signal ends it that it does not catch (`man 7 signal`).
    pub async fn run(mut self, process: impl Future<Output = i32>) -> Ended {
        let process = unconstrained(process);
        if self.pid == 1 {
            return Ended::Exited(process.await);
        }
        tokio::select! {
            // A signal that was there first is acted on first.
            biased;
            signal = ended_by(&mut self.signals) => Ended::Signalled(signal),
            code = process => Ended::Exited(code),
        }
    }
}

/// The first signal that ends a process which does not catch it.
async fn ended_by(signals: &mut Signals) -> i32 {
    let killer = signals.killer();
    loop {
        let signal = signals.next().await;
        if signal == KILL || (ends(signal) && !killer.catches(signal)) {
            return signal;
        }
    }
}

/// Whether a signal's default action ends a process: SIGCHLD, SIGCONT, SIGURG and SIGWINCH do not; what would stop it does nothing here.
fn ends(signal: i32) -> bool {
    !matches!(signal, 17..=23 | 28)
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.processes.leave(self.pid);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{Container, Input, Output, TERMINATE};

    fn process(container: &Arc<Container>) -> Process {
        Process {
            args: vec!["x".into()],
            env: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            stdin: Input::empty(),
            stdout: Output::null(),
            stderr: Output::null(),
            signals: Signals::by_hand().1,
            container: container.clone(),
        }
    }

    #[tokio::test]
    async fn the_first_is_not_told_what_it_does_not_catch_and_the_others_end_with_it() {
        let container = Arc::new(Container::native());
        let (first, second, third) = (process(&container), process(&container), process(&container));
        let processes = &container.processes;
        let init = processes.enter(0, &first);
        let child = processes.enter(1, &second);
        assert_eq!((init.pid(), child.pid(), processes.pid_of(&second.signals)), (1, 2, Some(2)));

        let mut heard = first.signals.clone();
        assert!(processes.kill(1, KILL));
        assert!(processes.kill(1, TERMINATE));
        first.signals.catch(TERMINATE);
        assert!(processes.kill(1, TERMINATE));
        assert_eq!(heard.next().await, TERMINATE);
        assert!(futures::FutureExt::now_or_never(heard.next()).is_none());

        second.signals.catch(TERMINATE);
        let running = tokio::spawn(child.run(std::future::pending()));
        let ended = tokio::spawn(processes.enter(1, &third).run(std::future::pending()));
        assert!(processes.kill(2, TERMINATE));
        assert!(processes.kill(3, TERMINATE));
        assert_eq!(ended.await.unwrap(), Ended::Signalled(TERMINATE));
        assert!(!processes.kill(3, 0));
        drop(init);
        assert_eq!(running.await.unwrap().code(), 128 + KILL);
        assert_eq!(processes.list(), []);
    }
}
