//! The claims of pods' own volumes (`pkg/controller/volume/ephemeral`): made with the pod, and gone with it.

use serde_json::{Value, json};

use super::desk::{CLAIMS, Controller, Desk, PODS};
use super::pods;
use crate::admission::Objects;
use crate::kinds::view::{list, text};

pub(super) const CONTROLLER: Controller = Controller { watches: &[PODS, CLAIMS], settle };

const COMPONENT: &str = "ephemeral_volume";

fn settle(desk: &Desk) {
    for pod in desk.all(PODS) {
        let own = list(&pod["spec"]["volumes"]).iter().filter(|volume| volume["ephemeral"].is_object());
        for volume in own.filter(|_| !pods::is_going(&pod)) {
            make(desk, &pod, volume);
        }
    }
}

fn make(desk: &Desk, pod: &Value, volume: &Value) {
    let metadata = &pod["metadata"];
    let (namespace, name) = (text(&metadata["namespace"]), format!("{}-{}", text(&metadata["name"]), text(&volume["name"])));
    // Another's claim of that name is not touched: the pod waits.
    if desk.get(CLAIMS.0, CLAIMS.1, namespace, &name).is_some() || !desk.may_try(pod) {
        return;
    }
    let template = &volume["ephemeral"]["volumeClaimTemplate"];
    let mut claim = json!({
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": {"name": name, "ownerReferences": [pods::reference(pod)]},
        "spec": template["spec"],
    });
    for field in ["annotations", "labels"] {
        if template["metadata"][field].is_object() {
            claim["metadata"][field] = template["metadata"][field].clone();
        }
    }
    match desk.create(CLAIMS, namespace, claim) {
        Err(refusal) if refusal.reason != "AlreadyExists" && !pods::is_ending(&refusal) => {
            let why = format!("ephemeral volume controller: {}", refusal.message);
            desk.tell(pod, COMPONENT, true, "FailedBinding", &why);
            desk.failed(pod);
        }
        _ => desk.succeeded(pod),
    }
}
