//! Whether a node has what a pod asks for (`nodeports`, `noderesources/fit.go`).

use super::super::node::NodeInfo;
use super::super::pod::PodInfo;
use super::super::verdict::{Kind, Plugin, Rejection};

pub(super) fn check_ports(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let mut taken = node.pods.iter().flat_map(|other| &other.ports);
    if pod.ports.is_empty() || !taken.any(|taken| pod.ports.iter().any(|port| port.collides(taken))) {
        return Ok(());
    }
    Err(Rejection::unschedulable(Plugin::NodePorts, "node(s) didn't have free ports for the requested pod ports"))
}

pub(super) fn check_resources(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let (mut reasons, mut too_large) = (Vec::new(), false);
    if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= node.allowed_pods {
        reasons.push("Too many pods".to_owned());
    }
    let (asked, all, taken) = (&pod.requests, &node.allocatable, &node.requested);
    let mut need = |name: &str, asked: i64, all: i64, taken: i64| {
        if asked > 0 && asked > all - taken {
            reasons.push(format!("Insufficient {name}"));
            too_large |= asked > all;
        }
    };
    need("cpu", asked.cpu, all.cpu, taken.cpu);
    need("memory", asked.memory, all.memory, taken.memory);
    need("ephemeral-storage", asked.storage, all.storage, taken.storage);
    for (name, amount) in &asked.others {
        let of = |amounts: &super::super::resources::Resources| amounts.others.get(name).copied().unwrap_or_default();
        need(name, *amount, of(all), of(taken));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    // What is more than the whole node has, nobody can make room for.
    let kind = if too_large { Kind::Unresolvable } else { Kind::Unschedulable };
    Err(Rejection { plugin: Plugin::NodeResourcesFit, kind, reasons })
}
