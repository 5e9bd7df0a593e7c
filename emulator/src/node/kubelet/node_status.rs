//! What a node says of itself (`pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus`), as one of K3s does.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::Context;
use crate::cluster::time;
use crate::kinds::view::{entries, list, text};
use crate::node::Node;

const VERSION: &str = "v1.34.1+k3s1";
/// As K3s's image calls itself: tags of images have no `+`.
const OS_IMAGE: &str = "K3s v1.34.1-k3s1";
const RUNTIME: &str = "containerd://2.1.4-k3s2";
/// The disk that it says it has.
pub(super) const DISK: u64 = 256 << 30;
/// Of which so much may be used: the rest is what `imagefs.available<5%`, K3s's threshold, keeps free ... of what kubelet counts.
const DISK_SHARE: u64 = 95;
/// The most images that are told (`nodeStatusMaxImages`).
const MOST_IMAGES: usize = 50;

/// What a node can run short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Memory.
    Memory,
    /// Disk space.
    Disk,
    /// Process ids.
    Pid,
}

impl Pressure {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::Pid];

    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
            Self::Pid => "PIDPressure",
        }
    }

    /// Reason, message and event of the condition when it holds, and when it does not.
    fn words(self, holds: bool) -> (&'static str, &'static str, &'static str) {
        match (self, holds) {
            (Self::Memory, true) => {
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "NodeHasInsufficientMemory")
            }
            (Self::Memory, false) => {
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasSufficientMemory")
            }
            (Self::Disk, true) => ("KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"),
            (Self::Disk, false) => ("KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"),
            (Self::Pid, true) => {
                ("KubeletHasInsufficientPID", "kubelet has insufficient PID available", "NodeHasInsufficientPID")
            }
            (Self::Pid, false) => ("KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"),
        }
    }
}

/// What a node is short of.
#[derive(Debug, Default)]
pub(super) struct Pressures([AtomicBool; 3]);

impl Pressures {
    pub(super) fn set(&self, pressure: Pressure, holds: bool) {
        self.0[pressure as usize].store(holds, Ordering::Relaxed);
    }

    pub(super) fn get(&self, pressure: Pressure) -> bool {
        self.0[pressure as usize].load(Ordering::Relaxed)
    }
}

/// `amd64`, `arm64` ...
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A node as it is registered.
pub(super) fn object(node: &Node) -> Value {
    let (name, address, arch) = (node.name(), node.address().to_string(), architecture());
    let mut labels = json!({
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/instance-type": "k3s",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "k3s",
    });
    let is_server = node.number == 0;
    if is_server {
        labels["node-role.kubernetes.io/control-plane"] = "true".into();
    }
    for (key, value) in &node.spec.labels {
        labels[key.as_str()] = value.as_str().into();
    }
    let role = if is_server { "server" } else { "agent" };
    let mac = format!("{{\"VNI\":1,\"VtepMAC\":\"02:42:0a:2a:{:02x}:00\"}}", node.number);
    let cidr = format!("10.42.{}.0/24", node.number);
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                "alpha.kubernetes.io/provided-node-ip": address,
                "flannel.alpha.coreos.com/backend-data": mac,
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                "flannel.alpha.coreos.com/public-ip": address,
                "k3s.io/hostname": name,
                "k3s.io/internal-ip": address,
                "k3s.io/node-args": format!("[\"{role}\"]"),
                "k3s.io/node-config-hash": "MLFMUCBMRVINLJJKSG32TOUFWB4CN55GMSNY25AZPESQXZCYRN2A====",
                "k3s.io/node-env": "{}",
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
            "finalizers": ["wrangler.cattle.io/node"],
        },
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr], "providerID": format!("k3s://{name}")},
    })
}

/// What is told anew, and what has changed: the conditions' events.
pub(super) fn status(context: &Context, old: &Value) -> (Value, Vec<&'static str>) {
    let node = &context.node;
    let now = time(context.now());
    let (address, spec) = (node.address().to_string(), &node.spec);
    let resources = |disk: Value| {
        json!({
            "cpu": spec.cpus.to_string(),
            "ephemeral-storage": disk,
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": format!("{}Ki", spec.memory >> 10),
            "pods": spec.pods.to_string(),
        })
    };
    let mut news = Vec::new();
    let mut conditions: Vec<Value> = Pressure::ALL
        .into_iter()
        .map(|pressure| {
            let holds = context.pressures.get(pressure);
            let (reason, message, event) = pressure.words(holds);
            condition(old, pressure.condition(), holds, (reason, message), &now, || news.push(event))
        })
        .collect();
    let ready = ("KubeletReady", "kubelet is posting ready status");
    conditions.push(condition(old, "Ready", true, ready, &now, || news.push("NodeReady")));
    let images = node.images.sizes().into_iter().take(MOST_IMAGES);
    let images: Vec<Value> = images.map(|(name, size)| json!({"names": [name], "sizeBytes": size})).collect();
    let handler =
        |name: &str, can: bool| json!({"name": name, "features": {"recursiveReadOnlyMounts": can, "userNamespaces": can}});
    let mut status = json!({
        "capacity": resources(format!("{}Ki", DISK >> 10).into()),
        "allocatable": resources((DISK / 100 * DISK_SHARE).to_string().into()),
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": node.name()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": context.boot_id(),
            "kernelVersion": kernel(),
            "osImage": OS_IMAGE,
            "containerRuntimeVersion": RUNTIME,
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture(),
        },
        "images": images,
        "runtimeHandlers": [handler("", true), handler("runc", true), handler("runhcs-wcow-process", false)],
        "features": {"supplementalGroupsPolicy": true},
    });
    // Others may say that there is more to be had: that is all for pods.
    for (name, amount) in entries(&old["capacity"]).filter(|(name, _)| name.contains('/')) {
        for of in ["capacity", "allocatable"] {
            status[of][name] = amount.clone();
        }
    }
    for key in ["volumesAttached", "volumesInUse"] {
        if !old[key].is_null() {
            status[key] = old[key].clone();
        }
    }
    (status, news)
}

/// A condition: what holds as before keeps its time.
fn condition(
    old: &Value,
    kind: &str,
    holds: bool,
    (reason, message): (&str, &str),
    now: &str,
    mut changed: impl FnMut(),
) -> Value {
    let status = if holds { "True" } else { "False" };
    let before = list(&old["conditions"]).iter().find(|condition| condition["type"] == kind);
    let since = before.filter(|before| before["status"] == status).map(|before| text(&before["lastTransitionTime"]));
    if since.is_none() {
        changed();
    }
    json!({
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since.unwrap_or(now),
        "reason": reason,
        "message": message,
    })
}

/// This machine's.
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Whether two statuses differ in more than when they were told.
pub(super) fn differs(a: &Value, b: &Value) -> bool {
    let timeless = |status: &Value| {
        let mut status = status.clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            condition.remove("lastHeartbeatTime");
        }
        status
    };
    timeless(a) != timeless(b)
}
