//! Which process this is, in a way that a reused process id cannot fake.

use std::fmt;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// A process: its id, and when it started, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, started: 0 })
    }

    /// The process that has this id, if one runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started(pid)? })
    }

    /// As a label of what it made has it.
    pub(crate) fn label(self) -> String {
        format!("{}@{}", self.pid, self.started)
    }

    /// Reads such a label.
    pub(crate) fn read(label: &str) -> Option<Self> {
        let (pid, started) = label.split_once('@')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// The nearest ancestor whose program's name contains `name`.
    pub(crate) fn ancestor(name: &str) -> Option<Self> {
        let system = refreshed(ProcessesToUpdate::All, ProcessRefreshKind::nothing())?;
        let mut process = system.process(Pid::from_u32(std::process::id()))?;
        loop {
            process = system.process(process.parent()?)?;
            if process.name().to_string_lossy().contains(name) {
                return Some(Self { pid: process.pid().as_u32(), started: process.start_time() });
            }
        }
    }

    /// Asks it to end. False when it does not run any more.
    pub(crate) fn terminate(self) -> bool {
        self.signal(sysinfo::Signal::Term)
    }

    /// Ends it. False when it does not run any more.
    pub(crate) fn kill(self) -> bool {
        self.signal(sysinfo::Signal::Kill)
    }

    fn signal(self, signal: sysinfo::Signal) -> bool {
        if !self.runs() {
            return false;
        }
        let pid = Pid::from_u32(self.pid);
        let system = refreshed(ProcessesToUpdate::Some(&[pid]), ProcessRefreshKind::nothing());
        let process = system.as_ref().and_then(|system| system.process(pid));
        process.and_then(|process| process.kill_with(signal)).unwrap_or(false)
    }

    /// Whether it still runs.
    pub(crate) fn runs(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// Its id and its start, as a part of a file's name.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.pid, self.started)
    }
}

/// When a process started, if it runs; one that ended and waits to be reaped does not.
fn started(pid: u32) -> Option<u64> {
    let pid = Pid::from_u32(pid);
    let system = refreshed(ProcessesToUpdate::Some(&[pid]), ProcessRefreshKind::nothing())?;
    let process = system.process(pid)?;
    (process.status() != sysinfo::ProcessStatus::Zombie).then(|| process.start_time())
}

/// The id of the user that this process runs as.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What the system tells of processes; nothing on systems that sysinfo does not know.
fn refreshed(processes: ProcessesToUpdate<'_>, what: ProcessRefreshKind) -> Option<System> {
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(processes, false, what);
    Some(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_that_ended_does_not() {
        let this = Process::current();
        assert!(this.runs());
        assert!(!Process { started: this.started + 1, ..this }.runs(), "another start time is another process");

        let mut child = std::process::Command::new(std::env::current_exe().unwrap()).arg("--help").spawn().unwrap();
        let process = Process { pid: child.id(), started: started(child.id()).unwrap_or(this.started) };
        child.wait().unwrap();
        assert!(!process.runs());
    }

    #[test]
    fn the_user_is_the_owner_of_what_is_made() {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(tempfile::tempdir().unwrap().path().metadata().unwrap().uid(), user());
    }
}
