//! Deployments: ReplicaSets by revision, rolled out as far as pods become available (`pkg/controller/deployment`).

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::conditions;
use super::desk::{Controller, DEPLOYMENTS, Desk, PODS, REPLICA_SETS};
use super::disruption::share;
use super::hash;
use super::pods;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{entries, int, list, same, text};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[DEPLOYMENTS, REPLICA_SETS, PODS], settle };

const COMPONENT: &str = "deployment-controller";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const ROLLBACK: &str = "deprecated.deployment.rollback.to";
/// Annotations that a ReplicaSet does not take over.
const OWN: [&str; 6] = ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX, ROLLBACK];
/// No limit.
const UNLIMITED: i64 = i32::MAX as i64;
/// The longest history of revisions that a ReplicaSet keeps.
const HISTORY_LENGTH: usize = 2000;

fn settle(desk: &Desk) {
    for deployment in desk.all(DEPLOYMENTS) {
        if !desk.may_try(&deployment) {
            continue;
        }
        let Some(mut rollout) = Rollout::of(desk, &deployment) else { continue };
        match rollout.settle() {
            Ok(()) => desk.succeeded(&deployment),
            Err(refusal) => {
                tracing::debug!(name = text(&deployment["metadata"]["name"]), %refusal, "a deployment is not settled");
                desk.failed(&deployment);
            }
        }
    }
}

/// One deployment and its ReplicaSets, as they are known and as they become.
struct Rollout<'d> {
    desk: &'d Desk,
    /// As it was found.
    found: &'d Value,
    /// With the status and the annotations that it gets.
    deployment: Value,
    /// The ReplicaSet of the present template.
    new: Option<Value>,
    /// The others, oldest first.
    old: Vec<Value>,
}

fn replicas(object: &Value) -> i64 {
    int(&object["spec"]["replicas"])
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    text(&object["metadata"]["annotations"][key])
}

fn revision(object: &Value) -> i64 {
    annotation(object, REVISION).parse().unwrap_or_default()
}

/// Older first; of one second, by name.
fn by_age(a: &Value, b: &Value) -> Ordering {
    let key = |set: &Value| (text(&set["metadata"]["creationTimestamp"]).to_owned(), name(set).to_owned());
    key(a).cmp(&key(b))
}

/// Whether two templates are the same but for the hash (`EqualIgnoreHash`).
fn equal_but_hash(a: &Value, b: &Value) -> bool {
    let plain = |template: &Value| {
        let mut template = template.clone();
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        template
    };
    same(&plain(a), &plain(b))
}

impl<'d> Rollout<'d> {
    /// None for one that selects everything, or nothing that can be understood.
    fn of(desk: &'d Desk, found: &'d Value) -> Option<Self> {
        let everything = selector::compile(&found["spec"]["selector"]).ok()?;
        if everything.is_everything() {
            let why = "This deployment is selecting all pods. A non-empty selector is required.";
            desk.tell(found, COMPONENT, true, "SelectingAll", why);
            return None;
        }
        let mut sets: Vec<Value> = Vec::new();
        for set in desk.within(REPLICA_SETS, text(&found["metadata"]["namespace"])) {
            let matches = everything.matches(&set["metadata"]["labels"]);
            match pods::controller_of(&set) {
                Some(owner) if owner["uid"] == found["metadata"]["uid"] => {
                    if matches {
                        sets.push(Arc::unwrap_or_clone(set));
                    } else if !pods::is_going(found) {
                        let released = desk.update(REPLICA_SETS, &set, Part::Whole, &|live| pods::release(live, found));
                        desk.heard(&set, released);
                    }
                }
                None if matches && !pods::is_going(&set) && !pods::is_going(found) => {
                    let adopted = desk.update(REPLICA_SETS, &set, Part::Whole, &|live| pods::adopt(live, found));
                    sets.extend(desk.heard(&set, adopted).filter(|set| pods::controls(found, set)));
                }
                _ => {}
            }
        }
        sets.sort_by(by_age);
        let template = &found["spec"]["template"];
        let at = sets.iter().position(|set| equal_but_hash(&set["spec"]["template"], template));
        let new = at.map(|at| sets.remove(at));
        Some(Self { desk, found, deployment: found.clone(), new, old: sets })
    }

    fn settle(&mut self) -> Result<(), Refusal> {
        if pods::is_going(self.found) {
            self.sync_revision(false)?;
            return self.write_status(self.status());
        }
        self.check_paused()?;
        let paused = self.found["spec"]["paused"] == true;
        if !paused && let Ok(to) = annotation(self.found, ROLLBACK).parse::<i64>() {
            return self.roll_back(to);
        }
        self.sync_revision(false)?;
        let scaled =
            self.all().any(|set| replicas(set) > 0 && annotation(set, DESIRED).parse().is_ok_and(|n: i64| n != self.wanted()));
        if paused || scaled {
            self.scale()?;
            if paused {
                self.clean_up()?;
            }
            return self.write_status(self.status());
        }
        if self.is_rolling() { self.roll() } else { self.recreate() }
    }

    fn wanted(&self) -> i64 {
        replicas(self.found)
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.old.iter().chain(&self.new)
    }

    fn sum(&self, of: impl Fn(&Value) -> i64) -> i64 {
        self.all().map(of).sum()
    }

    fn is_rolling(&self) -> bool {
        self.found["spec"]["strategy"]["type"] == "RollingUpdate"
    }

    /// The pods that may be too many, and those that may be unavailable (`ResolveFenceposts`).
    fn leeway(&self) -> (i64, i64) {
        if !self.is_rolling() {
            return (0, 0);
        }
        let rolling = &self.found["spec"]["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], self.wanted(), true).unwrap_or_default();
        let unavailable = share(&rolling["maxUnavailable"], self.wanted(), false).unwrap_or_default();
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        (surge, unavailable.min(self.wanted()))
    }

    /// None when it may take as long as it likes.
    fn deadline(&self) -> Option<i64> {
        self.found["spec"]["progressDeadlineSeconds"].as_i64().filter(|seconds| *seconds != UNLIMITED)
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        let now = self.desk.now();
        json!({
            "type": kind,
            "status": status,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        })
    }

    fn progressing(&self, status: &str, reason: &str, message: &str) -> Value {
        self.condition("Progressing", status, reason, message)
    }

    fn progress(&self) -> Option<&Value> {
        conditions::find(&self.deployment["status"], "Progressing")
    }

    /// Stores the status, and the revision with it.
    fn write_status(&mut self, status: Value) -> Result<(), Refusal> {
        let annotations = self.deployment["metadata"]["annotations"].clone();
        self.deployment["status"] = status;
        if same_but_zeros(&self.found["status"], &self.deployment["status"])
            && annotations == self.found["metadata"]["annotations"]
        {
            return Ok(());
        }
        let status = &self.deployment["status"];
        let revision = annotation(&self.deployment, REVISION);
        let written = self.desk.update(DEPLOYMENTS, self.found, Part::Status, &|live| {
            live["status"] = status.clone();
            if !revision.is_empty() {
                live["metadata"]["annotations"][REVISION] = revision.into();
            }
        });
        written.map(drop)
    }

    /// A paused deployment is not late (`checkPausedConditions`).
    fn check_paused(&mut self) -> Result<(), Refusal> {
        let (reason, paused) =
            (self.progress().map_or("", |c| text(&c["reason"])).to_owned(), self.found["spec"]["paused"] == true);
        if self.deadline().is_none() || reason == "ProgressDeadlineExceeded" {
            return Ok(());
        }
        let condition = match (paused, reason == "DeploymentPaused") {
            (true, false) => self.progressing("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => self.progressing("Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(()),
        };
        set(&mut self.deployment["status"], condition);
        let status = self.deployment["status"].clone();
        self.write_status(status)
    }

    /// Finds the ReplicaSet of the template, or makes it, and numbers it as the newest (`getNewReplicaSet`).
    fn sync_revision(&mut self, create: bool) -> Result<(), Refusal> {
        let next = self.old.iter().map(revision).max().unwrap_or_default() + 1;
        let Some(mut new) = self.new.take() else {
            return if create { self.create(next) } else { Ok(()) };
        };
        let annotated = self.annotate(&mut new, next);
        let seconds = self.found["spec"]["minReadySeconds"].clone();
        if annotated || int(&new["spec"]["minReadySeconds"]) != int(&seconds) {
            let annotations = new["metadata"]["annotations"].clone();
            let written = self.desk.update(REPLICA_SETS, &new, Part::Whole, &|live| {
                live["metadata"]["annotations"] = annotations.clone();
                live["spec"]["minReadySeconds"] = seconds.clone();
            });
            self.new = Some(written?);
            return Ok(());
        }
        let mut changed = self.set_revision(revision(&new));
        if self.deadline().is_some() && self.progress().is_none() {
            let message = format!("Found new replica set {}", crate::field::quote(name(&new)));
            let condition = self.progressing("True", "FoundNewReplicaSet", &message);
            set(&mut self.deployment["status"], condition);
            changed = true;
        }
        self.new = Some(new);
        if changed {
            let status = self.deployment["status"].clone();
            self.write_status(status)?;
        }
        Ok(())
    }

    fn set_revision(&mut self, revision: i64) -> bool {
        let revision = revision.to_string();
        if annotation(&self.deployment, REVISION) == revision {
            return false;
        }
        self.deployment["metadata"]["annotations"][REVISION] = revision.into();
        true
    }

    /// Gives a ReplicaSet the annotations of the deployment and its revision; whether it had not all of them
    /// (`SetNewReplicaSetAnnotations`).
    fn annotate(&self, set: &mut Value, next: i64) -> bool {
        let mut changed = false;
        for (key, value) in entries(&self.found["metadata"]["annotations"]).filter(|(key, _)| !OWN.contains(key)) {
            if set["metadata"]["annotations"].get(key) != Some(value) {
                set["metadata"]["annotations"][key] = value.clone();
                changed = true;
            }
        }
        let old = annotation(set, REVISION).to_owned();
        let Ok(before) = (if old.is_empty() { Ok(0) } else { old.parse::<i64>() }) else { return false };
        if before < next {
            set["metadata"]["annotations"][REVISION] = next.to_string().into();
            changed = true;
            if !old.is_empty() {
                let history = annotation(set, HISTORY);
                let mut all: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
                let mut length = history.len() + old.len() + 1;
                while length > HISTORY_LENGTH && !all.is_empty() {
                    length -= all.remove(0).len() + 1;
                }
                all.push(&old);
                set["metadata"]["annotations"][HISTORY] = all.join(",").into();
            }
        }
        changed
    }

    fn create(&mut self, next: i64) -> Result<(), Refusal> {
        let (spec, metadata) = (&self.found["spec"], &self.found["metadata"]);
        let hash = hash::of_template(&spec["template"], self.deployment["status"]["collisionCount"].as_i64());
        let (mut template, mut selector) = (spec["template"].clone(), spec["selector"].clone());
        template["metadata"]["labels"][HASH] = hash.as_str().into();
        selector["matchLabels"][HASH] = hash.as_str().into();
        // A name has 253 characters at most.
        let base: String = name(self.found).chars().take(252 - hash.len()).collect();
        let mut new = json!({
            "kind": "ReplicaSet",
            "apiVersion": "apps/v1",
            "metadata": {
                "name": format!("{base}-{hash}"),
                "labels": template["metadata"]["labels"],
                "ownerReferences": [pods::reference(self.found)],
            },
            "spec": {"replicas": 0, "minReadySeconds": spec["minReadySeconds"], "selector": selector, "template": template},
        });
        let count = self.room_for(&new);
        new["spec"]["replicas"] = count.into();
        self.annotate(&mut new, next);
        self.annotate_scale(&mut new);
        match self.desk.create(REPLICA_SETS, text(&metadata["namespace"]), new.clone()) {
            Ok(created) => {
                if count > 0 {
                    let message = format!("Scaled up replica set {} from 0 to {count}", name(&created));
                    self.desk.tell(self.found, COMPONENT, false, "ScalingReplicaSet", &message);
                }
                self.set_revision(next);
                if self.deadline().is_some() {
                    let message = format!("Created new replica set {}", crate::field::quote(name(&created)));
                    let condition = self.progressing("True", "NewReplicaSetCreated", &message);
                    set(&mut self.deployment["status"], condition);
                }
                self.new = Some(created);
                let status = self.deployment["status"].clone();
                self.write_status(status)
            }
            Err(refusal) if refusal.reason == "AlreadyExists" => {
                // Another set has that name: the hash of the next try counts one collision more.
                let collisions = int(&self.deployment["status"]["collisionCount"]) + 1;
                let mut status = self.deployment["status"].clone();
                status["collisionCount"] = collisions.into();
                self.write_status(status)?;
                Err(refusal)
            }
            Err(refusal) if pods::is_ending(&refusal) => Err(refusal),
            Err(refusal) => {
                let message =
                    format!("Failed to create new replica set {}: {}", crate::field::quote(name(&new)), refusal.message);
                if self.deadline().is_some() {
                    let mut status = self.deployment["status"].clone();
                    set(&mut status, self.progressing("False", "ReplicaSetCreateError", &message));
                    self.write_status(status)?;
                }
                self.desk.tell(self.found, COMPONENT, true, "ReplicaSetCreateError", &message);
                Err(refusal)
            }
        }
    }

    /// How many replicas the new set may have by now (`NewRSNewReplicas`).
    fn room_for(&self, new: &Value) -> i64 {
        if !self.is_rolling() {
            return self.wanted();
        }
        let most = self.wanted() + self.leeway().0;
        let present = self.sum(replicas) + if self.new.is_none() { replicas(new) } else { 0 };
        if present >= most {
            return replicas(new);
        }
        replicas(new) + (most - present).min(self.wanted() - replicas(new))
    }

    fn annotate_scale(&self, set: &mut Value) {
        set["metadata"]["annotations"][DESIRED] = self.wanted().to_string().into();
        set["metadata"]["annotations"][MAX] = (self.wanted() + self.leeway().0).to_string().into();
    }

    /// Resizes one set; whether its size was another (`scaleReplicaSet`).
    fn resize(&self, set: &mut Value, size: i64) -> Result<bool, Refusal> {
        let before = replicas(set);
        let mut annotated = set.clone();
        self.annotate_scale(&mut annotated);
        if before == size && annotated == *set {
            return Ok(false);
        }
        *set = self.desk.update(REPLICA_SETS, set, Part::Whole, &|live| {
            live["spec"]["replicas"] = size.into();
            self.annotate_scale(live);
        })?;
        if before != size {
            let way = if before < size { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {before} to {size}", name(set));
            self.desk.tell(self.found, COMPONENT, false, "ScalingReplicaSet", &message);
        }
        Ok(before != size)
    }

    /// The same when the size alone matters.
    fn resize_if(&self, set: &mut Value, size: i64) -> Result<bool, Refusal> {
        if replicas(set) == size { Ok(false) } else { self.resize(set, size) }
    }

    /// Lets something happen to the sets, one by one, and puts them back.
    fn with_sets<T>(&mut self, act: impl FnOnce(&Self, &mut Vec<Value>, &mut Option<Value>) -> T) -> T {
        let (mut old, mut new) = (std::mem::take(&mut self.old), self.new.take());
        let done = act(self, &mut old, &mut new);
        (self.old, self.new) = (old, new);
        done
    }

    /// Resizes outside of a rollout: in proportion when there are several sets.
    fn scale(&mut self) -> Result<(), Refusal> {
        let wanted = self.wanted();
        let active = self.all().filter(|set| replicas(set) > 0).count();
        if active <= 1 {
            return self.with_sets(|this, old, new| {
                let one = match (old.iter().position(|set| replicas(set) > 0), new.as_mut()) {
                    (Some(at), _) => old.get_mut(at),
                    (None, Some(new)) => Some(new),
                    (None, None) => old.last_mut(),
                };
                one.map_or(Ok(false), |set| this.resize_if(set, wanted)).map(drop)
            });
        }
        let saturated = self.new.as_ref().is_some_and(|new| {
            replicas(new) == wanted
                && annotation(new, DESIRED).parse() == Ok(wanted)
                && int(&new["status"]["availableReplicas"]) == wanted
        });
        if saturated {
            return self.with_sets(|this, old, _| {
                old.iter_mut().filter(|set| replicas(set) > 0).try_for_each(|set| this.resize_if(set, 0).map(drop))
            });
        }
        if !self.is_rolling() {
            return Ok(());
        }
        let allowed = if wanted > 0 { wanted + self.leeway().0 } else { 0 };
        let add = allowed - self.sum(replicas);
        let before = int(&self.found["status"]["replicas"]);
        let most = wanted + self.leeway().0;
        self.with_sets(|this, old, new| {
            let mut sets: Vec<&mut Value> = old.iter_mut().chain(new).filter(|set| replicas(set) > 0).collect();
            // Larger ones first; of one size, the newer if it grows and the older if it shrinks.
            sets.sort_by(|a, b| replicas(b).cmp(&replicas(a)).then_with(|| if add > 0 { by_age(b, a) } else { by_age(a, b) }));
            let mut added = 0;
            let mut sizes: Vec<i64> = Vec::new();
            for set in &sets {
                let part = proportion(set, wanted, most, before);
                let part = match add.cmp(&0) {
                    Ordering::Greater => part.min(add - added),
                    Ordering::Less => part.max(add - added),
                    Ordering::Equal => 0,
                };
                let part = if added == add { 0 } else { part };
                added += part;
                sizes.push(replicas(set) + part);
            }
            if let Some(first) = sizes.first_mut().filter(|_| add != 0) {
                *first = (*first + add - added).max(0);
            }
            sets.into_iter().zip(sizes).try_for_each(|(set, size)| this.resize(set, size).map(drop))
        })
    }

    /// A rolling update, one step (`rolloutRolling`).
    fn roll(&mut self) -> Result<(), Refusal> {
        if self.new.is_none() {
            self.sync_revision(true)?;
        }
        let room = self.new.as_ref().map_or(0, |new| self.room_for(new));
        let wanted = self.wanted();
        let grown = self.with_sets(|this, _, new| match new {
            Some(new) if replicas(new) > wanted => this.resize_if(new, wanted),
            Some(new) if replicas(new) < wanted => this.resize_if(new, room),
            _ => Ok(false),
        })?;
        if grown || self.shrink_old()? {
            return self.write_rollout_status();
        }
        if self.is_complete(&self.found["status"]) {
            self.clean_up()?;
        }
        self.write_rollout_status()
    }

    /// Takes pods from old sets as far as enough are available (`reconcileOldReplicaSets`).
    fn shrink_old(&mut self) -> Result<bool, Refusal> {
        let least = self.wanted() - self.leeway().1;
        let available = |set: &Value| int(&set["status"]["availableReplicas"]);
        let old: i64 = self.old.iter().map(replicas).sum();
        let pending = self.new.as_ref().map_or(0, |new| replicas(new) - available(new));
        let most = self.sum(replicas) - least - pending;
        if old == 0 || most <= 0 {
            return Ok(false);
        }
        let available_now =
            self.all().filter(|set| replicas(set) > 0 || self.new.as_ref() == Some(set)).map(available).sum::<i64>();
        self.with_sets(|this, old, _| {
            let mut gone = 0;
            // Pods that are of no use go first.
            for set in old.iter_mut().filter(|set| replicas(set) > 0) {
                let useless = (replicas(set) - available(set)).min(most - gone);
                if useless > 0 {
                    let size = replicas(set) - useless;
                    this.resize_if(set, size)?;
                    gone += useless;
                }
            }
            let mut left = available_now - least;
            for set in old.iter_mut().filter(|set| replicas(set) > 0) {
                let fewer = replicas(set).min(left);
                if fewer > 0 {
                    let size = replicas(set) - fewer;
                    this.resize_if(set, size)?;
                    left -= fewer;
                    gone += fewer;
                }
            }
            Ok(gone > 0)
        })
    }

    /// All old pods go before the first new one comes (`rolloutRecreate`).
    fn recreate(&mut self) -> Result<(), Refusal> {
        let shrunk = self.with_sets(|this, old, _| {
            let mut any = false;
            for set in old.iter_mut() {
                any |= this.resize_if(set, 0)?;
            }
            Ok::<_, Refusal>(any)
        })?;
        if shrunk || self.old_pods_run() {
            return self.write_rollout_status();
        }
        if self.new.is_none() {
            self.sync_revision(true)?;
        }
        let wanted = self.wanted();
        self.with_sets(|this, _, new| new.as_mut().map_or(Ok(false), |new| this.resize_if(new, wanted)))?;
        if self.is_complete(&self.found["status"]) {
            self.clean_up()?;
        }
        self.write_rollout_status()
    }

    fn old_pods_run(&self) -> bool {
        if self.old.iter().any(|set| int(&set["status"]["replicas"]) > 0) {
            return true;
        }
        let of_old = |pod: &Value| self.old.iter().any(|set| pods::controls(set, pod));
        let pods = self.desk.within(PODS, text(&self.found["metadata"]["namespace"]));
        pods.iter().any(|pod| !pods::is_over(pod) && of_old(pod))
    }

    /// Forgets the oldest of too many old sets.
    fn clean_up(&mut self) -> Result<(), Refusal> {
        let Some(limit) = self.found["spec"]["revisionHistoryLimit"].as_i64().filter(|limit| *limit != UNLIMITED) else {
            return Ok(());
        };
        let mut old: Vec<&Value> = self.old.iter().filter(|set| !pods::is_going(set)).collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        old.sort_by(|a, b| revision(a).cmp(&revision(b)).then_with(|| by_age(a, b)));
        for set in old.into_iter().take(excess) {
            let status = &set["status"];
            let unseen = int(&set["metadata"]["generation"]) > int(&status["observedGeneration"]);
            if replicas(set) == 0 && int(&status["replicas"]) == 0 && !unseen {
                self.desk.delete(REPLICA_SETS, set, None).or_else(|r| if r.reason == "NotFound" { Ok(()) } else { Err(r) })?;
            }
        }
        Ok(())
    }

    /// `calculateStatus`.
    fn status(&self) -> Value {
        let of_status = |field: &'static str| move |set: &Value| int(&set["status"][field]);
        let available = self.sum(of_status("availableReplicas"));
        let before = &self.deployment["status"];
        let mut status = json!({
            "observedGeneration": self.found["metadata"]["generation"],
            "replicas": self.sum(of_status("replicas")),
            "updatedReplicas": self.new.as_ref().map_or(0, of_status("replicas")),
            "readyReplicas": self.sum(of_status("readyReplicas")),
            "availableReplicas": available,
            "unavailableReplicas": (self.sum(replicas) - available).max(0),
            "conditions": before["conditions"],
        });
        if !before["collisionCount"].is_null() {
            status["collisionCount"] = before["collisionCount"].clone();
        }
        let condition = if available >= self.wanted() - self.leeway().1 {
            self.condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            self.condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set(&mut status, condition);
        status
    }

    fn is_complete(&self, status: &Value) -> bool {
        let wanted = self.wanted();
        ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| int(&status[*field]) == wanted)
            && int(&status["observedGeneration"]) >= int(&self.found["metadata"]["generation"])
    }

    /// `syncRolloutStatus`.
    fn write_rollout_status(&mut self) -> Result<(), Refusal> {
        let mut status = self.status();
        let present = self.progress().cloned();
        let reason = present.as_ref().map_or("", |c| text(&c["reason"]));
        let done = int(&status["replicas"]) == int(&status["updatedReplicas"]) && reason == "NewReplicaSetAvailable";
        match self.deadline() {
            None => conditions::remove(&mut status, "Progressing"),
            Some(deadline) if !done => self.judge(&mut status, present.as_ref(), deadline),
            Some(_) => {}
        }
        let failure = self.new.iter().chain(&self.old).find_map(|set| conditions::find(&set["status"], "ReplicaFailure"));
        match failure.cloned() {
            Some(mut failure) => {
                failure["lastUpdateTime"] = failure["lastTransitionTime"].clone();
                set(&mut status, failure);
            }
            None => conditions::remove(&mut status, "ReplicaFailure"),
        }
        self.write_status(status)
    }

    /// What there is to say of the progress.
    fn judge(&self, status: &mut Value, present: Option<&Value>, deadline: i64) {
        let what = match &self.new {
            Some(set) => format!("ReplicaSet {}", crate::field::quote(name(set))),
            None => format!("Deployment {}", crate::field::quote(name(self.found))),
        };
        let before = &self.found["status"];
        let field = |status: &Value, field: &str| int(&status[field]);
        let outdated = |status: &Value| field(status, "replicas") - field(status, "updatedReplicas");
        if self.is_complete(status) {
            let message = format!("{what} has successfully progressed.");
            set(status, self.progressing("True", "NewReplicaSetAvailable", &message));
        } else if field(status, "updatedReplicas") > field(before, "updatedReplicas")
            || outdated(status) < outdated(before)
            || field(status, "readyReplicas") > field(before, "readyReplicas")
            || field(status, "availableReplicas") > field(before, "availableReplicas")
        {
            let mut condition = self.progressing("True", "ReplicaSetUpdated", &format!("{what} is progressing."));
            if let Some(present) = present.filter(|c| c["status"] == "True") {
                condition["lastTransitionTime"] = present["lastTransitionTime"].clone();
            }
            conditions::replace(status, condition);
        } else if let Some(present) = present {
            let reason = text(&present["reason"]);
            let since = pods::time(&present["lastUpdateTime"]);
            let end = since.and_then(|since| since.checked_add(SignedDuration::from_secs(deadline)).ok());
            match end {
                _ if reason == "NewReplicaSetAvailable" || reason == "ProgressDeadlineExceeded" => {}
                Some(end) if end < self.desk.clock() => {
                    set(
                        status,
                        self.progressing("False", "ProgressDeadlineExceeded", &format!("{what} has timed out progressing.")),
                    );
                }
                // A second more, since times have no fractions.
                Some(end) => self.desk.wake_at(end.checked_add(SignedDuration::from_secs(1)).unwrap_or(end)),
                None => {}
            }
        }
    }

    /// The old way to go back to an earlier revision; 0 is the last one.
    fn roll_back(&mut self, to: i64) -> Result<(), Refusal> {
        self.sync_revision(true)?;
        let mut revisions: Vec<i64> = self.all().map(revision).collect();
        revisions.sort_unstable();
        let last = revisions.iter().rev().nth(1).copied().unwrap_or_default();
        let to = if to == 0 { last } else { to };
        let target = self.all().find(|set| to != 0 && revision(set) == to).cloned();
        let quoted = crate::field::quote(name(self.found));
        let differs = |set: &Value| !equal_but_hash(&set["spec"]["template"], &self.found["spec"]["template"]);
        let (warning, reason, message) = match &target {
            None if to == 0 => (true, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.".to_owned()),
            None => (true, "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to.".to_owned()),
            Some(set) if differs(set) => {
                (false, "DeploymentRollback", format!("Rolled back deployment {quoted} to revision {to}"))
            }
            Some(_) => {
                let why = format!("The rollback revision contains the same template as current deployment {quoted}");
                (true, "DeploymentRollbackTemplateUnchanged", why)
            }
        };
        self.desk.update(DEPLOYMENTS, self.found, Part::Whole, &|live| {
            if let Some(set) = target.as_ref().filter(|_| !warning) {
                live["spec"]["template"] = set["spec"]["template"].clone();
                if let Some(labels) = live["spec"]["template"]["metadata"]["labels"].as_object_mut() {
                    labels.remove(HASH);
                }
                let theirs = entries(&set["metadata"]["annotations"]).filter(|(key, _)| !OWN.contains(key));
                let theirs: Vec<_> = theirs.map(|(key, value)| (key.to_owned(), value.clone())).collect();
                if let Some(annotations) = live["metadata"]["annotations"].as_object_mut() {
                    annotations.retain(|key, _| OWN.contains(&key.as_str()));
                    annotations.extend(theirs);
                }
            }
            if let Some(annotations) = live["metadata"]["annotations"].as_object_mut() {
                annotations.remove(ROLLBACK);
            }
        })?;
        self.desk.tell(self.found, COMPONENT, warning, reason, &message);
        Ok(())
    }
}

/// `SetDeploymentCondition`: nothing changes while status and reason are the same.
fn set(status: &mut Value, mut new: Value) {
    if let Some(present) = list(&status["conditions"]).iter().find(|c| c["type"] == new["type"]) {
        if present["status"] == new["status"] && present["reason"] == new["reason"] {
            return;
        }
        if present["status"] == new["status"] {
            new["lastTransitionTime"] = present["lastTransitionTime"].clone();
        }
    }
    conditions::replace(status, new);
}

/// Whether two statuses are the same when a zero is as good as nothing.
fn same_but_zeros(a: &Value, b: &Value) -> bool {
    let plain = |status: &Value| {
        let mut status = status.clone();
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|_, value| !value.is_null() && *value != 0);
        }
        status
    };
    plain(a) == plain(b)
}

/// What a set's share of a change of scale is (`getReplicaSetFraction`).
fn proportion(set: &Value, wanted: i64, most: i64, before: i64) -> i64 {
    if wanted == 0 {
        return -replicas(set);
    }
    let most_before = annotation(set, MAX).parse().ok().filter(|n| *n > 0).unwrap_or(before);
    if most_before <= 0 {
        return 0;
    }
    // Rounded half away from zero; neither is negative.
    let size = (2 * replicas(set) * most + most_before) / (2 * most_before);
    size - replicas(set)
}
