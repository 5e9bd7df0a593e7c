//! A DNS server on 127.0.0.1 for tests, over UDP and TCP at one port.

use std::{net::SocketAddr, sync::Arc};

use hickory_proto::op::{Message, OpCode, Query};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

/// What a reply over UDP may hold without EDNS (RFC 1035, 2.3.4).
const DATAGRAM: usize = 512;

/// Serves replies that `fill` completes, until the test's runtime ends.
pub(crate) async fn serve(fill: impl Fn(&mut Message, &Query) + Send + Sync + 'static) -> SocketAddr {
    let fill = Arc::new(fill);
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).await.unwrap();
    let over_udp = fill.clone();
    tokio::spawn(async move {
        let mut buffer = [0; DATAGRAM];
        loop {
            let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
            let reply = reply(&buffer[..length], &*over_udp);
            let mut bytes = reply.to_vec().unwrap();
            if bytes.len() > DATAGRAM {
                bytes = reply.truncate().to_vec().unwrap();
            }
            udp.send_to(&bytes, client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut query = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut query).await.unwrap();
            let bytes = reply(&query, &*fill).to_vec().unwrap();
            stream.write_u16(bytes.len() as u16).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    address
}

fn reply(query: &[u8], fill: &(impl Fn(&mut Message, &Query) + ?Sized)) -> Message {
    let query = Message::from_vec(query).unwrap();
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.add_queries(query.queries.clone());
    fill(&mut reply, &query.queries[0]);
    reply
}
