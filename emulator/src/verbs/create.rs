//! Creating an object (`handlers/create.go`, `Store.Create`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::Call;
use crate::admission::{self, Operation};
use crate::kinds::{certificates, meta};
use crate::status::Refusal;
use crate::store::Lost;

/// How often a name is made anew when the one made before is taken (`Store.Create`).
const NAMES: usize = 8;

impl Call<'_> {
    /// Creates an object that was decoded and defaulted. Returns it as stored.
    pub(crate) fn create(&self, mut object: Value) -> Result<Value, Refusal> {
        if self.served.terminating {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Refusal::forbidden(&self.served.group, &self.served.resource, name, why));
        }
        meta::wipe(&mut object);
        meta::ensure_namespace(&mut object, self.object_namespace())?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata
                .remove("resourceVersion")
                .filter(|v| !v.is_null() && v != "")
                .map_or(Ok(()), |_| Err(Refusal::new(500, "", "resourceVersion should not be set on objects to be created")))?;
        }
        self.deduplicate_owners(&mut object, false);
        let object = self.served.own(&Value::Null, object, self);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.create_once(object.clone()) {
                Err(refusal) if refusal.reason == "AlreadyExists" && attempts < NAMES && is_generated(&object) => {}
                done => return done,
            }
        }
    }

    fn create_once(&self, object: Value) -> Result<Value, Refusal> {
        let mut attributes = self.attributes(Operation::Create, object, Arc::new(Value::Null));
        admission::mutate(&mut attributes, self.cluster)?;
        self.deduplicate_owners(&mut attributes.object, true);
        self.insert(attributes.object)
    }

    /// The registry's part of a create: what follows the mutating admission.
    pub(super) fn insert(&self, mut object: Value) -> Result<Value, Refusal> {
        let served = self.served;
        self.confirm_grant(None, &object)?;
        meta::fill(&mut object, &self.cluster.now());
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.cluster.allocate(served, &mut object, None, self.options.dry_run)?;
        if served.is("certificates.k8s.io", "certificatesigningrequests") {
            certificates::set_user(&mut object, self.user);
        }
        served
            .before_create(&mut object)
            .map_err(|errors| Refusal::invalid(served.error_group(), &served.kind, &name(&object), &errors))?;
        self.warn(served.warnings(&object, None));
        let attributes = self.attributes(Operation::Create, object, Arc::new(Value::Null));
        let charging = self.admit(&attributes)?;
        let object = attributes.object;
        let name = name(&object);
        let taken = |being_deleted: bool| {
            let mut refusal = if is_generated(&object) {
                let mut refusal = Refusal::already_exists(&served.group, &served.resource, &name);
                refusal.message.push_str(", the server was not able to generate a unique name for the object");
                if let Some(details) = &mut refusal.details {
                    details["retryAfterSeconds"] = json!(1);
                }
                refusal
            } else {
                Refusal::already_exists(&served.group, &served.resource, &name)
            };
            if being_deleted {
                refusal.message = format!("object is being deleted: {}", refusal.message);
            }
            refusal
        };
        let key = self.key(&name);
        let existing = |store: &crate::store::Store| {
            store.get(&key).map(|stored| stored.value().pointer("/metadata/deletionTimestamp").is_some())
        };
        if self.options.dry_run {
            return match existing(&self.cluster.store) {
                Some(being_deleted) => Err(taken(being_deleted)),
                None => Ok(object),
            };
        }
        let created = self.cluster.store.create(&key, served.to_stored(object.clone()));
        drop(charging);
        match created {
            Ok(stored) => {
                self.cluster.committed(served, &stored);
                Ok(served.live(&stored))
            }
            Err(Lost::Exists | Lost::Changed) => Err(taken(existing(&self.cluster.store).unwrap_or(false))),
        }
    }
}

fn is_generated(object: &Value) -> bool {
    object["metadata"]["generateName"].as_str().is_some_and(|base| !base.is_empty())
}
