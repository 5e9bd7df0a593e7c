//! What goes wrong on the cluster: its DNS, its storage, its disks, its images, its API, what is to go and does not.

use std::time::Duration;

use k3s_arc_harness::{
    check::{Access, dns},
    cluster::ClusterSpec,
    fixture::{Fixture, Target, Verdict},
    suite::IntoVerdict,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rstest::rstest;
use serde_json::json;

use super::{
    questions::{DEAF, DEAF_FOR_LONG, FILLS, HELD, HOLD, RUNS_SOON, SERVES, SERVES_SOON},
    victim::Victim,
};
use crate::{OWN, assert_tells};

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn coredns_without_pods_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "coredns_without_pods_is_named").await?;
    victim.scale("coredns", 0).await;
    let report = victim.refusal(&dns::CLUSTER_IP).await;
    victim.scale("coredns", 1).await;
    assert_tells(
        &report,
        &[
            "deployment coredns in kube-system is scaled to no pods",
            "kubectl -n kube-system scale deployment coredns --replicas=1",
        ],
    );
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_corefile_that_is_no_corefile_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "a_corefile_that_is_no_corefile_is_named").await?;
    let maps: Api<ConfigMap> = Api::namespaced(victim.cluster().client(), "kube-system");
    let before = maps.get("coredns").await.expect("CoreDNS has its ConfigMap").data.unwrap_or_default();
    let broken = before["Corefile"].replacen("errors", "nonsense", 1);
    let write = async |corefile: &str| {
        let patch = json!({"data": {"Corefile": corefile}});
        maps.patch("coredns", &PatchParams::default(), &Patch::Merge(patch)).await.expect("the ConfigMap is written");
        // It reads its Corefile when it starts, and keeps what it has where a new one is not understood.
        let pods: Api<Pod> = Api::namespaced(victim.cluster().client(), "kube-system");
        let of_coredns = ListParams::default().labels("k8s-app=kube-dns");
        pods.delete_collection(&DeleteParams::default().grace_period(0), &of_coredns).await.expect("its pod is deleted");
    };
    write(&broken).await;
    let report = victim.refusal(&SERVES_SOON).await;
    write(&before["Corefile"]).await;
    assert_tells(&report, &["deployment coredns in kube-system has no pod that is available", "nonsense"]);
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn local_path_without_pods_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "local_path_without_pods_is_named").await?;
    victim.scale("local-path-provisioner", 0).await;
    let report = victim.refusal(&SERVES_SOON).await;
    victim.scale("local-path-provisioner", 1).await;
    assert_tells(
        &report,
        &["deployment local-path-provisioner in kube-system is scaled to no pods", "no claim of class local-path is bound"],
    );
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_disk_without_room_for_volumes_is_named(#[case] target: Target) -> Verdict {
    const STORAGE: &str = "/var/lib/rancher/k3s/storage";
    let victim = Victim::of(target, "cluster", "a_disk_without_room_for_volumes_is_named").await?;
    victim.sh(&format!("mkdir -p {STORAGE} && mount -t tmpfs -o size=4m tmpfs {STORAGE}")).await;
    let report = victim.refusal(&FILLS).await;
    victim.sh(&format!("umount -l {STORAGE}")).await;
    assert_tells(&report, &["No space left on device", "the node's disk is full at /var/lib/rancher/k3s/storage"]);
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_node_that_is_short_of_disk_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "a_node_that_is_short_of_disk_is_named").await?;
    // What is on it already, and a little more, of which next to nothing is free.
    victim.sh("used=$(df -Pk /run | awk 'END { print $3 }'); mount -o remount,size=$((used + 20480))k /run").await;
    victim.sh("free=$(df -Pk /run | awk 'END { print $4 }'); dd if=/dev/zero of=/run/filled bs=1024 count=$((free - 64))").await;
    victim.has_disk_pressure(true).await;
    let report = victim.refusal(&SERVES_SOON).await;
    victim.sh("rm /run/filled; mount -o remount,size=2g /run").await;
    assert_tells(&report, &["is short of disk: it evicts pods", "the node's disk is full at /run"]);
    victim.has_disk_pressure(false).await;
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_boot_that_comes_to_no_end_is_explained(#[case] target: Target) -> Verdict {
    let mut config = target.config()?;
    config.boot_timeout = Duration::from_secs(25);
    let crowded = ClusterSpec::new(config.k3s.clone()).server_argument("--kubelet-arg=max-pods=1");
    let made = Fixture::with_spec(config, crowded, Access::Shared).await.map(drop);
    let report = made.into_verdict().expect_err("no cluster can come of this spec");
    assert_tells(&report, &["cause:     pod ", "no node takes it: the node has as many pods as it takes", "raise max-pods"]);
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn an_image_that_is_gone_from_the_node_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "an_image_that_is_gone_from_the_node_is_named").await?;
    let image = victim.cluster().standin_image().to_owned();
    let rename = async |from: &str, to: &str| {
        let images = "ctr -n k8s.io images";
        victim.sh(&format!("{images} tag --force {from} {to} && {images} rm --sync {from}")).await;
    };
    rename(&image, "docker.io/k3s-arc/kept:0").await;
    let report = victim.refusal(&RUNS_SOON).await;
    rename("docker.io/k3s-arc/kept:0", &image).await;
    // What keeps it from being pulled anew differs from host to host.
    assert_tells(&report, &[&format!("cause:     image {image} "), "Failed to pull image"]);
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn an_api_that_is_flooded_is_waited_for(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "an_api_that_is_flooded_is_waited_for").await?;
    let client = victim.cluster().client();
    let flood: Vec<_> = (0..24)
        .map(|_| {
            let pods: Api<Pod> = Api::all(client.clone());
            tokio::spawn(async move {
                loop {
                    let _ = pods.list(&ListParams::default()).await;
                }
            })
        })
        .collect();
    if let Some(controls) = victim.controls() {
        controls.slow(Duration::from_millis(100));
    }
    let answer = victim.ask(&SERVES).await;
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    if let Some(controls) = victim.controls() {
        controls.slow(Duration::ZERO);
    }
    answer?;
    victim.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_namespace_that_is_held_is_named_with_what_holds_it(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "a_namespace_that_is_held_is_named_with_what_holds_it").await?;
    let report = victim.refusal(&HELD).await;
    let maps: Api<ConfigMap> = Api::all(victim.cluster().client());
    let held = maps.list(&ListParams::default().fields(&format!("metadata.name={}", HOLD.0))).await.expect("maps are listed");
    for map in held {
        let namespaced: Api<ConfigMap> = Api::namespaced(victim.cluster().client(), &map.namespace().unwrap_or_default());
        let patch = json!({"metadata": {"finalizers": null}});
        namespaced.patch(HOLD.0, &PatchParams::default(), &Patch::Merge(patch)).await.expect("the finalizer is removed");
    }
    assert_tells(
        &report,
        &["is being deleted and does not end", &format!("configmaps/{}: finalizers {}", HOLD.0, HOLD.1), "remove the finalizer"],
    );
    victim.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_pod_that_ignores_sigterm_is_killed_in_the_end(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "a_pod_that_ignores_sigterm_is_killed_in_the_end").await?;
    victim.ask(&DEAF).await?;
    victim.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_pod_that_has_not_ended_on_sigterm_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "cluster", "a_pod_that_has_not_ended_on_sigterm_is_named").await?;
    let report = victim.refusal(&DEAF_FOR_LONG).await;
    let pods: Api<Pod> = Api::all(victim.cluster().client());
    for pod in pods.list(&ListParams::default()).await.expect("pods are listed") {
        if pod.name_any().starts_with("probe-deaf-") {
            let own: Api<Pod> = Api::namespaced(victim.cluster().client(), &pod.namespace().unwrap_or_default());
            let now = DeleteParams::default().grace_period(0);
            own.delete(&pod.name_any(), &now).await.expect("the API takes the deletion");
        }
    }
    assert_tells(&report, &["is being deleted, and has not ended on SIGTERM so far", "deletionGracePeriodSeconds: 60"]);
    victim.has_nothing_left().await;
    Ok(())
}
