//! The kubelet: runs the pods that are bound to its node, and tells the API how they are (`pkg/kubelet`). Pods are tasks of this process.
//!
//! [`dispatch`] hands each pod of the node to a [`worker`], which lives its life. What it finds it gives to [`reports`] and [`events`],
//! which write it when they come to it: a worker never waits for the API.

mod actions;
mod admission;
mod attempt;
mod backoff;
mod client;
mod conditions;
mod dispatch;
mod events;
mod evictions;
mod exec;
mod heartbeat;
mod hooks;
mod http;
mod logs;
mod node_status;
mod phase;
mod pod;
mod probes;
mod pulls;
mod reports;
mod rootfs;
mod sandbox;
mod serving;
mod starting;
mod status;
mod termination;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k3s_arc_container::{Input, Output};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::Node;
use crate::status::Refusal;
use client::Client;
use events::Recorder;
pub use node_status::Pressure;
use node_status::Pressures;
use pod::{Pod, Pods};
use reports::Reports;
use rootfs::Unpacked;

/// Standard streams of a command in a container.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// Why a command did not run.
#[derive(Debug)]
pub(crate) enum ExecError {
    /// The container does not run, or is not there: the request is refused.
    Refused(Refusal),
    /// It could not be started (`OCI runtime exec failed: ...`): told in the stream of errors.
    NotStarted(String),
}

/// What a log is asked for (`PodLogOptions`).
#[derive(Debug, Clone, Default)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) since: Option<jiff::Timestamp>,
    pub(crate) tail: Option<usize>,
    pub(crate) limit: Option<usize>,
}

/// What the parts of a kubelet share.
pub(super) struct Context {
    node: Node,
    host_ip: String,
    client: Arc<Client>,
    recorder: Recorder,
    reports: Reports,
    unpacked: Unpacked,
    pressures: Pressures,
    /// The node's status is not what was told.
    node_changed: Notify,
    boot_id: Mutex<String>,
    pods: Mutex<Pods>,
}

impl Context {
    fn now(&self) -> Timestamp {
        self.client.cluster.clock()
    }

    /// Sleeps until the cluster's clock shows that time; for ever, when there is none.
    async fn sleep_until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.client.cluster.time.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// How long outside it takes until that much of the cluster's time has passed.
    fn outside(&self, inside: Duration) -> Duration {
        self.client.cluster.time.outside(inside)
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest pod of a name.
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods().named(namespace, name).cloned()
    }

    fn boot_id(&self) -> String {
        self.boot_id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A node's kubelet.
pub(crate) struct Kubelet {
    context: Arc<Context>,
    silent: watch::Sender<bool>,
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubelet").field("node", &self.context.node).finish_non_exhaustive()
    }
}

/// Starts the kubelet of a node: the node is registered, and Ready, once this returns, and the API server finds its kubelet. It is a
/// task among `tasks`: when that ends, nothing of it or of its pods goes on.
pub(crate) fn start(node: Node, tasks: &mut JoinSet<()>) -> Arc<Kubelet> {
    let client = Arc::new(Client::new(node.cluster.clone(), node.name()));
    let (recorder, told) = events::channel();
    let (reports, queue) = reports::channel();
    let context = Arc::new(Context {
        host_ip: node.address().to_string(),
        node,
        client,
        recorder,
        reports,
        unpacked: Unpacked::default(),
        pressures: Pressures::default(),
        node_changed: Notify::new(),
        boot_id: Mutex::new(uuid::Uuid::new_v4().to_string()),
        pods: Mutex::default(),
    });
    heartbeat::register(&context);
    let kubelet =
        Arc::new(Kubelet { context: context.clone(), silent: watch::Sender::new(false), stop: watch::Sender::new(false) });
    let silent = || kubelet.silent.subscribe();
    let running = [
        events::write(context.clone(), told, silent()).boxed(),
        reports::write(context.clone(), queue, silent()).boxed(),
        heartbeat::run(context.clone(), silent()).boxed(),
        dispatch::run(context.clone(), silent()).boxed(),
        evictions::run(context.clone(), silent()).boxed(),
    ];
    let mut stopped = kubelet.stop.subscribe();
    context.client.cluster.nodes.add(context.node.name(), kubelet.clone());
    let known = Known(context);
    tasks.spawn(async move {
        let _known = known;
        let mut all: JoinSet<()> = running.into_iter().collect();
        tokio::select! {
            // The kubelet itself is gone: nobody stops it any more.
            _ = stopped.wait_for(|stopped| *stopped) => {}
            Some(_) = all.join_next() => {}
        }
        all.shutdown().await;
    });
    kubelet
}

/// The API server knows of a kubelet until this is dropped.
struct Known(Arc<Context>);

impl Drop for Known {
    fn drop(&mut self) {
        self.0.client.cluster.nodes.remove(self.0.node.name());
    }
}

impl Kubelet {
    /// Its node.
    pub(crate) fn node(&self) -> &Node {
        &self.context.node
    }

    /// Ends it, and all that runs on its node. The API keeps what it was told last.
    #[cfg(test)]
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }

    /// Silences the node: it tells nothing and hears nothing, and its containers go on.
    pub(crate) fn pause(&self) {
        self.silent.send_replace(true);
    }

    /// Ends the silence.
    pub(crate) fn resume(&self) {
        self.silent.send_replace(false);
        heartbeat::report(&self.context, true);
    }

    /// Lets the node be short of something, or not any more.
    pub(crate) fn set_pressure(&self, pressure: Pressure, holds: bool) {
        self.context.pressures.set(pressure, holds);
        self.context.node_changed.notify_one();
    }

    /// Starts the kubelet itself anew; its containers go on.
    pub(crate) fn restart(&self) {
        heartbeat::register(&self.context);
    }

    /// The machine starts anew: nothing of what ran does any more, and what should is started again.
    pub(crate) fn reboot(&self) {
        let now = self.context.now();
        *self.context.boot_id.lock().unwrap_or_else(PoisonError::into_inner) = uuid::Uuid::new_v4().to_string();
        let pods: Vec<Arc<Pod>> = self.context.pods().all().cloned().collect();
        for pod in pods {
            let mut runtime = pod.runtime();
            for attempt in runtime.running() {
                attempt.lost(now);
            }
            runtime.sandbox = None;
            drop(runtime);
            pod.wake.notify_one();
        }
        heartbeat::register(&self.context);
    }
}
