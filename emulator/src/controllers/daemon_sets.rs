//! DaemonSets: a pod on every node that suits it (`pkg/controller/daemon`).

mod rollout;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::conditions;
use super::desk::{Controller, DAEMON_SETS, Desk, NODES, PODS, REVISIONS};
use super::hash;
use super::pods::{self, Pods};
use super::revisions;
use crate::kinds::selector;
use crate::kinds::view::{int, list, text};
use crate::scheduler::daemons::{Place, place};
use crate::status::Refusal;

pub(super) const CONTROLLER: Controller = Controller { watches: &[DAEMON_SETS, REVISIONS, PODS, NODES], settle };

const COMPONENT: &str = "daemonset-controller";
const HASH: &str = "controller-revision-hash";
/// Pods made or deleted in one go (`BurstReplicas`).
const BURST: usize = 250;

fn settle(desk: &Desk) {
    let sets = desk.all(DAEMON_SETS);
    if sets.is_empty() {
        return;
    }
    let (nodes, pods) = (desk.all(NODES), Pods::of(desk));
    for set in sets {
        let Ok(selector) = selector::compile(&set["spec"]["selector"]) else { continue };
        if selector.is_everything() || pods::is_going(&set) || !desk.may_try(&set) {
            continue;
        }
        let known = revisions::of(desk, &set);
        let hash = hash::of_template(&set["spec"]["template"], set["status"]["collisionCount"].as_i64());
        let outcome = revisions::current(desk, &set, &known, HASH, &hash, true).and_then(|current| {
            let claimed = pods.claim(desk, &set, &selector, &|_| true);
            let hash = text(&current["metadata"]["labels"][HASH]).to_owned();
            let mut look = Look::of(desk, &set, hash, &nodes, claimed);
            let outcome = look.act();
            desk.set_whole_status(DAEMON_SETS, &set, &look.status());
            outcome?;
            let used = look.hashes();
            revisions::clean_up(desk, &set, &known, &|revision| {
                revision["metadata"]["name"] == current["metadata"]["name"]
                    || used.iter().any(|hash| revision["metadata"]["labels"][HASH] == hash.as_str())
            });
            Ok(())
        });
        match outcome {
            Err(refusal) if !pods::is_ending(&refusal) => desk.failed(&set),
            _ => desk.succeeded(&set),
        }
    }
}

/// One look at a set.
struct Look<'d> {
    desk: &'d Desk,
    set: &'d Value,
    /// That of the present template.
    hash: String,
    /// What each node is to the set, by name.
    places: BTreeMap<String, Place>,
    /// The set's pods by the node that they are on, or meant for; oldest first.
    on: HashMap<String, Vec<Arc<Value>>>,
}

/// The node that a pod is on, or meant for.
fn node_of(pod: &Value) -> &str {
    let bound = text(&pod["spec"]["nodeName"]);
    if !bound.is_empty() {
        return bound;
    }
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let fields = list(terms).iter().flat_map(|term| list(&term["matchFields"]));
    let mut names = fields.filter(|field| field["key"] == "metadata.name").flat_map(|field| list(&field["values"]));
    names.next().map(text).unwrap_or_default()
}

/// What is to be done.
#[derive(Default)]
struct Plan {
    /// The nodes that lack a pod.
    missing: Vec<String>,
    unwanted: Vec<Arc<Value>>,
}

impl<'d> Look<'d> {
    fn of(desk: &'d Desk, set: &'d Value, hash: String, nodes: &[Arc<Value>], claimed: Vec<Arc<Value>>) -> Self {
        // What a pod of the set would be, before it is meant for any node.
        let pod = Arc::new(template::pod(set, &hash));
        let name = |node: &Value| text(&node["metadata"]["name"]).to_owned();
        let places = nodes.iter().map(|node| (name(node), place(&pod, node))).collect();
        let mut on: HashMap<String, Vec<Arc<Value>>> = HashMap::new();
        for pod in claimed {
            on.entry(node_of(&pod).to_owned()).or_default().push(pod);
        }
        for pods in on.values_mut() {
            // Those that run come first among those of the same second.
            pods.sort_by_key(|pod| {
                let waits = text(&pod["spec"]["nodeName"]).is_empty();
                (waits, text(&pod["metadata"]["creationTimestamp"]).to_owned())
            });
        }
        Self { desk, set, hash, places, on }
    }

    fn is_new(&self, pod: &Value) -> bool {
        pod["metadata"]["labels"][HASH] == self.hash.as_str()
    }

    fn is_available(&self, pod: &Value) -> bool {
        pods::is_available(self.desk, pod, int(&self.set["spec"]["minReadySeconds"]))
    }

    fn hashes(&self) -> Vec<String> {
        self.on.values().flatten().map(|pod| text(&pod["metadata"]["labels"][HASH]).to_owned()).collect()
    }

    fn act(&mut self) -> Result<(), Refusal> {
        let plan = self.plan();
        self.carry_out(plan)?;
        if self.set["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
            let plan = self.rollout();
            self.carry_out(plan)?;
        }
        Ok(())
    }

    /// Which nodes lack a pod, and which pods are too many (`manage`).
    fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for (node, place) in &self.places {
            match self.on.get(node) {
                None if place.should_run => plan.missing.push(node.clone()),
                None => {}
                Some(pods) if place.may_stay => self.plan_node(node, pods, &mut plan),
                Some(pods) => plan.unwanted.extend(pods.iter().filter(|pod| !pods::is_going(pod)).cloned()),
            }
        }
        // What waits for a node that is gone would wait for ever.
        for (_, pods) in self.on.iter().filter(|(node, _)| !self.places.contains_key(*node)) {
            let waits = |pod: &&Arc<Value>| text(&pod["spec"]["nodeName"]).is_empty() && !pods::is_going(pod);
            plan.unwanted.extend(pods.iter().filter(waits).cloned());
        }
        plan
    }

    fn plan_node(&self, node: &str, pods: &[Arc<Value>], plan: &mut Plan) {
        let mut running = Vec::new();
        for pod in pods.iter().filter(|pod| !pods::is_going(pod)) {
            let of = format!("{}/{} on node {node}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            match text(&pod["status"]["phase"]) {
                "Failed" if self.desk.may_try(pod) => {
                    let message = format!("Found failed daemon pod {of}, will try to kill it");
                    self.desk.tell(self.set, COMPONENT, true, "FailedDaemonPod", &message);
                    self.desk.failed(pod);
                    plan.unwanted.push(pod.clone());
                }
                "Failed" => {}
                "Succeeded" => {
                    let message = format!("Found succeeded daemon pod {of}, will try to delete it");
                    self.desk.tell(self.set, COMPONENT, false, "SucceededDaemonPod", &message);
                    plan.unwanted.push(pod.clone());
                }
                _ => running.push(pod),
            }
        }
        if rollout::surge(self.set, self.places.len()) == 0 {
            plan.unwanted.extend(running.into_iter().skip(1).cloned());
            return;
        }
        // While one takes over from another there are two: the oldest of the new ones, and the oldest of the old ones.
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_new(pod));
        plan.unwanted.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| (*pod).clone()));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!conditions::holds(&old["status"], "Ready") || self.is_available(new))
        {
            plan.unwanted.push((*old).clone());
        }
    }

    fn carry_out(&mut self, plan: Plan) -> Result<(), Refusal> {
        let pod = template::pod(self.set, &self.hash);
        let mut outcome = Ok(());
        // One, then two, then four …, so that what cannot be is not tried on every node.
        let (mut batch, mut made) = (1, 0);
        while made < plan.missing.len().min(BURST) && outcome.is_ok() {
            for node in plan.missing.iter().take(BURST).skip(made).take(batch) {
                match pods::create(self.desk, self.set, COMPONENT, template::for_node(pod.clone(), node)) {
                    Ok(Some(pod)) => self.on.entry(node.clone()).or_default().push(Arc::new(pod)),
                    Ok(None) => return Ok(()),
                    Err(refusal) => outcome = Err(refusal),
                }
            }
            made += batch;
            batch *= 2;
        }
        for pod in plan.unwanted.iter().take(BURST) {
            if let Err(refusal) = pods::delete(self.desk, self.set, COMPONENT, pod) {
                outcome = Err(refusal);
            }
        }
        outcome
    }

    fn status(&self) -> Value {
        let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
        for (node, place) in &self.places {
            let oldest = self.on.get(node).and_then(|pods| pods.first());
            match (place.should_run, oldest) {
                (true, None) => desired += 1,
                (true, Some(pod)) => {
                    desired += 1;
                    current += 1;
                    if pods::is_ready(pod) {
                        ready += 1;
                        available += i64::from(self.is_available(pod));
                    }
                    updated += i64::from(self.is_new(pod));
                }
                (false, Some(_)) => misplaced += 1,
                (false, None) => {}
            }
        }
        let mut status = json!({
            "currentNumberScheduled": current,
            "desiredNumberScheduled": desired,
            "numberMisscheduled": misplaced,
            "numberReady": ready,
            "observedGeneration": self.set["metadata"]["generation"],
        });
        // These are left out when there are none.
        let counts =
            [("updatedNumberScheduled", updated), ("numberAvailable", available), ("numberUnavailable", desired - available)];
        for (field, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
            status[field] = count.into();
        }
        if !self.set["status"]["collisionCount"].is_null() {
            status["collisionCount"] = self.set["status"]["collisionCount"].clone();
        }
        status
    }
}
