//! The end of a CustomResourceDefinition: its objects are deleted, then it goes (`apiextensions-apiserver/pkg/controller/finalizer`).

use std::sync::Arc;

use serde_json::Value;

use super::call;
use crate::access::User;
use crate::cluster::Cluster;
use crate::custom::definition;
use crate::kinds::meta::Part;
use crate::status::Refusal;
use crate::store::{Range, Stored};
use crate::verbs::DeleteOptions;

const TABLE: &str = "customresourcedefinitions.apiextensions.k8s.io";

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    loop {
        let (_, definitions) = cluster.store.list(TABLE, &Range::default(), None).unwrap_or_default();
        for stored in definitions {
            let value = stored.value();
            let going = value.pointer("/metadata/deletionTimestamp").is_some();
            let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
            if going && finalizers.is_some_and(|f| f.iter().any(|f| f == definition::CLEANUP)) {
                end(&cluster, &stored, &value);
            }
        }
        if follow.changed().await.is_err() {
            return;
        }
    }
}

fn end(cluster: &Cluster, stored: &Stored, value: &Value) {
    let user = User::system();
    let registry = cluster.registry();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let Some(definitions) = registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions") else { return };
    // One whose names were never accepted has no objects.
    if let Some(served) = registry.any_version(text("/spec/group"), text("/spec/names/plural")) {
        let all = || cluster.store.list(&served.table, &Range::default(), None).unwrap_or_default().1;
        for object in all().iter().filter(|o| o.value().pointer("/metadata/deletionTimestamp").is_none()) {
            let _ = call(cluster, &user, &served, &object.namespace, &object.name, "").delete(&DeleteOptions::default());
        }
        if !all().is_empty() {
            let status = call(cluster, &user, definitions, "", &stored.name, "status");
            warn(
                &stored.name,
                status.update(Part::Finalize, false, &|live| Ok(definition::deleting(live, &cluster.now()))).err(),
            );
            return;
        }
    }
    let done = call(cluster, &user, definitions, "", &stored.name, "");
    warn(&stored.name, done.update(Part::Finalize, false, &|live| Ok(definition::deleted(live, &cluster.now()))).err());
}

fn warn(name: &str, refusal: Option<Refusal>) {
    if let Some(refusal) = refusal.filter(|refusal| refusal.code != 404) {
        tracing::warn!(name, %refusal, "the end of a definition");
    }
}
