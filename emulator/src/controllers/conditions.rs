//! Conditions in a status.

use serde_json::{Value, json};

use crate::kinds::view::{items, list};

/// The condition of a type.
pub(crate) fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&status["conditions"]).iter().find(|condition| condition["type"] == kind)
}

/// Whether the condition of a type holds.
pub(crate) fn holds(status: &Value, kind: &str) -> bool {
    find(status, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Sets a condition in its place, or at the end (`meta.SetStatusCondition`): one that holds as before has its old time.
pub(crate) fn set(status: &mut Value, mut new: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let mut present = items(status, "conditions");
    if let Some(old) = present.find(|condition| condition["type"] == new["type"]) {
        if old["status"] == new["status"] {
            new["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        *old = new;
        return;
    }
    if let Some(all) = status["conditions"].as_array_mut() {
        all.push(new);
    }
}

/// Puts a condition at the end, in the place of the old one of its type.
pub(crate) fn replace(status: &mut Value, new: Value) {
    remove(status, new["type"].as_str().unwrap_or_default());
    match status["conditions"].as_array_mut() {
        Some(all) => all.push(new),
        None => status["conditions"] = json!([new]),
    }
}

/// Takes a condition away.
pub(crate) fn remove(status: &mut Value, kind: &str) {
    if let Some(all) = status["conditions"].as_array_mut() {
        all.retain(|condition| condition["type"] != kind);
    }
}
