//! Events of controllers, told as client-go's recorder does: the same again is counted, much of a kind is combined, too much is
//! left out (`tools/record/events_cache.go`). Those of the scheduler are told in a newer way: see [`super::series`].

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::{Cluster, time};
use crate::kinds::meta::Part;
use crate::kinds::view::{put, text};

/// So many different messages of a kind are told one by one.
const DIFFERENT: usize = 10;
/// Seconds after which a kind of events is new again.
const FORGET: i64 = 600;
/// Events that one object may have at once, and the seconds after which it may have one more.
const BURST: f64 = 25.0;
const REFILL: f64 = 300.0;
/// More objects than these are not remembered.
const MEMORY: usize = 4096;

/// Who tells of something.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) component: &'a str,
    /// The node that it runs on; controllers have none.
    pub(crate) host: &'a str,
}

/// Something worth telling.
pub(crate) struct Note<'a> {
    pub(crate) about: &'a Value,
    /// The part of the object that is meant, such as `spec.containers{c}`; "" for all of it.
    pub(crate) part: &'a str,
    pub(crate) source: Source<'a>,
    pub(crate) warning: bool,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

impl Note<'_> {
    fn kind(&self) -> &'static str {
        if self.warning { "Warning" } else { "Normal" }
    }

    /// Events of one key are of one kind.
    fn key(&self) -> String {
        format!("{}/{}/{}/{}", self.source.component, self.source.host, self.kind(), self.reason)
    }

    /// The same is told of the same part.
    fn message_key(&self) -> String {
        format!("{} {} {}", self.key(), self.part, self.message)
    }

    /// Each source has a history of each object.
    fn history_key(&self) -> String {
        let metadata = &self.about["metadata"];
        let [namespace, name, uid] = ["namespace", "name", "uid"].map(|field| text(&metadata[field]));
        format!("{}/{} {namespace}/{name} {uid}", self.source.component, self.source.host)
    }
}

/// What an object has been told of.
#[derive(Default)]
struct History {
    /// By kind: the different messages, and when the last came.
    messages: HashMap<String, (HashSet<String>, i64)>,
    /// By kind and message.
    told: HashMap<String, Told>,
    /// What is left of the burst, and since when: of what is normal, and of warnings.
    left: [Option<(f64, Timestamp)>; 2],
}

/// Something that has happened to an object, once or several times.
struct Told {
    /// How often, also when nobody was told.
    count: i64,
    first: Timestamp,
    /// The event that says so.
    name: Option<String>,
}

/// The events told so far.
pub(crate) struct Events {
    /// Whose fields they are.
    manager: &'static str,
    /// By source and object.
    objects: HashMap<String, History>,
}

impl Default for Events {
    fn default() -> Self {
        Self::of(super::MANAGER)
    }
}

impl Events {
    pub(crate) fn of(manager: &'static str) -> Self {
        Self { manager, objects: HashMap::new() }
    }

    /// Whether that was told of the object already.
    pub(crate) fn has(&self, note: &Note<'_>) -> bool {
        self.objects.get(&note.history_key()).is_some_and(|history| history.told.contains_key(&note.message_key()))
    }

    /// Whether the object was told of by that source at all.
    pub(crate) fn knows(&self, note: &Note<'_>) -> bool {
        self.objects.contains_key(&note.history_key())
    }

    pub(crate) fn record(&mut self, cluster: &Cluster, user: &User, note: &Note<'_>) {
        let now = cluster.clock();
        if self.objects.len() > MEMORY {
            self.objects.clear();
        }
        let history = self.objects.entry(note.history_key()).or_default();
        let (messages, last) = history.messages.entry(note.key()).or_default();
        if now.as_second() - *last > FORGET {
            messages.clear();
        }
        *last = now.as_second();
        messages.insert(note.message.to_owned());
        let (message, key) = if messages.len() < DIFFERENT {
            (note.message.to_owned(), note.message_key())
        } else {
            messages.remove(note.message);
            (format!("(combined from similar events): {}", note.message), note.key())
        };
        let told = history.told.entry(key).or_insert(Told { count: 0, first: now, name: None });
        told.count += 1;
        let budget = &mut history.left[usize::from(note.warning)];
        let (left, since) = budget.unwrap_or((BURST, now));
        #[allow(clippy::cast_precision_loss)] // Of milliseconds, none that matters.
        let left = (left + now.duration_since(since).as_millis() as f64 / 1000.0 / REFILL).min(BURST);
        if left < 1.0 {
            *budget = Some((left, now));
            return;
        }
        *budget = Some((left - 1.0, now));
        let is_there =
            told.name.as_ref().is_some_and(|name| again(cluster, (user, self.manager), note, &message, (name, told.count)));
        if !is_there && let Some(name) = tell(cluster, (user, self.manager), note, &message, told) {
            told.name = Some(name);
        }
    }
}

/// The namespace of the events about an object.
pub(super) fn namespace(about: &Value) -> &str {
    let namespace = text(&about["metadata"]["namespace"]);
    if namespace.is_empty() { "default" } else { namespace }
}

/// An object as events name it (`reference.GetReference`).
pub(super) fn reference(about: &Value) -> Value {
    let metadata = &about["metadata"];
    let mut reference = json!({"kind": about["kind"], "name": metadata["name"]});
    // The kubelet speaks of its node by name alone.
    put(&mut reference, "apiVersion", about["apiVersion"].clone());
    for field in ["uid", "resourceVersion", "namespace"] {
        put(&mut reference, field, metadata[field].clone());
    }
    reference
}

/// The name of a new event about an object.
pub(super) fn name(about: &Value, now: Timestamp) -> String {
    format!("{}.{:x}", text(&about["metadata"]["name"]), now.as_nanosecond())
}

/// Says of an event how often it was; false when it is gone.
fn again(cluster: &Cluster, (user, manager): (&User, &str), note: &Note<'_>, message: &str, (name, count): (&str, i64)) -> bool {
    let Some(events) = cluster.registry().any_version("", "events") else { return false };
    let mut call = call(cluster, user, &events, namespace(note.about), name, "");
    call.options.manager = manager.to_owned();
    let counted = call.update(Part::Whole, false, &|live| {
        let mut next = live.clone();
        next["count"] = count.into();
        next["lastTimestamp"] = cluster.now().into();
        next["message"] = message.into();
        Ok(events.own(live, next, &call))
    });
    counted.is_ok()
}

fn tell(cluster: &Cluster, (user, manager): (&User, &str), note: &Note<'_>, message: &str, told: &Told) -> Option<String> {
    let events = cluster.registry().any_version("", "events")?;
    let now = cluster.clock();
    let name = name(note.about, now);
    let mut about = reference(note.about);
    if !note.part.is_empty() {
        about["fieldPath"] = note.part.into();
    }
    let mut source = json!({"component": note.source.component});
    if !note.source.host.is_empty() {
        source["host"] = note.source.host.into();
    }
    let event = json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace(note.about)},
        "involvedObject": about,
        "reason": note.reason,
        "message": message,
        "source": source,
        "firstTimestamp": time(told.first),
        "lastTimestamp": time(now),
        "count": told.count,
        "type": note.kind(),
        "eventTime": null,
        "reportingComponent": note.source.component,
        "reportingInstance": note.source.host,
    });
    // In a namespace that ends nothing is told any more.
    let mut call = call(cluster, user, &events, namespace(note.about), "", "");
    call.options.manager = manager.to_owned();
    call.create(event).ok().map(|_| name)
}
