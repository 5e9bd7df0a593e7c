//! Objects whose owners are gone go too (`pkg/controller/garbagecollector`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};
use crate::registry::Served;
use crate::store::{Range, Stored};
use crate::verbs::{DeleteOptions, FOREGROUND, ORPHAN};

/// An object that has owners, or that waits for its dependents.
struct Node {
    served: Arc<Served>,
    stored: Arc<Stored>,
    value: Value,
}

impl Node {
    fn uid(&self) -> &str {
        self.value.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
    }

    fn going(&self) -> bool {
        self.value.pointer("/metadata/deletionTimestamp").is_some()
    }

    fn has_finalizer(&self, name: &str) -> bool {
        let finalizers = self.value.pointer("/metadata/finalizers").and_then(Value::as_array);
        finalizers.is_some_and(|all| all.iter().any(|f| f == name))
    }

    fn owners(&self) -> &[Value] {
        list(&self.value["metadata"]["ownerReferences"])
    }
}

/// The revision of a table's last change when it was read, the uids in it and the objects that matter.
type Seen = (u64, HashSet<String>, Vec<Arc<Node>>);

/// What the collector knows of the cluster's objects, kept between looks by revision.
#[derive(Default)]
struct Known {
    /// Per table: the revision of its last change when it was read, the uids in it and the objects that matter.
    tables: HashMap<Arc<str>, Seen>,
}

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    let mut known = Known::default();
    loop {
        collect(&cluster, &mut known);
        if follow.changed().await.is_err() {
            return;
        }
        // A burst of writes is looked at once.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        follow.mark_unchanged();
    }
}

fn read(cluster: &Cluster, known: &mut Known) {
    let stored = cluster.registry().stored();
    known.tables.retain(|table, _| stored.iter().any(|served| served.table == *table));
    for served in stored {
        let changed = cluster.store.changed_at(&served.table);
        if known.tables.get(&served.table).is_some_and(|(at, ..)| *at == changed) {
            continue;
        }
        let (_, objects) = cluster.store.list(&served.table, &Range::default(), None).unwrap_or_default();
        let (mut uids, mut nodes) = (HashSet::new(), Vec::new());
        for stored in objects {
            let value = stored.value();
            let node = Node { served: served.clone(), stored, value };
            uids.insert(node.uid().to_owned());
            if !node.owners().is_empty() || (node.going() && (node.has_finalizer(ORPHAN) || node.has_finalizer(FOREGROUND))) {
                nodes.push(Arc::new(node));
            }
        }
        known.tables.insert(served.table.clone(), (changed, uids, nodes));
    }
}

fn collect(cluster: &Cluster, known: &mut Known) {
    read(cluster, known);
    let nodes: Vec<Arc<Node>> = known.tables.values().flat_map(|(.., nodes)| nodes.iter().cloned()).collect();
    // Owners are made before their dependents: who is looked for after them is found.
    read(cluster, known);
    let known = &*known;
    let exists = |uid: &str| known.tables.values().any(|(_, uids, _)| uids.contains(uid));
    let mut by_owner: HashMap<&str, Vec<&Arc<Node>>> = HashMap::new();
    for node in &nodes {
        for owner in node.owners() {
            by_owner.entry(text(&owner["uid"])).or_default().push(node);
        }
    }
    let dependents = |uid: &str| by_owner.get(uid).map_or(&[][..], Vec::as_slice);
    let user = User::system();
    for node in &nodes {
        if node.going() && node.has_finalizer(ORPHAN) {
            for dependent in dependents(node.uid()) {
                disown(cluster, &user, dependent, node.uid());
            }
            finish(cluster, &user, node, ORPHAN);
        } else if node.going() && node.has_finalizer(FOREGROUND) {
            let waits = dependents(node.uid()).iter().any(|d| blocks(d, node.uid()));
            for dependent in dependents(node.uid()) {
                // One with another owner that stays is only let go of.
                let others =
                    dependent.owners().iter().any(|o| o["uid"] != node.uid() && exists(o["uid"].as_str().unwrap_or_default()));
                if others {
                    disown(cluster, &user, dependent, node.uid());
                } else if !dependent.going() {
                    delete(
                        cluster,
                        &user,
                        dependent,
                        if dependents(dependent.uid()).is_empty() { "Background" } else { "Foreground" },
                    );
                }
            }
            if !waits {
                finish(cluster, &user, node, FOREGROUND);
            }
        }
        let owners = node.owners();
        if owners.is_empty() || node.going() {
            continue;
        }
        let absent = owners.iter().filter(|o| !exists(o["uid"].as_str().unwrap_or_default())).count();
        if absent == owners.len() {
            let policy = if node.has_finalizer(ORPHAN) {
                "Orphan"
            } else if node.has_finalizer(FOREGROUND) {
                "Foreground"
            } else {
                "Background"
            };
            delete(cluster, &user, node, policy);
        } else if absent > 0 {
            for owner in owners.iter().filter_map(|o| o["uid"].as_str()).filter(|uid| !exists(uid)) {
                disown(cluster, &user, node, owner);
            }
        }
    }
}

/// Whether an owner's end waits for this dependent.
fn blocks(dependent: &Node, owner: &str) -> bool {
    dependent.owners().iter().any(|o| o["uid"] == owner && o["blockOwnerDeletion"] == true)
}

fn delete(cluster: &Cluster, user: &User, node: &Node, policy: &str) {
    let call = call(cluster, user, &node.served, &node.stored.namespace, &node.stored.name, "");
    let _ = call.delete(&DeleteOptions {
        uid: Some(node.uid().to_owned()),
        propagation: Some(policy.to_owned()),
        ..DeleteOptions::default()
    });
}

fn change(cluster: &Cluster, user: &User, node: &Node, edit: impl Fn(&mut Value)) {
    let call = call(cluster, user, &node.served, &node.stored.namespace, &node.stored.name, "");
    let uid = node.uid().to_owned();
    let _ = call.update(Part::Whole, false, &|live| {
        let mut next = live.clone();
        // Another object of the same name is none of our business.
        if next.pointer("/metadata/uid").and_then(Value::as_str) == Some(&uid) {
            edit(&mut next);
        }
        Ok(node.served.own(live, next, &call))
    });
}

fn disown(cluster: &Cluster, user: &User, node: &Node, owner: &str) {
    change(cluster, user, node, |object| {
        let kept: Vec<Value> = object["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|o| o["uid"] != owner)
            .cloned()
            .collect();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if kept.is_empty() {
                metadata.remove("ownerReferences");
            } else {
                metadata.insert("ownerReferences".into(), json!(kept));
            }
        }
    });
}

fn finish(cluster: &Cluster, user: &User, node: &Node, finalizer: &str) {
    change(cluster, user, node, |object| {
        let kept: Vec<Value> =
            object["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|f| *f != finalizer).cloned().collect();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if kept.is_empty() {
                metadata.remove("finalizers");
            } else {
                metadata.insert("finalizers".into(), json!(kept));
            }
        }
    });
}
