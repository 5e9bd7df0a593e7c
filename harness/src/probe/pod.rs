//! A probe's pod: how it is made, and what its status says of its progress.

use std::{collections::BTreeMap, time::Duration};

use k3s_arc_standin::probe::Request;
use k8s_openapi::{
    api::{
        core::v1::{Container, ContainerStateTerminated, PersistentVolumeClaim, Pod, PodSpec, ResourceRequirements},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, Client, ResourceExt, api::ObjectMeta};
use tokio::time::Instant;

use crate::{
    namespace::MANAGED_BY,
    wait::{self, Seen, WaitError},
};

/// The container's name; also that of the subcommand which it runs.
const CONTAINER: &str = "probe";

/// A pod that asks nothing yet and has no image.
pub(super) fn skeleton(name: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("probe-{name}-")),
            labels: Some(BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: CONTAINER.to_owned(),
                image_pull_policy: Some("IfNotPresent".to_owned()),
                resources: Some(ResourceRequirements {
                    requests: Some(BTreeMap::from([
                        ("cpu".to_owned(), Quantity("10m".to_owned())),
                        ("memory".to_owned(), Quantity("16Mi".to_owned())),
                    ])),
                    ..ResourceRequirements::default()
                }),
                ..Container::default()
            }],
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(0),
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

/// Puts the request on the command line of the pod's container.
pub(super) fn ask(pod: &mut Pod, request: &Request) {
    // A request holds nothing that JSON has no form for, so this does not fail.
    let request = serde_json::to_string(request).unwrap_or_default();
    if let Some(container) = container(pod) {
        container.args = Some(vec![CONTAINER.to_owned(), request]);
    }
}

/// The pod with an image, unless it was given one.
pub(super) fn with_image(mut pod: Pod, image: &str) -> Pod {
    if let Some(container) = container(&mut pod) {
        container.image.get_or_insert_with(|| image.to_owned());
    }
    pod
}

fn container(pod: &mut Pod) -> Option<&mut Container> {
    pod.spec.as_mut()?.containers.iter_mut().find(|container| container.name == CONTAINER)
}

/// What a wait for the pod's end comes to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Its container has ended.
    Ended(Box<Pod>),
    /// It was judged before the scheduler knew its claim's StorageClass, and nothing will wake it.
    Stuck,
}

/// How far the pod is; the condition of [`wait::until`].
pub(super) fn progress(pods: &[Pod]) -> Seen<Progress> {
    // Just created, it can be missing from a list: on K3s some are from a moment before (k3s-io/kine issue 577).
    let Some(pod) = pods.first() else { return Seen::NotYet("no such pod: deleted, or too new to be listed".to_owned()) };
    let Some(status) = &pod.status else { return Seen::NotYet("the pod has no status".to_owned()) };
    let phase = status.phase.as_deref().unwrap_or("without a phase");
    // The kubelet tells of the container's end a second before it tells of the pod's, which then has no sandbox any more.
    if terminated(pod).is_some() {
        return Seen::Done(Progress::Ended(Box::new(pod.clone())));
    }
    // Evicted, or refused by the kubelet: its container never ran.
    if phase == "Failed" {
        return Seen::Never(told(status.reason.as_deref(), status.message.as_deref()));
    }
    let unscheduled =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.as_deref().unwrap_or_default();
        if is_stuck(message) {
            return Seen::Done(Progress::Stuck);
        }
        return Seen::NotYet(told(condition.reason.as_deref(), Some(message)));
    }
    let waiting =
        status.container_statuses.iter().flatten().find_map(|container| container.state.as_ref()?.waiting.as_ref()).map(
            |waiting| {
                (waiting.reason.as_deref().unwrap_or_default(), told(waiting.reason.as_deref(), waiting.message.as_deref()))
            },
        );
    match waiting {
        // What no amount of waiting mends. A failed pull is not among these: registries recover.
        Some(("ErrImageNeverPull" | "InvalidImageName" | "CreateContainerConfigError", text)) => Seen::Never(text),
        Some((_, text)) => Seen::NotYet(format!("{phase}: {text}")),
        None => Seen::NotYet(phase.to_owned()),
    }
}

/// Whether the scheduler's message is the one of a pod that was judged too early.
///
/// Seen on K3s v1.34.1 in the second in which ServiceAccount `default` appears: the claim's StorageClass was not in the
/// scheduler's cache yet. The scheduler looks at such a pod again only after five minutes.
fn is_stuck(message: &str) -> bool {
    message.contains("unbound immediate PersistentVolumeClaims") && message.contains("not found")
}

/// Waits until the class of each of the pod's claims exists, so that a replacement is judged rightly.
pub(super) async fn claims_can_be_provisioned(client: Client, pod: &Pod, deadline: Duration) -> Result<(), WaitError> {
    let ends = Instant::now() + deadline;
    let left = || ends.saturating_duration_since(Instant::now());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let classes: Api<StorageClass> = Api::all(client);
    for name in claim_names(pod) {
        let class =
            wait::until(claims.clone(), wait::named(name), format!("claim {name} has a StorageClass"), left(), |claims| {
                match claims.first() {
                    None => Seen::NotYet("there is no such claim".to_owned()),
                    // The API fills it in when a default class appears (since Kubernetes 1.28).
                    Some(claim) => match claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()) {
                        None => Seen::NotYet("no class, and no default one to give it".to_owned()),
                        Some(class) => Seen::Done(class),
                    },
                }
            })
            .await?;
        wait::until(
            classes.clone(),
            wait::named(&class),
            format!("StorageClass {class} of claim {name} exists"),
            left(),
            |classes| {
                if classes.is_empty() { Seen::NotYet("it does not".to_owned()) } else { Seen::Done(()) }
            },
        )
        .await?;
    }
    Ok(())
}

fn claim_names(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()).map(|claim| claim.claim_name.as_str())
}

/// How the pod's container ended: `ended with 137 (OOMKilled)`.
pub(super) fn end(pod: &Pod) -> String {
    match terminated(pod) {
        Some(end) => format!("ended with {} ({})", end.exit_code, told(end.reason.as_deref(), end.message.as_deref())),
        None => "ended".to_owned(),
    }
}

/// The end of the pod's container, which is not started again.
fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let mut statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.find(|status| status.name == CONTAINER)?.state.as_ref()?.terminated.as_ref()
}

fn told(reason: Option<&str>, message: Option<&str>) -> String {
    match (reason, message.filter(|message| !message.is_empty())) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "no reason given".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Volume;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "probe-x"}, "status": status})).unwrap()
    }

    fn unscheduled(message: &str) -> Pod {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        pod(json!({"phase": "Pending", "conditions": [condition]}))
    }

    fn container(phase: &str, state: serde_json::Value) -> Pod {
        let status = json!({"name": "probe", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        pod(json!({"phase": phase, "containerStatuses": [status]}))
    }

    fn waiting(reason: &str) -> Pod {
        container("Pending", json!({"waiting": {"reason": reason, "message": "why"}}))
    }

    fn told(seen: &Seen<Progress>) -> String {
        match seen {
            Seen::Done(Progress::Ended(pod)) => end(pod),
            Seen::Done(Progress::Stuck) => "stuck".to_owned(),
            Seen::NotYet(text) => format!("not yet: {text}"),
            Seen::Never(text) => format!("never: {text}"),
        }
    }

    // Messages as K3s v1.34.1 wrote them.
    #[rstest]
    #[case::judged_too_early(
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
        "stuck"
    )]
    #[case::too_large(
        unscheduled("0/1 nodes are available: 1 Insufficient memory."),
        "not yet: Unschedulable: 0/1 nodes are available: 1 Insufficient memory."
    )]
    #[case::pulling(waiting("ErrImagePull"), "not yet: Pending: ErrImagePull: why")]
    #[case::no_such_image(waiting("ErrImageNeverPull"), "never: ErrImageNeverPull: why")]
    #[case::running(container("Running", json!({"running": {}})), "not yet: Running")]
    #[case::ended(container("Succeeded", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})), "ended with 0 (Completed)")]
    #[case::ended_but_not_yet_the_pod(
        container("Pending", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
        "ended with 0 (Completed)"
    )]
    #[case::killed(container("Failed", json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})), "ended with 137 (OOMKilled)")]
    #[case::evicted(pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})), "never: Evicted: low on memory")]
    #[case::evicted_before_it_ran(
        container("Failed", json!({"waiting": {"reason": "ContainerCreating"}})),
        "never: no reason given"
    )]
    fn a_pods_status_tells_its_progress(#[case] pod: Pod, #[case] expected: &str) {
        assert_eq!(told(&progress(&[pod])), expected);
    }

    #[test]
    fn a_pod_that_is_not_listed_may_be_too_new() {
        assert_eq!(told(&progress(&[])), "not yet: no such pod: deleted, or too new to be listed");
    }

    #[test]
    fn a_pod_has_the_request_and_the_image_it_was_given() {
        let mut pod = skeleton("x");
        ask(&mut pod, &Request::Stay);
        let given = with_image(with_image(pod, "its-own"), "the-clusters");
        let container = &given.spec.unwrap().containers[0];
        assert_eq!(container.args.as_deref().unwrap(), ["probe", r#"{"ask":"stay"}"#]);
        assert_eq!(container.image.as_deref(), Some("its-own"));
    }

    #[test]
    fn claims_are_those_of_its_volumes() {
        let volume = |volume: serde_json::Value| serde_json::from_value::<Volume>(volume).unwrap();
        let mut pod = skeleton("x");
        pod.spec.as_mut().unwrap().volumes = Some(vec![
            volume(json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}})),
            volume(json!({"name": "tmp", "emptyDir": {}})),
        ]);
        assert_eq!(claim_names(&pod).collect::<Vec<_>>(), ["data-0"]);
    }
}
