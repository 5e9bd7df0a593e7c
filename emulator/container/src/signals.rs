//! Signals, as far as they reach a container: SIGTERM and SIGINT can be caught, SIGKILL cannot.
//!
//! The first process of a container has no default action on signals: what it does not listen for is ignored, and the one who
//! stops it waits out his patience (`man 7 pid_namespaces`). It is the same here: a program that never asks is not told.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// SIGINT.
pub const INTERRUPT: i32 = 2;
/// SIGKILL: the process is dropped.
pub const KILL: i32 = 9;
/// SIGTERM.
pub const TERMINATE: i32 = 15;

/// The signals that reach a process. Clones hear the same, each from where it was cloned.
#[derive(Debug, Clone)]
pub struct Signals {
    received: watch::Receiver<(u64, i32)>,
    /// Keeps the other end, where nobody else does.
    _sender: Option<Arc<watch::Sender<(u64, i32)>>>,
}

/// Sends signals to a process.
#[derive(Debug, Clone)]
pub struct Killer(Arc<watch::Sender<(u64, i32)>>);

impl Killer {
    /// Sends a signal.
    pub fn send(&self, signal: i32) {
        self.0.send_modify(|(count, last)| (*count, *last) = (*count + 1, signal));
    }

    /// Another listener, who hears what is sent from now on.
    #[must_use]
    pub fn listener(&self) -> Signals {
        let mut received = self.0.subscribe();
        received.mark_unchanged();
        Signals { received, _sender: None }
    }
}

impl Signals {
    /// Signals sent by hand.
    #[must_use]
    pub fn by_hand() -> (Killer, Self) {
        let (sender, received) = watch::channel((0, 0));
        (Killer(Arc::new(sender)), Self { received, _sender: None })
    }

    /// Those that the operating system sends to this process: SIGTERM and SIGINT, from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn native() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (killer, mut signals) = Self::by_hand();
        signals._sender = Some(killer.0.clone());
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = terminate.recv() => killer.send(TERMINATE),
                    Some(()) = interrupt.recv() => killer.send(INTERRUPT),
                    else => return,
                }
            }
        });
        Ok(signals)
    }

    /// The next signal; for ever, when nobody can send one any more.
    pub async fn next(&mut self) -> i32 {
        match self.received.changed().await {
            Ok(()) => self.received.borrow_and_update().1,
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns once the process is asked to end, by SIGTERM or SIGINT; at once, when that has been.
    pub async fn terminated(&self) {
        let mut received = self.received.clone();
        if received.wait_for(|(_, last)| matches!(*last, TERMINATE | INTERRUPT)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_are_heard_by_who_listens() {
        let (killer, mut signals) = Signals::by_hand();
        let other = signals.clone();
        killer.send(1);
        assert_eq!(signals.next().await, 1);
        killer.send(TERMINATE);
        assert_eq!(signals.next().await, TERMINATE);
        other.terminated().await;
    }
}
