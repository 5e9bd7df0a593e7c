//! The cluster's network: which addresses pods and services have, and which sockets of this machine's loopback are behind them.

use std::net::SocketAddr;

/// A cluster's network.
#[derive(Debug)]
pub(crate) struct Network {
    /// Where the API is served.
    #[allow(dead_code)]
    api: SocketAddr,
}

impl Network {
    pub(crate) fn new(api: SocketAddr) -> Self {
        Self { api }
    }
}
