//! The Services and workloads whose names are asked for.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, DeploymentSpec, StatefulSet, StatefulSetSpec},
        core::v1::{Pod, PodTemplateSpec, Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    check::{Context, Failure},
    probe::{Probe, Request},
    wait::{self, Seen},
};

/// How long pods that need no volume may take to be ready.
const PODS_READY: Duration = Duration::from_secs(60);
/// The label by which Services select their pods.
pub(super) const BACKEND: &str = "k3s-arc/backend";

/// Makes an object in the check's namespace.
pub(super) async fn create<K>(cx: &Context, object: &K) -> Result<K, Failure>
where
    K: Resource<Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    K::DynamicType: Default,
{
    Ok(cx.api::<K>().create(&PostParams::default(), object).await?)
}

/// A Service with a cluster IP and these named ports (name, protocol, number), for the pods of `backend` if for any.
pub(super) fn service(name: &str, backend: Option<&str>, ports: &[(&str, &str, i32)]) -> Service {
    Service {
        metadata: named(name),
        spec: Some(ServiceSpec {
            selector: backend.map(labels),
            ports: Some(
                ports
                    .iter()
                    .map(|&(name, protocol, port)| ServicePort {
                        name: Some(name.to_owned()),
                        protocol: Some(protocol.to_owned()),
                        port,
                        ..ServicePort::default()
                    })
                    .collect(),
            ),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The same without a cluster IP: its name stands for the pods' own addresses.
pub(super) fn headless(name: &str, backend: Option<&str>, ports: &[(&str, &str, i32)]) -> Service {
    let mut service = service(name, backend, ports);
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
    }
    service
}

/// The cluster IP that the API gave a Service.
pub(super) fn cluster_ip(service: &Service) -> Result<IpAddr, Failure> {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or("none");
    address.parse().map_err(|_| Failure::new(format!("Service {} has a cluster IP", service.name_any()), address))
}

/// Endpoints of a Service that selects no pods: as many addresses of 198.18.0.0/15, which is for benchmarks (RFC 2544)
/// and so nobody's.
pub(super) fn endpoints(service: &str, count: u8) -> EndpointSlice {
    let labels = [("kubernetes.io/service-name", service), ("endpointslice.kubernetes.io/managed-by", "k3s-arc")];
    EndpointSlice {
        metadata: ObjectMeta {
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..named(service)
        },
        address_type: "IPv4".to_owned(),
        endpoints: (1..=count)
            .map(|host| Endpoint {
                addresses: vec![endpoint_address(host).to_string()],
                conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
                ..Endpoint::default()
            })
            .collect(),
        ports: Some(vec![EndpointPort { port: Some(80), ..EndpointPort::default() }]),
    }
}

/// The address of one of [`endpoints`], counted from 1.
pub(super) fn endpoint_address(host: u8) -> IpAddr {
    IpAddr::from([198, 18, 0, host])
}

/// A Deployment of pods that only stay.
pub(super) fn deployment(cx: &Context, backend: &str, replicas: i32) -> Deployment {
    Deployment {
        metadata: named(backend),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            // Its own label, so that it minds no pod but its own.
            selector: LabelSelector { match_labels: Some(own_labels(backend)), ..LabelSelector::default() },
            template: template(cx, backend),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// A StatefulSet of pods that only stay, started at once; its Service has its name.
pub(super) fn stateful_set(cx: &Context, backend: &str, replicas: i32) -> StatefulSet {
    StatefulSet {
        metadata: named(backend),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(backend.to_owned()),
            pod_management_policy: Some("Parallel".to_owned()),
            selector: LabelSelector { match_labels: Some(own_labels(backend)), ..LabelSelector::default() },
            template: template(cx, backend),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// A pod of `backend` that only stays, and belongs to no workload.
pub(super) fn pod(cx: &Context, backend: &str) -> Pod {
    let mut pod = Probe::new(backend).asking(Request::Stay).pod(cx.cluster().standin_image());
    pod.labels_mut().extend(labels(backend));
    pod
}

fn template(cx: &Context, backend: &str) -> PodTemplateSpec {
    let mut pod = pod(cx, backend);
    pod.labels_mut().extend(own_labels(backend));
    pod.metadata.generate_name = None;
    if let Some(spec) = &mut pod.spec {
        spec.restart_policy = None;
    }
    PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec }
}

fn labels(backend: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(BACKEND.to_owned(), backend.to_owned())])
}

fn own_labels(backend: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("k3s-arc/workload".to_owned(), backend.to_owned())])
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Waits until exactly `count` pods with a label are ready and no other is on its way out, and gives those that are ready.
pub(super) async fn ready_pods(cx: &Context, namespace: &str, label: (&str, &str), count: usize) -> Result<Vec<Pod>, Failure> {
    let selector = format!("{}={}", label.0, label.1);
    let what = format!("{count} pods with {selector} in {namespace} are ready");
    let pods = wait::until(cx.api_in::<Pod>(namespace), wait::labelled(&selector), what, PODS_READY, |pods| {
        let ready: Vec<Pod> = pods.iter().filter(|pod| is_ready(pod)).cloned().collect();
        if ready.len() == count && pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_none()) {
            Seen::Done(ready)
        } else {
            Seen::NotYet(format!("{} ready of {}", ready.len(), pods.len()))
        }
    });
    Ok(pods.await?)
}

/// Whether its condition says so.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod's address.
pub(super) fn pod_ip(pod: &Pod) -> Result<IpAddr, Failure> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or("none");
    address.parse().map_err(|_| Failure::new(format!("pod {} has an address", pod.name_any()), address))
}

/// The name under which an address is looked up in reverse (RFC 1035, 3.5; RFC 3596, 2.5), without the last dot.
pub(super) fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::v4("10.43.0.1", "1.0.43.10.in-addr.arpa")]
    #[case::v6("2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")]
    fn an_address_has_a_name_in_reverse(#[case] address: IpAddr, #[case] name: &str) {
        assert_eq!(reverse_name(address), name);
    }
}
