//! The cluster's DNS after its pod was lost.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use tokio::time::Instant;

use super::{
    cluster_dns::{ClusterDns, NAMESPACE},
    node_names,
    objects::{self, is_ready, reverse_name},
};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::dns::Kind,
    wait::{self, Seen},
};

/// Are answers still right after CoreDNS's pod was deleted?
pub const COREDNS_RESTART: Check = Check {
    area: Area::Dns,
    name: "coredns_restart",
    question: "Are answers still right after CoreDNS's pod was deleted?",
    needs: &[Capability::KubeDns, Capability::K3s, Capability::Own],
    access: Access::Alone,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// The label of CoreDNS's pods, by which Service `kube-dns` selects them.
const COREDNS: &str = "k8s-app=kube-dns";
/// A new CoreDNS is ready within a few seconds; on a busy machine, later.
const READY_AGAIN: Duration = Duration::from_secs(90);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let api = cx.api_in::<Service>("default").get("kubernetes").await?;
    let own = objects::create(cx, &objects::service("own", None, &[("http", "TCP", 80)])).await?;

    let pods = cx.api_in::<Pod>(NAMESPACE);
    let old = pods.list(&ListParams::default().labels(COREDNS)).await?;
    for pod in &old {
        pods.delete(&pod.name_any(), &DeleteParams::default()).await?;
    }
    let deleted = Instant::now();
    let old: BTreeSet<String> = old.iter().filter_map(ResourceExt::uid).collect();
    let new = wait::until(pods, wait::labelled(COREDNS), "a new pod of CoreDNS is ready", READY_AGAIN, |pods| {
        new_and_ready(pods, &old)
    })
    .await?;
    evidence.saw("pods of CoreDNS deleted", old.len());
    evidence.saw("ready again", format!("{new}, after {:.1} s", deleted.elapsed().as_secs_f64()));

    let mut survey = node_names::survey(&node_names::nodes(cx).await?, &dns, cx.namespace());
    for (service, name) in [(&api, dns.service("kubernetes", "default")), (&own, dns.service("own", cx.namespace()))] {
        let address = objects::cluster_ip(service)?;
        let kind = if address.is_ipv4() { Kind::A } else { Kind::Aaaa };
        survey.records(kind, &name, [address]).records(Kind::Ptr, &reverse_name(address), [format!("{name}.")]);
    }
    survey
        .records(
            Kind::Srv,
            &format!("_https._tcp.{}", dns.service("kubernetes", "default")),
            [format!("0 100 443 {}.", dns.service("kubernetes", "default"))],
        )
        .missing(Kind::A, &dns.service("none", cx.namespace()), &dns.zone);
    survey.run(cx, evidence).await?;
    Ok(())
}

/// The name of a ready pod that is not one of the `old` ones, once those are gone.
fn new_and_ready(pods: &[Pod], old: &BTreeSet<String>) -> Seen<String> {
    let is_old = |pod: &&Pod| pod.uid().is_some_and(|uid| old.contains(&uid));
    if let Some(pod) = pods.iter().find(is_old) {
        return Seen::NotYet(format!("the old pod {} is still there", pod.name_any()));
    }
    match pods.iter().find(|pod| is_ready(pod)) {
        Some(pod) => Seen::Done(pod.name_any()),
        None => Seen::NotYet(match pods.first() {
            Some(pod) => format!("pod {} is not ready", pod.name_any()),
            None => "no pod".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": format!("coredns-{uid}"), "uid": uid},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[rstest]
    #[case::the_old_one_is_still_there(vec![pod("new", "True"), pod("old", "False")], Seen::NotYet("the old pod coredns-old is still there".to_owned()))]
    #[case::none(vec![], Seen::NotYet("no pod".to_owned()))]
    #[case::not_ready(vec![pod("new", "False")], Seen::NotYet("pod coredns-new is not ready".to_owned()))]
    #[case::ready(vec![pod("new", "True")], Seen::Done("coredns-new".to_owned()))]
    fn only_a_new_pod_counts(#[case] pods: Vec<Pod>, #[case] seen: Seen<String>) {
        assert_eq!(new_and_ready(&pods, &BTreeSet::from(["old".to_owned()])), seen);
    }
}
