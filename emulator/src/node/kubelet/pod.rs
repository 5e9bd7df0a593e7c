//! A pod of this node, as its worker and who asks about it share it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::admission::Requests;
use super::attempt::Attempt;
use super::sandbox::Sandbox;
use super::status::{Attempts, Seen};
use crate::kinds::view::{list, text};

/// What is wanted of a pod.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The newest of it.
    pub(super) object: Arc<Value>,
    /// It is gone from the API.
    pub(super) is_removed: bool,
    /// The node wants it gone.
    pub(super) evicted: Option<Arc<Evicted>>,
}

/// Why a node does not want a pod any more.
#[derive(Debug)]
pub(super) struct Evicted {
    pub(super) message: String,
    /// Whether that is not the pod's own fault.
    pub(super) disrupts: bool,
}

impl Wanted {
    /// Whether it has to end.
    pub(super) fn is_ending(&self) -> bool {
        self.is_removed || self.evicted.is_some() || !self.object["metadata"]["deletionTimestamp"].is_null()
    }
}

/// What runs of it.
#[derive(Default)]
pub(super) struct Runtime {
    pub(super) sandbox: Option<Sandbox>,
    pub(super) had_sandbox: bool,
    /// Whether one of its containers has ever begun to run, be it before this kubelet did.
    pub(super) has_begun: bool,
    /// Its addresses, also when the sandbox is gone.
    pub(super) ips: Vec<String>,
    /// By container, the newest first.
    pub(super) attempts: BTreeMap<String, Vec<Arc<Attempt>>>,
}

/// Attempts at a container that are remembered: the last, and the one before.
const REMEMBERED: usize = 2;

impl Runtime {
    /// Nothing of a pod runs yet, or not any more.
    fn of(status: &Value) -> Self {
        let has_begun = has_begun(status);
        Self { had_sandbox: has_begun, has_begun, ..Self::default() }
    }

    pub(super) fn add(&mut self, attempt: Arc<Attempt>) {
        self.has_begun = true;
        let attempts = self.attempts.entry(attempt.recipe.name.clone()).or_default();
        attempts.insert(0, attempt);
        attempts.truncate(REMEMBERED);
    }

    pub(super) fn newest(&self, container: &str) -> Option<&Arc<Attempt>> {
        self.attempts.get(container)?.first()
    }

    pub(super) fn running(&self) -> Vec<Arc<Attempt>> {
        self.attempts.values().filter_map(|attempts| attempts.first()).filter(|attempt| attempt.is_running()).cloned().collect()
    }

    pub(super) fn seen(&self) -> Attempts {
        let of = |attempts: &Vec<Arc<Attempt>>| attempts.iter().map(|attempt| Seen::of(attempt)).collect();
        self.attempts.iter().map(|(name, attempts)| (name.clone(), of(attempts))).collect()
    }
}

/// The status that the API is to have.
#[derive(Debug, Default)]
pub(super) struct Cached {
    pub(super) status: Value,
    /// Nothing of the pod is left: it may be removed from the API.
    pub(super) is_finished: bool,
}

pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) wanted: watch::Sender<Wanted>,
    /// Something happened to one of its containers.
    pub(super) wake: Notify,
    runtime: Mutex<Runtime>,
    cached: Mutex<Cached>,
    /// Whether its status waits to be written.
    pub(super) is_queued: AtomicBool,
    pub(super) requests: Requests,
    /// Whether this node has taken it, and it has not ended.
    pub(super) is_admitted: AtomicBool,
    /// The revision that came of writing its status last.
    written: AtomicU64,
}

impl Pod {
    pub(super) fn new(object: Arc<Value>) -> Self {
        let metadata = &object["metadata"];
        let (uid, namespace, name) = (text(&metadata["uid"]), text(&metadata["namespace"]), text(&metadata["name"]));
        Self {
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            wake: Notify::new(),
            runtime: Mutex::new(Runtime::of(&object["status"])),
            cached: Mutex::new(Cached { status: object["status"].clone(), is_finished: false }),
            is_queued: AtomicBool::new(false),
            requests: Requests::of(&object),
            is_admitted: AtomicBool::new(false),
            written: AtomicU64::new(0),
            wanted: watch::Sender::new(Wanted { object, is_removed: false, evicted: None }),
        }
    }

    /// The newest of it.
    pub(super) fn object(&self) -> Arc<Value> {
        self.wanted.borrow().object.clone()
    }

    pub(super) fn runtime(&self) -> MutexGuard<'_, Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cached(&self) -> MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Value {
        self.cached().status.clone()
    }

    /// Takes note of a revision that is nothing but this pod's new status.
    pub(super) fn has_written(&self, revision: u64) {
        self.written.store(revision, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, revision: u64) -> bool {
        self.written.load(Ordering::Relaxed) == revision
    }

    /// As the kubelet names it where a person reads it (`format.Pod`).
    pub(super) fn title(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    /// How events name one of its containers.
    pub(super) fn part(&self, container: &str) -> String {
        super::events::part_of(&self.object(), container)
    }
}

/// The pods of a node.
#[derive(Default)]
pub(super) struct Pods {
    by_uid: BTreeMap<String, Arc<Pod>>,
    /// By namespace and name: the uid of the newest.
    names: BTreeMap<(String, String), String>,
}

impl Pods {
    pub(super) fn add(&mut self, pod: Arc<Pod>) {
        self.names.insert((pod.namespace.clone(), pod.name.clone()), pod.uid.clone());
        self.by_uid.insert(pod.uid.clone(), pod);
    }

    pub(super) fn remove(&mut self, pod: &Pod) {
        self.by_uid.remove(&pod.uid);
        let name = (pod.namespace.clone(), pod.name.clone());
        if self.names.get(&name) == Some(&pod.uid) {
            self.names.remove(&name);
        }
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.by_uid.get(uid)
    }

    pub(super) fn named(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.get(self.names.get(&(namespace.to_owned(), name.to_owned()))?)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_uid.values()
    }
}

/// Whether a container of a pod has begun to run, as its status says.
fn has_begun(status: &Value) -> bool {
    let all = ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|key| list(&status[key]));
    all.into_iter().any(|one| ["running", "terminated"].iter().any(|state| !one["state"][*state].is_null()))
}

/// A container of a pod's spec, of whichever kind.
pub(super) fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let all = ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(|key| list(&pod["spec"][key]));
    all.into_iter().find(|container| text(&container["name"]) == name)
}
