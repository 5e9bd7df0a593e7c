//! A Service without a cluster IP: its name stands for the pods behind it.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Probe as ReadinessProbe, TCPSocketAction},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{
    cluster_dns::ClusterDns,
    objects::{self, BACKEND},
    survey::Survey,
};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::dns::Kind,
};

/// Does a headless Service's name stand for exactly its ready pods, also after scaling?
pub const HEADLESS_SERVICE: Check = Check {
    area: Area::Dns,
    name: "headless_service",
    question: "Does a headless Service's name stand for exactly its ready pods, also after scaling?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const NAME: &str = "peers";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let name = dns.service(NAME, cx.namespace());
    objects::create(cx, &objects::headless(NAME, Some(NAME), &[("peer", "TCP", 80)])).await?;
    objects::create(cx, &objects::deployment(cx, NAME, 2)).await?;
    // Selected by the Service, running, and never ready.
    objects::create(cx, &never_ready(objects::pod(cx, NAME))).await?;

    let two = addresses(cx, 2).await?;
    evidence.saw("2 ready pods, and one that is not", two.iter().cloned().collect::<Vec<_>>().join(", "));
    let mut survey = Survey::new();
    survey.records(Kind::A, &name, &two);
    survey.run(cx, evidence).await?;

    let scale = Patch::Merge(json!({"spec": {"replicas": 1}}));
    cx.api::<Deployment>().patch(NAME, &PatchParams::default(), &scale).await?;
    let one = addresses(cx, 1).await?;
    evidence.saw("1 ready pod after scaling", one.iter().cloned().collect::<Vec<_>>().join(", "));
    let mut survey = Survey::new();
    survey.records(Kind::A, &name, &one);
    survey.run(cx, evidence).await?;
    Ok(())
}

/// The addresses of the ready pods, once there are `count`.
async fn addresses(cx: &Context, count: usize) -> Result<BTreeSet<String>, Failure> {
    let pods = objects::ready_pods(cx, cx.namespace(), (BACKEND, NAME), count).await?;
    pods.iter().map(|pod| Ok(objects::pod_ip(pod)?.to_string())).collect()
}

/// The pod with a readiness probe of a port at which nothing listens.
fn never_ready(mut pod: Pod) -> Pod {
    for container in pod.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.readiness_probe = Some(ReadinessProbe {
            tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(9), host: None }),
            ..ReadinessProbe::default()
        });
    }
    pod
}
