//! Watches: what changes, for one client (`storage/cacher/cache_watcher.go`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::list::{Selection, expired, too_large, version};
use crate::api::options::{ListOptions, Match};
use crate::cluster::Cluster;
use crate::registry::Served;
use crate::status::Refusal;
use crate::store::{Change, Range, Stored, Watch};

/// How often a watch that asked for bookmarks gets one (the API server: about once a minute).
const BOOKMARKS: Duration = Duration::from_secs(60);
/// How long the API server waits for a state that is yet to come (`blockTimeout`).
const FRESHNESS: Duration = Duration::from_secs(3);
/// A watch that names no end ends after this and up to twice as long (`--min-request-timeout`).
const LIFE: Duration = Duration::from_secs(1800);

/// What a watch sends.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Added(Arc<Stored>),
    Modified(Arc<Stored>),
    Deleted(Arc<Stored>),
    /// Everything up to this revision was sent; the second says that the initial events end here.
    Bookmark(u64, bool),
    /// The watch ends with a Status.
    Error(Refusal),
}

impl Sent {
    /// The event's type on the wire.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Added(_) => "ADDED",
            Self::Modified(_) => "MODIFIED",
            Self::Deleted(_) => "DELETED",
            Self::Bookmark(..) => "BOOKMARK",
            Self::Error(_) => "ERROR",
        }
    }
}

/// The bookmark's object, of which only this is meant.
pub(crate) fn bookmark(served: &Served, revision: u64, end_of_initial: bool) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if end_of_initial {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    json!({"kind": served.kind, "apiVersion": served.api_version(), "metadata": metadata})
}

/// One client's watch. It ends by itself when its time is over.
pub(crate) struct Watching {
    cluster: Arc<Cluster>,
    served: Arc<Served>,
    selection: Selection,
    watch: Option<Watch>,
    /// A revision that is yet to come, and until when it is waited for.
    future: Option<(u64, Instant)>,
    waiting: VecDeque<Sent>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
}

impl Watching {
    /// Begins a watch. What is wrong with the options is an error of the request; what is wrong with the state that they ask for
    /// is the watch's only event, as the API server has it.
    pub(crate) fn begin(
        cluster: &Arc<Cluster>,
        served: &Arc<Served>,
        selection: Selection,
        options: &ListOptions,
    ) -> Result<Self, Refusal> {
        let requested = version(&options.version).map_err(|why| {
            // Not a 400, as a list's: the error has no status of its own there.
            Refusal::new(500, "", why)
        })?;
        let life = match options.timeout {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs().min(365 * 86_400)),
            _ => LIFE + LIFE.mul_f64(f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 256.0),
        };
        let now = Instant::now();
        let mut watching = Self {
            cluster: cluster.clone(),
            served: served.clone(),
            selection,
            watch: None,
            future: None,
            waiting: VecDeque::new(),
            bookmarks: options.bookmarks,
            next_bookmark: now + BOOKMARKS,
            end: now + life,
        };
        let from_now = requested.is_none_or(|v| v == 0);
        let initial = match options.initial_events {
            Some(wanted) => wanted,
            None => from_now && options.version_match != Some(Match::Exact),
        };
        let store = &cluster.store;
        if let Some(wanted) = requested.filter(|&v| v > store.revision()) {
            watching.future = Some((wanted, now + FRESHNESS));
            return Ok(watching);
        }
        let from = if initial || from_now {
            let range = Range {
                namespace: (!watching.selection.namespace.is_empty()).then(|| watching.selection.namespace.clone()),
                after: None,
            };
            let (revision, objects) = store.list(&served.table, &range, None).unwrap_or_else(|e| (e.oldest, Vec::new()));
            if initial {
                let selected = objects.into_iter().filter(|o| watching.selection.matches(served, o));
                watching.waiting.extend(selected.map(Sent::Added));
                if options.initial_events == Some(true) && options.bookmarks {
                    watching.waiting.push_back(Sent::Bookmark(revision, true));
                }
            }
            revision
        } else {
            requested.unwrap_or_default()
        };
        match store.watch(&served.table, from) {
            Ok(watch) => watching.watch = Some(watch),
            Err(gone) => {
                let message = format!("too old resource version: {from} ({})", gone.oldest);
                watching.waiting.push_back(Sent::Error(expired(message)));
            }
        }
        Ok(watching)
    }

    /// What is to be sent next, as soon as there is something; `None` at the watch's end.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.waiting.pop_front() {
                return Some(sent);
            }
            if let Some((wanted, until)) = self.future.take() {
                if !self.arrives(wanted, until).await {
                    return None;
                }
                continue;
            }
            let watch = self.watch.as_mut()?;
            match self.cluster.store.since(watch) {
                Ok(events) => {
                    for event in events {
                        let now = event.change != Change::Deleted && self.selection.matches(&self.served, &event.object);
                        let before = event.previous.as_ref().is_some_and(|p| self.selection.matches(&self.served, p));
                        self.waiting.extend(match (before, now) {
                            (false, true) => Some(Sent::Added(event.object.clone())),
                            (true, true) => Some(Sent::Modified(event.object.clone())),
                            (true, false) => Some(Sent::Deleted(gone(&event.object, event.previous.as_ref()))),
                            (false, false) => None,
                        });
                    }
                    if !self.waiting.is_empty() {
                        continue;
                    }
                }
                // The client fell behind further than the history reaches.
                Err(gone) => {
                    let message = format!("too old resource version: {} ({})", watch.seen, gone.oldest);
                    self.watch = None;
                    return Some(Sent::Error(expired(message)));
                }
            }
            let seen = watch.seen;
            tokio::select! {
                changed = watch.changed() => if !changed { return None },
                () = sleep_until(self.end) => return None,
                () = sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark += BOOKMARKS;
                    let revision = seen.max(self.cluster.store.revision());
                    return Some(Sent::Bookmark(revision, false));
                }
            }
        }
    }

    /// Waits for a revision that is yet to come; false when the watch's own time is over before.
    async fn arrives(&mut self, wanted: u64, until: Instant) -> bool {
        let mut follow = self.cluster.store.follow();
        loop {
            let current = *follow.borrow_and_update();
            if current >= wanted {
                self.watch = self.cluster.store.watch(&self.served.table, wanted).ok();
                return true;
            }
            tokio::select! {
                changed = follow.changed() => if changed.is_err() { return false },
                () = sleep_until(self.end) => return false,
                () = sleep_until(until) => {
                    self.waiting.push_back(Sent::Error(too_large(wanted, current)));
                    return true;
                }
            }
        }
    }
}

/// An object that no longer is selected is sent as it was when it still was, with the revision of the change.
fn gone(object: &Arc<Stored>, previous: Option<&Arc<Stored>>) -> Arc<Stored> {
    match previous {
        Some(previous) => Arc::new(previous.at(object.revision)),
        None => object.clone(),
    }
}
