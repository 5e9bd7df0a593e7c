//! A node that came from an entry, and has another address than the one the entry was made on.
//!
//! K3s tells CoreDNS the nodes' addresses by the ConfigMap that it mounts. In a boot from nothing it does before CoreDNS starts; in a boot
//! from an entry CoreDNS starts with the entry's, and would answer with it for a minute and more.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};

use crate::wait::{self, Seen};

/// Lets CoreDNS begin anew once K3s has told it where the node is now. That it then answers is for the proof of the boot to find.
pub(super) async fn refresh_dns(
    client: &Client,
    address: &str,
    deadline: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let config: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let what = format!("CoreDNS is told that the node is at {address}");
    wait::until(config, wait::named("coredns"), what, deadline, |found| {
        let hosts = found.first().and_then(|config| config.data.as_ref()?.get("NodeHosts"));
        match hosts.filter(|hosts| is_listed(hosts, address)) {
            Some(_) => Seen::Done(()),
            None => Seen::NotYet(hosts.map_or("it is told of no node".to_owned(), |hosts| hosts.trim().to_owned())),
        }
    })
    .await?;
    // Not `delete_collection`, which would also take what is created meanwhile.
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    for pod in pods.list(&ListParams::default().labels("k8s-app=kube-dns")).await? {
        let Some(name) = pod.metadata.name else { continue };
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    }
    Ok(())
}

fn is_listed(hosts: &str, address: &str) -> bool {
    hosts.lines().any(|line| line.split_whitespace().next() == Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_listed_as_a_whole() {
        let hosts = "172.17.0.22 k3s-arc-server-0\n";
        assert!(is_listed(hosts, "172.17.0.22"));
        assert!(!is_listed(hosts, "172.17.0.2") && !is_listed("", "172.17.0.2"));
    }
}
