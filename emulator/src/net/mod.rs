//! The cluster's network: which addresses pods and services have, and which sockets of this machine's loopback are behind them.
//!
//! Nothing is sent to 10.42.0.0/16 or 10.43.0.0/16. A pod's port is a socket on an address of 127.0.0.0/8 that stands for the pod
//! ([`sockets`]), and who connects asks [`Net::route`] first, which decides as the rules of kube-proxy and the routes of flannel
//! would: pods by their address, services by one of their endpoints ([`services`]), nodes by their node ports and their own.
//!
//! NetworkPolicies, which K3s enforces with kube-router, are not: everybody reaches everybody. Neither is SCTP.

mod leases;
pub(crate) mod mirror;
pub(crate) mod objects;
mod services;
mod sockets;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use k3s_arc_container::{Net, Transport};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::cluster::Cluster;
use crate::node::address_of;
use leases::{BRIDGE, Leases};
use services::{Backend, Services};
use sockets::Sockets;

/// Where the API server listens on its node.
pub(crate) const API_PORT: u16 = 6443;

#[derive(Debug, Default)]
struct Addresses {
    /// By the number of the node.
    leases: HashMap<u8, Leases>,
    pods: HashMap<Ipv4Addr, Weak<Sockets>>,
    /// The nodes' own ports: those of pods with `hostNetwork`.
    nodes: HashMap<u8, Arc<Sockets>>,
}

/// A cluster's network.
#[derive(Debug)]
pub(crate) struct Network {
    /// Where the API is served.
    api: SocketAddr,
    /// The second octet of the addresses of 127.0.0.0/8 behind it; another network has another one, most likely.
    octet: u8,
    cluster: OnceLock<Weak<Cluster>>,
    addresses: Mutex<Addresses>,
    services: Mutex<Services>,
}

impl Network {
    pub(crate) fn new(api: SocketAddr) -> Self {
        // 127.0.0.0/16 has what others listen at.
        let octet = 1 + uuid::Uuid::new_v4().as_bytes()[0] % 254;
        Self { api, octet, cluster: OnceLock::new(), addresses: Mutex::default(), services: Mutex::new(Services::new()) }
    }

    /// Tells it whose services there are.
    pub(crate) fn serve(&self, cluster: &Arc<Cluster>) {
        // A network has one cluster: the first.
        let _ = self.cluster.set(Arc::downgrade(cluster));
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn real(&self, node: u8, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.octet, node, host)
    }

    /// Gives a new pod of a node an address; it has it until the last holder lets go of it.
    pub(crate) fn attach(self: &Arc<Self>, node: u8) -> Result<Arc<PodNet>, String> {
        let mut addresses = self.addresses();
        self.node(&mut addresses, node);
        let host = addresses.leases.entry(node).or_default().reserve(node)?;
        let address = leases::address(node, host);
        let sockets = Arc::new(Sockets::new(self.real(node, host)));
        addresses.pods.insert(address, Arc::downgrade(&sockets));
        Ok(Arc::new(PodNet { address, node, lease: Some(host), sockets, network: self.clone() }))
    }

    /// A node's own network: what pods with `hostNetwork` have.
    pub(crate) fn host(self: &Arc<Self>, node: u8) -> Arc<PodNet> {
        let sockets = self.node(&mut self.addresses(), node);
        Arc::new(PodNet { address: node_address(node), node, lease: None, sockets, network: self.clone() })
    }

    fn node(&self, addresses: &mut Addresses, node: u8) -> Arc<Sockets> {
        addresses.nodes.entry(node).or_insert_with(|| Arc::new(Sockets::new(self.real(node, BRIDGE)))).clone()
    }

    /// The ports of an address of the cluster: a pod's, a node's, or a node's on its bridge. `Err`: nobody has it.
    fn owner(&self, address: Ipv4Addr) -> Option<io::Result<Owner>> {
        let unreachable = || io::Error::from(io::ErrorKind::HostUnreachable);
        let addresses = self.addresses();
        let node = addresses.nodes.iter().find(|(number, _)| node_address(**number) == address);
        if let Some((number, sockets)) = node {
            return Some(Ok(Owner::Node(*number, sockets.clone())));
        }
        let [10, 42, node, host] = address.octets() else {
            let [first, second, third, _] = address.octets();
            return (node_address(0).octets()[..3] == [first, second, third]).then(|| Err(unreachable()));
        };
        if host == BRIDGE {
            return Some(addresses.nodes.get(&node).map(|sockets| Owner::Node(node, sockets.clone())).ok_or_else(unreachable));
        }
        Some(addresses.pods.get(&address).and_then(Weak::upgrade).map(Owner::Pod).ok_or_else(unreachable))
    }

    fn with_services<T>(&self, look: impl FnOnce(&mut Services) -> T) -> T {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = self.cluster.get().and_then(Weak::upgrade) {
            services.refresh(&cluster.store);
        }
        look(&mut services)
    }

    /// Where an address is really reached from a client of the cluster.
    fn route(&self, client: &PodNet, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
        let near = |address: IpAddr| self.node_of(address) == Some(client.node);
        match self.with_services(|services| services.at(client.address(), to, transport, near)) {
            Some(backend) => return self.backend(backend, transport),
            // Iptables has no rule for it, and the packet goes where 10.43.0.0/16 would be: nobody answers. Who connects runs into
            // a timeout there; here he is told at once.
            None if is_service(to.ip()) => return Err(io::ErrorKind::HostUnreachable.into()),
            None => {}
        }
        match to.ip() {
            IpAddr::V4(address) => match self.owner(address) {
                Some(Ok(Owner::Node(_, _))) => {
                    if let Some(backend) = self.with_services(|services| services.at_node(client.address(), to, transport)) {
                        return self.backend(backend, transport);
                    }
                    self.reach(to, transport)
                }
                _ => self.reach(to, transport),
            },
            IpAddr::V6(_) => Ok(to),
        }
    }

    fn backend(&self, backend: Backend, transport: Transport) -> io::Result<SocketAddr> {
        match backend {
            Backend::Api => Ok(self.api),
            Backend::Endpoint(endpoint) => self.reach(endpoint, transport),
            Backend::None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Where an address that is not a service's is reached.
    fn reach(&self, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
        let IpAddr::V4(address) = to.ip() else { return Ok(to) };
        match self.owner(address) {
            // The world outside is itself.
            None => Ok(to),
            Some(owner) => match owner? {
                Owner::Pod(sockets) => sockets.find(to.port(), transport),
                Owner::Node(0, _) if (to.port(), transport) == (API_PORT, Transport::Tcp) => Ok(self.api),
                // Port 10250 with the others: the kubelet's own API is not served, the API server speaks to it without.
                Owner::Node(_, sockets) => sockets.find(to.port(), transport),
            },
        }
    }

    fn node_of(&self, address: IpAddr) -> Option<u8> {
        let IpAddr::V4(address) = address else { return None };
        match address.octets() {
            [10, 42, node, _] => Some(node),
            _ => self.addresses().nodes.keys().find(|number| node_address(**number) == address).copied(),
        }
    }
}

enum Owner {
    Pod(Arc<Sockets>),
    Node(u8, Arc<Sockets>),
}

fn node_address(number: u8) -> Ipv4Addr {
    match address_of(number) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// Whether an address is of the network of services (K3s's `--service-cidr`).
fn is_service(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [10, 43])
}

/// What a pod has of the network.
///
/// A socket of its own serves whoever is in the cluster, and is on this machine's loopback: to send to the world outside, a client
/// takes one that is bound to nothing.
#[derive(Debug)]
pub(crate) struct PodNet {
    address: Ipv4Addr,
    node: u8,
    /// The last octet of an address that is only the pod's; none: the node's network.
    lease: Option<u8>,
    sockets: Arc<Sockets>,
    network: Arc<Network>,
}

impl PodNet {
    /// Connects to a port as from inside, at `localhost`.
    pub(crate) async fn connect_port(&self, port: u16) -> io::Result<TcpStream> {
        let net: &dyn Net = self;
        net.connect((Ipv4Addr::LOCALHOST, port).into()).await
    }
}

impl Net for PodNet {
    fn address(&self) -> IpAddr {
        self.address.into()
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<TcpListener>> {
        async move { self.sockets.bind(port) }.boxed()
    }

    fn bind(&self, port: u16) -> BoxFuture<'_, io::Result<UdpSocket>> {
        async move { self.sockets.bind(port) }.boxed()
    }

    fn route(&self, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
        if to.ip().is_loopback() || to.ip().is_unspecified() {
            // On a node, that is where its API server is too.
            let own = SocketAddr::new(self.address.into(), to.port());
            return if self.lease.is_some() {
                self.sockets.find(to.port(), transport)
            } else {
                self.network.reach(own, transport)
            };
        }
        self.network.route(self, to, transport)
    }
}

impl Drop for PodNet {
    fn drop(&mut self) {
        let Some(host) = self.lease else { return };
        let mut addresses = self.network.addresses();
        addresses.pods.remove(&self.address);
        if let Some(leases) = addresses.leases.get_mut(&self.node) {
            leases.release(host);
        }
    }
}

#[cfg(test)]
mod tests;
