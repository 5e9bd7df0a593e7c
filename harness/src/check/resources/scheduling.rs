//! Pods that no node can take.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    ResourceExt,
    api::{ListParams, PostParams},
};

use super::{CPU, MEMORY, pods};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::Access,
    diagnosis,
    probe::{Probe, Request},
    quantity::amount_in,
    wait::{self, Seen},
};

/// See its question.
pub const UNSCHEDULABLE_IS_EXPLAINED: Check = Check {
    area: Area::Resources,
    name: "unschedulable_is_explained",
    question: "Does a pod that no node can take say so, and is it explained by what is missing and how much?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// More than any node has that this would be run on.
const REQUESTS: pods::Amounts<'_> = &[(CPU, "1000"), (MEMORY, "64Ti")];

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let pod = Probe::new("giant")
        .asking(Request::Stay)
        .with_pod(|pod| pods::set_resources(pod, REQUESTS, &[]))
        .pod(cx.cluster().standin_image());
    let name = cx.api::<Pod>().create(&PostParams::default(), &pod).await?.name_any();
    evidence.saw(
        "requests",
        REQUESTS.iter().map(|(resource, amount)| format!("{amount} of {resource}")).collect::<Vec<_>>().join(", "),
    );
    let what = format!("the scheduler says why no node takes pod {name}");
    let message = wait::until(cx.api::<Pod>(), wait::named(&name), what, pods::DEADLINE, unschedulable).await?;
    evidence.saw("the scheduler", &message);

    let diagnoses = diagnosis::of_namespace(cx.client(), cx.namespace()).await;
    let told = diagnoses.iter().find(|diagnosis| diagnosis.cause.contains(&name));
    let cause = told.map_or("nothing", |diagnosis| diagnosis.cause.as_str());
    evidence.saw("diagnosis", cause);
    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?.items;
    for (resource, asked) in REQUESTS {
        let short = format!("not enough {resource}: it asks for {asked}");
        evidence.require(cause.contains(&short), format!("the diagnosis says: {short}"), cause)?;
        let allocatable: Vec<String> = nodes
            .iter()
            .filter_map(|node| amount_in(node.status.as_ref()?.allocatable.as_ref(), resource))
            .map(|amount| format!("left of {}, so ", amount.of(resource)))
            .collect();
        evidence.require(
            allocatable.iter().any(|allocatable| cause.contains(allocatable)),
            format!("the diagnosis measures {resource} against a node's allocatable"),
            cause,
        )?;
    }
    Ok(())
}

/// What the scheduler says of the pod; the condition of a wait.
fn unschedulable(pods: &[Pod]) -> Seen<String> {
    let conditions = pods.first().and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    match conditions.into_iter().flatten().find(|condition| condition.type_ == "PodScheduled") {
        Some(condition) if condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable") => {
            Seen::Done(condition.message.clone().unwrap_or_default())
        }
        Some(condition) if condition.status == "True" => Seen::Never("a node took it".to_owned()),
        _ => Seen::NotYet("the scheduler has not looked at it".to_owned()),
    }
}
