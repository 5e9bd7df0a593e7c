//! The chain of managers of apimachinery's `util/managedfields/internal` as one: version check, the annotation of client-side
//! apply, tracking, the cap on updaters, times, and fields that nobody manages.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::collect::fields;
use super::compare::compare;
use super::entries::{self, Entry, Who};
use super::set::Set;
use super::shape::Shape;
use super::update::{Conflict, Failure, Updater, Versions};
use super::validate::validate;
use crate::merge::{convert, go};
use crate::schema::Type;
use crate::status::Refusal;

/// The annotation in which `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How large all annotations of an object may be together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
/// The oldest updaters beyond this number share an entry.
const MOST_UPDATERS: usize = 10;
/// Fields that everybody sends and nobody manages.
const UNMANAGED: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

fn unmanaged() -> &'static Set {
    static SET: OnceLock<Set> = OnceLock::new();
    SET.get_or_init(|| Set::of_names(&UNMANAGED))
}

/// Keeps `metadata.managedFields` of one kind, in one version, through one (sub)resource.
#[derive(Clone, Copy)]
pub struct Manager<'a> {
    /// The kind's type; none when a custom resource has no schema.
    pub ty: Option<Type<'a>>,
    /// `ObjectMeta`, for a custom resource: its schema says nothing about metadata. None for built-in kinds.
    pub metadata: Option<Type<'a>>,
    /// `apps/v1`.
    pub api_version: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
    /// `status`, `scale`; empty for the resource itself.
    pub subresource: &'a str,
    /// What the kind looks like when nothing is set: for a built-in kind an empty object decoded and encoded, for a custom
    /// resource `apiVersion` and `kind` alone.
    pub empty: &'a Value,
    /// The fields that a write here does not change: see [`super::reset_fields`].
    pub reset: &'a [&'a str],
    /// The other versions of the kind; none when there is but one.
    pub versions: Option<&'a dyn Versions>,
}

impl<'a> Manager<'a> {
    /// Records a create, update or patch: `new` as it was sent (decoded and defaulted, before admission and before the
    /// strategy resets fields), `live` as stored, null on a create. `now` is RFC 3339, in seconds.
    #[must_use]
    pub fn update(&self, live: &Value, mut new: Value, manager: &str, now: &str) -> Value {
        let mut kept = self.entries_of(live, &new);
        entries::clear(&mut new);
        if self.track(live, &new, &mut kept, manager, now).is_ok() {
            entries::write(&mut new, kept);
        }
        new
    }

    /// Applies a configuration: the object as it becomes, to be decoded and defaulted before it goes on as an update (or a
    /// create, when `live` is null).
    ///
    /// # Errors
    /// 409 for fields that others own, 400 for another kind or version, 500 for what does not fit the type.
    pub fn apply(&self, live: &Value, applied: &Value, manager: &str, force: bool, now: &str) -> Result<Value, Refusal> {
        let live = if live.is_null() { self.empty } else { live };
        let (version, kind) = version_and_kind(applied);
        if (version, kind) != (self.api_version, self.kind) {
            return Err(Refusal::bad_request(format!("invalid object type: {}", show_kind(version, kind))));
        }
        if applied.pointer("/metadata/managedFields").is_some_and(Value::is_array) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        let failed = |why: String| Refusal::new(500, "", why);
        let kept = entries::read(live).map_err(|why| failed(format!("failed to decode managed fields: {why}")))?;
        let mut out = self.apply_once(live, applied, kept.clone(), manager, force, now);
        if manager == "kubectl"
            && let Err(Failure::Conflicts(conflicts)) = &out
        {
            // What client-side apply owned goes over to server-side apply without a conflict.
            if let Ok(allowed) = self.own_by_annotation(live) {
                let remaining: Vec<_> = conflicts.iter().filter(|conflict| !allowed.has(&conflict.path)).cloned().collect();
                out = if remaining.is_empty() {
                    self.apply_once(live, applied, kept, manager, true, now)
                } else {
                    Err(Failure::Conflicts(remaining))
                };
            }
        }
        let (mut object, kept) = out.map_err(|failure| match failure {
            Failure::Conflicts(conflicts) => refuse(&conflicts),
            Failure::Error(why) => failed(why),
        })?;
        if manager == "kubectl" {
            renew_annotation(&mut object, applied);
        }
        entries::write(&mut object, kept);
        Ok(object)
    }

    fn shape(&self) -> Shape<'a> {
        Shape::of_object(self.ty, self.metadata)
    }

    fn who<'m>(&self, manager: &'m str, applied: bool) -> Who<'m>
    where
        'a: 'm,
    {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        Who { manager, applied, api_version: self.api_version, subresource: self.subresource }
    }

    /// The entries to go on from: those in the request, if they are any good, else the stored ones.
    fn entries_of(&self, live: &Value, new: &Value) -> Vec<Entry> {
        if self.subresource.is_empty() {
            if entries::is_reset(new) {
                return Vec::new();
            }
            if let Ok(sent) = entries::read(new)
                && !sent.is_empty()
            {
                return sent;
            }
        }
        entries::read(live).unwrap_or_default()
    }

    fn track(&self, live: &Value, new: &Value, kept: &mut Vec<Entry>, manager: &str, now: &str) -> Result<(), String> {
        let exists = live.pointer("/metadata/uid").and_then(Value::as_str).is_some_and(|uid| !uid.is_empty());
        // Once forgotten, entries come back by an apply only.
        if kept.is_empty() && exists {
            return Ok(());
        }
        let old = if live.is_null() { self.empty } else { live };
        self.record(old, new, kept, manager, now)?;
        cap_updaters(kept);
        Ok(())
    }

    fn record(&self, old: &Value, new: &Value, kept: &mut Vec<Entry>, manager: &str, now: &str) -> Result<(), String> {
        let reset = Set::of_names(self.reset);
        let set = self.updater(&reset).update(old, new, kept)?.difference(unmanaged());
        if set.is_empty() {
            return Ok(());
        }
        let who = self.who(manager, false);
        match who.find(kept) {
            Some(at) => {
                let entry = &mut kept[at];
                entry.set = std::mem::take(&mut entry.set).union(set);
                entry.time = Some(now.to_owned());
            }
            None => kept.push(who.entry(set, Some(now))),
        }
        Ok(())
    }

    fn updater<'r>(&self, reset: &'r Set) -> Updater<'a, 'r> {
        Updater { shape: self.shape(), api_version: self.api_version, reset, metadata: self.metadata, versions: self.versions }
    }

    fn apply_once(
        &self,
        live: &Value,
        applied: &Value,
        mut kept: Vec<Entry>,
        manager: &str,
        force: bool,
        now: &str,
    ) -> Result<(Value, Vec<Entry>), Failure> {
        let mut stored = std::borrow::Cow::Borrowed(live);
        if kept.is_empty() {
            entries::clear(stored.to_mut());
            self.record(self.empty, &stored, &mut kept, "before-first-apply", now)
                .map_err(|why| format!("failed to create manager for existing fields: {why}"))?;
            cap_updaters(&mut kept);
        }
        let kind = show_kind(self.api_version, self.kind);
        let shown = || {
            let text = |name: &str| applied.pointer(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}/{}; {kind}", text("/metadata/namespace"), text("/metadata/name"))
        };
        validate(self.shape(), applied).map_err(|why| format!("failed to create typed patch object ({}): {why}", shown()))?;
        let reset = Set::of_names(self.reset);
        let who = self.who(manager, true);
        let object = self.updater(&reset).apply(&stored, applied, &mut kept, who, force)?;
        if let (Some(object), Some(ty)) = (&object, self.ty.filter(|_| self.metadata.is_none())) {
            convert::check(ty, object).map_err(|why| {
                let shown = shown();
                format!("failed to convert new object ({shown}) to proper version: unable to convert unstructured object to {kind}: {why}")
            })?;
        }
        if let Some(at) = who.find(&kept) {
            let entry = &mut kept[at];
            entry.set = std::mem::take(&mut entry.set).difference(unmanaged());
            if object.is_some() {
                entry.time = Some(now.to_owned());
            }
            if entry.set.is_empty() {
                kept.remove(at);
            }
        }
        Ok((object.unwrap_or_else(|| stored.into_owned()), kept))
    }

    /// What client-side apply applied and nobody has changed since.
    fn own_by_annotation(&self, live: &Value) -> Result<Set, String> {
        let annotation = live.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED)).and_then(Value::as_str);
        let Some(annotation) = annotation.filter(|text| !text.is_empty()) else {
            return Err("no last applied annotation".into());
        };
        let applied: Value = serde_json::from_str(annotation).map_err(|e| e.to_string())?;
        if version_and_kind(&applied).0 != self.api_version {
            return Err("expected version of last applied to match live object".into());
        }
        validate(self.shape(), &applied)?;
        let since = compare(self.shape(), &applied, live)?;
        let all = fields(self.shape(), &applied);
        Ok(all.difference(&since.modified).difference(&since.added).difference(&since.removed))
    }
}

fn version_and_kind(object: &Value) -> (&str, &str) {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    (text("apiVersion"), text("kind"))
}

/// `apps/v1, Kind=Deployment`.
fn show_kind(api_version: &str, kind: &str) -> String {
    match api_version.matches('/').count() {
        0 => format!("/{api_version}, Kind={kind}"),
        1 => format!("{api_version}, Kind={kind}"),
        _ => "/, Kind=".to_owned(),
    }
}

/// Keeps the annotation of client-side apply up to date, so that one may go back to it.
fn renew_annotation(object: &mut Value, applied: &Value) {
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let Some(annotations) = annotations else { return };
    if annotations.get(LAST_APPLIED).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut) {
        match metadata.get_mut("annotations") {
            Some(Value::Object(own)) => drop(own.remove(LAST_APPLIED)),
            Some(_) => drop(metadata.remove("annotations")),
            None => {}
        }
    }
    annotations.insert(LAST_APPLIED.to_owned(), format!("{}\n", go::json(&applied)).into());
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_LIMIT {
        annotations.remove(LAST_APPLIED);
    }
}

/// Merges the oldest updaters into one entry per version (`capmanagers.go`).
fn cap_updaters(kept: &mut Vec<Entry>) {
    let mut updaters: Vec<_> = kept.iter().filter(|entry| !entry.applied).cloned().collect();
    let mut left = updaters.len();
    if left <= MOST_UPDATERS {
        return;
    }
    updaters.sort_by_cached_key(|entry| (entry.seconds(), entry.identifier()));
    let mut firsts: Vec<Entry> = Vec::new();
    for entry in updaters {
        if left <= MOST_UPDATERS {
            break;
        }
        let Some(first) = firsts.iter().find(|first| first.api_version == entry.api_version) else {
            firsts.push(entry);
            continue;
        };
        let bucket = Who { manager: "ancient-changes", applied: false, api_version: &entry.api_version, subresource: "" };
        let at = match bucket.find(kept) {
            Some(at) => at,
            None => {
                // The first of the version becomes the bucket.
                let Some(at) = first.who().find(kept) else { continue };
                let old = kept.remove(at);
                kept.push(bucket.entry(old.set, None));
                kept.len() - 1
            }
        };
        kept[at].set = std::mem::take(&mut kept[at].set).union(entry.set.clone());
        kept[at].time.clone_from(&entry.time);
        if let Some(gone) = entry.who().find(kept) {
            kept.remove(gone);
        }
        left -= 1;
    }
}

fn refuse(conflicts: &[Conflict]) -> Refusal {
    let causes: Vec<_> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.shown),
                "field": conflict.field(),
            })
        })
        .collect();
    let message = match conflicts {
        [only] => format!("Apply failed with 1 conflict: conflict with {}: {}", only.shown, only.field()),
        _ => {
            let mut lines = Vec::new();
            let mut owner = None;
            for conflict in conflicts {
                if owner != Some(&conflict.owner) {
                    owner = Some(&conflict.owner);
                    lines.push(format!("conflicts with {}:", conflict.shown));
                }
                lines.push(format!("- {}", conflict.field()));
            }
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        }
    };
    Refusal::new(409, "Conflict", message).with_details(json!({"causes": causes}))
}
