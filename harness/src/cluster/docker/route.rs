//! Where K3s's API is published, and how it is reached from here.
//!
//! It is published where nobody is let in but those who are meant: on the loopback of the engine's host, to which ssh leads where that is another
//! host. An engine that is reached by tcp offers no such way: there it is published on the address that the engine is reached by, and that only
//! where the engine itself is guarded by TLS, or by the word of who runs this.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, TcpListener},
    path::Path,
};

use http::Uri;
use kube::config::Kubeconfig;

use super::{
    endpoint::{Destination, Endpoint, EndpointError, Way},
    ssh::{Tunnel, TunnelError},
};

/// A name that K3s's certificate has wherever K3s is published: it has not the address of its host.
const CERTIFIED: &str = "localhost";

/// The way to the API of clusters on an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// This host's loopback.
    Here,
    /// The address by which the engine is reached.
    There(IpAddr),
    /// The loopback of the engine's host, by ssh from a port of this one's.
    Tunnel(Destination),
}

/// Why there is none.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RouteError {
    /// The engine is open to whoever reaches it, and so would be K3s.
    #[error(
        "the Docker Engine at {address} is reached over a network without TLS, and K3s's API would be published on that network"
    )]
    #[diagnostic(
        code(k3s_arc::docker::open),
        help(
            "reach it by ssh (DOCKER_HOST=ssh://user@host), or by TLS (DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH); or, where everybody on that network \
             may use the engine, say so: --yes, or K3S_ARC_YES=1"
        )
    )]
    Open {
        /// Where it is.
        address: String,
    },
    /// The engine's host is known by a name that leads nowhere.
    #[error("the name {host} of the Docker Engine's host has no address")]
    #[diagnostic(code(k3s_arc::docker::name), help("name the engine by its address in DOCKER_HOST"))]
    Name {
        /// The name.
        host: String,
        /// What came back.
        source: io::Error,
    },
    /// ssh does not lead there.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tunnel(#[from] TunnelError),
    /// The engine's address is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Route {
    /// The one to clusters on an engine; over a network without TLS only if that is `allowed`.
    pub(super) async fn to(endpoint: &Endpoint, allowed: bool) -> Result<Self, RouteError> {
        let (host, port) = match endpoint.way()? {
            Way::Socket(_) => return Ok(Self::Here),
            Way::Ssh(destination) => return Ok(Self::Tunnel(destination)),
            Way::Tcp { host, port } => (host, port),
        };
        let no_address = |source| RouteError::Name { host: host.clone(), source };
        let mut found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(no_address)?;
        let none = || no_address(io::ErrorKind::NotFound.into());
        let address = found.next().ok_or_else(none)?.ip();
        if is_here(address) {
            return Ok(Self::Here);
        }
        if endpoint.tls.is_none() && !allowed {
            return Err(RouteError::Open { address: endpoint.address.clone() });
        }
        Ok(Self::There(address))
    }

    /// The address of the engine's host that the API is published on.
    pub(super) fn published_on(&self) -> String {
        match self {
            Self::Here | Self::Tunnel(_) => "127.0.0.1".to_owned(),
            Self::There(address) => address.to_string(),
        }
    }

    /// Makes a kubeconfig, which will be in `directory`, lead to the API that is published at `port`.
    pub(super) async fn lead(&self, config: &mut Kubeconfig, directory: &Path, port: u16) -> Result<(), RouteError> {
        let (server, name) = match self {
            // 127.0.0.1 is among the names of K3s's certificate.
            Self::Here => (format!("https://127.0.0.1:{port}"), None),
            Self::There(address) => (format!("https://{}", authority(&address.to_string(), port)), Some(CERTIFIED)),
            Self::Tunnel(destination) => {
                let tunnel = Tunnel::in_directory(directory);
                // One of an earlier attempt leads to a container that is gone.
                tunnel.end();
                let local = free_port().unwrap_or(port);
                tunnel.ensure(destination, local, port).await?;
                (format!("https://127.0.0.1:{local}"), None)
            }
        };
        for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(server.clone());
            cluster.tls_server_name = name.map(str::to_owned);
        }
        Ok(())
    }

    /// Sees to it that a kubeconfig still leads to the API that is published at `port`.
    pub(super) async fn restore(&self, kubeconfig: &Path, port: Option<u16>) -> Result<(), RouteError> {
        let (Self::Tunnel(destination), Some(directory)) = (self, kubeconfig.parent()) else { return Ok(()) };
        let server = Kubeconfig::read_from(kubeconfig).ok().and_then(|read| read.clusters.into_iter().next()?.cluster?.server);
        let local = server.and_then(|server| server.parse::<Uri>().ok()?.port_u16());
        match (local, port) {
            (Some(local), Some(port)) => Ok(Tunnel::in_directory(directory).ensure(destination, local, port).await?),
            _ => Ok(()),
        }
    }
}

/// Host and port in one, as URLs have them.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether an address is one of this host's: only to such can a socket be bound.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || TcpListener::bind((address, 0)).is_ok()
}

/// A port of this host's loopback that nothing listens on at this moment; none, if it does not say.
pub(super) fn free_port() -> Option<u16> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.ok().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::endpoint::Chosen, *};

    async fn route(address: &str, tls: bool, allowed: bool) -> Result<Route, RouteError> {
        let tls = tls.then(|| "/certs".into());
        Route::to(&Endpoint { address: address.to_owned(), tls, chosen: Chosen::Variable }, allowed).await
    }

    // 192.0.2.0/24 is nobody's: RFC 5737.
    #[rstest]
    #[case("unix:///var/run/docker.sock", false, "127.0.0.1")]
    #[case("tcp://127.0.0.1:2375", false, "127.0.0.1")]
    #[case("tcp://localhost:2375", false, "127.0.0.1")]
    #[case("ssh://me@192.0.2.7", false, "127.0.0.1")]
    #[case("tcp://192.0.2.7:2376", true, "192.0.2.7")]
    #[tokio::test]
    async fn nothing_is_published_where_it_need_not_be(#[case] address: &str, #[case] tls: bool, #[case] published: &str) {
        assert_eq!(route(address, tls, false).await.unwrap().published_on(), published);
    }

    #[tokio::test]
    async fn a_network_without_tls_takes_the_word_of_who_runs_it() {
        let refused = route("tcp://192.0.2.7:2375", false, false).await;
        assert!(matches!(refused, Err(RouteError::Open { address }) if address == "tcp://192.0.2.7:2375"));
        assert_eq!(route("tcp://192.0.2.7:2375", false, true).await.unwrap(), Route::There([192, 0, 2, 7].into()));
    }

    #[tokio::test]
    async fn by_another_address_the_certificate_is_asked_for_a_name_that_it_has() {
        let text = r#"{"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}]}"#;
        let led = async |route: Route| {
            let mut config = Kubeconfig::from_yaml(text).unwrap();
            route.lead(&mut config, Path::new("/"), 30000).await.unwrap();
            let cluster = config.clusters.remove(0).cluster.unwrap();
            (cluster.server.unwrap(), cluster.tls_server_name)
        };
        assert_eq!(led(Route::Here).await, ("https://127.0.0.1:30000".to_owned(), None));
        let there = Route::There("fd00::7".parse().unwrap());
        assert_eq!(led(there).await, ("https://[fd00::7]:30000".to_owned(), Some("localhost".to_owned())));
    }
}
