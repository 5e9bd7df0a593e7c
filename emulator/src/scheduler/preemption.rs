//! Room for important pods: less important ones are ended, as few and as unimportant as possible
//! (`pkg/scheduler/framework/preemption`, `plugins/defaultpreemption`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::filters::{Counts, Cycle};
use super::node::{NodeInfo, Snapshot};
use super::pod::PodInfo;
use super::verdict::{Kind, Plugin, Rejection, Verdicts, fit_error};
use crate::controllers::conditions;
use crate::controllers::desk::{Desk, PODS, Resource};
use crate::controllers::pods::{is_going, time};
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{int, text};

const BUDGETS: Resource = ("policy", "poddisruptionbudgets");
const BY_SCHEDULER: &str = "PreemptionByScheduler";

/// What became of the attempt to make room.
pub(super) enum Outcome {
    /// Pods are being ended on that node.
    Room(String),
    /// None can be made, and none was made before.
    Hopeless(String),
    /// Not now; what was arranged before holds.
    NotNow(String),
}

/// Pods that would have to go from a node; the most important first.
struct Candidate {
    node: String,
    victims: Vec<Arc<PodInfo>>,
    /// How many of them are promised not to be disturbed.
    violations: usize,
}

/// Makes room for a pod that was turned away everywhere.
pub(super) fn make_room(
    desk: &Desk,
    cycle: &Cycle<'_>,
    counts: &Counts,
    snapshot: &Snapshot,
    verdicts: &Verdicts,
) -> (Outcome, Vec<Arc<PodInfo>>) {
    if let Some(why) = ineligible(cycle.pod, snapshot, verdicts) {
        return (Outcome::NotNow(why.to_owned()), Vec::new());
    }
    let budgets = desk.all(BUDGETS);
    let (mut candidates, mut rejections) = (Vec::new(), Verdicts::default());
    let turned_away = verdicts.by_node.iter().filter(|(_, rejection)| rejection.kind == Kind::Unschedulable);
    for node in turned_away.filter_map(|(name, _)| snapshot.node(name)) {
        match victims(cycle, counts, snapshot, node, &budgets, desk.clock()) {
            Ok(candidate) => candidates.push(candidate),
            Err(rejection) => {
                rejections.by_node.insert(node.name().to_owned(), rejection);
            }
        }
    }
    let Some(best) = best(candidates, desk.clock()) else {
        rejections.elsewhere = Some("Preemption is not helpful for scheduling".to_owned());
        return (Outcome::Hopeless(fit_error(snapshot.nodes.len(), None, &rejections, "")), Vec::new());
    };
    for victim in best.victims.iter().filter(|victim| !victim.is_going()) {
        end(desk, cycle.pod, victim, &best.node);
    }
    // Less important pods may have to look elsewhere.
    let yielding = snapshot.nominated_on(&best.node).filter(|other| other.priority < cycle.pod.priority);
    let yielding = yielding.cloned().collect();
    (Outcome::Room(best.node), yielding)
}

/// Why a pod may end no others (`PodEligibleToPreemptOthers`).
fn ineligible(pod: &PodInfo, snapshot: &Snapshot, verdicts: &Verdicts) -> Option<&'static str> {
    if pod.spec()["preemptionPolicy"] == "Never" {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = pod.nominated();
    let is_in_vain = match verdicts.by_node.get(nominated) {
        Some(rejection) => rejection.kind == Kind::Unresolvable,
        // A node that was not asked would have said no for good.
        None => true,
    };
    if nominated.is_empty() || is_in_vain {
        return None;
    }
    let ends = |other: &&Arc<PodInfo>| other.priority < pod.priority && is_ending_for_another(other);
    let ending = snapshot.node(nominated).and_then(|node| node.pods.iter().find(ends));
    ending.map(|_| "not eligible due to a terminating pod on the nominated node.")
}

/// Whether a pod ends because of the scheduler.
fn is_ending_for_another(pod: &PodInfo) -> bool {
    let target = conditions::find(&pod.object["status"], "DisruptionTarget");
    pod.is_going() && target.is_some_and(|target| target["status"] == "True" && target["reason"] == BY_SCHEDULER)
}

/// The important first: those of more priority, and those that have run longer.
fn by_importance(pod: &PodInfo, now: Timestamp) -> (Reverse<i64>, Timestamp) {
    (Reverse(pod.priority), started(pod, now))
}

fn started(pod: &PodInfo, now: Timestamp) -> Timestamp {
    time(&pod.object["status"]["startTime"]).unwrap_or(now)
}

/// The fewest pods that have to go from a node (`SelectVictimsOnNode`): all that are less important are thought away, and as many
/// as possible thought back.
fn victims(
    cycle: &Cycle<'_>,
    counts: &Counts,
    snapshot: &Snapshot,
    node: &NodeInfo,
    budgets: &[Arc<Value>],
    now: Timestamp,
) -> Result<Candidate, Rejection> {
    let (mut left, mut counts) = (node.clone(), counts.clone());
    let mut lesser: Vec<Arc<PodInfo>> = node.pods.iter().filter(|other| other.priority < cycle.pod.priority).cloned().collect();
    if lesser.is_empty() {
        let why = "No preemption victims found for incoming pod";
        return Err(Rejection::unresolvable(Plugin::DefaultPreemption, why));
    }
    for other in &lesser {
        left.remove(other.uid());
        cycle.change(&mut counts, other, node, -1);
    }
    cycle.check_beside(&counts, &left, snapshot)?;
    lesser.sort_by_key(|other| by_importance(other, now));
    let (promised, others) = split_by_budgets(lesser, budgets);
    let (mut victims, mut violations) = (Vec::new(), 0);
    let tries = promised.into_iter().map(|pod| (pod, 1)).chain(others.into_iter().map(|pod| (pod, 0)));
    for (other, violates) in tries {
        left.add(other.clone());
        cycle.change(&mut counts, &other, node, 1);
        if cycle.check_beside(&counts, &left, snapshot).is_err() {
            left.remove(other.uid());
            cycle.change(&mut counts, &other, node, -1);
            violations += violates;
            victims.push(other);
        }
    }
    victims.sort_by_key(|other| by_importance(other, now));
    Ok(Candidate { node: node.name().to_owned(), victims, violations })
}

/// Those that budgets protect, and the others (`filterPodsWithPDBViolation`).
fn split_by_budgets(pods: Vec<Arc<PodInfo>>, budgets: &[Arc<Value>]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: HashMap<&str, i64> = HashMap::new();
    for budget in budgets {
        allowed.insert(text(&budget["metadata"]["uid"]), int(&budget["status"]["disruptionsAllowed"]));
    }
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for budget in budgets.iter().filter(|budget| text(&budget["metadata"]["namespace"]) == pod.namespace()) {
            let Ok(selector) = selector::compile(&budget["spec"]["selector"]) else { continue };
            let is_known = !budget["status"]["disruptedPods"][pod.name()].is_null();
            if selector.is_everything() || !selector.matches(pod.labels()) || is_known {
                continue;
            }
            if let Some(left) = allowed.get_mut(text(&budget["metadata"]["uid"])) {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}

/// The node on which the least is lost (`pickOneNodeForPreemption`).
fn best(candidates: Vec<Candidate>, now: Timestamp) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| {
        let victims = &candidate.victims;
        let highest = victims.first().map_or(i64::MIN, |victim| victim.priority);
        // All priorities are made positive: more pods are worse, even if their priorities are negative.
        let sum: i64 = victims.iter().map(|victim| victim.priority + i64::from(i32::MAX) + 1).sum();
        let oldest = victims.iter().filter(|victim| victim.priority == highest).map(|victim| started(victim, now)).min();
        (candidate.violations, highest, sum, victims.len(), Reverse(oldest))
    })
}

/// Ends a pod, and says for whom.
fn end(desk: &Desk, pod: &PodInfo, victim: &PodInfo, node: &str) {
    let scheduler = text(&pod.spec()["schedulerName"]);
    let marked = desk.update(PODS, &victim.object, Part::Status, &|live| {
        let condition = json!({
            "type": "DisruptionTarget",
            "observedGeneration": live["metadata"]["generation"],
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": desk.now(),
            "reason": BY_SCHEDULER,
            "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        });
        conditions::set(&mut live["status"], condition);
    });
    let Some(marked) = desk.heard(&victim.object, marked) else { return };
    if is_going(&marked) || desk.heard(&marked, desk.delete(PODS, &marked, None)).is_none() {
        return;
    }
    let note = format!("Preempted by pod {} on node {node}", pod.uid());
    super::report(desk, &victim.object, Some(&pod.object), false, "Preempted", "Preempting", &note);
}
