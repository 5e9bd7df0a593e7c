//! One pod's life (`pkg/kubelet/pod_workers.go`, `SyncPod` and its kin): what is wanted and what is there is compared, and the
//! difference made up, until the pod has ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Context;
use super::actions::{self, Present};
use super::attempt::words_of;
use super::backoff::{Backoff, go_seconds};
use super::client::SECRETS;
use super::pod::{Pod, Wanted};
use super::pulls::{Missing, Pulls};
use super::sandbox::Sandbox;
use super::starting::{Plan, first_number, folder_of, with_addresses};
use super::status::{self, Known, Reasons, is_sidecar};
use super::termination::{self, Ending};
use super::{admission, hooks, probes};
use crate::kinds::view::{list, text};
use crate::node::setup::{PodVolumes, volumes};

/// What failed is tried again after this (`backOffPeriod`).
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// How often the kubelet asks the runtime what has changed (`genericPlegRelistPeriod`).
const RELIST: SignedDuration = SignedDuration::from_secs(1);
/// How long a runtime is at taking a sandbox and its network away.
const SANDBOX_END: SignedDuration = SignedDuration::from_millis(100);
/// Volumes that cannot be mounted are tried again after this; it doubles (`exponentialbackoff`).
const FIRST_MOUNT: SignedDuration = SignedDuration::from_millis(500);
const LAST_MOUNT: SignedDuration = SignedDuration::from_secs(122);
/// How often what volumes show is brought up to date (`syncFrequency`).
const REFRESH: SignedDuration = SignedDuration::from_secs(60);

const DEADLINE: (&str, &str) = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");

/// What a look at the pod led to.
enum Looked {
    /// It has ended, or has to.
    Terminal,
    /// All is done; then it is to be looked at again.
    Again(Option<Timestamp>),
}

struct Worker {
    context: Arc<Context>,
    pod: Arc<Pod>,
    volumes: Option<PodVolumes>,
    mount_wait: SignedDuration,
    /// When what the volumes show is brought up to date, and of which pod it is.
    refresh_at: Timestamp,
    refreshed: Arc<Value>,
    crashes: Backoff,
    pulls: Pulls,
    reasons: Reasons,
    /// Its containers' processes and their probes: they end with the worker.
    tasks: JoinSet<()>,
}

/// Lives a pod's life.
pub(super) async fn run(context: Arc<Context>, pod: Arc<Pod>) {
    let mut worker = Worker {
        context,
        pod,
        volumes: None,
        mount_wait: FIRST_MOUNT,
        refresh_at: Timestamp::MAX,
        refreshed: Arc::default(),
        crashes: Backoff::default(),
        pulls: Pulls::default(),
        reasons: Reasons::new(),
        tasks: JoinSet::new(),
    };
    let pod = worker.pod.clone();
    if !survives(&pod.title(), worker.live()).await {
        // What it was at is not known: all that can be done is to end it, once that is wanted.
        ending(&pod).await;
    }
    if !survives(&pod.title(), worker.end()).await {
        worker.tasks.shutdown().await;
    }
    survives(&pod.title(), worker.rest()).await;
    // Its folders are no longer needed by anyone.
    let folder = folder_of(&worker.context.node.root, &pod.uid);
    if let Err(error) = volumes::remove(&worker.context.node.disk, &folder) {
        tracing::warn!(folder = %folder.display(), %error, "a pod's folder stays");
    }
}

/// Whether a part of a pod's life came to its end without a panic: of a worker's, the pod must not stay for ever.
async fn survives(pod: &str, part: impl Future<Output = ()>) -> bool {
    let done = AssertUnwindSafe(part).catch_unwind().await;
    if let Err(panic) = &done {
        tracing::error!(pod, panic = words_of(&**panic), "the worker of a pod panicked");
    }
    done.is_ok()
}

impl Worker {
    fn wanted(&self) -> Wanted {
        self.pod.wanted.borrow().clone()
    }

    fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// Until the pod has to end.
    async fn live(&mut self) {
        let wanted = self.wanted();
        let is_over = matches!(text(&wanted.object["status"]["phase"]), "Succeeded" | "Failed");
        if is_over {
            return;
        }
        if let Err((reason, message)) = admission::admit(&self.context, &self.pod) {
            self.reject(&wanted.object, &reason, &message);
            return;
        }
        let pod = self.pod.clone();
        let mut changes = pod.wanted.subscribe();
        loop {
            changes.mark_unchanged();
            if self.wanted().is_ending() {
                return;
            }
            // What is begun is done, though the pod has to end meanwhile (`SyncPod` of the runtime is not cancelled).
            let Looked::Again(next) = self.look().await else { return };
            // What was found may be written before the next is.
            tokio::task::yield_now().await;
            tokio::select! {
                _ = changes.changed() => {}
                () = pod.wake.notified() => {}
                () = self.context.sleep_until(next) => {}
            }
        }
    }

    fn reject(&self, object: &Arc<Value>, reason: &str, message: &str) {
        self.context.recorder.warning(object, "", reason, message);
        let status = serde_json::json!({
            "phase": "Failed",
            "reason": reason,
            "message": format!("Pod was rejected: {message}"),
            "qosClass": object["status"]["qosClass"],
            "observedGeneration": object["metadata"]["generation"],
            "startTime": crate::cluster::time(self.now()),
        });
        self.context.reports.set(&self.pod, status, false, false);
    }

    /// Tells how the pod is. Returns its phase.
    fn report(&self, is_terminal: bool) -> String {
        let object = self.pod.object();
        let old = self.pod.status();
        let late = self.deadline(&object, &old).filter(|end| *end <= self.now()).map(|_| DEADLINE);
        if let Some((reason, message)) = late
            && old["reason"] != reason
        {
            self.context.recorder.normal(&object, "", reason, message);
        }
        // A pod that ended well before it was ended has succeeded all the same.
        let unwanted = self.pod.wanted.borrow().evicted.clone().filter(|_| !is_terminal);
        let evicted = unwanted.as_ref().map(|evicted| ("Evicted", evicted.message.as_str())).or(late);
        let is_disrupted = unwanted.as_ref().is_some_and(|evicted| evicted.disrupts);
        let status = {
            let runtime = self.pod.runtime();
            status::generate(&Known {
                pod: &object,
                old: &old,
                attempts: &runtime.seen(),
                reasons: &self.reasons,
                has_sandbox: runtime.sandbox.is_some(),
                ips: &runtime.ips,
                host_ip: &self.context.host_ip,
                is_terminal,
                evicted,
                is_disrupted,
                now: self.now(),
            })
        };
        let phase = text(&status["phase"]).to_owned();
        self.context.reports.set(&self.pod, status, false, false);
        phase
    }

    /// When the pod has been active for too long.
    fn deadline(&self, pod: &Value, status: &Value) -> Option<Timestamp> {
        let seconds = pod["spec"]["activeDeadlineSeconds"].as_i64()?;
        let started: Timestamp = text(&status["startTime"]).parse().ok()?;
        started.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Looks once and does what is to be done (`SyncPod`).
    async fn look(&mut self) -> Looked {
        if is_over(&self.report(false)) {
            return Looked::Terminal;
        }
        let mut next = self.deadline(&self.pod.object(), &self.pod.status());
        let mut by = |at: Timestamp| next = Some(next.map_or(at, |before| before.min(at)));
        match self.mount() {
            Ok(at) => by(at),
            Err(at) => {
                by(at);
                return Looked::Again(next);
            }
        }
        self.miss_secrets();
        match self.act().await {
            Ok(None) => {}
            Ok(Some(at)) => by(at),
            Err(()) => by(self.now() + RETRY),
        }
        if is_over(&self.report(false)) { Looked::Terminal } else { Looked::Again(next) }
    }

    /// Gives the pod its volumes, or brings them up to date. Returns when to look again: `Err` when they are not there.
    fn mount(&mut self) -> Result<Timestamp, Timestamp> {
        let (object, now) = (self.pod.object(), self.now());
        if let Some(volumes) = &self.volumes {
            if self.refresh_at <= now || !Arc::ptr_eq(&self.refreshed, &object) {
                if let Err(error) = volumes.refresh(&self.context.node, &object) {
                    self.context.recorder.warning(&object, "", error.reason, &error.message);
                }
                (self.refresh_at, self.refreshed) = (now + REFRESH, object);
            }
            return Ok(self.refresh_at);
        }
        match volumes::set_up(&self.context.node, &object) {
            Ok(volumes) => {
                self.volumes = Some(volumes);
                (self.refresh_at, self.refreshed) = (now + REFRESH, object);
                Ok(self.refresh_at)
            }
            Err(error) => {
                self.context.recorder.warning(&object, "", error.reason, &error.message);
                let at = now + self.mount_wait;
                self.mount_wait = (self.mount_wait + self.mount_wait).min(LAST_MOUNT);
                Err(at)
            }
        }
    }

    /// Tells of secrets for pulling images that are not there. Nothing is done with those that are: registries are not emulated.
    fn miss_secrets(&self) {
        let object = self.pod.object();
        let names = list(&object["spec"]["imagePullSecrets"]).iter().map(|secret| text(&secret["name"]));
        let is_there = |name: &str| self.context.client.get(SECRETS, &self.pod.namespace, name).is_some();
        let missing: Vec<&str> = names.filter(|name| !name.is_empty() && !is_there(name)).collect();
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.context.recorder.warning(&object, "", "FailedToRetrieveImagePullSecret", message);
        }
    }

    /// Makes up the difference (`kuberuntime.SyncPod`). Returns when something is to be tried again; `Err`: it failed as a whole.
    async fn act(&mut self) -> Result<Option<Timestamp>, ()> {
        let object = self.pod.object();
        let todo = {
            let runtime = self.pod.runtime();
            let (has_sandbox, has_begun) = (runtime.sandbox.is_some(), runtime.has_begun);
            actions::of(&Present { pod: &object, attempts: &runtime.seen(), has_sandbox, has_begun })
        };
        if todo.kill_pod {
            termination::stop_all(&self.context, &self.pod).await;
            self.pod.runtime().sandbox = None;
        }
        for kill in &todo.kill {
            let attempt = self.pod.runtime().newest(&kill.name).cloned();
            if let Some(attempt) = attempt.filter(|attempt| attempt.is_running()) {
                let (cause, message) = (kill.cause, kill.message.clone());
                Ending { context: &self.context, pod: &self.pod, attempt, cause, message, grace: None, after: Vec::new() }
                    .run()
                    .await;
            }
        }
        let mut next = None;
        if todo.make_sandbox {
            self.make_sandbox(&object)?;
            // That it is there is news, upon which the kubelet looks again.
            next = Some(self.now() + RELIST);
        }
        let mut by = |at: Option<Timestamp>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |before: Timestamp| before.min(at)));
            }
        };
        let spec = &object["spec"];
        for (key, places) in
            [("ephemeralContainers", &todo.ephemeral), ("initContainers", &todo.init), ("containers", &todo.containers)]
        {
            for place in places {
                let container = &spec[key][*place];
                let failed = self.start(&object, key, container).await.err();
                by(failed);
                if failed.is_some() && key == "initContainers" && !is_sidecar(container) {
                    return Ok(next);
                }
            }
        }
        Ok(next)
    }

    fn make_sandbox(&mut self, object: &Arc<Value>) -> Result<(), ()> {
        if self.pod.runtime().had_sandbox {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.context.recorder.normal(object, "", "SandboxChanged", message);
        }
        match Sandbox::make(&self.context.node, object) {
            Ok(sandbox) => {
                let mut runtime = self.pod.runtime();
                runtime.ips = vec![sandbox.ip.to_string()];
                runtime.sandbox = Some(sandbox);
                runtime.had_sandbox = true;
                Ok(())
            }
            Err(why) => {
                let message = format!("Failed to create pod sandbox: rpc error: code = Unknown desc = {why}");
                self.context.recorder.warning(object, "", "FailedCreatePodSandBox", message);
                Err(())
            }
        }
    }

    /// Starts a container. `Err`: when to try again.
    async fn start(&mut self, object: &Arc<Value>, key: &str, container: &Value) -> Result<(), Timestamp> {
        let name = text(&container["name"]).to_owned();
        if let Some(end) = self.backs_off(object, &name) {
            return Err(end.min(self.now() + RETRY));
        }
        match self.try_start(object, key, container).await {
            Ok(()) => {
                self.reasons.remove(&name);
                Ok(())
            }
            Err(reason) => {
                self.reasons.insert(name, reason);
                let now = self.now();
                let pulls_again = self.pulls.waits_until(text(&container["image"]), now);
                Err(pulls_again.unwrap_or(now + RETRY).min(now + RETRY))
            }
        }
    }

    /// Whether a container that fails again and again has to wait, and until when (`doBackOff`).
    fn backs_off(&mut self, object: &Arc<Value>, name: &str) -> Option<Timestamp> {
        let newest = self.pod.runtime().newest(name).cloned()?;
        let super::attempt::State::Exited(exit) = newest.state() else { return None };
        let now = self.now();
        if let Some(end) = self.crashes.since(name, exit.finished, now) {
            let title = self.pod.title();
            let message = format!("Back-off restarting failed container {name} in pod {title}");
            self.context.recorder.warning(object, &self.pod.part(name), "BackOff", message);
            let wait = go_seconds(self.crashes.get(name));
            let message = format!("back-off {wait} restarting failed container={name} pod={title}");
            self.reasons.insert(name.to_owned(), ("CrashLoopBackOff", message));
            return Some(end);
        }
        self.crashes.next(name, exit.finished, now);
        None
    }

    async fn try_start(&mut self, object: &Arc<Value>, key: &str, container: &Value) -> Result<(), Missing> {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        let name = text(&container["name"]);
        let part = pod.part(name);
        let tell = |what: &str| context.recorder.warning(object, &part, "Failed", format!("Error: {what}"));
        let clock = || context.now();
        let pulled = self.pulls.ensure(&context.node.images, &context.recorder, (object, &part, container), clock).await;
        let pulled = pulled.inspect_err(|(reason, _)| tell(reason))?;
        let (sandbox, number) = {
            let runtime = pod.runtime();
            let before = runtime.newest(name).map(|attempt| attempt.recipe.number + 1);
            let status = format!("{}Statuses", key.trim_end_matches('s'));
            (runtime.sandbox.clone(), before.unwrap_or_else(|| first_number(&pod.cached().status, &status, name)))
        };
        let (Some(sandbox), Some(volumes)) = (sandbox, &self.volumes) else {
            return Err(("CreateContainerError", "the pod has no sandbox".to_owned()));
        };
        let with_ips = with_addresses(object, &context.host_ip, &sandbox.ip.to_string());
        let plan = Plan { context: &context, pod: &with_ips, container, sandbox: &sandbox, volumes, number };
        let made = plan.make(&pulled).inspect_err(|(_, why)| tell(why))?;
        context.recorder.normal(object, &part, "Created", format!("Created container: {name}"));
        let attempt = made.attempt.clone();
        let program = match made.program() {
            Ok(program) => program,
            Err(why) => {
                tell(&why);
                attempt.never_started(why.clone(), context.now());
                pod.runtime().add(attempt);
                pod.wake.notify_one();
                return Err(("RunContainerError", why));
            }
        };
        pod.runtime().add(attempt.clone());
        let clock = context.clone();
        let running = made.start(&program, move || clock.now());
        let wakes = pod.clone();
        self.tasks.spawn(async move {
            running.await;
            wakes.wake.notify_one();
        });
        while self.tasks.try_join_next().is_some() {}
        context.recorder.normal(object, &part, "Started", format!("Started container {name}"));
        self.post_start(object, &part, container, &attempt, &sandbox).await?;
        probes::start(&mut self.tasks, &context, &pod, &attempt, container);
        if key == "initContainers" && is_sidecar(container) {
            // The next one has waited for it to run.
            pod.wake.notify_one();
        }
        Ok(())
    }

    /// Runs what is to be run once a container has started; it does not go on if that fails.
    async fn post_start(
        &self,
        object: &Arc<Value>,
        part: &str,
        container: &Value,
        attempt: &Arc<super::attempt::Attempt>,
        sandbox: &Sandbox,
    ) -> Result<(), Missing> {
        let handler = &container["lifecycle"]["postStart"];
        if handler.is_null() {
            return Ok(());
        }
        let (title, ip) = (self.pod.title(), sandbox.ip.to_string());
        let Err(why) = hooks::run(&self.context, handler, container, attempt, (&title, &ip)).await else { return Ok(()) };
        self.context.recorder.warning(object, part, "FailedPostStartHook", "PostStartHook failed");
        let (attempt, message) = (attempt.clone(), "FailedPostStartHook".to_owned());
        let cause = actions::Cause::Else;
        Ending { context: &self.context, pod: &self.pod, attempt, cause, message, grace: None, after: Vec::new() }.run().await;
        Err(("PostStartHookError", why))
    }

    /// Ends what runs (`SyncTerminatingPod`, `SyncTerminatedPod`).
    async fn end(&mut self) {
        let is_rejected = self.pod.status()["conditions"].is_null() && is_over(text(&self.pod.status()["phase"]));
        if !is_rejected {
            self.report(false);
        }
        termination::stop_all(&self.context, &self.pod).await;
        self.pod.runtime().sandbox = None;
        if !is_rejected {
            self.wait_for_the_end(SANDBOX_END).await;
            self.report(true);
        }
        if let Some(volumes) = self.volumes.take()
            && let Err(error) = volumes.tear_down(&self.context.node)
        {
            tracing::warn!(pod = self.pod.title(), %error, "a pod's volumes stay");
        }
        self.pod.is_admitted.store(false, Ordering::Relaxed);
        if !is_rejected {
            self.wait_for_the_end(RELIST / 2).await;
        }
        let status = status::finished(self.pod.status(), &self.pod.object());
        self.context.reports.set(&self.pod, status, true, true);
    }

    /// Waits until the runtime has done away with the sandbox, and until it has told so (`podCache.GetNewerThan`): half a period, as a
    /// rule. As long, who asks still finds the pod.
    async fn wait_for_the_end(&self, time: SignedDuration) {
        let heard = self.now() + time;
        let mut wanted = self.pod.wanted.subscribe();
        tokio::select! {
            () = self.context.sleep_until(Some(heard)) => {}
            _ = wanted.wait_for(|wanted| wanted.is_removed) => {}
        }
    }

    /// Waits until the pod is gone from the API; whoever wants it gone is helped.
    async fn rest(&mut self) {
        let pod = self.pod.clone();
        let mut changes = pod.wanted.subscribe();
        loop {
            let wanted = changes.borrow_and_update().clone();
            if wanted.is_removed {
                return;
            }
            if wanted.is_ending() {
                let mut status = pod.status();
                status["observedGeneration"] = wanted.object["metadata"]["generation"].clone();
                self.context.reports.set(&pod, status, true, true);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

fn is_over(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// Returns once a pod has to end.
async fn ending(pod: &Pod) {
    if pod.wanted.subscribe().wait_for(Wanted::is_ending).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_survived() {
        assert!(survives("p", async {}).await);
        assert!(!survives("p", async { panic!("at the disco") }).await);
    }
}
