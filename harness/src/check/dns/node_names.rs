//! The nodes' names, which K3s serves to pods from a hosts file.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::{ResourceExt, api::ListParams};

use super::{cluster_dns::ClusterDns, objects::reverse_name, survey::Survey};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::dns::Kind,
};

/// Do pods resolve the nodes' names, as far as K3s serves them?
///
/// A pod asks CoreDNS, and CoreDNS knows a node only from `NodeHosts` of ConfigMap `kube-system/coredns`, a hosts file that
/// K3s writes (k3s-io/k3s issue 1527 has the history). On a cloud the provider's DNS knows every machine instead, by a name
/// with a domain, for whoever asks.
pub const NODE_NAMES: Check = Check {
    area: Area::Dns,
    name: "node_names",
    question: "Do pods resolve the nodes' names, as far as K3s serves them?",
    needs: &[Capability::KubeDns, Capability::K3s],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let nodes = nodes(cx).await?;
    evidence.saw("NodeHosts in ConfigMap kube-system/coredns", &dns.node_hosts);

    for (node, address) in &nodes {
        let names = names_of(&dns.node_hosts, *address);
        evidence.require(
            names.contains(&node.as_str()),
            format!("NodeHosts has node {node} at {address}"),
            format!("at {address}: {}", names.join(" ")),
        )?;
    }
    survey(&nodes, &dns, cx.namespace()).run(cx, evidence).await?;

    evidence.saw(
        "unlike a cloud's DNS",
        format!(
            "K3s serves the bare node name, to pods alone, from a hosts file; it has no name with a domain for a node, neither \
             <node>.{} nor one of a provider's, and a reverse look-up gives the bare name. Who needs names with a domain \
             (Kerberos, for an ActiveDirectoryConnector) forwards a zone in ConfigMap kube-system/coredns-custom.",
            dns.zone
        ),
    );
    Ok(())
}

/// The nodes' names and addresses.
pub(super) async fn nodes(cx: &Context) -> Result<Vec<(String, IpAddr)>, Failure> {
    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?;
    nodes.iter().map(|node| Ok((node.name_any(), internal_ip(node)?))).collect()
}

/// What is resolved of each node's names, and what is not.
pub(super) fn survey(nodes: &[(String, IpAddr)], dns: &ClusterDns, namespace: &str) -> Survey {
    let mut survey = Survey::new();
    for (node, address) in nodes {
        let kind = if address.is_ipv4() { Kind::A } else { Kind::Aaaa };
        survey
            .records(kind, node, [address])
            .found(node, node, [*address])
            .records(
                Kind::Ptr,
                &reverse_name(*address),
                names_of(&dns.node_hosts, *address).iter().map(|name| format!("{name}.")),
            )
            .missing(kind, &format!("{node}.{}", dns.zone), &dns.zone)
            .missing(kind, &dns.service(node, namespace), &dns.zone);
    }
    survey
}

fn internal_ip(node: &Node) -> Result<IpAddr, Failure> {
    let mut addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let address = addresses.find(|address| address.type_ == "InternalIP").map_or("none", |address| address.address.as_str());
    address.parse().map_err(|_| Failure::new(format!("node {} has an InternalIP", node.name_any()), address))
}

/// The names that a hosts file has for an address.
fn names_of(hosts: &str, address: IpAddr) -> Vec<&str> {
    hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()?.parse() == Ok(address)).then_some(words)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_has_names_for_an_address() {
        let hosts = "172.17.0.2 server-0 e7340d35e6af\n# 172.17.0.2 old\n172.17.0.3 agent-0 # the second\n172.17.0.2\tmore\n";
        assert_eq!(names_of(hosts, "172.17.0.2".parse().unwrap()), ["server-0", "e7340d35e6af", "more"]);
        assert_eq!(names_of(hosts, "172.17.0.3".parse().unwrap()), ["agent-0"]);
        assert_eq!(names_of(hosts, "172.17.0.4".parse().unwrap()), [""; 0]);
    }
}
