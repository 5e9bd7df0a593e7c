//! Probes (`pkg/kubelet/prober`): each is a task beside its container, as long as that runs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::Context;
use super::attempt::{Attempt, Found};
use super::http::{Get, dial, port_of};
use super::pod::Pod;
use super::{exec, hooks};
use crate::kinds::view::{int, text};

/// What a probe decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    fn set(self, found: &mut Found, good: bool) {
        match self {
            Self::Startup => found.startup = Some(good),
            Self::Readiness => found.readiness = Some(good),
            Self::Liveness => found.liveness = Some(good),
        }
    }
}

/// What one look has shown.
enum Outcome {
    Success,
    Warning(String),
    Failure(String),
    /// It could not be looked.
    Error(String),
}

/// A container that has just started is given so long before it is asked whether it is ready: the real kubelet needs that long to
/// notice that it runs.
const FIRST: Duration = Duration::from_millis(100);
/// How often a probe that cannot look tries to.
const TRIES: usize = 3;

/// Begins the probes of a container.
pub(super) fn start(tasks: &mut JoinSet<()>, context: &Arc<Context>, pod: &Arc<Pod>, attempt: &Arc<Attempt>, container: &Value) {
    for kind in Kind::ALL {
        let spec = container[kind.field()].clone();
        if spec.is_null() {
            continue;
        }
        let prober = Prober {
            kind,
            spec,
            container: container.clone(),
            pod: pod.clone(),
            attempt: attempt.clone(),
            context: context.clone(),
        };
        tasks.spawn(async move {
            let attempt = prober.attempt.clone();
            tokio::select! {
                () = prober.run() => {}
                () = attempt.exited() => {}
            }
        });
    }
}

struct Prober {
    kind: Kind,
    spec: Value,
    container: Value,
    pod: Arc<Pod>,
    attempt: Arc<Attempt>,
    context: Arc<Context>,
}

impl Prober {
    fn seconds(&self, field: &str) -> Duration {
        Duration::from_secs(u64::try_from(int(&self.spec[field])).unwrap_or_default())
    }

    async fn run(self) {
        let began = Instant::now();
        if self.kind != Kind::Startup && !self.container["startupProbe"].is_null() {
            self.attempt.started().await;
        }
        let period = self.seconds("periodSeconds").max(Duration::from_secs(1));
        let delay = self.seconds("initialDelaySeconds");
        // The kubelet looks at the end of each period; for readiness also once the container has started.
        let periods = delay.as_secs().div_ceil(period.as_secs()).max(1);
        let first = match self.kind {
            Kind::Readiness if delay.is_zero() => FIRST,
            _ => period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX)),
        };
        let first = began + self.context.outside(first);
        let mut ticks = tokio::time::interval_at(first.max(Instant::now()), self.context.outside(period));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut run) = (None, 0);
        loop {
            ticks.tick().await;
            if self.kind != Kind::Readiness && self.pod.wanted.borrow().is_ending() {
                // A quiet end.
                return self.found(true);
            }
            let Some(good) = self.look().await else { continue };
            run = if last == Some(good) { run + 1 } else { 1 };
            last = Some(good);
            let threshold = if good { "successThreshold" } else { "failureThreshold" };
            if run < int(&self.spec[threshold]) {
                continue;
            }
            self.found(good);
            if self.kind == Kind::Startup || (self.kind == Kind::Liveness && !good) {
                // Until there is a new container.
                return;
            }
        }
    }

    fn found(&self, good: bool) {
        if self.attempt.find(|found| self.kind.set(found, good)) {
            self.pod.wake.notify_one();
        }
    }

    /// Looks once and tells of what is wrong; none: it could not be looked.
    async fn look(&self) -> Option<bool> {
        let mut outcome = Outcome::Success;
        for _ in 0..TRIES {
            outcome = self.try_once().await;
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
        }
        let title = self.kind.title();
        let tell = |reason: &str, message: String| {
            let part = self.pod.part(text(&self.container["name"]));
            self.context.recorder.warning(&self.pod.object(), &part, reason, message);
        };
        match outcome {
            Outcome::Success => Some(true),
            Outcome::Warning(why) => {
                tell("ProbeWarning", format!("{title} probe warning: {why}"));
                Some(true)
            }
            Outcome::Failure(why) => {
                tell("Unhealthy", format!("{title} probe failed: {why}"));
                Some(false)
            }
            Outcome::Error(why) => {
                tell("Unhealthy", format!("{title} probe errored and resulted in unknown state: {why}"));
                None
            }
        }
    }

    async fn try_once(&self) -> Outcome {
        let timeout = self.seconds("timeoutSeconds").max(Duration::from_secs(1));
        let spec = &self.spec;
        if !spec["exec"].is_null() {
            self.run_command(&hooks::command(&spec["exec"]), timeout).await
        } else if !spec["httpGet"].is_null() {
            self.get(&spec["httpGet"], timeout).await
        } else if !spec["tcpSocket"].is_null() {
            self.dial(&spec["tcpSocket"], timeout).await
        } else if !spec["grpc"].is_null() {
            Outcome::Error("gRPC probes are not emulated".to_owned())
        } else {
            let name = text(&self.container["name"]);
            Outcome::Error(format!("missing probe handler for {}:{name}", self.pod.title()))
        }
    }

    fn pod_ip(&self) -> String {
        self.pod.runtime().ips.first().cloned().unwrap_or_default()
    }

    async fn run_command(&self, command: &[String], timeout: Duration) -> Outcome {
        match tokio::time::timeout(timeout, exec::output(&self.attempt, command)).await {
            Ok(Ok((0, _))) => Outcome::Success,
            Ok(Ok((_, output))) => Outcome::Failure(output),
            Ok(Err(why)) => Outcome::Error(why),
            Err(_) => {
                let (command, seconds) = (command.join(" "), timeout.as_secs());
                Outcome::Failure(format!("command timed out: \"{command}\" timed out after {seconds}s"))
            }
        }
    }

    async fn get(&self, action: &Value, timeout: Duration) -> Outcome {
        let get = match Get::of(action, &self.container, &self.pod_ip(), "probe") {
            Ok(get) => get,
            Err(why) => return Outcome::Error(why),
        };
        match get.send(&self.attempt.recipe.container.net, Some(timeout)).await {
            Ok(answer) => match answer.status {
                200..300 => Outcome::Success,
                300..400 => Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)),
                status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
            },
            Err(why) => Outcome::Failure(why),
        }
    }

    async fn dial(&self, action: &Value, timeout: Duration) -> Outcome {
        let port = match port_of(&action["port"], &self.container) {
            Ok(port) => port,
            Err(why) => return Outcome::Error(why),
        };
        let ip = self.pod_ip();
        let host = Some(text(&action["host"])).filter(|host| !host.is_empty()).unwrap_or(&ip);
        match tokio::time::timeout(timeout, dial(&self.attempt.recipe.container.net, host, port)).await {
            Ok(Ok(_)) => Outcome::Success,
            Ok(Err(why)) => Outcome::Failure(why),
            Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
        }
    }
}
