//! kube-rs on the emulator, unmodified: what operators written with it do all day.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k3s_arc_emulator::Emulator;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

fn of_kind(client: &kube::Client, group: &str, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)))
}

fn object(value: serde_json::Value) -> DynamicObject {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("not an object: {error}"))
}

#[tokio::test]
async fn objects_are_made_applied_patched_watched_and_deleted() {
    let emulator = Emulator::builder().start().await.unwrap();
    let client = emulator.client().await.unwrap();
    let maps = of_kind(&client, "", "ConfigMap");

    let made = object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}));
    let made = maps.create(&PostParams::default(), &made).await.unwrap();
    let version = made.metadata.resource_version.unwrap();
    let mut watch = maps.watch(&WatchParams::default().timeout(20), &version).await.unwrap().boxed();

    let merge = Patch::Merge(json!({"data": {"k": "2"}}));
    assert_eq!(maps.patch("a", &PatchParams::default(), &merge).await.unwrap().data["data"]["k"], "2");

    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "3"}});
    let refused = maps.patch("a", &PatchParams::apply("operator"), &Patch::Apply(&applied)).await.unwrap_err();
    assert!(refused.to_string().contains("conflict"), "{refused}");
    maps.patch("a", &PatchParams::apply("operator").force(), &Patch::Apply(&applied)).await.unwrap();
    assert_eq!(maps.get("a").await.unwrap().data["data"]["k"], "3");

    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());

    let mut seen = Vec::new();
    while let Some(event) = tokio::time::timeout(Duration::from_secs(20), watch.try_next()).await.unwrap().unwrap() {
        match event {
            WatchEvent::Modified(object) => seen.push(object.data["data"]["k"].as_str().unwrap().to_owned()),
            WatchEvent::Deleted(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["2", "3"]);
}

#[tokio::test]
async fn a_deployment_is_validated_and_brought_to_what_it_asks_for() {
    let emulator = Emulator::builder().start().await.unwrap();
    let client = emulator.client().await.unwrap();
    let deployments = of_kind(&client, "apps", "Deployment");
    let deployment = |labels: serde_json::Value| {
        object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }}))
    };
    let refused = deployments.create(&PostParams::default(), &deployment(json!({"app": "other"}))).await.unwrap_err();
    assert!(refused.to_string().contains("`selector` does not match template `labels`"), "{refused}");

    deployments.create(&PostParams::default(), &deployment(json!({"app": "d"}))).await.unwrap();
    let pods = of_kind(&client, "", "Pod");
    let both = async {
        while pods.list(&ListParams::default().labels("app=d")).await.unwrap().items.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("no pods are made");
}

/// The controller counts whenever anything changes, also between the charge for an object and the object itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_against_many_at_once() {
    const HARD: usize = 5;
    let emulator = Emulator::builder().no_nodes().start().await.unwrap();
    let client = emulator.client().await.unwrap();
    let (quotas, secrets) = (of_kind(&client, "", "ResourceQuota"), of_kind(&client, "", "Secret"));
    let quota = object(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": HARD.to_string()}},
    }));
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let counted = |quota: &DynamicObject| quota.data["status"]["used"]["count/secrets"] == "0";
    while !counted(&quotas.get("q").await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // One after the other in each of several tasks, so that the controller counts between them.
    let creates = (0..4).map(|task| {
        let secrets = secrets.clone();
        tokio::spawn(async move {
            let mut created = 0;
            for attempt in 0..25 {
                let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("s{task}-{attempt}")}});
                created += usize::from(secrets.create(&PostParams::default(), &object(secret)).await.is_ok());
            }
            created
        })
    });
    let created: usize = futures::future::join_all(creates).await.into_iter().map(Result::unwrap).sum();
    assert_eq!((created, secrets.list(&ListParams::default()).await.unwrap().items.len()), (HARD, HARD));
}
