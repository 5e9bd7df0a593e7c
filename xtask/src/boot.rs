//! The objects that a new cluster has, taken from a running K3s that nobody has used yet.

use std::path::PathBuf;

use miette::{Context as _, IntoDiagnostic as _};
use serde_json::Value;

use crate::cluster::Cluster;

/// Where from and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kubeconfig of the cluster to ask.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The file to write, such as `emulator/src/boot/v1.34.1.jsonl`: an object a line.
    #[arg(long)]
    out: PathBuf,
}

/// Whether a new cluster has the object.
type Wanted = fn(&Value) -> bool;

/// What is taken: the path, the kind, and how to tell those objects that a new cluster has from those that its use made.
const TAKEN: [(&str, &str, &str, Wanted); 20] = [
    ("/api/v1/namespaces", "v1", "Namespace", |o| {
        ["default", "kube-node-lease", "kube-public", "kube-system"].contains(&name(o))
    }),
    ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "apiextensions.k8s.io/v1", "CustomResourceDefinition", |o| {
        name(o).ends_with(".cattle.io")
    }),
    ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "rbac.authorization.k8s.io/v1", "ClusterRole", is_systems),
    ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", is_systems),
    ("/apis/rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1", "Role", is_systems),
    ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "rbac.authorization.k8s.io/v1", "RoleBinding", is_systems),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", |o| name(o).starts_with("system-")),
    ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "flowcontrol.apiserver.k8s.io/v1", "FlowSchema", |_| true),
    (
        "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        |_| true,
    ),
    ("/apis/networking.k8s.io/v1/servicecidrs", "networking.k8s.io/v1", "ServiceCIDR", |o| name(o) == "kubernetes"),
    ("/apis/networking.k8s.io/v1/ipaddresses", "networking.k8s.io/v1", "IPAddress", |o| name(o) == "10.43.0.1"),
    ("/api/v1/namespaces/default/services", "v1", "Service", |o| name(o) == "kubernetes"),
    ("/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io/v1", "StorageClass", |o| name(o) == "local-path"),
    ("/api/v1/namespaces/kube-system/configmaps", "v1", "ConfigMap", |o| {
        ["cluster-dns", "coredns", "extension-apiserver-authentication", "local-path-config"].contains(&name(o))
    }),
    ("/api/v1/namespaces/kube-system/services", "v1", "Service", |o| name(o) == "kube-dns"),
    ("/apis/apps/v1/namespaces/kube-system/deployments", "apps/v1", "Deployment", |o| {
        ["coredns", "local-path-provisioner"].contains(&name(o))
    }),
    ("/apis/k3s.cattle.io/v1/namespaces/kube-system/addons", "k3s.cattle.io/v1", "Addon", |_| true),
    ("/apis/apiregistration.k8s.io/v1/apiservices", "apiregistration.k8s.io/v1", "APIService", |o| {
        // What K3s's own server serves; metrics.k8s.io comes with pods.
        o["spec"]["service"].is_null() && !name(o).contains("k3s-arc")
    }),
    ("/api/v1/namespaces/kube-system/serviceaccounts", "v1", "ServiceAccount", |o| name(o) != "default"),
    ("/apis/node.k8s.io/v1/runtimeclasses", "node.k8s.io/v1", "RuntimeClass", |_| true),
];

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The roles that Kubernetes and K3s make.
fn is_systems(object: &Value) -> bool {
    ["system:", "k3s", "clustercidrs", "local-path", "kube-apiserver"].iter().any(|start| name(object).starts_with(start))
        || ["cluster-admin", "admin", "edit", "view"].contains(&name(object))
}

/// Asks the cluster and writes the file.
pub(crate) async fn run(arguments: &Arguments) -> miette::Result<()> {
    let cluster = Cluster::from_kubeconfig(&arguments.kubeconfig)?;
    let mut lines = String::new();
    for (path, api_version, kind, wanted) in TAKEN {
        let list = cluster.get_json(path, "application/json").await?;
        for mut object in list["items"].as_array().cloned().unwrap_or_default().into_iter().filter(wanted) {
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            forget(&mut object);
            lines.push_str(&format!("{object}\n"));
        }
    }
    std::fs::write(&arguments.out, lines).into_diagnostic().wrap_err_with(|| arguments.out.display().to_string())
}

/// Drops what differs from one cluster to the next, and what the emulator's controllers find out themselves.
fn forget(object: &mut Value) {
    let (certificates, deployment) = (name(object) == "extension-apiserver-authentication", object["kind"] == "Deployment");
    let hosts = object["kind"] == "ConfigMap" && name(object) == "coredns";
    if deployment {
        object["status"] = serde_json::json!({});
    }
    if hosts {
        if let Some(data) = object["data"].as_object_mut() {
            data.remove("NodeHosts");
        }
        if let Some(fields) = object["metadata"]["managedFields"].as_array_mut() {
            fields.retain(|entry| entry["fieldsV1"]["f:data"]["f:NodeHosts"].is_null());
        }
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "resourceVersion", "creationTimestamp"] {
            metadata.remove(field);
        }
        if deployment {
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("deployment.kubernetes.io/revision");
            }
            if let Some(fields) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
                fields.retain(|entry| entry["subresource"] != "status");
            }
        }
        for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
            // K3s's own controllers sign with the name of their node.
            let who = entry["manager"].as_str().and_then(|manager| manager.split_once('@')).map(|(who, _)| who.to_owned());
            if let Some(who) = who {
                entry["manager"] = format!("{who}@k3s").into();
            }
        }
    }
    if certificates && let Some(data) = object["data"].as_object_mut() {
        data.retain(|key, _| !key.contains("ca-file"));
    }
}
