//! Waiting longer after each failure (`client-go/util/flowcontrol/backoff.go`).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// The first wait; it doubles with each failure (`--pod-max-backoff` and its kin).
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// The longest.
const LONGEST: SignedDuration = SignedDuration::from_secs(300);
/// All is forgotten after so long without a failure.
const FORGET: SignedDuration = SignedDuration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Entry {
    wait: SignedDuration,
    updated: Timestamp,
}

impl Entry {
    fn is_expired(self, at: Timestamp) -> bool {
        at.duration_since(self.updated) > FORGET
    }
}

/// The waits of what fails, by name.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<String, Entry>);

impl Backoff {
    /// How long one waits.
    pub(super) fn get(&self, name: &str) -> SignedDuration {
        self.0.get(name).map_or(SignedDuration::ZERO, |entry| entry.wait)
    }

    /// Until when one waits that failed at a time, if it is not over yet (`IsInBackOffSince`).
    pub(super) fn since(&self, name: &str, failed: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let entry = self.0.get(name).filter(|entry| !entry.is_expired(failed))?;
        failed.checked_add(entry.wait).ok().filter(|end| *end > now)
    }

    /// Until when one waits since the last failure that was told of (`IsInBackOffSinceUpdate`).
    pub(super) fn since_update(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let entry = self.0.get(name).filter(|entry| !entry.is_expired(now))?;
        entry.updated.checked_add(entry.wait).ok().filter(|end| *end > now)
    }

    /// Takes note of a failure at a time.
    pub(super) fn next(&mut self, name: &str, failed: Timestamp, now: Timestamp) {
        let wait = match self.0.get(name).filter(|entry| !entry.is_expired(failed)) {
            Some(entry) => (entry.wait + entry.wait).min(LONGEST),
            None => FIRST,
        };
        self.0.insert(name.to_owned(), Entry { wait, updated: now });
    }
}

/// A whole number of seconds as Go prints a duration (`2m40s`).
pub(super) fn go_seconds(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgotten() {
        let mut backoff = Backoff::default();
        let mut now = Timestamp::UNIX_EPOCH;
        assert_eq!(backoff.since("c", now, now), None);
        let mut waits = Vec::new();
        for _ in 0..7 {
            backoff.next("c", now, now);
            waits.push(go_seconds(backoff.get("c")));
            let end = backoff.since("c", now, now).unwrap();
            assert_eq!(backoff.since_update("c", now), Some(end));
            assert_eq!(backoff.since("c", now, end), None);
            now = end;
        }
        assert_eq!(waits, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        now += SignedDuration::from_secs(301);
        backoff.next("c", now, now);
        assert_eq!(go_seconds(backoff.get("c")), "10s");
    }
}
