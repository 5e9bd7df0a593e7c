//! How a data controller is, read from its components.

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::core::DynamicObject;
use serde_json::Value;

use super::{desired::components, live::Live};
use crate::{
    arc::{Component, DataController, DataControllerStatus, components::Workload, data_controller::READY},
    pod_state::why_not_ready,
};

/// Components are being deployed for the first time.
const DEPLOYING: &str = "DeployingComponents";
/// It was ready, and is not any more.
const DEGRADED: &str = "Degraded";
/// What was asked for could not be made.
const ERROR: &str = "Error";

/// What came of looking at a data controller.
pub(super) enum Seen {
    /// Every component answers.
    Served,
    /// These components are not available, for these reasons.
    Unavailable(Vec<(&'static Component, String)>),
    /// All are available, but these are not reached yet.
    Unanswered(Vec<(&'static Component, String)>),
    /// The components could not be made or looked at.
    Failed(String),
}

/// The components that are not available, and why: their workload's, or their pods' reason.
pub(super) fn unavailable(live: &Live, pods: &[Pod]) -> Vec<(&'static Component, String)> {
    components()
        .filter_map(|component| {
            let workload = live.find(component.workload.kind(), component.name);
            let why = why_not_available(component, workload)?;
            let of_pods = pods.iter().filter(|pod| Component::of_pod(pod) == Some(component)).find_map(why_not_ready);
            Some((component, of_pods.unwrap_or(why)))
        })
        .collect()
}

/// Why a workload is not available; none if it is.
fn why_not_available(component: &Component, workload: Option<&DynamicObject>) -> Option<String> {
    let kind = component.workload.kind();
    let Some(workload) = workload else { return Some(format!("{kind} {} is missing", component.name)) };
    let number = |path: &str| workload.data.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let (wanted, ready) = match component.workload {
        Workload::DaemonSet => (number("/status/desiredNumberScheduled"), number("/status/numberReady")),
        _ => (number("/spec/replicas"), number("/status/readyReplicas")),
    };
    let seen = Some(number("/status/observedGeneration")) >= workload.metadata.generation;
    if seen && wanted > 0 && ready >= wanted {
        return None;
    }
    Some(format!("{kind} {}: {ready} of {wanted} pods ready", component.name))
}

/// The status to write; none if the one that is there says the same.
pub(super) fn next(data_controller: &DataController, seen: &Seen) -> Option<DataControllerStatus> {
    let now = Time(Timestamp::now());
    let before = data_controller.status.clone().unwrap_or_default();
    // Not having been ready is a failure only once it was.
    let was_ready = matches!(before.state.as_deref(), Some(READY | DEGRADED));
    let (state, status, reason, message) = match seen {
        Seen::Failed(why) => (ERROR, "False", "ReconcileFailed", why.clone()),
        Seen::Served => (READY, "True", "ComponentsAvailable", "every component is available".to_owned()),
        Seen::Unavailable(components) | Seen::Unanswered(components) => {
            let told: Vec<String> = components.iter().map(|(component, why)| format!("{}: {why}", component.name)).collect();
            (if was_ready { DEGRADED } else { DEPLOYING }, "False", "ComponentsNotAvailable", told.join("; "))
        }
    };
    let known = before.conditions.iter().find(|condition| condition.type_ == READY && condition.status == status);
    let generation = data_controller.metadata.generation;
    let ready = Condition {
        type_: READY.into(),
        status: status.into(),
        reason: reason.into(),
        message,
        last_transition_time: known.map_or_else(|| now.clone(), |known| known.last_transition_time.clone()),
        observed_generation: generation,
    };
    let next = DataControllerStatus {
        state: Some(state.into()),
        observed_generation: generation,
        running_version: Some(data_controller.spec.docker.image_tag.clone()),
        last_update_time: before.last_update_time.clone(),
        conditions: vec![ready],
    };
    (next != before).then_some(DataControllerStatus { last_update_time: Some(now), ..next })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::bootstrapper::desired::tests::data_controller;

    fn workload(component: &Component, ready: i64) -> Value {
        let status = match component.workload {
            Workload::DaemonSet => json!({"desiredNumberScheduled": 1, "numberReady": ready, "observedGeneration": 1}),
            _ => json!({"readyReplicas": ready, "observedGeneration": 1}),
        };
        let (kind, name) = (component.workload.kind(), component.name);
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "generation": 1}, "spec": {"replicas": 1}, "status": status})
    }

    fn with_state(state: Option<&str>) -> DataController {
        let mut data_controller = data_controller(json!("local-path"), "NodePort");
        data_controller.status = state.map(|state| DataControllerStatus { state: Some(state.into()), ..Default::default() });
        data_controller
    }

    #[test]
    fn all_ready_is_ready_and_written_once() {
        let live = Live::of(components().map(|component| workload(component, 1)).collect());
        assert_eq!(unavailable(&live, &[]), []);
        let mut data_controller = with_state(None);
        let status = next(&data_controller, &Seen::Served).unwrap();
        assert_eq!(status.state.as_deref(), Some("Ready"));
        assert_eq!(status.observed_generation, Some(1));
        assert_eq!(status.running_version.as_deref(), Some("t"));
        data_controller.status = Some(status);
        assert_eq!(next(&data_controller, &Seen::Served), None);
    }

    #[rstest]
    #[case::at_first(None, "DeployingComponents")]
    #[case::still(Some("DeployingComponents"), "DeployingComponents")]
    #[case::after_ready(Some("Ready"), "Degraded")]
    #[case::since(Some("Degraded"), "Degraded")]
    fn one_missing_is_not_ready(#[case] before: Option<&str>, #[case] state: &str) {
        let live = Live::of(
            components().filter(|component| component.name != "logsdb").map(|component| workload(component, 1)).collect(),
        );
        let status = next(&with_state(before), &Seen::Unavailable(unavailable(&live, &[]))).unwrap();
        assert_eq!(status.state.as_deref(), Some(state));
        assert_eq!(status.conditions[0].status, "False");
        assert_eq!(status.conditions[0].message, "logsdb: StatefulSet logsdb is missing");
    }

    #[test]
    fn the_pods_reason_is_told() {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "controldb-0", "labels": {"app": "controldb"}},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient memory."}]}
        }))
        .unwrap();
        let live =
            Live::of(components().map(|component| workload(component, i64::from(component.name != "controldb"))).collect());
        let unavailable = unavailable(&live, &[pod]);
        assert_eq!(unavailable.len(), 1);
        assert_eq!(unavailable[0].1, "pod controldb-0: Unschedulable: Insufficient memory.");
    }

    #[test]
    fn a_status_of_an_older_generation_does_not_count() {
        let component = Component::named("controldb").unwrap();
        let mut object = workload(component, 1);
        object["metadata"]["generation"] = json!(2);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        assert!(why_not_available(component, Some(&object)).is_some());
    }
}
