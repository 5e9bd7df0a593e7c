//! A node's registration, its signs of life and its status (`pkg/kubelet/kubelet_node_status.go`, `component-helpers/apimachinery/lease`).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Context;
use super::client::{CSI_NODES, LEASES, NODES, heard};
use super::node_status;
use crate::kinds::meta::Part;

/// How often the lease is renewed, and how long it lasts (`nodeLeaseDurationSeconds`).
const RENEWAL: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i64 = 40;
/// How often the status is told though it is the same (`nodeStatusReportFrequency`).
const REPORT: SignedDuration = SignedDuration::from_secs(300);
/// The drivers that were built in once.
const MIGRATED: &str = "kubernetes.io/aws-ebs,kubernetes.io/azure-disk,kubernetes.io/azure-file,kubernetes.io/cinder,\
                        kubernetes.io/gce-pd,kubernetes.io/portworx-volume,kubernetes.io/vsphere-volume";
const NAMESPACE: &str = "kube-node-lease";

/// Whom the events of a node are about: its uid is its name, and it has no version.
pub(super) fn about(name: &str) -> Arc<Value> {
    Arc::new(json!({"kind": "Node", "metadata": {"name": name, "uid": name}}))
}

/// Makes the node known, with its first status.
pub(super) fn register(context: &Context) {
    let about = about(context.node.name());
    context.recorder.normal(&about, "", "Starting", "Starting kubelet.");
    if context.client.get(NODES, "", context.node.name()).is_none() {
        let object = node_status::object(&context.node);
        heard(&object, context.client.create(NODES, "", object.clone()));
    }
    report(context, true);
    tell_drivers(context);
    context.recorder.normal(&about, "", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
    renew(context);
}

/// The object that says which CSI drivers a node has: none (`pkg/volume/csi/nodeinfomanager`).
fn tell_drivers(context: &Context) {
    let name = context.node.name();
    if context.client.get(CSI_NODES, "", name).is_some() {
        return;
    }
    let node = context.client.get(NODES, "", name).unwrap_or_default();
    let drivers = json!({
        "kind": "CSINode",
        "apiVersion": "storage.k8s.io/v1",
        "metadata": {
            "name": name,
            "annotations": {"storage.alpha.kubernetes.io/migrated-plugins": MIGRATED},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}],
        },
        "spec": {"drivers": null},
    });
    heard(&drivers, context.client.create(CSI_NODES, "", drivers.clone()));
}

/// Tells the status, if it has changed or is to be told anyway. Returns whether it was.
pub(super) fn report(context: &Context, always: bool) -> bool {
    let name = context.node.name();
    let Some(node) = context.client.get(NODES, "", name) else { return false };
    let (status, news) = node_status::status(context, &node["status"]);
    if !always && !node_status::differs(&status, &node["status"]) {
        return false;
    }
    let about = about(name);
    for event in news {
        context.recorder.normal(&about, "", event, format!("Node {name} status is now: {event}"));
    }
    let written = context.client.update(NODES, "", name, Part::Status, &|live| {
        live["status"] = status.clone();
        Ok(())
    });
    heard(&node, written).is_some()
}

/// Gives a sign of life.
fn renew(context: &Context) {
    let name = context.node.name();
    let now = context.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    if context.client.get(LEASES, NAMESPACE, name).is_some() {
        let renewed = context.client.update(LEASES, NAMESPACE, name, Part::Whole, &|live| {
            live["spec"]["renewTime"] = now.clone().into();
            Ok(())
        });
        heard(&Value::Null, renewed);
        return;
    }
    let node = context.client.get(NODES, "", name).unwrap_or_default();
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]});
    let lease = json!({
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    });
    heard(&lease, context.client.create(LEASES, NAMESPACE, lease.clone()));
}

/// Gives signs of life, and tells the status when it changes or has not been told for long, while the node is not silent.
pub(super) async fn run(context: Arc<Context>, mut silent: watch::Receiver<bool>) {
    let mut ticks = interval(context.outside(RENEWAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut told = context.now();
    loop {
        let changed = tokio::select! {
            _ = ticks.tick() => false,
            () = context.node_changed.notified() => true,
        };
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        if !changed {
            renew(&context);
        }
        let is_due = |told: Timestamp| context.now().duration_since(told) >= REPORT;
        if report(&context, is_due(told)) {
            told = context.now();
        }
    }
}
