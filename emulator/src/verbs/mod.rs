//! What is done to the objects of a resource: the API server's handlers and its generic registry, without HTTP.

mod create;
mod delete;
mod escalation;
pub(crate) mod list;
mod update;
pub(crate) mod watch;

use std::cell::RefCell;
use std::sync::{Arc, RwLockReadGuard};

use serde_json::Value;

use crate::access::User;
use crate::admission::{self, Attributes, Operation};
use crate::api::options::WriteOptions;
use crate::cluster::Cluster;
use crate::registry::Served;
use crate::status::Refusal;
use crate::store::Key;

pub(crate) use delete::{DeleteOptions, Deleted, FOREGROUND, ORPHAN};

/// Lost races that are run again; the API server's own limit is only time.
const RACES: usize = 100;

/// One request that changes something.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) served: &'a Served,
    pub(crate) user: &'a User,
    pub(crate) namespace: &'a str,
    /// Empty in a create.
    pub(crate) name: &'a str,
    /// Empty for the main resource.
    pub(crate) subresource: &'a str,
    pub(crate) options: WriteOptions,
    /// The new object's uid must be that of the present one: a PUT's does, a patch has the present one's to begin with.
    pub(crate) uid_is_condition: bool,
    /// Who wrote, when the options name no manager.
    pub(crate) agent: &'a str,
    /// What the client is told in `Warning` headers.
    pub(crate) warnings: RefCell<Vec<String>>,
}

impl Call<'_> {
    /// Tells the client something; the same only once.
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        let mut told = self.warnings.borrow_mut();
        for warning in warnings {
            if !told.contains(&warning) {
                told.push(warning);
            }
        }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.served.table, if self.served.namespaced { self.namespace } else { "" }, name)
    }

    /// The namespace of the objects: that of the request, unless the resource has none.
    fn object_namespace(&self) -> &str {
        if self.served.namespaced { self.namespace } else { "" }
    }

    fn attributes(&self, operation: Operation, object: Value, old: Arc<Value>) -> Attributes {
        let served = self.served;
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = if self.name.is_empty() { text("/metadata/name") } else { self.name.to_owned() };
        // A namespace is its own.
        let is_namespace = served.group.is_empty() && served.resource == "namespaces";
        let namespace = if is_namespace { name.clone() } else { self.object_namespace().to_owned() };
        Attributes {
            group: served.group.clone(),
            version: served.version.clone(),
            resource: served.resource.clone(),
            subresource: self.subresource.to_owned(),
            kind: served.kind.clone(),
            namespace,
            name,
            operation,
            user: self.user.clone(),
            object,
            old,
            dry_run: self.options.dry_run,
        }
    }

    /// Drops owners that are named twice, and says so (`dedupOwnerReferencesAndAddWarning`).
    pub(crate) fn deduplicate_owners(&self, object: &mut Value, after_admission: bool) {
        let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) else { return };
        let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
        let mut repeated: Vec<String> = Vec::new();
        for owner in owners.drain(..) {
            if kept.contains(&owner) {
                repeated.push(owner["uid"].as_str().unwrap_or_default().to_owned());
            } else {
                kept.push(owner);
            }
        }
        *owners = kept;
        if !repeated.is_empty() {
            let after = if after_admission { " after mutating admission happens" } else { "" };
            self.warn([format!(
                ".metadata.ownerReferences contains duplicate entries{after}; API server dedups owner references in 1.20+, and may \
                 reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
                repeated.join(", ")
            )]);
        }
    }

    /// The validating admission, quotas last. What it returns is held until the object is stored that they were charged for.
    fn admit(&self, attributes: &Attributes) -> Result<RwLockReadGuard<'_, ()>, Refusal> {
        self.warn(admission::validate(attributes, self.cluster)?);
        let charging = self.cluster.begin_charge();
        for _ in 0..RACES {
            let charged = admission::quota::charge(attributes, self.cluster)?;
            if self.options.dry_run || self.cluster.charge(&charged) {
                return Ok(charging);
            }
        }
        Err(Refusal::internal("the quotas of the namespace change faster than they can be charged"))
    }

    fn not_found(&self) -> Refusal {
        Refusal::not_found(&self.served.group, &self.served.resource, self.name)
    }
}
