//! What goes wrong on demand, so that who builds on Kubernetes can see that he is ready for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What is wrong with the API server at the moment.
#[derive(Debug)]
pub(crate) struct ServerFaults {
    /// Milliseconds that every request waits.
    delay: AtomicU64,
    paused: watch::Sender<bool>,
    down: watch::Sender<bool>,
    /// Counts how often all watches were cut.
    watches: watch::Sender<u64>,
}

impl Default for ServerFaults {
    fn default() -> Self {
        Self {
            delay: AtomicU64::new(0),
            paused: watch::Sender::new(false),
            down: watch::Sender::new(false),
            watches: watch::Sender::new(0),
        }
    }
}

impl ServerFaults {
    /// Lets a request wait as long as it has to.
    pub(crate) async fn hold(&self) {
        let delay = self.delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if *self.paused.borrow() {
            // The sender is `self`: it is there.
            let _ = self.paused.subscribe().wait_for(|paused| !paused).await;
        }
    }

    /// Changes when all watches are to end.
    pub(crate) fn watches(&self) -> watch::Receiver<u64> {
        let mut watches = self.watches.subscribe();
        watches.mark_unchanged();
        watches
    }

    /// Whether nobody is served.
    pub(crate) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Returns once nobody is served.
    pub(crate) async fn down(&self) {
        let _ = self.down.subscribe().wait_for(|down| *down).await;
    }
}

/// Lets the server of a cluster fail; see [`crate::Emulator::server`].
#[derive(Debug, Clone)]
pub struct ServerControl(pub(crate) Arc<crate::cluster::Cluster>);

impl ServerControl {
    fn faults(&self) -> &ServerFaults {
        &self.0.faults
    }

    /// Lets every request wait that long before it is looked at, as an overloaded server does; `Duration::ZERO` ends it.
    pub fn slow(&self, delay: Duration) {
        self.faults().delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Lets connections be accepted and requests go unanswered, as a frozen process does, until [`ServerControl::resume`].
    pub fn pause(&self) {
        self.faults().paused.send_replace(true);
    }

    /// Answers what has waited, and everything from now on.
    pub fn resume(&self) {
        self.faults().paused.send_replace(false);
    }

    /// Cuts every connection and refuses new ones, as a server that is gone does, until [`ServerControl::up`]. Objects stay: K3s keeps
    /// them in its datastore.
    pub fn down(&self) {
        self.faults().down.send_replace(true);
    }

    /// Serves again.
    pub fn up(&self) {
        self.faults().down.send_replace(false);
    }

    /// Ends every watch that is open now, as a restarting proxy between client and server does.
    pub fn cut_watches(&self) {
        self.faults().watches.send_modify(|count| *count += 1);
    }
}
