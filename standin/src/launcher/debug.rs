//! Debug logs: how everything is at one moment of the launch.

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};

use super::setup::state;
use crate::{arc::DataController, kubernetes::explain, log::Log, pod_state::why_not_ready};

/// How many of a container's last lines a verbose launch repeats.
const TAIL: i64 = 20;

/// Logs how the namespace's DataController, pods, claims and warnings are. What cannot be looked at is told too.
pub(super) async fn debug_logs(client: &Client, namespace: &str, label: &str, log: &Log) {
    log.info(format_args!("debug logs labelled {label} of namespace {namespace}"));
    let looked = look(client, namespace, log).await;
    if let Err(error) = looked {
        log.warn(format_args!("debug logs labelled {label} are incomplete: {}", explain(&error)));
    }
}

async fn look(client: &Client, namespace: &str, log: &Log) -> kube::Result<()> {
    let all = ListParams::default();
    for data_controller in Api::<DataController>::namespaced(client.clone(), namespace).list(&all).await? {
        let (state, why) = state(Some(&data_controller));
        log.info(format_args!("  DataController {}: {state}: {why}", data_controller.name_any()));
    }
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    for pod in pods.list(&all).await? {
        log.info(format_args!("  {}", described(&pod)));
        tails(&pods, &pod, log).await;
    }
    for claim in Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace).list(&all).await? {
        let status = claim.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("without a phase");
        log.info(format_args!("  claim {}: {phase}", claim.name_any()));
    }
    let warnings = ListParams::default().fields("type=Warning");
    for event in Api::<Event>::namespaced(client.clone(), namespace).list(&warnings).await? {
        let about = &event.involved_object;
        let (kind, name) = (about.kind.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default());
        let (reason, message) = (event.reason.as_deref().unwrap_or_default(), event.message.as_deref().unwrap_or_default());
        log.info(format_args!("  warning of {kind} {name}: {reason}: {message} ({} times)", event.count.unwrap_or(1)));
    }
    Ok(())
}

fn described(pod: &Pod) -> String {
    if let Some(why) = why_not_ready(pod) {
        return why;
    }
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let restarts: i32 = containers.iter().map(|container| container.restart_count).sum();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    format!("pod {}: ready on {node}, {} containers, {restarts} restarts", pod.name_any(), containers.len())
}

/// The last lines of each container, for a verbose launch.
async fn tails(pods: &Api<Pod>, pod: &Pod, log: &Log) {
    if !log.is_verbose() {
        return;
    }
    let name = pod.name_any();
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let which = LogParams { container: Some(container.name.clone()), tail_lines: Some(TAIL), ..Default::default() };
        match pods.logs(&name, &which).await {
            Ok(text) => text.lines().for_each(|line| log.debug(format_args!("    {name}/{}: {line}", container.name))),
            Err(error) => log.debug(format_args!("    {name}/{} has no log: {}", container.name, explain(&error))),
        }
    }
}
