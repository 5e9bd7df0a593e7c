//! The proxy on the way to a cluster's API: as kubectl chooses it, the kubeconfig's own (`proxy-url`), else the one that the environment names
//! (`HTTPS_PROXY`, unless `NO_PROXY` has the cluster's host).
//!
//! kube-rs's own choice is not taken: it goes to no proxy without a feature, and with that it compares `NO_PROXY` with the proxy's name, and makes
//! no client at all where `NO_PROXY` ends with a comma.

use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{
                Connect, HttpConnector,
                proxy::{SocksV5, Tunnel},
            },
        },
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioExecutor,
};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxService};

use super::{CONNECT, is_here};

/// What answers requests to a cluster.
type Service = BoxService<http::Request<Body>, http::Response<hyper::body::Incoming>, BoxError>;

/// The proxy to a cluster, if the way leads through one.
pub(super) fn choose(config: &Config, of_kubeconfig: Option<&str>, of_environment: &Matcher) -> Option<Intercept> {
    match of_kubeconfig.filter(|proxy| !proxy.is_empty()) {
        // Written for this cluster, wherever it is.
        Some(proxy) => Matcher::builder().all(proxy).build().intercept(&config.cluster_url),
        None if is_here(&config.cluster_url) => None,
        None => of_environment.intercept(&config.cluster_url),
    }
}

/// As kube-rs builds a client, through a proxy.
pub(super) fn builder(config: &Config, proxy: &Intercept) -> Result<ClientBuilder<Service>, BoxError> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    direct.set_connect_timeout(Some(CONNECT));
    let address = proxy.uri().clone();
    let service = match address.scheme_str() {
        Some("http") => {
            let tunnel = Tunnel::new(address, direct);
            let tunnel = proxy.basic_auth().into_iter().fold(tunnel, |tunnel, auth| tunnel.with_auth(auth.clone()));
            service(config, config.rustls_https_connector_with_connector(tunnel)?)?
        }
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(address, direct);
            let socks = proxy
                .raw_auth()
                .into_iter()
                .fold(socks, |socks, (user, password)| socks.with_auth(user.to_owned(), password.to_owned()));
            service(config, config.rustls_https_connector_with_connector(socks)?)?
        }
        other => return Err(format!("a proxy by {}: only http and socks5 are known", other.unwrap_or("no scheme")).into()),
    };
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
}

fn service<C>(config: &Config, connector: C) -> Result<Service, BoxError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client: Client<C, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(service.boxed())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use k3s_arc_emulator::Emulator;
    use kube::config::Kubeconfig;
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::cluster::client::{client_of, plain_of};

    /// A proxy that lets everybody through who says this, and counts them.
    async fn proxy(says: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(client.read_u8().await.unwrap());
                }
                let asked = String::from_utf8(asked).unwrap();
                assert!(asked.to_lowercase().contains(says), "{asked}");
                let server = asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap();
                let mut server = TcpStream::connect(server).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        (address.to_string(), count)
    }

    #[tokio::test]
    async fn a_cluster_is_reached_through_the_proxy_of_its_kubeconfig() {
        let emulator = Emulator::builder().start().await.unwrap();
        // user:password
        let (address, count) = proxy("proxy-authorization: basic dxnlcjpwyxnzd29yza==").await;
        let mut kubeconfig = Kubeconfig::from_yaml(emulator.kubeconfig()).unwrap();
        kubeconfig.clusters[0].cluster.as_mut().unwrap().proxy_url = Some(format!("http://user:password@{address}"));
        client_of(kubeconfig.clone()).await.unwrap().apiserver_version().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        plain_of(kubeconfig).await.unwrap().apiserver_version().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[rstest]
    #[case::of_the_environment("https://10.0.0.1:6443", None, "", Some("http://proxy:3128/"))]
    #[case::excepted("https://10.0.0.1:6443", None, "10.0.0.0/8,", None)]
    #[case::here("https://127.0.0.1:6443", None, "", None)]
    #[case::of_the_kubeconfig("https://10.0.0.1:6443", Some("socks5://edge:1080"), "*", Some("socks5://edge:1080/"))]
    #[case::of_the_kubeconfig_and_here("https://127.0.0.1:6443", Some("http://edge:3128"), "", Some("http://edge:3128/"))]
    #[case::empty("https://10.0.0.1:6443", Some(""), "", Some("http://proxy:3128/"))]
    fn the_kubeconfigs_proxy_goes_before_the_environments(
        #[case] cluster: &str,
        #[case] of_kubeconfig: Option<&str>,
        #[case] excepted: &str,
        #[case] chosen: Option<&str>,
    ) {
        let environment = Matcher::builder().https("http://proxy:3128").no(excepted).build();
        let config = Config::new(cluster.parse().unwrap());
        let proxy = choose(&config, of_kubeconfig, &environment).map(|proxy| proxy.uri().to_string());
        assert_eq!(proxy.as_deref(), chosen);
    }
}
