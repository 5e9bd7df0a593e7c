//! Hands the pods of a node to their workers, as they change in the store.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Context;
use super::client::PODS;
use super::pod::{Pod, Wanted};
use super::worker;
use crate::kinds::view::text;
use crate::registry::Served;
use crate::store::{Change, Range, Stored};

/// Runs the pods of a node until it is stopped.
pub(super) async fn run(context: Arc<Context>, mut silent: watch::Receiver<bool>) {
    let Some(served) = context.client.cluster.registry().any_version(PODS.0, PODS.1) else { return };
    let mut dispatcher = Dispatcher::new(context, served);
    let store = &dispatcher.context.client.cluster.clone().store;
    loop {
        let seen = dispatcher.list();
        let Ok(mut changes) = store.watch(&dispatcher.served.table, seen) else { continue };
        loop {
            // A node that is silent does not listen either.
            if silent.wait_for(|silent| !silent).await.is_err() {
                return;
            }
            let Ok(events) = store.since(&mut changes) else { break };
            for event in &events {
                dispatcher.take(&event.object, event.change == Change::Deleted);
            }
            while dispatcher.workers.try_join_next().is_some() {}
            if !changes.changed().await {
                return;
            }
        }
    }
}

pub(super) struct Dispatcher {
    context: Arc<Context>,
    served: Arc<Served>,
    /// What the JSON of a pod of this node contains; one of another may, too.
    needle: String,
    workers: JoinSet<()>,
}

impl Dispatcher {
    pub(super) fn new(context: Arc<Context>, served: Arc<Served>) -> Self {
        Self { needle: format!("\"nodeName\":\"{}\"", context.node.name()), context, served, workers: JoinSet::new() }
    }

    /// Looks at all there are. Returns the revision as of which that was.
    pub(super) fn list(&mut self) -> u64 {
        let store = &self.context.client.cluster.store;
        let (seen, all) = store.list(&self.served.table, &Range::default(), None).unwrap_or_default();
        let gone: Vec<Arc<Pod>> = {
            let pods = self.context.pods();
            let is_there = |pod: &Pod| all.iter().any(|stored| is_of(stored, pod));
            pods.all().filter(|pod| !is_there(pod)).cloned().collect()
        };
        for pod in gone {
            self.remove(&pod.uid);
        }
        for stored in &all {
            self.take(stored, false);
        }
        seen
    }

    fn take(&mut self, stored: &Stored, is_deleted: bool) {
        let is_ours = memchr(&stored.json, self.needle.as_bytes());
        if !is_ours || self.context.pod(&stored.namespace, &stored.name).is_some_and(|pod| pod.wrote(stored.revision)) {
            return;
        }
        let mut object = self.served.live(stored);
        if text(&object["spec"]["nodeName"]) != self.context.node.name() {
            return;
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let uid = text(&object["metadata"]["uid"]).to_owned();
        if is_deleted {
            return self.remove(&uid);
        }
        let object = Arc::new(object);
        let known = self.context.pods().get(&uid).cloned();
        match known {
            Some(pod) => self.update(&pod, object),
            None => self.add(object),
        }
    }

    fn add(&mut self, object: Arc<Value>) {
        let pod = Arc::new(Pod::new(object));
        self.context.pods().add(pod.clone());
        self.workers.spawn(run_worker(self.context.clone(), pod));
    }

    fn update(&self, pod: &Arc<Pod>, object: Arc<Value>) {
        let before = pod.wanted.borrow().object.clone();
        let is_news = before["spec"] != object["spec"]
            || ["labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds"]
                .iter()
                .any(|key| before["metadata"][*key] != object["metadata"][*key])
            || !text(&object["spec"]["readinessGates"][0]["conditionType"]).is_empty();
        if is_news {
            pod.wanted.send_modify(|wanted| wanted.object = object);
            return;
        }
        // Only its status has changed, by somebody else: the node's word counts.
        pod.wanted.send_if_modified(|wanted| {
            wanted.object = object;
            false
        });
        self.context.reports.again(pod);
    }

    fn remove(&self, uid: &str) {
        let pod = self.context.pods().get(uid).cloned();
        if let Some(pod) = pod {
            pod.wanted.send_modify(|wanted: &mut Wanted| wanted.is_removed = true);
        }
    }
}

async fn run_worker(context: Arc<Context>, pod: Arc<Pod>) {
    worker::run(context.clone(), pod.clone()).await;
    context.pods().remove(&pod);
}

/// Whether a pod is what is stored, and not one before it of the same name.
fn is_of(stored: &Stored, pod: &Pod) -> bool {
    stored.namespace == pod.namespace
        && stored.name == pod.name
        && memchr(&stored.json, format!("\"uid\":\"{}\"", pod.uid).as_bytes())
}

/// Whether some bytes are among others.
fn memchr(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
