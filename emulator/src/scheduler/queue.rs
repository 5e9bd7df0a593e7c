//! The pods that have no node yet, and when each is tried again (`pkg/scheduler/backend/queue`).
//!
//! A pod that fits nowhere is tried again when something changes that what turned it away hopes for. As in kube-scheduler of late
//! (`SchedulerPopFromBackoffQ`), that it was tried shortly before only puts it behind the others; after an error it waits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::pod::PodInfo;
use crate::kinds::view::text;

/// The first wait after a failure; it doubles with each further one.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(1);
const LAST_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// After so long a pod is tried again though nothing has changed (`podMaxInUnschedulablePodsDuration`).
const LEFTOVER: SignedDuration = SignedDuration::from_mins(5);

/// Kinds of changes in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(u16);

impl Changes {
    pub(super) const NONE: Self = Self(0);
    /// A node came or went.
    pub(super) const NODE: Self = Self(1);
    pub(super) const TAINTS: Self = Self(1 << 1);
    /// Those of nodes.
    pub(super) const LABELS: Self = Self(1 << 2);
    pub(super) const ALLOCATABLE: Self = Self(1 << 3);
    /// A pod left its node, or asks for less.
    pub(super) const POD_GONE: Self = Self(1 << 4);
    /// A pod came to a node, or has other labels.
    pub(super) const POD_PLACED: Self = Self(1 << 5);
    pub(super) const CLAIM: Self = Self(1 << 6);
    pub(super) const VOLUME: Self = Self(1 << 7);
    pub(super) const CLASS: Self = Self(1 << 8);

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Changes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Changes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// A pod in the queue.
struct Queued {
    pod: Arc<PodInfo>,
    /// Since when it is in its place: since it came, or was tried.
    since: Timestamp,
    is_ready: bool,
    /// What it hopes for.
    hopes: Changes,
    /// How often it was turned away, and how often in a row something went wrong.
    refusals: u32,
    errors: u32,
}

fn wait(times: u32) -> SignedDuration {
    FIRST_WAIT.checked_mul(1 << times.saturating_sub(1).min(10)).unwrap_or(LAST_WAIT).min(LAST_WAIT)
}

impl Queued {
    fn after(&self, wait: SignedDuration) -> Timestamp {
        self.since.checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// When it is to be tried though nothing changes.
    fn due(&self) -> Timestamp {
        self.after(if self.errors > 0 { wait(self.errors) } else { LEFTOVER })
    }

    fn backs_off(&self, now: Timestamp) -> bool {
        self.refusals > 0 && self.after(wait(self.refusals)) > now
    }
}

#[derive(Default)]
pub(super) struct Queue {
    /// By uid.
    pods: HashMap<String, Queued>,
}

impl Queue {
    /// A pod is there and wants a node; `changed` when it is another than before.
    pub(super) fn take(&mut self, pod: &Arc<PodInfo>, changed: bool, now: Timestamp) {
        let queued = self.pods.entry(pod.uid().to_owned()).or_insert_with(|| Queued {
            pod: pod.clone(),
            since: now,
            is_ready: true,
            hopes: Changes::NONE,
            refusals: 0,
            errors: 0,
        });
        queued.pod = pod.clone();
        queued.is_ready |= changed;
    }

    pub(super) fn remove(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.pods.retain(|uid, _| keep(uid));
    }

    /// Something has changed in the cluster, or time has passed.
    pub(super) fn hear(&mut self, changes: Changes, now: Timestamp) {
        for queued in self.pods.values_mut() {
            queued.is_ready |= (queued.errors == 0 && queued.hopes.meets(changes)) || queued.due() <= now;
        }
    }

    /// The pods to be tried: important ones first, and those that wait the longest.
    pub(super) fn ready(&self, now: Timestamp) -> Vec<Arc<PodInfo>> {
        let mut ready: Vec<&Queued> = self.pods.values().filter(|queued| queued.is_ready).collect();
        ready.sort_by_cached_key(|queued| {
            let metadata = &queued.pod.object["metadata"];
            let version: u64 = text(&metadata["resourceVersion"]).parse().unwrap_or_default();
            let created = text(&metadata["creationTimestamp"]).to_owned();
            (queued.backs_off(now), Reverse(queued.pod.priority), queued.since, created, version)
        });
        ready.into_iter().map(|queued| queued.pod.clone()).collect()
    }

    /// It fits nowhere until something changes.
    pub(super) fn refused(&mut self, uid: &str, hopes: Changes, now: Timestamp) {
        if let Some(queued) = self.pods.get_mut(uid) {
            queued.refusals += 1;
            queued.errors = 0;
            (queued.hopes, queued.since, queued.is_ready) = (hopes, now, false);
        }
    }

    /// Something went wrong.
    pub(super) fn failed(&mut self, pod: &Arc<PodInfo>, now: Timestamp) {
        self.take(pod, false, now);
        if let Some(queued) = self.pods.get_mut(pod.uid()) {
            queued.errors += 1;
            (queued.hopes, queued.since, queued.is_ready) = (Changes::NONE, now, false);
        }
    }

    /// When the next is to be tried though nothing changes.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.pods.values().filter(|queued| !queued.is_ready).map(Queued::due).min()
    }
}
