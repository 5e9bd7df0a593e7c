//! What a Job's own policies make of pods that have failed, and of indexes that have succeeded
//! (`pkg/controller/job/pod_failure_policy.go`, `success_policy.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::indexes;
use crate::kinds::view::{int, list, text};

/// What is done about a pod that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The Job fails; the message says by which rule.
    FailJob(String),
    /// The pod's index fails, however often it might be tried again.
    FailIndex,
    /// It is not counted.
    Ignore,
    /// It is counted.
    Count,
}

/// The action of the first rule of `podFailurePolicy` that a failed pod matches.
pub(super) fn of_failure(spec: &Value, pod: &Value) -> Option<Action> {
    let rules = list(&spec["podFailurePolicy"]["rules"]).iter().enumerate();
    rules.into_iter().find_map(|(index, rule)| {
        let why = if rule["onExitCodes"].is_null() {
            matching_condition(pod, list(&rule["onPodConditions"]))
        } else {
            matching_exit(pod, &rule["onExitCodes"])
        }?;
        Some(match text(&rule["action"]) {
            "FailIndex" => Action::FailIndex,
            "Ignore" => Action::Ignore,
            "Count" => Action::Count,
            action => Action::FailJob(format!("{why} matching {action} rule at index {index}")),
        })
    })
}

fn title(pod: &Value) -> String {
    format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]))
}

fn matching_condition(pod: &Value, patterns: &[Value]) -> Option<String> {
    let matches = |condition: &&Value| {
        patterns.iter().any(|pattern| condition["type"] == pattern["type"] && condition["status"] == pattern["status"])
    };
    let found = list(&pod["status"]["conditions"]).iter().find(matches)?;
    Some(format!("Pod {} has condition {}", title(pod), text(&found["type"])))
}

fn matching_exit(pod: &Value, wanted: &Value) -> Option<String> {
    let statuses = ["containerStatuses", "initContainerStatuses"].into_iter().flat_map(|key| list(&pod["status"][key]));
    statuses.into_iter().find_map(|status| {
        let code = status["state"]["terminated"]["exitCode"].as_i64().filter(|code| *code != 0)?;
        let of_this = wanted["containerName"].is_null() || wanted["containerName"] == status["name"];
        let listed = list(&wanted["values"]).iter().any(|value| int(value) == code);
        let is_met = of_this
            && match text(&wanted["operator"]) {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            };
        is_met.then(|| format!("Container {} for pod {} failed with exit code {code}", text(&status["name"]), title(pod)))
    })
}

/// Whether the indexes that have succeeded are enough by `successPolicy`: the message that says so.
pub(super) fn of_success(spec: &Value, succeeded: &BTreeSet<i64>) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let enough = |rule: &Value| {
        let count = rule["succeededCount"].as_i64().and_then(|count| usize::try_from(count).ok());
        let Some(wanted) = rule["succeededIndexes"].as_str() else {
            return count.is_some_and(|count| succeeded.len() >= count);
        };
        let wanted = indexes(wanted, int(&spec["completions"]));
        let found = wanted.intersection(succeeded).count();
        !wanted.is_empty() && (found == wanted.len() || count.is_some_and(|count| found >= count))
    };
    let index = list(&spec["successPolicy"]["rules"]).iter().position(enough)?;
    Some(format!("Matched rules at index {index}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_rule_that_a_failed_pod_matches_is_followed() {
        let spec = json!({"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}},
        ]}});
        let pod = |container: &str, code: i64| {
            let status = json!({"name": container, "state": {"terminated": {"exitCode": code}}});
            json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"containerStatuses": [status]}})
        };
        let message = "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 1".to_owned();
        assert_eq!(of_failure(&spec, &pod("c", 42)), Some(Action::FailJob(message)));
        assert_eq!(of_failure(&spec, &pod("d", 42)), Some(Action::FailIndex));
        assert_eq!(of_failure(&spec, &pod("c", 1)), None);
        let mut disrupted = pod("c", 42);
        disrupted["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True"}]);
        assert_eq!(of_failure(&spec, &disrupted), Some(Action::Ignore));
    }

    #[test]
    fn some_indexes_may_be_enough() {
        let spec = |rule: Value| json!({"completions": 5, "successPolicy": {"rules": [rule]}});
        let done = BTreeSet::from([0, 2, 3]);
        let met = Some("Matched rules at index 0".to_owned());
        assert_eq!(of_success(&spec(json!({"succeededIndexes": "0,2-3"})), &done), met);
        assert_eq!(of_success(&spec(json!({"succeededIndexes": "0-3"})), &done), None);
        assert_eq!(of_success(&spec(json!({"succeededIndexes": "0-3", "succeededCount": 3})), &done), met);
        assert_eq!(of_success(&spec(json!({"succeededCount": 3})), &done), met);
        assert_eq!(of_success(&spec(json!({"succeededCount": 4})), &done), None);
        assert_eq!(of_success(&json!({}), &done), None);
    }
}
