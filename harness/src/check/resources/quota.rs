//! ResourceQuota: what a namespace may request altogether.

use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetSpec},
        core::v1::{Event, Pod, PodTemplateSpec, ResourceQuota, ResourceQuotaSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::api::{ObjectMeta, PostParams};

use super::{CPU, MEMORY, pods};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::Access,
    diagnosis,
    probe::{Probe, Request},
    wait::{self, Seen},
};

/// See its question.
pub const QUOTA_REFUSES: Check = Check {
    area: Area::Resources,
    name: "quota_refuses",
    question: "Does a ResourceQuota refuse what exceeds it, with the values, and is a workload without pods told as that?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const QUOTA: &str = "small";
const HARD: pods::Amounts<'_> = &[("requests.cpu", "100m"), ("requests.memory", "64Mi")];
const SET: &str = "too-big";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let quota = ResourceQuota {
        metadata: pods::metadata(QUOTA),
        spec: Some(ResourceQuotaSpec { hard: Some(pods::quantities(HARD)), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    };
    cx.api().create(&PostParams::default(), &quota).await?;
    // Until its controller has counted what is used, the API refuses every pod for a reason of its own.
    wait::until(cx.api::<ResourceQuota>(), wait::named(QUOTA), "the quota is counted", pods::DEADLINE, |quotas| {
        let counted = quotas.first().and_then(|quota| quota.status.as_ref()?.used.as_ref()).is_some();
        if counted { Seen::Done(()) } else { Seen::NotYet("no status".to_owned()) }
    })
    .await?;
    evidence.saw("quota", HARD.iter().map(|(resource, amount)| format!("{resource} {amount}")).collect::<Vec<_>>().join(", "));

    pods::admit(cx, &pod(cx, &[(CPU, "100m"), (MEMORY, "64Mi")])).await?;
    evidence.saw("a pod that requests all of it", "is admitted");

    let refused = pods::refusal(cx, &pod(cx, &[(CPU, "250m"), (MEMORY, "64Mi")])).await?;
    evidence.saw("a pod that requests 250m", format!("{}: {}", refused.code, refused.message));
    let values = "exceeded quota: small, requested: requests.cpu=250m, used: requests.cpu=0, limited: requests.cpu=100m";
    evidence.require(refused.code == 403, "the refusal is 403", refused.code)?;
    evidence.require(refused.message.contains(values), format!("the refusal says: {values}"), &refused.message)?;

    let refused = pods::refusal(cx, &pod(cx, &[(CPU, "100m")])).await?;
    evidence.saw("a pod that requests no memory", format!("{}: {}", refused.code, refused.message));
    evidence.require(
        refused.message.contains("must specify requests.memory"),
        "a pod that does not say what the quota counts is refused for that",
        &refused.message,
    )?;

    // Users meet a quota through a workload, whose pods just do not appear.
    cx.api().create(&PostParams::default(), &replica_set(cx)).await?;
    let about = wait::Selection::default().fields(&format!("involvedObject.name={SET},reason=FailedCreate"));
    let what = format!("an event says why ReplicaSet {SET} has no pod");
    wait::until(cx.api::<Event>(), about, what, pods::DEADLINE, |events| match events {
        [] => Seen::NotYet("no event".to_owned()),
        _ => Seen::Done(()),
    })
    .await?;
    let diagnoses = diagnosis::of_namespace(cx.client(), cx.namespace()).await;
    let told = diagnoses.iter().find(|diagnosis| diagnosis.cause.contains(SET));
    let cause = told.map_or("nothing", |diagnosis| diagnosis.cause.as_str());
    evidence.saw("diagnosis of a ReplicaSet of such pods", cause);
    evidence.require(cause.contains(values), "the diagnosis has the same values", cause)?;
    Ok(())
}

fn pod(cx: &Context, requests: pods::Amounts<'_>) -> Pod {
    let probe = Probe::new("quota").asking(Request::Stay);
    probe.with_pod(|pod| pods::set_resources(pod, requests, &[])).pod(cx.cluster().standin_image())
}

fn replica_set(cx: &Context) -> ReplicaSet {
    let mut spec = pod(cx, &[(CPU, "250m"), (MEMORY, "64Mi")]).spec;
    if let Some(spec) = &mut spec {
        spec.restart_policy = None;
    }
    let labels = [("app".to_owned(), SET.to_owned())];
    ReplicaSet {
        metadata: pods::metadata(SET),
        spec: Some(ReplicaSetSpec {
            replicas: Some(1),
            selector: LabelSelector { match_labels: Some(labels.clone().into()), ..LabelSelector::default() },
            template: Some(PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels.into()), ..ObjectMeta::default() }),
                spec,
            }),
            ..ReplicaSetSpec::default()
        }),
        ..ReplicaSet::default()
    }
}
