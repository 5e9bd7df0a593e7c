//! A VM that starts with another address than the one that its datastore knows.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};

use super::MultipassError;
use crate::{
    cluster::{ClusterSpec, Packaged, coredns::refresh_dns, ready},
    wait::{self, Seen},
};

/// Waits until K3s has forgotten the old address. For 15 s, which is for how long an API server counts as one that lives, both are those of the
/// Service `kubernetes`; after that K3s's own connections to its nodes are made anew, and what goes through them then, such as a log, breaks off.
pub(super) async fn settled(
    client: &Client,
    spec: &ClusterSpec,
    address: Ipv4Addr,
    deadline: Duration,
    stage: &ready::Stage,
) -> Result<(), MultipassError> {
    stage.enter("an API that answers");
    ready::answering(client).await;
    let not_served = |source| MultipassError::NotServed { source };
    if spec.has(Packaged::Coredns) {
        stage.enter("CoreDNS to be told the node's address");
        refresh_dns(client, &address.to_string(), deadline).await.map_err(not_served)?;
    }
    stage.enter("the API to be known at the node's address alone");
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let what = format!("the API is known at {address} alone");
    let settled = wait::until(slices, wait::named("kubernetes"), what, deadline, |slices| only(slices, address));
    settled.await.map_err(|error| not_served(error.into()))
}

fn only(slices: &[EndpointSlice], address: Ipv4Addr) -> Seen<()> {
    let known: Vec<&String> = slices.iter().flat_map(|slice| &slice.endpoints).flat_map(|endpoint| &endpoint.addresses).collect();
    match known[..] {
        [one] if *one == address.to_string() => Seen::Done(()),
        _ => Seen::NotYet(format!("it is known at {known:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_address_is_waited_out() {
        let slices = |addresses: &[&str]| {
            let endpoints: Vec<_> = addresses.iter().map(|address| serde_json::json!({"addresses": [address]})).collect();
            let slice = serde_json::json!({"addressType": "IPv4", "metadata": {"name": "kubernetes"}, "endpoints": endpoints});
            vec![serde_json::from_value::<EndpointSlice>(slice).unwrap()]
        };
        let is_settled = |addresses: &[&str]| matches!(only(&slices(addresses), Ipv4Addr::new(10, 0, 0, 2)), Seen::Done(()));
        assert!(is_settled(&["10.0.0.2"]));
        assert!(!is_settled(&["10.0.0.1", "10.0.0.2"]) && !is_settled(&["10.0.0.1"]) && !is_settled(&[]));
    }
}
