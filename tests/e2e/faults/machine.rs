//! What goes wrong with the machine that the node is, and on the way to it.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join;
use k3s_arc_harness::fixture::{Target, Verdict};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
    config::Kubeconfig,
};
use rstest::rstest;

use super::{
    proxy::Proxy,
    questions::{SERVES, WAITS, WAITS_BRIEFLY},
    victim::Victim,
};
use crate::{CONTAINER, OWN, assert_tells};

/// How long a node is frozen, in seconds; longer than a connection is waited for, unless this says otherwise.
const PAUSE: &str = "K3S_ARC_FAULT_PAUSE";

/// The command that restarts the Docker Engine.
const ENGINE_RESTART: &str = "K3S_ARC_FAULT_ENGINE_RESTART";

fn pause(target: Target) -> Duration {
    let asked = std::env::var(PAUSE).ok().map(|text| text.parse().expect("K3S_ARC_FAULT_PAUSE is a number of seconds"));
    Duration::from_secs(asked.unwrap_or(if target == Target::K3s { 12 } else { 2 }))
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_node_that_is_killed_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "a_node_that_is_killed_is_named").await?;
    let kill = async {
        victim.is_asked().await;
        victim.kill().await;
    };
    let (report, ()) = join(victim.refusal(&WAITS), kill).await;
    victim.start().await;
    assert_tells(
        &report,
        &["the cluster's node runs while the check is asked", "ended with exit code 137: it was killed (SIGKILL)", "remedy:"],
    );
    // Its own namespace could not be deleted while nobody answered.
    remove_leftovers(&victim).await;
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_node_that_is_frozen_for_a_while_is_waited_for(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "a_node_that_is_frozen_for_a_while_is_waited_for").await?;
    let freeze = async {
        let namespace = victim.is_asked().await;
        victim.pause().await;
        tokio::time::sleep(pause(target)).await;
        victim.resume().await;
        victim.send_letter(&namespace).await;
    };
    let (answer, ()) = join(victim.ask(&WAITS), freeze).await;
    answer?;
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn what_is_asked_of_a_frozen_node_is_answered_once_it_goes_on(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "what_is_asked_of_a_frozen_node_is_answered_once_it_goes_on").await?;
    victim.pause().await;
    let thaw = async {
        tokio::time::sleep(pause(target)).await;
        victim.resume().await;
    };
    let (answer, ()) = join(victim.ask(&SERVES), thaw).await;
    answer?;
    victim.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_node_that_stays_frozen_is_named(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "a_node_that_stays_frozen_is_named").await?;
    let freeze = async {
        victim.is_asked().await;
        victim.pause().await;
    };
    let (report, ()) = join(victim.refusal(&WAITS_BRIEFLY), freeze).await;
    victim.resume().await;
    assert_tells(&report, &["the cluster's node, is paused", "a letter arrives: not so after 4 s", "remedy:"]);
    // Its own namespace could not be deleted while nobody answered.
    remove_leftovers(&victim).await;
    victim.has_nothing_left().await;
    Ok(())
}

async fn remove_leftovers(victim: &Victim) {
    let namespaces: Api<Namespace> = Api::all(victim.cluster().client());
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=k3s-arc");
    for left in namespaces.list(&ours).await.expect("the API answers again") {
        namespaces.delete(&left.name_any(), &DeleteParams::default()).await.expect("the API takes the deletion");
    }
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_node_that_starts_again_is_waited_for(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "a_node_that_starts_again_is_waited_for").await?;
    let restart = async {
        let namespace = victim.is_asked().await;
        victim.kill().await;
        victim.start().await;
        victim.send_letter(&namespace).await;
    };
    let (answer, ()) = join(victim.ask(&WAITS), restart).await;
    answer?;
    if target == Target::K3s {
        // What fails because the restart took it along is told so.
        let report = victim.refusal(&WAITS_BRIEFLY).await;
        assert_tells(&report, &["was started again after this test had come to it", "started at "]);
    }
    victim.is_mended().await;
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_node_that_starts_again_at_another_address_keeps_its_pods_connected(#[case] target: Target) -> Verdict {
    let victim = Victim::of(target, "machine", "a_node_that_starts_again_at_another_address_keeps_its_pods_connected").await?;
    let before = (restarts(&victim).await, known_at(&victim).await);
    victim.start_elsewhere().await;
    victim.is_mended().await;
    assert_eq!(known_at(&victim).await, before.1, "pods are told the same address of the API");
    // Each has started again with the node. One that does not come to the API ends, and is started again later and later.
    for (pod, restarts) in restarts(&victim).await {
        let before = before.0.get(&pod).copied().unwrap_or_default();
        assert!(restarts <= before + 1, "{pod} was started again {} times", restarts - before);
    }
    Ok(())
}

/// The addresses that the API's Service leads to.
async fn known_at(victim: &Victim) -> Vec<String> {
    let slices: Api<EndpointSlice> = Api::namespaced(victim.cluster().client(), "default");
    let slice = slices.get("kubernetes").await.expect("the API has a Service");
    slice.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses).collect()
}

/// How often the containers of K3s's own pods have been started again.
async fn restarts(victim: &Victim) -> BTreeMap<String, i32> {
    let pods: Api<Pod> = Api::namespaced(victim.cluster().client(), "kube-system");
    let pods = pods.list(&ListParams::default()).await.expect("the API answers");
    let restarts = |pod: Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        (pod.name_any(), statuses.map(|status| status.restart_count).sum())
    };
    pods.into_iter().map(restarts).collect()
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn an_api_that_refuses_connections_is_named(#[case] target: Target) -> Verdict {
    const RULE: &str = "INPUT -i eth0 -p tcp --dport 6443 -j REJECT --reject-with tcp-reset";
    let victim = Victim::of(target, "machine", "an_api_that_refuses_connections_is_named").await?;
    let refuse = async {
        victim.is_asked().await;
        match victim.controls() {
            Some(controls) => controls.refuse(true),
            None => drop(victim.sh(&format!("iptables -I {RULE}")).await),
        }
    };
    let (report, ()) = join(victim.refusal(&WAITS_BRIEFLY), refuse).await;
    match victim.controls() {
        Some(controls) => controls.refuse(false),
        None => drop(victim.sh(&format!("iptables -D {RULE}")).await),
    }
    assert_tells(&report, &["nobody accepts connections to the API at https://127.0.0.1:", "though its node runs"]);
    remove_leftovers(&victim).await;
    victim.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn watches_that_are_cut_are_taken_up_again(#[case] target: Target) -> Verdict {
    let direct = Victim::of(target, "machine", "watches_that_are_cut_are_taken_up_again").await?;
    let url = server(&direct);
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the API's port");
    let proxy = Proxy::to(port).await;
    let restored = direct.change_kubeconfig(|text| text.replace(&format!(":{port}"), &format!(":{}", proxy.port)));
    drop(direct);

    let victim = Victim::of(target, "machine", "watches_that_are_cut_are_taken_up_again").await?;
    let cut = async {
        let namespace = victim.is_asked().await;
        for _ in 0..3 {
            proxy.cut();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        victim.send_letter(&namespace).await;
    };
    let (answer, ()) = join(victim.ask(&WAITS), cut).await;
    answer?;
    victim.ask(&SERVES).await?;
    victim.has_nothing_left().await;
    drop(restored);
    Ok(())
}

/// The URL of the API in a victim's kubeconfig.
fn server(victim: &Victim) -> String {
    let text = std::fs::read_to_string(victim.cluster().kubeconfig()).expect("the kubeconfig is readable");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("server: ").map(str::to_owned));
    line.expect("a server").trim_matches('"').to_owned()
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_kubeconfig_that_leads_nowhere_is_named(#[case] target: Target) -> Verdict {
    let direct = Victim::of(target, "machine", "a_kubeconfig_that_leads_nowhere_is_named").await?;
    let url = server(&direct);
    // Nothing listens on port 1 of a host that is not from 1990.
    let restored = direct.change_kubeconfig(|text| text.replace(&url, "https://127.0.0.1:1"));
    drop(direct);
    let victim = Victim::of(target, "machine", "a_kubeconfig_that_leads_nowhere_is_named").await?;
    let report = victim.refusal(&WAITS_BRIEFLY).await;
    drop(restored);
    drop(victim);
    let address = url.trim_start_matches("https://");
    assert_tells(&report, &["is stale: it leads to https://127.0.0.1:1, and the API is at", address, "run again"]);
    Victim::of(target, "machine", "a_kubeconfig_that_leads_nowhere_is_named").await?.has_nothing_left().await;
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_kubeconfig_of_another_cluster_is_named(#[case] target: Target) -> Verdict {
    let direct = Victim::of(target, "machine", "a_kubeconfig_of_another_cluster_is_named").await?;
    // A certificate that is one, and not of the authority that signed the API's.
    let restored = direct.change_kubeconfig(|text| {
        let mut config = Kubeconfig::from_yaml(text).expect("a kubeconfig");
        let user = config.auth_infos[0].auth_info.clone().expect("a user");
        let cluster = config.clusters[0].cluster.as_mut().expect("a cluster");
        cluster.certificate_authority_data = user.client_certificate_data;
        // JSON is YAML, too.
        serde_json::to_string(&config).expect("a kubeconfig")
    });
    drop(direct);
    let victim = Victim::of(target, "machine", "a_kubeconfig_of_another_cluster_is_named").await?;
    let report = victim.refusal(&WAITS_BRIEFLY).await;
    drop(restored);
    drop(victim);
    assert_tells(&report, &["is stale: the certificate of the API at https://", "is not the one it knows"]);
    Victim::of(target, "machine", "a_kubeconfig_of_another_cluster_is_named").await?.has_nothing_left().await;
    Ok(())
}

/// Disturbs everything that runs in the engine, so it runs only when it is asked for by name.
#[rstest]
#[case::by_hand(Target::K3s)]
#[k3s_arc_harness::test]
async fn an_engine_that_was_restarted_is_named(#[case] target: Target) -> Verdict {
    let command = std::env::var(ENGINE_RESTART).expect("K3S_ARC_FAULT_ENGINE_RESTART has the command that restarts the engine");
    let victim = Victim::of(target, "machine", "an_engine_that_was_restarted_is_named").await?;
    let restart = async {
        victim.is_asked().await;
        let restarted = tokio::process::Command::new("sh").arg("-c").arg(command).status().await;
        assert!(restarted.is_ok_and(|status| status.success()), "the command restarts the engine");
    };
    let (report, ()) = join(victim.refusal(&WAITS), restart).await;
    assert_tells(&report, &["the cluster's node, ended with exit code", "a restart of the Docker Engine ends all containers"]);
    victim.start().await;
    // Its own namespace could not be deleted while nobody answered.
    remove_leftovers(&victim).await;
    victim.is_mended().await;
    Ok(())
}
