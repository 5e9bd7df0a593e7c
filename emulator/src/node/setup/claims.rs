//! The volume behind a pod's claim (`desired_state_of_world_populator.go`).

use serde_json::{Value, json};

use super::super::Node;
use super::metadata;
use crate::field::quote;
use crate::kinds::selector;
use crate::kinds::view::{count, flag, list, text};

const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// What stands behind a volume of a pod.
#[derive(Debug)]
pub(super) struct Claimed {
    /// The PersistentVolume.
    pub(super) volume: Value,
    pub(super) read_only: bool,
}

impl Claimed {
    /// Whether the node is one of those that have the volume (`CheckNodeAffinity`).
    pub(super) fn is_within_reach(&self, node: &Node) -> bool {
        let required = &self.volume["spec"]["nodeAffinity"]["required"];
        let Some(object) = node.cluster.object("", "nodes", "", node.name()).filter(|_| !required.is_null()) else { return true };
        let labels = &object["metadata"]["labels"];
        list(&required["nodeSelectorTerms"]).iter().any(|term| {
            let expressions = json!({"matchExpressions": term["matchExpressions"]});
            count(&term["matchExpressions"]) > 0 && selector::compile(&expressions).is_ok_and(|wanted| wanted.matches(labels))
        })
    }
}

/// The PersistentVolume of a volume that names a claim, or has one of its own; none: it is of another kind.
pub(super) fn claimed(node: &Node, pod: &Value, volume: &Value) -> Result<Option<Claimed>, String> {
    let namespace = metadata(pod, "namespace");
    let (name, read_only) = if !volume["persistentVolumeClaim"].is_null() {
        let source = &volume["persistentVolumeClaim"];
        (text(&source["claimName"]).to_owned(), flag(&source["readOnly"]))
    } else if !volume["ephemeral"].is_null() {
        (format!("{}-{}", metadata(pod, "name"), text(&volume["name"])), false)
    } else {
        return Ok(None);
    };
    let error = |why: String| format!("error processing PVC {namespace}/{name}: {why}");
    let claim = claim(node, namespace, &name).map_err(error)?;
    if !volume["ephemeral"].is_null() && !is_owner(pod, &claim) {
        let pod = metadata(pod, "name");
        return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
    }
    let volume_of_claim = persistent_volume(node, &claim).map_err(error)?;
    let mode = Some(text(&volume_of_claim["spec"]["volumeMode"])).filter(|mode| !mode.is_empty()).unwrap_or("Filesystem");
    if mode != "Filesystem" {
        // What has a raw device cannot be mounted, and there are no devices to give away raw.
        let name = text(&volume["name"]);
        return Err(format!("volume {name} has volumeMode {mode}, but is specified in volumeMounts"));
    }
    Ok(Some(Claimed { volume: volume_of_claim, read_only }))
}

fn is_owner(pod: &Value, claim: &Value) -> bool {
    let owners = list(&claim["metadata"]["ownerReferences"]);
    owners.iter().any(|owner| flag(&owner["controller"]) && owner["uid"] == pod["metadata"]["uid"])
}

/// `getPVCExtractPV`.
fn claim(node: &Node, namespace: &str, name: &str) -> Result<Value, String> {
    let claim = node
        .cluster
        .object("", "persistentvolumeclaims", namespace, name)
        .ok_or_else(|| format!("failed to fetch PVC from API server: persistentvolumeclaims {} not found", quote(name)))?;
    let metadata = &claim["metadata"];
    if !metadata["deletionTimestamp"].is_null() && !list(&metadata["finalizers"]).contains(&json!(PROTECTION)) {
        return Err("PVC is being deleted".to_owned());
    }
    if text(&claim["status"]["phase"]) != "Bound" {
        return Err("PVC is not bound".to_owned());
    }
    if text(&claim["spec"]["volumeName"]).is_empty() {
        return Err("PVC has empty pvc.Spec.VolumeName".to_owned());
    }
    Ok(claim)
}

/// `getPVSpec`.
fn persistent_volume(node: &Node, claim: &Value) -> Result<Value, String> {
    let name = text(&claim["spec"]["volumeName"]);
    let volume = node.cluster.object("", "persistentvolumes", "", name).ok_or_else(|| {
        let quoted = quote(name);
        format!("failed to fetch PV {name} from API server: persistentvolumes {quoted} not found")
    })?;
    let reference = &volume["spec"]["claimRef"];
    if reference.is_null() {
        let why = "but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim";
        return Err(format!("found PV object {name} {why}"));
    }
    let (found, expected) = (text(&reference["uid"]), metadata(claim, "uid"));
    if found != expected {
        let why = format!("its pv.Spec.ClaimRef.UID {found} does not point to claim.UID {expected}");
        return Err(format!("found PV object {name} but {why}"));
    }
    Ok(volume)
}
