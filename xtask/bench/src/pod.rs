//! A new pod with a new claim, as a careful user asks for one.

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolumeClaim, Pod, ServiceAccount},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::{await_condition, conditions::is_pod_running},
};
use miette::{IntoDiagnostic as _, miette};
use serde_json::json;

/// Far more than any boot takes.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);

/// An image that every K3s has: that of the containers which hold its pods' namespaces.
const IMAGE: &str = "rancher/mirrored-pause:3.6";

/// A client by a kubeconfig, whose server may be at another port.
pub(crate) async fn client(kubeconfig: &str, port: Option<u16>) -> miette::Result<Client> {
    let mut kubeconfig = Kubeconfig::from_yaml(kubeconfig).into_diagnostic()?;
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = port.map(|port| format!("https://127.0.0.1:{port}")).or(cluster.server.take());
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.into_diagnostic()?;
    Client::try_from(config).into_diagnostic()
}

/// Waits for what a pod with a claim needs to be there first. Without that it may be stuck for minutes, which is not what is measured.
pub(crate) async fn possible(client: &Client) -> miette::Result<()> {
    let classes = Api::<StorageClass>::all(client.clone());
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    let nodes = Api::<Node>::all(client.clone());
    let is_ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
    };
    tokio::time::timeout(PATIENCE, async {
        loop {
            let class = classes.get_opt("local-path").await.is_ok_and(|class| class.is_some());
            let account = accounts.get_opt("default").await.is_ok_and(|account| account.is_some());
            let node = nodes.list(&Default::default()).await.is_ok_and(|nodes| nodes.iter().any(is_ready));
            if class && account && node {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
    .map_err(|_| miette!("node, StorageClass and service account were not there within {PATIENCE:?}"))
}

/// Creates the pod and its claim, and waits until it runs.
pub(crate) async fn runs(client: &Client) -> miette::Result<()> {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"name": "bench"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Mi"}}},
    }))
    .into_diagnostic()?;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "bench"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "pause", "image": IMAGE, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "bench"}}],
        },
    }))
    .into_diagnostic()?;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    Api::namespaced(client.clone(), "default").create(&PostParams::default(), &claim).await.into_diagnostic()?;
    pods.create(&PostParams::default(), &pod).await.into_diagnostic()?;
    let running = tokio::time::timeout(PATIENCE, await_condition(pods, "bench", is_pod_running())).await;
    running.map_err(|_| miette!("the pod did not run within {PATIENCE:?}"))?.into_diagnostic()?;
    Ok(())
}

/// Removes both, and waits until they are gone.
pub(crate) async fn gone(client: &Client) -> miette::Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), "default");
    pods.delete("bench", &Default::default()).await.into_diagnostic()?;
    claims.delete("bench", &Default::default()).await.into_diagnostic()?;
    while pods.get_opt("bench").await.into_diagnostic()?.is_some() || claims.get_opt("bench").await.into_diagnostic()?.is_some() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
