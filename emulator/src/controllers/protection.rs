//! Claims and volumes that are in use outlive their deletion until they no longer are
//! (`pkg/controller/volume/pvcprotection`, `pkg/controller/volume/pvprotection`).

use serde_json::Value;

use super::desk::{CLAIMS, Controller, Desk, PODS, Resource, VOLUMES};
use super::pods;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};

pub(super) const CONTROLLER: Controller = Controller { watches: &[CLAIMS, VOLUMES, PODS], settle };

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";

fn settle(desk: &Desk) {
    for claim in desk.all(CLAIMS) {
        protect(desk, CLAIMS, &claim, OF_CLAIMS, &|| {
            // A pod that is not on a node yet can wait for another claim of that name.
            let pods = desk.within(PODS, text(&claim["metadata"]["namespace"]));
            pods.iter().any(|pod| !text(&pod["spec"]["nodeName"]).is_empty() && uses(pod, &claim))
        });
    }
    for volume in desk.all(VOLUMES) {
        protect(desk, VOLUMES, &volume, OF_VOLUMES, &|| volume["status"]["phase"] == "Bound");
    }
}

fn uses(pod: &Value, claim: &Value) -> bool {
    let name = &claim["metadata"]["name"];
    list(&pod["spec"]["volumes"]).iter().any(|volume| {
        let of_pod = format!("{}-{}", text(&pod["metadata"]["name"]), text(&volume["name"]));
        volume["persistentVolumeClaim"]["claimName"] == *name
            || (volume["ephemeral"].is_object() && *name == of_pod && pods::controls(pod, claim))
    })
}

fn protect(desk: &Desk, resource: Resource, object: &Value, finalizer: &str, is_used: &dyn Fn() -> bool) {
    let has = list(&object["metadata"]["finalizers"]).iter().any(|found| found == finalizer);
    let edit: &dyn Fn(&mut Value) = match (pods::is_going(object), has) {
        (true, true) if !is_used() => &|live| pods::remove_finalizer(live, finalizer),
        (false, false) => &|live| pods::add_finalizer(live, finalizer),
        _ => return,
    };
    let written = desk.update(resource, object, Part::Whole, edit);
    desk.heard(object, written);
}
