//! Probes: pods that look from inside (names, files, limits) and report as JSON.
//!
//! What a pod is given is seen only from inside a pod. So a [`Probe`] runs the stand-in's image, whose binary
//! answers one [`Request`] in one line, and reads that line from the pod's log.

mod pod;
mod served;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, LogParams, PostParams},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

pub use self::served::served;
use crate::{
    check::Context,
    wait::{self, WaitError},
};
pub use k3s_arc_standin::probe::{Report, Request, cgroup, dns, files, http, load};

/// Enough for a pod whose claim is provisioned (6 s on a hot K3s) on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(90);

/// One question to be asked from inside a pod.
#[must_use = "a probe asks nothing until it is run"]
#[derive(Debug, Clone)]
pub struct Probe {
    name: String,
    pod: Pod,
    deadline: Duration,
}

impl Probe {
    /// A probe; its pod will be called `probe-<name>-` and five letters.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), pod: pod::skeleton(name), deadline: DEADLINE }
    }

    /// Asks this.
    pub fn asking(self, request: Request) -> Self {
        self.with_pod(|pod| pod::ask(pod, &request))
    }

    /// Changes the pod: volumes, security context, resources, DNS configuration, ...
    pub fn with_pod(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.pod);
        self
    }

    /// How long it may take from creation to its end, image and claims included; 90 s if not said.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The pod that it runs, with the stand-in's `image`, for who wants to watch it by other means.
    pub fn pod(&self, image: &str) -> Pod {
        pod::with_image(self.pod.clone(), image)
    }

    /// Runs the pod in the context's namespace, and gives its answer.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn run<A: DeserializeOwned>(self, cx: &Context) -> Result<A, ProbeError> {
        self.run_in(cx.client(), cx.namespace(), cx.cluster().standin_image()).await
    }

    /// Runs the pod in a namespace, and gives its answer. A pod that ended is removed once its log is read.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn run_in<A: DeserializeOwned>(self, client: Client, namespace: &str, image: &str) -> Result<A, ProbeError> {
        let probe = self.name.clone();
        let api = |attempted| {
            let probe = probe.clone();
            move |source| ProbeError::Api { probe, attempted, source }
        };
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let ends = Instant::now() + self.deadline;
        let left = || ends.saturating_duration_since(Instant::now());

        let created = loop {
            let created = pods.create(&PostParams::default(), &self.pod(image)).await.map_err(api("create its pod"))?;
            let name = created.name_any();
            let what = format!("pod {namespace}/{name} of probe {probe} ends");
            match wait::until(pods.clone(), wait::named(&name), what, left(), pod::progress).await {
                Ok(pod::Progress::Ended(ended)) => break *ended,
                Ok(pod::Progress::Stuck) => {
                    pods.delete(&name, &DeleteParams::default().grace_period(0)).await.map_err(api("delete its stuck pod"))?;
                    pod::claims_can_be_provisioned(client.clone(), &created, left())
                        .await
                        .map_err(|source| ProbeError::NotRun { probe: probe.clone(), source })?;
                }
                Err(source) => return Err(ProbeError::NotRun { probe, source }),
            }
        };

        let name = created.name_any();
        let log = pods.logs(&name, &LogParams::default()).await.map_err(api("read its log"))?;
        let report = report(&log);
        if report.is_some() {
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await.map_err(api("delete its pod"))?;
        }
        match report {
            Some(Report::Answer(answer)) => Ok(answer),
            Some(Report::Error(error)) => Err(ProbeError::Failed { probe, error }),
            None => Err(ProbeError::Garbled { probe, ended: pod::end(&created), log: excerpt(&log) }),
        }
    }
}

/// The report in a probe's log, if there is one.
fn report<A: DeserializeOwned>(log: &str) -> Option<Report<A>> {
    log.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

/// The end of a log, short enough for an error.
fn excerpt(log: &str) -> String {
    match log.trim() {
        "" => "nothing".to_owned(),
        log => log.chars().skip(log.chars().count().saturating_sub(500)).collect(),
    }
}

/// Why a probe brought no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ProbeError {
    /// The API refused something the probe needs.
    #[error("probe {probe}: the API refused to {attempted}")]
    Api {
        /// The probe's name.
        probe: String,
        /// What was attempted.
        attempted: &'static str,
        /// What the API answered.
        source: kube::Error,
    },
    /// The pod did not come to run, or to its end: unschedulable, no image, no volume ...
    #[error("probe {probe}: its pod did not run")]
    #[diagnostic(help("the pod is left for `kubectl describe`; the namespace's events tell more"))]
    NotRun {
        /// The probe's name.
        probe: String,
        /// What was seen last.
        source: WaitError,
    },
    /// The probe ran and could not look.
    #[error("probe {probe}: {error}")]
    Failed {
        /// The probe's name.
        probe: String,
        /// What it says.
        error: String,
    },
    /// The pod ended without a report that is one.
    #[error("probe {probe}: its pod {ended} and printed no answer of the kind asked for, but: {log}")]
    #[diagnostic(help("does the cluster's stand-in image come from the same build as this program?"))]
    Garbled {
        /// The probe's name.
        probe: String,
        /// How its container ended, such as `ended with 137 (OOMKilled)`.
        ended: String,
        /// The end of what it printed.
        log: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_the_last_line_that_is_one() {
        let log = "a warning of the runtime's\n{\"answer\":7}\n";
        assert_eq!(report::<u8>(log), Some(Report::Answer(7)));
        assert_eq!(report::<u8>("{\"error\":\"no nameserver\"}"), Some(Report::Error("no nameserver".to_owned())));
    }

    #[test]
    fn an_answer_of_another_kind_is_none() {
        assert_eq!(report::<u8>("{\"answer\":\"text\"}"), None);
    }

    #[test]
    fn an_excerpt_is_the_end() {
        assert_eq!(excerpt(" \n"), "nothing");
        assert_eq!(excerpt(&format!("{}end", "x".repeat(1000))).len(), 500);
    }
}
