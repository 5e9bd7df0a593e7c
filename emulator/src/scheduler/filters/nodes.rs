//! What nodes are: unschedulable, tainted, labelled (`nodeunschedulable`, `tainttoleration`, `nodeaffinity`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::node::NodeInfo;
use super::super::pod::{PodInfo, REQUIRED};
use super::super::verdict::{Plugin, Rejection};
use crate::kinds::view::{count, entries, flag, list, text};
use crate::selector::labels::{Operator, Requirement, Selector};

/// Whether a toleration covers a taint (`ToleratesTaint`).
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let agrees = |field: &str| text(&toleration[field]).is_empty() || text(&toleration[field]) == text(&taint[field]);
    agrees("effect")
        && agrees("key")
        && match text(&toleration["operator"]) {
            "" | "Equal" => text(&toleration["value"]) == text(&taint["value"]),
            operator => operator == "Exists",
        }
}

/// Whether one of the pod's tolerations covers a taint.
pub(in super::super) fn is_tolerated(pod: &PodInfo, taint: &Value) -> bool {
    list(&pod.spec()["tolerations"]).iter().any(|toleration| tolerates(toleration, taint))
}

pub(super) fn check_unschedulable(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    if !flag(&node.object["spec"]["unschedulable"])
        || is_tolerated(pod, &json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))
    {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::NodeUnschedulable, "node(s) were unschedulable"))
}

/// The first taint that keeps the pod away.
pub(in super::super) fn repelling_taint<'n>(pod: &PodInfo, node: &'n NodeInfo) -> Option<&'n Value> {
    let keeps_away = |taint: &&Value| matches!(text(&taint["effect"]), "NoSchedule" | "NoExecute") && !is_tolerated(pod, taint);
    list(&node.object["spec"]["taints"]).iter().find(keeps_away)
}

pub(super) fn check_taints(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let Some(taint) = repelling_taint(pod, node) else { return Ok(()) };
    let why = format!("node(s) had untolerated taint {{{}: {}}}", text(&taint["key"]), text(&taint["value"]));
    Err(Rejection::unresolvable(Plugin::TaintToleration, why))
}

/// Terms that select nodes, one of which must hold. What cannot be read selects nothing (`component-helpers/…/nodeaffinity`).
pub(in super::super) struct NodeTerms {
    terms: Vec<NodeTerm>,
}

struct NodeTerm {
    labels: Selector,
    /// Names that the node must have, or must not have.
    names: Vec<(bool, String)>,
}

impl NodeTerm {
    /// None for an empty one, which selects nothing.
    fn of(term: &Value) -> Option<Self> {
        let (labels, fields) = (list(&term["matchExpressions"]), list(&term["matchFields"]));
        if labels.is_empty() && fields.is_empty() {
            return None;
        }
        let requirements: Option<Vec<_>> = labels.iter().map(requirement).collect();
        let name = |field: &Value| match (text(&field["operator"]), list(&field["values"])) {
            ("In", [name]) if field["key"] == "metadata.name" => Some((true, text(name).to_owned())),
            ("NotIn", [name]) if field["key"] == "metadata.name" => Some((false, text(name).to_owned())),
            _ => None,
        };
        let names: Option<Vec<_>> = fields.iter().map(name).collect();
        Some(Self { labels: Selector::new(requirements?), names: names? })
    }

    fn matches(&self, node: &NodeInfo) -> bool {
        self.labels.matches(node.labels()) && self.names.iter().all(|(wanted, name)| (node.name() == name) == *wanted)
    }
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let operator = match text(&expression["operator"]) {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = list(&expression["values"]).iter().map(|value| text(value).to_owned()).collect();
    Requirement::new(text(&expression["key"]), operator, values).ok()
}

impl NodeTerms {
    /// Of a `NodeSelector`.
    pub(in super::super) fn of(selector: &Value) -> Self {
        Self { terms: list(&selector["nodeSelectorTerms"]).iter().filter_map(NodeTerm::of).collect() }
    }

    pub(super) fn of_one(term: &Value) -> Self {
        Self { terms: NodeTerm::of(term).into_iter().collect() }
    }

    pub(in super::super) fn matches(&self, node: &NodeInfo) -> bool {
        self.terms.iter().any(|term| term.matches(node))
    }
}

/// The nodes that a pod asks for, by its selector and its affinity.
pub(in super::super) struct WantedNodes<'a> {
    selector: &'a Value,
    affinity: &'a Value,
    terms: Option<NodeTerms>,
}

impl<'a> WantedNodes<'a> {
    pub(in super::super) fn of(pod: &'a PodInfo) -> Self {
        let spec = pod.spec();
        let affinity = &spec["affinity"]["nodeAffinity"][REQUIRED];
        Self { selector: &spec["nodeSelector"], affinity, terms: (!affinity.is_null()).then(|| NodeTerms::of(affinity)) }
    }

    pub(in super::super) fn matches(&self, node: &NodeInfo) -> bool {
        entries(self.selector).all(|(key, value)| node.labels().get(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.matches(node))
    }

    pub(super) fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if self.matches(node) {
            return Ok(());
        }
        Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't match Pod's node affinity/selector"))
    }

    /// The names of the nodes, when every term has some, as those of DaemonSets' pods have; an error when none can be meant.
    pub(super) fn names(&self) -> Result<Option<BTreeSet<String>>, ()> {
        let terms = list(&self.affinity["nodeSelectorTerms"]);
        let mut all = BTreeSet::new();
        for term in terms {
            let fields = list(&term["matchFields"]).iter();
            let sets = fields.filter(|field| field["key"] == "metadata.name" && field["operator"] == "In");
            let sets = sets.map(|field| list(&field["values"]).iter().map(|name| text(name).to_owned()).collect());
            match sets.reduce(|a: BTreeSet<String>, b| a.intersection(&b).cloned().collect()) {
                Some(names) => all.extend(names),
                None => return Ok(None),
            }
        }
        match (count(&self.affinity["nodeSelectorTerms"]), all.is_empty()) {
            (0, _) => Ok(None),
            (_, true) => Err(()),
            _ => Ok(Some(all)),
        }
    }
}
