//! LimitRange: what a container gets that says nothing, and what none may ask for.

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem, LimitRangeSpec, Pod};
use kube::api::PostParams;

use super::{CPU, MEMORY, pods};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::Access,
    probe::{Probe, Request},
    quantity::{Amount, amount_in},
};

/// See its question.
pub const LIMIT_RANGE_GIVES_DEFAULTS_AND_REFUSES: Check = Check {
    area: Area::Resources,
    name: "limit_range_gives_defaults_and_refuses",
    question: "Does a LimitRange give its defaults to a container that says nothing, and refuse one above its maximum?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const DEFAULT_REQUESTS: pods::Amounts<'_> = &[(CPU, "50m"), (MEMORY, "32Mi")];
const DEFAULT_LIMITS: pods::Amounts<'_> = &[(CPU, "200m"), (MEMORY, "64Mi")];
const MAXIMUM: pods::Amounts<'_> = &[(MEMORY, "128Mi")];

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let range = LimitRange {
        metadata: pods::metadata("range"),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default_request: Some(pods::quantities(DEFAULT_REQUESTS)),
                default: Some(pods::quantities(DEFAULT_LIMITS)),
                max: Some(pods::quantities(MAXIMUM)),
                ..LimitRangeItem::default()
            }],
        }),
    };
    cx.api().create(&PostParams::default(), &range).await?;

    let admitted = pods::admit(cx, &pod(cx, &[], &[])).await?;
    for (kind, defaults) in [("request", DEFAULT_REQUESTS), ("limit", DEFAULT_LIMITS)] {
        for (resource, default) in defaults {
            let given = given(&admitted, kind, resource);
            let told = given.map_or_else(|| "none".to_owned(), |given| given.of(resource).to_string());
            evidence.saw(format!("{resource} {kind} of a container that says none"), &told);
            evidence.require(given == Amount::parse(default), format!("its {resource} {kind} is the default {default}"), told)?;
        }
    }

    let refused = pods::refusal(cx, &pod(cx, &[], &[(MEMORY, "256Mi")])).await?;
    evidence.saw("a container with a memory limit of 256Mi", format!("{}: {}", refused.code, refused.message));
    let values = "maximum memory usage per Container is 128Mi, but limit is 256Mi";
    evidence.require(refused.code == 403, "the refusal is 403", refused.code)?;
    evidence.require(refused.message.contains(values), format!("the refusal says: {values}"), &refused.message)?;
    Ok(())
}

fn pod(cx: &Context, requests: pods::Amounts<'_>, limits: pods::Amounts<'_>) -> Pod {
    let probe = Probe::new("range").asking(Request::Stay);
    probe.with_pod(|pod| pods::set_resources(pod, requests, limits)).pod(cx.cluster().standin_image())
}

/// What admission gave the pod's first container.
fn given(pod: &Pod, kind: &str, resource: &str) -> Option<Amount> {
    let resources = pod.spec.as_ref()?.containers.first()?.resources.as_ref()?;
    let amounts = if kind == "request" { &resources.requests } else { &resources.limits };
    amount_in(amounts.as_ref(), resource)
}
