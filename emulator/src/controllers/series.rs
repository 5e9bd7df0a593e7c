//! Events of `events.k8s.io`, told as client-go's newer recorder does (`tools/events/event_broadcaster.go`): the same again makes a
//! series of the event. Its beginning is written at once, its length when it has ended.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call;
use super::events::{name, namespace, reference};
use crate::access::User;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::kinds::view::text;
use crate::status::Refusal;

/// After so long without another, a series has ended.
const FINISH: SignedDuration = SignedDuration::from_mins(6);
/// One that goes on is written so often, before the API forgets it.
const REFRESH: SignedDuration = SignedDuration::from_mins(30);

/// Something worth telling.
pub(crate) struct Report<'a> {
    pub(crate) about: &'a Value,
    pub(crate) related: Option<&'a Value>,
    pub(crate) controller: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) warning: bool,
    pub(crate) reason: &'a str,
    pub(crate) action: &'a str,
    pub(crate) note: &'a str,
}

/// An event that may happen again.
struct Told {
    event: Value,
    count: i64,
    last: Timestamp,
    /// The count that the API knows, and since when.
    written: (i64, Timestamp),
}

/// The events told of late. What differs in the text alone is the same.
#[derive(Default)]
pub(crate) struct Series {
    told: HashMap<String, Told>,
}

/// A time to the microsecond.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Series {
    pub(crate) fn record(&mut self, cluster: &Cluster, user: &User, report: &Report<'_>) {
        let now = cluster.clock();
        let event = new_event(report, now);
        let key = ["type", "action", "reason", "reportingController", "reportingInstance", "regarding", "related"]
            .map(|field| event[field].to_string())
            .join(" ");
        let Some(told) = self.told.get_mut(&key) else {
            match create(cluster, user, event.clone()) {
                Ok(()) => {
                    self.told.insert(key, Told { event, count: 1, last: now, written: (1, now) });
                }
                // In a namespace that ends nothing is told any more.
                Err(refusal) => tracing::debug!(%refusal, "an event was refused"),
            }
            return;
        };
        told.count += 1;
        told.last = now;
        if told.count == 2 || now.duration_since(told.written.1) >= REFRESH {
            told.write(cluster, user, now);
        }
    }

    /// Writes and forgets what has ended; when to look again for the next.
    pub(crate) fn finish(&mut self, cluster: &Cluster, user: &User) -> Option<Timestamp> {
        let now = cluster.clock();
        self.told.retain(|_, told| {
            let ended = now.duration_since(told.last) >= FINISH;
            if ended && told.is_behind() {
                told.write(cluster, user, now);
            }
            !ended
        });
        self.told.values().filter(|told| told.is_behind()).filter_map(|told| told.last.checked_add(FINISH).ok()).min()
    }
}

impl Told {
    fn is_behind(&self) -> bool {
        self.count > self.written.0
    }

    fn write(&mut self, cluster: &Cluster, user: &User, now: Timestamp) {
        self.written = (self.count, now);
        self.event["series"] = json!({"count": self.count, "lastObservedTime": micro(self.last)});
        let outcome = match update(cluster, user, &self.event) {
            // The API has forgotten it.
            Err(refusal) if refusal.reason == "NotFound" => create(cluster, user, self.event.clone()),
            outcome => outcome,
        };
        if let Err(refusal) = outcome {
            tracing::debug!(%refusal, "a series of events was refused");
        }
    }
}

fn new_event(report: &Report<'_>, now: Timestamp) -> Value {
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "metadata": {"name": name(report.about, now), "namespace": namespace(report.about)},
        "eventTime": micro(now),
        "reportingController": report.controller,
        "reportingInstance": report.instance,
        "action": report.action,
        "reason": report.reason,
        "regarding": reference(report.about),
        "note": report.note,
        "type": if report.warning { "Warning" } else { "Normal" },
    });
    if let Some(related) = report.related {
        event["related"] = reference(related);
    }
    event
}

fn create(cluster: &Cluster, user: &User, event: Value) -> Result<(), Refusal> {
    let Some(events) = cluster.registry().any_version("events.k8s.io", "events") else { return Ok(()) };
    call(cluster, user, &events, &namespace_of(&event), "", "").create(event).map(drop)
}

fn update(cluster: &Cluster, user: &User, event: &Value) -> Result<(), Refusal> {
    let Some(events) = cluster.registry().any_version("events.k8s.io", "events") else { return Ok(()) };
    let namespace = namespace_of(event);
    let call = call(cluster, user, &events, &namespace, text(&event["metadata"]["name"]), "");
    let updated = call.update(Part::Whole, false, &|live| {
        if live.is_null() {
            // Events may be created by an update, which this is not.
            return Err(events.not_found(text(&event["metadata"]["name"])));
        }
        let mut next = live.clone();
        next["series"] = event["series"].clone();
        Ok(events.own(live, next, &call))
    });
    updated.map(drop)
}

fn namespace_of(event: &Value) -> String {
    text(&event["metadata"]["namespace"]).to_owned()
}
