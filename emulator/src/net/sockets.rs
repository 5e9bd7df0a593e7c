//! The ports of one address of the cluster, and the sockets of this machine behind them.
//!
//! An address of the cluster has one of its own in 127.0.0.0/8, so a port at which nobody listens any more is refused by the kernel
//! itself. Hosts that have 127.0.0.1 only (macOS) share that; there it must be looked whether the socket is still the one that was
//! bound.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k3s_arc_container::Transport;
use tokio::net::{TcpListener, UdpSocket};

/// The ports of an address.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The address on this machine that stands for it.
    real: Ipv4Addr,
    bound: Mutex<HashMap<(u16, Transport), SocketAddr>>,
}

/// A kind of socket that can be bound.
pub(super) trait Bind: Sized {
    const TRANSPORT: Transport;

    fn bind(at: SocketAddr) -> io::Result<Self>;
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bind for TcpListener {
    const TRANSPORT: Transport = Transport::Tcp;

    fn bind(at: SocketAddr) -> io::Result<Self> {
        let listener = StdTcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        Self::from_std(listener)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bind for UdpSocket {
    const TRANSPORT: Transport = Transport::Udp;

    fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = StdUdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        Self::from_std(socket)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Sockets {
    pub(super) fn new(real: Ipv4Addr) -> Self {
        Self { real, bound: Mutex::default() }
    }

    fn bound(&self) -> MutexGuard<'_, HashMap<(u16, Transport), SocketAddr>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds a port (0: any), as the pod's kernel would.
    pub(super) fn bind<S: Bind>(&self, port: u16) -> io::Result<S> {
        let mut bound = self.bound();
        if let Some(real) = bound.get(&(port, S::TRANSPORT))
            && is_alive(*real, S::TRANSPORT)
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // The same number where it is free and allowed: who looks at this machine's sockets knows it again.
        let socket = S::bind((self.real, port).into())
            .or_else(|_| S::bind((self.real, 0).into()))
            .or_else(|_| S::bind((Ipv4Addr::LOCALHOST, 0).into()))?;
        let real = socket.address()?;
        bound.insert((if port == 0 { real.port() } else { port }, S::TRANSPORT), real);
        Ok(socket)
    }

    /// The socket behind a port.
    pub(super) fn find(&self, port: u16, transport: Transport) -> io::Result<SocketAddr> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut bound = self.bound();
        let real = *bound.get(&(port, transport)).ok_or_else(refused)?;
        if real.ip() != self.real && !is_alive(real, transport) {
            bound.remove(&(port, transport));
            return Err(refused());
        }
        Ok(real)
    }
}

/// Whether a socket is bound there. Somebody else's, bound there since ours was closed, cannot be told from ours.
fn is_alive(real: SocketAddr, transport: Transport) -> bool {
    match transport {
        Transport::Tcp => StdTcpListener::bind(real).is_err(),
        Transport::Udp => StdUdpSocket::bind(real).is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an address that this machine may not have, as macOS has not: what it binds is on 127.0.0.1.
    fn shared() -> Sockets {
        Sockets::new(Ipv4Addr::new(192, 0, 2, 77))
    }

    #[tokio::test]
    async fn a_port_is_taken_once_and_free_again() {
        let sockets = Sockets::new(Ipv4Addr::LOCALHOST);
        let first: TcpListener = sockets.bind(53).unwrap();
        let again = sockets.bind::<TcpListener>(53).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let _udp: UdpSocket = sockets.bind(53).unwrap();
        drop(first);
        let _second: TcpListener = sockets.bind(53).unwrap();
    }

    #[tokio::test]
    async fn any_port_is_the_one_it_got() {
        let sockets = Sockets::new(Ipv4Addr::LOCALHOST);
        let listener: TcpListener = sockets.bind(0).unwrap();
        let real = listener.local_addr().unwrap();
        assert_eq!(sockets.find(real.port(), Transport::Tcp).unwrap(), real);
    }

    #[tokio::test]
    async fn where_addresses_are_shared_a_closed_port_is_refused() {
        let sockets = shared();
        let listener: TcpListener = sockets.bind(80).unwrap();
        assert_eq!(sockets.find(80, Transport::Tcp).unwrap(), listener.local_addr().unwrap());
        assert_eq!(sockets.find(80, Transport::Udp).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drop(listener);
        assert_eq!(sockets.find(80, Transport::Tcp).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
