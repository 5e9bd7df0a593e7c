//! A pod's network: addresses of its cluster on the outside, sockets of this machine's loopback behind them.
//!
//! Nobody may bind port 80, or an address of a cluster's network, without being root. So a program binds *its* port through [`Net`],
//! which gives it a socket on whatever port is free, and whoever wants to reach it asks [`Net::route`] where that is.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a pod's containers reach each other and the world by.
pub trait Net: Debug + Send + Sync {
    /// The pod's address.
    fn address(&self) -> IpAddr;

    /// Listens on a port of the pod (0: any).
    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<TcpListener>>;

    /// Binds a UDP port of the pod (0: any).
    fn bind(&self, port: u16) -> BoxFuture<'_, io::Result<UdpSocket>>;

    /// Where an address, as the pod sees it, is really reached from this process: a pod's, a service's (one of its endpoints is
    /// chosen), a node's, its own loopback; addresses of the world outside are themselves.
    ///
    /// # Errors
    /// As the kernel says it: `ConnectionRefused` where nothing listens, `HostUnreachable` where nobody is.
    fn route(&self, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr>;
}

impl dyn Net {
    /// Connects to an address, as the pod sees it.
    ///
    /// # Errors
    /// As [`Net::route`] and [`TcpStream::connect`] say it.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(self.route(to, Transport::Tcp)?).await
    }
}

/// The operating system's network, as it is.
#[derive(Debug, Clone, Copy)]
pub struct HostNet;

impl Net for HostNet {
    fn address(&self) -> IpAddr {
        Ipv4Addr::UNSPECIFIED.into()
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<TcpListener>> {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).boxed()
    }

    fn bind(&self, port: u16) -> BoxFuture<'_, io::Result<UdpSocket>> {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).boxed()
    }

    fn route(&self, to: SocketAddr, _: Transport) -> io::Result<SocketAddr> {
        Ok(to)
    }
}
