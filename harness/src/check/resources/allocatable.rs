//! What all of it asks of the nodes, and what they have.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{ResourceExt, api::ListParams};

use super::{CPU, MEMORY, components};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::Access,
    quantity::{Amount, amount_in, pod_request},
};

/// See its question.
pub const REQUESTS_FIT_THE_NODES: Check = Check {
    area: Area::Resources,
    name: "requests_fit_the_nodes",
    question: "Do the components' requests add up to the documented sum, and does everything fit into what the nodes can give?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let of_arc = components::pods(cx).await?;
    for resource in [CPU, MEMORY] {
        let seen: Amount = of_arc.iter().map(|(_, pod)| pod_request(pod, resource)).sum();
        let documented: Amount = of_arc
            .iter()
            .filter_map(|(component, _)| {
                Amount::parse(if resource == CPU { component.cpu_request } else { component.memory_request })
            })
            .sum();
        let (seen_told, documented_told) = (seen.of(resource).to_string(), documented.of(resource).to_string());
        evidence.saw(format!("{resource} that Arc's components request"), format!("{seen_told}, documented {documented_told}"));
        evidence.require(
            seen == documented,
            format!("they request the documented {documented_told} of {resource}"),
            seen_told,
        )?;
    }

    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?.items;
    let pods = cx.api_all::<Pod>().list(&ListParams::default()).await?.items;
    for node in &nodes {
        let name = node.name_any();
        let on_it: Vec<&Pod> = pods.iter().filter(|pod| holds(pod, &name)).collect();
        for resource in [CPU, MEMORY] {
            let allocatable =
                amount_in(node.status.as_ref().and_then(|status| status.allocatable.as_ref()), resource).unwrap_or_default();
            let requested: Amount = on_it.iter().map(|pod| pod_request(pod, resource)).sum();
            let limited: Amount = on_it.iter().map(|pod| limits(pod, resource)).sum();
            let share = |amount: Amount| amount.as_milli() * 100 / allocatable.as_milli().max(1);
            let told = format!(
                "{} ({}%) requested and {} ({}%) limited of {} allocatable",
                requested.of(resource),
                share(requested),
                limited.of(resource),
                share(limited),
                allocatable.of(resource)
            );
            evidence.saw(format!("{resource} of node {name}"), &told);
            evidence.require(requested <= allocatable, format!("node {name} has the {resource} that its pods request"), told)?;
        }
    }
    Ok(())
}

/// Whether the pod holds resources of the node: it is there, and has not ended.
fn holds(pod: &Pod, node: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node) && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// What the pod's containers may use together; limits may exceed what a node has.
fn limits(pod: &Pod, resource: &str) -> Amount {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter_map(|container| amount_in(container.resources.as_ref()?.limits.as_ref(), resource)).sum()
}
