//! A pod's claims and the volumes for them (`volumebinding`, `volumerestrictions`). Which volume a claim gets, and where one is to
//! be provisioned, is decided together with the node.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::super::node::{NodeInfo, Snapshot};
use super::super::pod::PodInfo;
use super::super::verdict::{Plugin, Rejection};
use super::nodes::NodeTerms;
use crate::admission::Objects;
use crate::controllers::desk::{CLAIMS, Desk, VOLUMES};
use crate::controllers::pods::{self, controller_of};
use crate::controllers::volumes::{CLASSES, COMPLETED, NODE, class, is_for, suits};
use crate::field::quote;
use crate::kinds::quantity::Quantity;
use crate::kinds::selector;
use crate::kinds::view::{flag, list, text};

const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Claims and volumes as this look has changed them: what was written for one pod holds for the next (`assume_cache.go`).
#[derive(Default)]
pub(in super::super) struct Assumed {
    pub(in super::super) claims: HashMap<(String, String), Arc<Value>>,
    pub(in super::super) volumes: HashMap<String, Arc<Value>>,
}

/// The claims, volumes and classes of the cluster.
pub(in super::super) struct Stock<'a> {
    pub(in super::super) desk: &'a Desk,
    pub(in super::super) assumed: RefCell<Assumed>,
}

impl Stock<'_> {
    pub(in super::super) fn claim(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let assumed = self.assumed.borrow().claims.get(&(namespace.to_owned(), name.to_owned())).cloned();
        assumed.or_else(|| self.desk.get(CLAIMS.0, CLAIMS.1, namespace, name))
    }

    pub(in super::super) fn volume(&self, name: &str) -> Option<Arc<Value>> {
        let assumed = self.assumed.borrow().volumes.get(name).cloned();
        assumed.or_else(|| self.desk.get(VOLUMES.0, VOLUMES.1, "", name))
    }

    pub(super) fn class(&self, name: &str) -> Option<Arc<Value>> {
        self.desk.get(CLASSES.0, CLASSES.1, "", name)
    }

    fn volumes(&self) -> Vec<Arc<Value>> {
        let assumed = self.assumed.borrow();
        let newest = |volume: Arc<Value>| assumed.volumes.get(text(&volume["metadata"]["name"])).cloned().unwrap_or(volume);
        self.desk.all(VOLUMES).into_iter().map(newest).collect()
    }
}

/// `persistentvolumeclaim "a" not found`.
pub(super) fn not_found(resource: &str, name: &str) -> String {
    format!("{resource} {} not found", quote(name))
}

/// Whether a claim has its volume, and both know it.
pub(in super::super) fn is_bound(claim: &Value) -> bool {
    !text(&claim["spec"]["volumeName"]).is_empty() && !claim["metadata"]["annotations"][COMPLETED].is_null()
}

/// Whether a volume is to be had on a node (`CheckNodeAffinity`).
pub(in super::super) fn fits_node(volume: &Value, node: &NodeInfo) -> bool {
    let required = &volume["spec"]["nodeAffinity"]["required"];
    required.is_null() || NodeTerms::of(required).matches(node)
}

/// What is to be written for a pod's claims before it can be bound.
#[derive(Clone, Default)]
pub(in super::super) struct Choice {
    /// Volumes for claims.
    pub(in super::super) bindings: Vec<(Arc<Value>, Arc<Value>)>,
    /// Claims for which volumes are to be provisioned.
    pub(in super::super) provisions: Vec<Arc<Value>>,
}

impl Choice {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.provisions.is_empty()
    }
}

/// The claims of a pod.
#[derive(Default)]
pub(super) struct Claims {
    bound: Vec<Arc<Value>>,
    /// Those that wait for a pod; the smallest first, so that each gets the smallest volume.
    waiting: Vec<Arc<Value>>,
}

impl Claims {
    /// Refused when one is missing or nobody waits for a pod to bind it.
    pub(super) fn of(pod: &PodInfo, stock: &Stock<'_>) -> Result<Self, Rejection> {
        let refuse = |why: String| Rejection::unresolvable(Plugin::VolumeBinding, why);
        let mut all = Vec::new();
        for (name, own) in pod.claims() {
            let claim = stock.claim(pod.namespace(), &name).ok_or_else(|| match own {
                true => refuse(format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {}",
                    quote(&name)
                )),
                false => refuse(not_found("persistentvolumeclaim", &name)),
            })?;
            check_claim(pod, &claim, own).map_err(refuse)?;
            all.push(claim);
        }
        let (bound, unbound): (Vec<_>, Vec<_>) = all.into_iter().partition(|claim| is_bound(claim));
        let waits = |claim: &Arc<Value>| {
            text(&claim["spec"]["volumeName"]).is_empty()
                && stock.class(class(claim)).is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
        };
        if !unbound.iter().all(waits) {
            return Err(refuse("pod has unbound immediate PersistentVolumeClaims".to_owned()));
        }
        let mut waiting = unbound;
        waiting.sort_by_key(|claim| Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]));
        Ok(Self { bound, waiting })
    }

    /// `FindPodVolumes`: refused when there are none.
    pub(super) fn check(&self, stock: &Stock<'_>, node: &NodeInfo) -> Result<(), Rejection> {
        let mut missing = false;
        let mut misplaced = false;
        for claim in &self.bound {
            match stock.volume(text(&claim["spec"]["volumeName"])) {
                Some(volume) if fits_node(&volume, node) => continue,
                Some(_) => misplaced = true,
                None => missing = true,
            }
            break;
        }
        let mut reasons = Vec::new();
        if misplaced {
            reasons.push("node(s) didn't match PersistentVolume's node affinity".to_owned());
        }
        match self.choose(stock, node) {
            Ok(_) => {}
            Err(rejection) if rejection.kind == super::super::verdict::Kind::Error => return Err(rejection),
            Err(rejection) => reasons.extend(rejection.reasons),
        }
        if missing {
            reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".to_owned());
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Rejection { reasons, ..Rejection::unresolvable(Plugin::VolumeBinding, "") })
    }

    /// Volumes for the claims that wait, or the intent to have them provisioned.
    pub(super) fn choose(&self, stock: &Stock<'_>, node: &NodeInfo) -> Result<Choice, Rejection> {
        let nothing =
            || Rejection::unresolvable(Plugin::VolumeBinding, "node(s) didn't find available persistent volumes to bind");
        let mut choice = Choice::default();
        if self.waiting.is_empty() {
            return Ok(choice);
        }
        let volumes = stock.volumes();
        let mut taken = BTreeSet::new();
        for claim in &self.waiting {
            let selected = &claim["metadata"]["annotations"][NODE];
            if !selected.is_null() {
                if selected != node.name() {
                    return Err(nothing());
                }
                choice.provisions.push(claim.clone());
                continue;
            }
            match matching(claim, &volumes, node, &taken) {
                Some(volume) => {
                    taken.insert(text(&volume["metadata"]["name"]).to_owned());
                    choice.bindings.push((volume, claim.clone()));
                }
                None => choice.provisions.push(claim.clone()),
            }
        }
        for claim in &choice.provisions {
            let name = class(claim);
            let Some(class) = stock.class(name) else {
                return Err(Rejection::error(Plugin::VolumeBinding, format!("failed to find storage class {}", quote(name))));
            };
            let provisioner = text(&class["provisioner"]);
            if matches!(provisioner, "" | NO_PROVISIONER) || !allows(&class, node) {
                return Err(nothing());
            }
            if !has_capacity(stock, provisioner, claim, node) {
                return Err(Rejection::unresolvable(Plugin::VolumeBinding, "node(s) did not have enough free storage"));
            }
        }
        Ok(choice)
    }
}

/// `podHasPVCs`.
fn check_claim(pod: &PodInfo, claim: &Value, own: bool) -> Result<(), String> {
    let name = text(&claim["metadata"]["name"]);
    if claim["status"]["phase"] == "Lost" {
        let volume = quote(text(&claim["spec"]["volumeName"]));
        return Err(format!("persistentvolumeclaim {} bound to non-existent persistentvolume {volume}", quote(name)));
    }
    if pods::is_going(claim) {
        return Err(format!("persistentvolumeclaim {} is being deleted", quote(name)));
    }
    if own && controller_of(claim).is_none_or(|owner| text(&owner["uid"]) != pod.uid()) {
        let namespace = pod.namespace();
        let pod_name = pod.name();
        return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)"));
    }
    Ok(())
}

/// The volume that is meant for the claim, or the smallest that suits it, if it is to be had on the node (`FindMatchingVolume`).
fn matching(claim: &Value, volumes: &[Arc<Value>], node: &NodeInfo, taken: &BTreeSet<String>) -> Option<Arc<Value>> {
    let free = || volumes.iter().filter(|volume| !taken.contains(text(&volume["metadata"]["name"])));
    if let Some(meant) = free().find(|volume| is_for(volume, claim) && !pods::is_going(volume)) {
        return fits_node(meant, node).then(|| meant.clone());
    }
    let suitable = free().filter(|volume| {
        volume["spec"]["claimRef"].is_null()
            && volume["status"]["phase"] == "Available"
            && suits(volume, claim)
            && fits_node(volume, node)
    });
    suitable.min_by_key(|volume| Quantity::of(&volume["spec"]["capacity"]["storage"])).cloned()
}

/// Whether a class provisions for a node (`MatchTopologySelectorTerms`).
fn allows(class: &Value, node: &NodeInfo) -> bool {
    let terms = list(&class["allowedTopologies"]);
    let holds = |expression: &Value| {
        let value = node.labels().get(text(&expression["key"]));
        value.is_some_and(|value| list(&expression["values"]).contains(value))
    };
    terms.is_empty() || terms.iter().any(|term| list(&term["matchLabelExpressions"]).iter().all(holds))
}

/// Whether a driver that tells its capacity has enough (`hasEnoughCapacity`).
fn has_capacity(stock: &Stock<'_>, driver: &str, claim: &Value, node: &NodeInfo) -> bool {
    let known = stock.desk.get("storage.k8s.io", "csidrivers", "", driver);
    if !known.is_some_and(|driver| flag(&driver["spec"]["storageCapacity"])) {
        return true;
    }
    let size = Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    stock.desk.list("storage.k8s.io", "csistoragecapacities", None).iter().any(|capacity| {
        let largest = &capacity["maximumVolumeSize"];
        let limit = if largest.is_null() { &capacity["capacity"] } else { largest };
        text(&capacity["storageClassName"]) == class(claim)
            && !limit.is_null()
            && Quantity::of(limit) >= size
            && selector::compile(&capacity["nodeTopology"]).is_ok_and(|selector| selector.matches(node.labels()))
    })
}

/// The claims of which only one pod may make use. Here it is found out first that one is missing.
pub(super) fn exclusive_claims(pod: &PodInfo, stock: &Stock<'_>) -> Result<BTreeSet<String>, Rejection> {
    let mut exclusive = BTreeSet::new();
    for (name, _) in pod.claims().filter(|(_, own)| !own) {
        let Some(claim) = stock.claim(pod.namespace(), &name) else {
            return Err(Rejection::unresolvable(Plugin::VolumeRestrictions, not_found("persistentvolumeclaim", &name)));
        };
        if list(&claim["spec"]["accessModes"]).iter().any(|mode| mode == "ReadWriteOncePod") {
            exclusive.insert(name);
        }
    }
    Ok(exclusive)
}

/// How many of the claims another pod holds.
pub(super) fn holds(other: &PodInfo, pod: &PodInfo, exclusive: &BTreeSet<String>) -> i64 {
    if exclusive.is_empty() || other.namespace() != pod.namespace() {
        return 0;
    }
    i64::try_from(other.claims().filter(|(name, own)| !own && exclusive.contains(name)).count()).unwrap_or(i64::MAX)
}

pub(super) fn holders(pod: &PodInfo, exclusive: &BTreeSet<String>, snapshot: &Snapshot) -> i64 {
    if exclusive.is_empty() {
        return 0;
    }
    snapshot.pods().map(|(_, other)| holds(other, pod, exclusive)).sum()
}

/// Disks that several pods of a node cannot have, and claims for one pod.
pub(super) fn check_restrictions(pod: &PodInfo, node: &NodeInfo, holders: i64) -> Result<(), Rejection> {
    let own = list(&pod.spec()["volumes"]);
    let theirs = || node.pods.iter().flat_map(|other| list(&other.spec()["volumes"]));
    if own.iter().filter(|volume| is_disk(volume)).any(|volume| theirs().any(|other| excludes(volume, other))) {
        return Err(Rejection::unschedulable(Plugin::VolumeRestrictions, "node(s) had no available disk"));
    }
    if holders > 0 {
        let why =
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
        return Err(Rejection::unschedulable(Plugin::VolumeRestrictions, why));
    }
    Ok(())
}

const DISKS: [&str; 4] = ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"];

fn is_disk(volume: &Value) -> bool {
    DISKS.iter().any(|kind| !volume[*kind].is_null())
}

/// Whether two volumes are one disk that both cannot have (`isVolumeConflict`).
fn excludes(volume: &Value, other: &Value) -> bool {
    DISKS.iter().any(|kind| {
        let (a, b) = (&volume[*kind], &other[*kind]);
        if a.is_null() || b.is_null() {
            return false;
        }
        let same = |field: &str| text(&a[field]) == text(&b[field]);
        let only_read = flag(&a["readOnly"]) && flag(&b["readOnly"]);
        match *kind {
            "gcePersistentDisk" => same("pdName") && !only_read,
            "awsElasticBlockStore" => same("volumeID"),
            "iscsi" => same("iqn") && !only_read,
            _ => {
                let monitors = list(&a["monitors"]).iter().any(|monitor| list(&b["monitors"]).contains(monitor));
                monitors && same("pool") && same("image") && !only_read
            }
        }
    })
}
