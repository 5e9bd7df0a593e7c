//! What Kustomize knows of Kubernetes' types. It has the OpenAPI document of v1.21.2 built in (`kyaml/openapi`); here are
//! the emulator's types with what that document does not have taken away.

use k3s_arc_emulator::schema::{Type, table::builtin};

use super::resource::Gvk;

/// Kinds that came after v1.21: of no known type, and in a namespace.
fn is_newer(gvk: &Gvk) -> bool {
    matches!(
        (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()),
        ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding")
            | ("autoscaling", "v2", _)
            | ("flowcontrol.apiserver.k8s.io", "v1", _)
            | ("metrics.k8s.io" | "resource.k8s.io", _, _)
            | ("networking.k8s.io", "v1", "IPAddress" | "ServiceCIDR")
            | ("storage.k8s.io", "v1", "CSIStorageCapacity" | "VolumeAttributesClass")
    )
}

/// Fields that are merged by a key since a later version than v1.21; Kustomize replaces their lists.
const NEWER_LISTS: [(&str, &str); 6] = [
    ("io.k8s.api.admissionregistration.v1.MutatingWebhook", "matchConditions"),
    ("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "matchConditions"),
    ("io.k8s.api.core.v1.EphemeralContainer", "ports"),
    ("io.k8s.api.core.v1.PodSpec", "resourceClaims"),
    ("io.k8s.api.core.v1.PodSpec", "schedulingGates"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations"),
];

/// Kinds in no namespace that Kubernetes has dropped since v1.21.
fn was_cluster_scoped(gvk: &Gvk) -> bool {
    gvk.version == "v1beta1"
        && matches!(
            (gvk.group.as_str(), gvk.kind.as_str()),
            ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration")
                | ("apiextensions.k8s.io", "CustomResourceDefinition")
                | ("apiregistration.k8s.io", "APIService")
                | ("certificates.k8s.io", "CertificateSigningRequest")
                | ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration")
                | ("networking.k8s.io", "IngressClass")
                | ("node.k8s.io", "RuntimeClass")
                | ("policy", "PodSecurityPolicy")
                | ("rbac.authorization.k8s.io", "ClusterRole" | "ClusterRoleBinding")
                | ("scheduling.k8s.io", "PriorityClass")
                | ("storage.k8s.io", "CSIDriver" | "CSINode" | "StorageClass" | "VolumeAttachment")
        )
}

/// Whether the objects of a kind are certainly in no namespace.
pub(super) fn is_cluster_scoped(gvk: &Gvk) -> bool {
    let is_listed = |group: &str, kinds: &[&str]| gvk.group == group && kinds.contains(&gvk.kind.as_str());
    let known = gvk.version == "v1"
        && (is_listed("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"])
            || is_listed("admissionregistration.k8s.io", &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
            || is_listed("apiextensions.k8s.io", &["CustomResourceDefinition"])
            || is_listed("apiregistration.k8s.io", &["APIService"])
            || is_listed("certificates.k8s.io", &["CertificateSigningRequest"])
            || is_listed("networking.k8s.io", &["IngressClass"])
            || is_listed("node.k8s.io", &["RuntimeClass"])
            || is_listed("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"])
            || is_listed("scheduling.k8s.io", &["PriorityClass"])
            || is_listed("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]));
    known || was_cluster_scoped(gvk)
}

/// A type, and whether its lists are merged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    ty: Type<'static>,
    is_newer_list: bool,
}

impl Schema {
    /// The type of a kind; none for one that Kustomize does not know.
    pub(super) fn of(gvk: &Gvk) -> Option<Self> {
        let ty = builtin().type_of(&gvk.group, &gvk.version, &gvk.kind).filter(|_| !is_newer(gvk))?;
        Some(Self { ty, is_newer_list: false })
    }

    pub(super) fn field(self, name: &str) -> Option<Self> {
        let is_newer_list = self.ty.name().is_some_and(|owner| NEWER_LISTS.contains(&(owner, name)));
        Some(Self { ty: self.ty.below(name)?, is_newer_list })
    }

    pub(super) fn items(self) -> Option<Self> {
        Some(Self { ty: self.ty.items()?, is_newer_list: false })
    }

    /// By which fields the items of a list are told apart when it is merged: none for scalars, and nothing at all for a
    /// list that is replaced.
    pub(super) fn merge_keys(self) -> Option<Vec<String>> {
        if self.is_newer_list || !self.ty.patch_strategy("merge") {
            return None;
        }
        let keys: Vec<String> = self.ty.keys().map(str::to_owned).collect();
        Some(if keys.is_empty() { self.ty.patch_merge_key().map(str::to_owned).into_iter().collect() } else { keys })
    }
}

/// Whether a kind's type is known to Kustomize, but not here, since Kubernetes has dropped it.
pub(super) fn is_dropped(gvk: &Gvk) -> bool {
    let beta = gvk.version.contains("beta");
    let group = matches!(
        gvk.group.as_str(),
        "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "autoscaling"
            | "batch"
            | "certificates.k8s.io"
            | "coordination.k8s.io"
            | "discovery.k8s.io"
            | "events.k8s.io"
            | "extensions"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "node.k8s.io"
            | "policy"
            | "rbac.authorization.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
    );
    beta && group && builtin().type_of(&gvk.group, &gvk.version, &gvk.kind).is_none()
}
