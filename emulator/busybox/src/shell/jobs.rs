//! Commands in the background, and waiting for them.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k3s_arc_container::processes::Ended;
use k3s_arc_container::{KILL, Process, Signals};

use super::ast::AndOr;
use super::{Fd, Outcome, Shell};
use crate::streams::Source;

/// A command in the background.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) pid: u32,
    ended: Shared<BoxFuture<'static, Ended>>,
}

impl Job {
    pub(super) fn is_running(&self) -> bool {
        self.ended.clone().now_or_never().is_none()
    }
}

impl Shell {
    /// A process as this shell's child would be.
    pub(super) fn child(&self, args: Vec<String>, signals: Signals) -> Process {
        let input = |fd: u32| self.fds.get(&fd).and_then(|fd| fd.source.as_ref()).map(Source::input);
        let output = |fd: u32| self.fds.get(&fd).and_then(|fd| fd.sink.clone());
        let closed = || k3s_arc_container::Output::new(|_| Err(std::io::Error::other("Bad file descriptor")));
        Process {
            args,
            env: self.variables.environment(),
            cwd: self.cwd.clone(),
            stdin: input(0).unwrap_or_else(k3s_arc_container::Input::empty),
            stdout: output(1).unwrap_or_else(closed),
            stderr: output(2).unwrap_or_else(closed),
            signals,
            container: self.container.clone(),
        }
    }

    /// Starts a command in the background.
    pub(super) async fn start(&mut self, what: Arc<AndOr>) -> Outcome {
        let (_, signals) = Signals::by_hand();
        let mut child = self.try_fork().await?;
        let entry = self.container.processes.enter(self.own_pid, &self.child(vec![self.name.clone()], signals.clone()));
        let pid = entry.pid();
        (child.own_pid, child.signals) = (pid, signals);
        for signal in child.traps.keys() {
            child.signals.catch(*signal);
        }
        if !self.options.interactive {
            // Nobody but the shell itself reads what was meant for it.
            child.fds.insert(0, Fd { source: Some(Source::stream(k3s_arc_container::Input::empty())), sink: None });
        }
        let task = tokio::spawn(crate::inherited::with_umask(
            self.umask,
            entry.run(async move {
                let ended = child.and_or(&what).await;
                child.finish(ended).await
            }),
        ));
        self.container.processes.set_task(pid, task.abort_handle());
        // What is aborted was killed with its container.
        let ended = task.map(|ended| ended.unwrap_or(Ended::Signalled(KILL))).boxed().shared();
        self.jobs.push(Job { pid, ended });
        self.last_background = Some(pid);
        Ok(0)
    }

    /// Waits for a job. None: a signal came first, for which there is a trap.
    pub(super) async fn wait_for(&mut self, job: &Job) -> Result<Ended, i32> {
        loop {
            if let Some(signal) = self.caught.front() {
                return Err(128 + signal);
            }
            if self.traps.is_empty() {
                return Ok(job.ended.clone().await);
            }
            tokio::select! {
                biased;
                signal = self.signals.next() => self.note(signal),
                status = job.ended.clone() => return Ok(status),
            }
        }
    }

    /// Tells how what was waited for was ended, where that was a signal.
    pub(super) async fn tell(&self, ended: Ended) {
        if let Ended::Signalled(signal) = ended
            && let Some(text) = super::traps::signal_text(signal)
        {
            self.print_error(&format!("{text}\n")).await;
        }
    }
}
