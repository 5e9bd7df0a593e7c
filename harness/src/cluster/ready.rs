//! From an API that answers to a cluster that serves: a new pod with a new claim has run, a name has resolved.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Node, ServiceAccount},
    discovery::v1::EndpointSlice,
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};

use super::{ClusterSpec, Packaged};
use crate::{
    probe,
    wait::{self, Seen, Selection, WaitError},
};

/// Between two attempts at an API that does not listen yet; there is nothing to watch until it does.
const RETRY: Duration = Duration::from_millis(100);

/// What is being waited for.
#[derive(Debug, Default)]
pub(super) struct Stage(Mutex<&'static str>);

impl Stage {
    /// Waiting for something else begins.
    pub(super) fn enter(&self, stage: &'static str) {
        tracing::info!("waiting for {stage}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// What it is now.
    pub(super) fn now(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a cluster serves, and gives the version that its API reports.
///
/// Whoever calls it has the last word on the deadline.
pub(super) async fn until_served(
    client: &Client,
    spec: &ClusterSpec,
    standin_image: &str,
    deadline: Duration,
    stage: &Stage,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    stage.enter("an API that answers");
    let version = answering(client).await;
    stage.enter("node, StorageClass and service account");
    populated(client, spec, deadline).await?;
    stage.enter("a new pod with a new claim, and a name that resolves");
    probe::served(client.clone(), "default", standin_image, deadline).await?;
    Ok(version)
}

/// The version that the API reports, as soon as it does.
pub(super) async fn answering(client: &Client) -> String {
    loop {
        match client.apiserver_version().await {
            Ok(version) => return version.git_version,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// What must exist before a pod is worth creating: one that is judged before the scheduler knows the StorageClass
/// is stuck for five minutes.
async fn populated(client: &Client, spec: &ClusterSpec, deadline: Duration) -> Result<(), WaitError> {
    let classes = Api::<StorageClass>::all(client.clone());
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    let class = async {
        if !spec.has(Packaged::LocalStorage) {
            return Ok(());
        }
        wait::until(classes, Selection::default(), "a StorageClass exists", deadline, |classes| match classes {
            [] => Seen::NotYet("none".to_owned()),
            _ => Seen::Done(()),
        })
        .await
    };
    let account =
        wait::until(accounts, wait::named("default"), "a service account exists", deadline, |accounts| match accounts {
            [] => Seen::NotYet("none".to_owned()),
            _ => Seen::Done(()),
        });
    let node = wait::until(Api::<Node>::all(client.clone()), Selection::default(), "the node is Ready", deadline, |nodes| {
        let mut conditions = nodes.iter().filter_map(|node| node.status.as_ref()?.conditions.as_ref()).flatten();
        match conditions.find(|condition| condition.type_ == "Ready") {
            Some(ready) if ready.status == "True" => Seen::Done(()),
            Some(ready) => Seen::NotYet(ready.message.clone().unwrap_or_default()),
            None => Seen::NotYet("no node has registered".to_owned()),
        }
    });
    tokio::try_join!(class, account, node).map(|_| ())
}

/// How old a node's last sign of life may be: kubelets renew their lease every 10 s, and a node is given up after 40
/// (<https://kubernetes.io/docs/reference/node/node-status/#heartbeats>).
const HEARTBEAT: Duration = Duration::from_secs(40);

/// Proves, within a fraction of a second, that a cluster which served before still does: its API is ready and takes writes, its nodes have
/// just given a sign of life, its DNS has somebody who answers. Their statuses alone would be old news.
pub(super) async fn prove(client: &Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tokio::try_join!(ready(client), takes_writes(client), nodes_live(client), dns_is_served(client)).map(|_| ())
}

type Proof = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn ready(client: &Client) -> Proof {
    let request = http::Request::get("/readyz").body(Vec::new())?;
    match client.request_text(request).await?.as_str() {
        "ok" => Ok(()),
        answer => Err(format!("/readyz answers {answer}").into()),
    }
}

async fn takes_writes(client: &Client) -> Proof {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
    let metadata = ObjectMeta { generate_name: Some("k3s-arc-proof-".to_owned()), ..ObjectMeta::default() };
    let made = maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await?;
    maps.delete(&made.name_any(), &DeleteParams::default()).await?;
    Ok(())
}

async fn nodes_live(client: &Client) -> Proof {
    let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease").list(&ListParams::default()).await?;
    // Both times are of this host, whose clock a container shares.
    let now = Timestamp::now();
    let renewed = leases.iter().filter_map(|lease| lease.spec.as_ref()?.renew_time.as_ref()).map(|time| time.0);
    match renewed.max() {
        Some(last) if now.duration_since(last).unsigned_abs() <= HEARTBEAT => Ok(()),
        Some(last) => Err(format!("the last sign of life of its nodes is of {last}").into()),
        None => Err("no node of it has ever given a sign of life".into()),
    }
}

async fn dns_is_served(client: &Client) -> Proof {
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), "kube-system");
    let slices = slices.list(&ListParams::default().labels("kubernetes.io/service-name=kube-dns")).await?;
    let mut endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let ready = endpoints.any(|endpoint| endpoint.conditions.as_ref().is_some_and(|is| is.ready != Some(false)));
    if ready { Ok(()) } else { Err("nobody answers its DNS".into()) }
}
