//! The scheduler: finds a node for each pod that has none (`pkg/scheduler` of Kubernetes, as it runs in K3s).
//!
//! It keeps what it knows of pods from one look to the next, takes stock of the nodes once a look, and follows its own decisions in
//! that stock. A look decides on a number of pods at most, so that others get their turn.

mod binding;
pub(crate) mod daemons;
mod filters;
mod node;
mod pod;
mod preemption;
mod queue;
mod resources;
mod score;
#[cfg(test)]
mod tests;
mod verdict;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use self::filters::nodes::tolerates;

use self::binding::{Progress, Waiting};
use self::filters::{Cycle, Stock};
use self::node::{NodeInfo, Snapshot};
use self::pod::PodInfo;
use self::preemption::Outcome;
use self::queue::{Changes, Queue};
use self::verdict::{Plugin, Rejection, Verdicts, fit_error};
use crate::controllers::conditions;
use crate::controllers::desk::{CLAIMS, Controller, Desk, NODES, PODS, Resource, VOLUMES};
use crate::controllers::series::Report;
use crate::controllers::volumes::CLASSES;
use crate::kinds::meta::Part;
use crate::kinds::view::{at, flag, put, text};
use crate::status::Refusal;

const NAMESPACES: Resource = ("", "namespaces");

pub(crate) const CONTROLLER: Controller = Controller { watches: &[PODS, NODES, CLAIMS, VOLUMES, CLASSES], settle };

const NAME: &str = "default-scheduler";
/// So many pods are decided on in one look.
const BATCH: usize = 100;
/// Notes are no longer than this.
const NOTE: usize = 1024;

/// What the scheduler knows from looks before.
#[derive(Default)]
pub(crate) struct Memory {
    /// By uid.
    pods: HashMap<String, Arc<PodInfo>>,
    /// By name.
    nodes: HashMap<String, Arc<Value>>,
    /// When claims, volumes and classes changed last.
    revisions: [u64; 3],
    queue: Queue,
    waiting: Vec<Waiting>,
}

fn settle(desk: &Desk) {
    let memory = &mut *desk.scheduler.borrow_mut();
    let stock = Stock { desk, assumed: RefCell::default() };
    let changes = memory.changes(desk);
    let mut snapshot = memory.snapshot(desk);
    memory.queue.hear(changes, desk.clock());
    memory.follow_volumes(&stock, &mut snapshot);
    let ready = memory.queue.ready(desk.clock());
    for pod in ready.iter().take(BATCH) {
        memory.schedule(&stock, &mut snapshot, pod);
    }
    if ready.len() > BATCH {
        desk.wake_at(desk.clock());
    }
    let times = memory.queue.next().into_iter().chain(memory.waiting.iter().map(|waiting| waiting.until));
    times.for_each(|at| desk.wake_at(at));
    desk.finish_series();
}

/// What it means to pods that a node is another than before (`NodeSchedulingPropertiesChange`).
fn changes_of_node(before: &Value, now: &Value) -> Changes {
    let differs = |path: &[&str]| at(before, path) != at(now, path);
    let reopened = flag(&before["spec"]["unschedulable"]) && !flag(&now["spec"]["unschedulable"]);
    let mut changes = Changes::NONE;
    for (differs, change) in [
        (reopened || differs(&["spec", "taints"]), Changes::TAINTS),
        (differs(&["metadata", "labels"]), Changes::LABELS),
        (differs(&["status", "allocatable"]), Changes::ALLOCATABLE),
    ] {
        if differs {
            changes |= change;
        }
    }
    changes
}

impl Memory {
    /// Learns what is new.
    fn changes(&mut self, desk: &Desk) -> Changes {
        let mut changes = Changes::NONE;
        let (now, mut before) = (desk.clock(), std::mem::take(&mut self.pods));
        for object in desk.all(PODS) {
            let known = before.remove(text(&object["metadata"]["uid"]));
            let info = match &known {
                Some(known) if Arc::ptr_eq(&known.object, &object) => known.clone(),
                _ => Arc::new(PodInfo::of(object)),
            };
            if let Some(known) = &known {
                changes |= changes_of_pod(known, &info);
            } else if info.is_placed() {
                changes |= Changes::POD_PLACED;
            }
            let is_waiting = self.waiting.iter().any(|waiting| waiting.pod.uid() == info.uid());
            if info.is_wanting(NAME) && !is_waiting {
                self.queue.take(&info, known.is_some_and(|known| is_another(&known, &info)), now);
            } else {
                self.queue.remove(info.uid());
            }
            self.pods.insert(info.uid().to_owned(), info);
        }
        if before.values().any(|gone| gone.is_placed() || !gone.nominated().is_empty()) {
            changes |= Changes::POD_GONE;
        }
        self.queue.retain(|uid| self.pods.contains_key(uid));
        let revisions = [CLAIMS, VOLUMES, CLASSES].map(|resource| desk.changed_at(resource));
        for (at, change) in [Changes::CLAIM, Changes::VOLUME, Changes::CLASS].into_iter().enumerate() {
            if revisions[at] != self.revisions[at] {
                changes |= change;
            }
        }
        self.revisions = revisions;
        changes | self.changes_of_nodes(desk)
    }

    fn changes_of_nodes(&mut self, desk: &Desk) -> Changes {
        let nodes = desk.all(NODES).into_iter().map(|node| (text(&node["metadata"]["name"]).to_owned(), node));
        let nodes: HashMap<String, Arc<Value>> = nodes.collect();
        let before = std::mem::replace(&mut self.nodes, nodes);
        let mut changes = if before.keys().all(|name| self.nodes.contains_key(name)) { Changes::NONE } else { Changes::NODE };
        for (name, node) in &self.nodes {
            match before.get(name) {
                None => changes |= Changes::NODE,
                Some(before) if Arc::ptr_eq(before, node) => {}
                Some(before) => changes |= changes_of_node(before, node),
            }
        }
        changes
    }

    /// Takes stock.
    fn snapshot(&self, desk: &Desk) -> Snapshot {
        let mut snapshot = Snapshot { nodes: desk.all(NODES).into_iter().map(NodeInfo::of).collect(), ..Snapshot::default() };
        let namespaces = desk.all(NAMESPACES).into_iter();
        snapshot.namespaces = namespaces.map(|ns| (text(&ns["metadata"]["name"]).to_owned(), ns)).collect();
        for pod in self.pods.values() {
            if pod.is_placed() {
                snapshot.place(pod.clone(), pod.node());
            } else if pod.node().is_empty() && !pod.nominated().is_empty() {
                snapshot.nominate(pod, pod.nominated());
            }
        }
        for waiting in self.waiting.iter().filter(|waiting| self.pods.contains_key(waiting.pod.uid())) {
            snapshot.place(waiting.pod.clone(), &waiting.node);
        }
        snapshot
    }

    /// Binds pods whose volumes have come.
    fn follow_volumes(&mut self, stock: &Stock<'_>, snapshot: &mut Snapshot) {
        let now = stock.desk.clock();
        for waiting in std::mem::take(&mut self.waiting) {
            let pod = self.pods.get(waiting.pod.uid()).cloned();
            match waiting.progress(stock, snapshot, pod.is_some(), now) {
                Progress::Underway => self.waiting.push(waiting),
                Progress::Done => self.bind(stock.desk, snapshot, &pod.unwrap_or(waiting.pod), &waiting.node),
                Progress::Failed(why) => {
                    let why = format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}");
                    self.give_back(stock.desk, snapshot, &pod.unwrap_or(waiting.pod), &waiting.node, &why);
                }
            }
        }
    }

    /// Finds a node for a pod (`schedulingCycle`).
    fn schedule(&mut self, stock: &Stock<'_>, snapshot: &mut Snapshot, pod: &Arc<PodInfo>) {
        let desk = stock.desk;
        if pod.is_going() {
            let note = format!("skip schedule deleting pod: {}/{}", pod.namespace(), pod.name());
            report(desk, &pod.object, None, true, "FailedScheduling", "Scheduling", &note);
            return self.queue.refused(pod.uid(), Changes::NONE, desk.clock());
        }
        if snapshot.nodes.is_empty() {
            let why = "no nodes available to schedule pods";
            return self.refuse(desk, snapshot, pod, why, Some(""), Changes::NODE);
        }
        let (cycle, counts) = match Cycle::new(pod, snapshot, stock) {
            Ok(cycle) => cycle,
            Err(rejection) => return self.refuse_everywhere(desk, snapshot, pod, &rejection),
        };
        let (feasible, verdicts) = match find(&cycle, &counts, snapshot) {
            Ok(found) => found,
            Err(rejection) => return self.fail(desk, pod, &rejection.failure(false).unwrap_or_default()),
        };
        if let Some(node) = score::best(desk, &cycle, snapshot, &feasible) {
            let (choice, name) = (cycle.choose_volumes(node), node.name().to_owned());
            if choice.is_empty() {
                return self.assign(desk, snapshot, pod, &name);
            }
            let begun = Waiting::begin(stock, pod, node, &choice, desk.clock());
            return self.wait_for_volumes(desk, snapshot, pod, &name, begun);
        }
        let (outcome, yielding) = preemption::make_room(desk, &cycle, &counts, snapshot, &verdicts);
        drop(cycle);
        for other in yielding {
            clear_nomination(desk, &other);
            snapshot.nominate(&other, "");
        }
        let hopes = verdicts.by_node.values().fold(Changes::NODE, |hopes, rejection| hopes | rejection.plugin.hopes_for());
        let (after, nominated) = match outcome {
            Outcome::Room(node) => (String::new(), Some(node)),
            Outcome::Hopeless(why) => (format!("no new claims to deallocate, preemption: {why}"), Some(String::new())),
            Outcome::NotNow(why) => (format!("no new claims to deallocate, preemption: {why}"), None),
        };
        let message = fit_error(snapshot.nodes.len(), None, &verdicts, &after);
        self.refuse(desk, snapshot, pod, &message, nominated.as_deref(), hopes);
    }

    /// A pod was turned away before nodes were asked.
    fn refuse_everywhere(&mut self, desk: &Desk, snapshot: &mut Snapshot, pod: &Arc<PodInfo>, rejection: &Rejection) {
        if let Some(why) = rejection.failure(true) {
            return self.fail(desk, pod, &why);
        }
        // The plugin for devices misses what it would have been told had it been asked, and says no more than that.
        let after = if rejection.plugin == Plugin::DynamicResources { "" } else { "not found" };
        let message = fit_error(snapshot.nodes.len(), Some(&rejection.message()), &Verdicts::default(), after);
        self.refuse(desk, snapshot, pod, &message, None, rejection.plugin.hopes_for());
    }

    /// Gives a pod its node.
    fn assign(&mut self, desk: &Desk, snapshot: &mut Snapshot, pod: &Arc<PodInfo>, node: &str) {
        snapshot.place(pod.clone(), node);
        self.bind(desk, snapshot, pod, node);
    }

    fn bind(&mut self, desk: &Desk, snapshot: &mut Snapshot, pod: &Arc<PodInfo>, node: &str) {
        match desk.bind(&pod.object, node) {
            Ok(_) => {
                self.queue.remove(pod.uid());
                let note = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
                report(desk, &pod.object, None, false, "Scheduled", "Binding", &note);
            }
            Err(refusal) => {
                let why = format!("running Bind plugin \"DefaultBinder\": {}", refusal.message);
                self.give_back(desk, snapshot, pod, node, &why);
            }
        }
    }

    /// A pod has a node, where it waits for its volumes.
    fn wait_for_volumes(
        &mut self,
        desk: &Desk,
        snapshot: &mut Snapshot,
        pod: &Arc<PodInfo>,
        node: &str,
        begun: Result<Waiting, Refusal>,
    ) {
        match begun {
            Ok(waiting) => {
                snapshot.place(pod.clone(), node);
                self.queue.remove(pod.uid());
                self.waiting.push(waiting);
            }
            Err(refusal) => {
                let why = format!("running PreBind plugin \"VolumeBinding\": {}", refusal.message);
                self.fail(desk, pod, &why);
            }
        }
    }

    /// A pod could not be given the node after all.
    fn give_back(&mut self, desk: &Desk, snapshot: &mut Snapshot, pod: &Arc<PodInfo>, node: &str, why: &str) {
        if let Some(at) = snapshot.position(node) {
            snapshot.nodes[at].remove(pod.uid());
        }
        self.queue.hear(Changes::POD_GONE, desk.clock());
        self.fail(desk, pod, why);
    }

    /// Something went wrong: the pod is tried again soon.
    fn fail(&mut self, desk: &Desk, pod: &Arc<PodInfo>, why: &str) {
        if self.pods.contains_key(pod.uid()) {
            self.queue.failed(pod, desk.clock());
        }
        tell_of_failure(desk, pod, "SchedulerError", why, Some(""));
    }

    /// The pod fits nowhere: it is tried again when there is hope.
    fn refuse(
        &mut self,
        desk: &Desk,
        snapshot: &mut Snapshot,
        pod: &Arc<PodInfo>,
        why: &str,
        nominated: Option<&str>,
        hopes: Changes,
    ) {
        self.queue.refused(pod.uid(), hopes, desk.clock());
        if let Some(node) = nominated {
            snapshot.nominate(pod, node);
        }
        tell_of_failure(desk, pod, "Unschedulable", why, nominated);
    }
}

/// What it means to other pods that a pod is another than before.
fn changes_of_pod(before: &PodInfo, now: &PodInfo) -> Changes {
    match (before.is_placed(), now.is_placed()) {
        (true, false) => Changes::POD_GONE,
        (false, true) => Changes::POD_PLACED,
        (true, true) if before.requests != now.requests => Changes::POD_GONE,
        (true, true) if before.labels() != now.labels() => Changes::POD_PLACED,
        _ => Changes::NONE,
    }
}

/// Whether what a pod asks for has changed (`isPodUpdated`).
fn is_another(before: &PodInfo, now: &PodInfo) -> bool {
    let of = |pod: &PodInfo| {
        let metadata = &pod.object["metadata"];
        [&pod.object["spec"], &metadata["labels"], &metadata["annotations"], &metadata["deletionTimestamp"]].map(Value::clone)
    };
    !Arc::ptr_eq(&before.object, &now.object) && of(before) != of(now)
}

/// The nodes on which a pod may run, and what the others say.
fn find<'s>(
    cycle: &Cycle<'_>,
    counts: &filters::Counts,
    snapshot: &'s Snapshot,
) -> Result<(Vec<&'s NodeInfo>, Verdicts), Rejection> {
    // Where room was made for it, it is tried first.
    if let Some(node) = snapshot.node(cycle.pod.nominated())
        && cycle.check_beside(counts, node, snapshot).is_ok()
    {
        return Ok((vec![node], Verdicts::default()));
    }
    let (mut feasible, mut verdicts) = (Vec::new(), Verdicts::default());
    let named = |node: &&NodeInfo| cycle.named.as_ref().is_none_or(|names| names.contains(node.name()));
    for node in snapshot.nodes.iter().filter(named) {
        match cycle.check_beside(counts, node, snapshot) {
            Ok(()) => feasible.push(node),
            Err(rejection) if rejection.kind == verdict::Kind::Error => return Err(rejection),
            Err(rejection) => {
                verdicts.by_node.insert(node.name().to_owned(), rejection);
            }
        }
    }
    if cycle.named.is_some() {
        verdicts.elsewhere = Some("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned());
    }
    Ok((feasible, verdicts))
}

/// An event and a condition say why a pod has no node; `nominated` is the node that it waits for, if that changes.
fn tell_of_failure(desk: &Desk, pod: &PodInfo, reason: &str, why: &str, nominated: Option<&str>) {
    let note = if why.len() > NOTE { format!("{} ...", &why[..why.floor_char_boundary(NOTE - 4)]) } else { why.to_owned() };
    report(desk, &pod.object, None, true, "FailedScheduling", "Scheduling", &note);
    let has = conditions::find(&pod.object["status"], "PodScheduled");
    let says_so = has.is_some_and(|has| has["status"] == "False" && has["reason"] == reason && has["message"] == why);
    if says_so && nominated.is_none_or(|node| node == pod.nominated()) {
        return;
    }
    let written = desk.update(PODS, &pod.object, Part::Status, &|live| {
        let condition = json!({
            "type": "PodScheduled",
            "observedGeneration": live["metadata"]["generation"],
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": desk.now(),
            "reason": reason,
            "message": why,
        });
        conditions::set(&mut live["status"], condition);
        if let Some(node) = nominated {
            put(&mut live["status"], "nominatedNodeName", if node.is_empty() { Value::Null } else { node.into() });
        }
    });
    desk.heard(&pod.object, written);
}

/// A pod waits for no node any more.
fn clear_nomination(desk: &Desk, pod: &PodInfo) {
    let written =
        desk.update(PODS, &pod.object, Part::Status, &|live| put(&mut live["status"], "nominatedNodeName", Value::Null));
    desk.heard(&pod.object, written);
}

/// Tells of something that the scheduler did.
fn report(desk: &Desk, about: &Value, related: Option<&Value>, warning: bool, reason: &str, action: &str, note: &str) {
    let instance = format!("{NAME}-{}", host(desk));
    desk.report(&Report { about, related, controller: NAME, instance: &instance, warning, reason, action, note });
}

/// The node that K3s's server, which the scheduler is a part of, runs on.
fn host(desk: &Desk) -> String {
    let is_server = |node: &&Arc<Value>| node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] == "true";
    let nodes = desk.all(NODES);
    nodes.iter().find(is_server).map_or("localhost", |node| text(&node["metadata"]["name"])).to_owned()
}
