//! Events of controllers, told as client-go's recorder does: the same again is counted, much of a kind is combined, too much is
//! left out (`tools/record/events_cache.go`).

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::{Cluster, time};
use crate::kinds::meta::Part;
use crate::kinds::view::{int, text};

/// So many different messages of a kind are told one by one.
const DIFFERENT: usize = 10;
/// Seconds after which a kind of events is new again.
const FORGET: i64 = 600;
/// Events that one object may have at once, and the seconds after which it may have one more.
const BURST: f64 = 25.0;
const REFILL: f64 = 300.0;
/// More objects than these are not remembered.
const MEMORY: usize = 4096;

/// Something worth telling.
pub(super) struct Note<'a> {
    pub(super) about: &'a Value,
    pub(super) component: &'a str,
    pub(super) warning: bool,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl Note<'_> {
    fn kind(&self) -> &'static str {
        if self.warning { "Warning" } else { "Normal" }
    }

    /// Events of one key are of one kind.
    fn key(&self) -> String {
        format!("{}/{}/{}", self.component, self.kind(), self.reason)
    }
}

/// What an object has been told of.
#[derive(Default)]
struct History {
    /// By kind: the different messages, and when the last came.
    messages: HashMap<String, (HashSet<String>, i64)>,
    /// By kind and message: the event that says so.
    told: HashMap<String, String>,
    /// What is left of the burst, and since when.
    left: Option<(f64, Timestamp)>,
}

/// The events told so far.
#[derive(Default)]
pub(super) struct Events {
    /// By the uid of the object.
    objects: HashMap<String, History>,
}

impl Events {
    /// Whether that was told of the object already.
    pub(super) fn has(&self, note: &Note<'_>) -> bool {
        let history = self.objects.get(text(&note.about["metadata"]["uid"]));
        history.is_some_and(|history| history.told.contains_key(&format!("{} {}", note.key(), note.message)))
    }

    pub(super) fn record(&mut self, cluster: &Cluster, user: &User, note: &Note<'_>) {
        let now = cluster.clock();
        if self.objects.len() > MEMORY {
            self.objects.clear();
        }
        let history = self.objects.entry(text(&note.about["metadata"]["uid"]).to_owned()).or_default();
        let (messages, last) = history.messages.entry(note.key()).or_default();
        if now.as_second() - *last > FORGET {
            messages.clear();
        }
        *last = now.as_second();
        messages.insert(note.message.to_owned());
        let (message, key) = if messages.len() < DIFFERENT {
            (note.message.to_owned(), format!("{} {}", note.key(), note.message))
        } else {
            messages.remove(note.message);
            (format!("(combined from similar events): {}", note.message), note.key())
        };
        let (left, since) = history.left.unwrap_or((BURST, now));
        #[allow(clippy::cast_precision_loss)] // Of milliseconds, none that matters.
        let left = (left + now.duration_since(since).as_millis() as f64 / 1000.0 / REFILL).min(BURST);
        if left < 1.0 {
            history.left = Some((left, now));
            return;
        }
        history.left = Some((left - 1.0, now));
        let told = history.told.get(&key).is_some_and(|name| again(cluster, user, note, &message, name));
        if !told && let Some(name) = tell(cluster, user, note, &message) {
            history.told.insert(key, name);
        }
    }
}

fn namespace<'a>(note: &'a Note<'_>) -> &'a str {
    let namespace = text(&note.about["metadata"]["namespace"]);
    if namespace.is_empty() { "default" } else { namespace }
}

/// Counts an event once more; false when it is gone.
fn again(cluster: &Cluster, user: &User, note: &Note<'_>, message: &str, name: &str) -> bool {
    let Some(events) = cluster.registry().any_version("", "events") else { return false };
    let call = call(cluster, user, &events, namespace(note), name, "");
    let counted = call.update(Part::Whole, false, &|live| {
        let mut next = live.clone();
        next["count"] = (int(&live["count"]) + 1).into();
        next["lastTimestamp"] = cluster.now().into();
        next["message"] = message.into();
        Ok(events.own(live, next, &call))
    });
    counted.is_ok()
}

fn tell(cluster: &Cluster, user: &User, note: &Note<'_>, message: &str) -> Option<String> {
    let events = cluster.registry().any_version("", "events")?;
    let (now, metadata) = (cluster.clock(), &note.about["metadata"]);
    let name = format!("{}.{:x}", text(&metadata["name"]), now.as_nanosecond());
    let mut about = json!({
        "kind": note.about["kind"],
        "apiVersion": note.about["apiVersion"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    });
    if metadata["namespace"].is_string() {
        about["namespace"] = metadata["namespace"].clone();
    }
    let event = json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace(note)},
        "involvedObject": about,
        "reason": note.reason,
        "message": message,
        "source": {"component": note.component},
        "firstTimestamp": time(now),
        "lastTimestamp": time(now),
        "count": 1,
        "type": note.kind(),
        "eventTime": null,
        "reportingComponent": note.component,
        "reportingInstance": "",
    });
    // In a namespace that ends nothing is told any more.
    call(cluster, user, &events, namespace(note), "", "").create(event).ok().map(|_| name)
}
