//! hickory's sockets in a pod's network: a nameserver has an address there, and may be somewhere else on this machine.
//!
//! Where it is, is asked anew for each query: the server behind a Service changes when its pod is replaced.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use k3s_arc_container::{Net, Transport};
use tokio::net::UdpSocket;

type Pinned<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Opens sockets to where the pod's network leads.
#[derive(Clone)]
pub(super) struct Routed {
    net: Arc<dyn Net>,
    tokio: TokioRuntimeProvider,
}

impl Routed {
    pub(super) fn new(net: Arc<dyn Net>) -> Self {
        Self { net, tokio: TokioRuntimeProvider::new() }
    }
}

impl RuntimeProvider for Routed {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(&self, server: SocketAddr, bind: Option<SocketAddr>, within: Option<Duration>) -> Pinned<Self::Tcp> {
        match self.net.route(server, Transport::Tcp) {
            Ok(real) => self.tokio.connect_tcp(real, bind, within),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Pinned<Self::Udp> {
        let real = self.net.route(server, Transport::Udp);
        Box::pin(async move { Ok(Datagrams { server, real: real?, socket: UdpSocket::bind(local).await? }) })
    }
}

/// A socket for one server.
pub(super) struct Datagrams {
    /// Where the pod sees it.
    server: SocketAddr,
    /// Where it is.
    real: SocketAddr,
    socket: UdpSocket,
}

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let received = DnsUdpSocket::poll_recv_from(&self.socket, context, buffer);
        // hickory drops what another sends than the one it asked.
        received.map_ok(|(length, from)| (length, if from == self.real { self.server } else { from }))
    }

    fn poll_send_to(&self, context: &mut Context<'_>, bytes: &[u8], target: SocketAddr) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.socket, context, bytes, if target == self.server { self.real } else { target })
    }
}
