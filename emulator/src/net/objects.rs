//! What the network and DNS read of Services and EndpointSlices.

use std::collections::BTreeMap;

use k3s_arc_container::Transport;
use serde::{Deserialize, Deserializer};

/// The label by which a slice says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: BTreeMap<String, String>,
}

/// A Service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) spec: ServiceSpec,
    status: ServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_empty")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "null_is_empty")]
    external_ips: Vec<String>,
    pub(crate) external_name: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) session_affinity: String,
    pub(crate) session_affinity_config: Option<AffinityConfig>,
    pub(crate) internal_traffic_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AffinityConfig {
    #[serde(rename = "clientIP")]
    pub(crate) client_ip: ClientIp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ClientIp {
    pub(crate) timeout_seconds: Option<u64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) port: u16,
    pub(crate) node_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    #[serde(deserialize_with = "null_is_empty")]
    ingress: Vec<Ingress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: String,
}

impl Service {
    /// Its addresses within the cluster; `None` for a headless one.
    pub(crate) fn cluster_ips(&self) -> &[String] {
        if self.spec.cluster_ips.is_empty() { std::slice::from_ref(&self.spec.cluster_ip) } else { &self.spec.cluster_ips }
    }

    /// Whether its name stands for its endpoints.
    pub(crate) fn is_headless(&self) -> bool {
        self.cluster_ips().first().is_some_and(|ip| ip == "None")
    }

    /// Addresses outside of the cluster that are its own.
    pub(crate) fn external_ips(&self) -> impl Iterator<Item = &str> {
        let balanced = self.status.load_balancer.ingress.iter().map(|ingress| ingress.ip.as_str());
        self.spec.external_ips.iter().map(String::as_str).chain(balanced).filter(|ip| !ip.is_empty())
    }
}

/// An EndpointSlice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Slice {
    metadata: Metadata,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) ports: Vec<EndpointPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Endpoint {
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) addresses: Vec<String>,
    pub(crate) conditions: Conditions,
    pub(crate) hostname: Option<String>,
    pub(crate) target_ref: Option<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Target {
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointPort {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) port: Option<u16>,
}

impl Slice {
    /// The name of the Service whose endpoints these are.
    pub(crate) fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SERVICE_NAME).map(String::as_str)
    }
}

impl Endpoint {
    /// Unknown counts as ready, says the API.
    pub(crate) fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }

    /// Whether it still serves while it is on its way out.
    pub(crate) fn is_last_resort(&self) -> bool {
        self.conditions.serving.unwrap_or(self.is_ready()) && self.conditions.terminating.unwrap_or(false)
    }
}

/// A protocol by the name that objects have for it.
pub(crate) fn transport(protocol: &str) -> Option<Transport> {
    match protocol {
        "TCP" | "" => Some(Transport::Tcp),
        "UDP" => Some(Transport::Udp),
        _ => None,
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
