//! TaintNodesByCondition and DefaultTolerationSeconds: what becomes of pods on nodes that are not ready.

use serde_json::{Value, json};

use super::{Attributes, Operation};
use crate::kinds::view::{list, object, text};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The seconds that a pod stays on such a node.
const SECONDS: i64 = 300;

/// A new node is not ready until it says so.
pub(super) fn taint_new(attributes: &mut Attributes) {
    if !attributes.is("", "nodes") || attributes.operation != Operation::Create {
        return;
    }
    let Some(spec) = object(&mut attributes.object, "spec") else { return };
    if let Value::Array(taints) = spec.entry("taints").or_insert_with(|| json!([]))
        && !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule")
    {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

pub(super) fn default_tolerations(attributes: &mut Attributes) {
    if !attributes.is("", "pods") || !attributes.is_write() {
        return;
    }
    let tolerations = list(&attributes.object["spec"]["tolerations"]);
    let tolerates = |key: &str| {
        tolerations.iter().any(|toleration| {
            matches!(text(&toleration["effect"]), "" | "NoExecute")
                && (text(&toleration["key"]) == key || text(&toleration["key"]).is_empty())
        })
    };
    let missing: Vec<_> = [NOT_READY, UNREACHABLE].into_iter().filter(|key| !tolerates(key)).collect();
    if missing.is_empty() {
        return;
    }
    let Some(spec) = object(&mut attributes.object, "spec") else { return };
    if let Value::Array(tolerations) = spec.entry("tolerations").or_insert_with(|| json!([])) {
        for key in missing {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
            }));
        }
    }
}
