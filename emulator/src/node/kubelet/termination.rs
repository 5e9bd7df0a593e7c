//! Ending containers (`killContainer` of `pkg/kubelet/kuberuntime`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::Context;
use super::actions::Cause;
use super::attempt::Attempt;
use super::hooks;
use super::pod::{Pod, container};
use super::status::is_sidecar;
use crate::kinds::view::{list, text};

/// Every container has at least so long to end by itself (`minimumGracePeriodInSeconds`).
const LEAST: Duration = Duration::from_secs(2);

fn seconds(value: &Value) -> Option<Duration> {
    value.as_i64().map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// How long a container is given (`setTerminationGracePeriod`).
fn grace(pod: &Value, container: &Value, cause: Cause) -> Duration {
    if let Some(given) = seconds(&pod["metadata"]["deletionGracePeriodSeconds"]) {
        return given;
    }
    let probe = match cause {
        Cause::Startup => &container["startupProbe"],
        Cause::Liveness => &container["livenessProbe"],
        Cause::Else => &Value::Null,
    };
    seconds(&probe["terminationGracePeriodSeconds"])
        .or_else(|| seconds(&pod["spec"]["terminationGracePeriodSeconds"]))
        .unwrap_or(LEAST)
}

/// One container that has to end.
pub(super) struct Ending<'a> {
    pub(super) context: &'a Context,
    pub(super) pod: &'a Arc<Pod>,
    pub(super) attempt: Arc<Attempt>,
    pub(super) cause: Cause,
    /// What is told of it.
    pub(super) message: String,
    /// How long it is given, if not as long as the pod says.
    pub(super) grace: Option<Duration>,
    /// Those that have to end before it.
    pub(super) after: Vec<Arc<Attempt>>,
}

impl Ending<'_> {
    /// Returns once it has ended.
    pub(super) async fn run(self) {
        let object = self.pod.object();
        let name = self.attempt.recipe.name.as_str();
        let part = self.pod.part(name);
        let nothing = Value::Null;
        let spec = container(&object, name).unwrap_or(&nothing);
        self.context.recorder.normal(&object, &part, "Killing", &self.message);
        let time = self.grace.unwrap_or_else(|| grace(&object, spec, self.cause));
        let end = Instant::now() + self.context.outside(time);
        let left = || end.saturating_duration_since(Instant::now());
        let handler = &spec["lifecycle"]["preStop"];
        if !handler.is_null() && !left().is_zero() {
            let ip = self.pod.runtime().ips.first().cloned().unwrap_or_default();
            let title = self.pod.title();
            let hook = hooks::run(self.context, handler, spec, &self.attempt, (&title, &ip));
            if let Ok(Err(why)) = timeout(left(), hook).await {
                tracing::debug!(pod = %title, container = name, why, "a hook failed");
                self.context.recorder.warning(&object, &part, "FailedPreStopHook", "PreStopHook failed");
            }
        }
        // Whoever does not end in time is not waited for.
        let _ = timeout(left(), join_all(self.after.iter().map(|attempt| attempt.exited()))).await;
        stop(&self.attempt, left().max(self.context.outside(LEAST))).await;
    }
}

/// Asks a container to end, and ends it when its time is over.
pub(super) async fn stop(attempt: &Arc<Attempt>, grace: Duration) {
    attempt.signal(k3s_arc_container::TERMINATE);
    if timeout(grace, attempt.exited()).await.is_err() {
        attempt.kill();
        attempt.exited().await;
    }
}

/// Ends all containers of a pod: those that go on beside the others last, and among them the first last (`newTerminationOrdering`).
pub(super) async fn stop_all(context: &Context, pod: &Arc<Pod>) {
    let running = pod.runtime().running();
    let object = pod.object();
    let names = |key: &str| list(&object["spec"][key]).iter().map(|c| text(&c["name"]).to_owned()).collect::<Vec<_>>();
    let (main, init) = (names("containers"), names("initContainers"));
    let sidecars: Vec<&str> =
        list(&object["spec"]["initContainers"]).iter().filter(|c| is_sidecar(c)).map(|c| text(&c["name"])).collect();
    // Who is evicted has no time (`immediateEvictionGracePeriodSeconds`).
    let grace = pod.wanted.borrow().evicted.as_ref().map(|_| Duration::from_secs(1));
    let place = |name: &str| init.iter().position(|n| n == name);
    let endings = running.iter().map(|attempt| {
        let name = attempt.recipe.name.as_str();
        let comes_first = |other: &Arc<Attempt>| {
            let other = other.recipe.name.as_str();
            main.iter().any(|n| n == other) || (sidecars.contains(&other) && place(other) > place(name))
        };
        let after =
            if sidecars.contains(&name) { running.iter().filter(|a| comes_first(a)).cloned().collect() } else { Vec::new() };
        let message = format!("Stopping container {name}");
        Ending { context, pod, attempt: attempt.clone(), cause: Cause::Else, message, grace, after }.run()
    });
    join_all(endings).await;
}
