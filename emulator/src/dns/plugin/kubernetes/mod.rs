//! `kubernetes`: the zone of the cluster (`plugin/kubernetes/handler.go`, `plugin/backend_lookup.go`), from its live objects.

mod backend;
mod catalog;
mod names;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use k3s_arc_container::Net;

use super::{Next, Outcome, Plugin};
use crate::cluster::Cluster;
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names::{is_reverse, labels, zone_of, zones};
use crate::dns::setup::{Fall, duration, number};
use backend::{Missing, View};
use catalog::{Catalog, Follower};
use records::Found;

/// What is told of pods' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pods {
    Disabled,
    /// Any address has a name.
    Insecure,
    Verified,
}

/// The plugin.
pub(in crate::dns) struct Kubernetes {
    zones: Vec<Name>,
    primary: usize,
    pods: Pods,
    namespaces: BTreeSet<String>,
    fall: Fall,
    ttl: u32,
    ignore_empty: bool,
    net: Arc<dyn Net>,
    cluster: Weak<Cluster>,
    follower: Mutex<Follower>,
}

impl Kubernetes {
    pub(in crate::dns) fn setup(
        words: &mut Dispenser<'_>,
        block: &[String],
        net: &Arc<dyn Net>,
        cluster: &Weak<Cluster>,
    ) -> Result<Self, String> {
        words.next();
        let zones = zones(&words.arguments(), block);
        let is_forward = |zone: &Name| !is_reverse(&labels(zone));
        let primary = zones.iter().position(is_forward).ok_or("non-reverse zone name must be used")?;
        let mut plugin = Self {
            zones,
            primary,
            pods: Pods::Disabled,
            namespaces: BTreeSet::new(),
            fall: Fall::default(),
            ttl: 5,
            ignore_empty: false,
            net: net.clone(),
            cluster: cluster.clone(),
            follower: Mutex::new(Follower::new(false, false)),
        };
        let mut pod_names = false;
        while words.next_in_block() {
            plugin.property(words, &mut pod_names)?;
        }
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        plugin.follower = Mutex::new(Follower::new(plugin.pods == Pods::Verified, pod_names));
        Ok(plugin)
    }

    fn property(&mut self, words: &mut Dispenser<'_>, pod_names: &mut bool) -> Result<(), String> {
        let property = words.word().to_owned();
        if matches!(
            property.as_str(),
            "endpoint" | "tls" | "labels" | "namespace_labels" | "noendpoints" | "kubeconfig" | "multicluster"
        ) {
            return Err(words.not_emulated());
        }
        let arguments = words.arguments();
        match (property.as_str(), arguments.as_slice()) {
            ("endpoint_pod_names", []) => *pod_names = true,
            ("pods", [mode]) => {
                self.pods = match mode.as_str() {
                    "disabled" => Pods::Disabled,
                    "insecure" => Pods::Insecure,
                    "verified" => Pods::Verified,
                    _ => {
                        let one_of = "disabled, verified, insecure";
                        return Err(format!("wrong value for pods: {mode},  must be one of: {one_of}"));
                    }
                }
            }
            ("namespaces", [_, ..]) => self.namespaces.extend(arguments),
            ("fallthrough", zones) => self.fall = Fall::of(zones),
            ("ttl", [ttl, ..]) => {
                let ttl = number(ttl)?;
                let valid = u32::try_from(ttl).ok().filter(|ttl| *ttl <= 3600);
                self.ttl = valid.ok_or_else(|| words.error(&format!("ttl must be in range [0, 3600]: {ttl}")))?;
            }
            ("ignore", [what, ..]) if what == "empty_service" => self.ignore_empty = true,
            ("ignore", [what, ..]) => return Err(format!("unable to parse ignore value: '{what}'")),
            ("ignore", []) => {}
            // The objects are there from the start.
            ("startup_timeout", [timeout, ..]) => {
                duration(timeout).map_err(|why| format!("failed to parse startup_timeout: {timeout}, {why}"))?;
            }
            ("endpoint_pod_names" | "pods" | "namespaces" | "ttl" | "startup_timeout", _) => return Err(words.argument_error()),
            _ => return Err(words.error(&format!("unknown property '{property}'"))),
        }
        Ok(())
    }

    /// The first of its zones that is not for looking up addresses.
    fn primary_zone(&self) -> &Name {
        &self.zones[self.primary]
    }

    fn catalog(&self) -> Arc<Catalog> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        match self.cluster.upgrade() {
            Some(cluster) => follower.catalog(&cluster.store, cluster.clock().as_second()),
            None => Arc::default(),
        }
    }

    async fn answer(&self, request: &Request, zone: &Name, next: Next<'_>) -> Outcome {
        let catalog = self.catalog();
        // As the question writes it.
        let asked_zone = request.name().trim_to(usize::from(zone.num_labels()));
        let view = View { plugin: self, catalog: &catalog, zone: &asked_zone };
        let found = match request.kind() {
            RecordType::A | RecordType::AAAA => view.addresses(request, next).await,
            RecordType::TXT => view.texts(request),
            RecordType::CNAME => view.alias_of(request),
            RecordType::PTR => view.pointers(request),
            RecordType::SRV => view.ports(request),
            RecordType::SOA if request.name() == &asked_zone => Ok(Found::answers(vec![view.soa()])),
            RecordType::SOA => Ok(Found::default()),
            RecordType::AXFR | RecordType::IXFR => return Outcome::Failed(ResponseCode::Refused, None),
            // The zone is only known in lower case.
            RecordType::NS if request.name().eq_case(&asked_zone.to_lowercase()) => Ok(view.name_servers(request)),
            // Whether there are such records or not, there is the name or there is not.
            _ if view.is_server(request.name()) => Ok(Found::default()),
            _ => view.items(request.name()).map(|_| Found::default()),
        };
        let (found, code) = match found {
            Err(Missing) if self.fall.through(request.name()) => return next.serve(request).await,
            Err(Missing) => (Found::default(), ResponseCode::NXDomain),
            Ok(found) => (found, ResponseCode::NoError),
        };
        let mut reply = request.reply(code);
        reply.metadata.authoritative = true;
        reply.metadata.truncation = found.truncated;
        if found.answers.is_empty() {
            reply.authorities.push(view.soa());
        } else {
            (reply.answers, reply.additionals) = (found.answers, found.additionals);
        }
        reply.into()
    }
}

impl Plugin for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            match zone_of(&self.zones, request.name()) {
                Some(zone) => self.answer(request, zone, next).await,
                None => next.serve(request).await,
            }
        }
        .boxed()
    }
}
