//! Waiting: one function over watches, with a deadline and an explanation.
//!
//! A test that sleeps is slow when the cluster is fast and wrong when it is slow, and one that only says
//! "timed out" sends its reader to the logs. So a wait here watches, returns in the moment its condition
//! holds, and when its deadline passes tells what it saw last.
//!
//! On K3s a watch now and then stays silent about a change: the list it began with claimed to be newer than it was
//! (<https://github.com/k3s-io/kine/issues/577>; seen on v1.34.1). So while a watch is silent the selection is listed
//! anew, which the API server answers from the datastore.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

/// Which objects of an [`Api`] a wait looks at.
pub use kube::runtime::watcher::Config as Selection;

/// How long a watch may be silent before the selection is listed anew.
const SILENCE: Duration = Duration::from_secs(5);

/// What a condition made of the objects it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// It holds; the wait returns this.
    Done(T),
    /// It does not hold yet; the text says what is there instead.
    NotYet(String),
    /// It cannot come to hold any more, and waiting longer would be waste.
    Never(String),
}

/// Why a wait ended without its condition.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum WaitError {
    /// The deadline passed.
    #[error("{what}: not so after {seconds:.0} s; last seen: {last}", seconds = .after.as_secs_f64())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// What the condition saw last.
        last: String,
    },
    /// The condition said that it cannot come to hold.
    #[error("{what}: cannot happen any more: {reason}")]
    Never {
        /// What was waited for.
        what: String,
        /// Why it cannot happen.
        reason: String,
    },
}

/// One object by its name.
pub fn named(name: &str) -> Selection {
    Selection::default().fields(&format!("metadata.name={name}"))
}

/// All objects with these labels (`key=value,...`).
pub fn labelled(selector: &str) -> Selection {
    Selection::default().labels(selector)
}

/// Waits until `condition` holds of the objects selected, looking again at each change.
///
/// The condition is shown the whole selection in order of name, from the first complete list on. A
/// broken watch is taken up again with back-off; what broke it is part of the explanation.
///
/// # Errors
/// [`WaitError`], when the deadline passes or the condition gives up.
pub async fn until<K, T>(
    api: Api<K>,
    selection: Selection,
    what: impl Display,
    deadline: Duration,
    mut condition: impl FnMut(&[K]) -> Seen<T>,
) -> Result<T, WaitError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let ends = Instant::now() + deadline;
    let list = ListParams {
        label_selector: selection.label_selector.clone(),
        field_selector: selection.field_selector.clone(),
        ..ListParams::default()
    };
    let events = watcher::watcher(api.clone(), selection).default_backoff();
    pin_mut!(events);
    let mut objects: BTreeMap<(Option<String>, String), K> = BTreeMap::new();
    let mut listed = false;
    let mut last = "nothing: the API has not answered".to_owned();
    loop {
        match timeout_at(ends.min(Instant::now() + SILENCE), events.next()).await {
            Ok(Some(Ok(Event::Init))) => {
                objects.clear();
                listed = false;
            }
            Ok(Some(Ok(Event::InitApply(object) | Event::Apply(object)))) => {
                objects.insert(key(&object), object);
            }
            Ok(Some(Ok(Event::InitDone))) => listed = true,
            Ok(Some(Ok(Event::Delete(object)))) => {
                objects.remove(&key(&object));
            }
            Ok(Some(Err(error))) => {
                last = format!("the watch broke: {}", crate::chain(&error));
                continue;
            }
            // The watcher's stream has no end of its own, so this is silence.
            Ok(None) | Err(_) => match timeout_at(ends, api.list(&list)).await {
                Ok(Ok(found)) => {
                    objects = found.into_iter().map(|object| (key(&object), object)).collect();
                    listed = true;
                }
                Ok(Err(error)) => last = format!("the list failed: {}", crate::chain(&error)),
                Err(_) => return Err(WaitError::Deadline { what: what.to_string(), after: deadline, last }),
            },
        }
        if listed {
            let shown: Vec<K> = objects.values().cloned().collect();
            match condition(&shown) {
                Seen::Done(value) => return Ok(value),
                Seen::NotYet(seen) => last = seen,
                Seen::Never(reason) => return Err(WaitError::Never { what: what.to_string(), reason }),
            }
        }
        if Instant::now() >= ends {
            return Err(WaitError::Deadline { what: what.to_string(), after: deadline, last });
        }
    }
}

/// Waits until none of the objects selected exists any more.
///
/// # Errors
/// [`WaitError`], naming what is still there.
pub async fn until_gone<K>(api: Api<K>, selection: Selection, what: impl Display, deadline: Duration) -> Result<(), WaitError>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    until(api, selection, what, deadline, |objects| match objects {
        [] => Seen::Done(()),
        left => Seen::NotYet(format!("still there: {}", left.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", "))),
    })
    .await
}

fn key<K: Resource>(object: &K) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}
