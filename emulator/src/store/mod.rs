//! Versioned objects and their watch history: what etcd (kine, on K3s) is to the API server.
//!
//! One revision counts the writes of the whole store. Objects are kept as the JSON that is served, since they are read far more often
//! than changed and a parsed one takes ten times the memory; only what selection needs is kept beside it.

mod disk;
mod history;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::schema::json::parse_value;
use disk::Log;
use history::History;
pub(crate) use history::{Change, Event};

/// Where an object lies. Tables are named by group and resource, without the version: `deployments.apps`, `pods`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) table: Arc<str>,
    /// Empty for what is in no namespace.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(table: &Arc<str>, namespace: &str, name: &str) -> Self {
        Self { table: table.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The name within the table, which also is the order of lists: as etcd's keys, so `a-b/x` comes before `a/x`.
    fn path(&self) -> String {
        path(&self.namespace, &self.name)
    }
}

fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// An object as of one revision.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) revision: u64,
    /// In the order of their keys.
    pub(crate) labels: Box<[(Box<str>, Box<str>)]>,
    /// The object with its `resourceVersion`.
    pub(crate) json: Bytes,
}

/// An object as it was written. serde_json gives up on what nests deeper than 128; objects may.
fn read(json: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(json).or_else(|error| parse_value(json).map(|(value, _)| value).map_err(|_| error))
}

impl Stored {
    fn new(key: &Key, revision: u64, mut value: Value) -> Self {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), revision.to_string().into());
        }
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            revision,
            labels: labels.filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into()))).collect(),
            json: value.to_string().into(),
        }
    }

    /// The object, parsed.
    pub(crate) fn value(&self) -> Value {
        // It was written by `Stored::new`.
        read(&self.json).unwrap_or_default()
    }

    /// The same object with another revision.
    pub(crate) fn at(&self, revision: u64) -> Self {
        Self::new(&Key::new(&"".into(), &self.namespace, &self.name), revision, self.value())
    }

    fn path(&self) -> String {
        path(&self.namespace, &self.name)
    }
}

/// Why a write did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A create found an object of that name.
    Exists,
    /// The object is gone, or is no longer of the revision that the writer saw.
    Changed,
}

/// A revision whose state is no longer known; the oldest that is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) oldest: u64,
}

/// What of a table a list takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range {
    /// One namespace, or all.
    pub(crate) namespace: Option<String>,
    /// Only what comes after this path (`namespace/name`).
    pub(crate) after: Option<String>,
}

impl Range {
    fn start(&self) -> String {
        match (&self.after, &self.namespace) {
            // The least string that is greater.
            (Some(after), _) => format!("{after}\0"),
            (None, Some(namespace)) => format!("{namespace}/"),
            (None, None) => String::new(),
        }
    }

    fn has(&self, path: &str) -> bool {
        let within = self.namespace.as_ref().is_none_or(|ns| path.strip_prefix(ns.as_str()).is_some_and(|p| p.starts_with('/')));
        within && self.after.as_ref().is_none_or(|after| path > after.as_str())
    }
}

/// The first revisions of a new K3s are its datastore's own; its API knows of nothing before this one.
const ORIGIN: u64 = 3;

#[derive(Debug)]
struct Table {
    objects: BTreeMap<String, Arc<Stored>>,
    history: History,
    bell: watch::Sender<u64>,
}

impl Table {
    fn new(revision: u64) -> Self {
        Self { objects: BTreeMap::new(), history: History::new(revision), bell: watch::Sender::new(revision) }
    }
}

#[derive(Debug)]
struct Inner {
    revision: u64,
    /// Where the history of a table begins that has none yet.
    origin: u64,
    tables: HashMap<Arc<str>, Table>,
    log: Option<Log>,
}

/// The store of one cluster.
#[derive(Debug)]
pub(crate) struct Store {
    inner: RwLock<Inner>,
    /// The revision, for those who follow the whole store.
    bell: watch::Sender<u64>,
}

impl Store {
    /// Opens the store in a directory, with what was written there before, or an empty one in memory.
    pub(crate) fn open(directory: Option<&Path>) -> std::io::Result<Self> {
        let mut inner = Inner { revision: ORIGIN, origin: ORIGIN, tables: HashMap::new(), log: None };
        if let Some(directory) = directory {
            let (log, revision, objects) = Log::open(directory)?;
            inner.revision = revision.max(ORIGIN);
            inner.origin = inner.revision;
            for (key, value) in objects {
                let stored = value.pointer("/metadata/resourceVersion").and_then(Value::as_str).and_then(|r| r.parse().ok());
                let stored = Stored::new(&key, stored.unwrap_or(revision), value);
                let table = inner.tables.entry(key.table.clone()).or_insert_with(|| Table::new(revision));
                table.objects.insert(key.path(), Arc::new(stored));
            }
            inner.log = Some(log);
        }
        let bell = watch::Sender::new(inner.revision);
        Ok(Self { inner: RwLock::new(inner), bell })
    }

    // A panic while the lock was held cannot leave the maps torn: each write is a single insertion or removal.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of writes so far.
    pub(crate) fn revision(&self) -> u64 {
        self.read().revision
    }

    /// Tells of every write, by its revision.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.read().tables.get(&key.table)?.objects.get(&key.path()).cloned()
    }

    /// The objects of a table in order, as of now or of an earlier revision, and the revision.
    pub(crate) fn list(&self, table: &str, range: &Range, at: Option<u64>) -> Result<(u64, Vec<Arc<Stored>>), Expired> {
        let inner = self.read();
        let Some(table) = inner.tables.get(table) else { return Ok((at.unwrap_or(inner.revision), Vec::new())) };
        let now = table.objects.range(range.start()..).take_while(|(path, _)| range.has(path));
        match at {
            Some(at) if at < inner.revision => {
                let mut then: BTreeMap<String, Arc<Stored>> = now.map(|(path, object)| (path.clone(), object.clone())).collect();
                table.history.rewind(at, |path, object| {
                    if !range.has(&path) {
                        return;
                    }
                    match object {
                        Some(object) => then.insert(path, object),
                        None => then.remove(&path),
                    };
                })?;
                Ok((at, then.into_values().collect()))
            }
            _ => Ok((inner.revision, now.map(|(_, object)| object.clone()).collect())),
        }
    }

    /// How many objects a table has.
    pub(crate) fn count(&self, table: &str) -> usize {
        self.read().tables.get(table).map_or(0, |t| t.objects.len())
    }

    /// The revision of a table's last change.
    pub(crate) fn changed_at(&self, table: &str) -> u64 {
        self.read().tables.get(table).map_or(0, |t| t.history.newest())
    }

    /// Adds an object.
    pub(crate) fn create(&self, key: &Key, value: Value) -> Result<Arc<Stored>, Lost> {
        self.commit(key, None, Some(value))
    }

    /// Puts an object in the place of the one of revision `seen`.
    pub(crate) fn replace(&self, key: &Key, seen: u64, value: Value) -> Result<Arc<Stored>, Lost> {
        self.commit(key, Some(seen), Some(value))
    }

    /// Removes the object of revision `seen`; what is returned is its last state, of the removal's revision.
    pub(crate) fn remove(&self, key: &Key, seen: u64) -> Result<Arc<Stored>, Lost> {
        self.commit(key, Some(seen), None)
    }

    fn commit(&self, key: &Key, seen: Option<u64>, value: Option<Value>) -> Result<Arc<Stored>, Lost> {
        let mut guard = self.write();
        let inner = &mut *guard;
        let path = key.path();
        let started = inner.origin;
        let table = inner.tables.entry(key.table.clone()).or_insert_with(|| Table::new(started));
        let previous = table.objects.get(&path).cloned();
        match (seen, &previous) {
            (None, Some(_)) => return Err(Lost::Exists),
            (Some(seen), Some(previous)) if previous.revision == seen => {}
            (None, None) => {}
            (Some(_), _) => return Err(Lost::Changed),
        }
        let revision = inner.revision + 1;
        let change = match (&previous, &value) {
            (None, _) => Change::Added,
            (Some(_), Some(_)) => Change::Modified,
            (Some(_), None) => Change::Deleted,
        };
        let removed = value.is_none();
        let last = || previous.as_ref().map(|p| p.value()).unwrap_or_default();
        let stored = Arc::new(Stored::new(key, revision, value.unwrap_or_else(last)));
        if let Some(log) = &mut inner.log {
            log.write(key, revision, (!removed).then_some(&stored.json));
        }
        inner.revision = revision;
        if removed {
            table.objects.remove(&path);
        } else {
            table.objects.insert(path, stored.clone());
        }
        table.history.push(Event { change, object: stored.clone(), previous });
        table.bell.send_replace(revision);
        drop(guard);
        // Another write may have told of a later one meanwhile.
        self.bell.send_if_modified(|told| {
            let later = *told < revision;
            *told = revision.max(*told);
            later
        });
        Ok(stored)
    }

    /// Forgets the history so far: earlier revisions have expired.
    #[cfg(test)]
    fn compact(&self) {
        let mut inner = self.write();
        let revision = inner.revision;
        inner.origin = revision;
        for table in inner.tables.values_mut() {
            table.history = History::new(revision);
        }
    }

    /// Follows a table from a revision on, that one not included.
    pub(crate) fn watch(&self, table: &Arc<str>, from: u64) -> Result<Watch, Expired> {
        let mut inner = self.write();
        let origin = inner.origin;
        let table_ = inner.tables.entry(table.clone()).or_insert_with(|| Table::new(origin));
        if from < table_.history.oldest() {
            return Err(Expired { oldest: table_.history.oldest() });
        }
        Ok(Watch { table: table.clone(), seen: from, bell: table_.bell.subscribe() })
    }

    /// The events that a watch has not seen yet. Empty when there are none.
    pub(crate) fn since(&self, watch: &mut Watch) -> Result<Vec<Arc<Event>>, Expired> {
        watch.bell.borrow_and_update();
        let inner = self.read();
        let Some(table) = inner.tables.get(&watch.table) else { return Ok(Vec::new()) };
        let events = table.history.since(watch.seen)?;
        watch.seen = inner.revision;
        Ok(events)
    }
}

/// One who follows a table.
#[derive(Debug)]
pub(crate) struct Watch {
    table: Arc<str>,
    /// Events up to this revision have been seen.
    pub(crate) seen: u64,
    bell: watch::Receiver<u64>,
}

impl Watch {
    /// Returns when the table has changed since [`Store::since`] was last asked. False when the store is gone.
    pub(crate) async fn changed(&mut self) -> bool {
        self.bell.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, data: u32) -> Value {
        json!({"metadata": {"name": name, "labels": {"a": "b"}}, "data": data})
    }

    fn names(listed: &[Arc<Stored>]) -> Vec<&str> {
        listed.iter().map(|o| o.name.as_str()).collect()
    }

    #[test]
    fn writes_need_the_revision_they_saw() {
        let store = Store::open(None).unwrap();
        let key = Key::new(&"configmaps".into(), "ns", "a");
        let first = store.create(&key, object("a", 1)).unwrap();
        assert_eq!(store.create(&key, object("a", 1)).unwrap_err(), Lost::Exists);
        let second = store.replace(&key, first.revision, object("a", 2)).unwrap();
        assert_eq!(store.replace(&key, first.revision, object("a", 3)).unwrap_err(), Lost::Changed);
        assert_eq!(store.remove(&key, first.revision).unwrap_err(), Lost::Changed);
        let last = store.remove(&key, second.revision).unwrap();
        assert_eq!((last.revision, last.value()["data"].clone()), (6, json!(2)));
        assert!(store.get(&key).is_none());
        assert_eq!(store.replace(&key, second.revision, object("a", 3)).unwrap_err(), Lost::Changed);
    }

    #[test]
    fn lists_are_in_the_order_of_etcds_keys() {
        let store = Store::open(None).unwrap();
        let table: Arc<str> = "configmaps".into();
        for (namespace, name) in [("a", "x"), ("a-b", "y"), ("a", "w"), ("b", "z")] {
            store.create(&Key::new(&table, namespace, name), object(name, 0)).unwrap();
        }
        let (revision, all) = store.list("configmaps", &Range::default(), None).unwrap();
        assert_eq!((revision, names(&all)), (7, vec!["y", "w", "x", "z"]));
        let range = Range { namespace: Some("a".into()), after: Some("a/w".into()) };
        assert_eq!(names(&store.list("configmaps", &range, None).unwrap().1), ["x"]);
    }

    #[test]
    fn a_list_of_an_earlier_revision_is_what_was_there_then() {
        let store = Store::open(None).unwrap();
        let table: Arc<str> = "configmaps".into();
        let (a, b) = (Key::new(&table, "ns", "a"), Key::new(&table, "ns", "b"));
        store.create(&a, object("a", 1)).unwrap();
        store.create(&b, object("b", 1)).unwrap();
        store.replace(&a, ORIGIN + 1, object("a", 2)).unwrap();
        store.remove(&b, ORIGIN + 2).unwrap();
        let at = |revision| {
            let (_, all) = store.list("configmaps", &Range::default(), Some(revision)).unwrap();
            all.iter().map(|o| format!("{}{}", o.name, o.value()["data"])).collect::<Vec<_>>()
        };
        assert_eq!(at(ORIGIN + 1), ["a1"]);
        assert_eq!(at(ORIGIN + 2), ["a1", "b1"]);
        assert_eq!(at(ORIGIN + 3), ["a2", "b1"]);
        assert_eq!(at(ORIGIN + 4), ["a2"]);
        store.compact();
        assert_eq!(store.list("configmaps", &Range::default(), Some(6)).unwrap_err(), Expired { oldest: 7 });
    }

    #[tokio::test]
    async fn a_watch_sees_every_change_once() {
        let store = Store::open(None).unwrap();
        let table: Arc<str> = "configmaps".into();
        let key = Key::new(&table, "ns", "a");
        store.create(&key, object("a", 1)).unwrap();
        let mut watch = store.watch(&table, ORIGIN + 1).unwrap();
        assert!(store.since(&mut watch).unwrap().is_empty());
        store.replace(&key, ORIGIN + 1, object("a", 2)).unwrap();
        store.remove(&key, ORIGIN + 2).unwrap();
        assert!(watch.changed().await);
        let seen: Vec<_> = store.since(&mut watch).unwrap().iter().map(|e| (e.change, e.object.revision)).collect();
        assert_eq!(seen, [(Change::Modified, 5), (Change::Deleted, 6)]);
        assert!(store.since(&mut watch).unwrap().is_empty());
    }

    #[test]
    fn what_is_on_disk_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let table: Arc<str> = "configmaps".into();
        let (a, b) = (Key::new(&table, "ns", "a"), Key::new(&table, "", "b"));
        {
            let store = Store::open(Some(directory.path())).unwrap();
            store.create(&a, object("a", 1)).unwrap();
            store.create(&b, object("b", 1)).unwrap();
            store.replace(&a, ORIGIN + 1, object("a", 2)).unwrap();
            store.remove(&b, ORIGIN + 2).unwrap();
        }
        let store = Store::open(Some(directory.path())).unwrap();
        assert_eq!(store.revision(), ORIGIN + 4);
        assert_eq!(store.get(&a).unwrap().value()["data"], json!(2));
        assert_eq!(store.get(&a).unwrap().revision, ORIGIN + 3);
        assert!(store.get(&b).is_none());
        assert!(store.watch(&table, ORIGIN + 3).is_err(), "history is not kept on disk");
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let table: Arc<str> = "configmaps".into();
        let a = Key::new(&table, "ns", "a");
        drop(Store::open(Some(directory.path())).unwrap().create(&a, object("a", 1)));
        let file = std::fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(r#"{"revision":5,"table":"configmaps","na"#);
        std::fs::write(&file, text).unwrap();
        let store = Store::open(Some(directory.path())).unwrap();
        assert_eq!((store.revision(), store.count("configmaps")), (ORIGIN + 1, 1));
    }
}
