//! Why a launch did not come to its end.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use crate::launcher::{Masker, OverlayError};

/// What a launch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Applying the overlay's objects.
    Apply,
    /// Waiting for the launcher's pod to be Ready.
    AwaitPod,
    /// Following the launcher's log until it exits.
    FollowLog,
    /// Looking up what the launcher deployed.
    FindNames,
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Apply => "the overlay was being applied",
            Step::AwaitPod => "the launcher's pod was awaited",
            Step::FollowLog => "the launcher was running",
            Step::FindNames => "what the launcher deployed was looked up",
        })
    }
}

/// Why a launch did not come to its end.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LaunchError {
    /// The tree or its inputs cannot be used; nothing was deployed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Overlay(#[from] OverlayError),
    /// The tree has no launcher in it.
    #[error("the rendered tree has no Job with a container `{container}`")]
    #[diagnostic(code(k3s_arc::launch::no_launcher), help("see base/launcher.yaml in microsoft/azure_arc"))]
    NoLauncher {
        /// The container that was looked for.
        container: &'static str,
    },
    /// The API did not do what it was asked.
    #[error("could not {attempted}: {cause}")]
    #[diagnostic(code(k3s_arc::launch::api))]
    Api {
        /// What was asked.
        attempted: String,
        /// What came back.
        cause: String,
        /// What to do about it.
        #[help]
        remedy: String,
    },
    /// Somebody else's object stands where one of ours would.
    #[error("{object} exists already and is not ours")]
    #[diagnostic(
        code(k3s_arc::launch::taken),
        help(
            "another launch may be running; if not, remove it with `kubectl delete -k` of the overlay it was made from, or `kubectl delete {object}`"
        )
    )]
    Taken {
        /// Which, as kubectl names it.
        object: String,
    },
    /// What was deleted does not go away.
    #[error("{object} is still there {seconds:.0} s after it was deleted: {why}", seconds = .after.as_secs_f64())]
    #[diagnostic(code(k3s_arc::launch::stuck))]
    Stuck {
        /// Which, as kubectl names it.
        object: String,
        /// How long it was awaited.
        after: Duration,
        /// What holds it.
        why: String,
        /// What to do about it.
        #[help]
        remedy: String,
    },
    /// The Job made no pod.
    #[error("the launcher's Job made no pod in {seconds:.0} s: {why}", seconds = .after.as_secs_f64())]
    #[diagnostic(
        code(k3s_arc::launch::no_pod),
        help("`kubectl describe job -n {namespace}`: quotas, admission and the Job controller show there")
    )]
    NoPod {
        /// How long it was awaited.
        after: Duration,
        /// The launcher's namespace.
        namespace: String,
        /// What the Job's events say.
        why: String,
    },
    /// No node takes the pod.
    #[error("the launcher's pod was not scheduled in {seconds:.0} s: {message}", seconds = .after.as_secs_f64())]
    #[diagnostic(
        code(k3s_arc::launch::unschedulable),
        help("`kubectl describe node` shows taints, conditions and what is allocated")
    )]
    Unschedulable {
        /// How long it was awaited.
        after: Duration,
        /// What the scheduler says.
        message: String,
    },
    /// The image did not come.
    #[error("the launcher's image {image} could not be pulled in {seconds:.0} s: {cause}", seconds = .after.as_secs_f64())]
    #[diagnostic(code(k3s_arc::launch::image_pull))]
    ImagePull {
        /// The image.
        image: String,
        /// How long it was awaited.
        after: Duration,
        /// What the kubelet says.
        cause: String,
        /// What to do about it.
        #[help]
        remedy: String,
    },
    /// The pod is there but does not start.
    #[error("the launcher's pod was not Ready in {seconds:.0} s: {seen}", seconds = .after.as_secs_f64())]
    #[diagnostic(code(k3s_arc::launch::never_ready), help("`kubectl describe pod -n {namespace}` shows its events"))]
    NeverReady {
        /// How long it was awaited.
        after: Duration,
        /// The launcher's namespace.
        namespace: String,
        /// What was seen last.
        seen: String,
    },
    /// The pod cannot come to an end of its own any more.
    #[error("the launcher's pod is lost: {reason}{}", after_line(.last_line))]
    #[diagnostic(
        code(k3s_arc::launch::pod_lost),
        help("something deleted or evicted it: see the events of namespace {namespace} and the node's conditions")
    )]
    PodLost {
        /// What became of it.
        reason: String,
        /// The launcher's namespace.
        namespace: String,
        /// The launcher's last line.
        last_line: Option<String>,
    },
    /// The launcher ended, but its log cannot be read to the end.
    #[error("the launcher ended with {exit_code}, but the rest of its log could not be read: {cause}{}", after_line(.last_line))]
    #[diagnostic(
        code(k3s_arc::launch::log_lost),
        help("the API server reads logs from the node's kubelet, port 10250: see that it reaches it")
    )]
    LogLost {
        /// The launcher's exit code.
        exit_code: i32,
        /// What came back.
        cause: String,
        /// The launcher's last line that was read.
        last_line: Option<String>,
    },
    /// The launch took too long.
    #[error("the launch was not over after {seconds:.0} s; {step}{}", after_line(.last_line), seconds = .after.as_secs_f64())]
    #[diagnostic(
        code(k3s_arc::launch::deadline),
        help(
            "the launcher's last line tells its stage; what it waits for shows in the namespaces arc-ci-launcher and ns<epoch>"
        )
    )]
    Deadline {
        /// How long it was allowed.
        after: Duration,
        /// What it was doing.
        step: Step,
        /// The launcher's last line.
        last_line: Option<String>,
    },
}

fn after_line(last_line: &Option<String>) -> String {
    last_line.as_ref().map_or_else(String::new, |line| format!("; the launcher's last line: {line}"))
}

impl LaunchError {
    /// What the API refused, with what to do about it.
    pub(super) fn api(attempted: impl Into<String>, error: &kube::Error, masker: &Masker) -> Self {
        let (cause, remedy) = match error {
            kube::Error::Api(status) => {
                let remedy = match status.code {
                    401 => "the kubeconfig's credentials are not accepted: they may be another cluster's",
                    403 => "the launcher needs cluster-admin, and so does who grants it: use a kubeconfig with that role",
                    404 => "the cluster does not serve this kind, or something deleted the object meanwhile",
                    409 => "something else changes the same object: see that no other launch runs",
                    422 => "the API server rejects the rendered object: see `kubectl apply -k` of the same tree",
                    429 | 500..=599 => "the API server is overloaded or restarting: see the node's log",
                    _ => "see the API server's answer above",
                };
                (format!("{} ({})", status.message, status.code), remedy)
            }
            kube::Error::Discovery(error) => {
                (error.to_string(), "the cluster does not serve this kind: something in the overlay is for another distribution")
            }
            other => (crate::chain(other), "the API server cannot be reached: see that the cluster still runs"),
        };
        Self::Api { attempted: attempted.into(), cause: masker.mask(&cause).into_owned(), remedy: remedy.to_owned() }
    }
}
