//! Deleting objects, at once or in the end (`Store.Delete`, `rest.BeforeDelete`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::Call;
use crate::admission::{self, Operation};
use crate::custom::definition;
use crate::field::{Errors, Path};
use crate::status::Refusal;
use crate::store::{Key, Stored};

/// `DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    /// Seconds.
    pub(crate) grace: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) orphan: Option<bool>,
    pub(crate) propagation: Option<String>,
    pub(crate) dry_run: bool,
}

/// The finalizer of an object whose dependents are let go of before it goes.
pub(crate) const ORPHAN: &str = "orphan";
/// The finalizer of an object whose dependents go before it.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

impl DeleteOptions {
    /// From a decoded `DeleteOptions` (whether from a body or from a query).
    pub(crate) fn of(options: &Value) -> Result<Self, Refusal> {
        let text = |pointer: &str| options.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let orphan = options["orphanDependents"].as_bool();
        let propagation = text("/propagationPolicy");
        let dry_run = options["dryRun"].as_array().cloned().unwrap_or_default();
        let mut errors = Errors::new();
        if let Some(policy) = &propagation {
            let path = Path::new("propagationPolicy");
            if orphan.is_some() {
                errors.invalid(&path, policy.as_str(), "orphanDependents and deletionPropagation cannot be both set");
            }
            if !["Foreground", "Background", "Orphan"].contains(&policy.as_str()) {
                errors.not_supported(&path, policy.as_str(), &["Foreground", "Background", "Orphan", "nil"]);
            }
        }
        if dry_run.iter().any(|v| v != "All") {
            errors.not_supported(&Path::new("dryRun"), Value::Array(dry_run.clone()), &["All"]);
        }
        if !errors.is_empty() {
            return Err(Refusal::invalid(crate::api::options::META, "DeleteOptions", "", &errors));
        }
        Ok(Self {
            grace: options["gracePeriodSeconds"].as_i64(),
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            orphan,
            propagation,
            dry_run: !dry_run.is_empty(),
        })
    }
}

/// What a deletion led to.
pub(crate) enum Deleted {
    /// The object is gone (or would be): its last state.
    Gone(Value),
    /// The object goes on until its grace period is over or its finalizers are done.
    Going(Value),
}

/// What is to be done with an object.
enum Step {
    Remove,
    /// Store this: it is going.
    Mark(Value),
    /// Store this, and remove it at once.
    MarkAndRemove(Value),
    /// It is going already, and has its time.
    Wait,
    /// It is going already, and waits for its finalizers.
    Stay,
}

impl Call<'_> {
    /// Deletes the object of the call's name.
    pub(crate) fn delete(&self, options: &DeleteOptions) -> Result<Deleted, Refusal> {
        loop {
            let key = self.key(self.name);
            let stored = self.cluster.store.get(&key).ok_or_else(|| self.not_found())?;
            let live = Arc::new(self.served.live(&stored));
            let mut options = options.clone();
            let step = self.step(&live, &mut options)?;
            let mut attributes = self.attributes(Operation::Delete, Value::Null, live.clone());
            admission::mutate(&mut attributes, self.cluster)?;
            drop(self.admit(&attributes)?);
            match step {
                Step::Wait => return Ok(Deleted::Gone(Arc::unwrap_or_clone(live))),
                Step::Stay => return Ok(Deleted::Going(Arc::unwrap_or_clone(live))),
                Step::MarkAndRemove(object) if options.dry_run => return Ok(Deleted::Gone(object)),
                Step::MarkAndRemove(object) => {
                    if let Ok(marked) = self.cluster.store.replace(&key, stored.revision, self.served.to_stored(object)) {
                        return Ok(Deleted::Gone(self.remove_marked(&key, marked)));
                    }
                }
                Step::Mark(object) if options.dry_run => return Ok(Deleted::Going(object)),
                Step::Mark(object) => {
                    if let Ok(stored) = self.cluster.store.replace(&key, stored.revision, self.served.to_stored(object)) {
                        self.cluster.committed(self.served, &stored);
                        return Ok(Deleted::Going(self.served.live(&stored)));
                    }
                }
                Step::Remove if options.dry_run => return Ok(Deleted::Gone(Arc::unwrap_or_clone(live))),
                Step::Remove => {
                    if let Ok(last) = self.cluster.store.remove(&key, stored.revision) {
                        self.cluster.removed(self.served, &last);
                        return Ok(Deleted::Gone(self.served.live(&last)));
                    }
                }
            }
        }
    }

    /// Removes what was marked to go at once; returns its last state. A kubelet that sees the mark may write to it, or remove it first,
    /// and then it is gone as well (`ignoreNotFound` of `Store.Delete`).
    fn remove_marked(&self, key: &Key, mut marked: Arc<Stored>) -> Value {
        let uid = self.served.live(&marked)["metadata"]["uid"].clone();
        loop {
            if let Ok(last) = self.cluster.store.remove(key, marked.revision) {
                self.cluster.removed(self.served, &last);
                return self.served.live(&last);
            }
            let now = self.cluster.store.get(key).filter(|now| self.served.live(now)["metadata"]["uid"] == uid);
            match now {
                Some(now) => marked = now,
                None => return self.served.live(&marked),
            }
        }
    }

    fn step(&self, live: &Value, options: &mut DeleteOptions) -> Result<Step, Refusal> {
        let metadata = &live["metadata"];
        let served = self.served;
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        let conflict = |why: String| Err(Refusal::conflict(&served.group, &served.kind, self.name, &why));
        if let Some(uid) = options.uid.as_deref().filter(|&uid| uid != text("uid")) {
            return conflict(format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                text("uid")
            ));
        }
        if let Some(version) = options.version.as_deref().filter(|&version| version != text("resourceVersion")) {
            return conflict(format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The \
                 object might have been modified",
                text("resourceVersion")
            ));
        }
        if options.grace.is_some_and(|g| g < 0) {
            options.grace = Some(1);
        }
        let now = self.cluster.clock();
        if served.is("apiextensions.k8s.io", "customresourcedefinitions") && metadata["deletionTimestamp"].is_null() {
            return Ok(Step::Mark(definition::begin_deletion(live, &crate::cluster::time(now))));
        }
        if served.is("scheduling.k8s.io", "priorityclasses") && self.name.starts_with("system-") {
            let why = "this is a system priority class and cannot be deleted";
            return Err(Refusal::forbidden(&served.group, &served.resource, self.name, why));
        }
        let mut object = live.clone();
        let going = !metadata["deletionTimestamp"].is_null();
        let mut graceful = false;
        if let Some(default) = served.grace_period(live) {
            let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
            if going && left != 0 {
                let Some(wanted) = options.grace.filter(|&wanted| wanted < left) else { return Ok(Step::Wait) };
                let end: Option<jiff::Timestamp> = text("deletionTimestamp").parse().ok();
                let end = end.and_then(|end| end.checked_sub(jiff::SignedDuration::from_secs(left - wanted)).ok());
                let (end, period) = match end {
                    Some(end) if end >= now => (end, wanted),
                    _ => (now, wanted.min(1)),
                };
                object["metadata"]["deletionTimestamp"] = crate::cluster::time(end).into();
                object["metadata"]["deletionGracePeriodSeconds"] = period.into();
                options.grace = Some(period);
                graceful = true;
            } else if !going {
                let period = options.grace.unwrap_or(default);
                let period = served.clamp_grace(live, period);
                options.grace = Some(period);
                let end = now.checked_add(jiff::SignedDuration::from_secs(period)).unwrap_or(now);
                object["metadata"]["deletionTimestamp"] = crate::cluster::time(end).into();
                object["metadata"]["deletionGracePeriodSeconds"] = period.into();
                raise_generation(&mut object);
                graceful = true;
            }
        }
        let finalizers = self.finalizers(live, options);
        let pending = !finalizers.is_empty();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if pending {
                metadata.insert("finalizers".into(), json!(finalizers));
            } else {
                metadata.remove("finalizers");
            }
        }
        // A namespace goes when its own finalizers, of another list, are done.
        let is_namespace = served.group.is_empty() && served.resource == "namespaces";
        if is_namespace && !going {
            object["metadata"]["deletionTimestamp"] = crate::cluster::time(now).into();
            object["status"]["phase"] = "Terminating".into();
            return Ok(Step::Mark(object));
        }
        let keeps = is_namespace && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
        if graceful {
            let zero = options.grace == Some(0) && !pending;
            return Ok(if zero { Step::MarkAndRemove(object) } else { Step::Mark(object) });
        }
        if pending || keeps {
            if !going {
                raise_generation(&mut object);
                object["metadata"]["deletionTimestamp"] = crate::cluster::time(now).into();
            }
            if !is_namespace {
                object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            }
            return Ok(if object == *live { Step::Stay } else { Step::Mark(object) });
        }
        Ok(Step::Remove)
    }

    /// The finalizers that an object has once it is being deleted (`deletionFinalizersForGarbageCollection`).
    fn finalizers(&self, live: &Value, options: &DeleteOptions) -> Vec<String> {
        let present = live.pointer("/metadata/finalizers").and_then(Value::as_array);
        let present: Vec<&str> = present.into_iter().flatten().filter_map(Value::as_str).collect();
        let policy = match (options.orphan, options.propagation.as_deref()) {
            (Some(true), _) | (None, Some("Orphan")) => Some(ORPHAN),
            (Some(false), _) | (None, Some("Background")) => None,
            (None, Some("Foreground")) => Some(FOREGROUND),
            _ if present.contains(&ORPHAN) => Some(ORPHAN),
            _ if present.contains(&FOREGROUND) => Some(FOREGROUND),
            _ if self.served.orphans_by_default() => Some(ORPHAN),
            _ => None,
        };
        let others = present.iter().filter(|f| ![ORPHAN, FOREGROUND].contains(f));
        others.copied().chain(policy.filter(|_| self.served.is_garbage_collected())).map(str::to_owned).collect()
    }

    /// Deletes what a list selects. Returns the objects as they were.
    pub(crate) fn delete_all(&self, objects: &[Arc<Stored>], options: &DeleteOptions) -> Result<(), Refusal> {
        for object in objects {
            let namespace = object.namespace.as_str();
            let one = Call {
                name: &object.name,
                namespace,
                warnings: self.warnings.take().into(),
                options: self.options.clone(),
                ..*self
            };
            let done = one.delete(options);
            self.warn(one.warnings.into_inner());
            match done {
                Err(refusal) if refusal.code != 404 => return Err(refusal),
                _ => {}
            }
        }
        Ok(())
    }
}

fn raise_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|&g| g > 0) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}
