//! The emulated clusters that run in this process.
//!
//! Each test has a runtime of its own, which ends with it; what the tests of a process share must not. So the clusters run in one of
//! theirs, which ends with the process.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use k3s_arc_emulator::{Builder, Emulator};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{EmulatorError, controls::Machine};

/// A cluster that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) emulator: Emulator,
    /// The name of its node.
    pub(super) node: String,
    /// The machine that its node plays.
    pub(super) machine: Machine,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// By what they are found by.
static RUNNING: Mutex<BTreeMap<String, Arc<Running>>> = Mutex::new(BTreeMap::new());

fn running() -> MutexGuard<'static, BTreeMap<String, Arc<Running>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs something where the clusters run.
pub(super) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<JoinHandle<T>> {
    let runtime = match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let made = tokio::runtime::Builder::new_multi_thread().thread_name("emulator").enable_all().build()?;
            // Another thread may have been faster; a runtime is shut down where blocking is allowed.
            if let Err(superfluous) = RUNTIME.set(made) {
                superfluous.shutdown_background();
            }
            RUNTIME.get().ok_or(io::ErrorKind::NotFound)?
        }
    };
    Ok(runtime.spawn(work))
}

/// Starts a cluster, which runs until it is ended or the process ends.
pub(super) async fn start(handle: &str, node: &str, builder: Builder) -> Result<Arc<Running>, EmulatorError> {
    let started = spawn(builder.start()).map_err(EmulatorError::Runtime)?;
    let emulator = started.await.map_err(EmulatorError::Ended)??;
    let cluster = Arc::new(Running { emulator, node: node.to_owned(), machine: Machine::default() });
    running().insert(handle.to_owned(), cluster.clone());
    Ok(cluster)
}

/// A cluster that was started.
pub(super) fn find(handle: &str) -> Option<Arc<Running>> {
    running().get(handle).cloned()
}

/// Ends a cluster, if it runs.
pub(super) async fn end(handle: &str) {
    let cluster = running().remove(handle);
    if let Some(cluster) = cluster {
        stop(cluster).await;
    }
}

/// Ends all of them; at the orderly end of a program.
pub(crate) async fn end_all() {
    let all = std::mem::take(&mut *running());
    for cluster in all.into_values() {
        stop(cluster).await;
    }
}

async fn stop(cluster: Arc<Running>) {
    // Who still holds it is the last to let go of it, and it ends then.
    if let Some(cluster) = Arc::into_inner(cluster)
        && let Ok(stopped) = spawn(cluster.emulator.stop())
    {
        let _ = stopped.await;
    }
}
