//! The order in which the objects are printed. Ported from `api/internal/builtins/SortOrderTransformer.go`.

use super::{
    file::Sort,
    resource::{Id, Resource},
};

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sorts as told; as `kubectl kustomize` does where nothing is.
pub(super) fn sort(resources: &mut [Resource], sort: Option<&Sort>) {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (first, last) = match sort {
        Some(Sort::Fifo) => return,
        Some(Sort::Legacy(Some((first, last)))) => (first.clone(), last.clone()),
        Some(Sort::Legacy(None)) | None => (own(&FIRST), own(&LAST)),
    };
    let signed = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let rank = |kind: &str| {
        let last_at = last.iter().rposition(|other| other == kind).map(|index| 1 + signed(index));
        let first_at = || first.iter().rposition(|other| other == kind).map(|index| signed(index) - signed(first.len()));
        last_at.or_else(first_at).unwrap_or(0)
    };
    resources.sort_by_cached_key(|resource| {
        let id = resource.id();
        let rank = rank(&id.gvk.kind);
        // Kubernetes' own namespaces come before what else is called so.
        let is_first = rank != 0 && id.gvk.kind == "Namespace" && id.gvk.group.is_empty();
        (rank, !is_first, kind_key(&id), name_key(&id, resource.namespace()))
    });
}

fn kind_key(id: &Id) -> String {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", or(&id.gvk.group, "~G"), or(&id.gvk.version, "~V"), or(&id.gvk.kind, "~K"))
}

fn name_key(id: &Id, namespace: &str) -> String {
    format!("{}|{}", if namespace.is_empty() { "~X" } else { namespace }, id.name)
}
