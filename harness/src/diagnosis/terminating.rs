//! Pods that are to go and still run.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    Finding, Snapshot, Standing,
    snapshot::{containers, reason, told},
};

/// One finding for each pod whose containers go on after they were told to end.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    snapshot.pods.iter().filter_map(|pod| finding(snapshot, pod)).collect()
}

fn finding(snapshot: &Snapshot, pod: &Pod) -> Option<Finding> {
    // The time at which it is killed: that of its deletion, and its grace period.
    let killed = pod.metadata.deletion_timestamp.as_ref()?;
    let running: Vec<String> = containers(pod)
        .into_iter()
        .filter(|container| container.status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .map(|container| container.status.name.clone())
        .collect();
    if running.is_empty() {
        return None;
    }
    let (name, grace) = (pod.name_any(), pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
    let asked = snapshot.events_about("Pod", &name).into_iter().filter(|event| reason(event) == "Killing").take(1).map(told);
    let mut evidence = vec![format!("deletionTimestamp: {}, deletionGracePeriodSeconds: {grace}", killed.0)];
    evidence.extend(asked);
    Some(Finding::new(
        Standing::Retrying,
        format!(
            "pod {name} is being deleted, and has not ended on SIGTERM so far: {} runs until it is killed at {}",
            running.join(", "),
            killed.0
        ),
        evidence,
        "let its process end on SIGTERM (a container's first process ignores it unless it listens for it), or shorten \
         terminationGracePeriodSeconds",
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_still_runs_has_not_ended() {
        let pod = |name: &str, deleted: serde_json::Value, state: serde_json::Value| {
            let status = json!({"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state});
            json!({
                "metadata": {"name": name, "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 600},
                "status": {"containerStatuses": [status]},
            })
        };
        let (then, runs) = (json!("2026-11-01T10:10:00Z"), json!({"running": {}}));
        let snapshot: Snapshot = serde_json::from_value(json!({"pods": [
            pod("stays", serde_json::Value::Null, runs.clone()),
            pod("deaf", then.clone(), runs),
            pod("ended", then, json!({"terminated": {"exitCode": 0}})),
        ]}))
        .unwrap();
        let causes: Vec<String> = findings(&snapshot).into_iter().map(|finding| finding.diagnosis.cause).collect();
        assert_eq!(
            causes,
            ["pod deaf is being deleted, and has not ended on SIGTERM so far: c runs until it is killed at 2026-11-01T10:10:00Z"]
        );
    }
}
