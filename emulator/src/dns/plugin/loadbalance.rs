//! `loadbalance`: another order of addresses with every reply.

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::kinds::meta::random_number;

pub(in crate::dns) struct LoadBalance;

impl LoadBalance {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>) -> Result<Self, String> {
        while words.next() {
            match words.arguments().as_slice() {
                [] => {}
                [policy] if policy == "round_robin" => {}
                [policy, ..] if policy == "round_robin" => return Err(words.error("unknown property for round_robin")),
                [policy, ..] if policy == "weighted" => return Err(words.error("the policy 'weighted' is not emulated")),
                [policy, ..] => return Err(format!("unknown policy: {policy}")),
            }
            if words.next_in_block() {
                return Err(if words.word() == "prefer" { words.not_emulated() } else { words.unknown_property() });
            }
        }
        Ok(Self)
    }
}

impl Plugin for LoadBalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move { next.serve(request).await.map(shuffled) }.boxed()
    }
}

fn shuffled(mut reply: Message) -> Message {
    if reply.metadata.response_code == ResponseCode::NoError {
        for section in [&mut reply.answers, &mut reply.authorities, &mut reply.additionals] {
            *section = shuffle(std::mem::take(section));
        }
    }
    reply
}

/// Aliases first, then all but addresses and mail servers, which come in a random order.
fn shuffle(records: Vec<Record>) -> Vec<Record> {
    let place = |record: &Record| match record.record_type() {
        RecordType::CNAME => 0,
        RecordType::A | RecordType::AAAA => 2,
        RecordType::MX => 3,
        _ => 1,
    };
    let mut placed: Vec<(u8, u32, Record)> = records
        .into_iter()
        .map(|record| {
            let place = place(&record);
            (place, if place > 1 { random_number(u32::MAX) } else { 0 }, record)
        })
        .collect();
    placed.sort_by_key(|(place, turn, _)| (*place, *turn));
    placed.into_iter().map(|(_, _, record)| record).collect()
}
