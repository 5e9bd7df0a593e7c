//! StatefulSets: pods with names and claims of their own, one after another (`pkg/controller/statefulset`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{CLAIMS, Controller, Desk, PODS, REVISIONS, STATEFUL_SETS};
use super::pods::{self, Pods};
use super::revisions;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{entries, int, list, text};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[STATEFUL_SETS, PODS, REVISIONS], settle };

const COMPONENT: &str = "statefulset-controller";
const REVISION: &str = "controller-revision-hash";

fn settle(desk: &Desk) {
    let sets = desk.all(STATEFUL_SETS);
    if sets.is_empty() {
        return;
    }
    let pods = Pods::of(desk);
    for set in sets {
        let Ok(selector) = selector::compile(&set["spec"]["selector"]) else { continue };
        if !desk.may_try(&set) {
            continue;
        }
        let prefix = format!("{}-", text(&set["metadata"]["name"]));
        let claimed = pods
            .claim(desk, &set, &selector, &|pod| ordinal(pod).is_some() && text(&pod["metadata"]["name"]).starts_with(&prefix));
        match Set::sync(desk, &set, claimed) {
            Ok(()) => desk.succeeded(&set),
            Err(refusal) if pods::is_ending(&refusal) => {}
            Err(_) => desk.failed(&set),
        }
    }
}

fn ordinal(pod: &Value) -> Option<i64> {
    text(&pod["metadata"]["name"]).rsplit_once('-')?.1.parse().ok()
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pods::is_ready(pod)
}

fn revision_of(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"][REVISION])
}

/// One look at a set.
struct Set<'d> {
    desk: &'d Desk,
    set: &'d Value,
    /// The revision that the set had when its last rollout was complete, and that of its template.
    current: Arc<Value>,
    update: Arc<Value>,
    /// By ordinal: what is there, and what is one too many (greatest first).
    replicas: Vec<Option<Arc<Value>>>,
    condemned: Vec<Arc<Value>>,
}

impl<'d> Set<'d> {
    fn sync(desk: &'d Desk, set: &'d Value, claimed: Vec<Arc<Value>>) -> Result<(), Refusal> {
        let known = revisions::of(desk, set);
        let collisions = int(&set["status"]["collisionCount"]);
        let hash = revisions::hash(&revisions::data(set), collisions);
        let update = revisions::current(desk, set, &known, "controller.kubernetes.io/hash", &hash, false)?;
        let current = known.iter().find(|r| r["metadata"]["name"] == set["status"]["currentRevision"]).unwrap_or(&update).clone();
        let (start, count) = (int(&set["spec"]["ordinals"]["start"]), int(&set["spec"]["replicas"]).max(0));
        let mut replicas = vec![None; usize::try_from(count).unwrap_or_default()];
        let mut condemned = Vec::new();
        let used: Vec<String> = claimed.iter().map(|pod| revision_of(pod).to_owned()).collect();
        for pod in claimed {
            let at = ordinal(&pod).and_then(|ordinal| usize::try_from(ordinal - start).ok());
            match at.and_then(|at| replicas.get_mut(at)) {
                Some(place) => *place = Some(pod),
                None => condemned.push(pod),
            }
        }
        condemned.sort_by_key(|pod| -ordinal(pod).unwrap_or_default());
        let mut this = Self { desk, set, current, update, replicas, condemned };
        let outcome = if pods::is_going(set) { Ok(()) } else { this.act() };
        desk.set_whole_status(STATEFUL_SETS, set, &this.status(collisions));
        outcome?;
        let live = [&this.current, &this.update];
        revisions::clean_up(desk, set, &known, &|revision| {
            live.iter().any(|r| r["metadata"]["name"] == revision["metadata"]["name"])
                || used.iter().any(|name| revision["metadata"]["name"] == *name)
        });
        Ok(())
    }

    fn seconds(&self) -> i64 {
        int(&self.set["spec"]["minReadySeconds"])
    }

    fn is_available(&self, pod: &Value) -> bool {
        is_running(pod) && pods::is_available(self.desk, pod, self.seconds())
    }

    /// Adds what is missing, from the first on, then removes what is too much, from the last on, then replaces what is old.
    fn act(&mut self) -> Result<(), Refusal> {
        let one_by_one = self.set["spec"]["podManagementPolicy"] != "Parallel";
        let start = int(&self.set["spec"]["ordinals"]["start"]);
        let mut healthy = true;
        for at in 0..self.replicas.len() {
            let ordinal = start + i64::try_from(at).unwrap_or_default();
            match self.replicas[at].clone() {
                Some(pod) if pods::is_over(&pod) => {
                    if !pods::is_going(&pod) {
                        self.delete(&pod)?;
                    }
                    return Ok(());
                }
                None => {
                    self.replicas[at] = Some(Arc::new(self.create(ordinal)?));
                    healthy = false;
                }
                Some(pod) => {
                    if pod["status"]["phase"] == "Pending" {
                        self.create_claims(&pod, ordinal)?;
                    }
                    healthy &= !pods::is_going(&pod) && self.is_available(&pod);
                }
            }
            if one_by_one && !healthy {
                return Ok(());
            }
        }
        let first_sick = self.condemned.iter().rposition(|pod| !self.is_available(pod));
        for (at, pod) in self.condemned.clone().iter().enumerate() {
            if pods::is_going(pod) {
                if one_by_one {
                    return Ok(());
                }
                continue;
            }
            if one_by_one && !self.is_available(pod) && (Some(at) != first_sick || !healthy) {
                return Ok(());
            }
            self.give_claims(pod)?;
            self.delete(pod)?;
            if one_by_one {
                return Ok(());
            }
        }
        self.replace_old()
    }

    /// A rolling update, one step: from the last on, down to the partition.
    fn replace_old(&self) -> Result<(), Refusal> {
        let strategy = &self.set["spec"]["updateStrategy"];
        if strategy["type"] == "OnDelete" {
            return Ok(());
        }
        let least = usize::try_from(int(&strategy["rollingUpdate"]["partition"])).unwrap_or_default();
        for pod in self.replicas.iter().skip(least).rev().flatten() {
            if revision_of(pod) != text(&self.update["metadata"]["name"]) && !pods::is_going(pod) {
                return self.delete(pod);
            }
            if !self.is_available(pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The revision that a new pod of an ordinal gets: while a rollout is on, the old one below what has been updated.
    fn revision_for(&self, ordinal: i64) -> &Value {
        let start = int(&self.set["spec"]["ordinals"]["start"]);
        let (strategy, status) = (&self.set["spec"]["updateStrategy"], &self.set["status"]);
        if strategy["type"] == "RollingUpdate" {
            let partition = &strategy["rollingUpdate"]["partition"];
            if strategy["rollingUpdate"].is_null() && ordinal < start + int(&status["currentReplicas"]) {
                return &self.current;
            }
            if !strategy["rollingUpdate"].is_null() && ordinal < start + int(partition) {
                return &self.current;
            }
        }
        &self.update
    }

    fn claim_name(&self, template: &Value, ordinal: i64) -> String {
        format!("{}-{}-{ordinal}", text(&template["metadata"]["name"]), text(&self.set["metadata"]["name"]))
    }

    fn create(&self, ordinal: i64) -> Result<Value, Refusal> {
        let revision = self.revision_for(ordinal);
        let mut template = revision["data"]["spec"]["template"].clone();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        let set_name = text(&self.set["metadata"]["name"]);
        let name = format!("{set_name}-{ordinal}");
        let mut pod = pods::from_template(&template, self.set);
        pod["metadata"]["name"] = name.as_str().into();
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
        pod["metadata"]["labels"][REVISION] = revision["metadata"]["name"].clone();
        pod["spec"]["hostname"] = name.as_str().into();
        if !text(&self.set["spec"]["serviceName"]).is_empty() {
            pod["spec"]["subdomain"] = self.set["spec"]["serviceName"].clone();
        }
        let templates = list(&self.set["spec"]["volumeClaimTemplates"]);
        let own = |volume: &Value| templates.iter().any(|template| template["metadata"]["name"] == volume["name"]);
        let claimed = templates.iter().map(|template| {
            json!({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": self.claim_name(template, ordinal)}})
        });
        let others = list(&pod["spec"]["volumes"]).iter().filter(|volume| !own(volume)).cloned();
        let volumes: Vec<Value> = claimed.chain(others).collect();
        if !volumes.is_empty() {
            pod["spec"]["volumes"] = volumes.into();
        }
        self.create_claims(&pod, ordinal)?;
        match self.desk.create(PODS, text(&self.set["metadata"]["namespace"]), pod) {
            Ok(pod) => {
                let message = format!("create Pod {name} in StatefulSet {set_name} successful");
                self.desk.tell(self.set, COMPONENT, false, "SuccessfulCreate", &message);
                Ok(pod)
            }
            Err(refusal) => {
                if !pods::is_ending(&refusal) {
                    let message = format!("create Pod {name} in StatefulSet {set_name} failed error: {}", refusal.message);
                    self.desk.tell(self.set, COMPONENT, true, "FailedCreate", &message);
                }
                Err(refusal)
            }
        }
    }

    fn create_claims(&self, pod: &Value, ordinal: i64) -> Result<(), Refusal> {
        let (metadata, spec) = (&self.set["metadata"], &self.set["spec"]);
        let namespace = text(&metadata["namespace"]);
        for template in list(&spec["volumeClaimTemplates"]) {
            let name = self.claim_name(template, ordinal);
            if self.desk.get(CLAIMS.0, CLAIMS.1, namespace, &name).is_some() {
                continue;
            }
            let mut claim = json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name}, "spec": template["spec"]});
            for field in ["labels", "annotations"] {
                if template["metadata"][field].is_object() {
                    claim["metadata"][field] = template["metadata"][field].clone();
                }
            }
            for (key, value) in entries(&spec["selector"]["matchLabels"]) {
                claim["metadata"]["labels"][key] = value.clone();
            }
            if spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete" {
                claim["metadata"]["ownerReferences"] = json!([pods::reference(self.set)]);
            }
            let what = format!("Claim {name} Pod {} in StatefulSet {}", text(&pod["metadata"]["name"]), text(&metadata["name"]));
            match self.desk.create(CLAIMS, namespace, claim) {
                Ok(_) => self.desk.tell(self.set, COMPONENT, false, "SuccessfulCreate", &format!("create {what} success")),
                Err(refusal) if refusal.reason == "AlreadyExists" => {}
                Err(refusal) => {
                    if !pods::is_ending(&refusal) {
                        let message = format!("create {what} failed error: {}", refusal.message);
                        self.desk.tell(self.set, COMPONENT, true, "FailedCreate", &message);
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// The claims of a pod that is one too many go with it, if the set keeps none (`updateClaimOwnerRefForSetAndPod`).
    fn give_claims(&self, pod: &Value) -> Result<(), Refusal> {
        let spec = &self.set["spec"];
        if spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] != "Delete" {
            return Ok(());
        }
        let owner = pods::reference(pod);
        for template in list(&spec["volumeClaimTemplates"]) {
            let name = self.claim_name(template, ordinal(pod).unwrap_or_default());
            let claim = self.desk.get(CLAIMS.0, CLAIMS.1, text(&pod["metadata"]["namespace"]), &name);
            let Some(claim) = claim.filter(|claim| !list(&claim["metadata"]["ownerReferences"]).contains(&owner)) else {
                continue;
            };
            let given = self.desk.update(CLAIMS, &claim, Part::Whole, &|live| {
                let others = list(&live["metadata"]["ownerReferences"]).iter();
                let others = others.filter(|other| other["uid"] != self.set["metadata"]["uid"]).cloned();
                let all: Vec<Value> = others.chain([owner.clone()]).collect();
                live["metadata"]["ownerReferences"] = all.into();
            });
            match given {
                Err(refusal) if refusal.reason != "NotFound" => return Err(refusal),
                _ => {}
            }
        }
        Ok(())
    }

    fn delete(&self, pod: &Value) -> Result<(), Refusal> {
        let what = format!("Pod {} in StatefulSet {}", text(&pod["metadata"]["name"]), text(&self.set["metadata"]["name"]));
        match self.desk.delete(PODS, pod, None) {
            Ok(()) => {
                self.desk.tell(self.set, COMPONENT, false, "SuccessfulDelete", &format!("delete {what} successful"));
                Ok(())
            }
            Err(refusal) if matches!(refusal.reason.as_str(), "NotFound" | "Conflict") => Ok(()),
            Err(refusal) => {
                let message = format!("delete {what} failed error: {}", refusal.message);
                self.desk.tell(self.set, COMPONENT, true, "FailedDelete", &message);
                Err(refusal)
            }
        }
    }

    fn status(&self, collisions: i64) -> Value {
        let all: Vec<&Arc<Value>> = self.replicas.iter().flatten().chain(&self.condemned).collect();
        let count = |holds: &dyn Fn(&Value) -> bool| all.iter().filter(|pod| holds(pod)).count();
        let of = |revision: &Value| count(&|pod| !pods::is_going(pod) && revision["metadata"]["name"] == revision_of(pod));
        let (mut current, updated) = (of(&self.current), of(&self.update));
        let mut revision = &self.current;
        let (replicas, ready) = (count(&|_| true), count(&is_running));
        // The rollout is complete: what was new is what is.
        let rolling = self.set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
        if rolling && updated == replicas && ready == replicas {
            revision = &self.update;
            current = updated;
        }
        let mut status = json!({
            "observedGeneration": self.set["metadata"]["generation"],
            "replicas": replicas,
            "availableReplicas": count(&|pod| self.is_available(pod)),
            "currentRevision": revision["metadata"]["name"],
            "updateRevision": self.update["metadata"]["name"],
            "collisionCount": collisions,
        });
        for (field, number) in [("readyReplicas", ready), ("currentReplicas", current), ("updatedReplicas", updated)] {
            if number > 0 {
                status[field] = number.into();
            }
        }
        status
    }
}
