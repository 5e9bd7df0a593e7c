//! A table of the store, read into what its reader needs of each object. It is brought up to date when it is asked and the table has
//! changed since; only what changed is read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::store::{Range, Store};

/// The objects of a table, each as a `T`, by namespace and name.
#[derive(Debug)]
pub(crate) struct Mirror<T> {
    table: &'static str,
    seen: Option<u64>,
    objects: BTreeMap<(String, String), (u64, Arc<T>)>,
}

impl<T: DeserializeOwned + Default> Mirror<T> {
    pub(crate) fn new(table: &'static str) -> Self {
        Self { table, seen: None, objects: BTreeMap::new() }
    }

    /// Reads what has changed. Returns whether anything has.
    pub(crate) fn refresh(&mut self, store: &Store) -> bool {
        // Before the list: what is written in between is read once more, never missed.
        let now = store.changed_at(self.table);
        if self.seen == Some(now) {
            return false;
        }
        self.seen = Some(now);
        let (_, listed) = store.list(self.table, &Range::default(), None).unwrap_or_default();
        let mut before = std::mem::take(&mut self.objects);
        for stored in listed {
            let key = (stored.namespace.clone(), stored.name.clone());
            let known = before.remove(&key).filter(|(revision, _)| *revision == stored.revision);
            // What does not fit its type is an object without anything: the API let nothing of the kind in.
            let read = || (stored.revision, Arc::new(serde_json::from_slice(&stored.json).unwrap_or_default()));
            self.objects.insert(key, known.unwrap_or_else(read));
        }
        true
    }

    /// All, with namespace and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &Arc<T>)> {
        self.objects.iter().map(|((namespace, name), (_, object))| (namespace.as_str(), name.as_str(), object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::Key;

    #[test]
    fn what_changed_is_read_again_and_nothing_else() {
        let store = Store::open(None).unwrap();
        let table: Arc<str> = "services".into();
        let (a, b) = (Key::new(&table, "ns", "a"), Key::new(&table, "ns", "b"));
        let first = store.create(&a, json!({"spec": 1})).unwrap();
        store.create(&b, json!({"spec": 2})).unwrap();
        let mut mirror: Mirror<Value> = Mirror::new("services");
        assert!(mirror.refresh(&store));
        assert!(!mirror.refresh(&store));
        let object = |mirror: &Mirror<Value>, wanted: &str| mirror.iter().find(|(_, name, _)| *name == wanted).unwrap().2.clone();
        let kept = object(&mirror, "b");
        store.replace(&a, first.revision, json!({"spec": 3})).unwrap();
        assert!(mirror.refresh(&store));
        assert_eq!(object(&mirror, "a")["spec"], 3);
        assert!(Arc::ptr_eq(&kept, &object(&mirror, "b")));
        let second = store.get(&a).unwrap();
        store.remove(&a, second.revision).unwrap();
        assert!(mirror.refresh(&store));
        assert_eq!(mirror.iter().map(|(_, name, _)| name).collect::<Vec<_>>(), ["b"]);
    }
}
