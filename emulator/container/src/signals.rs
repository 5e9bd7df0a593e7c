//! Signals, as far as they reach a container: SIGTERM and SIGINT can be caught, SIGKILL cannot.
//!
//! The first process of a container has no default action on signals: what it does not listen for is ignored, and the one who
//! stops it waits out his patience (`man 7 pid_namespaces`). It is the same here: a program that never asks is not told. Its
//! children do have default actions; whoever runs one takes them (see [`crate::processes`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// SIGINT.
pub const INTERRUPT: i32 = 2;
/// SIGKILL: the process is dropped.
pub const KILL: i32 = 9;
/// SIGTERM.
pub const TERMINATE: i32 = 15;

/// What the two ends have in common.
#[derive(Debug)]
struct Channel {
    sender: watch::Sender<(u64, i32)>,
    /// A bit for each signal that the process does something about.
    caught: AtomicU64,
}

/// The signals that reach a process. Clones hear the same, each from where it was cloned.
#[derive(Debug, Clone)]
pub struct Signals {
    received: watch::Receiver<(u64, i32)>,
    channel: Arc<Channel>,
}

/// Sends signals to a process.
#[derive(Debug, Clone)]
pub struct Killer(Arc<Channel>);

fn bit(signal: i32) -> u64 {
    u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal)).unwrap_or(0)
}

impl Killer {
    /// Sends a signal.
    pub fn send(&self, signal: i32) {
        self.0.sender.send_modify(|(count, last)| (*count, *last) = (*count + 1, signal));
    }

    /// Whether the process does something about a signal, so that what the kernel would do is not done.
    #[must_use]
    pub fn catches(&self, signal: i32) -> bool {
        self.0.caught.load(Ordering::Relaxed) & bit(signal) != 0
    }

    /// Another listener, who hears what is sent from now on.
    #[must_use]
    pub fn listener(&self) -> Signals {
        let mut received = self.0.sender.subscribe();
        received.mark_unchanged();
        Signals { received, channel: self.0.clone() }
    }

    /// Whether it sends to that process.
    #[must_use]
    pub fn reaches(&self, signals: &Signals) -> bool {
        Arc::ptr_eq(&self.0, &signals.channel)
    }
}

impl Signals {
    /// Signals sent by hand.
    #[must_use]
    pub fn by_hand() -> (Killer, Self) {
        let (sender, received) = watch::channel((0, 0));
        let channel = Arc::new(Channel { sender, caught: AtomicU64::new(0) });
        (Killer(channel.clone()), Self { received, channel })
    }

    /// Those that the operating system sends to this process: SIGTERM and SIGINT, from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn native() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (killer, signals) = Self::by_hand();
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

    /// Who sends to this process.
    #[must_use]
    pub fn killer(&self) -> Killer {
        Killer(self.channel.clone())
    }

    /// From now on the process does something about a signal, be it to ignore it.
    pub fn catch(&self, signal: i32) {
        self.channel.caught.fetch_or(bit(signal), Ordering::Relaxed);
    }

    /// From now on the kernel's default is done about a signal.
    pub fn release(&self, signal: i32) {
        self.channel.caught.fetch_and(!bit(signal), Ordering::Relaxed);
    }

    /// The next signal, caught or not.
    pub async fn next(&mut self) -> i32 {
        match self.received.changed().await {
            Ok(()) => self.received.borrow_and_update().1,
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns once the process is asked to end, by SIGTERM or SIGINT, which it catches from now on; at once, when that has been.
    pub async fn terminated(&self) {
        self.catch(TERMINATE);
        self.catch(INTERRUPT);
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
