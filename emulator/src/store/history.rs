//! The last events of a table, for watches and for lists of earlier revisions.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Expired, Stored};

/// The most events of a table that are kept.
const MOST: usize = 10_000;

/// The most bytes that their objects may take together; the last event is kept whatever its size.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One write.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) change: Change,
    /// The object after it; after a deletion, the last state with the deletion's revision.
    pub(crate) object: Arc<Stored>,
    /// The object before it.
    pub(crate) previous: Option<Arc<Stored>>,
}

#[derive(Debug)]
pub(super) struct History {
    events: VecDeque<Arc<Event>>,
    /// What the events' objects take.
    bytes: usize,
    /// States from this revision on are known.
    oldest: u64,
}

impl History {
    pub(super) fn new(oldest: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, oldest }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The revision of the last event, or the one that the history starts from.
    pub(super) fn newest(&self) -> u64 {
        self.events.back().map_or(self.oldest, |e| e.object.revision)
    }

    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.object.json.len();
        while (self.events.len() >= MOST || self.bytes > MOST_BYTES)
            && let Some(gone) = self.events.pop_front()
        {
            self.bytes -= gone.object.json.len();
            self.oldest = gone.object.revision;
        }
        self.events.push_back(Arc::new(event));
    }

    fn check(&self, revision: u64) -> Result<(), Expired> {
        if revision < self.oldest { Err(Expired { oldest: self.oldest }) } else { Ok(()) }
    }

    /// The events after a revision.
    pub(super) fn since(&self, revision: u64) -> Result<Vec<Arc<Event>>, Expired> {
        self.check(revision)?;
        let start = self.events.partition_point(|e| e.object.revision <= revision);
        Ok(self.events.range(start..).cloned().collect())
    }

    /// Undoes the events after a revision, the last first: `undo` gets each path and what was there before.
    pub(super) fn rewind(&self, revision: u64, mut undo: impl FnMut(String, Option<Arc<Stored>>)) -> Result<(), Expired> {
        self.check(revision)?;
        for event in self.events.iter().rev().take_while(|e| e.object.revision > revision) {
            undo(event.object.path(), event.previous.clone());
        }
        Ok(())
    }
}
