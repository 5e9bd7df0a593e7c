//! A namespace that is to go and does not.

use super::{Finding, Snapshot, Standing};

/// Conditions that hold a namespace, and what they mean.
const HOLDS: &[(&str, &str, &str)] = &[
    (
        "NamespaceFinalizersRemaining",
        "objects in it wait for finalizers that nobody carries out",
        "see that the controller behind the finalizer runs; if it is gone for good, remove the finalizer from the objects",
    ),
    (
        "NamespaceDeletionDiscoveryFailure",
        "an announced API does not answer, so nobody knows whether objects of it are left",
        "repair or delete that APIService (metrics.k8s.io right after a start, until metrics-server runs)",
    ),
    ("NamespaceDeletionGroupVersionParsingFailure", "an announced API has no readable version", "delete that APIService"),
    ("NamespaceDeletionContentFailure", "objects in it cannot be deleted", "read the message: a webhook may forbid it"),
    ("NamespaceContentRemaining", "objects in it are still being deleted", "wait; pods have their grace period"),
];

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(namespace) = &snapshot.namespace else { return Vec::new() };
    if namespace.metadata.deletion_timestamp.is_none() {
        return Vec::new();
    }
    let conditions: Vec<_> = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten()).collect();
    let held = HOLDS.iter().find_map(|(kind, cause, remedy)| {
        let condition = conditions.iter().find(|condition| condition.type_ == *kind && condition.status == "True")?;
        Some((condition, cause, remedy))
    });
    let Some((_, cause, remedy)) = held else { return Vec::new() };
    let evidence = conditions
        .iter()
        .filter(|condition| condition.status == "True")
        .map(|condition| format!("{}: {}", condition.type_, condition.message.as_deref().unwrap_or_default()))
        .chain(snapshot.held.iter().map(|held| format!("{}: finalizers {}", held.object, held.finalizers.join(", "))))
        .collect();
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    vec![Finding::new(Standing::Stuck, format!("namespace {name} is being deleted and does not end: {cause}"), evidence, remedy)]
}
