//! Which fields the transformations change, and which fields refer to which objects: Kustomize's defaults
//! (`api/internal/konfig/builtinpluginconsts`).

use super::path::Spec;

const WORKLOADS: [&str; 4] = ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"];

fn spec(group: &'static str, version: &'static str, kind: &'static str, path: &str, create: bool) -> Spec {
    Spec { group, version, kind, path: path.to_owned(), create }
}

/// Where labels are in an object, and in the objects that it is a template of.
pub(super) fn template_labels() -> Vec<Spec> {
    let mut specs = vec![
        spec("", "", "", "metadata/labels", true),
        spec("", "v1", "ReplicationController", "spec/template/metadata/labels", true),
        spec("apps", "", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true),
        spec("batch", "", "Job", "spec/template/metadata/labels", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/labels", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
    ];
    for kind in WORKLOADS {
        let group = if kind == "StatefulSet" { "apps" } else { "" };
        specs.push(spec(group, "", kind, "spec/template/metadata/labels", true));
    }
    specs
}

pub(super) fn metadata_labels() -> Vec<Spec> {
    vec![spec("", "", "", "metadata/labels", true)]
}

/// Labels, and the selectors that go by them.
pub(super) fn selector_labels() -> Vec<Spec> {
    let mut specs = template_labels();
    specs.extend([
        spec("", "v1", "Service", "spec/selector", true),
        spec("", "v1", "ReplicationController", "spec/selector", true),
        spec("", "", "Deployment", "spec/selector/matchLabels", true),
        spec("", "", "ReplicaSet", "spec/selector/matchLabels", true),
        spec("", "", "DaemonSet", "spec/selector/matchLabels", true),
        spec("apps", "", "StatefulSet", "spec/selector/matchLabels", true),
        spec("batch", "", "Job", "spec/selector/matchLabels", false),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
        spec("policy", "", "PodDisruptionBudget", "spec/selector/matchLabels", false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/podSelector/matchLabels", false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
        spec("networking.k8s.io", "", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
    ]);
    for kind in ["Deployment", "StatefulSet"] {
        for affinity in ["podAffinity", "podAntiAffinity"] {
            let below = format!("spec/template/spec/affinity/{affinity}");
            let preferred = "preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels";
            let required = "requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels";
            specs.push(spec("apps", "", kind, &format!("{below}/{preferred}"), false));
            specs.push(spec("apps", "", kind, &format!("{below}/{required}"), false));
        }
        specs.push(spec("apps", "", kind, "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels", false));
    }
    specs
}

pub(super) fn annotations() -> Vec<Spec> {
    let mut specs = vec![
        spec("", "", "", "metadata/annotations", true),
        spec("", "v1", "ReplicationController", "spec/template/metadata/annotations", true),
        spec("batch", "", "Job", "spec/template/metadata/annotations", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
    ];
    specs.extend(WORKLOADS.map(|kind| spec("", "", kind, "spec/template/metadata/annotations", true)));
    specs
}

pub(super) fn images() -> Vec<Spec> {
    ["spec", "spec/template/spec"]
        .iter()
        .flat_map(|pod| ["containers[]/image", "initContainers[]/image", "volumes[]/image/reference"].map(|path| (pod, path)))
        .map(|(pod, path)| spec("", "", "", &format!("{pod}/{path}"), true))
        .collect()
}

pub(super) fn replicas() -> Vec<Spec> {
    ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"]
        .map(|kind| spec("", "", kind, "spec/replicas", true))
        .into()
}

/// Where a namespace is named, `metadata.namespace` and the subjects of bindings excepted.
pub(super) fn namespaces() -> Vec<Spec> {
    vec![
        spec("", "v1", "Namespace", "metadata/name", true),
        spec("apiregistration.k8s.io", "", "APIService", "spec/service/namespace", true),
        spec(
            "apiextensions.k8s.io",
            "",
            "CustomResourceDefinition",
            "spec/conversion/webhook/clientConfig/service/namespace",
            false,
        ),
    ]
}

/// Objects of a kind, and the fields that refer to one by its name.
pub(super) struct Referred {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) by: Vec<Spec>,
}

/// In Kustomize's order, which decides where a field may refer to several kinds. `IngressClass` is not among them: the
/// default for it names a group that no kind has.
pub(super) fn references() -> Vec<Referred> {
    let referred = |group, version, kind, by| Referred { group, version, kind, by };
    let scale = || vec![spec("", "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name", false)];
    let rbac = "rbac.authorization.k8s.io";
    vec![
        referred(
            "storage.k8s.io",
            "v1",
            "StorageClass",
            vec![
                spec("", "", "PersistentVolume", "spec/storageClassName", false),
                spec("", "", "PersistentVolumeClaim", "spec/storageClassName", false),
                spec("", "", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName", false),
            ],
        ),
        referred("", "v1", "ServiceAccount", {
            let mut by = in_pods(&RUNS_AS, &["serviceAccountName"]);
            by.push(spec(rbac, "", "RoleBinding", "subjects", false));
            by.push(spec(rbac, "", "ClusterRoleBinding", "subjects", false));
            by
        }),
        referred(rbac, "", "Role", vec![spec(rbac, "", "RoleBinding", "roleRef/name", false)]),
        referred(
            rbac,
            "",
            "ClusterRole",
            vec![
                spec(rbac, "", "RoleBinding", "roleRef/name", false),
                spec(rbac, "", "ClusterRoleBinding", "roleRef/name", false),
            ],
        ),
        referred("", "v1", "ConfigMap", to_config_maps()),
        referred("", "v1", "Secret", to_secrets()),
        referred("", "v1", "Service", to_services()),
        referred("scheduling.k8s.io", "v1", "PriorityClass", in_pods(&RUNS_AS, &["priorityClassName"])),
        referred(
            "",
            "v1",
            "PersistentVolume",
            vec![
                spec("", "", "PersistentVolumeClaim", "spec/volumeName", false),
                spec("", "", "ClusterRole", "rules/resourceNames", false),
            ],
        ),
        referred("", "v1", "PersistentVolumeClaim", in_pods(&RUNS_AS, &["volumes/persistentVolumeClaim/claimName"])),
        referred("", "", "Deployment", scale()),
        referred("", "", "StatefulSet", scale()),
        referred("", "", "ReplicaSet", scale()),
        referred("", "", "ReplicationController", scale()),
        referred(
            "admissionregistration.k8s.io",
            "",
            "ValidatingAdmissionPolicy",
            vec![spec("admissionregistration.k8s.io", "", "ValidatingAdmissionPolicyBinding", "spec/policyName", false)],
        ),
    ]
}

/// Kinds with a pod in them, and where: those that mount ConfigMaps and Secrets.
const MOUNTS: [(&str, &str, &str); 8] = [
    ("v1", "Pod", "spec"),
    ("", "PodTemplate", "template/spec"),
    ("", "Deployment", "spec/template/spec"),
    ("", "ReplicaSet", "spec/template/spec"),
    ("", "DaemonSet", "spec/template/spec"),
    ("", "StatefulSet", "spec/template/spec"),
    ("", "Job", "spec/template/spec"),
    ("", "CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// Those whose pods refer to anything else.
const RUNS_AS: [(&str, &str, &str); 7] = [
    ("", "Pod", "spec"),
    ("", "StatefulSet", "spec/template/spec"),
    ("", "Deployment", "spec/template/spec"),
    ("", "ReplicationController", "spec/template/spec"),
    ("", "CronJob", "spec/jobTemplate/spec/template/spec"),
    ("", "Job", "spec/template/spec"),
    ("", "DaemonSet", "spec/template/spec"),
];

fn in_pods(kinds: &[(&'static str, &'static str, &'static str)], paths: &[&str]) -> Vec<Spec> {
    let below = |&(version, kind, pod): &(&'static str, &'static str, &'static str)| {
        paths.iter().map(move |path| spec("", version, kind, &format!("{pod}/{path}"), false)).collect::<Vec<_>>()
    };
    kinds.iter().flat_map(below).collect()
}

fn to_config_maps() -> Vec<Spec> {
    let mut by = in_pods(
        &MOUNTS,
        &[
            "volumes/configMap/name",
            "containers/env/valueFrom/configMapKeyRef/name",
            "initContainers/env/valueFrom/configMapKeyRef/name",
            "containers/envFrom/configMapRef/name",
            "initContainers/envFrom/configMapRef/name",
            "volumes/projected/sources/configMap/name",
        ],
    );
    by.extend([
        spec("", "", "Node", "spec/configSource/configMap", false),
        spec("", "", "Role", "rules/resourceNames", false),
        spec("", "", "ClusterRole", "rules/resourceNames", false),
        spec("", "", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap", false),
    ]);
    by
}

fn to_secrets() -> Vec<Spec> {
    let mut by = in_pods(
        &MOUNTS,
        &[
            "volumes/secret/secretName",
            "containers/env/valueFrom/secretKeyRef/name",
            "initContainers/env/valueFrom/secretKeyRef/name",
            "containers/envFrom/secretRef/name",
            "initContainers/envFrom/secretRef/name",
            "imagePullSecrets/name",
            "volumes/projected/sources/secret/name",
        ],
    );
    by.extend([
        spec("", "", "Ingress", "spec/tls/secretName", false),
        spec("", "", "Ingress", r"metadata/annotations/ingress.kubernetes.io\/auth-secret", false),
        spec("", "", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret", false),
        spec("", "", "Ingress", r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret", false),
        spec("", "", "ServiceAccount", "imagePullSecrets/name", false),
        spec("", "", "StorageClass", "parameters/secretName", false),
        spec("", "", "StorageClass", "parameters/adminSecretName", false),
        spec("", "", "StorageClass", "parameters/userSecretName", false),
        spec("", "", "StorageClass", "parameters/secretRef", false),
        spec("", "", "Role", "rules/resourceNames", false),
        spec("", "", "ClusterRole", "rules/resourceNames", false),
        spec("serving.knative.dev", "v1", "Service", "spec/template/spec/containers/env/valueFrom/secretKeyRef/name", false),
        spec("", "", "PersistentVolume", "spec/azureFile/secretName", false),
    ]);
    by
}

fn to_services() -> Vec<Spec> {
    vec![
        spec("apps", "", "StatefulSet", "spec/serviceName", false),
        spec("", "", "Ingress", "spec/rules/http/paths/backend/serviceName", false),
        spec("", "", "Ingress", "spec/backend/serviceName", false),
        spec("", "", "Ingress", "spec/rules/http/paths/backend/service/name", false),
        spec("", "", "Ingress", "spec/defaultBackend/service/name", false),
        spec("apiregistration.k8s.io", "", "APIService", "spec/service/name", false),
        spec("admissionregistration.k8s.io", "", "ValidatingWebhookConfiguration", "webhooks/clientConfig/service", false),
        spec("admissionregistration.k8s.io", "", "MutatingWebhookConfiguration", "webhooks/clientConfig/service", false),
    ]
}
