//! The cluster's objects, by what they are asked for: what CoreDNS's informers keep (`plugin/kubernetes/controller.go`).

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::net::mirror::Mirror;
use crate::net::objects::{EndpointPort, Service, Slice};
use crate::store::Store;

/// What matters of a namespace: that it is there.
#[derive(Debug, Default, Deserialize)]
struct Namespace {}

/// What matters of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: PodMetadata,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodMetadata {
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
}

/// A ready endpoint.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    /// Its name below its service.
    pub(super) host: String,
}

/// The ready endpoints of a slice, and its ports; of one without ports, a port without a number.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) addresses: Vec<Address>,
    pub(super) ports: Vec<EndpointPort>,
}

type Named = (String, String);

/// The objects as of one moment.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    namespaces: BTreeSet<String>,
    services: HashMap<Named, Arc<Service>>,
    by_cluster_ip: HashMap<IpAddr, Named>,
    /// By the namespace and name of their service.
    endpoints: HashMap<Named, Vec<Arc<Endpoints>>>,
    by_address: HashMap<IpAddr, Vec<(Named, String)>>,
    /// Namespaces and addresses of pods that are not over.
    pods: BTreeSet<(String, IpAddr)>,
    /// When it was last seen to change: seconds since 1970.
    pub(super) serial: u32,
}

/// Keeps a catalog up to date.
#[derive(Debug)]
pub(super) struct Follower {
    namespaces: Mirror<Namespace>,
    services: Mirror<Service>,
    slices: Mirror<Slice>,
    /// None: nobody asks for pods.
    pods: Option<Mirror<Pod>>,
    /// Whether endpoints have the names of their pods.
    pod_names: bool,
    now: Arc<Catalog>,
}

impl Follower {
    pub(super) fn new(with_pods: bool, pod_names: bool) -> Self {
        Self {
            namespaces: Mirror::new("namespaces"),
            services: Mirror::new("services"),
            slices: Mirror::new("endpointslices.discovery.k8s.io"),
            pods: with_pods.then(|| Mirror::new("pods")),
            pod_names,
            now: Arc::default(),
        }
    }

    /// The objects as they are.
    pub(super) fn catalog(&mut self, store: &Store, now: i64) -> Arc<Catalog> {
        let namespaces = self.namespaces.refresh(store);
        let records = [
            self.services.refresh(store),
            self.slices.refresh(store),
            self.pods.as_mut().is_some_and(|pods| pods.refresh(store)),
        ];
        if namespaces || records.contains(&true) {
            let serial = if records.contains(&true) { u32::try_from(now).unwrap_or(u32::MAX) } else { self.now.serial };
            self.now = Arc::new(self.build(serial));
        }
        self.now.clone()
    }

    fn build(&self, serial: u32) -> Catalog {
        let mut catalog = Catalog { serial, ..Catalog::default() };
        catalog.namespaces = self.namespaces.iter().map(|(_, name, _)| name.to_owned()).collect();
        for (namespace, name, service) in self.services.iter() {
            let key = (namespace.to_owned(), name.to_owned());
            for address in service.cluster_ips().iter().filter_map(|ip| ip.parse().ok()) {
                catalog.by_cluster_ip.insert(address, key.clone());
            }
            catalog.services.insert(key, service.clone());
        }
        for (namespace, _, slice) in self.slices.iter() {
            let key = (namespace.to_owned(), slice.service().unwrap_or_default().to_owned());
            let endpoints = self.endpoints(slice);
            for address in &endpoints.addresses {
                catalog.by_address.entry(address.ip).or_default().push((key.clone(), address.host.clone()));
            }
            catalog.endpoints.entry(key).or_default().push(Arc::new(endpoints));
        }
        for (namespace, _, pod) in self.pods.iter().flat_map(Mirror::iter) {
            let over = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed" | "Unknown");
            if let (false, None, Ok(address)) = (over, &pod.metadata.deletion_timestamp, pod.status.pod_ip.parse()) {
                catalog.pods.insert((namespace.to_owned(), address));
            }
        }
        catalog
    }

    fn endpoints(&self, slice: &Slice) -> Endpoints {
        let ready = slice.endpoints.iter().filter(|endpoint| endpoint.is_ready());
        let addresses = ready.flat_map(|endpoint| {
            let hostname = endpoint.hostname.as_deref().filter(|name| !name.is_empty());
            let pod = endpoint.target_ref.as_ref().map(|target| target.name.as_str());
            // A name longer than a label is none.
            let pod = pod.filter(|name| self.pod_names && !name.is_empty() && name.len() < 64);
            endpoint.addresses.iter().filter_map(move |text| {
                let host = hostname.or(pod).map_or_else(|| dashed(text), str::to_owned);
                Some(Address { ip: text.parse().ok()?, host })
            })
        });
        let mut ports = slice.ports.clone();
        if ports.is_empty() {
            ports.push(EndpointPort::default());
        }
        Endpoints { addresses: addresses.collect(), ports }
    }
}

/// An address as a label.
fn dashed(address: &str) -> String {
    let dashed = address.replace(['.', ':'], "-");
    if address.contains(':') && dashed.ends_with('-') { dashed + "0" } else { dashed }
}

impl Catalog {
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned())).map(AsRef::as_ref)
    }

    pub(super) fn endpoints(&self, namespace: &str, service: &str) -> &[Arc<Endpoints>] {
        self.endpoints.get(&(namespace.to_owned(), service.to_owned())).map(Vec::as_slice).unwrap_or_default()
    }

    /// The namespace and name of the service with that cluster IP.
    pub(super) fn service_at(&self, address: IpAddr) -> Option<&Named> {
        self.by_cluster_ip.get(&address)
    }

    /// The services that have an address as a ready endpoint, and its name below each.
    pub(super) fn endpoints_at(&self, address: IpAddr) -> &[(Named, String)] {
        self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn has_pod(&self, namespace: &str, address: IpAddr) -> bool {
        self.pods.contains(&(namespace.to_owned(), address))
    }
}
