//! One question to a DNS server, and its reply as it stands: no search list, no cache, no second server.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query as Question},
    rr::{Name, Record as ProtoRecord, RecordType},
};
use k3s_arc_container::{self as container, Net};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{Kind, Query, Record, Reply, Transport};

/// How long a reply over TCP may take; a C library waits as long (resolv.conf(5), `timeout`).
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a reply to a datagram may take before it counts as lost, and how many are sent.
const DATAGRAM_PATIENCE: Duration = Duration::from_secs(1);
const DATAGRAMS: u32 = 5;

/// Asks `server` once, over UDP again where the datagram seems lost.
pub(super) async fn exchange(net: &dyn Net, server: SocketAddr, query: &Query) -> Result<Reply, String> {
    let mut name = Name::from_utf8(&query.name).map_err(|error| format!("`{}` is not a name: {error}", query.name))?;
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(name, query.kind.into()));
    let bytes = message.to_vec().map_err(|error| format!("the query cannot be written: {error}"))?;
    match query.transport {
        Transport::Udp => over_udp(net, server, &message, &bytes).await,
        Transport::Tcp => over_tcp(net, server, &message, &bytes).await,
    }
}

async fn over_udp(net: &dyn Net, server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Reply, String> {
    let failed = |error: io::Error| format!("{server} over UDP: {error}");
    let real = net.route(server, container::Transport::Udp).map_err(failed)?;
    let any: SocketAddr = if real.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(real).await.map_err(failed)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..DATAGRAMS {
        socket.send(bytes).await.map_err(failed)?;
        if let Ok(received) = timeout(DATAGRAM_PATIENCE, socket.recv(&mut buffer)).await {
            let length = received.map_err(failed)?;
            return read(query, buffer.get(..length).unwrap_or_default());
        }
    }
    Err(format!("{server} over UDP: no reply to {DATAGRAMS} datagrams within {} s each", DATAGRAM_PATIENCE.as_secs()))
}

async fn over_tcp(net: &dyn Net, server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Reply, String> {
    let exchanged = timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(net.route(server, container::Transport::Tcp)?).await?;
        // RFC 1035, 4.2.2: two bytes of length come first.
        stream.write_u16(u16::try_from(bytes.len()).map_err(io::Error::other)?).await?;
        stream.write_all(bytes).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        io::Result::Ok(reply)
    });
    match exchanged.await {
        Ok(Ok(reply)) => read(query, &reply),
        Ok(Err(error)) => Err(format!("{server} over TCP: {error}")),
        Err(_) => Err(format!("{server} over TCP: no reply within {} s", PATIENCE.as_secs())),
    }
}

fn read(query: &Message, bytes: &[u8]) -> Result<Reply, String> {
    let reply = Message::from_vec(bytes).map_err(|error| format!("the reply is not a DNS message: {error}"))?;
    if reply.metadata.id != query.metadata.id || reply.queries != query.queries {
        return Err("the reply is to another question".to_owned());
    }
    Ok(Reply {
        code: mnemonic(&reply),
        authoritative: reply.metadata.authoritative,
        truncated: reply.metadata.truncation,
        answers: reply.answers.iter().map(Record::from).collect(),
        authority: reply.authorities.iter().map(Record::from).collect(),
        after_ms: 0,
    })
}

/// The response code as `dig` prints it (hickory's own texts are sentences).
fn mnemonic(reply: &Message) -> String {
    format!("{:?}", reply.metadata.response_code).to_ascii_uppercase()
}

impl From<&ProtoRecord> for Record {
    fn from(record: &ProtoRecord) -> Self {
        Self {
            name: record.name.to_ascii(),
            kind: record.record_type().to_string(),
            ttl: record.ttl,
            data: record.data.to_string(),
        }
    }
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Cname => Self::CNAME,
            Kind::Ptr => Self::PTR,
            Kind::Soa => Self::SOA,
            Kind::Srv => Self::SRV,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::ResponseCode,
        rr::{RData, rdata},
    };

    use k3s_arc_container::HostNet;

    use super::*;
    use crate::{probe::dns::server, testing::Behind};

    fn query(name: &str, kind: Kind, transport: Transport) -> Query {
        Query { name: name.to_owned(), kind, transport, until: None }
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[rstest::rstest]
    #[tokio::test]
    async fn a_reply_is_told_as_it_stands(#[values(Transport::Udp, Transport::Tcp)] transport: Transport) {
        let server = server::serve(|reply, question| {
            assert_eq!(question.query_type(), RecordType::SRV);
            let data = RData::SRV(rdata::SRV::new(0, 100, 443, name("web.a.svc.cluster.local.")));
            reply.metadata.authoritative = true;
            reply.add_answer(ProtoRecord::from_rdata(question.name().clone(), 5, data));
        })
        .await;
        let reply =
            exchange(&HostNet, server, &query("_https._tcp.web.a.svc.cluster.local", Kind::Srv, transport)).await.unwrap();
        assert_eq!(
            reply,
            Reply {
                code: "NOERROR".to_owned(),
                authoritative: true,
                truncated: false,
                answers: vec![Record {
                    name: "_https._tcp.web.a.svc.cluster.local.".to_owned(),
                    kind: "SRV".to_owned(),
                    ttl: 5,
                    data: "0 100 443 web.a.svc.cluster.local.".to_owned()
                }],
                authority: vec![],
                after_ms: 0,
            }
        );
    }

    #[tokio::test]
    async fn a_missing_name_comes_with_the_zone_that_says_so() {
        let server = server::serve(|reply, _| {
            reply.metadata.response_code = ResponseCode::NXDomain;
            let soa = rdata::SOA::new(name("ns.dns.cluster.local."), name("hostmaster.cluster.local."), 1, 7200, 1800, 86400, 5);
            reply.add_authority(ProtoRecord::from_rdata(name("cluster.local."), 5, RData::SOA(soa)));
        })
        .await;
        let reply = exchange(&HostNet, server, &query("none.svc.cluster.local.", Kind::A, Transport::Udp)).await.unwrap();
        assert_eq!(reply.code, "NXDOMAIN");
        assert_eq!(reply.answers, []);
        assert_eq!((reply.authority[0].name.as_str(), reply.authority[0].kind.as_str()), ("cluster.local.", "SOA"));
    }

    #[tokio::test]
    async fn a_cut_datagram_says_so_and_a_connection_brings_it_all() {
        let server = server::serve(|reply, question| {
            for host in 1..=60 {
                let data = RData::A(rdata::A::new(10, 42, 0, host));
                reply.add_answer(ProtoRecord::from_rdata(question.name().clone(), 5, data));
            }
        })
        .await;
        let cut = exchange(&HostNet, server, &query("many", Kind::A, Transport::Udp)).await.unwrap();
        assert!(cut.truncated);
        let whole = exchange(&HostNet, server, &query("many", Kind::A, Transport::Tcp)).await.unwrap();
        assert_eq!((whole.truncated, whole.answers.len()), (false, 60));
    }

    #[tokio::test]
    async fn a_reply_to_another_question_is_not_taken() {
        let server = server::serve(|reply, _| reply.metadata.id ^= 1).await;
        let error = exchange(&HostNet, server, &query("a", Kind::A, Transport::Tcp)).await.unwrap_err();
        assert_eq!(error, "the reply is to another question");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = exchange(&HostNet, unused, &query("a", Kind::A, Transport::Tcp)).await.unwrap_err();
        assert!(error.starts_with(&format!("{unused} over TCP: ")), "{error}");
    }

    #[rstest::rstest]
    #[tokio::test]
    async fn a_server_is_asked_where_the_network_leads(#[values(Transport::Udp, Transport::Tcp)] transport: Transport) {
        let seen = "10.43.0.10:53".parse().unwrap();
        let net = Behind { seen, real: server::serve(|_, _| {}).await };
        assert_eq!(exchange(&net, seen, &query("a", Kind::A, transport)).await.unwrap().code, "NOERROR");
        let elsewhere = "10.43.0.11:53".parse().unwrap();
        let error = exchange(&net, elsewhere, &query("a", Kind::A, transport)).await.unwrap_err();
        assert!(error.starts_with(&format!("10.43.0.11:53 over {transport}: ")), "{error}");
    }
}
