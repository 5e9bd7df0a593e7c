//! Indexes of a Job that fail by themselves (`backoffLimitPerIndex`; `pkg/controller/job/indexed_job_utils.go`): how often each has
//! failed, its pods carry from one to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::policy::{self, Action};
use super::{Run, ended, indexes, is_tracked, wait_after};
use crate::controllers::pods;
use crate::kinds::view::{int, text};

const FAILED: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

fn count(pod: &Value, annotation: &str) -> i64 {
    text(&pod["metadata"]["annotations"][annotation]).parse().unwrap_or_default()
}

impl Run<'_> {
    pub(super) fn has_limit_per_index(&self) -> bool {
        self.is_indexed() && !self.spec()["backoffLimitPerIndex"].is_null()
    }

    /// The indexes that are not tried again.
    pub(super) fn failed_indexes(&self) -> BTreeSet<i64> {
        let mut all = indexes(text(&self.status["failedIndexes"]), self.completions().unwrap_or_default());
        let new = self.pods.iter().filter(|pod| is_tracked(pod) && self.fails_index(pod));
        all.extend(new.filter_map(|pod| self.index(pod)));
        all
    }

    fn fails_index(&self, pod: &Value) -> bool {
        if !self.is_failed(pod) {
            return false;
        }
        match policy::of_failure(self.spec(), pod) {
            Some(Action::FailIndex) => true,
            Some(Action::Ignore) => false,
            _ => count(pod, FAILED) >= int(&self.spec()["backoffLimitPerIndex"]),
        }
    }

    /// By index: the pod that failed last and is still to be replaced. It stays until the next has its counts.
    pub(super) fn to_replace(&self) -> BTreeMap<i64, Arc<Value>> {
        let mut found: BTreeMap<i64, Arc<Value>> = BTreeMap::new();
        if !self.has_limit_per_index() {
            return found;
        }
        let active: BTreeSet<i64> = self.active.iter().filter_map(|pod| self.index(pod)).collect();
        let failures = |pod: &Value| (count(pod, FAILED) + count(pod, IGNORED), ended(pod));
        for pod in self.pods.iter().filter(|pod| is_tracked(pod) && self.is_failed(pod)) {
            let Some(index) = self.index(pod) else { continue };
            let is_over = [&self.indexes, &self.lost, &active].iter().any(|all| all.contains(&index));
            if !is_over && found.get(&index).is_none_or(|other| failures(other) <= failures(pod)) {
                found.insert(index, pod.clone());
            }
        }
        found
    }

    /// Until when an index has to wait whose last pod this is.
    pub(super) fn waits_until(&self, last: &Value) -> Option<Timestamp> {
        let failures = usize::try_from(count(last, FAILED) + count(last, IGNORED)).unwrap_or_default() + 1;
        let end = ended(last)?.checked_add(SignedDuration::from_secs(wait_after(failures))).ok()?;
        (end > self.desk.clock()).then_some(end)
    }

    /// Tells a new pod how often its index has failed before.
    pub(super) fn note_failures(&self, pod: &mut Value, last: Option<&Arc<Value>>) {
        let (mut failed, mut ignored) = (0, 0);
        if let Some(last) = last {
            (failed, ignored) = (count(last, FAILED), count(last, IGNORED));
            if policy::of_failure(self.spec(), last) == Some(Action::Ignore) {
                ignored += 1;
            } else {
                failed += 1;
            }
        }
        pod["metadata"]["annotations"][FAILED] = failed.to_string().into();
        if ignored > 0 {
            pod["metadata"]["annotations"][IGNORED] = ignored.to_string().into();
        }
    }

    /// Why the indexes have ended the job, if they have.
    pub(super) fn end_by_indexes(&self) -> Option<Value> {
        if !self.is_indexed() {
            return None;
        }
        if self.has_limit_per_index() {
            let most = self.spec()["maxFailedIndexes"].as_u64().and_then(|most| usize::try_from(most).ok());
            let all = usize::try_from(self.completions().unwrap_or_default()).unwrap_or_default();
            let failed = |reason, message| Some(self.condition("FailureTarget", "True", reason, message));
            if most.is_some_and(|most| self.lost.len() > most) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return failed("MaxFailedIndexesExceeded", message);
            }
            if !self.lost.is_empty() && self.lost.len() + self.indexes.len() >= all {
                return failed("FailedIndexes", "Job has failed indexes");
            }
        }
        let message = policy::of_success(self.spec(), &self.indexes)?;
        Some(self.condition("SuccessCriteriaMet", "True", "SuccessPolicy", &message))
    }

    /// The indexes of pods that are still going.
    pub(super) fn going_indexes(&self) -> BTreeSet<i64> {
        let going = self.pods.iter().filter(|pod| pods::is_going(pod) && !pods::is_over(pod));
        going.filter_map(|pod| self.index(pod)).collect()
    }
}
