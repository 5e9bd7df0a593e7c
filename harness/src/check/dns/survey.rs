//! Names asked together from one pod, each with what must come back.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    check::{Context, Evidence, Failure},
    probe::{
        Probe, Request,
        dns::{self, Found, Kind, Query, Reply, Transport},
    },
};

/// For how long an answer may lag behind the API: CoreDNS's watch, and its cache for the records' TTL of 5 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// What went unnoticed is not worth a word in the evidence.
const PROMPT_MS: u64 = 500;

/// What a query's reply must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// `NOERROR`, and records of the kind with exactly these data.
    Records(BTreeSet<String>),
    /// `NOERROR` without records: the name exists, but not with this kind.
    NoRecords,
    /// `NXDOMAIN`, with the SOA of this zone (RFC 2308).
    Missing(String),
}

/// Names to ask in one pod, and what must come back.
#[derive(Debug)]
pub(super) struct Survey {
    queries: Vec<(Query, Expected)>,
    lookups: Vec<(String, Found)>,
}

impl Survey {
    /// Asks nothing yet.
    pub(super) fn new() -> Self {
        Self { queries: Vec::new(), lookups: Vec::new() }
    }

    /// `name` must have exactly these records of the kind, whatever their order.
    pub(super) fn records<D: ToString>(&mut self, kind: Kind, name: &str, data: impl IntoIterator<Item = D>) -> &mut Self {
        let data = data.into_iter().map(|data| data.to_string()).collect();
        self.query(kind, name, Expected::Records(data))
    }

    /// `name` must exist, without a record of the kind.
    pub(super) fn no_records(&mut self, kind: Kind, name: &str) -> &mut Self {
        self.query(kind, name, Expected::NoRecords)
    }

    /// `name` must not exist, says the authority of `zone`.
    pub(super) fn missing(&mut self, kind: Kind, name: &str, zone: &str) -> &mut Self {
        self.query(kind, name, Expected::Missing(zone.to_owned()))
    }

    fn query(&mut self, kind: Kind, name: &str, expected: Expected) -> &mut Self {
        let until = match &expected {
            Expected::Records(data) => Some(data.clone()),
            Expected::NoRecords | Expected::Missing(_) => None,
        };
        self.queries.push((Query { name: name.to_owned(), kind, transport: Transport::Udp, until }, expected));
        self
    }

    /// An application that looks `name` up must find `complete` (without the last dot) with these addresses.
    pub(super) fn found(&mut self, name: &str, complete: &str, addresses: impl IntoIterator<Item = IpAddr>) -> &mut Self {
        let mut addresses: Vec<_> = addresses.into_iter().collect();
        addresses.sort();
        self.lookups.push((name.to_owned(), Found { name: format!("{complete}."), addresses }));
        self
    }

    /// Asks from a new pod, puts every answer into the evidence, and fails if one is not what it must be.
    pub(super) async fn run(self, cx: &Context, evidence: &mut Evidence) -> Result<dns::Answer, Failure> {
        let answer: dns::Answer = Probe::new("dns").asking(Request::Dns(self.request())).run(cx).await?;
        let mut wrong = Vec::new();
        for ((query, expected), reply) in self.queries.iter().zip(&answer.replies) {
            evidence.saw(format!("{} {}", query.kind, query.name), told(query.kind, reply));
            if !as_expected(query.kind, expected, reply) {
                wrong.push((must(query, expected), told(query.kind, reply)));
            }
        }
        for ((name, expected), found) in self.lookups.iter().zip(&answer.lookups) {
            let seen = found.as_ref().map_or_else(Clone::clone, text);
            evidence.saw(format!("look-up of {name}"), &seen);
            if found.as_ref() != Ok(expected) {
                wrong.push((format!("an application that looks up {name} finds {}", text(expected)), seen));
            }
        }
        match wrong.as_slice() {
            [] => Ok(answer),
            [(must, seen)] => Err(Failure::new(must, seen)),
            several => {
                let seen: Vec<String> = several.iter().map(|(must, seen)| format!("not so: {must}, but {seen}")).collect();
                Err(Failure::new("every name is answered as it must be", seen.join("; ")))
            }
        }
    }

    fn request(&self) -> dns::Request {
        dns::Request {
            server: None,
            queries: self.queries.iter().map(|(query, _)| query.clone()).collect(),
            lookups: self.lookups.iter().map(|(name, _)| name.clone()).collect(),
            patience_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn as_expected(kind: Kind, expected: &Expected, reply: &Result<Reply, String>) -> bool {
    let Ok(reply) = reply else { return false };
    match expected {
        Expected::Records(data) => reply.code == "NOERROR" && reply.data(kind) == *data,
        Expected::NoRecords => reply.code == "NOERROR" && reply.answers.is_empty(),
        Expected::Missing(zone) => reply.code == "NXDOMAIN" && soa(reply).is_some_and(|soa| soa == format!("{zone}.")),
    }
}

/// The zone whose SOA came with the reply.
fn soa(reply: &Reply) -> Option<&str> {
    reply.authority.iter().find(|record| record.kind == Kind::Soa.to_string()).map(|record| record.name.as_str())
}

fn must(query: &Query, expected: &Expected) -> String {
    let asked = format!("{} {}", query.kind, query.name);
    match expected {
        Expected::Records(data) => format!("{asked} is {}", list(data)),
        Expected::NoRecords => format!("{asked} is NOERROR without records"),
        Expected::Missing(zone) => format!("{asked} is NXDOMAIN with the SOA of {zone}"),
    }
}

/// A reply in a line.
pub(super) fn told(kind: Kind, reply: &Result<Reply, String>) -> String {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return error.clone(),
    };
    let data = reply.data(kind);
    let mut text = match (reply.code.as_str(), data.is_empty()) {
        ("NOERROR", false) => list(&data),
        (code, _) => code.to_owned(),
    };
    if let Some(ttl) = reply.answers.iter().map(|record| record.ttl).min() {
        text.push_str(&format!(" (TTL {ttl} s)"));
    }
    if let Some(zone) = soa(reply) {
        text.push_str(&format!(" (SOA of {zone})"));
    }
    if reply.truncated {
        text.push_str(" (cut)");
    }
    if reply.after_ms > PROMPT_MS {
        text.push_str(&format!(" (after {} ms)", reply.after_ms));
    }
    text
}

fn text(found: &Found) -> String {
    format!("{} {}", found.name, list(&found.addresses))
}

/// The first few, and how many there are.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 6;
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.len() {
        0 => "nothing".to_owned(),
        count if count > SHOWN => format!("{} ... ({count})", items.get(..SHOWN).unwrap_or_default().join(", ")),
        _ => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::probe::dns::Record;

    fn record(kind: &str, name: &str, data: &str) -> Record {
        Record { name: name.to_owned(), kind: kind.to_owned(), ttl: 5, data: data.to_owned() }
    }

    fn reply(code: &str, answers: Vec<Record>, authority: Vec<Record>) -> Reply {
        Reply { code: code.to_owned(), authoritative: true, truncated: false, answers, authority, after_ms: 1 }
    }

    fn addresses(addresses: &[&str]) -> Reply {
        reply("NOERROR", addresses.iter().map(|address| record("A", "web.", address)).collect(), vec![])
    }

    fn records(data: &[&str]) -> Expected {
        Expected::Records(data.iter().map(|data| (*data).to_owned()).collect())
    }

    fn missing() -> Reply {
        reply("NXDOMAIN", vec![], vec![record("SOA", "cluster.local.", "ns.dns.cluster.local. ...")])
    }

    #[rstest]
    #[case::in_another_order(records(&["10.0.0.1", "10.0.0.2"]), addresses(&["10.0.0.2", "10.0.0.1"]), true)]
    #[case::one_too_many(records(&["10.0.0.1"]), addresses(&["10.0.0.1", "10.0.0.2"]), false)]
    #[case::one_too_few(records(&["10.0.0.1", "10.0.0.2"]), addresses(&["10.0.0.1"]), false)]
    #[case::another_kind_beside(records(&["10.0.0.1"]), reply("NOERROR", vec![record("CNAME", "web.", "api."), record("A", "api.", "10.0.0.1")], vec![]), true)]
    #[case::none_with_an_error(records(&[]), reply("SERVFAIL", vec![], vec![]), false)]
    #[case::no_records(Expected::NoRecords, addresses(&[]), true)]
    #[case::no_name(Expected::NoRecords, missing(), false)]
    #[case::missing(Expected::Missing("cluster.local".to_owned()), missing(), true)]
    #[case::missing_says_another(Expected::Missing("cluster.local".to_owned()), reply("NXDOMAIN", vec![], vec![record("SOA", ".", "a.root-servers.net. ...")]), false)]
    #[case::missing_without_soa(Expected::Missing("cluster.local".to_owned()), reply("NXDOMAIN", vec![], vec![]), false)]
    #[case::there_after_all(Expected::Missing("cluster.local".to_owned()), addresses(&["10.0.0.1"]), false)]
    fn a_reply_is_judged(#[case] expected: Expected, #[case] reply: Reply, #[case] good: bool) {
        assert_eq!(as_expected(Kind::A, &expected, &Ok(reply)), good);
    }

    #[rstest]
    #[case::records(Ok(addresses(&["10.0.0.2", "10.0.0.1"])), "10.0.0.1, 10.0.0.2 (TTL 5 s)")]
    #[case::missing(Ok(missing()), "NXDOMAIN (SOA of cluster.local.)")]
    #[case::late(Ok(Reply { after_ms: 4100, ..addresses(&["10.0.0.1"]) }), "10.0.0.1 (TTL 5 s) (after 4100 ms)")]
    #[case::cut(Ok(Reply { truncated: true, ..addresses(&[]) }), "NOERROR (cut)")]
    #[case::none(Err("10.43.0.10:53 over UDP: Connection refused".to_owned()), "10.43.0.10:53 over UDP: Connection refused")]
    fn a_reply_is_told_in_a_line(#[case] reply: Result<Reply, String>, #[case] text: &str) {
        assert_eq!(told(Kind::A, &reply), text);
    }

    #[test]
    fn a_long_list_is_told_by_its_length() {
        assert_eq!(list(1..=100), "1, 2, 3, 4, 5, 6 ... (100)");
    }
}
