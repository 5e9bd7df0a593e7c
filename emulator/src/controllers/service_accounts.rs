//! Every namespace has a service account `default` and the ConfigMap `kube-root-ca.crt`, and gets them back when they are deleted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::Cluster;
use crate::store::{Key, Range};

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    let mut seen = None;
    loop {
        // Anything else of the cluster may change without being looked at.
        let changed = ["namespaces", "serviceaccounts", "configmaps"].map(|t| cluster.store.changed_at(t));
        if seen != Some(changed) {
            seen = Some(changed);
            settle(&cluster);
        }
        if follow.changed().await.is_err() {
            return;
        }
    }
}

fn settle(cluster: &Cluster) {
    let user = User::system();
    let registry = cluster.registry();
    let (Some(accounts), Some(maps)) = (registry.get("", "v1", "serviceaccounts"), registry.get("", "v1", "configmaps")) else {
        return;
    };
    let (_, namespaces) = cluster.store.list("namespaces", &Range::default(), None).unwrap_or_default();
    for namespace in namespaces {
        let name = namespace.name.as_str();
        let missing = [(accounts, ACCOUNT), (maps, ROOT_CA)]
            .map(|(served, object)| cluster.store.get(&Key::new(&served.table, name, object)).is_none());
        if missing == [false, false] || namespace.value().pointer("/metadata/deletionTimestamp").is_some() {
            continue;
        }
        let create = |served, object: Value| {
            if let Err(refusal) = call(cluster, &user, served, name, "", "").create(object)
                && !["AlreadyExists", "NotFound", "Forbidden"].contains(&refusal.reason.as_str())
            {
                tracing::warn!(namespace = name, %refusal, "an object that every namespace has could not be made");
            }
        };
        if missing[0] {
            create(
                accounts,
                json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": ACCOUNT, "namespace": name}}),
            );
        }
        if missing[1] {
            let about = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as \
                         the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions \
                         of Kubernetes clusters.";
            create(
                maps,
                json!({
                    "kind": "ConfigMap",
                    "apiVersion": "v1",
                    "metadata": {"name": ROOT_CA, "namespace": name, "annotations": {"kubernetes.io/description": about}},
                    "data": {"ca.crt": cluster.authority.server_ca()},
                }),
            );
        }
    }
}
