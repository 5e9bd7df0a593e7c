//! Questions over UDP and TCP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::serialize::binary::BinEncodable as _;
use k3s_arc_container::{Net, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::message::{Received, Request};
use super::server::Server;

/// For how long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// Questions that wait for their answers at one port; more are not read.
const MOST_AT_ONCE: usize = 4096;

/// The pause after a connection that could not be accepted.
pub(super) const FULL: Duration = Duration::from_millis(50);

/// What is served at a port; it changes with the configuration.
pub(super) type Current = watch::Receiver<Arc<Server>>;

/// Both sockets of a port.
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    pub(super) async fn open(net: &dyn Net, port: u16) -> Result<Self, String> {
        let failed = |protocol: &str, error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => format!("listen {protocol} :{port}: bind: address already in use"),
            _ => format!("listen {protocol} :{port}: {error}"),
        };
        let tcp = net.listen(port).await.map_err(|error| failed("tcp", error))?;
        let udp = net.bind(port).await.map_err(|error| failed("udp", error))?;
        Ok(Self { udp, tcp })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(self, current: Current) {
        tokio::join!(over_udp(self.udp, current.clone()), over_tcp(self.tcp, current));
    }
}

async fn over_udp(socket: UdpSocket, current: Current) {
    let socket = Arc::new(socket);
    let mut answering = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        tokio::select! {
            Some(_) = answering.join_next() => {}
            received = socket.recv_from(&mut buffer), if answering.len() < MOST_AT_ONCE => {
                // An error is about a client that does not listen any more.
                let Ok((length, client)) = received else { continue };
                let (server, socket) = (current.borrow().clone(), socket.clone());
                let received = Request::read(&buffer[..length], client, Transport::Udp);
                answering.spawn(async move {
                    if let Some(reply) = answer(&server, received).await {
                        let _ = socket.send_to(&reply, client).await;
                    }
                });
            }
        }
    }
}

async fn over_tcp(listener: TcpListener, current: Current) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) => drop(connections.spawn(connection(stream, current.clone()))),
                    // Out of file descriptors, most likely: those who are served now must finish first.
                    Err(_) => sleep(FULL).await,
                }
            }
        }
    }
}

/// One question after the other, until the client has no more.
async fn connection(mut stream: TcpStream, current: Current) -> io::Result<()> {
    let client = stream.peer_addr()?;
    loop {
        let question = async {
            let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut bytes).await?;
            io::Result::Ok(bytes)
        };
        let Ok(question) = timeout(IDLE, question).await else { return Ok(()) };
        let server = current.borrow().clone();
        let Some(reply) = answer(&server, Request::read(&question?, client, Transport::Tcp)).await else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &reply].concat()).await?;
    }
}

async fn answer(server: &Server, received: Received) -> Option<Vec<u8>> {
    let reply = match received {
        Received::Ignored => return None,
        Received::Refused(refusal) => *refusal,
        Received::Question(request) => server.serve(&request).await,
    };
    match reply.to_bytes() {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::warn!(%error, "a reply cannot be written");
            let refusal = Message::error_msg(reply.metadata.id, reply.metadata.op_code, ResponseCode::ServFail);
            refusal.to_bytes().ok()
        }
    }
}
