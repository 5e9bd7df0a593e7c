//! Whether everything ran from the start, and still does.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Event, Namespace, Pod},
    jiff::Timestamp,
};
use kube::{ResourceExt, api::ListParams};

use crate::check::{Access, Area, Capability, Check, Context, Evidence, Failure};

/// Has no container been restarted, killed or evicted since Arc data services were launched?
pub const STEADY: Check = Check {
    area: Area::Readiness,
    name: "steady",
    question: "Has no container been restarted, killed or evicted since Arc data services were launched?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// The namespace of K3s's own components.
const KUBE_SYSTEM: &str = "kube-system";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let launch = cx.launch()?;
    let namespace = cx.api_all::<Namespace>().get(&launch.namespace).await?;
    let since = namespace.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
    evidence.saw(format!("namespace {} since", launch.namespace), since);

    let mut restarts = Vec::new();
    let mut serious = Vec::new();
    // On somebody else's cluster, what runs there beside Arc is no concern of ours.
    let kube_system = cx.cluster().can(Capability::Own).then_some(KUBE_SYSTEM);
    for namespace in [launch.namespace.as_str()].into_iter().chain(kube_system) {
        let pods = cx.api_in::<Pod>(namespace).list(&ListParams::default()).await?.items;
        let containers: Vec<(String, &ContainerStatus)> = pods.iter().flat_map(containers).collect();
        restarts.extend(containers.iter().filter_map(|(pod, container)| restart(pod, container, since)));
        evidence.saw(format!("containers in {namespace}"), containers.len());

        let warnings = cx.api_in::<Event>(namespace).list(&ListParams::default().fields("type=Warning")).await?.items;
        // Pods of helpers and of tests that disturb the cluster come and go; what counts is what is still there.
        let of_those_here = |event: &&Event| pods.iter().any(|pod| pod.metadata.uid == event.involved_object.uid);
        for event in warnings.iter().filter(|event| last_seen(event) >= Some(since)).filter(of_those_here) {
            let text = told(event);
            evidence.saw(format!("warning in {namespace}"), &text);
            if is_serious(event) {
                serious.push(text);
            }
        }
    }
    evidence.require(restarts.is_empty(), "no container was restarted", restarts.join("; "))?;
    evidence.require(serious.is_empty(), "no pod was killed, evicted or sent into a crash loop", serious.join("; "))?;
    Ok(())
}

fn containers(pod: &Pod) -> impl Iterator<Item = (String, &ContainerStatus)> {
    let name = pod.name_any();
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(move |status| (name.clone(), status))
}

/// How a container was last restarted, if that was after `since`.
///
/// What a K3s that was restarted itself has on its count from before is not Arc's doing.
fn restart(pod: &str, container: &ContainerStatus, since: Timestamp) -> Option<String> {
    if container.restart_count == 0 {
        return None;
    }
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let finished = last.and_then(|end| end.finished_at.as_ref()).map(|time| time.0);
    if finished.is_some_and(|finished| finished < since) {
        return None;
    }
    let end = last.map_or_else(String::new, |end| {
        format!(", the last time after exit code {} ({})", end.exit_code, end.reason.as_deref().unwrap_or("no reason given"))
    });
    Some(format!("{} of pod {pod}: {} times{end}", container.name, container.restart_count))
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let times = [series, event.last_timestamp.as_ref().map(|time| time.0), event.event_time.as_ref().map(|time| time.0)];
    times.into_iter().flatten().max()
}

/// Whether a warning tells of a container that died or a pod that was driven away.
///
/// Others (a pull, a mount, a scheduling or a readiness probe that did not succeed at first) are told, and no failure: the
/// cluster tries again, and the components' availability says how that ended.
fn is_serious(event: &Event) -> bool {
    match event.reason.as_deref() {
        Some("BackOff") => event.message.as_deref().is_some_and(|message| message.contains("restarting failed container")),
        Some(reason) => {
            matches!(reason, "OOMKilling" | "SystemOOM" | "Evicted" | "Preempted" | "TaintManagerEviction" | "NodeNotReady")
        }
        None => false,
    }
}

fn told(event: &Event) -> String {
    let object = event.involved_object.name.as_deref().unwrap_or("?");
    let (reason, message) = (event.reason.as_deref().unwrap_or("?"), event.message.as_deref().unwrap_or_default());
    let count = event.count.filter(|count| *count > 1).map_or_else(String::new, |count| format!(" ({count} times)"));
    format!("{object}: {reason}: {}{count}", message.trim())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn container(restarts: i32, finished: &str) -> ContainerStatus {
        serde_json::from_value(json!({
            "name": "control", "image": "i", "imageID": "i", "ready": true, "restartCount": restarts,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": finished}},
        }))
        .unwrap()
    }

    #[rstest]
    #[case::never(container(0, "2026-11-23T10:00:01Z"), None)]
    #[case::before(container(1, "2026-11-23T09:59:59Z"), None)]
    #[case::after(
        container(2, "2026-11-23T10:00:01Z"),
        Some("control of pod c-0: 2 times, the last time after exit code 137 (OOMKilled)")
    )]
    fn a_restart_counts_from_the_launch_on(#[case] status: ContainerStatus, #[case] expected: Option<&str>) {
        let since = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(restart("c-0", &status, since).as_deref(), expected);
    }

    #[rstest]
    #[case::crash_loop("BackOff", "Back-off restarting failed container control in pod c-0", true)]
    #[case::slow_pull("BackOff", "Back-off pulling image \"mcr.microsoft.com/arcdata/arc-control\"", false)]
    #[case::eviction("Evicted", "The node was low on resource: memory.", true)]
    #[case::probe("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", false)]
    fn a_warning_is_serious_or_not(#[case] reason: &str, #[case] message: &str, #[case] serious: bool) {
        let event: Event =
            serde_json::from_value(json!({"metadata": {}, "involvedObject": {}, "reason": reason, "message": message})).unwrap();
        assert_eq!(is_serious(&event), serious);
    }
}
