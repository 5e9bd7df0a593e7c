//! Memory limits: whoever uses more is killed, and told apart from who crashed.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::{ResourceExt, api::PostParams};

use super::{MEMORY, pods};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    diagnosis,
    probe::{Probe, Request, load},
    wait::{self, Seen},
};

/// See its question.
pub const MEMORY_LIMIT_KILLS: Check = Check {
    area: Area::Resources,
    name: "memory_limit_kills",
    question: "Is a container that uses more memory than its limit killed, and told as OOMKilled?",
    needs: &[Capability::Cgroups],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const LIMIT: &str = "64Mi";
/// Four times the limit.
const USED: u64 = 256 << 20;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let pod = Probe::new("hungry")
        .asking(Request::Load(load::Request::Memory { bytes: USED }))
        .with_pod(|pod| pods::set_resources(pod, &[(MEMORY, "16Mi")], &[(MEMORY, LIMIT)]))
        .pod(cx.cluster().standin_image());
    let name = cx.api::<Pod>().create(&PostParams::default(), &pod).await?.name_any();
    evidence.saw("limit", LIMIT).saw("used", format!("{} MiB, step by step", USED >> 20));

    let what = format!("pod {name} ends");
    let end = wait::until(cx.api::<Pod>(), wait::named(&name), what, pods::DEADLINE, ended).await?;
    let reason = end.reason.as_deref().unwrap_or("none");
    evidence.saw("exit code", end.exit_code).saw("reason", reason);
    evidence.require(reason == "OOMKilled", "the reason is OOMKilled", reason)?;
    // 128 and the number of SIGKILL.
    evidence.require(end.exit_code == 137, "the exit code is 137", end.exit_code)?;

    let diagnoses = diagnosis::of_namespace(cx.client(), cx.namespace()).await;
    let told = diagnoses.iter().find(|diagnosis| diagnosis.cause.contains(&name));
    let cause = told.map_or("nothing", |diagnosis| diagnosis.cause.as_str());
    evidence.saw("diagnosis", cause);
    evidence.require(
        cause.contains("more memory than its limit of 64Mi"),
        "the diagnosis of it names the limit that was exceeded",
        cause,
    )?;
    Ok(())
}

/// How the pod's container ended; the condition of a wait.
fn ended(pods: &[Pod]) -> Seen<ContainerStateTerminated> {
    let status = pods.first().and_then(|pod| pod.status.as_ref());
    let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
    let state = container.and_then(|container| container.state.as_ref());
    if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
        return Seen::Done(end.clone());
    }
    let waiting = state.and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.clone());
    Seen::NotYet(waiting.or_else(|| status?.phase.clone()).unwrap_or_else(|| "no status".to_owned()))
}
