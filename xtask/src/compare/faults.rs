//! Faults that both an emulator and a real K3s can have, each by the API alone, and the checks that it concerns.

use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k3s_arc_harness::check::{Check, dns, readiness, resources, storage};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use miette::{IntoDiagnostic as _, miette};
use serde_json::{Value, json};

use super::RECOVERY;

/// What injects a fault, or mends it.
type Act = fn(Client) -> BoxFuture<'static, miette::Result<()>>;

/// Something that goes wrong.
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) inject: Act,
    pub(super) mend: Act,
    /// What is asked while it lasts.
    pub(super) checks: &'static [&'static Check],
}

const SYSTEM: &str = "kube-system";
const COREDNS: &str = "coredns";
const LOCAL_PATH: &str = "local-path-provisioner";
const LOCAL_PATH_CONFIG: &str = "local-path-config";
const CLASS: &str = "local-path";

/// All of them.
pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "coredns-scaled-to-zero",
        inject: |client| async move { scale(&client, COREDNS, 0).await }.boxed(),
        mend: |client| async move { scale(&client, COREDNS, 1).await }.boxed(),
        checks: &[&dns::CLUSTER_IP, &dns::NODE_NAMES, &dns::RESOLV_CONF],
    },
    Fault {
        name: "corefile-without-hosts",
        inject: |client| async move { corefile(&client, &|text| without_block(text, "hosts ")).await }.boxed(),
        mend: |client| async move { mended_corefile(&client).await }.boxed(),
        checks: &[&dns::NODE_NAMES, &dns::CLUSTER_IP],
    },
    Fault {
        name: "corefile-without-reverse-zones",
        inject: |client| async move { corefile(&client, &|text| text.replace(" in-addr.arpa ip6.arpa", "")).await }.boxed(),
        mend: |client| async move { mended_corefile(&client).await }.boxed(),
        checks: &[&dns::REVERSE, &dns::CLUSTER_IP],
    },
    Fault {
        name: "corefile-not-understood",
        inject: |client| async move { corefile(&client, &|text| text.replacen("errors", "nonsense", 1)).await }.boxed(),
        mend: |client| async move { mended_corefile(&client).await }.boxed(),
        checks: &[&readiness::PACKAGED_COMPONENTS, &dns::CLUSTER_IP],
    },
    Fault {
        name: "local-path-scaled-to-zero",
        inject: |client| async move { scale(&client, LOCAL_PATH, 0).await }.boxed(),
        mend: |client| async move { scale(&client, LOCAL_PATH, 1).await }.boxed(),
        checks: &[&storage::A_CLAIM_WAITS_THEN_BINDS, &storage::DEFAULT_CLASS],
    },
    Fault {
        name: "setup-fails",
        inject: |client| async move { script(&client, "setup", "#!/bin/sh\nexit 1\n").await }.boxed(),
        mend: |client| async move { mended_scripts(&client).await }.boxed(),
        checks: &[&storage::A_CLAIM_WAITS_THEN_BINDS],
    },
    Fault {
        name: "setup-closes-the-volume",
        inject: |client| {
            async move {
                script(&client, "setup", "#!/bin/sh\nset -eu\nmkdir -m 0700 -p \"${VOL_DIR}\"\nchmod 700 \"${VOL_DIR}/..\"\n")
                    .await
            }
            .boxed()
        },
        mend: |client| async move { mended_scripts(&client).await }.boxed(),
        checks: &[&storage::VOLUMES_ARE_OPEN_TO_ANY_USER, &storage::A_CLAIM_WAITS_THEN_BINDS],
    },
    Fault {
        name: "teardown-keeps-the-data",
        inject: |client| async move { script(&client, "teardown", "#!/bin/sh\nexit 0\n").await }.boxed(),
        mend: |client| async move { mended_scripts(&client).await }.boxed(),
        checks: &[&storage::RECLAIM_DELETE],
    },
    Fault {
        name: "second-default-class",
        inject: |client| async move { second_class(&client).await }.boxed(),
        mend: |client| {
            async move {
                let classes = api(&client, "storage.k8s.io", "StorageClass");
                classes.delete("k3s-arc-second", &DeleteParams::default()).await.into_diagnostic().map(drop)
            }
            .boxed()
        },
        checks: &[&readiness::DEFAULT_STORAGE_CLASS, &storage::DEFAULT_CLASS],
    },
    Fault {
        name: "class-retains",
        inject: |client| async move { class(&client, "Retain").await }.boxed(),
        mend: |client| async move { class(&client, "Delete").await }.boxed(),
        checks: &[&storage::DEFAULT_CLASS, &storage::RECLAIM_DELETE],
    },
    Fault {
        name: "node-cordoned",
        inject: |client| async move { cordon(&client, true).await }.boxed(),
        mend: |client| async move { cordon(&client, false).await }.boxed(),
        checks: &[&readiness::NODES, &dns::RESOLV_CONF, &resources::QUOTA_REFUSES],
    },
    Fault {
        name: "component-of-another-size",
        inject: |client| {
            async move { component(&client, &json!({"limits": {"memory": "123Mi"}, "requests": {"memory": "100Mi"}})).await }
                .boxed()
        },
        mend: |client| async move { bootstrapper(&client, 1).await }.boxed(),
        checks: &[&resources::COMPONENTS_ARE_SIZED_AS_DOCUMENTED],
    },
];

fn api(client: &Client, group: &str, kind: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)))
}

fn within(client: &Client, group: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)))
}

async fn merge(api: &Api<DynamicObject>, name: &str, patch: Value) -> miette::Result<()> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.into_diagnostic().map(drop)
}

/// Waits until `holds` does.
async fn until<F: Future<Output = miette::Result<bool>>>(what: &str, holds: impl Fn() -> F) -> miette::Result<()> {
    let started = Instant::now();
    while started.elapsed() < RECOVERY {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Err(miette!("{what}: not so after {} s", RECOVERY.as_secs()))
}

async fn scale(client: &Client, deployment: &str, replicas: i64) -> miette::Result<()> {
    let deployments = within(client, "apps", "Deployment", SYSTEM);
    merge(&deployments, deployment, json!({"spec": {"replicas": replicas}})).await?;
    let what = format!("{deployment} has {replicas} replicas");
    until(&what, || async {
        let found = deployments.get(deployment).await.into_diagnostic()?;
        let status = &found.data["status"];
        Ok(status["replicas"].as_i64().unwrap_or_default() == replicas
            && status["readyReplicas"].as_i64().unwrap_or_default() == replicas)
    })
    .await
}

/// Where what was before a fault is kept meanwhile.
const KEPT: &str = "k3s-arc.example/kept";

/// Changes keys of a ConfigMap, and keeps what they were.
async fn change(client: &Client, map: &str, edit: &(dyn Fn(&mut Value) + Sync)) -> miette::Result<()> {
    let maps = within(client, "", "ConfigMap", SYSTEM);
    let found = maps.get(map).await.into_diagnostic()?;
    let mut data = found.data["data"].clone();
    let kept = data.to_string();
    edit(&mut data);
    merge(&maps, map, json!({"metadata": {"annotations": {KEPT: kept}}, "data": data})).await
}

/// Gives a ConfigMap back what it was.
async fn restore(client: &Client, map: &str) -> miette::Result<()> {
    let maps = within(client, "", "ConfigMap", SYSTEM);
    let found = maps.get(map).await.into_diagnostic()?;
    let kept = found.annotations().get(KEPT).ok_or_else(|| miette!("ConfigMap {map} was not changed"))?;
    let data: Value = serde_json::from_str(kept).into_diagnostic()?;
    merge(&maps, map, json!({"metadata": {"annotations": {KEPT: null}}, "data": data})).await
}

/// CoreDNS reads its Corefile when it starts; a new pod does so at once.
async fn restart_coredns(client: &Client) -> miette::Result<()> {
    let pods = within(client, "", "Pod", SYSTEM);
    let of_coredns = ListParams::default().labels("k8s-app=kube-dns");
    let old = pods.list(&of_coredns).await.into_diagnostic()?;
    let names: Vec<String> = old.iter().map(kube::ResourceExt::name_any).collect();
    pods.delete_collection(&DeleteParams::default().grace_period(0), &of_coredns).await.into_diagnostic()?;
    until("CoreDNS has a new pod that has started", || async {
        let found = pods.list(&of_coredns).await.into_diagnostic()?;
        let started = |pod: &DynamicObject| {
            let states = pod.data["status"]["containerStatuses"].as_array().into_iter().flatten();
            states.into_iter().any(|status| status["ready"] == true || status["restartCount"].as_i64() > Some(0))
        };
        Ok(found.iter().any(|pod| !names.contains(&pod.name_any()) && started(pod)))
    })
    .await
}

async fn corefile(client: &Client, edit: &(dyn Fn(&str) -> String + Sync)) -> miette::Result<()> {
    change(client, COREDNS, &|data| data["Corefile"] = edit(data["Corefile"].as_str().unwrap_or_default()).into()).await?;
    restart_coredns(client).await
}

async fn mended_corefile(client: &Client) -> miette::Result<()> {
    restore(client, COREDNS).await?;
    restart_coredns(client).await
}

/// A Corefile without the block that begins with these words.
fn without_block(text: &str, begins: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        inside |= line.trim_start().starts_with(begins);
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= line.trim() != "}";
    }
    kept
}

async fn script(client: &Client, key: &str, text: &str) -> miette::Result<()> {
    change(client, LOCAL_PATH_CONFIG, &|data| data[key] = text.into()).await
}

async fn mended_scripts(client: &Client) -> miette::Result<()> {
    restore(client, LOCAL_PATH_CONFIG).await
}

async fn second_class(client: &Client) -> miette::Result<()> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "k3s-arc-second", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    let class = serde_json::from_value(class).into_diagnostic()?;
    api(client, "storage.k8s.io", "StorageClass").create(&PostParams::default(), &class).await.into_diagnostic().map(drop)
}

/// Makes class `local-path` anew, with another policy: it cannot be changed.
async fn class(client: &Client, policy: &str) -> miette::Result<()> {
    let classes = api(client, "storage.k8s.io", "StorageClass");
    let mut class = classes.get(CLASS).await.into_diagnostic()?;
    class.data["reclaimPolicy"] = policy.into();
    class.metadata.resource_version = None;
    class.metadata.uid = None;
    class.metadata.managed_fields = None;
    classes.delete(CLASS, &DeleteParams::default()).await.into_diagnostic()?;
    classes.create(&PostParams::default(), &class).await.into_diagnostic().map(drop)
}

async fn cordon(client: &Client, cordoned: bool) -> miette::Result<()> {
    let nodes = api(client, "", "Node");
    for node in nodes.list(&ListParams::default()).await.into_diagnostic()? {
        merge(&nodes, &node.name_any(), json!({"spec": {"unschedulable": cordoned}})).await?;
    }
    Ok(())
}

/// The namespace that Arc's components are in.
async fn namespace_of_arc(client: &Client) -> miette::Result<String> {
    let found = api(client, "apps", "Deployment").list(&ListParams::default()).await.into_diagnostic()?;
    let bootstrapper = found.iter().find(|deployment| deployment.name_any() == "bootstrapper");
    let namespace = bootstrapper.and_then(kube::ResourceExt::namespace);
    namespace.ok_or_else(|| miette!("there is no Deployment bootstrapper: Arc was not launched"))
}

async fn bootstrapper(client: &Client, replicas: i64) -> miette::Result<()> {
    let deployments = within(client, "apps", "Deployment", &namespace_of_arc(client).await?);
    merge(&deployments, "bootstrapper", json!({"spec": {"replicas": replicas}})).await?;
    until("the bootstrapper is scaled", || async {
        let found = deployments.get("bootstrapper").await.into_diagnostic()?;
        Ok(found.data["status"]["replicas"].as_i64().unwrap_or_default() == replicas)
    })
    .await
}

/// Gives a component other resources, which the bootstrapper would set right at once.
async fn component(client: &Client, resources: &Value) -> miette::Result<()> {
    bootstrapper(client, 0).await?;
    let namespace = namespace_of_arc(client).await?;
    let sets = within(client, "apps", "ReplicaSet", &namespace);
    let mut set = sets.get("metricsui").await.into_diagnostic()?;
    set.data["spec"]["template"]["spec"]["containers"][0]["resources"] = resources.clone();
    sets.replace("metricsui", &PostParams::default(), &set).await.into_diagnostic()?;
    let pods = within(client, "", "Pod", &namespace);
    let of_component = set.data["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let selector: Vec<String> =
        of_component.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let selected = ListParams::default().labels(&selector.join(","));
    pods.delete_collection(&DeleteParams::default().grace_period(0), &selected).await.into_diagnostic()?;
    until("the component has a new pod", || async {
        let found = pods.list(&selected).await.into_diagnostic()?;
        Ok(found
            .iter()
            .any(|pod| pod.data["spec"]["containers"][0]["resources"]["limits"]["memory"] == resources["limits"]["memory"]))
    })
    .await
}

/// Waits until what K3s packages is available again.
pub(super) async fn recovered(client: &Client) -> miette::Result<()> {
    let deployments = within(client, "apps", "Deployment", SYSTEM);
    until("what K3s packages is available", || async {
        let found = deployments.list(&ListParams::default()).await.into_diagnostic()?;
        Ok(found.iter().all(|deployment| {
            deployment.data["status"]["availableReplicas"].as_i64() == deployment.data["spec"]["replicas"].as_i64()
        }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_cut_out_of_a_corefile() {
        let text = ".:53 {\n    errors\n    hosts /x {\n      ttl 60\n    }\n    cache 30\n}\n";
        assert_eq!(without_block(text, "hosts "), ".:53 {\n    errors\n    cache 30\n}\n");
    }
}
