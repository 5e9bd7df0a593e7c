//! Claims and the volumes that are made for them by hand: who gets which (`pkg/controller/volume/persistentvolume`). What a
//! provisioner makes is bound in the same way.

mod reclaim;

use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{CLAIMS, Controller, Desk, PODS, Resource, VOLUMES};
use super::pods;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::quantity::Quantity;
use crate::kinds::selector;
use crate::kinds::view::{list, remove, text};
use crate::status::Refusal;

pub(crate) const CLASSES: Resource = ("storage.k8s.io", "storageclasses");

pub(crate) const CONTROLLER: Controller = Controller { watches: &[CLAIMS, VOLUMES, CLASSES, PODS], settle };

const COMPONENT: &str = "persistentvolume-controller";
pub(crate) const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub(crate) const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
pub(crate) const NODE: &str = "volume.kubernetes.io/selected-node";
/// The annotations that tell a provisioner that it is its turn.
const PROVISIONER: [&str; 2] = ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];

fn settle(desk: &Desk) {
    let mut claims = desk.all(CLAIMS);
    // First come, first served.
    claims.sort_by(|a, b| text(&a["metadata"]["creationTimestamp"]).cmp(text(&b["metadata"]["creationTimestamp"])));
    let mut volumes = desk.all(VOLUMES);
    for volume in &mut volumes {
        if let Some(synced) = sync_volume(desk, volume) {
            *volume = Arc::new(synced);
        }
    }
    for claim in claims.iter().filter(|claim| !pods::is_going(claim)) {
        let outcome = if claim["metadata"]["annotations"][COMPLETED].is_null() {
            bind(desk, claim, &mut volumes)
        } else {
            check_bound(desk, claim, &volumes)
        };
        desk.heard(claim, outcome);
    }
}

/// Whether a volume is meant for a claim. One of another uid was a claim of the same name.
pub(crate) fn is_for(volume: &Value, claim: &Value) -> bool {
    let (reference, metadata) = (&volume["spec"]["claimRef"], &claim["metadata"]);
    let uid = text(&reference["uid"]);
    reference["name"] == metadata["name"]
        && reference["namespace"] == metadata["namespace"]
        && (uid.is_empty() || metadata["uid"] == uid)
}

/// The phase of a volume; it as it is then, if that is another one. One that is not used any more may go.
fn sync_volume(desk: &Desk, volume: &Value) -> Option<Value> {
    let synced = sync_phase(desk, volume);
    let now = synced.as_ref().unwrap_or(volume);
    if now["status"]["phase"] == "Released" && reclaim::is_ours(now) {
        return reclaim::delete(desk, now).or(synced);
    }
    synced
}

fn sync_phase(desk: &Desk, volume: &Value) -> Option<Value> {
    let reference = &volume["spec"]["claimRef"];
    let phase = if text(&reference["uid"]).is_empty() {
        "Available"
    } else {
        let claim = desk.get(CLAIMS.0, CLAIMS.1, text(&reference["namespace"]), text(&reference["name"]));
        match claim.filter(|claim| claim["metadata"]["uid"] == reference["uid"]) {
            // What could not be deleted then cannot be now.
            None if volume["status"]["phase"] == "Failed" => return None,
            None => "Released",
            // The rest of the binding is done with the claim.
            Some(claim) if claim["spec"]["volumeName"] == volume["metadata"]["name"] => "Bound",
            Some(_) => return None,
        }
    };
    if volume["status"]["phase"] == phase {
        return None;
    }
    set_phase(desk, VOLUMES, volume, phase)
}

fn set_phase(desk: &Desk, resource: Resource, object: &Value, phase: &str) -> Option<Value> {
    let written = desk.update(resource, object, Part::Status, &|live| {
        live["status"]["phase"] = phase.into();
        remove(&mut live["status"], "message");
    });
    desk.heard(object, written)
}

/// The class that a claim asks for, and that a volume has.
pub(crate) fn class(object: &Value) -> &str {
    let old = text(&object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"]);
    if old.is_empty() { text(&object["spec"]["storageClassName"]) } else { old }
}

/// Whether a free volume has what a claim wants.
pub(crate) fn suits(volume: &Value, claim: &Value) -> bool {
    let (offer, wish) = (&volume["spec"], &claim["spec"]);
    let modes = list(&wish["accessModes"]).iter().all(|mode| list(&offer["accessModes"]).contains(mode));
    let mode = |spec: &Value| text(&spec["volumeMode"]) == "Block";
    let large = Quantity::of(&offer["capacity"]["storage"]) >= Quantity::of(&wish["resources"]["requests"]["storage"]);
    let labeled = wish["selector"].is_null()
        || selector::compile(&wish["selector"]).is_ok_and(|selector| selector.matches(&volume["metadata"]["labels"]));
    let attributes = text(&offer["volumeAttributesClassName"]) == text(&wish["volumeAttributesClassName"]);
    modes
        && large
        && labeled
        && attributes
        && class(volume) == class(claim)
        && mode(offer) == mode(wish)
        && !pods::is_going(volume)
}

/// The volume for a claim: one that is meant for it, or else, of those that suit, one of the fewest ways to be used, and of these
/// the smallest (`findMatchingVolume`).
fn matching(claim: &Value, volumes: &[Arc<Value>], reserved_only: bool) -> Option<usize> {
    if let Some(meant) = volumes.iter().position(|volume| is_for(volume, claim)) {
        return Some(meant);
    }
    if reserved_only {
        return None;
    }
    let free = volumes.iter().enumerate().filter(|(_, volume)| {
        volume["spec"]["claimRef"].is_null() && volume["status"]["phase"] == "Available" && suits(volume, claim)
    });
    let worth = |volume: &Value| {
        let spec = &volume["spec"];
        (list(&spec["accessModes"]).len(), Quantity::of(&spec["capacity"]["storage"]))
    };
    let least = free.min_by(|(_, a), (_, b)| worth(a).partial_cmp(&worth(b)).unwrap_or(std::cmp::Ordering::Equal));
    least.map(|(at, _)| at)
}

fn bind(desk: &Desk, claim: &Value, volumes: &mut [Arc<Value>]) -> Result<(), Refusal> {
    let wanted = text(&claim["spec"]["volumeName"]);
    let at = if wanted.is_empty() {
        matching(claim, volumes, waits_for_pod(desk, claim))
    } else {
        let named = volumes.iter().position(|volume| volume["metadata"]["name"] == wanted);
        named.filter(|at| volumes[*at]["spec"]["claimRef"].is_null() || is_for(&volumes[*at], claim))
    };
    let Some(at) = at else {
        let is_new = !desk.has_told(claim, COMPONENT);
        if claim["status"]["phase"] != "Pending" {
            set_phase(desk, CLAIMS, claim, "Pending");
        }
        if wanted.is_empty() {
            ask(desk, claim, is_new)?
        }
        return Ok(());
    };
    volumes[at] = Arc::new(join(desk, claim, &volumes[at])?);
    Ok(())
}

/// Makes a claim and a volume each other's. Returns the volume.
fn join(desk: &Desk, claim: &Value, volume: &Value) -> Result<Value, Refusal> {
    let (metadata, volume_name) = (&claim["metadata"], &volume["metadata"]["name"]);
    let reserved = is_for(volume, claim);
    let mut volume = volume.clone();
    if volume["spec"]["claimRef"]["uid"] != metadata["uid"] {
        volume = desk.update(VOLUMES, &volume, Part::Whole, &|live| {
            live["spec"]["claimRef"] = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            });
            if !reserved {
                live["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
            }
        })?;
    }
    if volume["status"]["phase"] != "Bound" {
        volume = desk.update(VOLUMES, &volume, Part::Status, &|live| live["status"]["phase"] = "Bound".into())?;
    }
    let claim = desk.update(CLAIMS, claim, Part::Whole, &|live| {
        if text(&live["spec"]["volumeName"]).is_empty() {
            live["spec"]["volumeName"] = volume_name.clone();
            live["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
        }
        live["metadata"]["annotations"][COMPLETED] = "yes".into();
    })?;
    settle_status(desk, &claim, &volume)?;
    Ok(volume)
}

/// A bound claim says what it got.
fn settle_status(desk: &Desk, claim: &Value, volume: &Value) -> Result<(), Refusal> {
    desk.update(CLAIMS, claim, Part::Status, &|live| {
        live["status"]["phase"] = "Bound".into();
        live["status"]["accessModes"] = volume["spec"]["accessModes"].clone();
        live["status"]["capacity"] = volume["spec"]["capacity"].clone();
    })?;
    Ok(())
}

/// A claim that was bound and has no volume is lost.
fn check_bound(desk: &Desk, claim: &Value, volumes: &[Arc<Value>]) -> Result<(), Refusal> {
    let volume = volumes.iter().find(|volume| volume["metadata"]["name"] == claim["spec"]["volumeName"]);
    let phase = text(&claim["status"]["phase"]);
    match volume {
        Some(volume) if is_for(volume, claim) && volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"] => {
            if phase == "Bound" { Ok(()) } else { settle_status(desk, claim, volume) }
        }
        Some(volume) if volume["spec"]["claimRef"].is_null() => join(desk, claim, volume).map(drop),
        _ if phase == "Lost" => Ok(()),
        other => {
            let (reason, message) = match other {
                Some(_) => ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
                None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
            };
            desk.update(CLAIMS, claim, Part::Status, &|live| live["status"] = json!({"phase": "Lost"}))?;
            desk.tell(claim, COMPONENT, true, reason, message);
            Ok(())
        }
    }
}

/// Whether the class of a claim wants to know the node first.
fn wants_pod(desk: &Desk, claim: &Value) -> bool {
    let class = desk.get(CLASSES.0, CLASSES.1, "", class(claim));
    class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
}

fn has_node(claim: &Value) -> bool {
    !claim["metadata"]["annotations"][NODE].is_null()
}

/// Whether it does, and nobody has chosen one.
fn waits_for_pod(desk: &Desk, claim: &Value) -> bool {
    !has_node(claim) && wants_pod(desk, claim)
}

/// Says which pods a claim waits for.
fn tell_of_waiting(desk: &Desk, claim: &Value, is_new: bool) {
    let uses = |pod: &Value| {
        let mut volumes = list(&pod["spec"]["volumes"]).iter();
        text(&pod["spec"]["nodeName"]).is_empty()
            && volumes.any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"])
    };
    // The real one looks at a claim as soon as it is made, when pods that are made after it are not there yet.
    let since = |object: &Value| text(&object["metadata"]["creationTimestamp"]).to_owned();
    let version = |object: &Value| text(&object["metadata"]["resourceVersion"]).parse::<u64>().unwrap_or_default();
    let is_older = |pod: &Value| since(pod) < since(claim) || (!has_node(claim) && version(pod) < version(claim));
    let waiting = desk.within(PODS, text(&claim["metadata"]["namespace"]));
    let waiting = waiting.iter().filter(|pod| uses(pod) && (!is_new || is_older(pod)));
    let waiting: Vec<&str> = waiting.map(|pod| text(&pod["metadata"]["name"])).collect();
    let (reason, message) = match waiting[..] {
        [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned()),
        [one] => ("WaitForPodScheduled", format!("waiting for pod {one} to be scheduled")),
        _ => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", waiting.join(","))),
    };
    desk.tell_once(claim, COMPONENT, false, reason, &message);
}

/// What a claim waits for that no volume suits.
fn ask(desk: &Desk, claim: &Value, is_new: bool) -> Result<(), Refusal> {
    let name = class(claim);
    let waits = waits_for_pod(desk, claim);
    if waits || (is_new && wants_pod(desk, claim)) {
        tell_of_waiting(desk, claim, is_new);
    }
    if waits {
        return Ok(());
    }
    if name.is_empty() {
        let why = "no persistent volumes available for this claim and no storage class is set";
        desk.tell_once(claim, COMPONENT, false, "FailedBinding", why);
        return Ok(());
    }
    let Some(class) = desk.get(CLASSES.0, CLASSES.1, "", name) else {
        let why = format!("storageclass.storage.k8s.io {} not found", crate::field::quote(name));
        desk.tell_once(claim, COMPONENT, true, "ProvisioningFailed", &why);
        return Ok(());
    };
    let provisioner = text(&class["provisioner"]);
    if provisioner == "kubernetes.io/no-provisioner" {
        return Ok(());
    }
    if PROVISIONER.iter().any(|key| claim["metadata"]["annotations"][*key] != provisioner) {
        desk.update(CLAIMS, claim, Part::Whole, &|live| {
            for key in PROVISIONER {
                live["metadata"]["annotations"][key] = provisioner.into();
            }
        })?;
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. \
         If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    desk.tell_once(claim, COMPONENT, false, "ExternalProvisioning", &message);
    Ok(())
}
