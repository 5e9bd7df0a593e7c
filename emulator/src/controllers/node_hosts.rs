//! `NodeHosts` of ConfigMap `kube-system/coredns`: a hosts file of the nodes, which K3s keeps (its `pkg/node`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::call;
use super::desk::{Controller, Desk, NODES, Resource};
use crate::access::User;
use crate::admission::Objects;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};

const CONFIG_MAPS: Resource = ("", "configmaps");
const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";

pub(super) const CONTROLLER: Controller = Controller { watches: &[NODES, CONFIG_MAPS], settle };

fn settle(desk: &Desk) {
    let Some(map) = desk.get(CONFIG_MAPS.0, CONFIG_MAPS.1, NAMESPACE, NAME) else { return };
    let nodes = desk.all(NODES);
    let hosts = hosts(nodes.iter().map(AsRef::as_ref));
    // Where no node has an address yet the key stays missing, and CoreDNS, whose volume needs it, waits: with an empty file it would start,
    // and look for another only after some time.
    let Some(server) = nodes.first().filter(|_| text(&map["data"]["NodeHosts"]) != hosts) else { return };
    let Some(served) = desk.cluster.registry().any_version(CONFIG_MAPS.0, CONFIG_MAPS.1) else { return };
    let user = User::system();
    let mut call = call(&desk.cluster, &user, &served, NAMESPACE, NAME, "");
    call.options.manager = format!("k3s-supervisor@{}", text(&server["metadata"]["name"]));
    let written = call.update(Part::Whole, false, &|live| {
        let mut next = live.clone();
        next["data"]["NodeHosts"] = hosts.clone().into();
        Ok(served.own(live, next, &call))
    });
    desk.heard(&map, written);
}

/// A line an address, with the names of the node that has it.
fn hosts<'a>(nodes: impl Iterator<Item = &'a Value>) -> String {
    let mut lines: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        let addresses = list(&node["status"]["addresses"]);
        let of = |kind: &'static str| addresses.iter().filter(move |a| a["type"] == kind).map(|a| text(&a["address"]));
        for address in of("InternalIP").filter_map(|address| address.parse().ok()) {
            let names = lines.entry(address).or_default();
            for name in std::iter::once(text(&node["metadata"]["name"])).chain(of("Hostname")) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    lines.iter().map(|(address, names)| format!("{address} {}\n", names.join(" "))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_have_lines_with_their_names() {
        let node = |name: &str, address: &str, host: &str| {
            let addresses = json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": host}]);
            json!({"metadata": {"name": name}, "status": {"addresses": addresses}})
        };
        let nodes = [node("b", "192.0.2.2", "b"), node("a", "192.0.2.1", "host-of-a")];
        assert_eq!(hosts(nodes.iter()), "192.0.2.1 a host-of-a\n192.0.2.2 b\n");
    }
}
