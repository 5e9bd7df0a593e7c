//! Names to addresses, as a C library finds them (`man 5 resolv.conf`): a container's hosts, then its name servers.
//!
//! It is a stub: it asks the servers that `/etc/resolv.conf` names, through the container's network, and caches nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::{Container, Net, Transport};

/// Where name servers listen.
const PORT: u16 = 53;

/// What a container knows of how to find names.
#[derive(Debug, Clone)]
pub struct Resolver {
    net: Arc<dyn Net>,
    hosts: Vec<(IpAddr, Vec<String>)>,
    /// The name servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// What is added to names that are not whole.
    pub search: Vec<String>,
    /// Names with fewer dots are first tried with what `search` has.
    pub ndots: usize,
    /// How long a server may take.
    pub timeout: Duration,
    /// How often all of them are asked.
    pub attempts: u32,
}

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no such name, or none with an address.
    NotFound,
    /// No server answered, or none could.
    Unanswered,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "Name does not resolve",
            Self::Unanswered => "Try again",
        })
    }
}

impl std::error::Error for ResolveError {}

impl Resolver {
    /// As the files of a container say.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let text = |path: &str| container.files.read_to_string(path).unwrap_or_default();
        Self::new(container.net.clone(), &text("/etc/resolv.conf"), &text("/etc/hosts"))
    }

    /// As these files say.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, resolv_conf: &str, hosts: &str) -> Self {
        let mut resolver = Self {
            net,
            hosts: hosts.lines().filter_map(host).collect(),
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in resolv_conf.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => {
                    resolver.servers.extend(words.next().and_then(|word| Some(SocketAddr::new(word.parse().ok()?, PORT))));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| resolver.set(option)),
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver.servers.push(SocketAddr::new([127, 0, 0, 1].into(), PORT));
        }
        resolver
    }

    fn set(&mut self, option: &str) {
        let Some((name, Ok(value))) = option.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else { return };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.min(30))),
            "attempts" => self.attempts = value.min(5),
            _ => {}
        }
    }

    /// The names to be asked for, in their order, when a program asks for this one.
    #[must_use]
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<String> =
            self.search.iter().map(|domain| format!("{name}.{}", domain.trim_end_matches('.'))).collect();
        let first = name.matches('.').count() >= self.ndots;
        names.insert(if first { 0 } else { names.len() }, name.to_owned());
        names
    }

    /// A name's addresses; an address is its own. IPv4 comes first.
    ///
    /// # Errors
    /// When there are none, or nobody says.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let is_host = |(_, names): &&(IpAddr, Vec<String>)| names.iter().any(|host| host.eq_ignore_ascii_case(name));
        let known: Vec<IpAddr> = self.hosts.iter().filter(is_host).map(|(address, _)| *address).collect();
        if !known.is_empty() {
            return Ok(known);
        }
        let mut unanswered = false;
        for candidate in self.candidates(name) {
            let mut found = Vec::new();
            for kind in [RecordType::A, RecordType::AAAA] {
                match self.query(&candidate, kind).await {
                    Ok(reply) if reply.metadata.response_code == ResponseCode::NoError => {
                        found.extend(reply.answers.iter().filter_map(|record| match &record.data {
                            RData::A(address) => Some(IpAddr::V4(address.0)),
                            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                            _ => None,
                        }));
                    }
                    Ok(reply) if reply.metadata.response_code == ResponseCode::NXDomain => break,
                    Ok(_) | Err(_) => unanswered = true,
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(if unanswered { ResolveError::Unanswered } else { ResolveError::NotFound })
    }

    /// What the first server that answers says about a whole name.
    ///
    /// # Errors
    /// When none answers, or the name is none.
    pub async fn query(&self, name: &str, kind: RecordType) -> io::Result<Message> {
        let mut last = io::ErrorKind::TimedOut.into();
        for _ in 0..self.attempts.max(1) {
            for server in &self.servers {
                match self.ask(*server, name, kind).await {
                    Ok(reply) if reply.metadata.response_code != ResponseCode::ServFail => return Ok(reply),
                    Ok(_) => last = io::Error::other("the server failed"),
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// What one server, asked once, says about a whole name: over UDP, and over TCP where that is too little.
    ///
    /// # Errors
    /// When it does not answer in time, or the name is none.
    pub async fn ask(&self, server: SocketAddr, name: &str, kind: RecordType) -> io::Result<Message> {
        let invalid = |error: &dyn fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let mut name = Name::from_utf8(name).map_err(|error| invalid(&error))?;
        name.set_fqdn(true);
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(name, kind));
        let bytes = question.to_vec().map_err(|error| invalid(&error))?;
        let exchange = async {
            let reply = self.over_udp(server, &question, &bytes).await?;
            if reply.metadata.truncation { self.over_tcp(server, &question, &bytes).await } else { Ok(reply) }
        };
        timeout(self.timeout, exchange).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn over_udp(&self, server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
        let to = self.net.route(server, Transport::Udp)?;
        let socket = self.socket(to).await?;
        socket.connect(to).await?;
        socket.send(bytes).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // What answers another question is not for this one.
            if let Some(reply) = buffer.get(..length).and_then(|bytes| answer(question, bytes)) {
                return Ok(reply);
            }
        }
    }

    /// A socket that what is really at `to` can be reached from: the container's own are those of this machine's loopback.
    async fn socket(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        match to.ip() {
            address if address.is_loopback() => self.net.bind(0).await,
            IpAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await,
            IpAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await,
        }
    }

    async fn over_tcp(&self, server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
        let mut stream = self.net.connect(server).await?;
        // RFC 1035, 4.2.2: two bytes of length come first.
        stream.write_u16(u16::try_from(bytes.len()).map_err(io::Error::other)?).await?;
        stream.write_all(bytes).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        answer(question, &reply).ok_or_else(|| io::Error::other("the reply is to another question"))
    }
}

fn answer(question: &Message, bytes: &[u8]) -> Option<Message> {
    let reply = Message::from_vec(bytes).ok()?;
    (reply.metadata.id == question.metadata.id && reply.queries == question.queries).then_some(reply)
}

/// A line of `/etc/hosts`.
fn host(line: &str) -> Option<(IpAddr, Vec<String>)> {
    let mut words = line.split('#').next()?.split_whitespace();
    let address = words.next()?.parse().ok()?;
    Some((address, words.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use tokio::net::TcpListener;

    use super::*;

    /// A network with one name server, wherever it is looked for.
    #[derive(Debug)]
    struct Wired {
        udp: SocketAddr,
        tcp: SocketAddr,
    }

    impl Net for Wired {
        fn address(&self) -> IpAddr {
            [127, 0, 0, 1].into()
        }

        fn listen(&self, _: u16) -> BoxFuture<'_, io::Result<TcpListener>> {
            TcpListener::bind("127.0.0.1:0").boxed()
        }

        fn bind(&self, _: u16) -> BoxFuture<'_, io::Result<UdpSocket>> {
            UdpSocket::bind("127.0.0.1:0").boxed()
        }

        fn route(&self, to: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
            match transport {
                _ if to != "10.43.0.10:53".parse().unwrap() => Err(io::ErrorKind::HostUnreachable.into()),
                Transport::Udp => Ok(self.udp),
                Transport::Tcp => Ok(self.tcp),
            }
        }
    }

    fn reply(bytes: &[u8], over_udp: bool) -> Vec<u8> {
        let question = Message::from_vec(bytes).unwrap();
        let query = question.queries[0].clone();
        let mut reply = Message::response(question.metadata.id, OpCode::Query);
        let address = |last| RData::A(std::net::Ipv4Addr::new(10, 0, 0, last).into());
        match (query.name().to_ascii().as_str(), query.query_type()) {
            ("web.default.svc.cluster.local.", RecordType::A) => {
                reply.add_answer(Record::from_rdata(query.name().clone(), 5, address(1)));
            }
            ("large.test.", RecordType::A) if over_udp => reply.metadata.truncation = true,
            ("large.test.", RecordType::A) => {
                reply.add_answer(Record::from_rdata(query.name().clone(), 5, address(2)));
            }
            ("web.default.svc.cluster.local." | "large.test.", _) => {}
            ("broken.test.", _) => reply.metadata.response_code = ResponseCode::ServFail,
            _ => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        reply.add_query(query);
        reply.to_vec().unwrap()
    }

    async fn wired() -> Wired {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wired = Wired { udp: udp.local_addr().unwrap(), tcp: tcp.local_addr().unwrap() };
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                udp.send_to(&reply(&buffer[..length], true), from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                let reply = reply(&question, false);
                stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        wired
    }

    const RESOLV_CONF: &str = "search default.svc.cluster.local svc.cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n";

    #[tokio::test]
    async fn names_are_found_in_hosts_and_by_searching() {
        let resolver = Resolver::new(Arc::new(wired().await), RESOLV_CONF, "127.0.0.1\tlocalhost me # self\n");
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
        assert_eq!(resolver.lookup("ME").await.unwrap(), addresses(&["127.0.0.1"]));
        assert_eq!(resolver.lookup("10.1.2.3").await.unwrap(), addresses(&["10.1.2.3"]));
        assert_eq!(resolver.lookup("web").await.unwrap(), addresses(&["10.0.0.1"]));
        assert_eq!(resolver.lookup("web.default").await.unwrap(), addresses(&["10.0.0.1"]));
        assert_eq!(resolver.lookup("large.test.").await.unwrap(), addresses(&["10.0.0.2"]));
        assert_eq!(resolver.lookup("web.").await, Err(ResolveError::NotFound));
        assert_eq!(resolver.lookup("broken.test.").await, Err(ResolveError::Unanswered));
    }

    #[tokio::test]
    async fn servers_of_the_world_are_not_asked_from_the_loopback() {
        let resolver = Resolver::new(Arc::new(wired().await), "", "");
        let from = async |to: &str| resolver.socket(to.parse().unwrap()).await.unwrap().local_addr().unwrap().ip();
        assert!(from("127.0.0.2:53").await.is_loopback());
        assert!(from("192.0.2.1:53").await.is_unspecified());
    }

    #[tokio::test]
    async fn who_cannot_be_reached_does_not_answer() {
        let resolver = Resolver::new(Arc::new(wired().await), "nameserver 10.43.0.11\n", "");
        assert_eq!(resolver.lookup("web").await, Err(ResolveError::Unanswered));
    }

    #[test]
    fn dots_decide_what_is_tried_first() {
        let resolver = Resolver::new(Arc::new(crate::HostNet), "search a.test b.test.\noptions ndots:2 timeout:1\n", "");
        assert_eq!(resolver.candidates("x.y"), ["x.y.a.test", "x.y.b.test", "x.y"]);
        assert_eq!(resolver.candidates("x.y.z"), ["x.y.z", "x.y.z.a.test", "x.y.z.b.test"]);
        assert_eq!(resolver.candidates("x."), ["x"]);
        assert_eq!(resolver.timeout, Duration::from_secs(1));
        assert_eq!(resolver.servers, ["127.0.0.1:53".parse().unwrap()]);
    }
}
