//! Records of what is behind a name (`plugin/backend_lookup.go`).

use std::net::IpAddr;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::backend::{Host, Item, Missing, View};
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::plugin::Next;

/// The version of the specification of what is answered.
const VERSION: &str = "1.1.0";
const VERSION_TTL: u32 = 28_800;
/// Aliases of aliases that are followed.
const LONGEST_CHAIN: usize = 10;
/// The most that a SOA's own TTL is.
const SOA_TTL: u32 = 300;

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) answers: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    pub(super) truncated: bool,
}

impl Found {
    pub(super) fn answers(answers: Vec<Record>) -> Self {
        Self { answers, ..Self::default() }
    }
}

fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn kind_of(address: IpAddr) -> RecordType {
    if address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

impl View<'_> {
    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.plugin.ttl, data)
    }

    pub(super) fn soa(&self) -> Record {
        let ttl = self.plugin.ttl;
        let (server, hostmaster) = (self.owned(["ns", "dns"]), self.owned(["hostmaster"]));
        let data = SOA::new(server, hostmaster, self.catalog.serial, 7200, 1800, 86400, ttl);
        Record::from_rdata(self.zone.clone(), ttl.min(SOA_TTL), RData::SOA(data))
    }

    /// Whether a name is the one that stands for the zone's servers. It is known in lower case only.
    pub(super) fn is_server(&self, name: &Name) -> bool {
        self.below(name) == ["ns", "dns"] && self.zone.eq_case(&self.zone.to_lowercase())
    }

    pub(super) async fn addresses(&self, request: &Request, next: Next<'_>) -> Result<Found, Missing> {
        self.follow(request, request.name().clone(), Vec::new(), next).await
    }

    /// The addresses of a name, and the aliases on the way to them.
    fn follow<'f>(
        &'f self,
        request: &'f Request,
        name: Name,
        before: Vec<(Name, Name)>,
        next: Next<'f>,
    ) -> BoxFuture<'f, Result<Found, Missing>> {
        async move {
            let kind = request.kind();
            let mut found = Found::default();
            if self.is_server(&name) {
                let servers = self.servers().into_iter().filter(|(_, ip)| kind_of(*ip) == kind);
                found.answers = servers.map(|(_, ip)| self.record(&name, address(ip))).collect();
                return Ok(found);
            }
            for item in self.items(&name)? {
                match item.host {
                    Host::Address(ip) if kind_of(ip) == kind => {
                        let record = self.record(&name, address(ip));
                        if !found.answers.contains(&record) {
                            found.answers.push(record);
                        }
                    }
                    Host::Address(_) => {}
                    Host::Alias(target) => {
                        let Some(target) = names::name(&target) else { continue };
                        self.follow_alias(request, &name, target, &before, next, &mut found).await;
                    }
                }
            }
            Ok(found)
        }
        .boxed()
    }

    async fn follow_alias(
        &self,
        request: &Request,
        name: &Name,
        target: Name,
        before: &[(Name, Name)],
        next: Next<'_>,
        found: &mut Found,
    ) {
        let step = (name.clone(), target.clone());
        // What leads to itself leads nowhere.
        if name.zone_of(&target) || before.len() > LONGEST_CHAIN || before.contains(&step) {
            return;
        }
        let alias = self.record(name, RData::CNAME(CNAME(target.clone())));
        if self.zone.zone_of(&target) {
            let chain = before.iter().cloned().chain([step]).collect();
            if let Ok(more) = self.follow(request, target, chain, next).await {
                found.truncated |= more.truncated;
                if !more.answers.is_empty() {
                    found.answers.push(alias);
                    found.answers.extend(more.answers);
                }
            }
            return;
        }
        // Somebody else knows, perhaps.
        let Some(question) = request.leading_to(target, request.kind()) else { return };
        let told = next.lookup(&question).await;
        found.truncated |= told.metadata.truncation;
        found.answers.push(alias);
        found.answers.extend(told.answers);
    }

    pub(super) fn texts(&self, request: &Request) -> Result<Found, Missing> {
        if self.below(request.name()) == ["dns-version"] {
            let data = RData::TXT(TXT::new(vec![VERSION.to_owned()]));
            return Ok(Found::answers(vec![Record::from_rdata(request.name().clone(), VERSION_TTL, data)]));
        }
        match self.items(request.name()) {
            Ok(items) if !items.is_empty() => Ok(Found::default()),
            _ => Err(Missing),
        }
    }

    pub(super) fn alias_of(&self, request: &Request) -> Result<Found, Missing> {
        if self.is_server(request.name()) {
            return Ok(Found::default());
        }
        let items = self.items(request.name())?;
        let Some(Item { host: Host::Alias(target), .. }) = items.first() else { return Ok(Found::default()) };
        let target = names::name(target).map(|target| self.record(request.name(), RData::CNAME(CNAME(target))));
        Ok(Found::answers(target.into_iter().collect()))
    }

    pub(super) fn pointers(&self, request: &Request) -> Result<Found, Missing> {
        let Some(address) = names::address_of(&names::labels(request.name())) else {
            return self.items(request.name()).map(|_| Found::default());
        };
        let names = self.names_of(address);
        if names.is_empty() {
            return Err(Missing);
        }
        Ok(Found::answers(names.into_iter().map(|name| self.record(request.name(), RData::PTR(PTR(name)))).collect()))
    }

    pub(super) fn ports(&self, request: &Request) -> Result<Found, Missing> {
        if self.is_server(request.name()) {
            return Ok(Found::default());
        }
        let items = self.items(request.name())?;
        let items: Vec<_> = items
            .into_iter()
            .filter_map(|item| match item.host {
                Host::Address(ip) => Some((ip, item.port, item.owner)),
                // Of what an alias leads to, the ports are not told.
                Host::Alias(_) => None,
            })
            .collect();
        let weight = u16::try_from(100 / items.len().max(1)).unwrap_or_default().max(1);
        let mut found = Found::default();
        for (ip, port, owner) in items {
            let Some(port) = port else { continue };
            let record = self.record(request.name(), RData::SRV(SRV::new(0, weight, port, owner.clone())));
            if !found.answers.contains(&record) {
                found.answers.push(record);
            }
            let record = self.record(&owner, address(ip));
            if !found.additionals.contains(&record) {
                found.additionals.push(record);
            }
        }
        Ok(found)
    }

    pub(super) fn name_servers(&self, request: &Request) -> Found {
        let mut found = Found::default();
        for (name, ip) in self.servers() {
            found.additionals.push(self.record(&name, address(ip)));
            let record = self.record(request.name(), RData::NS(NS(name)));
            if !found.answers.contains(&record) {
                found.answers.push(record);
            }
        }
        found
    }
}
