//! Which of the nodes that a pod may run on is best for it: the scores of kube-scheduler, each from 0 to 100, with their weights.
//! What it leaves to chance is decided by the number of pods and the name. That images are on a node already counts nothing here.

use std::collections::HashMap;

use serde_json::json;

use super::filters::Cycle;
use super::filters::nodes::is_tolerated;
use super::filters::spread::{Constraint, constraints, is_in_all};
use super::node::{NodeInfo, Snapshot};
use super::pod::PodInfo;
use crate::admission::Objects;
use crate::controllers::desk::{Desk, REPLICA_SETS, REPLICATION_CONTROLLERS, SERVICES, STATEFUL_SETS};
use crate::controllers::pods::controller_of;
use crate::kinds::selector;
use crate::kinds::view::{count, entries, list, text};
use crate::selector::labels::{Operator, Requirement, Selector};

const MOST: i64 = 100;
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The best of these nodes, of which there is at least one.
pub(super) fn best<'n>(desk: &Desk, cycle: &Cycle<'_>, snapshot: &Snapshot, feasible: &[&'n NodeInfo]) -> Option<&'n NodeInfo> {
    if let [one] = feasible {
        return Some(one);
    }
    let pod = cycle.pod;
    let mut totals = vec![0; feasible.len()];
    let mut weigh = |weight: i64, scores: Vec<i64>| {
        totals.iter_mut().zip(scores).for_each(|(total, score)| *total += weight * score);
    };
    let each = |score: &dyn Fn(&NodeInfo) -> i64| feasible.iter().map(|node| score(node)).collect::<Vec<_>>();
    weigh(3, normalized(each(&|node| unwelcome(pod, node)), true));
    weigh(2, normalized(each(&|node| cycle.preference(node)), false));
    weigh(1, each(&|node| least_allocated(pod, node)));
    weigh(1, each(&|node| balance(pod, node)));
    weigh(2, spread(desk, cycle, snapshot, feasible));
    weigh(2, nearness(pod, snapshot, feasible));
    let ranked = feasible.iter().zip(totals);
    ranked
        .max_by(|(a, of_a), (b, of_b)| {
            of_a.cmp(of_b).then_with(|| b.pods.len().cmp(&a.pods.len())).then_with(|| b.name().cmp(a.name()))
        })
        .map(|(node, _)| *node)
}

/// Scaled so that the most is 100, or the least, when it is better to have less (`DefaultNormalizeScore`).
fn normalized(scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or_default();
    let scale = |score: i64| match (most, reverse) {
        (0, false) => score,
        (0, true) => MOST,
        (_, false) => MOST * score / most,
        (_, true) => MOST - MOST * score / most,
    };
    scores.into_iter().map(scale).collect()
}

/// Taints that would rather not have the pod.
fn unwelcome(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let taints = list(&node.object["spec"]["taints"]).iter().filter(|taint| taint["effect"] == "PreferNoSchedule");
    i64::try_from(taints.filter(|taint| !is_tolerated(pod, taint)).count()).unwrap_or(MOST)
}

/// What would be left (`leastResourceScorer`).
fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let (asked, taken) = (&pod.at_least, &node.at_least);
    let kinds = [(taken.cpu + asked.cpu, node.allocatable.cpu), (taken.memory + asked.memory, node.allocatable.memory)];
    let known = kinds.iter().filter(|(_, all)| *all > 0);
    let left = known.clone().map(|(taken, all)| if taken > all { 0 } else { (all - taken) * MOST / all });
    left.sum::<i64>() / i64::try_from(known.count().max(1)).unwrap_or(1)
}

/// Whether as large a part of one thing would be taken as of the other (`balancedResourceScorer`).
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // As it is computed there.
fn balance(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let (asked, taken, all) = (&pod.requests, &node.requested, &node.allocatable);
    if asked.cpu == 0 && asked.memory == 0 {
        return 0;
    }
    if all.cpu == 0 || all.memory == 0 {
        return MOST;
    }
    let part = |amount: i64, all: i64| (amount as f64 / all as f64).min(1.0);
    let apart = part(taken.cpu + asked.cpu, all.cpu) - part(taken.memory + asked.memory, all.memory);
    ((1.0 - (apart / 2.0).abs()) * MOST as f64) as i64
}

/// Fewer pods of its kind in the same domain is better (`podtopologyspread/scoring.go`).
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // As it is computed there.
fn spread(desk: &Desk, cycle: &Cycle<'_>, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Vec<i64> {
    let pod = cycle.pod;
    let asks = count(&pod.spec()["topologySpreadConstraints"]) > 0;
    let constraints = if asks { constraints(pod, "ScheduleAnyway") } else { usual_constraints(desk, pod) };
    if constraints.is_empty() {
        return vec![0; feasible.len()];
    }
    let counts = |node: &&NodeInfo| !asks || is_in_all(&constraints, node);
    let mut scores: Vec<Option<f64>> = feasible.iter().map(|node| counts(node).then_some(0.0)).collect();
    for constraint in &constraints {
        let mut domains: HashMap<&str, i64> = HashMap::new();
        for node in feasible.iter().filter(|node| counts(node)) {
            domains.entry(node.label(&constraint.topology).unwrap_or_default()).or_default();
        }
        let by_host = constraint.topology == HOSTNAME;
        let size = if by_host { feasible.iter().filter(|node| counts(node)).count() } else { domains.len() };
        if !by_host {
            for node in snapshot.nodes.iter().filter(|node| counts(node) && constraint.includes(pod, cycle.wanted(), node)) {
                if let Some(pods) = domains.get_mut(node.label(&constraint.topology).unwrap_or_default()) {
                    *pods += constraint.count(pod, node);
                }
            }
        }
        for (node, score) in feasible.iter().zip(&mut scores) {
            if let (Some(score), Some(domain)) = (score, node.label(&constraint.topology)) {
                let pods = if by_host { constraint.count(pod, node) } else { domains.get(domain).copied().unwrap_or_default() };
                *score += pods as f64 * ((size + 2) as f64).ln() + (constraint.max_skew - 1) as f64;
            }
        }
    }
    let scores: Vec<Option<i64>> = scores.into_iter().map(|score| score.map(|score| score.round() as i64)).collect();
    let known = || scores.iter().flatten().copied();
    let (least, most) = (known().min().unwrap_or_default(), known().max().unwrap_or_default());
    let scale = |score: i64| if most == 0 { MOST } else { MOST * (most + least - score) / most };
    scores.iter().map(|score| score.map_or(0, scale)).collect()
}

/// What holds for pods that say nothing of it: those of a service or a set are spread over nodes and zones.
fn usual_constraints(desk: &Desk, pod: &PodInfo) -> Vec<Constraint> {
    let selector = siblings(desk, pod);
    if selector.is_everything() {
        return Vec::new();
    }
    vec![Constraint::usual(HOSTNAME, 3, selector.clone()), Constraint::usual(ZONE, 5, selector)]
}

/// The pods of the same services and the same set (`helper.DefaultSelector`).
fn siblings(desk: &Desk, pod: &PodInfo) -> Selector {
    let mut requirements = Vec::new();
    for service in desk.within(SERVICES, pod.namespace()) {
        let wanted = &service["spec"]["selector"];
        if count(wanted) > 0 && entries(wanted).all(|(key, value)| pod.labels().get(key) == Some(value)) {
            let equal = |(key, value)| Requirement::new(key, Operator::Equals, vec![text(value).to_owned()]).ok();
            requirements.extend(entries(wanted).filter_map(equal));
        }
    }
    let services = Selector::new(requirements);
    let Some(owner) = controller_of(&pod.object) else { return services };
    let resource = match text(&owner["kind"]) {
        "ReplicationController" => REPLICATION_CONTROLLERS,
        "ReplicaSet" => REPLICA_SETS,
        "StatefulSet" => STATEFUL_SETS,
        _ => return services,
    };
    let set = desk.get(resource.0, resource.1, pod.namespace(), text(&owner["name"]));
    let wanted = match &set {
        None => return services,
        // That of a ReplicationController is a mere map.
        Some(set) if resource == REPLICATION_CONTROLLERS => json!({"matchLabels": set["spec"]["selector"]}),
        Some(set) => set["spec"]["selector"].clone(),
    };
    selector::compile(&wanted).map_or(services.clone(), |wanted| services.and(wanted))
}

/// Near to the pods that it would like to be near to, and that would like to be near to it (`interpodaffinity/scoring.go`).
fn nearness(pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Vec<i64> {
    let mut domains: HashMap<(&str, &str), i64> = HashMap::new();
    for (node, other) in snapshot.pods().filter(|(_, other)| !pod.preferred.is_empty() || other.has_affinity()) {
        let namespaces = &snapshot.namespaces;
        let own = pod.preferred.iter().filter(|(term, _)| term.matches(other, namespaces)).map(|(term, weight)| (term, *weight));
        let theirs = other.preferred.iter().map(|(term, weight)| (term, *weight));
        // What another cannot do without counts as a slight wish.
        let theirs = theirs.chain(other.affinity.iter().map(|term| (term, 1)));
        for (term, weight) in own.chain(theirs.filter(|(term, _)| term.matches(pod, namespaces))) {
            if let Some(value) = node.label(&term.topology) {
                *domains.entry((&term.topology, value)).or_default() += weight;
            }
        }
    }
    let sum = |node: &&NodeInfo| {
        let there = domains.iter().filter(|((label, value), _)| node.label(label) == Some(value));
        there.map(|(_, weight)| weight).sum::<i64>()
    };
    let scores: Vec<i64> = feasible.iter().map(sum).collect();
    let (least, most) = (scores.iter().min().copied().unwrap_or_default(), scores.iter().max().copied().unwrap_or_default());
    scores.iter().map(|score| if most > least { MOST * (score - least) / (most - least) } else { 0 }).collect()
}
