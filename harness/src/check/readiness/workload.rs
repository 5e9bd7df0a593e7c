//! Whether a workload has the pods it should have.

use kube::{
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::Value;

use crate::wait::Seen;

/// The resource of a kind of workload (`Deployment`, `ReplicaSet`, `StatefulSet`, `DaemonSet`).
pub(super) fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind))
}

/// How many of a workload's pods are available, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Availability {
    pub(super) wanted: i64,
    pub(super) available: i64,
    /// Whether the status is of the present spec.
    pub(super) current: bool,
}

impl Availability {
    /// Reads it from the workload's status, whose fields differ from kind to kind.
    pub(super) fn of(workload: &DynamicObject) -> Self {
        let number = |path: &str| workload.data.pointer(path).and_then(Value::as_i64);
        let (wanted, available) = match number("/status/desiredNumberScheduled") {
            Some(wanted) => (wanted, number("/status/numberAvailable")),
            None => (number("/spec/replicas").unwrap_or(0), number("/status/availableReplicas")),
        };
        let current = number("/status/observedGeneration") >= workload.metadata.generation;
        Self { wanted, available: available.unwrap_or(0), current }
    }

    /// All that are wanted, and at least one.
    pub(super) fn is_complete(self) -> bool {
        self.current && self.wanted > 0 && self.available >= self.wanted
    }
}

impl std::fmt::Display for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} available", self.available, self.wanted)?;
        if self.current { Ok(()) } else { write!(f, " (status of an older spec)") }
    }
}

/// Whether the one workload selected is complete; the condition of a wait.
pub(super) fn complete(workloads: &[DynamicObject]) -> Seen<Availability> {
    match workloads.first().map(Availability::of) {
        None => Seen::NotYet("it does not exist".to_owned()),
        Some(availability) if availability.is_complete() => Seen::Done(availability),
        Some(Availability { wanted: 0, current: true, .. }) => Seen::Never("it is scaled to no pods".to_owned()),
        Some(availability) => Seen::NotYet(availability.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn workload(kind: &str, spec: Value, status: Value) -> DynamicObject {
        let mut object = DynamicObject::new("web", &resource(kind)).data(json!({"spec": spec, "status": status}));
        object.metadata.generation = Some(2);
        object
    }

    #[rstest]
    #[case::deployment("Deployment", json!({"replicas": 2}), json!({"availableReplicas": 2, "observedGeneration": 2}), "2 of 2 available", true)]
    #[case::one_short("Deployment", json!({"replicas": 2}), json!({"availableReplicas": 1, "observedGeneration": 2}), "1 of 2 available", false)]
    #[case::none_yet("StatefulSet", json!({"replicas": 1}), json!({"observedGeneration": 2}), "0 of 1 available", false)]
    #[case::scaled_to_none("Deployment", json!({"replicas": 0}), json!({"observedGeneration": 2}), "0 of 0 available", false)]
    #[case::an_older_spec("ReplicaSet", json!({"replicas": 1}), json!({"availableReplicas": 1, "observedGeneration": 1}), "1 of 1 available (status of an older spec)", false)]
    #[case::daemon_set("DaemonSet", json!({}), json!({"desiredNumberScheduled": 1, "numberAvailable": 1, "observedGeneration": 2}), "1 of 1 available", true)]
    #[case::daemon_set_without("DaemonSet", json!({}), json!({"desiredNumberScheduled": 1, "observedGeneration": 2}), "0 of 1 available", false)]
    fn availability_is_read_from_each_kind(
        #[case] kind: &str,
        #[case] spec: Value,
        #[case] status: Value,
        #[case] told: &str,
        #[case] complete: bool,
    ) {
        let availability = Availability::of(&workload(kind, spec, status));
        assert_eq!((availability.to_string().as_str(), availability.is_complete()), (told, complete));
    }
}
