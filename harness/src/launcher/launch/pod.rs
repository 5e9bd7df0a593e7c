//! The launcher's pod on its way to Ready, and what stands in it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::{Api, ResourceExt, api::ListParams};

use super::{Launch, LaunchError};
use crate::wait::{self, Seen, WaitError};

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Its containers serve.
    Ready,
    /// The launcher's container has ended: it was quicker than we.
    Ended(Ended),
    /// Neither yet.
    Held(Obstacle),
    /// Neither ever, because its image cannot come.
    Unpullable(String),
    /// Neither ever.
    Lost(String),
}

/// How the launcher's container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled` ...
    pub(super) reason: String,
}

/// What keeps a pod from being Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    NoPod,
    Unschedulable(String),
    ImagePull(String),
    Other(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::NoPod => f.write_str("there is no pod yet"),
            Obstacle::Unschedulable(message) => write!(f, "no node takes it: {message}"),
            Obstacle::ImagePull(cause) => write!(f, "its image is not there yet: {cause}"),
            Obstacle::Other(text) => f.write_str(text),
        }
    }
}

/// Waits until the pod of the Job with this uid is Ready, or was; gives its name.
pub(super) async fn ready(launch: &Launch, job_uid: &str) -> Result<String, LaunchError> {
    let job = &launch.job;
    let pods: Api<Pod> = Api::namespaced(launch.client.clone(), &job.namespace);
    let mut obstacle = Obstacle::NoPod;
    let selection = wait::labelled(&format!("job-name={}", job.name));
    let waited = wait::until(pods, selection, "the launcher's pod is Ready", launch.pod_ready, |pods: &[Pod]| {
        let own = pods.iter().find(|pod| pod.owner_references().iter().any(|owner| owner.uid == job_uid));
        match own.map(|pod| (pod.name_any(), state(pod, &job.container))) {
            Some((name, State::Ready | State::Ended(_))) => Seen::Done(name),
            Some((_, State::Lost(reason))) => Seen::Never(reason),
            Some((_, State::Unpullable(cause))) => {
                obstacle = Obstacle::ImagePull(cause.clone());
                Seen::Never(cause)
            }
            Some((_, State::Held(held))) => now(&mut obstacle, held),
            None => now(&mut obstacle, Obstacle::NoPod),
        }
    });
    let begun = Instant::now();
    match waited.await {
        Ok(name) => Ok(name),
        Err(WaitError::Never { reason, .. }) if matches!(obstacle, Obstacle::ImagePull(_)) => {
            Err(held_up(launch, obstacle, begun.elapsed(), reason).await)
        }
        Err(WaitError::Never { reason, .. }) => Err(LaunchError::PodLost {
            reason: launch.masker.mask(&reason).into_owned(),
            namespace: job.namespace.clone(),
            last_line: None,
        }),
        Err(WaitError::Deadline { after, last, .. }) => Err(held_up(launch, obstacle, after, last).await),
    }
}

/// Takes note of an obstacle, tells a new one, and keeps the cause of a failed pull through the back-off that hides it.
fn now<T>(known: &mut Obstacle, seen: Obstacle) -> Seen<T> {
    let hides =
        |known: &Obstacle| matches!((known, &seen), (Obstacle::ImagePull(_), Obstacle::ImagePull(cause)) if !has_cause(cause));
    if !hides(known) && *known != seen {
        tracing::info!("the launcher's pod is not Ready: {seen}");
        *known = seen;
    }
    Seen::NotYet(known.to_string())
}

/// A back-off repeats the cause behind the image's name, or, before Kubernetes 1.32, none: `Back-off pulling image "x"`.
fn has_cause(message: &str) -> bool {
    !message.starts_with("ImagePullBackOff: Back-off pulling image") || !message.ends_with('"')
}

async fn held_up(launch: &Launch, obstacle: Obstacle, after: Duration, last: String) -> LaunchError {
    let namespace = launch.job.namespace.clone();
    match obstacle {
        Obstacle::NoPod => {
            let events: Api<Event> = Api::namespaced(launch.client.clone(), &namespace);
            let about_job =
                ListParams::default().fields(&format!("involvedObject.kind=Job,involvedObject.name={}", launch.job.name));
            let why = match events.list(&about_job).await {
                Ok(events) => events.items.into_iter().filter_map(|event| event.message).next_back().unwrap_or(last),
                Err(error) => format!("{last}; its events could not be read: {}", crate::chain(&error)),
            };
            LaunchError::NoPod { after, namespace, why }
        }
        Obstacle::Unschedulable(message) => LaunchError::Unschedulable { after, message },
        Obstacle::ImagePull(cause) => {
            LaunchError::ImagePull { image: launch.job.image.clone(), after, remedy: pull_remedy(&cause).to_owned(), cause }
        }
        Obstacle::Other(seen) => LaunchError::NeverReady { after, namespace, seen },
    }
}

fn pull_remedy(cause: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if has(&["no such host", "lookup "]) {
        "the registry's name does not resolve on the node: see its /etc/resolv.conf"
    } else if has(&["not found", "manifest unknown"]) {
        "there is no such image or tag: see `images` in base/kustomization.yaml"
    } else if has(&["InvalidImageName"]) {
        "see `images` in base/kustomization.yaml and `image` in launcher.yaml"
    } else if has(&["ErrImageNeverPull"]) {
        "its pull policy is Never: preload the image by K3S_ARC_IMAGES_DIR"
    } else if has(&["unauthorized", "denied", "authentication required"]) {
        "the registry wants credentials: make the Secret arcdata-image-pull-secret in the launcher's namespace"
    } else if has(&["no space left"]) {
        "the node's disk is full: the images of Arc data services are about 2.5 GB each"
    } else if has(&["timeout", "refused", "unreachable"]) {
        "the registry does not answer: see the node's network and proxy, or preload the image by K3S_ARC_IMAGES_DIR"
    } else {
        "preload the image by K3S_ARC_IMAGES_DIR, or allow more time: it is about 2.5 GB"
    }
}

/// Where a pod stands, as seen from the launcher's container.
pub(super) fn state(pod: &Pod, container: &str) -> State {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let own = containers.iter().find(|status| status.name == container);
    if let Some(ended) = own.and_then(ended) {
        return State::Ended(ended);
    }
    let reason = |reason: &Option<String>, message: &Option<String>| {
        [reason, message].into_iter().flatten().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join(": ")
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return State::Lost("it is being deleted".to_owned());
    }
    if let Some("Failed" | "Succeeded") = status.phase.as_deref() {
        return State::Lost(format!(
            "it {}: {}",
            status.phase.unwrap_or_default().to_lowercase(),
            reason(&status.reason, &status.message)
        ));
    }
    let conditions = status.conditions.unwrap_or_default();
    if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
        return State::Ready;
    }
    if let Some(waiting) = own.and_then(|status| status.state.as_ref()).and_then(|state| state.waiting.as_ref()) {
        let told = reason(&waiting.reason, &waiting.message);
        return match waiting.reason.as_deref() {
            // Only another pod could be different.
            Some("InvalidImageName" | "ErrImageNeverPull") => State::Unpullable(told),
            Some("ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable") => {
                State::Held(Obstacle::ImagePull(told))
            }
            _ => State::Held(Obstacle::Other(told)),
        };
    }
    match conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False") {
        Some(condition) => State::Held(Obstacle::Unschedulable(reason(&condition.reason, &condition.message))),
        None => State::Held(Obstacle::Other(format!("phase {}", status.phase.as_deref().unwrap_or("unknown")))),
    }
}

fn ended(status: &ContainerStatus) -> Option<Ended> {
    let terminated = status.state.as_ref()?.terminated.as_ref()?;
    Some(Ended { exit_code: terminated.exit_code, reason: terminated.reason.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "arc-ci-launcher-x"}, "status": status})).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{
            "name": "arc-ci-launcher", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
            "state": {"waiting": {"reason": reason, "message": message}},
        }]})
    }

    fn terminated(exit_code: i32, reason: &str) -> Value {
        json!({"phase": "Failed", "containerStatuses": [{
            "name": "arc-ci-launcher", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
            "state": {"terminated": {"exitCode": exit_code, "reason": reason}},
        }]})
    }

    #[rstest]
    #[case::new(json!({"phase": "Pending"}), State::Held(Obstacle::Other("phase Pending".into())))]
    #[case::unschedulable(
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory."}]}),
        State::Held(Obstacle::Unschedulable("Unschedulable: 0/1 nodes are available: 1 Insufficient memory.".into()))
    )]
    #[case::creating(waiting("ContainerCreating", ""), State::Held(Obstacle::Other("ContainerCreating".into())))]
    #[case::pull_fails(waiting("ErrImagePull", "i/o timeout"), State::Held(Obstacle::ImagePull("ErrImagePull: i/o timeout".into())))]
    #[case::pull_backs_off(waiting("ImagePullBackOff", "Back-off"), State::Held(Obstacle::ImagePull("ImagePullBackOff: Back-off".into())))]
    #[case::bad_name(waiting("InvalidImageName", "bad"), State::Unpullable("InvalidImageName: bad".into()))]
    #[case::never_pulled(waiting("ErrImageNeverPull", "absent"), State::Unpullable("ErrImageNeverPull: absent".into()))]
    #[case::ready(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), State::Ready)]
    #[case::ended(terminated(0, "Completed"), State::Ended(Ended { exit_code: 0, reason: "Completed".into() }))]
    #[case::killed(terminated(137, "OOMKilled"), State::Ended(Ended { exit_code: 137, reason: "OOMKilled".into() }))]
    #[case::evicted(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), State::Lost("it failed: Evicted: low on memory".into()))]
    fn a_pods_state_is_told(#[case] status: Value, #[case] expected: State) {
        assert_eq!(state(&pod(status), "arc-ci-launcher"), expected);
    }

    #[test]
    fn a_pod_being_deleted_is_lost() {
        let mut pod = pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-01T10:00:00Z")).unwrap());
        assert!(matches!(state(&pod, "arc-ci-launcher"), State::Lost(_)));
    }

    #[test]
    fn the_cause_of_a_failed_pull_outlives_the_back_off() {
        let mut known = Obstacle::NoPod;
        let cause = Obstacle::ImagePull("ErrImagePull: dial tcp: lookup mcr.microsoft.com: i/o timeout".into());
        let _: Seen<()> = now(&mut known, cause.clone());
        let seen: Seen<()> = now(&mut known, Obstacle::ImagePull("ImagePullBackOff: Back-off pulling image \"x\"".into()));
        assert_eq!(known, cause);
        assert_eq!(seen, Seen::NotYet(cause.to_string()));
        let newer = Obstacle::ImagePull("ImagePullBackOff: Back-off pulling image \"x\": ErrImagePull: not found".into());
        let _: Seen<()> = now(&mut known, newer.clone());
        assert_eq!(known, newer);
    }

    #[rstest]
    #[case("dial tcp: lookup mcr.microsoft.com on 127.0.0.53:53: i/o timeout", "resolve")]
    #[case("mcr.microsoft.com/x:1: not found", "tag")]
    #[case("InvalidImageName: couldn't parse image name", "launcher.yaml")]
    #[case("401 unauthorized", "credentials")]
    #[case("write /var/lib: no space left on device", "disk")]
    #[case("dial tcp 1.2.3.4:443: i/o timeout", "does not answer")]
    fn a_failed_pull_has_its_remedy(#[case] cause: &str, #[case] says: &str) {
        assert!(pull_remedy(cause).contains(says), "{}", pull_remedy(cause));
    }
}
