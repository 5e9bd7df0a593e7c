//! What the API answers, and to whom.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use kube::{Client, client::Body, config::Kubeconfig};
use tokio::time::timeout;

use super::{ASKED, Vitals};
use crate::diagnosis::{Finding, Standing};

/// What the API answered when it was asked for something that is always there, and that only its users may see.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Answer {
    /// It gave it.
    Good {
        /// How long that took.
        after: Duration,
    },
    /// There is no kubeconfig that can be used.
    NoClient {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no connection.
    Unreachable {
        /// What came back.
        reason: String,
    },
    /// It accepted the connection, and that was all.
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// Its certificate is not the kubeconfig's.
    Stranger {
        /// What is wrong with it.
        reason: String,
    },
    /// It does not know the kubeconfig's user.
    UnknownUser {
        /// What it said.
        reason: String,
    },
    /// It failed of itself.
    Failing {
        /// What it said.
        reason: String,
    },
}

impl Answer {
    /// Whether it can be asked for more.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self, Self::Good { .. })
    }
}

/// An answer that takes longer is one of an API that has too much to do.
const QUICK: Duration = Duration::from_secs(1);

/// Always there, and not for everybody.
const OBJECT: &str = "/api/v1/namespaces/kube-system";

/// The URL of the API in a kubeconfig.
pub(super) fn server(kubeconfig: &Path) -> String {
    let server = Kubeconfig::read_from(kubeconfig).ok().and_then(|read| read.clusters.into_iter().next()?.cluster?.server);
    server.unwrap_or_else(|| "unknown".to_owned())
}

pub(super) async fn ask(client: &Client) -> Answer {
    let Ok(request) = http::Request::get(OBJECT).body(Body::empty()) else {
        return Answer::Failing { reason: format!("{OBJECT} is no path") };
    };
    let begun = Instant::now();
    match timeout(ASKED, client.send(request)).await {
        Err(_) => Answer::Silent { after: ASKED },
        Ok(Ok(response)) if response.status().is_success() => Answer::Good { after: begun.elapsed() },
        Ok(Ok(response)) if response.status() == http::StatusCode::UNAUTHORIZED => {
            Answer::UnknownUser { reason: response.status().to_string() }
        }
        Ok(Ok(response)) => Answer::Failing { reason: response.status().to_string() },
        Ok(Err(error)) => unreachable(crate::chain(&error)),
    }
}

fn unreachable(reason: String) -> Answer {
    if reason.contains("certificate") { Answer::Stranger { reason } } else { Answer::Unreachable { reason } }
}

pub(super) fn findings(vitals: &Vitals) -> Option<Finding> {
    let (server, kubeconfig) = (&vitals.server, vitals.kubeconfig.display());
    let published = vitals.machine.as_ref().and_then(|machine| machine.as_ref().ok()?.api.as_deref());
    let (cause, reason, remedy) = match vitals.api.as_ref()? {
        Answer::Good { after } if *after > QUICK => {
            let cause = format!("the API at {server} is overloaded: one answer took {:.1} s", after.as_secs_f64());
            let remedy = "see who asks so much of it (`kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels`), or \
                          give its host more CPU";
            return Some(Finding::new(Standing::Retrying, cause, Vec::new(), remedy));
        }
        Answer::Good { .. } => return None,
        Answer::NoClient { reason } => (format!("the kubeconfig {kubeconfig} cannot be used"), reason.clone(), ANEW),
        Answer::Unreachable { reason } => match published.filter(|published| !server.ends_with(published)) {
            Some(published) => (
                format!("the kubeconfig {kubeconfig} is stale: it leads to {server}, and the API is at {published}"),
                reason.clone(),
                ANEW,
            ),
            None => (
                format!("nobody accepts connections to the API at {server}, though its node runs"),
                reason.clone(),
                "K3s starts, or starts again, or something cuts the way to it; its own log (`docker logs`, in a VM `journalctl -u k3s`) says which",
            ),
        },
        Answer::Silent { after } => (
            format!("the API at {server} accepts connections and does not answer"),
            format!("nothing came within {} s", after.as_secs()),
            "its host has no CPU to give it, or its datastore no disk: see both, and K3s's own log",
        ),
        Answer::Stranger { reason } => (
            format!("the kubeconfig {kubeconfig} is stale: the certificate of the API at {server} is not the one it knows"),
            reason.clone(),
            ANEW,
        ),
        Answer::UnknownUser { reason } => {
            (format!("the kubeconfig {kubeconfig} is stale: the API at {server} does not know its user"), reason.clone(), ANEW)
        }
        Answer::Failing { reason } => (
            format!("the API at {server} fails"),
            reason.clone(),
            "K3s's own log (`docker logs`, in a VM `journalctl -u k3s`) says of what",
        ),
    };
    Some(Finding::new(Standing::Stuck, cause, vec![reason], remedy))
}

const ANEW: &str =
    "it was written for a cluster that is not there any more, or was changed since: run again, which writes a new one";
