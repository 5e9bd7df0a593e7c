//! What scheduling wants to know of a pod, read once (`framework.PodInfo`).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::resources::Resources;
use crate::controllers::pods;
use crate::kinds::selector;
use crate::kinds::view::{count, int, list, text};
use crate::selector::labels::Selector;

pub(super) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
pub(super) const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The labels of namespaces by name.
pub(super) type Namespaces = HashMap<String, Arc<Value>>;

/// A port of the node that a pod wants for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    address: String,
    protocol: String,
    number: i64,
}

impl Port {
    /// Whether both cannot be had (`HostPortInfo.CheckConflict`).
    pub(super) fn collides(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.address == "0.0.0.0";
        self.protocol == other.protocol
            && self.number == other.number
            && (self.address == other.address || everywhere(self) || everywhere(other))
    }
}

/// Pods that another pod wants to be near to, or far from.
#[derive(Debug)]
pub(super) struct Term {
    selector: Selector,
    pub(super) topology: String,
    namespaces: Vec<String>,
    namespace_selector: Selector,
}

impl Term {
    fn of(term: &Value, own_namespace: &str) -> Option<Self> {
        let mut namespaces: Vec<String> = list(&term["namespaces"]).iter().map(|name| text(name).to_owned()).collect();
        if namespaces.is_empty() && term["namespaceSelector"].is_null() {
            namespaces.push(own_namespace.to_owned());
        }
        Some(Self {
            selector: selector::compile(&term["labelSelector"]).ok()?,
            topology: text(&term["topologyKey"]).to_owned(),
            namespaces,
            namespace_selector: selector::compile(&term["namespaceSelector"]).ok()?,
        })
    }

    /// Whether it means that pod.
    pub(super) fn matches(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        let namespace = pod.namespace();
        let labels = || namespaces.get(namespace).map_or(&Value::Null, |namespace| &namespace["metadata"]["labels"]);
        (self.namespaces.iter().any(|name| name == namespace) || self.namespace_selector.matches(labels()))
            && self.selector.matches(pod.labels())
    }
}

pub(super) struct PodInfo {
    pub(super) object: Arc<Value>,
    pub(super) priority: i64,
    pub(super) requests: Resources,
    /// The same as nodes are compared by it.
    pub(super) at_least: Resources,
    pub(super) ports: Vec<Port>,
    pub(super) affinity: Vec<Term>,
    pub(super) anti_affinity: Vec<Term>,
    /// With the weight, which is negative for pods to be far from.
    pub(super) preferred: Vec<(Term, i64)>,
}

impl PodInfo {
    pub(super) fn of(object: Arc<Value>) -> Self {
        let (spec, namespace) = (&object["spec"], text(&object["metadata"]["namespace"]));
        let terms = |kind: &str| -> Vec<Term> {
            list(&spec["affinity"][kind][REQUIRED]).iter().filter_map(|term| Term::of(term, namespace)).collect()
        };
        let preferred = [("podAffinity", 1), ("podAntiAffinity", -1)].into_iter().flat_map(|(kind, sign)| {
            list(&spec["affinity"][kind][PREFERRED])
                .iter()
                .filter_map(move |one| Some((Term::of(&one["podAffinityTerm"], namespace)?, sign * int(&one["weight"]))))
        });
        Self {
            priority: int(&spec["priority"]),
            requests: Resources::of_pod(&object),
            at_least: Resources::at_least(&object),
            ports: ports(spec),
            affinity: terms("podAffinity"),
            anti_affinity: terms("podAntiAffinity"),
            preferred: preferred.collect(),
            object: object.clone(),
        }
    }

    fn metadata(&self) -> &Value {
        &self.object["metadata"]
    }

    pub(super) fn spec(&self) -> &Value {
        &self.object["spec"]
    }

    pub(super) fn name(&self) -> &str {
        text(&self.metadata()["name"])
    }

    pub(super) fn namespace(&self) -> &str {
        text(&self.metadata()["namespace"])
    }

    pub(super) fn uid(&self) -> &str {
        text(&self.metadata()["uid"])
    }

    pub(super) fn labels(&self) -> &Value {
        &self.metadata()["labels"]
    }

    /// The node it is bound to, or "".
    pub(super) fn node(&self) -> &str {
        text(&self.spec()["nodeName"])
    }

    /// The node that it waits for, after room was made for it there, or "".
    pub(super) fn nominated(&self) -> &str {
        text(&self.object["status"]["nominatedNodeName"])
    }

    pub(super) fn is_going(&self) -> bool {
        pods::is_going(&self.object)
    }

    /// Whether it takes room on its node.
    pub(super) fn is_placed(&self) -> bool {
        !self.node().is_empty() && !pods::is_over(&self.object)
    }

    /// Whether this scheduler is to find a node for it.
    pub(super) fn is_wanting(&self, scheduler: &str) -> bool {
        let spec = self.spec();
        self.node().is_empty()
            && !pods::is_over(&self.object)
            && text(&spec["schedulerName"]) == scheduler
            && count(&spec["schedulingGates"]) == 0
    }

    /// Whether it wants to be near to other pods, or far from them.
    pub(super) fn has_affinity(&self) -> bool {
        !self.affinity.is_empty() || !self.anti_affinity.is_empty() || !self.preferred.is_empty()
    }

    /// The claims by the volumes of the pod: their names, and whether they are the pod's own.
    pub(super) fn claims(&self) -> impl Iterator<Item = (String, bool)> {
        list(&self.spec()["volumes"]).iter().filter_map(|volume| {
            let claim = &volume["persistentVolumeClaim"]["claimName"];
            match claim.as_str() {
                Some(name) => Some((name.to_owned(), false)),
                None if !volume["ephemeral"].is_null() => Some((format!("{}-{}", self.name(), text(&volume["name"])), true)),
                None => None,
            }
        })
    }
}

/// The ports of containers that run as long as the pod (`util.GetHostPorts`).
fn ports(spec: &Value) -> Vec<Port> {
    let sidecars = list(&spec["initContainers"]).iter().filter(|container| container["restartPolicy"] == "Always");
    let containers = sidecars.chain(list(&spec["containers"]));
    let ports = containers.flat_map(|container| list(&container["ports"])).filter(|port| int(&port["hostPort"]) > 0);
    let or = |value: &Value, default: &str| if text(value).is_empty() { default.to_owned() } else { text(value).to_owned() };
    ports
        .map(|port| Port {
            address: or(&port["hostIP"], "0.0.0.0"),
            protocol: or(&port["protocol"], "TCP"),
            number: int(&port["hostPort"]),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "", true)]
    #[case("127.0.0.1", "", true)]
    #[case("127.0.0.1", "127.0.0.2", false)]
    fn ports_collide(#[case] one: &str, #[case] other: &str, #[case] expected: bool) {
        let port = |ip: &str| ports(&serde_json::json!({"containers": [{"ports": [{"hostPort": 80, "hostIP": ip}]}]})).remove(0);
        assert_eq!(port(one).collides(&port(other)), expected);
    }
}
