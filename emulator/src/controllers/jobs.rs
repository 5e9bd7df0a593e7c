//! Jobs: pods until enough of them have succeeded (`pkg/controller/job`).

mod indexes;
mod per_index;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::indexes::{INDEX, index, indexes, name_index, ranges};
use self::policy::Action;
use super::conditions;
use super::desk::{Controller, Desk, JOBS, PODS};
use super::pods::{self, Pods};
use crate::cluster;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{int, items, list, text};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[JOBS, PODS], settle };

const COMPONENT: &str = "job-controller";
/// Holds a pod until its end has been counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The wait after the first failed pod; it doubles with each further one.
const FIRST_WAIT: i64 = 10;
const LAST_WAIT: i64 = 600;

fn settle(desk: &Desk) {
    let jobs = desk.all(JOBS);
    let pods = Pods::of(desk);
    for job in &jobs {
        let manager = text(&job["spec"]["managedBy"]);
        if !manager.is_empty() && manager != "kubernetes.io/job-controller" {
            continue;
        }
        if is_finished(job) {
            expire(desk, job);
        } else if let Some(mut run) = Run::of(desk, job, &pods) {
            match run.settle() {
                Ok(()) => desk.succeeded(job),
                Err(_) => desk.failed(job),
            }
        }
    }
    release_orphans(desk, &jobs);
}

fn is_finished(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| conditions::holds(&job["status"], kind))
}

/// Deletes a finished job when its time is over (`pkg/controller/ttlafterfinished`).
fn expire(desk: &Desk, job: &Value) {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_i64().filter(|_| !pods::is_going(job)) else { return };
    let ended =
        ["Complete", "Failed"].iter().find_map(|kind| conditions::find(&job["status"], kind).filter(|c| c["status"] == "True"));
    let ended = ended.and_then(|condition| pods::time(&condition["lastTransitionTime"]));
    match ended.and_then(|at| at.checked_add(SignedDuration::from_secs(seconds)).ok()) {
        Some(end) if end <= desk.clock() => {
            let deleted = desk.delete(JOBS, job, Some("Foreground"));
            desk.heard(job, deleted);
        }
        Some(end) => desk.wake_at(end),
        None => {}
    }
}

/// Pods whose job is gone have nobody to count them.
fn release_orphans(desk: &Desk, jobs: &[Arc<Value>]) {
    let tracked: Vec<_> = desk.all(PODS).into_iter().filter(|pod| is_tracked(pod)).collect();
    if tracked.is_empty() {
        return;
    }
    let known: BTreeSet<&str> = jobs.iter().map(|job| text(&job["metadata"]["uid"])).collect();
    for pod in tracked {
        let orphan = match pods::controller_of(&pod) {
            Some(owner) => owner["kind"] == "Job" && owner["apiVersion"] == "batch/v1" && !known.contains(text(&owner["uid"])),
            None => true,
        };
        if orphan {
            untrack(desk, &pod);
        }
    }
}

fn is_tracked(pod: &Value) -> bool {
    list(&pod["metadata"]["finalizers"]).iter().any(|found| found == TRACKING)
}

fn untrack(desk: &Desk, pod: &Value) {
    let written = desk.update(PODS, pod, Part::Whole, &|live| pods::remove_finalizer(live, TRACKING));
    desk.heard(pod, written);
}

/// When a pod ended, as far as one can tell (`getFinishedTime`).
fn ended(pod: &Value) -> Option<Timestamp> {
    let containers = list(&pod["status"]["containerStatuses"]).iter();
    let last = containers.filter_map(|status| pods::time(&status["state"]["terminated"]["finishedAt"])).max();
    last.or_else(|| pods::time(&pod["metadata"]["deletionTimestamp"]))
        .or_else(|| pods::time(&pod["metadata"]["creationTimestamp"]))
}

/// How many seconds one waits after so many failures.
fn wait_after(failures: usize) -> i64 {
    FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST_WAIT)
}

/// One look at a job.
struct Run<'d> {
    desk: &'d Desk,
    job: &'d Value,
    status: Value,
    pods: Vec<Arc<Value>>,
    active: Vec<Arc<Value>>,
    terminating: usize,
    /// In its end so far.
    succeeded: i64,
    failed: i64,
    indexes: BTreeSet<i64>,
    /// The indexes that have failed for good.
    lost: BTreeSet<i64>,
}

impl<'d> Run<'d> {
    fn of(desk: &'d Desk, job: &'d Value, pods: &Pods) -> Option<Self> {
        let selector = selector::compile(&job["spec"]["selector"]).ok()?;
        let claimed = pods.claim(desk, job, &selector, &|_| true);
        let mut status = job["status"].clone();
        if status["uncountedTerminatedPods"].is_null() {
            status["uncountedTerminatedPods"] = json!({});
        }
        let active = claimed.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let terminating = claimed.iter().filter(|pod| pods::is_going(pod) && !pods::is_over(pod)).count();
        let mut run = Self {
            desk,
            job,
            status,
            pods: claimed,
            active,
            terminating,
            succeeded: 0,
            failed: 0,
            indexes: BTreeSet::new(),
            lost: BTreeSet::new(),
        };
        let ended = |holds: &dyn Fn(&Value) -> bool| run.pods.iter().filter(|pod| run.is_counted(pod) && holds(pod)).count();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let succeeded = count(ended(&|pod| pod["status"]["phase"] == "Succeeded"));
        let failed = count(ended(&|pod| run.is_failed(pod) && !run.is_ignored(pod)));
        let uncounted = &run.status["uncountedTerminatedPods"];
        let pending = |list_: &str| count(list(&uncounted[list_]).len());
        let totals = (
            int(&run.status["succeeded"]) + succeeded + pending("succeeded"),
            int(&run.status["failed"]) + failed + pending("failed"),
        );
        (run.succeeded, run.failed) = totals;
        if run.is_indexed() {
            run.indexes = indexes(text(&run.status["completedIndexes"]), run.completions().unwrap_or_default());
            let new: Vec<i64> = run
                .pods
                .iter()
                .filter(|pod| is_tracked(pod) && pod["status"]["phase"] == "Succeeded")
                .filter_map(|pod| run.index(pod))
                .collect();
            run.indexes.extend(new);
            run.succeeded = count(run.indexes.len());
        }
        if run.has_limit_per_index() {
            run.lost = run.failed_indexes();
        }
        Some(run)
    }

    fn spec(&self) -> &Value {
        &self.job["spec"]
    }

    fn is_indexed(&self) -> bool {
        self.spec()["completionMode"] == "Indexed"
    }

    fn is_suspended(&self) -> bool {
        self.spec()["suspend"] == true
    }

    fn completions(&self) -> Option<i64> {
        self.spec()["completions"].as_i64()
    }

    /// The index of a pod, if it is one of the job's.
    fn index(&self, pod: &Value) -> Option<i64> {
        index(pod).filter(|index| *index < self.completions().unwrap_or_default())
    }

    /// Whether the end of this pod is to be counted and is not yet.
    fn is_counted(&self, pod: &Value) -> bool {
        let uncounted = &self.status["uncountedTerminatedPods"];
        let uid = &pod["metadata"]["uid"];
        let noted = ["succeeded", "failed"].iter().any(|kind| list(&uncounted[*kind]).contains(uid));
        is_tracked(pod) && !noted && (!self.is_indexed() || self.index(pod).is_some())
    }

    fn is_failed(&self, pod: &Value) -> bool {
        let phase = text(&pod["status"]["phase"]);
        if phase == "Failed" {
            return true;
        }
        let only_failed = self.spec()["podReplacementPolicy"] == "Failed";
        pods::is_going(pod) && phase != "Succeeded" && (!only_failed || text(&pod["spec"]["nodeName"]).is_empty())
    }

    /// Whether the failure of this pod does not matter.
    fn is_ignored(&self, pod: &Value) -> bool {
        policy::of_failure(self.spec(), pod) == Some(Action::Ignore)
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        let now = self.desk.now();
        json!({
            "type": kind,
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        })
    }

    fn settle(&mut self) -> Result<(), Refusal> {
        if self.status["startTime"].is_null() && !self.is_suspended() {
            self.status["startTime"] = self.desk.now().into();
        }
        let mut end = self.end();
        let mut outcome = Ok(());
        if end.is_some() {
            outcome = self.delete_active(false);
            if outcome.is_err() {
                end = None;
            }
        } else {
            if !pods::is_going(self.job) {
                outcome = self.manage();
            }
            let complete = match self.completions() {
                None => self.succeeded > 0 && self.active.is_empty(),
                Some(wanted) => self.succeeded >= wanted && self.active.is_empty(),
            };
            if complete {
                let message = "Reached expected number of succeeded pods";
                end = Some(self.condition("SuccessCriteriaMet", "True", "CompletionsReached", message));
            } else if !pods::is_going(self.job) {
                self.tell_suspension();
            }
        }
        self.status["active"] = self.active.len().into();
        self.status["ready"] = self.active.iter().filter(|pod| pods::is_ready(pod)).count().into();
        self.status["terminating"] = self.terminating.into();
        self.track(end)?;
        outcome
    }

    /// Why the job has ended, if it has.
    fn end(&self) -> Option<Value> {
        if let Some(met) = conditions::find(&self.status, "SuccessCriteriaMet").filter(|c| c["status"] == "True") {
            return Some(met.clone());
        }
        if let Some(target) = conditions::find(&self.status, "FailureTarget").filter(|c| c["status"] == "True") {
            return Some(self.condition("Failed", "True", text(&target["reason"]), text(&target["message"])));
        }
        let actions = self.pods.iter().filter(|pod| self.is_failed(pod)).map(|pod| policy::of_failure(self.spec(), pod));
        let by_policy = actions.flatten().find_map(|action| match action {
            Action::FailJob(message) => Some(self.condition("FailureTarget", "True", "PodFailurePolicy", &message)),
            _ => None,
        });
        by_policy.or_else(|| self.end_by_limits()).or_else(|| self.end_by_indexes())
    }

    fn end_by_limits(&self) -> Option<Value> {
        let limit = int(&self.spec()["backoffLimit"]);
        let failed = |reason, message| Some(self.condition("FailureTarget", "True", reason, message));
        if self.failed > limit || self.restarted_too_often(limit) {
            return failed("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        let seconds = self.spec()["activeDeadlineSeconds"].as_i64().filter(|_| !self.is_suspended())?;
        let deadline = pods::time(&self.status["startTime"])?.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        if deadline <= self.desk.clock() {
            return failed("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        self.desk.wake_at(deadline);
        None
    }

    fn restarted_too_often(&self, limit: i64) -> bool {
        if self.spec()["template"]["spec"]["restartPolicy"] != "OnFailure" {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(text(&pod["status"]["phase"]), "Running" | "Pending"));
        let restarts: i64 = running
            .flat_map(|pod| list(&pod["status"]["initContainerStatuses"]).iter().chain(list(&pod["status"]["containerStatuses"])))
            .map(|status| int(&status["restartCount"]))
            .sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// Deletes the active pods; of a job that only rests, they are not counted.
    fn delete_active(&mut self, uncounted: bool) -> Result<(), Refusal> {
        for pod in std::mem::take(&mut self.active) {
            self.delete(&pod, uncounted)?;
        }
        Ok(())
    }

    fn delete(&mut self, pod: &Value, uncounted: bool) -> Result<(), Refusal> {
        if uncounted {
            untrack(self.desk, pod);
        }
        pods::delete(self.desk, self.job, COMPONENT, pod)?;
        self.terminating += 1;
        Ok(())
    }

    /// Adds or removes pods (`manageJob`).
    fn manage(&mut self) -> Result<(), Refusal> {
        if self.is_suspended() {
            return self.delete_active(true);
        }
        let active = i64::try_from(self.active.len()).unwrap_or(i64::MAX);
        let parallelism = int(&self.spec()["parallelism"]);
        let wanted = match self.completions() {
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).clamp(0, parallelism.max(0)),
        };
        let mut excess = self.take_repeated();
        let surplus = usize::try_from(active - wanted).unwrap_or_default().saturating_sub(excess.len()).min(self.active.len());
        if surplus > 0 {
            pods::sort_by_worth(&mut self.active, &[], self.desk.clock());
            excess.extend(self.active.drain(..surplus));
        }
        if !excess.is_empty() {
            return excess.iter().try_for_each(|pod| self.delete(pod, true));
        }
        let waits_for = if self.spec()["podReplacementPolicy"] == "Failed" { self.terminating } else { 0 };
        let missing = usize::try_from(wanted - active).unwrap_or_default().saturating_sub(waits_for);
        if missing == 0 || !self.desk.may_try(self.job) || (!self.has_limit_per_index() && self.backs_off()) {
            return Ok(());
        }
        self.create(missing)
    }

    /// Takes the active pods that no index or one that another has.
    fn take_repeated(&mut self) -> Vec<Arc<Value>> {
        if !self.is_indexed() {
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let (kept, repeated) =
            std::mem::take(&mut self.active).into_iter().partition(|pod| self.index(pod).is_some_and(|index| seen.insert(index)));
        self.active = kept;
        repeated
    }

    /// Whether the last failure is too fresh for another try.
    fn backs_off(&self) -> bool {
        let ends = |holds: &dyn Fn(&Value) -> bool| -> Vec<Timestamp> {
            self.pods.iter().filter(|pod| holds(pod)).filter_map(|pod| ended(pod)).collect()
        };
        let success = ends(&|pod| pod["status"]["phase"] == "Succeeded").into_iter().max();
        let mut failures = ends(&|pod| self.is_failed(pod));
        failures.retain(|at| success.is_none_or(|success| *at > success));
        let Some(last) = failures.iter().max() else { return false };
        let wait = wait_after(failures.len());
        match last.checked_add(SignedDuration::from_secs(wait)) {
            Ok(next) if next > self.desk.clock() => {
                self.desk.wake_at(next);
                true
            }
            _ => false,
        }
    }

    fn create(&mut self, mut missing: usize) -> Result<(), Refusal> {
        let mut template = self.spec()["template"].clone();
        pods::add_finalizer(&mut template, TRACKING);
        let mut free: Vec<i64> = Vec::new();
        let before = self.to_replace();
        if self.is_indexed() {
            free = self.free_indexes(missing);
            let waits: BTreeMap<i64, Timestamp> =
                before.iter().filter_map(|(index, last)| Some((*index, self.waits_until(last)?))).collect();
            free.retain(|index| !waits.contains_key(index));
            if let Some(next) = waits.values().min() {
                self.desk.wake_at(*next);
            }
            missing = free.len();
            for containers in ["containers", "initContainers"] {
                items(&mut template["spec"], containers).for_each(name_index);
            }
        }
        let mut free = free.into_iter();
        let mut batch = 1;
        while missing > 0 {
            let mut outcome = Ok(());
            for _ in 0..batch.min(missing) {
                let index = free.next();
                let mut pod = self.pod(&template, index);
                if let Some(index) = index.filter(|_| self.has_limit_per_index()) {
                    self.note_failures(&mut pod, before.get(&index));
                }
                match pods::create(self.desk, self.job, COMPONENT, pod) {
                    Ok(Some(pod)) => self.active.push(Arc::new(pod)),
                    Ok(None) => return Ok(()),
                    Err(refusal) => outcome = Err(refusal),
                }
            }
            outcome?;
            missing -= batch.min(missing);
            batch *= 2;
        }
        Ok(())
    }

    /// The first indexes that are neither done nor lost, and that nobody works on.
    fn free_indexes(&self, most: usize) -> Vec<i64> {
        let mut taken: BTreeSet<i64> = self.active.iter().filter_map(|pod| self.index(pod)).collect();
        if self.spec()["podReplacementPolicy"] == "Failed" {
            taken.extend(self.going_indexes());
        }
        let all = 0..self.completions().unwrap_or_default();
        let is_free = |index: &i64| ![&taken, &self.indexes, &self.lost].iter().any(|all| all.contains(index));
        all.filter(is_free).take(most).collect()
    }

    fn pod(&self, template: &Value, index: Option<i64>) -> Value {
        let mut pod = pods::from_template(template, self.job);
        if let Some(index) = index {
            let name = format!("{}-{index}", text(&self.job["metadata"]["name"]));
            // What is generated takes five characters more, of 63.
            let base: String = name.chars().take(57).collect();
            pod["metadata"]["generateName"] = format!("{base}-").into();
            pod["metadata"]["annotations"][INDEX] = index.to_string().into();
            pod["metadata"]["labels"][INDEX] = index.to_string().into();
            pod["spec"]["hostname"] = name.into();
        }
        pod
    }

    fn tell_suspension(&mut self) {
        let present = conditions::find(&self.status, "Suspended").map(|c| c["status"] == "True");
        let (status, reason, message) = match (self.is_suspended(), present) {
            (true, None | Some(false)) => ("True", "JobSuspended", "Job suspended"),
            (false, Some(true)) => ("False", "JobResumed", "Job resumed"),
            _ => return,
        };
        let condition = self.condition("Suspended", status, reason, message);
        conditions::set(&mut self.status, condition);
        if status == "True" {
            self.desk.tell(self.job, COMPONENT, false, "Suspended", message);
        } else {
            self.desk.tell(self.job, COMPONENT, false, "Resumed", message);
            self.status["startTime"] = self.desk.now().into();
        }
    }

    /// Counts pods that have ended and lets them go (`trackJobStatusAndRemoveFinalizers`).
    fn track(&mut self, end: Option<Value>) -> Result<(), Refusal> {
        let failing = end.as_ref().is_some_and(|end| end["type"] != "SuccessCriteriaMet");
        let mut done: Vec<Arc<Value>> = Vec::new();
        let to_replace = self.to_replace();
        let is_kept = |pod: &Value| to_replace.values().any(|kept| kept["metadata"]["uid"] == pod["metadata"]["uid"]);
        for pod in self.pods.iter().filter(|pod| is_tracked(pod)) {
            let (succeeded, failed) = (pod["status"]["phase"] == "Succeeded", self.is_failed(pod));
            if !(pods::is_going(self.job) || end.is_some() || succeeded || (failed && !is_kept(pod))) {
                continue;
            }
            done.push(pod.clone());
            if !self.is_counted(pod) || (succeeded && self.is_indexed()) {
                continue;
            }
            let kind = if succeeded {
                "succeeded"
            } else if (failed || failing) && !self.is_ignored(pod) {
                "failed"
            } else {
                continue;
            };
            match self.status["uncountedTerminatedPods"][kind].as_array_mut() {
                Some(uids) => uids.push(pod["metadata"]["uid"].clone()),
                None => self.status["uncountedTerminatedPods"][kind] = json!([pod["metadata"]["uid"]]),
            }
        }
        if self.is_indexed() {
            self.status["succeeded"] = self.indexes.len().into();
            self.status["completedIndexes"] = ranges(&self.indexes).into();
        }
        if self.has_limit_per_index() {
            self.status["failedIndexes"] = ranges(&self.lost).into();
        }
        // What was decided is written down before the pods go; that it came to pass, after.
        let end = end.map(|end| {
            let last = if end["type"] == "SuccessCriteriaMet" { "Complete" } else { "Failed" };
            if end["type"] != "Failed" && conditions::find(&self.status, text(&end["type"])).is_none() {
                conditions::replace(&mut self.status, end.clone());
            }
            self.condition(last, "True", text(&end["reason"]), text(&end["message"]))
        });
        let last = end.filter(|_| self.terminating == 0);
        if !done.is_empty() {
            self.write()?;
            for pod in &done {
                untrack(self.desk, pod);
            }
            let uncounted = std::mem::replace(&mut self.status["uncountedTerminatedPods"], json!({}));
            for kind in ["succeeded", "failed"] {
                let more = i64::try_from(list(&uncounted[kind]).len()).unwrap_or_default();
                if more > 0 {
                    self.status[kind] = (int(&self.status[kind]) + more).into();
                }
            }
        }
        if let Some(last) = &last {
            if last["type"] == "Complete" {
                self.status["completionTime"] = cluster::time(self.desk.clock()).into();
            }
            conditions::replace(&mut self.status, last.clone());
        }
        self.write()?;
        match last {
            Some(last) if last["type"] == "Complete" => self.desk.tell(self.job, COMPONENT, false, "Completed", "Job completed"),
            Some(last) => self.desk.tell(self.job, COMPONENT, true, text(&last["reason"]), text(&last["message"])),
            None => {}
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Refusal> {
        let mut status = self.status.clone();
        // These are said only when there is something to say.
        for field in ["active", "succeeded", "failed", "completedIndexes"] {
            if status[field] == 0 || status[field] == "" || status[field].is_null() {
                status.as_object_mut().map(|fields| fields.remove(field));
            }
        }
        if status == self.job["status"] {
            return Ok(());
        }
        let written = self.desk.update(JOBS, self.job, Part::Status, &|live| live["status"] = status.clone());
        written.map(drop)
    }
}
