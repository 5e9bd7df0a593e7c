//! Volumes that are in a zone, by their labels (`volumezone`).

use super::super::node::NodeInfo;
use super::super::pod::PodInfo;
use super::super::verdict::{Plugin, Rejection};
use super::volumes::{Stock, not_found};
use crate::controllers::volumes::class;
use crate::kinds::view::text;

/// Older labels with the newer ones that mean the same.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// A label of a volume: one of these values is to be the node's.
pub(super) struct Zone {
    label: &'static str,
    modern: &'static str,
    values: Vec<String>,
}

/// The zones of the volumes that the pod's claims have.
pub(super) fn of(pod: &PodInfo, stock: &Stock<'_>) -> Result<Vec<Zone>, Rejection> {
    let refuse = |why: String| Err(Rejection::unresolvable(Plugin::VolumeZone, why));
    let mut zones = Vec::new();
    for (name, _) in pod.claims().filter(|(_, own)| !own) {
        let Some(claim) = stock.claim(pod.namespace(), &name) else {
            return refuse(not_found("persistentvolumeclaim", &name));
        };
        let volume = text(&claim["spec"]["volumeName"]);
        if volume.is_empty() {
            let class_name = class(&claim);
            if class_name.is_empty() {
                return refuse("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
            }
            match stock.class(class_name) {
                None => return refuse(not_found("storageclass.storage.k8s.io", class_name)),
                Some(class) if class["volumeBindingMode"] == "WaitForFirstConsumer" => continue,
                Some(_) => return refuse("PersistentVolume had no name".to_owned()),
            }
        }
        let Some(volume) = stock.volume(volume) else { return refuse(not_found("persistentvolume", volume)) };
        for (label, modern) in LABELS {
            if let Some(values) = volume["metadata"]["labels"][label].as_str() {
                // A volume may be in several at once.
                let values = values.split("__").map(|value| value.trim().to_owned()).collect();
                zones.push(Zone { label, modern, values });
            }
        }
    }
    Ok(zones)
}

pub(super) fn check(zones: &[Zone], node: &NodeInfo) -> Result<(), Rejection> {
    // A node that is in no zone is in the only one there is.
    if zones.is_empty() || LABELS.iter().all(|(label, _)| node.label(label).is_none()) {
        return Ok(());
    }
    let is_there = |zone: &Zone| {
        let value = node.label(zone.label).or_else(|| node.label(zone.modern));
        value.is_some_and(|value| zone.values.iter().any(|one| one == value))
    };
    if zones.iter().all(is_there) {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::VolumeZone, "node(s) had no available volume zone"))
}
