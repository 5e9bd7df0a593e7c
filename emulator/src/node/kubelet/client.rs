//! What a kubelet asks of the API server.

use std::sync::Arc;

use serde_json::Value;

use crate::access::{MASTERS, User};
use crate::cluster::Cluster;
use crate::controllers;
use crate::kinds::meta::Part;
use crate::kinds::view::text;
use crate::registry::Served;
use crate::schema::codec;
use crate::status::Refusal;
use crate::verbs::DeleteOptions;

/// A resource by group and plural.
pub(super) type Resource = (&'static str, &'static str);

#[cfg(test)]
pub(super) const EVENTS: Resource = ("", "events");
pub(super) const CSI_NODES: Resource = ("storage.k8s.io", "csinodes");
pub(super) const LEASES: Resource = ("coordination.k8s.io", "leases");
pub(super) const NODES: Resource = ("", "nodes");
pub(super) const PODS: Resource = ("", "pods");
pub(super) const SECRETS: Resource = ("", "secrets");

/// A kubelet's access to the API: in this process, and without the wire.
pub(crate) struct Client {
    pub(super) cluster: Arc<Cluster>,
    pub(super) user: User,
}

/// Changes an object; what it refuses is the answer.
pub(super) type Edit<'e> = dyn Fn(&mut Value) -> Result<(), Refusal> + 'e;

impl Client {
    pub(super) fn new(cluster: Arc<Cluster>, node: &str) -> Self {
        Self { cluster, user: User::new(&format!("system:node:{node}"), &["system:nodes", MASTERS]) }
    }

    pub(super) fn served(&self, (group, resource): Resource) -> Result<Arc<Served>, Refusal> {
        let served = self.cluster.registry().any_version(group, resource);
        served.ok_or_else(|| Refusal::internal("no such resource"))
    }

    pub(super) fn get(&self, (group, resource): Resource, namespace: &str, name: &str) -> Option<Value> {
        self.cluster.object(group, resource, namespace, name)
    }

    pub(super) fn create(&self, resource: Resource, namespace: &str, mut object: Value) -> Result<Value, Refusal> {
        let served = self.served(resource)?;
        served.default(&mut object);
        let object = typed(&served, object);
        controllers::call(&self.cluster, &self.user, &served, namespace, "", "").create(object)
    }

    /// Changes an object, or its status. Returns it as it is then.
    pub(super) fn update(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        part: Part,
        edit: &Edit<'_>,
    ) -> Result<Value, Refusal> {
        let served = self.served(resource)?;
        let subresource = if part == Part::Status { "status" } else { "" };
        let call = controllers::call(&self.cluster, &self.user, &served, namespace, name, subresource);
        let changed = call.update(part, false, &|live| {
            let mut next = live.clone();
            edit(&mut next)?;
            if next == *live {
                return Ok(next);
            }
            Ok(served.own(live, typed(&served, next), &call))
        });
        changed.map(|(object, _)| object)
    }

    /// Removes a pod that has ended, if it still is that one.
    pub(super) fn remove_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Refusal> {
        let served = self.served(PODS)?;
        let call = controllers::call(&self.cluster, &self.user, &served, namespace, name, "");
        let options = DeleteOptions { grace: Some(0), uid: Some(uid.to_owned()), ..DeleteOptions::default() };
        call.delete(&options).map(drop)
    }
}

/// An object as a typed client sends it: without the zeros that its type leaves out.
fn typed(served: &Served, object: Value) -> Value {
    match served.ty() {
        Some(ty) => codec::encode(ty, object),
        None => object,
    }
}

/// Takes note of a write that was refused: of an object that is gone or was changed meanwhile, all is well.
pub(super) fn heard<T>(about: &Value, outcome: Result<T, Refusal>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(refusal) => {
            if !matches!(refusal.reason.as_str(), "NotFound" | "Conflict") {
                tracing::warn!(name = text(&about["metadata"]["name"]), %refusal, "a kubelet's write was refused");
            }
            None
        }
    }
}
