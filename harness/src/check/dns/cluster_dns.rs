//! What the API says of the cluster's DNS: its Service, its zone, and the hosts file that K3s keeps for it.

use k8s_openapi::api::core::v1::{ConfigMap, Service};

use crate::check::{Context, Failure};

/// The namespace of K3s's own components.
pub(super) const NAMESPACE: &str = "kube-system";
/// The zone of a K3s that was not told another one (`--cluster-domain`).
const DEFAULT_ZONE: &str = "cluster.local";

/// The cluster's DNS as the API describes it.
#[derive(Debug)]
pub(super) struct ClusterDns {
    /// The addresses of Service `kube-dns`: what the kubelet writes into pods' `resolv.conf`.
    pub(super) addresses: Vec<String>,
    /// The cluster's zone, without the last dot: `cluster.local`.
    pub(super) zone: String,
    /// The hosts file of node names, which K3s keeps (`NodeHosts` of ConfigMap `coredns`).
    pub(super) node_hosts: String,
}

impl ClusterDns {
    /// Reads it.
    pub(super) async fn read(cx: &Context) -> Result<Self, Failure> {
        let service = cx.api_in::<Service>(NAMESPACE).get("kube-dns").await?;
        // Only K3s is certain to have it under this name.
        let config =
            cx.api_in::<ConfigMap>(NAMESPACE).get_opt("coredns").await?.and_then(|config| config.data).unwrap_or_default();
        Ok(Self {
            addresses: service.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default(),
            zone: config.get("Corefile").and_then(|corefile| zone(corefile)).unwrap_or(DEFAULT_ZONE).to_owned(),
            node_hosts: config.get("NodeHosts").cloned().unwrap_or_default(),
        })
    }

    /// The complete name of a Service, without the last dot.
    pub(super) fn service(&self, name: &str, namespace: &str) -> String {
        format!("{name}.{namespace}.svc.{}", self.zone)
    }
}

/// The first zone of the Corefile's `kubernetes` plugin: the cluster's; what follows are those of reverse look-ups.
fn zone(corefile: &str) -> Option<&str> {
    corefile.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("kubernetes")).then(|| words.next().filter(|word| *word != "{"))?
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_k3s(
        ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n      pods insecure\n",
        Some("cluster.local")
    )]
    #[case::of_the_users("kubernetes k3s.example in-addr.arpa {", Some("k3s.example"))]
    #[case::of_the_servers_block("kubernetes {", None)]
    #[case::without_the_plugin(".:53 {\n forward . /etc/resolv.conf\n}", None)]
    fn the_zone_is_read_from_the_corefile(#[case] corefile: &str, #[case] expected: Option<&str>) {
        assert_eq!(zone(corefile), expected);
    }
}
