//! What names resolve to, seen from inside a pod.

mod exchange;
mod lookup;
mod routed;
#[cfg(test)]
mod server;

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::future::join_all;
use k3s_arc_container::{Container, Files, Net};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use self::exchange::exchange;
pub(super) use self::lookup::Resolver;

/// The port of DNS (RFC 1035).
const PORT: u16 = 53;
/// The pause before a question is put again.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a question may go without an answer: an application's look-up tries each completion of a name, twice, for 5 s.
const HANGING: Duration = Duration::from_secs(10);

/// Names to ask for. Answers stand in the order of the questions.
///
/// Queries with an [`until`](Query::until) are asked first, then the others, then the look-ups: by then DNS has followed
/// the API, and what it says of the rest is of the same moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The server for `queries`; none: the first nameserver of the pod's `/etc/resolv.conf`, port 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// Asked of the server as they stand.
    #[serde(default)]
    pub queries: Vec<Query>,
    /// Resolved to addresses as an application does it: `/etc/hosts`, search list and `ndots` of the pod's
    /// `/etc/resolv.conf` (hickory-resolver over the pod's own files).
    #[serde(default)]
    pub lookups: Vec<String>,
    /// For how many milliseconds queries with an [`until`](Query::until), and look-ups that find nothing, are asked again.
    #[serde(default)]
    pub patience_ms: u64,
}

/// One question for a DNS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// A complete name; no search list is applied, and the last dot may be left out.
    pub name: String,
    /// Which records.
    pub kind: Kind,
    /// How it is sent.
    pub transport: Transport,
    /// Asked again until the data of its records of this kind are these, whatever their order. DNS follows the API after a
    /// moment (a watch and a cache with a TTL), and has no watch of its own to wait by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<BTreeSet<String>>,
}

/// A type of record (RFC 1035, 2782, 3596).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// The name this one stands for.
    Cname,
    /// The name of an address.
    Ptr,
    /// The authority of a zone.
    Soa,
    /// Host and port of a service.
    Srv,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Cname => "CNAME",
            Kind::Ptr => "PTR",
            Kind::Soa => "SOA",
            Kind::Srv => "SRV",
        })
    }
}

impl Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        })
    }
}

/// How a query travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram each way; an answer that does not fit is cut and says so.
    Udp,
    /// A connection; answers of any size.
    Tcp,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The pod's `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The pod's `/etc/hosts`.
    pub hosts: String,
    /// To each query the server's reply, or why there was none.
    pub replies: Vec<Result<Reply, String>>,
    /// To each look-up what it found, or why it found nothing.
    pub lookups: Vec<Result<Found, String>>,
}

/// A DNS server's reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The response code by its mnemonic: `NOERROR`, `NXDOMAIN`, `SERVFAIL`, ...
    pub code: String,
    /// Whether the server says it is the authority.
    pub authoritative: bool,
    /// Whether the answer was cut to fit the datagram.
    pub truncated: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section; with `NXDOMAIN`, the zone's SOA (RFC 2308).
    pub authority: Vec<Record>,
    /// How many milliseconds after the first asking it came; more than one round trip if it was asked again.
    pub after_ms: u64,
}

impl Reply {
    /// The data of the answer's records of one kind.
    pub fn data(&self, kind: Kind) -> BTreeSet<String> {
        self.answers.iter().filter(|record| record.kind == kind.to_string()).map(|record| record.data.clone()).collect()
    }
}

/// A resource record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Whose it is, with the last dot.
    pub name: String,
    /// Its type by its mnemonic: `A`, `SRV`, ...
    pub kind: String,
    /// How long it may be cached, in seconds.
    pub ttl: u32,
    /// Its data as a zone file has it: an address, a name, `0 100 443 host.` (priority, weight, port, host).
    pub data: String,
}

/// What an application's look-up found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The complete name that answered, with the search list's part and the last dot.
    pub name: String,
    /// Its addresses, in order.
    pub addresses: Vec<IpAddr>,
}

/// Asks them all.
///
/// # Errors
/// What could not be read of the pod's own files, or that they name no server.
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    let resolv_conf = read(&container.files, "/etc/resolv.conf")?;
    let hosts = read(&container.files, "/etc/hosts")?;
    let server = match request.server {
        Some(server) => server,
        None => nameserver(&resolv_conf)?,
    };
    let resolver = Resolver::new(&resolv_conf, &hosts, container.net.clone())?;
    let patience = Duration::from_millis(request.patience_ms);
    let ask = async |(index, query)| (index, ask(&*container.net, server, query, patience).await);
    let (awaited, others): (Vec<_>, Vec<_>) = request.queries.iter().enumerate().partition(|(_, query)| query.until.is_some());
    let mut replies = join_all(awaited.into_iter().map(ask)).await;
    replies.extend(join_all(others.into_iter().map(ask)).await);
    replies.sort_by_key(|(index, _)| *index);
    let lookups = request.lookups.iter().map(|name| again(patience, || resolver.find(name), Result::is_ok));
    Ok(Answer {
        replies: replies.into_iter().map(|(_, reply)| reply).collect(),
        lookups: join_all(lookups).await,
        resolv_conf,
        hosts,
    })
}

async fn ask(net: &dyn Net, server: SocketAddr, query: &Query, patience: Duration) -> Result<Reply, String> {
    let started = Instant::now();
    let as_expected = |reply: &Result<Reply, String>| match (&query.until, reply) {
        (None, _) => true,
        (Some(data), Ok(reply)) => reply.data(query.kind) == *data,
        (Some(_), Err(_)) => false,
    };
    let mut reply = again(patience, || exchange(net, server, query), as_expected).await?;
    reply.after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply)
}

/// Repeats a question until its answer is `good` or `patience` has passed, and gives the last answer.
///
/// One that hangs is cut off then too, but never before [`HANGING`].
pub(super) async fn again<T, F: Future<Output = Result<T, String>>>(
    patience: Duration,
    question: impl FnMut() -> F,
    good: impl Fn(&Result<T, String>) -> bool,
) -> Result<T, String> {
    let now = Instant::now();
    again_until(now + patience, now + patience.max(HANGING), question, good).await
}

async fn again_until<T, F: Future<Output = Result<T, String>>>(
    ends: Instant,
    cut: Instant,
    mut question: impl FnMut() -> F,
    good: impl Fn(&Result<T, String>) -> bool,
) -> Result<T, String> {
    let started = Instant::now();
    let mut last = None;
    loop {
        match timeout_at(cut, question()).await {
            Ok(answer) if good(&answer) || Instant::now() >= ends => return answer,
            Ok(answer) => last = Some(answer),
            Err(_) => return last.unwrap_or_else(|| Err(format!("no answer within {} s", started.elapsed().as_secs()))),
        }
        sleep(INTERVAL).await;
    }
}

/// The first nameserver of a `resolv.conf`, at the port of DNS.
fn nameserver(resolv_conf: &str) -> Result<SocketAddr, String> {
    let address = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|address| address.trim().parse().ok())
        .ok_or("/etc/resolv.conf names no server")?;
    Ok(SocketAddr::new(address, PORT))
}

pub(super) fn read(files: &Files, path: &str) -> Result<String, String> {
    files.read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use hickory_proto::rr::{RData, Record as ProtoRecord, rdata};
    use k3s_arc_container::HostNet;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_the_kubelet_writes_it("search a.svc.cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n", "10.43.0.10:53")]
    #[case::the_first_of_two("nameserver 1.1.1.1\nnameserver 8.8.8.8", "1.1.1.1:53")]
    #[case::v6("nameserver fd00::a", "[fd00::a]:53")]
    fn the_server_is_the_first_of_resolv_conf(#[case] resolv_conf: &str, #[case] server: SocketAddr) {
        assert_eq!(nameserver(resolv_conf).unwrap(), server);
    }

    #[tokio::test]
    async fn a_question_is_put_again_until_the_answer_is_as_expected() {
        let asked = AtomicU8::new(0);
        let server = server::serve(move |reply, question| {
            let data = RData::A(rdata::A::new(10, 42, 0, asked.fetch_add(1, Ordering::Relaxed)));
            reply.add_answer(ProtoRecord::from_rdata(question.name().clone(), 5, data));
        })
        .await;
        let until = Some(BTreeSet::from(["10.42.0.2".to_owned()]));
        let query = Query { name: "web".to_owned(), kind: Kind::A, transport: Transport::Udp, until };
        let reply = ask(&HostNet, server, &query, Duration::from_secs(60)).await.unwrap();
        assert_eq!(reply.data(Kind::A), query.until.unwrap());
    }

    #[tokio::test]
    async fn when_patience_ends_the_last_answer_stands() {
        let mut asked = 0;
        let question = || {
            asked += 1;
            std::future::ready(Ok(asked))
        };
        assert_eq!(again(Duration::ZERO, question, |_| false).await, Ok(1));
    }

    #[tokio::test]
    async fn a_question_that_hangs_is_cut_off() {
        let now = Instant::now();
        let answer: Result<(), String> = again_until(now, now, std::future::pending, Result::is_ok).await;
        assert_eq!(answer, Err("no answer within 0 s".to_owned()));
    }

    #[test]
    fn without_a_server_it_says_so() {
        assert_eq!(nameserver("search lan\n").unwrap_err(), "/etc/resolv.conf names no server");
    }
}
