//! Services as addresses and ports, and the endpoints behind them: what kube-proxy makes iptables rules of (`pkg/proxy`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k3s_arc_container::Transport;

use super::API_PORT;
use super::mirror::Mirror;
use super::objects::{Service, Slice, transport};
use crate::node::address_of;
use crate::store::Store;

/// `DefaultClientIPServiceAffinitySeconds`.
const AFFINITY: Duration = Duration::from_secs(10_800);
/// The service of the API server.
const API: (&str, &str) = ("default", "kubernetes");

/// Where a connection to a service goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    /// An endpoint's address and port.
    Endpoint(SocketAddr),
    /// The API server's.
    Api,
    /// There is none: kube-proxy rejects.
    None,
}

/// A port of a service.
#[derive(Debug)]
struct Port {
    endpoints: Vec<SocketAddr>,
    /// Whether only endpoints on the client's own node may be chosen.
    local: bool,
    affinity: Option<Duration>,
    is_api: bool,
}

/// What services make of addresses.
#[derive(Debug)]
pub(super) struct Services {
    services: Mirror<Service>,
    slices: Mirror<Slice>,
    ports: HashMap<(SocketAddr, Transport), Arc<Port>>,
    node_ports: HashMap<(u16, Transport), Arc<Port>>,
    /// By client and what it connected to: where it went, and until when it goes there again.
    sticky: HashMap<(IpAddr, SocketAddr), (SocketAddr, Instant)>,
    turn: usize,
}

impl Services {
    pub(super) fn new() -> Self {
        Self {
            services: Mirror::new("services"),
            slices: Mirror::new("endpointslices.discovery.k8s.io"),
            ports: HashMap::new(),
            node_ports: HashMap::new(),
            sticky: HashMap::new(),
            turn: 0,
        }
    }

    /// Follows the store.
    pub(super) fn refresh(&mut self, store: &Store) {
        let changed = [self.services.refresh(store), self.slices.refresh(store)];
        if changed.contains(&true) {
            self.index();
        }
    }

    fn index(&mut self) {
        self.ports.clear();
        self.node_ports.clear();
        let mut slices: HashMap<(&str, &str), Vec<&Slice>> = HashMap::new();
        for (namespace, _, slice) in self.slices.iter() {
            if let Some(service) = slice.service() {
                slices.entry((namespace, service)).or_default().push(slice);
            }
        }
        for (namespace, name, service) in self.services.iter() {
            if service.spec.kind == "ExternalName" {
                continue;
            }
            let addresses: Vec<IpAddr> = service
                .cluster_ips()
                .iter()
                .map(String::as_str)
                .chain(service.external_ips())
                .filter_map(|ip| ip.parse().ok())
                .collect();
            let own = slices.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
            let sticky = (service.spec.session_affinity == "ClientIP").then(|| {
                let config = service.spec.session_affinity_config.as_ref();
                config.and_then(|config| config.client_ip.timeout_seconds).map_or(AFFINITY, Duration::from_secs)
            });
            for port in &service.spec.ports {
                let Some(transport) = transport(&port.protocol) else { continue };
                let mut endpoints = endpoints(own, &port.name, transport);
                let is_api = (namespace, name) == API;
                if is_api {
                    // It is there, whatever nodes there are.
                    endpoints.retain(|endpoint| *endpoint != SocketAddr::new(address_of(0), API_PORT));
                }
                let target = Arc::new(Port {
                    endpoints,
                    local: service.spec.internal_traffic_policy.as_deref() == Some("Local"),
                    affinity: sticky,
                    is_api,
                });
                for address in &addresses {
                    self.ports.insert((SocketAddr::new(*address, port.port), transport), target.clone());
                }
                if port.node_port != 0 {
                    self.node_ports.insert((port.node_port, transport), target);
                }
            }
        }
    }

    /// Where a connection to an address and port goes, if that is a service's. `is_near` tells the client's own node.
    pub(super) fn at(
        &mut self,
        client: IpAddr,
        to: SocketAddr,
        transport: Transport,
        is_near: impl Fn(IpAddr) -> bool,
    ) -> Option<Backend> {
        let port = self.ports.get(&(to, transport))?.clone();
        Some(self.choose(client, to, &port, is_near))
    }

    /// The same for a port of a node.
    pub(super) fn at_node(&mut self, client: IpAddr, to: SocketAddr, transport: Transport) -> Option<Backend> {
        let port = self.node_ports.get(&(to.port(), transport))?.clone();
        Some(self.choose(client, to, &port, |_| true))
    }

    fn choose(&mut self, client: IpAddr, to: SocketAddr, port: &Port, is_near: impl Fn(IpAddr) -> bool) -> Backend {
        let mut candidates = port.endpoints.clone();
        if port.is_api && candidates.is_empty() {
            return Backend::Api;
        }
        if port.local {
            candidates.retain(|endpoint| is_near(endpoint.ip()));
        }
        let Some(last) = candidates.len().checked_sub(1) else { return Backend::None };
        let now = Instant::now();
        let key = (client, to);
        let chosen = match self.sticky.get(&key) {
            Some((endpoint, until)) if *until > now && candidates.contains(endpoint) => *endpoint,
            _ => {
                self.turn = self.turn.wrapping_add(1);
                candidates[self.turn % (last + 1)]
            }
        };
        if let Some(affinity) = port.affinity {
            self.sticky.retain(|_, (_, until)| *until > now);
            self.sticky.insert(key, (chosen, now + affinity));
        }
        Backend::Endpoint(chosen)
    }
}

/// The endpoints that a port of a service has: those that are ready; failing these, those that serve to their end
/// (`pkg/proxy/topology.go`).
fn endpoints(slices: &[&Slice], port: &str, protocol: Transport) -> Vec<SocketAddr> {
    let (mut ready, mut last_resort) = (Vec::new(), Vec::new());
    for slice in slices {
        let is_it = |name: &Option<String>| name.as_deref().unwrap_or_default() == port;
        let known = slice
            .ports
            .iter()
            .find(|known| is_it(&known.name) && transport(known.protocol.as_deref().unwrap_or_default()) == Some(protocol));
        let Some(number) = known.and_then(|known| known.port) else { continue };
        for endpoint in &slice.endpoints {
            // The addresses of one endpoint are one and the same.
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            if endpoint.is_ready() {
                ready.push(SocketAddr::new(address, number));
            } else if endpoint.is_last_resort() {
                last_resort.push(SocketAddr::new(address, number));
            }
        }
    }
    let mut chosen = if ready.is_empty() { last_resort } else { ready };
    chosen.sort();
    chosen.dedup();
    chosen
}
