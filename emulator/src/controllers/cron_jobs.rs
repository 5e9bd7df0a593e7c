//! CronJobs: a job whenever the schedule says so (`pkg/controller/cronjob`).

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::conditions;
use super::desk::{CRON_JOBS, Controller, Desk, JOBS};
use super::pods;
use super::schedule::Schedule;
use crate::cluster::time;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[CRON_JOBS, JOBS], settle };

const COMPONENT: &str = "cronjob-controller";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So many missed times are worth a warning.
const MANY: usize = 100;

fn settle(desk: &Desk) {
    let crons = desk.all(CRON_JOBS);
    if crons.is_empty() {
        return;
    }
    let jobs = desk.all(JOBS);
    for cron in crons {
        let own: Vec<_> = jobs.iter().filter(|job| pods::controls(&cron, job)).cloned().collect();
        let mut run = Run { desk, cron: &cron, jobs: own, status: cron["status"].clone() };
        if desk.may_try(&cron) {
            match run.settle() {
                Ok(()) => desk.succeeded(&cron),
                Err(refusal) if pods::is_ending(&refusal) => {}
                Err(_) => desk.failed(&cron),
            }
        }
    }
}

/// The condition by which a job has ended.
fn ended(job: &Value) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|kind| conditions::holds(&job["status"], kind))
}

struct Run<'d> {
    desk: &'d Desk,
    cron: &'d Value,
    jobs: Vec<Arc<Value>>,
    status: Value,
}

impl Run<'_> {
    fn settle(&mut self) -> Result<(), Refusal> {
        self.forget_old();
        self.look_at_jobs();
        let outcome = self.start();
        self.write()?;
        outcome
    }

    fn write(&self) -> Result<(), Refusal> {
        let mut status = self.status.clone();
        if list(&status["active"]).is_empty() {
            status.as_object_mut().map(|fields| fields.remove("active"));
        }
        if status == self.cron["status"] {
            return Ok(());
        }
        self.desk.update(CRON_JOBS, self.cron, Part::Status, &|live| live["status"] = status.clone()).map(drop)
    }

    fn active(&self) -> &[Value] {
        list(&self.status["active"])
    }

    /// Ended jobs and those that are gone are active no more.
    fn look_at_jobs(&mut self) {
        let mut active = self.active().to_vec();
        for job in &self.jobs {
            let (uid, name) = (&job["metadata"]["uid"], text(&job["metadata"]["name"]));
            let known = active.iter().position(|one| one["uid"] == *uid);
            match (known, ended(job)) {
                (Some(at), Some(how)) => {
                    active.remove(at);
                    let message = format!("Saw completed job: {name}, condition: {how}");
                    self.desk.tell(self.cron, COMPONENT, false, "SawCompletedJob", &message);
                    let done = &job["status"]["completionTime"];
                    if how == "Complete" && text(done) > text(&self.status["lastSuccessfulTime"]) {
                        self.status["lastSuccessfulTime"] = done.clone();
                    }
                }
                (None, None) if !pods::is_going(job) => {
                    let message = format!("Saw a job that the controller did not create or forgot: {name}");
                    self.desk.tell_once(self.cron, COMPONENT, true, "UnexpectedJob", &message);
                }
                _ => {}
            }
        }
        active.retain(|one| {
            let here = self.jobs.iter().any(|job| job["metadata"]["uid"] == one["uid"]);
            if !here {
                let message = format!("Active job went missing: {}", text(&one["name"]));
                self.desk.tell(self.cron, COMPONENT, false, "MissingJob", &message);
            }
            here
        });
        self.status["active"] = active.into();
    }

    /// Deletes ended jobs beyond the limits, oldest first.
    fn forget_old(&self) {
        for (kind, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
            let Some(limit) = self.cron["spec"][limit].as_u64().and_then(|limit| usize::try_from(limit).ok()) else { continue };
            let mut done: Vec<_> = self.jobs.iter().filter(|job| ended(job) == Some(kind) && !pods::is_going(job)).collect();
            done.sort_by_key(|job| (text(&job["status"]["startTime"]).to_owned(), text(&job["metadata"]["name"]).to_owned()));
            for job in &done[..done.len().saturating_sub(limit)] {
                self.delete(job);
            }
        }
    }

    fn delete(&self, job: &Value) {
        if self.desk.delete(JOBS, job, Some("Background")).is_ok() {
            let message = format!("Deleted job {}", text(&job["metadata"]["name"]));
            self.desk.tell(self.cron, COMPONENT, false, "SuccessfulDelete", &message);
        }
    }

    /// The time that is due and was not served, if any. The controller is woken at the next one.
    fn due(&self) -> Option<Timestamp> {
        let (spec, now) = (&self.cron["spec"], self.desk.clock());
        let Some(schedule) = Schedule::parse(text(&spec["schedule"]), text(&spec["timeZone"])) else {
            let message = format!("unparseable schedule: {}", crate::field::quote(text(&spec["schedule"])));
            self.desk.tell_once(self.cron, COMPONENT, true, "UnparseableSchedule", &message);
            return None;
        };
        let since =
            pods::time(&self.status["lastScheduleTime"]).or_else(|| pods::time(&self.cron["metadata"]["creationTimestamp"]))?;
        let deadline = spec["startingDeadlineSeconds"].as_i64().map(SignedDuration::from_secs);
        let earliest = deadline.and_then(|deadline| now.checked_sub(deadline).ok()).map_or(since, |at| at.max(since));
        let (mut last, mut missed, mut next) = (None, 0, schedule.after(earliest));
        while let Some(at) = next.filter(|at| *at <= now) {
            (last, missed, next) = (Some(at), missed + 1, schedule.after(at));
        }
        if missed > MANY {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.desk.tell_once(self.cron, COMPONENT, true, "TooManyMissedTimes", message);
        }
        if let Some(next) = next {
            self.desk.wake_at(next);
        }
        last
    }

    fn start(&mut self) -> Result<(), Refusal> {
        let spec = &self.cron["spec"];
        if pods::is_going(self.cron) || spec["suspend"] == true {
            return Ok(());
        }
        let Some(due) = self.due() else { return Ok(()) };
        match text(&spec["concurrencyPolicy"]) {
            "Forbid" if !self.active().is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.desk.tell_once(self.cron, COMPONENT, false, "JobAlreadyActive", message);
                return Ok(());
            }
            "Replace" => {
                for job in self.jobs.iter().filter(|job| ended(job).is_none() && !pods::is_going(job)) {
                    self.delete(job);
                }
                self.status["active"] = json!([]);
            }
            _ => {}
        }
        let created = self.create(due);
        match created {
            Ok(job) => {
                let metadata = &job["metadata"];
                self.desk.tell(
                    self.cron,
                    COMPONENT,
                    false,
                    "SuccessfulCreate",
                    &format!("Created job {}", text(&metadata["name"])),
                );
                let reference = json!({
                    "kind": "Job",
                    "apiVersion": "batch/v1",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                });
                match self.status["active"].as_array_mut() {
                    Some(active) => active.push(reference),
                    None => self.status["active"] = json!([reference]),
                }
            }
            // It was made in an earlier life.
            Err(refusal) if refusal.reason == "AlreadyExists" => {}
            Err(refusal) => {
                if !pods::is_ending(&refusal) {
                    self.desk.tell(
                        self.cron,
                        COMPONENT,
                        true,
                        "FailedCreate",
                        &format!("Error creating job: {}", refusal.message),
                    );
                }
                return Err(refusal);
            }
        }
        self.status["lastScheduleTime"] = time(due).into();
        Ok(())
    }

    fn create(&self, due: Timestamp) -> Result<Value, Refusal> {
        let (metadata, template) = (&self.cron["metadata"], &self.cron["spec"]["jobTemplate"]);
        let mut job = json!({
            "kind": "Job",
            "apiVersion": "batch/v1",
            "metadata": {
                "name": format!("{}-{}", text(&metadata["name"]), due.as_second() / 60),
                "ownerReferences": [pods::reference(self.cron)],
            },
            "spec": template["spec"],
        });
        for field in ["labels", "annotations"] {
            if template["metadata"][field].is_object() {
                job["metadata"][field] = template["metadata"][field].clone();
            }
        }
        let zone = text(&self.cron["spec"]["timeZone"]);
        let local = jiff::tz::TimeZone::get(zone).ok().filter(|_| !zone.is_empty() && zone != "UTC");
        let at = local.map_or_else(|| time(due), |zone| due.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
        job["metadata"]["annotations"][SCHEDULED] = at.into();
        self.desk.create(JOBS, text(&metadata["namespace"]), job)
    }
}
