//! `forward`: other servers are asked, through the pod's network. An upstream that does not answer is asked every half second whether
//! it is back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use k3s_arc_container::{Files, Net, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::{Request, question};
use crate::dns::names;
use crate::dns::setup::{duration, number};
use crate::kinds::meta::random_number;

/// For how long an upstream may keep an answer back.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long a question is tried in all.
const WHOLE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds of asking upstreams of which none answers.
const PAUSE: Duration = Duration::from_millis(50);
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const CHECK_PATIENCE: Duration = Duration::from_secs(1);
const MOST_UPSTREAMS: usize = 15;
const PORT: u16 = 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Random,
    RoundRobin,
    Sequential,
}

/// Another server.
#[derive(Debug)]
struct Upstream {
    address: SocketAddr,
    fails: AtomicU32,
    checking: AtomicBool,
}

/// One `forward` line.
pub(in crate::dns) struct Forward {
    from: Name,
    except: Vec<Name>,
    upstreams: Vec<Arc<Upstream>>,
    policy: Policy,
    turn: AtomicUsize,
    max_fails: u32,
    check_interval: Duration,
    force_tcp: bool,
    prefer_udp: bool,
    fail_fast: bool,
    /// How many questions may be under way; 0: any number.
    max_concurrent: usize,
    under_way: AtomicUsize,
    net: Arc<dyn Net>,
}

impl Forward {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, files: &Files, net: &Arc<dyn Net>) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        while words.next() {
            all.push(Self::one(words, files, net)?);
        }
        Ok(all)
    }

    fn one(words: &mut Dispenser<'_>, files: &Files, net: &Arc<dyn Net>) -> Result<Self, String> {
        if !words.next_argument() {
            return Err(words.argument_error());
        }
        let from = words.word().to_owned();
        let zones = names::split(&from).map(|(zones, _)| zones).unwrap_or_default();
        let from = zones.into_iter().next().ok_or_else(|| format!("unable to normalize '{from}'"))?;
        let to = words.arguments();
        if to.is_empty() {
            return Err(words.argument_error());
        }
        let mut forward = Self {
            from,
            except: Vec::new(),
            upstreams: addresses(&to, files)?.into_iter().map(Upstream::new).collect(),
            policy: Policy::Random,
            turn: AtomicUsize::new(0),
            max_fails: 2,
            check_interval: CHECK_INTERVAL,
            force_tcp: false,
            prefer_udp: false,
            fail_fast: false,
            max_concurrent: 0,
            under_way: AtomicUsize::new(0),
            net: net.clone(),
        };
        while words.next_in_block() {
            forward.property(words)?;
        }
        if forward.upstreams.len() > MOST_UPSTREAMS {
            return Err(format!("more than {MOST_UPSTREAMS} TOs configured: {}", forward.upstreams.len()));
        }
        Ok(forward)
    }

    fn property(&mut self, words: &mut Dispenser<'_>) -> Result<(), String> {
        let property = words.word().to_owned();
        match property.as_str() {
            "except" => {
                let except = words.arguments();
                if except.is_empty() {
                    return Err(words.argument_error());
                }
                self.except.extend(names::zones(&except, &[]));
            }
            "force_tcp" | "prefer_udp" | "failfast_all_unhealthy_upstreams" => {
                if words.next_argument() {
                    return Err(words.argument_error());
                }
                match property.as_str() {
                    "force_tcp" => self.force_tcp = true,
                    "prefer_udp" => self.prefer_udp = true,
                    _ => self.fail_fast = true,
                }
            }
            "max_fails" | "expire" | "policy" | "max_concurrent" | "health_check" => {
                if !words.next_argument() {
                    return Err(words.argument_error());
                }
                let value = words.word().to_owned();
                self.set(&property, &value, words)?;
            }
            "tls" | "tls_servername" | "next" | "failover" => return Err(words.not_emulated()),
            _ => return Err(words.unknown_property()),
        }
        Ok(())
    }

    fn set(&mut self, property: &str, value: &str, words: &mut Dispenser<'_>) -> Result<(), String> {
        match property {
            "max_fails" => {
                let invalid = || format!("strconv.ParseUint: parsing {value:?}: invalid syntax");
                self.max_fails = value.parse().map_err(|_| invalid())?;
            }
            // Connections are not kept, so that none expires.
            "expire" => drop(duration(value)?),
            "policy" => {
                self.policy = match value {
                    "random" => Policy::Random,
                    "round_robin" => Policy::RoundRobin,
                    "sequential" => Policy::Sequential,
                    _ => return Err(words.error(&format!("unknown policy '{value}'"))),
                }
            }
            "max_concurrent" => {
                let most = number(value)?;
                self.max_concurrent = usize::try_from(most).map_err(|_| format!("max_concurrent can't be negative: {most}"))?;
            }
            _ => {
                self.check_interval = duration(value)?;
                if words.next_argument() {
                    return Err(words.not_emulated());
                }
            }
        }
        Ok(())
    }

    fn in_order(&self) -> Vec<&Arc<Upstream>> {
        let mut all: Vec<_> = self.upstreams.iter().collect();
        match self.policy {
            Policy::Sequential => {}
            Policy::RoundRobin => {
                let first = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % all.len();
                all[..=first].rotate_right(1);
            }
            Policy::Random => all.sort_by_cached_key(|_| random_number(u32::MAX)),
        }
        all
    }

    /// Asks one upstream after the other until one answers or time is up.
    async fn ask(&self, request: &Request) -> Outcome {
        let deadline = Instant::now() + WHOLE_PATIENCE;
        let upstreams = self.in_order();
        let mut last = "no healthy proxies".to_owned();
        while Instant::now() < deadline {
            let up: Vec<_> = upstreams.iter().filter(|upstream| !upstream.is_down(self.max_fails)).collect();
            let all_down = up.is_empty();
            if all_down && self.fail_fast {
                break;
            }
            // When all are down, what tells so may be what is broken: one is tried.
            let tried: Vec<_> = if all_down { upstreams.iter().take(1).collect() } else { up };
            for upstream in tried {
                match self.exchange(upstream, request).await {
                    Ok(reply) if request.is_answered_by(&reply) => return reply.into(),
                    Ok(_) => return request.reply(ResponseCode::FormErr).into(),
                    Err(error) => {
                        last = error;
                        if self.max_fails > 0 {
                            self.check(upstream);
                        }
                    }
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            if all_down {
                break;
            }
            sleep(PAUSE).await;
        }
        Outcome::broken(last)
    }

    async fn exchange(&self, upstream: &Upstream, request: &Request) -> Result<Message, String> {
        let mut transport = match (self.force_tcp, self.prefer_udp) {
            (true, _) => Transport::Tcp,
            (false, true) => Transport::Udp,
            (false, false) => request.transport,
        };
        let mut message = request.message.clone();
        message.metadata.id = u16::try_from(random_number(1 << 16)).unwrap_or_default();
        let mut reply = exchange(&*self.net, upstream.address, transport, &message, PATIENCE).await?;
        if reply.metadata.truncation && self.prefer_udp && transport == Transport::Udp {
            transport = Transport::Tcp;
            reply = exchange(&*self.net, upstream.address, transport, &message, PATIENCE).await?;
        }
        reply.metadata.id = request.message.metadata.id;
        Ok(reply)
    }

    /// Asks an upstream that failed whether it is there, until it is.
    fn check(&self, upstream: &Arc<Upstream>) {
        if upstream.checking.swap(true, Ordering::Relaxed) {
            return;
        }
        let (upstream, net, interval) = (Arc::downgrade(upstream), self.net.clone(), self.check_interval);
        tokio::spawn(async move {
            let question = question(0, Query::query(Name::root(), RecordType::NS));
            // Until it answers, or nobody asks it any more.
            while let Some(upstream) = upstream.upgrade() {
                if exchange(&*net, upstream.address, Transport::Udp, &question, CHECK_PATIENCE).await.is_ok() {
                    upstream.fails.store(0, Ordering::Relaxed);
                    upstream.checking.store(false, Ordering::Relaxed);
                    return;
                }
                upstream.fails.fetch_add(1, Ordering::Relaxed);
                drop(upstream);
                sleep(interval).await;
            }
        });
    }
}

impl Upstream {
    fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, fails: AtomicU32::new(0), checking: AtomicBool::new(false) })
    }

    fn is_down(&self, max_fails: u32) -> bool {
        max_fails > 0 && self.fails.load(Ordering::Relaxed) > max_fails
    }
}

/// The addresses that a line names: addresses, or files such as `/etc/resolv.conf` (`parse.HostPortOrFile`).
fn addresses(to: &[String], files: &Files) -> Result<Vec<SocketAddr>, String> {
    let mut all = Vec::new();
    for text in to {
        let host = text.strip_prefix("dns://").unwrap_or(text);
        if let Some((transport, _)) = host.split_once("://") {
            return Err(format!("'{transport}' is not emulated as a destination protocol in forward: {text}"));
        }
        if let Ok(address) = host.parse::<SocketAddr>() {
            all.push(address);
        } else if let Ok(address) = host.parse::<IpAddr>() {
            all.push(SocketAddr::new(address, PORT));
        } else {
            let read = files.read_to_string(host).map_err(|_| format!("not an IP address or file: {host:?}"))?;
            all.extend(nameservers(&read));
        }
    }
    if all.is_empty() { Err("no nameservers found".to_owned()) } else { Ok(all) }
}

fn nameservers(resolv_conf: &str) -> impl Iterator<Item = SocketAddr> {
    resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next())??;
        Some(SocketAddr::new(address.split('%').next()?.parse().ok()?, PORT))
    })
}

/// Puts a question to a server.
pub(in crate::dns) async fn exchange(
    net: &dyn Net,
    to: SocketAddr,
    transport: Transport,
    message: &Message,
    patience: Duration,
) -> Result<Message, String> {
    let bytes = message.to_bytes().map_err(|error| error.to_string())?;
    let told = match transport {
        Transport::Udp => {
            let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
            let socket = UdpSocket::bind(any).await.map_err(|error| format!("dial udp {to}: {error}"))?;
            let port = socket.local_addr().map_or(0, |own| own.port());
            let from = SocketAddr::new(if to.ip().is_loopback() { to.ip() } else { net.address() }, port);
            let told = timeout(patience, over_udp(net, &socket, to, &bytes)).await;
            told_or(told, &format!("read udp {from}->{to}"), "read")
        }
        Transport::Tcp => told_or(timeout(patience, over_tcp(net, to, &bytes)).await, &format!("dial tcp {to}"), "connect"),
    }?;
    Message::from_vec(&told).map_err(|error| error.to_string())
}

/// What was told, or why not, as Go has it.
fn told_or(told: Result<io::Result<Vec<u8>>, Elapsed>, what: &str, call: &str) -> Result<Vec<u8>, String> {
    match told {
        Ok(Ok(told)) => Ok(told),
        Err(_) => Err(format!("{what}: i/o timeout")),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("{what}: {call}: connection refused"),
            io::ErrorKind::HostUnreachable => format!("{what}: {call}: no route to host"),
            io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            _ => format!("{what}: {error}"),
        }),
    }
}

async fn over_udp(net: &dyn Net, socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    socket.connect(net.route(to, Transport::Udp)?).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // One that comes late is another question's.
        if buffer.get(..2) == bytes.get(..2) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(net: &dyn Net, to: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(net.route(to, Transport::Tcp)?).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
    let mut told = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut told).await?;
    Ok(told)
}

impl Plugin for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let name = request.name();
            let excepted = *name != self.from && names::zone_of(&self.except, name).is_some();
            if !self.from.zone_of(name) || excepted {
                return next.serve(request).await;
            }
            let turn = UnderWay::begin(&self.under_way);
            if self.max_concurrent > 0 && turn.count > self.max_concurrent {
                let why = format!("concurrent queries exceeded maximum {}", self.max_concurrent);
                return Outcome::Failed(ResponseCode::Refused, Some(why));
            }
            self.ask(request).await
        }
        .boxed()
    }
}

/// A question that is under way until this is dropped.
struct UnderWay<'a> {
    all: &'a AtomicUsize,
    count: usize,
}

impl<'a> UnderWay<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        Self { all, count: all.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
