//! CPU limits: whoever wants more is throttled, and the kernel counts it.

use super::{CPU, pods};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::{Probe, Request, cgroup::CpuLimit, load},
};

/// See its question.
pub const CPU_LIMIT_THROTTLES: Check = Check {
    area: Area::Resources,
    name: "cpu_limit_throttles",
    question: "Is a container that wants more CPU than its limit throttled, and is that counted?",
    needs: &[Capability::Cgroups],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const LIMIT: &str = "100m";
const LIMIT_MILLICORES: u64 = 100;
/// So many periods (of 100 ms) with a stop in them are no accident.
const THROTTLED_PERIODS: u64 = 5;
/// A container that is not throttled in this time is not held to its limit.
const AT_MOST_SECONDS: u64 = 20;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let load = load::Request::Cpu { throttled_periods: THROTTLED_PERIODS, at_most_seconds: AT_MOST_SECONDS };
    let probe =
        Probe::new("busy").asking(Request::Load(load)).with_pod(|pod| pods::set_resources(pod, &[(CPU, "10m")], &[(CPU, LIMIT)]));
    let load::Answer { before, after } = probe.run(cx).await?;

    let limit = after.cpu_limit.map(CpuLimit::millicores);
    let told = limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit}m"));
    let periods = after.throttling.periods.saturating_sub(before.throttling.periods);
    let throttled = after.throttling.throttled_periods.saturating_sub(before.throttling.throttled_periods);
    let stopped = after.throttling.throttled_us.saturating_sub(before.throttling.throttled_us);
    evidence
        .saw("cgroup", format!("{:?}", after.version))
        .saw("limit in the container's cgroup", &told)
        .saw("periods in which it ran", periods)
        .saw("of which it was stopped in", throttled)
        .saw("stopped for", format!("{} ms", stopped / 1000));
    evidence.require(limit == Some(LIMIT_MILLICORES), format!("the container's cgroup has the limit of {LIMIT}"), told)?;
    evidence.require(
        throttled >= THROTTLED_PERIODS,
        format!("a busy container is stopped in at least {THROTTLED_PERIODS} periods"),
        format!("{throttled} in {AT_MOST_SECONDS} s"),
    )?;
    Ok(())
}
