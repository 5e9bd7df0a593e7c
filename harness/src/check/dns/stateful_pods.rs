//! The names of a StatefulSet's pods.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};

use super::{
    cluster_dns::ClusterDns,
    objects::{self, BACKEND, reverse_name},
    survey::Survey,
};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::dns::Kind,
};

/// Do a StatefulSet's pods have names of their own, in reverse too, that follow a replaced pod?
pub const STATEFUL_PODS: Check = Check {
    area: Area::Dns,
    name: "stateful_pods",
    question: "Do a StatefulSet's pods have names of their own, in reverse too, that follow a replaced pod?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const NAME: &str = "db";
const REPLICAS: usize = 2;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let service = dns.service(NAME, cx.namespace());
    objects::create(cx, &objects::headless(NAME, Some(NAME), &[("tds", "TCP", 1433)])).await?;
    objects::create(cx, &objects::stateful_set(cx, NAME, 2)).await?;

    let before = objects::ready_pods(cx, cx.namespace(), (BACKEND, NAME), REPLICAS).await?;
    survey(&before, &service)?.run(cx, evidence).await?;

    let Some(first) = before.first() else { return Ok(()) };
    cx.api::<Pod>().delete(&first.name_any(), &DeleteParams::default()).await?;
    let after = objects::ready_pods(cx, cx.namespace(), (BACKEND, NAME), REPLICAS).await?;
    let replaced = after.iter().find(|pod| pod.name_any() == first.name_any());
    let (old, new) = (objects::pod_ip(first)?, replaced.map(objects::pod_ip).transpose()?);
    evidence.saw(
        format!("{} replaced", first.name_any()),
        format!("{old} before, {} after", new.map_or_else(|| "nothing".to_owned(), |new| new.to_string())),
    );
    survey(&after, &service)?.run(cx, evidence).await?;
    Ok(())
}

/// Each pod forward and reverse, and the named port of all of them.
fn survey(pods: &[Pod], service: &str) -> Result<Survey, Failure> {
    let mut survey = Survey::new();
    for pod in pods {
        let (name, address) = (format!("{}.{service}", pod.name_any()), objects::pod_ip(pod)?);
        survey.records(Kind::A, &name, [address]).records(Kind::Ptr, &reverse_name(address), [format!("{name}.")]);
    }
    // CoreDNS shares a weight of 100 among the pods.
    let weight = 100 / pods.len().max(1);
    let ports = pods.iter().map(|pod| format!("0 {weight} 1433 {}.{service}.", pod.name_any()));
    survey.records(Kind::Srv, &format!("_tds._tcp.{service}"), ports);
    Ok(survey)
}
