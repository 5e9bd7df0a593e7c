//! What is asked while something goes wrong: questions that wait for as long as a test wants, and not longer.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use futures::future::BoxFuture;
use k3s_arc_harness::{
    check::{Access, Area, Check, Context, Evidence, Failure},
    namespace::MANAGED_BY,
    probe::{self, Probe, Request, files},
    wait::{self, Seen},
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use tokio::sync::watch;

type Ask = for<'a> fn(&'a Context, &'a mut Evidence) -> BoxFuture<'a, Result<(), Failure>>;

const fn check(name: &'static str, question: &'static str, ask: Ask) -> Check {
    Check { area: Area::Readiness, name, question, needs: &[], access: Access::Alone, on_arc: false, ask }
}

/// What [`WAITS`] waits for.
pub(super) const LETTER: &str = "letter";

/// Waits until somebody sends a letter, and asks for something before and after.
pub(super) const WAITS: Check = check("waits", "Does a letter arrive?", |cx, _| Box::pin(letter(cx, Duration::from_secs(90))));

/// The same, and soon loses patience.
pub(super) const WAITS_BRIEFLY: Check =
    check("waits_briefly", "Does a letter arrive at once?", |cx, _| Box::pin(letter(cx, Duration::from_secs(4))));

/// What it makes before it waits, in its namespace.
pub(super) const DOORBELL: &str = "doorbell";

/// The namespaces in which it has come to wait. Others see the doorbell while the answer to whoever made it is still on its way, and
/// nobody makes up for an answer that is lost.
pub(super) static WAITING: LazyLock<watch::Sender<BTreeSet<String>>> = LazyLock::new(|| watch::Sender::new(BTreeSet::new()));

async fn letter(cx: &Context, patience: Duration) -> Result<(), Failure> {
    let doorbell: ConfigMap = object(json!({"metadata": {"name": DOORBELL}}));
    cx.api().create(&PostParams::default(), &doorbell).await?;
    WAITING.send_modify(|namespaces| {
        namespaces.insert(cx.namespace().to_owned());
    });
    let come = wait::until(cx.api::<ConfigMap>(), wait::named(LETTER), "a letter arrives", patience, |found| match found {
        [] => Seen::NotYet("none".to_owned()),
        _ => Seen::Done(()),
    });
    come.await?;
    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?;
    Evidence::new().require(!nodes.items.is_empty(), "the cluster has a node", "none")
}

/// A new pod with a new claim, and a name.
pub(super) const SERVES: Check =
    check("serves", "Does something new work?", |cx, _| Box::pin(serve(cx, Duration::from_secs(80))));

/// The same, and soon loses patience.
pub(super) const SERVES_SOON: Check =
    check("serves_soon", "Does something new work at once?", |cx, _| Box::pin(serve(cx, Duration::from_secs(10))));

async fn serve(cx: &Context, patience: Duration) -> Result<(), Failure> {
    Ok(probe::served(cx.client(), cx.namespace(), cx.cluster().standin_image(), patience).await?)
}

/// A new pod, for which there is not much patience; it is left for who wants to know why it did not run.
pub(super) const RUNS_SOON: Check = check("runs_soon", "Does a new pod run at once?", |cx, _| Box::pin(run(cx)));

async fn run(cx: &Context) -> Result<(), Failure> {
    let request = Request::Files(files::Request { acts: Vec::new() });
    let answer: Result<files::Answer, _> = Probe::new("runs").asking(request).deadline(Duration::from_secs(8)).run(cx).await;
    Ok(answer.map(drop)?)
}

/// Writes 8 MiB to a new volume.
pub(super) const FILLS: Check = check("fills", "Does a volume take 8 MiB?", |cx, evidence| Box::pin(fill(cx, evidence)));

async fn fill(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let claim: PersistentVolumeClaim = object(json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Mi"}}},
    }));
    cx.api().create(&PostParams::default(), &claim).await?;
    let act = files::Act::Fill { path: "/data/filled".into(), bytes: 8 << 20 };
    let probe = Probe::new("fills").asking(Request::Files(files::Request { acts: vec![act] })).deadline(Duration::from_secs(40));
    let probe = probe.with_pod(|pod| {
        let spec = pod.spec.get_or_insert_default();
        spec.volumes = Some(vec![object(json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}))]);
        spec.containers[0].volume_mounts = Some(vec![object(json!({"name": "data", "mountPath": "/data"}))]);
    });
    let answer: files::Answer = probe.run(cx).await?;
    let seen = format!("{:?}", answer.done);
    evidence.require(answer.done.iter().all(Result::is_ok), "a volume takes what is written to it", seen)
}

/// Deletes its own namespace, and an object in it waits for a finalizer of nobody's.
pub(super) const HELD: Check = check("held", "Does a namespace go?", |cx, _| Box::pin(held(cx)));

/// The object that is held, and by what.
pub(super) const HOLD: (&str, &str) = ("kept", "k3s-arc.example/hold");

async fn held(cx: &Context) -> Result<(), Failure> {
    let kept: ConfigMap = object(json!({"metadata": {"name": HOLD.0, "finalizers": [HOLD.1]}}));
    cx.api().create(&PostParams::default(), &kept).await?;
    let namespaces = cx.api_all::<Namespace>();
    namespaces.delete(cx.namespace(), &DeleteParams::default()).await?;
    let gone = wait::until_gone(namespaces, wait::named(cx.namespace()), "the namespace is gone", Duration::from_secs(8));
    Ok(gone.await?)
}

/// A pod that ignores SIGTERM is gone soon after its grace period.
pub(super) const DEAF: Check =
    check("deaf", "Is a pod killed that ignores SIGTERM?", |cx, _| Box::pin(deaf(cx, 3, Duration::from_secs(30))));

/// The same of a pod with a long grace period.
pub(super) const DEAF_FOR_LONG: Check =
    check("deaf_for_long", "Does a pod end on SIGTERM?", |cx, _| Box::pin(deaf(cx, 60, Duration::from_secs(5))));

async fn deaf(cx: &Context, grace: i64, patience: Duration) -> Result<(), Failure> {
    // It waits for a name that never resolves, and listens to no signal.
    let request = object(json!({"ask": "served", "directory": "/tmp", "name": "none.invalid", "patience_ms": 600_000}));
    let mut pod = Probe::new("deaf").asking(request).pod(cx.cluster().standin_image());
    pod.metadata.labels.get_or_insert_default().insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.termination_grace_period_seconds = Some(grace);
    spec.volumes = Some(vec![object(json!({"name": "tmp", "emptyDir": {}}))]);
    spec.containers[0].volume_mounts = Some(vec![object(json!({"name": "tmp", "mountPath": "/tmp"}))]);
    let pods = cx.api::<Pod>();
    let name = pods.create(&PostParams::default(), &pod).await?.name_any();
    let runs = wait::until(pods.clone(), wait::named(&name), "the pod runs", Duration::from_secs(40), |pods| {
        match pods.first().and_then(|pod| pod.status.as_ref()?.phase.as_deref()) {
            Some("Running") => Seen::Done(()),
            other => Seen::NotYet(other.unwrap_or("none").to_owned()),
        }
    });
    runs.await?;
    pods.delete(&name, &DeleteParams::default()).await?;
    Ok(wait::until_gone(pods, wait::named(&name), "the pod is gone", patience).await?)
}

fn object<K: serde::de::DeserializeOwned>(json: serde_json::Value) -> K {
    serde_json::from_value(json).expect("an object of this kind")
}
