//! The same answers over UDP and TCP, and answers too large for a datagram.

use std::collections::BTreeSet;

use super::{
    cluster_dns::ClusterDns,
    objects::{self, reverse_name},
    survey::{PATIENCE, told},
};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::{
        Probe, Request,
        dns::{self, Kind, Query, Record, Reply, Transport},
    },
};

/// Are answers the same over UDP and TCP, and those too large for a datagram marked as cut?
pub const TRANSPORTS: Check = Check {
    area: Area::Dns,
    name: "transports",
    question: "Are answers the same over UDP and TCP, and those too large for a datagram marked as cut?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// As many addresses do not fit into the 512 bytes of a datagram without EDNS (RFC 1035, 2.3.4).
const MANY: u8 = 100;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    objects::create(cx, &objects::headless("many", None, &[])).await?;
    objects::create(cx, &objects::endpoints("many", MANY)).await?;

    let many = dns.service("many", cx.namespace());
    let all: BTreeSet<String> = (1..=MANY).map(|host| objects::endpoint_address(host).to_string()).collect();
    let small = small_questions(&dns, cx.namespace());
    let mut queries: Vec<Query> =
        small.iter().flat_map(|(kind, name)| [over(Transport::Udp, *kind, name), over(Transport::Tcp, *kind, name)]).collect();
    queries.push(over(Transport::Udp, Kind::A, &many));
    queries.push(Query { until: Some(all.clone()), ..over(Transport::Tcp, Kind::A, &many) });
    let patience_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let request = dns::Request { queries, lookups: vec![many.clone()], patience_ms, ..dns::Request::default() };
    let answer: dns::Answer = Probe::new("dns").asking(Request::Dns(request.clone())).run(cx).await?;

    for (query, reply) in request.queries.iter().zip(&answer.replies) {
        evidence.saw(format!("{} {} over {}", query.kind, query.name, query.transport), told(query.kind, reply));
    }
    let found = answer.lookups.first().map_or(Ok(0), |found| found.as_ref().map(|found| found.addresses.len()));
    let found_told = found.map_or_else(Clone::clone, |count| format!("{count} addresses"));
    evidence.saw(format!("look-up of {many}"), &found_told);

    let (pairs, rest) = answer.replies.as_chunks::<2>();
    evidence.require(rest.is_empty() && pairs.len() == small.len() + 1, "each query has its answer", answer.replies.len())?;
    for ((kind, name), [udp, tcp]) in small.iter().zip(pairs) {
        let same = matches!((udp, tcp), (Ok(udp), Ok(tcp)) if same(udp, tcp));
        let seen = format!("UDP: {}, TCP: {}", told(*kind, udp), told(*kind, tcp));
        evidence.require(same, format!("{kind} {name} is answered over UDP as over TCP"), seen)?;
    }
    if let Some([cut, whole]) = pairs.last() {
        let data = |reply: &Result<Reply, String>| reply.as_ref().map(|reply| reply.data(Kind::A)).unwrap_or_default();
        evidence.require(data(whole) == all, format!("over TCP {many} is all of {MANY} addresses"), told(Kind::A, whole))?;
        let is_cut = cut.as_ref().is_ok_and(|reply| reply.truncated) && data(cut).is_subset(&all);
        evidence.require(is_cut, format!("over UDP {many} is some of them, marked as cut"), told(Kind::A, cut))?;
    }
    evidence.require(found == Ok(MANY.into()), format!("an application finds all of {MANY} addresses"), found_told)?;
    Ok(())
}

/// One question of each kind, about what every cluster has and what it has not.
fn small_questions(dns: &ClusterDns, namespace: &str) -> Vec<(Kind, String)> {
    let api = dns.service("kubernetes", "default");
    let mut questions = vec![
        (Kind::A, api.clone()),
        (Kind::Aaaa, api.clone()),
        (Kind::Srv, format!("_https._tcp.{api}")),
        (Kind::A, dns.service("none", namespace)),
        (Kind::Soa, dns.zone.clone()),
    ];
    questions.extend(dns.addresses.iter().filter_map(|address| Some((Kind::Ptr, reverse_name(address.parse().ok()?)))));
    questions
}

fn over(transport: Transport, kind: Kind, name: &str) -> Query {
    Query { name: name.to_owned(), kind, transport, until: None }
}

/// Whether two replies say the same, whatever the order of records and however long they may still be cached.
fn same(one: &Reply, other: &Reply) -> bool {
    one.code == other.code
        && one.authoritative == other.authoritative
        && one.truncated == other.truncated
        && records(&one.answers) == records(&other.answers)
        && records(&one.authority) == records(&other.authority)
}

/// A SOA's data has a serial number, which CoreDNS counts up with each change in the cluster.
fn records(records: &[Record]) -> BTreeSet<(String, String, Option<String>)> {
    let data = |record: &Record| (record.kind != Kind::Soa.to_string()).then(|| record.data.clone());
    records.iter().map(|record| (record.name.clone(), record.kind.clone(), data(record))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(records: &[(&str, &str, u32)]) -> Reply {
        let answers = records.iter().map(|&(kind, data, ttl)| Record {
            name: "a.".to_owned(),
            kind: kind.to_owned(),
            ttl,
            data: data.to_owned(),
        });
        Reply {
            code: "NOERROR".to_owned(),
            authoritative: true,
            truncated: false,
            answers: answers.collect(),
            authority: vec![],
            after_ms: 0,
        }
    }

    #[test]
    fn order_age_and_serial_make_no_difference() {
        let one = reply(&[("A", "10.0.0.1", 5), ("A", "10.0.0.2", 5), ("SOA", "ns. 1", 5)]);
        let other = reply(&[("A", "10.0.0.2", 3), ("A", "10.0.0.1", 3), ("SOA", "ns. 2", 3)]);
        assert!(same(&one, &other));
    }

    #[test]
    fn another_address_does() {
        assert!(!same(&reply(&[("A", "10.0.0.1", 5)]), &reply(&[("A", "10.0.0.2", 5)])));
    }

    #[test]
    fn a_cut_does() {
        let whole = reply(&[("A", "10.0.0.1", 5)]);
        assert!(!same(&whole, &Reply { truncated: true, ..whole.clone() }));
    }
}
