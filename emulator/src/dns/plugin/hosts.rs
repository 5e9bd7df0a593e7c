//! `hosts`: names of a hosts file, and of lines in the Corefile.
//!
//! CoreDNS looks at the file every few seconds; here it is looked at with a question, so that it is no older than that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k3s_arc_container::Files;
use k3s_arc_container::files::{Kind, Metadata};

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::output::Log;
use crate::dns::setup::{Fall, duration, number};

#[derive(Debug, Default)]
struct Known {
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<Name>>,
}

/// What was read of the file last, and what it was then.
type Read = (Option<Metadata>, Arc<Known>);

pub(in crate::dns) struct Hosts {
    files: Files,
    path: PathBuf,
    zones: Vec<Name>,
    fall: Fall,
    ttl: u32,
    reverse: bool,
    reload: bool,
    inline: Known,
    read: Mutex<Read>,
}

impl Hosts {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, block: &[String], files: &Files, log: &Log) -> Result<Self, String> {
        let mut hosts = Self {
            files: files.clone(),
            path: "/etc/hosts".into(),
            zones: Vec::new(),
            fall: Fall::default(),
            ttl: 3600,
            reverse: true,
            reload: true,
            inline: Known::default(),
            read: Mutex::default(),
        };
        words.next();
        let mut arguments = words.arguments();
        if !arguments.is_empty() {
            let path = arguments.remove(0);
            match files.metadata(&path) {
                Ok(found) if found.kind == Kind::Directory => {
                    log.line(&format!("[WARNING] plugin/hosts: Hosts file {path:?} is a directory"));
                }
                Ok(_) => {}
                Err(_) => log.line(&format!("[WARNING] plugin/hosts: File does not exist: {path}")),
            }
            hosts.path = path.into();
        }
        hosts.zones = names::zones(&arguments, block);
        let mut inline = Vec::new();
        while words.next_in_block() {
            hosts.property(words, &mut inline)?;
        }
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        hosts.inline = hosts.parse(&inline.join("\n"));
        hosts.refresh(true);
        Ok(hosts)
    }

    fn property(&mut self, words: &mut Dispenser<'_>, inline: &mut Vec<String>) -> Result<(), String> {
        match words.word() {
            "fallthrough" => self.fall = Fall::of(&words.arguments()),
            "no_reverse" => self.reverse = false,
            "ttl" => {
                let arguments = words.arguments();
                let Some(ttl) = arguments.first() else { return Err(words.error("ttl needs a time in second")) };
                let ttl = number(ttl).map_err(|_| words.error("ttl needs a number of second"))?;
                let valid = u32::try_from(ttl).ok().filter(|ttl| (1..=65535).contains(ttl));
                self.ttl = valid.ok_or_else(|| words.error("ttl provided is invalid"))?;
            }
            "reload" => {
                let arguments = words.arguments();
                let [interval] = arguments.as_slice() else {
                    return Err(words.error("reload needs a duration (zero seconds to disable)"));
                };
                let interval =
                    duration(interval).map_err(|_| words.error(&format!("invalid duration for reload '{interval}'")))?;
                self.reload = !interval.is_zero();
            }
            _ if self.fall.is_none() => {
                let first = words.word().to_owned();
                inline.push([vec![first], words.arguments()].concat().join(" "));
            }
            _ => return Err(words.unknown_property()),
        }
        Ok(())
    }

    fn parse(&self, text: &str) -> Known {
        let mut known = Known::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address = words.next().and_then(|address| address.split('%').next()).and_then(|address| address.parse().ok());
            let Some(address) = address else { continue };
            for host in words.filter_map(names::name).filter(|host| names::zone_of(&self.zones, host).is_some()) {
                known.addresses.entry(names::text(&host)).or_default().push(address);
                if self.reverse {
                    known.names.entry(address).or_default().push(host.to_lowercase());
                }
            }
        }
        known
    }

    /// What the file says now.
    fn refresh(&self, first: bool) -> Arc<Known> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if first || self.reload {
            let now = self.files.metadata(&self.path).ok();
            if now.is_some() && now != read.0 {
                let content = self.files.read(&self.path).unwrap_or_default();
                *read = (now, Arc::new(self.parse(&String::from_utf8_lossy(&content))));
            }
        }
        read.1.clone()
    }

    fn addresses(&self, known: &Known, name: &str) -> Vec<IpAddr> {
        let of = |known: &Known| known.addresses.get(name).cloned().unwrap_or_default();
        [of(known), of(&self.inline)].concat()
    }

    /// The records of a name; none: it is not known.
    fn records(&self, request: &Request) -> Option<Vec<Record>> {
        let known = self.refresh(false);
        // The names in a reply are in lower case, whatever the question's is.
        let name = request.name().to_lowercase();
        let record = |data| Record::from_rdata(name.clone(), self.ttl, data);
        let in_zones = names::zone_of(&self.zones, &name).is_some();
        if request.kind() == RecordType::PTR {
            let address = names::address_of(&names::labels(&name))?;
            let of = |known: &Known| known.names.get(&address).cloned().unwrap_or_default();
            let found = [of(&known), of(&self.inline)].concat();
            return (!found.is_empty()).then(|| found.into_iter().map(|host| record(RData::PTR(PTR(host)))).collect());
        }
        if !in_zones {
            return None;
        }
        let addresses = self.addresses(&known, &names::text(&name));
        if addresses.is_empty() {
            return None;
        }
        let records = addresses.into_iter().filter_map(|address| match (request.kind(), address) {
            (RecordType::A, IpAddr::V4(v4)) => Some(record(RData::A(A(v4)))),
            (RecordType::AAAA, IpAddr::V6(v6)) => Some(record(RData::AAAA(AAAA(v6)))),
            _ => None,
        });
        Some(records.collect())
    }
}

impl Plugin for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            if let Some(records) = self.records(request) {
                let mut reply = request.reply(ResponseCode::NoError);
                reply.metadata.authoritative = true;
                reply.answers = records;
                return reply.into();
            }
            let ours = request.kind() != RecordType::PTR && names::zone_of(&self.zones, request.name()).is_some();
            if ours && !self.fall.through(request.name()) {
                // There is no SOA that a denial could have.
                return Outcome::Failed(ResponseCode::ServFail, None);
            }
            next.serve(request).await
        }
        .boxed()
    }
}
