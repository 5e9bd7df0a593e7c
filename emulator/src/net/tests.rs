use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::store::Key;

/// Where [`Cluster::new_in_memory`] says that it is served.
const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

struct World {
    cluster: Arc<Cluster>,
    network: Arc<Network>,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::new_in_memory();
        let network = cluster.network.clone();
        Self { cluster, network }
    }

    fn put(&self, table: &str, name: &str, object: Value) {
        let key = Key::new(&table.into(), "default", name);
        let store = &self.cluster.store;
        let written = match store.get(&key) {
            Some(old) => store.replace(&key, old.revision, object),
            None => store.create(&key, object),
        };
        written.unwrap();
    }

    fn service(&self, spec: Value) {
        self.put("services", "web", json!({"spec": spec}));
    }

    fn slice(&self, endpoints: Value) {
        self.put(
            "endpointslices.discovery.k8s.io",
            "web-1",
            json!({
                "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
                "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
                "endpoints": endpoints,
            }),
        );
    }

    /// A service of the named ports at 10.43.0.80.
    fn web(&self, mut more: Value) {
        let mut spec = json!({
            "type": "ClusterIP", "clusterIP": "10.43.0.80", "clusterIPs": ["10.43.0.80"], "sessionAffinity": "None",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object_mut()) {
            spec.append(more);
        }
        self.service(spec);
    }
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn refusal(routed: io::Result<SocketAddr>) -> io::ErrorKind {
    routed.unwrap_err().kind()
}

#[tokio::test]
async fn pods_reach_each_other_by_address() {
    let world = World::new();
    let (one, other) = (world.network.attach(0).unwrap(), world.network.attach(1).unwrap());
    assert_eq!((one.address(), other.address()), ("10.42.0.2".parse().unwrap(), "10.42.1.2".parse().unwrap()));
    let listener = other.listen(80).await.unwrap();
    let real = listener.local_addr().unwrap();
    assert!(real.ip().is_loopback());
    assert_eq!(one.route(at("10.42.1.2:80"), Transport::Tcp).unwrap(), real);
    assert_eq!(other.route(at("127.0.0.1:80"), Transport::Tcp).unwrap(), real);
    assert_eq!(refusal(one.route(at("127.0.0.1:80"), Transport::Tcp)), io::ErrorKind::ConnectionRefused);
    assert_eq!(refusal(one.route(at("10.42.1.2:80"), Transport::Udp)), io::ErrorKind::ConnectionRefused);
    assert_eq!(refusal(one.route(at("10.42.1.3:80"), Transport::Tcp)), io::ErrorKind::HostUnreachable);
    assert_eq!(one.route(at("198.51.100.1:80"), Transport::Tcp).unwrap(), at("198.51.100.1:80"));
    other.connect_port(80).await.unwrap();
    drop((listener, other));
    assert_eq!(refusal(one.route(at("10.42.1.2:80"), Transport::Tcp)), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn a_port_without_its_listener_is_refused() {
    let world = World::new();
    let (one, other) = (world.network.attach(0).unwrap(), world.network.attach(0).unwrap());
    drop(other.listen(80).await.unwrap());
    let net: &dyn Net = &*one;
    assert_eq!(net.connect(at("10.42.0.3:80")).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_service_is_one_of_its_ready_endpoints() {
    let world = World::new();
    let (client, one, two) =
        (world.network.attach(0).unwrap(), world.network.attach(0).unwrap(), world.network.attach(0).unwrap());
    let (first, second) = (one.listen(8080).await.unwrap(), two.listen(8080).await.unwrap());
    let reached = || client.route(at("10.43.0.80:80"), Transport::Tcp);
    assert_eq!(refusal(reached()), io::ErrorKind::HostUnreachable, "there is no such service");
    world.web(json!({}));
    assert_eq!(refusal(reached()), io::ErrorKind::ConnectionRefused, "there are no endpoints");
    let both = json!([
        {"addresses": ["10.42.0.3"], "conditions": {"ready": true}},
        {"addresses": ["10.42.0.4"], "conditions": {"ready": true}},
    ]);
    world.slice(both.clone());
    let (a, b) = (reached().unwrap(), reached().unwrap());
    let reals = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    assert!(a != b && reals.contains(&a) && reals.contains(&b));
    world.slice(json!([
        {"addresses": ["10.42.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        {"addresses": ["10.42.0.4"], "conditions": {"ready": false, "serving": false, "terminating": false}},
    ]));
    assert_eq!((reached().unwrap(), reached().unwrap()), (reals[0], reals[0]), "who goes but serves is the last resort");
    assert_eq!(refusal(client.route(at("10.43.0.80:81"), Transport::Tcp)), io::ErrorKind::HostUnreachable);
    world.slice(both);
    world.web(json!({"sessionAffinity": "ClientIP"}));
    let stays = reached().unwrap();
    assert_eq!((reached().unwrap(), reached().unwrap()), (stays, stays));
}

#[tokio::test]
async fn nodes_have_node_ports_and_those_of_host_pods() {
    let world = World::new();
    let (client, pod, host) = (world.network.attach(1).unwrap(), world.network.attach(0).unwrap(), world.network.host(1));
    let web = pod.listen(8080).await.unwrap().local_addr().unwrap();
    let exporter = host.listen(9100).await.unwrap();
    world.slice(json!([{"addresses": ["10.42.0.2"], "conditions": {}}]));
    world.web(json!({
        "type": "LoadBalancer", "externalIPs": ["203.0.113.9"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}],
    }));
    for address in ["198.18.0.1:30080", "198.18.0.2:30080", "10.42.0.1:30080", "203.0.113.9:80", "10.43.0.80:80"] {
        assert_eq!(client.route(at(address), Transport::Tcp).unwrap(), web, "{address}");
    }
    assert_eq!(host.address(), at("198.18.0.2:0").ip());
    assert_eq!(client.route(at("198.18.0.2:9100"), Transport::Tcp).unwrap(), exporter.local_addr().unwrap());
    assert_eq!(refusal(client.route(at("198.18.0.2:10250"), Transport::Tcp)), io::ErrorKind::ConnectionRefused);
    assert_eq!(refusal(client.route(at("198.18.0.3:9100"), Transport::Tcp)), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn the_api_server_is_a_service_and_a_port_of_the_first_node() {
    let world = World::new();
    let client = world.network.attach(0).unwrap();
    let host = world.network.host(0);
    assert_eq!(client.route(at("10.43.0.1:443"), Transport::Tcp).unwrap(), API);
    assert_eq!(client.route(at("198.18.0.1:6443"), Transport::Tcp).unwrap(), API);
    assert_eq!(host.route(at("127.0.0.1:6443"), Transport::Tcp).unwrap(), API);
    assert_eq!(refusal(client.route(at("10.43.0.1:80"), Transport::Tcp)), io::ErrorKind::HostUnreachable);
}

#[tokio::test]
async fn local_traffic_stays_on_the_node() {
    let world = World::new();
    let (near, far) = (world.network.attach(0).unwrap(), world.network.attach(1).unwrap());
    let listener = near.listen(8080).await.unwrap();
    world.slice(json!([{"addresses": ["10.42.0.2"]}]));
    world.web(json!({"internalTrafficPolicy": "Local"}));
    assert_eq!(near.route(at("10.43.0.80:80"), Transport::Tcp).unwrap(), listener.local_addr().unwrap());
    assert_eq!(refusal(far.route(at("10.43.0.80:80"), Transport::Tcp)), io::ErrorKind::ConnectionRefused);
}
