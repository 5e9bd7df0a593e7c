//! Volumes, claims and what provides them.

use jiff::Timestamp;
use serde_json::Value;

use super::cells;
use super::view::{age, at, count, flag, is_deleted, is_set, list, name, none_if_empty, optional, quantity, text};

pub(super) fn persistent_volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = if is_set(volume, "/spec/claimRef") {
        format!("{}/{}", text(volume, "/spec/claimRef/namespace"), text(volume, "/spec/claimRef/name"))
    } else {
        String::new()
    };
    cells![
        name(volume),
        quantity(volume, "/spec/capacity/storage"),
        access_modes(list(volume, "/spec/accessModes")),
        text(volume, "/spec/persistentVolumeReclaimPolicy"),
        phase(volume),
        claim,
        class(volume),
        optional(volume, "/spec/volumeAttributesClassName", "<unset>"),
        text(volume, "/status/reason"),
        age(volume, now),
        optional(volume, "/spec/volumeMode", "<unset>"),
    ]
}

pub(super) fn persistent_volume_claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(claim, "/spec/volumeName");
    let (capacity, modes) = match volume {
        "" => ("", String::new()),
        _ => (quantity(claim, "/status/capacity/storage"), access_modes(list(claim, "/status/accessModes"))),
    };
    cells![
        name(claim),
        phase(claim),
        volume,
        capacity,
        modes,
        class(claim),
        optional(claim, "/spec/volumeAttributesClassName", "<unset>"),
        age(claim, now),
        optional(claim, "/spec/volumeMode", "<unset>"),
    ]
}

fn phase(object: &Value) -> &str {
    if is_deleted(object) { "Terminating" } else { text(object, "/status/phase") }
}

/// The storage class, which an old annotation may name.
fn class(object: &Value) -> &str {
    let own = text(object, "/spec/storageClassName");
    optional(object, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class", own)
}

fn access_modes(modes: &[Value]) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let present = short.iter().filter(|(mode, _)| modes.iter().any(|one| one == mode));
    present.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

pub(super) fn storage_class(class: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = at(class, "/metadata/annotations");
    let is_default = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
        .iter()
        .any(|annotation| annotations.get(annotation).is_some_and(|value| value == "true"));
    let mut shown = name(class).to_owned();
    if is_default {
        shown += " (default)";
    }
    cells![
        shown,
        text(class, "/provisioner"),
        optional(class, "/reclaimPolicy", "Delete"),
        optional(class, "/volumeBindingMode", "Immediate"),
        flag(class, "/allowVolumeExpansion"),
        age(class, now),
    ]
}

pub(super) fn volume_attributes_class(class: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(class), text(class, "/driverName"), age(class, now)]
}

pub(super) fn volume_attachment(attachment: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        name(attachment),
        text(attachment, "/spec/attacher"),
        text(attachment, "/spec/source/persistentVolumeName"),
        text(attachment, "/spec/nodeName"),
        flag(attachment, "/status/attached"),
        age(attachment, now),
    ]
}

pub(super) fn csi_node(node: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(node), count(node, "/spec/drivers"), age(node, now)]
}

pub(super) fn csi_driver(driver: &Value, now: Timestamp) -> Vec<Value> {
    let modes: Vec<&str> = list(driver, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    let audiences = if is_set(driver, "/spec/tokenRequests") {
        let requests = list(driver, "/spec/tokenRequests");
        requests.iter().map(|request| text(request, "/audience")).collect::<Vec<_>>().join(",")
    } else {
        "<unset>".into()
    };
    cells![
        name(driver),
        at(driver, "/spec/attachRequired").as_bool().unwrap_or(true),
        flag(driver, "/spec/podInfoOnMount"),
        flag(driver, "/spec/storageCapacity"),
        audiences,
        flag(driver, "/spec/requiresRepublish"),
        none_if_empty(modes.join(",")),
        age(driver, now),
    ]
}
