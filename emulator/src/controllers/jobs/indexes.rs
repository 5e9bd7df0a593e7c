//! The indexes of a Job's pods (`completionMode: Indexed`; `pkg/controller/job/indexed_job_utils.go`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kinds::view::{list, text};

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

pub(super) fn index(pod: &Value) -> Option<i64> {
    text(&pod["metadata"]["annotations"][INDEX]).parse().ok().filter(|index| *index >= 0)
}

/// `0,3-5` as numbers.
pub(super) fn indexes(text: &str, below: i64) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            all.extend(first..=last.min(below - 1));
        }
    }
    all
}

/// The same as text: two in a row are a range.
pub(super) fn ranges(all: &BTreeSet<i64>) -> String {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for &index in all {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => found.push((index, index)),
        }
    }
    let shown = found.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Containers learn their index from the environment.
pub(super) fn name_index(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    if list(&container["env"]).iter().any(|one| one["name"] == NAME) {
        return;
    }
    let variable = json!({"name": NAME, "valueFrom": {"fieldRef": {"fieldPath": format!("metadata.labels['{INDEX}']")}}});
    match container["env"].as_array_mut() {
        Some(all) => all.push(variable),
        None => container["env"] = json!([variable]),
    }
}
