//! The end of a namespace: everything in it is deleted, then it goes (`pkg/controller/namespace/deletion`).

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::registry::Served;
use crate::store::{Range, Stored};
use crate::verbs::DeleteOptions;

/// A namespace that is deleted is left alone for a moment, in which a client deletes the rest of what it has in hand. The real
/// controller waits five seconds (`namespaceDeletionGracePeriod`).
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    // By uid: when those that are to end are looked at.
    let mut due: HashMap<String, Timestamp> = HashMap::new();
    loop {
        let (_, namespaces) = cluster.store.list("namespaces", &Range::default(), None).unwrap_or_default();
        let now = cluster.clock();
        let mut ending = HashMap::new();
        for namespace in namespaces {
            let value = namespace.value();
            if value.pointer("/metadata/deletionTimestamp").is_none() {
                continue;
            }
            let uid = value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let at = due.get(&uid).copied().unwrap_or_else(|| now.checked_add(PAUSE).unwrap_or(now));
            if at <= now {
                end(&cluster, &namespace, &value);
            }
            ending.insert(uid, at);
        }
        due = ending;
        let next = due.values().copied().filter(|at| *at > now).min();
        tokio::select! {
            changed = follow.changed() => if changed.is_err() { return },
            () = sleep_until(&cluster, next) => {}
        }
    }
}

/// For ever when there is nothing to wait for.
async fn sleep_until(cluster: &Cluster, at: Option<Timestamp>) {
    match at {
        Some(at) => cluster.time.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What is left of a namespace after everything in it was told to go.
#[derive(Default)]
struct Left {
    /// How many of each resource: `pods.` in the core group, as the message has it.
    resources: Vec<(String, usize)>,
    finalizers: std::collections::BTreeMap<String, usize>,
}

fn end(cluster: &Cluster, namespace: &Stored, value: &Value) {
    let user = User::system();
    let registry = cluster.registry();
    let mut served: Vec<_> = registry.stored().into_iter().filter(|s| s.namespaced).collect();
    served.sort_by(|a, b| a.table.cmp(&b.table));
    let mut left = Left::default();
    for served in &served {
        let range = Range { namespace: Some(namespace.name.clone()), after: None };
        let (_, objects) = cluster.store.list(&served.table, &range, None).unwrap_or_default();
        let going = |object: &Arc<Stored>| object.value().pointer("/metadata/deletionTimestamp").is_some();
        for object in objects.iter().filter(|o| !going(o)) {
            let _ = call(cluster, &user, served, &namespace.name, &object.name, "")
                .delete(&DeleteOptions { propagation: Some("Background".into()), ..DeleteOptions::default() });
        }
        let (_, objects) = cluster.store.list(&served.table, &range, None).unwrap_or_default();
        if !objects.is_empty() {
            left.resources.push((format!("{}.{}", served.resource, served.group), objects.len()));
        }
        for object in objects {
            for finalizer in object.value().pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten() {
                *left.finalizers.entry(finalizer.as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
    }
    let Some(namespaces) = registry.get("", "v1", "namespaces") else { return };
    tell(cluster, &user, namespaces, namespace, value, &left);
    let held = value.pointer("/spec/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if left.resources.is_empty() && held.iter().any(|f| f == "kubernetes") {
        let finalize = call(cluster, &user, namespaces, &namespace.name, &namespace.name, "finalize");
        let _ = finalize.update(Part::Finalize, false, &|live| {
            let mut next = live.clone();
            if let Some(finalizers) = next["spec"]["finalizers"].as_array_mut() {
                finalizers.retain(|finalizer| finalizer != "kubernetes");
            }
            Ok(next)
        });
    }
}

/// Writes the conditions that say what a namespace waits for.
fn tell(cluster: &Cluster, user: &User, served: &Served, namespace: &Stored, value: &Value, left: &Left) {
    let now = cluster.now();
    let condition = |kind: &str, wrong: bool, reason: &str, message: String| json!({"type": kind, "status": if wrong { "True" } else { "False" }, "lastTransitionTime": now, "reason": reason, "message": message});
    let remaining: Vec<String> = left.resources.iter().map(|(r, n)| format!("{r} has {n} resource instances")).collect();
    let finalizers: Vec<String> = left.finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    let conditions = [
        condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".into(),
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
        ),
        condition(
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".into(),
        ),
        if remaining.is_empty() {
            condition("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".into())
        } else {
            let message = format!("Some resources are remaining: {}", remaining.join(", "));
            condition("NamespaceContentRemaining", true, "SomeResourcesRemain", message)
        },
        if finalizers.is_empty() {
            condition(
                "NamespaceFinalizersRemaining",
                false,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".into(),
            )
        } else {
            let message = format!("Some content in the namespace has finalizers remaining: {}", finalizers.join(", "));
            condition("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
        },
    ];
    let key = |c: &Value| (c["type"].clone(), c["status"].clone(), c["message"].clone());
    let present = value.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    if present.iter().map(key).eq(conditions.iter().map(key)) {
        return;
    }
    let status = call(cluster, user, served, &namespace.name, &namespace.name, "status");
    let _ = status.update(Part::Status, false, &|live| {
        let mut next = live.clone();
        next["status"]["conditions"] = json!(conditions);
        Ok(served.own(live, next, &status))
    });
}
