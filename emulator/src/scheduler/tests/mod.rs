//! What the scheduler makes of pods. The words are kube-scheduler's, of v1.34.1: recorded on a K3s where a test says so, else
//! taken from where they are made.

mod claims;
mod messages;
mod preempting;
mod queueing;
mod scoring;

use std::sync::Arc;

use serde_json::{Value, json};

use super::CONTROLLER;
use crate::admission::Objects;
use crate::cluster::Cluster;
use crate::controllers::desk::{CLAIMS, Desk, NODES, PODS, Resource, VOLUMES};
use crate::controllers::volumes::{self, CLASSES};
use crate::kinds::meta::Part;

const NS: &str = "default";

/// A cluster of nothing but the scheduler and the controller of volumes, in which time passes only when it is told to settle.
struct World(Desk);

impl World {
    fn new() -> Self {
        let world = Self(Desk::new(Cluster::new_in_memory()));
        // A new cluster may have it.
        let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
        let _ = world.0.create(("", "serviceaccounts"), NS, account);
        world
    }

    /// One with nodes of 4 CPUs and 8 GiB; each is what is given laid over that.
    fn with_nodes<const N: usize>(nodes: [(&str, Value); N]) -> Self {
        let world = Self::new();
        for (name, node) in nodes {
            world.node(name, node);
        }
        world
    }

    fn create(&self, resource: Resource, namespace: &str, object: Value) -> Value {
        self.0.create(resource, namespace, object).unwrap()
    }

    fn node(&self, name: &str, over: Value) {
        let mut node = json!({
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}},
        });
        lay_over(&mut node, over);
        // Admission says of every new node that it is not ready, which its kubelet takes back.
        let made = self.create(NODES, "", node.clone());
        let taints = node["spec"]["taints"].clone();
        self.0.update(NODES, &made, Part::Whole, &|live| live["spec"]["taints"] = taints.clone()).unwrap();
    }

    fn pod(&self, name: &str, spec: Value) -> Value {
        self.labeled_pod(name, json!({}), spec)
    }

    fn labeled_pod(&self, name: &str, labels: Value, spec: Value) -> Value {
        let mut pod = json!({
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        lay_over(&mut pod["spec"], spec);
        self.create(PODS, NS, pod)
    }

    fn claim(&self, name: &str, class: &str, size: &str) {
        let spec = json!({
            "storageClassName": class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        });
        let claim = json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec});
        self.create(CLAIMS, NS, claim);
    }

    fn volume(&self, name: &str, spec: Value) {
        let mut volume = json!({
            "kind": "PersistentVolume",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
        });
        lay_over(&mut volume["spec"], spec);
        self.create(VOLUMES, "", volume);
    }

    fn class(&self, name: &str, provisioner: &str, mode: &str) {
        let class = json!({
            "kind": "StorageClass",
            "apiVersion": "storage.k8s.io/v1",
            "metadata": {"name": name},
            "provisioner": provisioner,
            "volumeBindingMode": mode,
        });
        self.create(CLASSES, "", class);
    }

    fn settle(&self) {
        for _ in 0..100 {
            let before = self.0.cluster.store.revision();
            for controller in [&volumes::CONTROLLER, &CONTROLLER] {
                self.0.settle(controller);
            }
            if self.0.cluster.store.revision() == before {
                return;
            }
        }
        panic!("the scheduler finds no end");
    }

    fn get(&self, resource: Resource, name: &str) -> Value {
        let namespace = if resource == CLAIMS || resource == PODS { NS } else { "" };
        self.0.cluster.object(resource.0, resource.1, namespace, name).unwrap_or_default()
    }

    fn change(&self, resource: Resource, name: &str, part: Part, edit: &dyn Fn(&mut Value)) {
        self.0.update(resource, &self.get(resource, name), part, edit).unwrap();
    }

    /// Removes a pod as a kubelet does that has ended it.
    fn remove_pod(&self, name: &str) {
        let call_user = crate::access::User::system();
        let served = self.0.cluster.registry().any_version("", "pods").unwrap();
        let call = crate::controllers::call(&self.0.cluster, &call_user, &served, NS, name, "");
        let options = crate::verbs::DeleteOptions { grace: Some(0), ..crate::verbs::DeleteOptions::default() };
        call.delete(&options).unwrap();
    }

    fn node_of(&self, pod: &str) -> String {
        self.get(PODS, pod)["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
    }

    /// The message of the condition PodScheduled, or "" when the pod has a node.
    fn complaint(&self, pod: &str) -> String {
        let pod = self.get(PODS, pod);
        let condition = pod["status"]["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == "PodScheduled"));
        condition.map_or("nothing was said", |c| c["message"].as_str().unwrap_or_default()).to_owned()
    }

    fn events(&self, pod: &str) -> Vec<Value> {
        let all = self.0.cluster.list("", "events", Some(NS));
        all.iter().filter(|event| event["involvedObject"]["name"] == pod).map(|event| (**event).clone()).collect()
    }

    fn notes(&self, pod: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.events(pod).iter().map(|event| format!("{} {}", text(&event["reason"]), text(&event["message"]))).collect()
    }
}

/// Objects are laid over objects, all else replaces what was there.
fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            over.into_iter().for_each(|(key, value)| lay_over(base.entry(key).or_insert(Value::Null), value));
        }
        (base, over) => *base = over,
    }
}

/// A spec that asks for amounts.
fn asks(amounts: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": amounts}}]})
}

fn uses(claim: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]})
}
