//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had (`pkg/controller/history`).

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::desk::{Desk, REVISIONS};
use super::hash;
use super::pods;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::kinds::view::{int, text};
use crate::status::Refusal;

/// What a revision keeps of its owner, as Go writes it.
pub(super) fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// JSON as Go writes it: what HTML might take for its own is escaped.
fn to_go(value: &Value) -> String {
    let text = value.to_string();
    let escapes = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escapes.iter().fold(text, |text, (from, to)| text.replace(*from, to))
}

/// The hash of a StatefulSet's revision.
pub(super) fn hash(data: &Value, collisions: i64) -> String {
    hash::of_revision(&to_go(data), collisions)
}

/// The revisions of an owner, oldest first; orphans that it selects become its own.
pub(super) fn of(desk: &Desk, owner: &Value) -> Vec<Arc<Value>> {
    let Ok(selector) = selector::compile(&owner["spec"]["selector"]) else { return Vec::new() };
    let mut found = Vec::new();
    for revision in desk.within(REVISIONS, text(&owner["metadata"]["namespace"])) {
        if !selector.matches(&revision["metadata"]["labels"]) {
            continue;
        }
        match pods::controller_of(&revision) {
            Some(_) if pods::controls(owner, &revision) => found.push(revision),
            None if !pods::is_going(owner) => {
                let adopted = desk.update(REVISIONS, &revision, Part::Whole, &|live| pods::adopt(live, owner));
                found.extend(desk.heard(&revision, adopted).map(Arc::new));
            }
            _ => {}
        }
    }
    found.sort_by(|a, b| by_number(a, b));
    found
}

fn by_number(a: &Value, b: &Value) -> Ordering {
    let key = |r: &Value| {
        (int(&r["revision"]), text(&r["metadata"]["creationTimestamp"]).to_owned(), text(&r["metadata"]["name"]).to_owned())
    };
    key(a).cmp(&key(b))
}

/// The revision of an owner's present template: found, numbered as the newest, or made. `key` is the label that has its hash.
pub(super) fn current(
    desk: &Desk,
    owner: &Value,
    known: &[Arc<Value>],
    key: &str,
    hash: &str,
    annotate: bool,
) -> Result<Arc<Value>, Refusal> {
    let data = data(owner);
    let next = known.last().map_or(0, |last| int(&last["revision"])) + 1;
    if let Some(same) = known.iter().rev().find(|revision| revision["data"] == data) {
        if int(&same["revision"]) + 1 == next {
            return Ok(same.clone());
        }
        return desk.update(REVISIONS, same, Part::Whole, &|live| live["revision"] = next.into()).map(Arc::new);
    }
    let name = text(&owner["metadata"]["name"]);
    // A name has 253 characters at most.
    let base: String = name.chars().take(223).collect();
    let mut labels = owner["spec"]["template"]["metadata"]["labels"].clone();
    labels[key] = hash.into();
    let mut revision = json!({
        "kind": "ControllerRevision",
        "apiVersion": "apps/v1",
        "metadata": {"name": format!("{base}-{hash}"), "labels": labels, "ownerReferences": [pods::reference(owner)]},
        "data": data,
        "revision": next,
    });
    if annotate && owner["metadata"]["annotations"].is_object() {
        revision["metadata"]["annotations"] = owner["metadata"]["annotations"].clone();
    }
    desk.create(REVISIONS, text(&owner["metadata"]["namespace"]), revision).map(Arc::new)
}

/// Forgets the oldest of those that nothing uses.
pub(super) fn clean_up(desk: &Desk, owner: &Value, known: &[Arc<Value>], used: &dyn Fn(&Value) -> bool) {
    let Some(limit) = owner["spec"]["revisionHistoryLimit"].as_i64().and_then(|limit| usize::try_from(limit).ok()) else {
        return;
    };
    let unused: Vec<_> = known.iter().filter(|revision| !used(revision)).collect();
    for revision in &unused[..unused.len().saturating_sub(limit)] {
        let deleted = desk.delete(REVISIONS, revision, None);
        desk.heard(revision, deleted);
    }
}
