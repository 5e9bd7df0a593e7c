//! What a write through a (sub)resource does not change, and so does not own: the strategies' `GetResetFields`.

/// The fields that a write to a built-in resource resets, as dotted names.
#[must_use]
pub fn reset_fields(group: &str, resource: &str, subresource: &str) -> &'static [&'static str] {
    match (group, resource, subresource) {
        ("certificates.k8s.io", "certificatesigningrequests", "") => &["spec", "status"],
        ("certificates.k8s.io", "certificatesigningrequests", "status") => &["spec", "status.conditions"],
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => &["spec", "status.certificate"],
        ("apps", "deployments", "status") => &["spec", "metadata.labels"],
        ("", "pods", "status") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("storage.k8s.io", "volumeattachments", "status")
        | ("flowcontrol.apiserver.k8s.io", "flowschemas" | "prioritylevelconfigurations", "status")
        | ("admissionregistration.k8s.io", "validatingadmissionpolicies", "status")
        | ("apiextensions.k8s.io", "customresourcedefinitions", "status")
        | ("apiregistration.k8s.io", "apiservices", "status") => &["metadata", "spec"],
        // Their strategies name the group wrongly, and so reset nothing.
        ("networking.k8s.io", "servicecidrs", _) => &[],
        (
            "",
            "nodes"
            | "resourcequotas"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "namespaces"
            | "pods"
            | "services"
            | "replicationcontrollers",
            "",
        )
        | ("", "namespaces", "finalize")
        | ("apps", "daemonsets" | "statefulsets" | "deployments" | "replicasets", "")
        | ("batch", "jobs" | "cronjobs", "")
        | ("autoscaling", "horizontalpodautoscalers", "")
        | ("networking.k8s.io", "ingresses", "")
        | ("policy", "poddisruptionbudgets", "")
        | ("resource.k8s.io", "resourceclaims", "")
        | ("storage.k8s.io", "volumeattachments", "")
        | ("flowcontrol.apiserver.k8s.io", "flowschemas" | "prioritylevelconfigurations", "")
        | ("admissionregistration.k8s.io", "validatingadmissionpolicies", "")
        | ("apiextensions.k8s.io", "customresourcedefinitions", "")
        | ("apiregistration.k8s.io", "apiservices", "") => &["status"],
        (
            "",
            "nodes"
            | "resourcequotas"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "namespaces"
            | "services"
            | "replicationcontrollers",
            "status",
        )
        | ("apps", "daemonsets" | "statefulsets" | "replicasets", "status")
        | ("batch", "jobs" | "cronjobs", "status")
        | ("autoscaling", "horizontalpodautoscalers", "status")
        | ("networking.k8s.io", "ingresses", "status")
        | ("policy", "poddisruptionbudgets", "status")
        | ("resource.k8s.io", "resourceclaims", "status") => &["spec"],
        _ => &[],
    }
}

/// The same for a custom resource; `has_status` says whether it has the status subresource.
#[must_use]
pub fn custom_reset_fields(has_status: bool, subresource: &str) -> &'static [&'static str] {
    match subresource {
        "" if has_status => &["status"],
        "status" => &["spec"],
        _ => &[],
    }
}
