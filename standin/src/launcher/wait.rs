//! Waiting for one object by watching it, with a deadline and an explanation.
//!
//! On K3s a watch now and then stays silent about a change: the list it began with claimed to be newer than it was
//! (<https://github.com/k3s-io/kine/issues/577>; seen on v1.34.1 with a deletion). So while a watch is silent the
//! object itself is read, which the API server does not answer from that cache.

use std::{fmt::Debug, time::Duration};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::kubernetes::explain;

/// How long a watch may be silent before the object itself is read.
const SILENCE: Duration = Duration::from_secs(5);

/// The deadline passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: not so after {seconds} s; last seen: {last}", seconds = .after.as_secs())]
pub struct Deadline {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub after: Duration,
    /// What was there instead.
    pub last: String,
}

/// Waits until `condition` is content with the object of this name, or with there being none.
///
/// What the condition is not content with it says, and the last of that is the deadline's explanation.
///
/// # Errors
/// [`Deadline`].
pub(super) async fn until<K>(
    api: Api<K>,
    name: &str,
    what: impl Into<String>,
    after: Duration,
    mut condition: impl FnMut(Option<&K>) -> Result<(), String>,
) -> Result<(), Deadline>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let ends = Instant::now() + after;
    let seen = watcher::watch_object(api.clone(), name).default_backoff();
    pin_mut!(seen);
    let mut last = "nothing: the API has not answered".to_owned();
    loop {
        let object = match timeout_at(ends.min(Instant::now() + SILENCE), seen.next()).await {
            Ok(Some(seen)) => seen.map_err(|error| format!("the watch broke: {error}")),
            // The watch has no end of its own.
            Ok(None) | Err(_) if Instant::now() >= ends => return Err(Deadline { what: what.into(), after, last }),
            Ok(None) | Err(_) => api.get_opt(name).await.map_err(|error| explain(&error)),
        };
        match object.and_then(|object| condition(object.as_ref())) {
            Ok(()) => return Ok(()),
            Err(not_yet) => last = not_yet,
        }
    }
}
