//! `prometheus`: counts. Of CoreDNS's metrics there are those that tell what was asked and told, and what it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::rr::Name;
use k3s_arc_container::Transport;

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::setup::port_of;
use crate::dns::{COMMIT, GO, VERSION};

/// By the name of a metric and its labels.
pub(in crate::dns) type Counts = Arc<Mutex<BTreeMap<(&'static str, String), u64>>>;

const METRICS: [(&str, &str); 2] = [
    ("coredns_dns_requests_total", "Counter of DNS requests made per zone, protocol and family."),
    ("coredns_dns_responses_total", "Counter of response status codes."),
];

pub(in crate::dns) struct Metrics {
    zones: Vec<Name>,
    server: String,
    counts: Counts,
}

impl Metrics {
    /// Returns the port at which they are told, too.
    pub(in crate::dns) fn setup(
        words: &mut Dispenser<'_>,
        block: &[String],
        port: u16,
        counts: &Counts,
    ) -> Result<(Self, u16), String> {
        words.next();
        let told_at = match words.arguments().as_slice() {
            [] => 9153,
            [address] => port_of(address)?,
            _ => return Err(words.argument_error()),
        };
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        Ok((Self { zones: names::zones(&[], block), server: format!("dns://:{port}"), counts: counts.clone() }, told_at))
    }

    fn count(&self, metric: (&'static str, &str), labels: String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((metric.0, labels)).or_default() += 1;
    }
}

/// The page of all.
pub(in crate::dns) fn page(counts: &Counts) -> String {
    let mut page = format!(
        "# HELP coredns_build_info A metric with a constant '1' value labeled by version, revision, and goversion from which CoreDNS \
         was built.\n# TYPE coredns_build_info gauge\ncoredns_build_info{{goversion=\"{GO}\",revision=\"{COMMIT}\",\
         version=\"{VERSION}\"}} 1\n"
    );
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    for (metric, help) in METRICS {
        let of_it: Vec<_> = counts.iter().filter(|((name, _), _)| *name == metric).collect();
        if !of_it.is_empty() {
            let _ = writeln!(page, "# HELP {metric} {help}\n# TYPE {metric} counter");
        }
        for ((_, labels), count) in of_it {
            let _ = writeln!(page, "{metric}{{{labels}}} {count}");
        }
    }
    page
}

impl Plugin for Metrics {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let outcome = next.serve(request).await;
            let Some(zone) = names::zone_of(&self.zones, request.name()) else { return outcome };
            let (server, zone) = (&self.server, zone.to_ascii());
            let family = if request.client.is_ipv4() { 1 } else { 2 };
            let protocol = if request.transport == Transport::Udp { "udp" } else { "tcp" };
            let kind = request.kind();
            self.count(
                METRICS[0],
                format!("family=\"{family}\",proto=\"{protocol}\",server=\"{server}\",type=\"{kind}\",view=\"\",zone=\"{zone}\""),
            );
            let code = match &outcome {
                Outcome::Told(reply) => reply.metadata.response_code,
                Outcome::Failed(code, _) => *code,
            };
            let code = format!("{code:?}").to_uppercase();
            self.count(METRICS[1], format!("plugin=\"\",rcode=\"{code}\",server=\"{server}\",view=\"\",zone=\"{zone}\""));
            outcome
        }
        .boxed()
    }
}
