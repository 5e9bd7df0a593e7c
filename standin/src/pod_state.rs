//! Why a pod is not ready, in one line.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

/// Why the pod is not ready; none if it is.
pub(crate) fn why_not_ready(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(format!("pod {} is being deleted", pod.name_any()));
    }
    if condition("Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let why = condition("PodScheduled")
        .filter(|scheduled| scheduled.status == "False")
        .map(told)
        .or_else(|| status?.container_statuses.as_deref()?.iter().find_map(why_container_not_ready))
        .unwrap_or_else(|| status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "no status yet".into()));
    Some(format!("pod {}: {why}", pod.name_any()))
}

fn told(condition: &PodCondition) -> String {
    let reason = condition.reason.as_deref().unwrap_or("not scheduled");
    match condition.message.as_deref() {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

fn why_container_not_ready(container: &ContainerStatus) -> Option<String> {
    if container.ready {
        return None;
    }
    let name = &container.name;
    let state = container.state.as_ref();
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        return Some(match waiting.message.as_deref() {
            Some(message) => format!("container {name}: {reason}: {message}"),
            None => format!("container {name}: {reason}"),
        });
    }
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        let reason = ended.reason.as_deref().unwrap_or("ended");
        return Some(format!("container {name}: {reason} with exit code {}", ended.exit_code));
    }
    Some(format!("container {name} runs, but is not ready"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::ready(json!({"conditions": [{"type": "Ready", "status": "True"}]}), None)]
    #[case::unschedulable(
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}),
        Some("pod p: Unschedulable: 0/1 nodes are available")
    )]
    #[case::pulling(
        json!({"containerStatuses": [{"name": "main", "ready": false, "image": "", "imageID": "", "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}),
        Some("pod p: container main: ImagePullBackOff: Back-off pulling image")
    )]
    #[case::killed(
        json!({"containerStatuses": [{"name": "main", "ready": false, "image": "", "imageID": "", "restartCount": 1,
            "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
        Some("pod p: container main: OOMKilled with exit code 137")
    )]
    #[case::pending(json!({"phase": "Pending"}), Some("pod p: Pending"))]
    fn says_what_is_wrong(#[case] status: Value, #[case] expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
        assert_eq!(why_not_ready(&pod).as_deref(), expected);
    }
}
