//! `cache`: what was told is told again for a while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use jiff::Timestamp;

use super::{Next, Outcome, Plugin};
use crate::cluster::Cluster;
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::setup::{duration, number};

/// Replies of each kind that are kept.
const CAPACITY: usize = 10_000;
const LEAST: u32 = 5;
const MOST: u32 = 3600;

/// What a reply is, as far as it can be kept (`response.Typify`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Success,
    /// The name, or the kind of record, does not exist, and the zone's authority says so.
    Denial,
    /// The server could not answer.
    Failure,
    Delegation,
    /// Not kept.
    Other,
}

pub(super) fn sort(reply: &Message) -> Sort {
    let transfer = |kind: RecordType| matches!(kind, RecordType::AXFR | RecordType::IXFR);
    if matches!(reply.metadata.op_code, OpCode::Update | OpCode::Notify)
        || reply.queries.first().is_some_and(|query| transfer(query.query_type))
    {
        return Sort::Other;
    }
    let has = |kind| reply.authorities.iter().any(|record| record.record_type() == kind);
    match reply.metadata.response_code {
        ResponseCode::NoError if !reply.answers.is_empty() => Sort::Success,
        ResponseCode::NoError | ResponseCode::NXDomain if has(RecordType::SOA) => Sort::Denial,
        ResponseCode::ServFail | ResponseCode::NotImp => Sort::Failure,
        ResponseCode::NoError if has(RecordType::NS) => Sort::Delegation,
        ResponseCode::NoError => Sort::Success,
        _ => Sort::Other,
    }
}

/// For how long replies of a sort are kept, and how many.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    capacity: usize,
    least: u32,
    most: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: String,
    kind: RecordType,
    wants_dnssec: bool,
    checking_disabled: bool,
}

#[derive(Debug)]
struct Item {
    reply: Message,
    stored: Timestamp,
    ttl: u32,
}

impl Item {
    /// Seconds that are left.
    fn left(&self, now: Timestamp) -> u32 {
        let age = now.duration_since(self.stored).as_secs();
        self.ttl.saturating_sub(u32::try_from(age.max(0)).unwrap_or(u32::MAX))
    }
}

#[derive(Debug, Default)]
struct Kept {
    success: HashMap<Key, Item>,
    denial: HashMap<Key, Item>,
}

/// The plugin.
pub(in crate::dns) struct Cache {
    zones: Vec<Name>,
    success: Bounds,
    denial: Bounds,
    failure: u32,
    /// The zones of which successes, and denials, are not kept.
    no_success: Vec<Name>,
    no_denial: Vec<Name>,
    keep_ttl: bool,
    kept: Mutex<Kept>,
    cluster: Weak<Cluster>,
}

impl Cache {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, block: &[String], cluster: &Weak<Cluster>) -> Result<Self, String> {
        let mut cache = Self {
            zones: Vec::new(),
            success: Bounds { capacity: CAPACITY, least: LEAST, most: MOST },
            denial: Bounds { capacity: CAPACITY, least: LEAST, most: MOST / 2 },
            failure: LEAST,
            no_success: Vec::new(),
            no_denial: Vec::new(),
            keep_ttl: false,
            kept: Mutex::default(),
            cluster: cluster.clone(),
        };
        words.next();
        let mut arguments = words.arguments();
        if let Some(ttl) = arguments.first().and_then(|first| first.parse::<i64>().ok()) {
            let ttl = positive(ttl)?;
            (cache.success.most, cache.denial.most) = (ttl, ttl);
            arguments.remove(0);
        }
        cache.zones = names::zones(&arguments, block);
        while words.next_in_block() {
            cache.property(words)?;
        }
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        Ok(cache)
    }

    fn property(&mut self, words: &mut Dispenser<'_>) -> Result<(), String> {
        match words.word() {
            property @ ("success" | "denial") => {
                let bounds = if property == "success" { &mut self.success } else { &mut self.denial };
                let arguments = words.arguments();
                let [capacity, rest @ ..] = arguments.as_slice() else { return Err(words.argument_error()) };
                bounds.capacity = usize::try_from(number(capacity)?).unwrap_or_default();
                if let Some(most) = rest.first() {
                    bounds.most = positive(number(most)?)?;
                }
                if let Some(least) = rest.get(1) {
                    let least = number(least)?;
                    bounds.least = u32::try_from(least).map_err(|_| format!("cache min TTL can not be negative: {least}"))?;
                }
            }
            "servfail" => {
                let arguments = words.arguments();
                let [text] = arguments.as_slice() else { return Err(words.argument_error()) };
                let ttl = duration(text)?;
                if ttl > Duration::from_secs(300) {
                    return Err("caching SERVFAIL responses over 5 minutes is not permitted".to_owned());
                }
                self.failure = u32::try_from(ttl.as_secs()).unwrap_or_default();
            }
            "disable" => {
                let arguments = words.arguments();
                let [which, zones @ ..] = arguments.as_slice() else { return Err(words.argument_error()) };
                let zones = names::zones(zones, &[".".to_owned()]);
                match which.as_str() {
                    "success" => self.no_success = zones,
                    "denial" => self.no_denial = zones,
                    _ => return Err("cache type for disable must be \"success\" or \"denial\"".to_owned()),
                }
            }
            "keepttl" => {
                if !words.arguments().is_empty() {
                    return Err(words.argument_error());
                }
                self.keep_ttl = true;
            }
            "prefetch" | "serve_stale" => return Err(words.not_emulated()),
            _ => return Err(words.argument_error()),
        }
        Ok(())
    }

    /// The time, which passes as it does for the rest of the cluster.
    fn now(&self) -> Timestamp {
        self.cluster.upgrade().map_or_else(Timestamp::now, |cluster| cluster.clock())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &Key, request: &Request) -> Option<Message> {
        let now = self.now();
        let kept = self.kept();
        let item = [&kept.denial, &kept.success].into_iter().find_map(|kept| kept.get(key).filter(|item| item.left(now) > 0))?;
        let mut reply = request.reply(item.reply.metadata.response_code);
        // Some clients throw away what is not.
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = item.reply.metadata.recursion_available;
        reply.metadata.authentic_data = item.reply.metadata.authentic_data && wants_authentic(request);
        reply.answers.clone_from(&item.reply.answers);
        reply.authorities.clone_from(&item.reply.authorities);
        reply.additionals.clone_from(&item.reply.additionals);
        set_ttl(&mut reply, if self.keep_ttl { item.ttl } else { item.left(now) });
        Some(reply)
    }

    /// Gives a reply the TTL for which it is kept, and keeps it.
    fn keep(&self, key: Key, request: &Request, mut reply: Message) -> Message {
        let sort = sort(&reply);
        let of = |bounds: &Bounds| least_ttl(&reply, sort).max(bounds.least).min(bounds.most);
        let ttl = match sort {
            Sort::Denial => of(&self.denial),
            Sort::Failure => self.failure,
            Sort::Success | Sort::Delegation | Sort::Other => of(&self.success),
        };
        set_ttl(&mut reply, ttl);
        if !wants_authentic(request) {
            reply.metadata.authentic_data = false;
        }
        let (excepted, capacity) = match sort {
            Sort::Success | Sort::Delegation => (&self.no_success, self.success.capacity),
            Sort::Denial | Sort::Failure => (&self.no_denial, self.denial.capacity),
            Sort::Other => return reply,
        };
        let is_kept = ttl > 0 && !reply.metadata.truncation && request.is_answered_by(&reply);
        if is_kept && names::zone_of(excepted, request.name()).is_none() {
            let mut kept = reply.clone();
            // It is between two servers.
            kept.edns = None;
            let item = Item { reply: kept, stored: self.now(), ttl };
            let mut kept = self.kept();
            let kept = if matches!(sort, Sort::Success | Sort::Delegation) { &mut kept.success } else { &mut kept.denial };
            make_room(kept, capacity, item.stored);
            kept.insert(key, item);
        }
        reply
    }
}

fn positive(ttl: i64) -> Result<u32, String> {
    u32::try_from(ttl).ok().filter(|ttl| *ttl > 0).ok_or_else(|| format!("cache TTL can not be zero or negative: {ttl}"))
}

fn wants_authentic(request: &Request) -> bool {
    request.wants_dnssec() || request.message.metadata.authentic_data
}

fn set_ttl(reply: &mut Message, ttl: u32) {
    for section in [&mut reply.answers, &mut reply.authorities, &mut reply.additionals] {
        section.iter_mut().for_each(|record| record.ttl = ttl);
    }
}

/// `dnsutil.MinimalTTL`.
fn least_ttl(reply: &Message, sort: Sort) -> u32 {
    let all = || reply.answers.iter().chain(&reply.authorities).chain(&reply.additionals).map(|record: &Record| record.ttl);
    match sort {
        Sort::Success | Sort::Denial => all().chain(all().next().is_some().then_some(MOST)).min().unwrap_or(LEAST),
        _ => LEAST,
    }
}

fn make_room(kept: &mut HashMap<Key, Item>, capacity: usize, now: Timestamp) {
    if kept.len() < capacity.max(1) {
        return;
    }
    kept.retain(|_, item| item.left(now) > 0);
    // Any one will do, as it does in CoreDNS's shards.
    if kept.len() >= capacity.max(1)
        && let Some(key) = kept.keys().next().cloned()
    {
        kept.remove(&key);
    }
}

impl Plugin for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            if names::zone_of(&self.zones, request.name()).is_none() {
                return next.serve(request).await;
            }
            let key = Key {
                name: names::text(request.name()),
                kind: request.kind(),
                wants_dnssec: request.wants_dnssec(),
                checking_disabled: request.message.metadata.checking_disabled,
            };
            if let Some(reply) = self.find(&key, request) {
                return reply.into();
            }
            next.serve(request).await.map(|reply| self.keep(key, request, reply))
        }
        .boxed()
    }
}
