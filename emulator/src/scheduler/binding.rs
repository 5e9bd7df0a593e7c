//! Pods that have a node and wait for the volumes of their claims (`volumebinding/binder.go`). They keep their place on the node;
//! others are scheduled meanwhile.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::filters::{Choice, Stock, fits_node, is_bound};
use super::node::{NodeInfo, Snapshot};
use super::pod::PodInfo;
use crate::controllers::desk::{CLAIMS, VOLUMES};
use crate::controllers::volumes::{BY_CONTROLLER, NODE, is_for};
use crate::field::quote;
use crate::kinds::meta::Part;
use crate::kinds::view::text;
use crate::status::Refusal;

/// So long a volume may take.
const TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

/// A pod whose volumes are on their way.
pub(super) struct Waiting {
    pub(super) pod: Arc<PodInfo>,
    pub(super) node: String,
    /// The volumes that were given to claims, and the claims.
    given: Vec<(String, String)>,
    /// The claims for which volumes are to be provisioned.
    asked: Vec<String>,
    pub(super) until: Timestamp,
}

/// How far a pod's volumes are.
pub(super) enum Progress {
    Underway,
    Done,
    Failed(String),
}

impl Waiting {
    /// Writes what was chosen: volumes say whose they are, claims say where the pod will run.
    pub(super) fn begin(
        stock: &Stock<'_>,
        pod: &Arc<PodInfo>,
        node: &NodeInfo,
        choice: &Choice,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let name = |object: &Value| text(&object["metadata"]["name"]).to_owned();
        for (volume, claim) in &choice.bindings {
            let given = stock.desk.update(VOLUMES, volume, Part::Whole, &|live| give(live, claim))?;
            stock.assumed.borrow_mut().volumes.insert(name(volume), Arc::new(given));
        }
        for claim in &choice.provisions {
            let asked = stock.desk.update(CLAIMS, claim, Part::Whole, &|live| {
                live["metadata"]["annotations"][NODE] = node.name().into();
            })?;
            stock.assumed.borrow_mut().claims.insert((pod.namespace().to_owned(), name(claim)), Arc::new(asked));
        }
        Ok(Self {
            pod: pod.clone(),
            node: node.name().to_owned(),
            given: choice.bindings.iter().map(|(volume, claim)| (name(volume), name(claim))).collect(),
            asked: choice.provisions.iter().map(|claim| name(claim)).collect(),
            until: now.checked_add(TIMEOUT).unwrap_or(Timestamp::MAX),
        })
    }

    /// Looks at the claims (`checkBindings`).
    pub(super) fn progress(&self, stock: &Stock<'_>, snapshot: &Snapshot, is_there: bool, now: Timestamp) -> Progress {
        match self.check(stock, snapshot, is_there) {
            Ok(true) => Progress::Done,
            Ok(false) if self.until > now => Progress::Underway,
            Ok(false) => Progress::Failed("context deadline exceeded".to_owned()),
            Err(why) => Progress::Failed(why),
        }
    }

    fn check(&self, stock: &Stock<'_>, snapshot: &Snapshot, is_there: bool) -> Result<bool, String> {
        let (namespace, name) = (self.pod.namespace(), self.pod.name());
        let Some(node) = snapshot.node(&self.node) else {
            return Err(format!("failed to get node {0}: node {0} not found", quote(&self.node)));
        };
        if !is_there {
            return Err(format!("pod does not exist any more: pod {} not found", quote(name)));
        }
        let claim = |claim: &str, doing: &str| {
            let missing =
                || format!("{doing}: could not find v1.PersistentVolumeClaim {}", quote(&format!("{namespace}/{claim}")));
            stock.claim(namespace, claim).ok_or_else(missing)
        };
        for (given, wanting) in &self.given {
            let missing = || format!("failed to check binding: could not find v1.PersistentVolume {}", quote(given));
            let volume = stock.volume(given).ok_or_else(missing)?;
            let claim = claim(wanting, "failed to check binding")?;
            check_place(&volume, node)?;
            if text(&volume["spec"]["claimRef"]["uid"]).is_empty() {
                return Err(format!("ClaimRef got reset for pv {}", quote(given)));
            }
            if !is_bound(&claim) {
                return Ok(false);
            }
        }
        for asked in &self.asked {
            let claim = claim(asked, "failed to check provisioning pvc")?;
            let annotations = &claim["metadata"]["annotations"];
            if annotations.is_null() {
                return Err(format!("selectedNode annotation reset for PVC {}", quote(asked)));
            }
            // A provisioner that could not do it takes the annotation away.
            if text(&annotations[NODE]) != self.node {
                return Err(format!("provisioning failed for PVC {}", quote(asked)));
            }
            let volume = text(&claim["spec"]["volumeName"]);
            if !volume.is_empty() {
                match stock.volume(volume) {
                    Some(volume) => check_place(&volume, node)?,
                    None => return Ok(false),
                }
            }
            if !is_bound(&claim) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A volume becomes a claim's (`GetBindVolumeToClaim`); the rest of the binding is the volume controller's.
fn give(volume: &mut Value, claim: &Value) {
    let metadata = &claim["metadata"];
    if !is_for(volume, claim) {
        volume["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
    }
    if volume["spec"]["claimRef"]["uid"] != metadata["uid"] {
        volume["spec"]["claimRef"] = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        });
    }
}

fn check_place(volume: &Value, node: &NodeInfo) -> Result<(), String> {
    if fits_node(volume, node) {
        return Ok(());
    }
    let (volume, node) = (quote(text(&volume["metadata"]["name"])), quote(node.name()));
    Err(format!("pv {volume} node affinity doesn't match node {node}: no matching NodeSelectorTerms"))
}
