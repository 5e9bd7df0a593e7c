//! `log`: a line for every question.

use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::Message;
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinEncodable as _;
use k3s_arc_container::Transport;

use super::cache::{Sort, sort};
use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::output::Log;

/// The sorts of replies that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    All,
    Success,
    Denial,
    Error,
}

pub(in crate::dns) struct Logger {
    scopes: Vec<Name>,
    classes: Vec<Class>,
    log: Log,
}

impl Logger {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, log: &Log) -> Result<Self, String> {
        let mut logger = Self { scopes: Vec::new(), classes: Vec::new(), log: log.clone() };
        while words.next() {
            let arguments = words.arguments();
            if arguments.iter().any(|argument| argument.contains('{') && argument != "{common}") {
                return Err(words.error("a format of one's own is not emulated"));
            }
            let named = arguments.iter().filter(|argument| *argument != "{common}");
            let before = logger.scopes.len();
            logger.scopes.extend(named.filter_map(|text| names::name(text)));
            if logger.scopes.len() == before {
                logger.scopes.push(Name::root());
            }
            while words.next_in_block() {
                logger.property(words)?;
            }
        }
        if logger.classes.is_empty() {
            logger.classes.push(Class::All);
        }
        Ok(logger)
    }

    fn property(&mut self, words: &mut Dispenser<'_>) -> Result<(), String> {
        if words.word() != "class" {
            return Err(words.argument_error());
        }
        let classes = words.arguments();
        if classes.is_empty() {
            return Err(words.argument_error());
        }
        for class in classes {
            self.classes.push(match class.as_str() {
                "all" => Class::All,
                "success" => Class::Success,
                "denial" => Class::Denial,
                "error" => Class::Error,
                _ => return Err(format!("invalid Class: {class}")),
            });
        }
        Ok(())
    }

    fn is_logged(&self, reply: Option<&Message>) -> bool {
        let class = match reply.map(sort) {
            Some(Sort::Success | Sort::Delegation) => Class::Success,
            Some(Sort::Denial) => Class::Denial,
            Some(Sort::Failure | Sort::Other) | None => Class::Error,
        };
        self.classes.contains(&Class::All) || self.classes.contains(&class)
    }
}

/// The line of a question, in the format `{common}`.
fn line(request: &Request, reply: Option<&Message>, seconds: f64) -> String {
    let message = &request.message;
    let protocol = if request.transport == Transport::Udp { "udp" } else { "tcp" };
    let size = message.to_bytes().map_or(0, |bytes| bytes.len());
    let (name, kind, class) = (names::text(request.name()), request.kind(), request.query().query_class);
    let asked = format!("{kind} {class} {name} {protocol} {size} {} {}", request.wants_dnssec(), request.room());
    let told = match reply {
        Some(reply) => {
            let size = reply.to_bytes().map_or(0, |bytes| bytes.len());
            let code = format!("{:?}", reply.metadata.response_code).to_uppercase();
            format!("{code} {} {size}", flags(reply))
        }
        None => "- - 0".to_owned(),
    };
    format!("[INFO] {} - {} \"{asked}\" {told} {seconds:.9}s", request.client, message.metadata.id)
}

fn flags(reply: &Message) -> String {
    let of = &reply.metadata;
    let all = [
        ("qr", true),
        ("aa", of.authoritative),
        ("tc", of.truncation),
        ("rd", of.recursion_desired),
        ("ra", of.recursion_available),
        ("ad", of.authentic_data),
        ("cd", of.checking_disabled),
    ];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

impl Plugin for Logger {
    fn name(&self) -> &'static str {
        "log"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            if names::zone_of(&self.scopes, request.name()).is_none() {
                return next.serve(request).await;
            }
            let began = Instant::now();
            let outcome = next.serve(request).await;
            let reply = match &outcome {
                Outcome::Told(reply) => Some(&**reply),
                Outcome::Failed(..) => None,
            };
            if self.is_logged(reply) {
                self.log.line(&line(request, reply, began.elapsed().as_secs_f64()));
            }
            outcome
        }
        .boxed()
    }
}
