//! Stopping when asked to.
//!
//! In a container the stand-in is process 1, for which the kernel has no default action on SIGTERM: without a
//! handler it would be ignored until the kubelet's patience ends.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Knows whether stopping was asked for. Clones know the same.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for stopping.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Trigger {
    /// Asks everyone who holds the other end to stop.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Stopping is asked for by hand.
    pub fn by_hand() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Stopping is asked for by SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let (trigger, shutdown) = Self::by_hand();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            trigger.pull();
        });
        Ok(shutdown)
    }

    /// Returns once stopping is asked for.
    pub async fn requested(&self) {
        if self.0.clone().wait_for(|&requested| requested).await.is_err() {
            // The trigger is gone without having been pulled; nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// What `work` gives, or none if stopping is asked for before.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.requested() => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_when_stopping_is_asked_for() {
        let (trigger, shutdown) = Shutdown::by_hand();
        assert_eq!(shutdown.or(async { 1 }).await, Some(1));
        trigger.pull();
        assert_eq!(shutdown.or(std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_can_ask_any_more() {
        let (trigger, shutdown) = Shutdown::by_hand();
        drop(trigger);
        assert_eq!(shutdown.or(tokio::task::yield_now()).await, Some(()));
    }
}
