//! A node to set containers up on.

use std::sync::Arc;

use k3s_arc_container::Image;
use serde_json::{Value, json};

use super::super::images::Images;
use super::super::{Node, NodeSpec};
use crate::cluster::Cluster;
use crate::store::Key;

pub(super) const NAMESPACE: &str = "default";
pub(super) const UID: &str = "6a9a1d2e-0000-4000-8000-000000000001";

/// A node of a new cluster, on a disk of its own.
pub(super) struct World {
    pub(super) node: Node,
    _disk: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let cluster = Cluster::new_in_memory();
        let disk = tempfile::tempdir().unwrap();
        let node = Node {
            spec: NodeSpec::new("n1"),
            number: 0,
            root: disk.path().canonicalize().unwrap(),
            disk: Arc::default(),
            images: Arc::new(Images::default()),
            network: cluster.network.clone(),
            cluster,
        };
        let world = Self { node, _disk: disk };
        if world.node.cluster.object("", "serviceaccounts", NAMESPACE, "default").is_none() {
            world.put("serviceaccounts", "default", json!({"metadata": {"uid": "account"}}));
        }
        world
    }

    /// Stores an object of the core group, or replaces the one of that name.
    pub(super) fn put(&self, resource: &str, name: &str, mut object: Value) -> Value {
        let cluster = &self.node.cluster;
        let served = cluster.registry().any_version("", resource).unwrap();
        let namespace = if served.namespaced { NAMESPACE } else { "" };
        object["kind"] = served.kind.clone().into();
        object["apiVersion"] = "v1".into();
        served.default(&mut object);
        object["metadata"]["name"] = name.into();
        if served.namespaced {
            object["metadata"]["namespace"] = namespace.into();
        }
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = uuid::Uuid::new_v4().to_string().into();
        }
        let key = Key::new(&served.table, namespace, name);
        match cluster.store.get(&key) {
            Some(stored) => drop(cluster.store.replace(&key, stored.revision, served.to_stored(object)).unwrap()),
            None => drop(cluster.store.create(&key, served.to_stored(object)).unwrap()),
        }
        cluster.object("", resource, namespace, name).unwrap()
    }

    /// Pod `p` of that specification, with an address. Its one container `c` has what `container` says.
    pub(super) fn pod(&self, mut spec: Value, container: Value) -> Value {
        let mut own = json!({"name": "c", "image": "busybox"});
        own.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        spec["containers"] = json!([own]);
        spec["serviceAccountName"] = "default".into();
        spec["nodeName"] = "n1".into();
        let metadata = json!({"uid": UID, "labels": {"app": "a"}, "annotations": {"note": "n"}});
        let status = json!({"podIP": "10.42.0.7", "podIPs": [{"ip": "10.42.0.7"}], "qosClass": "BestEffort"});
        self.put("pods", "p", json!({"metadata": metadata, "spec": spec, "status": status}))
    }

    /// A pod with one volume, mounted at `/v`.
    pub(super) fn pod_with(&self, mut volume: Value, mut spec: Value) -> Value {
        volume["name"] = "v".into();
        spec["volumes"] = json!([volume]);
        self.pod(spec, json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
    }

    pub(super) fn environment(&self, pod: &Value, image: &Image) -> Result<Vec<String>, super::ConfigError> {
        let ips = ["10.42.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        let env = super::environment(&self.node, pod, container(pod), image, &ips)?;
        Ok(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }
}

/// A pod's first container.
pub(super) fn container(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]
}
