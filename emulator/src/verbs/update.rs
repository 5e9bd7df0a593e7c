//! Updating an object (`Store.Update`): what PUT, the four kinds of PATCH and the subresources have in common.

use std::sync::Arc;

use serde_json::Value;

use super::{Call, RACES};
use crate::access::rbac::Action;
use crate::admission::{self, Operation};
use crate::field::{Errors, Path, quote};
use crate::kinds::meta::{self, Part};
use crate::merge::apply::keep_times;
use crate::status::Refusal;
use crate::store::{Lost, Stored};

/// Makes the new object from the present one (null when there is none), managed fields included.
pub(crate) type Change<'c> = dyn Fn(&Value) -> Result<Value, Refusal> + 'c;

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

impl Call<'_> {
    /// Changes an object; with `allow_create`, an absent one is created. Returns it as stored, and whether it was created.
    pub(crate) fn update(&self, part: Part, allow_create: bool, change: &Change<'_>) -> Result<(Value, bool), Refusal> {
        for _ in 0..RACES {
            let present = self.cluster.store.get(&self.key(self.name));
            let outcome = match &present {
                Some(stored) => self.update_once(part, stored, change),
                None if allow_create || self.served.allows_create_on_update() => self.create_by_update(change),
                None => return Err(self.not_found()),
            };
            if let Some(done) = outcome? {
                return Ok(done);
            }
        }
        Err(Refusal::conflict(&self.served.group, &self.served.resource, self.name, MODIFIED))
    }

    fn create_by_update(&self, change: &Change<'_>) -> Result<Option<(Value, bool)>, Refusal> {
        let action = Action {
            verb: "create".into(),
            group: self.served.group.clone(),
            resource: self.served.resource.clone(),
            subresource: self.subresource.into(),
            namespace: self.namespace.into(),
            name: self.name.into(),
            path: String::new(),
        };
        let object = change(&Value::Null)?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() {
            let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Refusal::conflict(&self.served.group, &self.served.resource, self.name, &why));
        }
        let mut attributes = self.attributes(Operation::Create, object, Arc::new(Value::Null));
        admission::mutate(&mut attributes, self.cluster)?;
        self.deduplicate_owners(&mut attributes.object, true);
        self.cluster.authorize(self.user, &action)?;
        let mut object = attributes.object;
        meta::wipe(&mut object);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        match self.insert(object) {
            Ok(object) => Ok(Some((object, true))),
            // Someone else was faster: it is an update now.
            Err(refusal) if refusal.reason == "AlreadyExists" => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// None when the object changed meanwhile.
    fn update_once(&self, part: Part, stored: &Arc<Stored>, change: &Change<'_>) -> Result<Option<(Value, bool)>, Refusal> {
        let served = self.served;
        let live = Arc::new(served.live(stored));
        let object = change(&live)?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let live_uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        let mut attributes = self.attributes(Operation::Update, object.clone(), live.clone());
        admission::mutate(&mut attributes, self.cluster)?;
        self.deduplicate_owners(&mut attributes.object, true);
        if self.uid_is_condition && !uid.is_empty() && uid != live_uid {
            return Err(served.other_uid(self.namespace, self.name, uid, live_uid));
        }
        let mut object = attributes.object;
        let revision = stored.revision.to_string();
        match object["metadata"]["resourceVersion"].as_str().unwrap_or_default() {
            "" | "0" if served.allows_unconditional_update() => object["metadata"]["resourceVersion"] = revision.into(),
            "" | "0" => {
                let mut errors = Errors::new();
                errors.invalid(&Path::new("metadata").child("resourceVersion"), 0, "must be specified for an update");
                return Err(Refusal::invalid(&served.group, &served.resource, self.name, &errors));
            }
            given if given.parse::<u64>().is_err() => {
                return Err(Refusal::new(500, "", format!("strconv.ParseUint: parsing {}: invalid syntax", quote(given))));
            }
            given if given != revision => {
                return Err(Refusal::conflict(&served.group, &served.resource, self.name, MODIFIED));
            }
            _ => {}
        }
        self.confirm_grant(Some(&live), &object)?;
        self.cluster.allocate(served, &mut object, Some(&live), self.options.dry_run)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        served
            .before_update(part, &live, &mut object)
            .map_err(|errors| Refusal::invalid(served.error_group(), &served.kind, &name, &errors))?;
        if part == Part::Whole {
            self.warn(served.warnings(&object, Some(&live)));
        }
        keep_times(&live, &mut object);
        let attributes = self.attributes(Operation::Update, object, live.clone());
        let charging = self.admit(&attributes)?;
        let object = attributes.object;

        let metadata = &live["metadata"];
        let has_finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let waits = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() != 0;
        let namespace_waits = served.group.is_empty()
            && served.resource == "namespaces"
            && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
        if !metadata["deletionTimestamp"].is_null() && !has_finalizers && !waits && !namespace_waits {
            if !self.options.dry_run {
                let removed = self.cluster.store.remove(&self.key(self.name), stored.revision);
                drop(charging);
                match removed {
                    Ok(last) => self.cluster.removed(served, &last),
                    Err(_) => return Ok(None),
                }
            }
            return Ok(Some((object, false)));
        }
        if self.options.dry_run || object == *live {
            return Ok(Some((object, false)));
        }
        let replaced = self.cluster.store.replace(&self.key(self.name), stored.revision, served.to_stored(object));
        drop(charging);
        match replaced {
            Ok(stored) => {
                self.cluster.committed(served, &stored);
                Ok(Some((served.live(&stored), false)))
            }
            Err(Lost::Changed | Lost::Exists) => Ok(None),
        }
    }
}
