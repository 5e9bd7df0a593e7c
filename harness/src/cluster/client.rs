//! A client of a cluster, by its kubeconfig.

use std::path::Path;

use http::Uri;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client by the kubeconfig in a file.
///
/// kube-rs takes the proxy that `HTTPS_PROXY` names for every cluster. One on this host is not reached through it.
///
/// # Errors
/// What came back.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    if is_here(&config.cluster_url) {
        config.proxy_url = None;
    }
    Ok(Client::try_from(config)?)
}

/// Whether a cluster's address is one of this host's own.
fn is_here(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://127.0.0.1:6443", true)]
    #[case("https://[::1]:6443", true)]
    #[case("https://localhost:6443", true)]
    #[case("https://10.0.0.1:6443", false)]
    #[case("https://k3s.example:6443", false)]
    fn a_cluster_on_this_host_is_told_from_others(#[case] address: &str, #[case] here: bool) {
        assert_eq!(is_here(&address.parse().unwrap()), here);
    }
}
