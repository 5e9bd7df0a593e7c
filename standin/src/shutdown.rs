//! Stopping when asked to.
//!
//! In a container the stand-in is process 1, for which the kernel has no default action on SIGTERM: without a
//! handler it would be ignored until the kubelet's patience ends.

use k3s_arc_container::{INTERRUPT, Killer, Signals, TERMINATE};

/// Knows whether stopping was asked for. Clones know the same.
#[derive(Debug, Clone)]
pub struct Shutdown(Signals);

/// Asks for stopping.
#[derive(Debug)]
pub struct Trigger(Killer);

impl Trigger {
    /// Asks everyone who holds the other end to stop.
    pub fn pull(&self) {
        self.0.send(TERMINATE);
    }
}

impl Shutdown {
    /// Stopping is asked for by hand.
    pub fn by_hand() -> (Trigger, Self) {
        let (killer, signals) = Signals::by_hand();
        (Trigger(killer), Self(signals))
    }

    /// Stopping is asked for by SIGTERM or SIGINT.
    pub fn on(signals: Signals) -> Self {
        // From now on, not from when somebody first waits for it.
        signals.catch(TERMINATE);
        signals.catch(INTERRUPT);
        Self(signals)
    }

    /// Returns once stopping is asked for.
    pub async fn requested(&self) {
        self.0.terminated().await;
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
