//! Who owns what after a write: structured-merge-diff's `merge/update.go` and `typed/reconcile_schema.go`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::collect::fields;
use super::combine::combine;
use super::compare::{Comparison, compare};
use super::element::{Element, same};
use super::entries::{Entry, Who};
use super::remove::remove;
use super::set::{Set, show};
use super::shape::{Form, Shape};
use crate::schema::Type;

/// The versions of a kind, for who owns fields in others than that of a request.
pub trait Versions {
    /// An object in another version and that version's type (deduced when there is none); none when there is no such version.
    fn at(&self, object: &Value, version: &str) -> Option<(Value, Option<Type<'_>>)>;
}

/// A field that somebody else owns.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    /// Whom it belongs to, to sort by.
    pub(crate) owner: String,
    /// Whom, as messages name him.
    pub(crate) shown: String,
    pub(crate) path: Vec<Element>,
}

impl Conflict {
    pub(crate) fn field(&self) -> String {
        show(&self.path)
    }
}

/// Why an apply did not succeed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Conflicts(Vec<Conflict>),
    Error(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Error(why)
    }
}

/// The rules of one kind in one version.
#[derive(Clone, Copy)]
pub(crate) struct Updater<'a, 'r> {
    pub(crate) shape: Shape<'a>,
    pub(crate) api_version: &'a str,
    /// What the resource's strategy resets: nobody owns it.
    pub(crate) reset: &'r Set,
    pub(crate) metadata: Option<Type<'a>>,
    pub(crate) versions: Option<&'a dyn Versions>,
}

impl<'a> Updater<'a, '_> {
    /// An object in the version of an entry; none when it is unknown (any more).
    fn at<'v>(&self, object: &'v Value, version: &str) -> Option<(Cow<'v, Value>, Shape<'a>)> {
        if version == self.api_version {
            return Some((Cow::Borrowed(object), self.shape));
        }
        let (object, ty) = self.versions?.at(object, version)?;
        Some((Cow::Owned(object), Shape::of_object(ty, self.metadata)))
    }

    /// Adapts what was recorded to types that have become atomic since, and forgets entries of unknown versions.
    fn reconcile(&self, live: &Value, entries: &mut Vec<Entry>) {
        entries.retain_mut(|entry| {
            let Some((_, shape)) = self.at(live, &entry.api_version) else { return false };
            entry.set = reconcile(shape, std::mem::take(&mut entry.set));
            true
        });
    }

    /// Takes from all managers but `applier` what has changed. Without `force` it is a conflict if they own it.
    fn settle(
        &self,
        old: &Value,
        new: &Value,
        entries: &mut Vec<Entry>,
        applier: Option<Who<'_>>,
        force: bool,
    ) -> Result<Comparison, Failure> {
        let failed = |why| format!("failed to compare objects: {why}");
        let own = compare(self.shape, old, new).map_err(failed)?.without(self.reset);
        let changed = own.modified.clone().union(own.added.clone());
        // What changed in the terms of other versions: nothing when there is no such version.
        let mut others: BTreeMap<String, Option<(Set, Set)>> = BTreeMap::new();
        for entry in &*entries {
            if entry.api_version == self.api_version || others.contains_key(&entry.api_version) {
                continue;
            }
            let pair = self.at(old, &entry.api_version).zip(self.at(new, &entry.api_version));
            let change = match pair {
                None => None,
                Some(((old, shape), (new, _))) => {
                    let found = compare(shape, &old, &new).map_err(failed)?.without(self.reset);
                    Some((found.modified.union(found.added), found.removed))
                }
            };
            others.insert(entry.api_version.clone(), change);
        }
        let applier = applier.and_then(|who| who.find(entries));
        let change = |entry: &Entry| match others.get(&entry.api_version) {
            None => Some((&changed, &own.removed)),
            Some(other) => other.as_ref().map(|(changed, removed)| (changed, removed)),
        };
        if !force {
            let mut conflicts = Vec::new();
            for (at, entry) in entries.iter().enumerate() {
                let Some((changed, _)) = change(entry).filter(|_| Some(at) != applier) else { continue };
                entry.set.intersection(changed).each(&mut |path| {
                    conflicts.push(Conflict { owner: entry.identifier(), shown: entry.shown(), path: path.to_vec() });
                });
            }
            if !conflicts.is_empty() {
                conflicts.sort_by(|a, b| a.owner.cmp(&b.owner));
                return Err(Failure::Conflicts(conflicts));
            }
        }
        let mut at = 0;
        entries.retain_mut(|entry| {
            let is_applier = Some(at) == applier;
            at += 1;
            if is_applier {
                return !entry.set.is_empty();
            }
            let Some((changed, removed)) = change(entry) else { return false };
            entry.set = std::mem::take(&mut entry.set).difference(changed).difference(removed);
            !entry.set.is_empty()
        });
        Ok(own)
    }

    /// After a write that is no apply: what the writer owns by it.
    pub(crate) fn update(&self, old: &Value, new: &Value, entries: &mut Vec<Entry>) -> Result<Set, String> {
        self.reconcile(old, entries);
        match self.settle(old, new, entries, None, true) {
            Ok(own) => Ok(own.modified.union(own.added)),
            Err(Failure::Error(why)) => Err(why),
            Err(Failure::Conflicts(_)) => Err("conflicts in an update".into()),
        }
    }

    /// Merges an applied object into the live one. None when that changes nothing.
    pub(crate) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        entries: &mut Vec<Entry>,
        who: Who<'_>,
        force: bool,
    ) -> Result<Option<Value>, Failure> {
        self.reconcile(live, entries);
        let merged = combine(self.shape, live, applied).map_err(|why| format!("failed to merge config: {why}"))?;
        let set = fields(self.shape, applied).recursive_difference(self.reset);
        let last = match who.find(entries) {
            Some(at) => {
                let entry = &mut entries[at];
                let version = std::mem::replace(&mut entry.api_version, who.api_version.to_owned());
                Some((std::mem::replace(&mut entry.set, set), version))
            }
            None => {
                entries.push(who.entry(set, None));
                None
            }
        };
        let mut object = merged.unwrap_or(Value::Null);
        if let Some((last, version)) = last
            && !last.is_empty()
        {
            object = self.prune(object, entries, &last, &version)?;
        }
        self.settle(live, &object, entries, Some(who), force)?;
        Ok((!same(live, &object)).then_some(object))
    }

    /// Removes what the applier applied the last time and doesn't now, unless somebody else owns it.
    fn prune(&self, merged: Value, entries: &[Entry], last: &Set, version: &str) -> Result<Value, String> {
        let Some((then, shape)) = self.at(&merged, version) else { return Ok(merged) };
        let pruned = remove(shape, then.clone().into_owned(), &with_named(shape, last));
        // In the version of the last apply first: others may need fields of it to be converted.
        let mut pruned = add_back_owned(shape, &then, &pruned, entries, version);
        let mut versions: Vec<_> = entries.iter().map(|entry| entry.api_version.as_str()).filter(|v| *v != version).collect();
        versions.sort_unstable();
        versions.dedup();
        for other in versions {
            let back = |object: &Value| self.between(object, version, other);
            if let (Some((merged, shape)), Some((there, _))) = (back(&then), back(&pruned)) {
                let kept = add_back_owned(shape, &merged, &there, entries, other);
                if let Some((kept, _)) = self.between(&kept, other, version) {
                    pruned = kept;
                }
            }
        }
        // What nobody owns, or an updater only, is not the applier's to remove.
        let kept = with_named(shape, &fields(shape, &pruned));
        let all = with_named(shape, &fields(shape, &then));
        let gone = all.difference(&kept).intersection(&with_named(shape, last));
        let pruned = remove(shape, then.into_owned(), &gone);
        match self.between(&pruned, version, self.api_version) {
            Some((pruned, _)) => Ok(pruned),
            None => Err("failed to convert pruned object".into()),
        }
    }

    fn between(&self, object: &Value, from: &str, to: &str) -> Option<(Value, Shape<'a>)> {
        if from == to && from == self.api_version {
            return Some((object.clone(), self.shape));
        }
        if to == self.api_version && self.versions.is_none() {
            return None;
        }
        let (object, ty) = self.versions?.at(object, to)?;
        let shape = if to == self.api_version { self.shape } else { Shape::of_object(ty, self.metadata) };
        Some((object, shape))
    }
}

/// The merged object without what pruning took, but for what an entry of that version has.
fn add_back_owned(shape: Shape<'_>, merged: &Value, pruned: &Value, entries: &[Entry], version: &str) -> Value {
    let owned = entries
        .iter()
        .filter(|entry| entry.api_version == version)
        .fold(Set::default(), |all, entry| all.union(entry.set.clone()));
    let kept = with_named(shape, &fields(shape, pruned)).union(with_named(shape, &owned));
    let gone = with_named(shape, &fields(shape, merged)).difference(&kept);
    remove(shape, merged.clone(), &gone)
}

/// The set with the declared fields on the way to its members (`EnsureNamedFieldsAreMembers`).
fn with_named(shape: Shape<'_>, set: &Set) -> Set {
    fn below(shape: Option<Shape<'_>>, set: &Set) -> Set {
        let atom = shape.map(Shape::atom).unwrap_or_default();
        let mut out = Set { owned: set.owned, below: Vec::with_capacity(set.below.len()) };
        for (element, child) in &set.below {
            let (declared, shape) = match (element, atom.map, atom.list) {
                (Element::Field(name), Some(map), _) => {
                    let field = map.field(name);
                    (field.is_some(), field.or_else(|| map.element()))
                }
                (Element::Key(_), _, Some(list)) => (false, Some(list.item())),
                _ => (false, None),
            };
            let mut inner = if child.below.is_empty() { child.clone() } else { below(shape, child) };
            inner.owned |= declared && !child.below.is_empty();
            out.below.push((element.clone(), inner));
        }
        out
    }
    below(Some(shape), set)
}

/// A set in which what lies below something atomic now is that thing as a whole.
fn reconcile(shape: Shape<'_>, mut set: Set) -> Set {
    if set.below.is_empty() {
        return set;
    }
    // With nothing known of the value, a type is taken for what it permits first.
    match shape.atom().form(&Value::Null) {
        Some(Form::Map(map)) if map.is_deduced() => {}
        Some(Form::Map(map)) if map.atomic => return Set::leaf(),
        Some(Form::List(list)) if list.atomic => return Set::leaf(),
        Some(Form::Map(map)) => {
            for (element, child) in &mut set.below {
                let shape = match element {
                    Element::Field(name) => map.below(name),
                    _ => map.element(),
                };
                if let Some(shape) = shape
                    && !child.below.is_empty()
                {
                    *child = reconcile(shape, std::mem::take(child));
                }
            }
        }
        Some(Form::List(list)) => {
            for (_, child) in &mut set.below {
                if !child.below.is_empty() {
                    *child = reconcile(list.item(), std::mem::take(child));
                }
            }
        }
        Some(Form::Scalar(_)) | None => {}
    }
    set
}
