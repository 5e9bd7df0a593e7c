//! What the downward API tells: fields of a pod (`pkg/fieldpath`) and amounts of resources (`pkg/api/v1/resource/helpers.go`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Node;
use super::metadata;
use crate::field::quote;
use crate::kinds::names;
use crate::kinds::quantity::Quantity;
use crate::kinds::resources::is_huge_page;
use crate::kinds::view::{entries, list, text};

/// `ExtractFieldPathAsString`.
pub(super) fn field(pod: &Value, path: &str) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let (field, name) = match map {
            "metadata.annotations" => ("annotations", key.to_lowercase()),
            "metadata.labels" => ("labels", key.to_owned()),
            _ => return Err(format!("fieldPath {} does not support subscript", quote(path))),
        };
        let wrong = names::qualified(&name);
        if !wrong.is_empty() {
            return Err(format!("invalid key subscript in {path}: {}", wrong.join(";")));
        }
        return Ok(text(&pod["metadata"][field][key]).to_owned());
    }
    match path {
        "metadata.annotations" => Ok(format_map(&pod["metadata"]["annotations"])),
        "metadata.labels" => Ok(format_map(&pod["metadata"]["labels"])),
        "metadata.name" | "metadata.namespace" | "metadata.uid" => {
            Ok(metadata(pod, path.trim_start_matches("metadata.")).to_owned())
        }
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// `a['b']` as a and b.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(map, _)| !map.is_empty())
}

/// A line per entry, in order: `key="value"`.
fn format_map(map: &Value) -> String {
    let sorted: BTreeMap<_, _> = entries(map).collect();
    let lines: Vec<_> = sorted.into_iter().map(|(key, value)| format!("{key}={}", quote(text(value)))).collect();
    lines.join("\n")
}

/// The amounts that a node can give away, as it says itself.
pub(super) fn allocatable(node: &Node) -> Value {
    let object = node.cluster.object("", "nodes", "", node.name()).unwrap_or_default();
    let told = &object["status"]["allocatable"];
    if told.is_null() {
        return json!({"cpu": node.spec.cpus.to_string(), "memory": node.spec.memory.to_string()});
    }
    told.clone()
}

/// The limits that stand in for those that a container has not: its pod's as a whole, or else the node's amounts
/// (`defaultPodLimitsForDownwardAPI`).
pub(super) fn pod_limits(node: &Node, pod: &Value) -> Value {
    let mut limits = allocatable(node);
    for resource in ["cpu", "memory"] {
        let whole = &pod["spec"]["resources"]["limits"][resource];
        if !Quantity::of(whole).is_zero() && !limits[resource].is_null() {
            limits[resource] = whole.clone();
        }
    }
    limits
}

/// A container by its name; not one of the ephemeral ones.
pub(super) fn container<'a>(pod: &'a Value, name: &str) -> Result<&'a Value, String> {
    let all = list(&pod["spec"]["containers"]).iter().chain(list(&pod["spec"]["initContainers"]));
    all.into_iter().find(|c| text(&c["name"]) == name).ok_or_else(|| format!("container {name} not found"))
}

/// The amount that a `resourceFieldRef` selects, in units of its divisor, rounded up (`ExtractContainerResourceValue`).
pub(super) fn resource(selector: &Value, container: &Value, default_limits: &Value) -> Result<String, String> {
    let selected = text(&selector["resource"]);
    let unsupported = || format!("unsupported container resource : {selected}");
    let (list, name) = selected.split_once('.').ok_or_else(unsupported)?;
    if !matches!(list, "limits" | "requests") || !(matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)) {
        return Err(unsupported());
    }
    let mut amount = Quantity::of(&container["resources"][list][name]);
    if list == "limits" && amount.is_zero() && !is_huge_page(name) {
        amount = Quantity::of(&default_limits[name]);
    }
    let mut divisor = Quantity::of(&selector["divisor"]);
    if divisor.is_zero() {
        divisor = Quantity::integer(1);
    }
    let (amount, divisor) = match name {
        "cpu" => (amount.milli_value(), divisor.milli_value()),
        _ => (amount.value(), divisor.value()),
    };
    let rest = i64::from(amount % divisor.max(1) != 0);
    Ok((amount / divisor.max(1) + rest).to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("metadata.name", "p")]
    #[case("metadata.namespace", "ns")]
    #[case("metadata.uid", "u1")]
    #[case("metadata.labels", "a=\"1\"\nb=\"x\\ny\\\"z\"")]
    #[case("metadata.labels['a']", "1")]
    #[case("metadata.labels['none']", "")]
    #[case("metadata.annotations['Some.Org/key']", "v")]
    fn fields_of_a_pod(#[case] path: &str, #[case] expected: &str) {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u1", "labels": {"b": "x\ny\"z", "a": "1"},
                                      "annotations": {"Some.Org/key": "v"}}});
        assert_eq!(field(&pod, path).unwrap(), expected);
    }

    #[rstest]
    #[case("status.phase", "unsupported fieldPath: status.phase")]
    #[case("spec.x['y']", r#"fieldPath "spec.x['y']" does not support subscript"#)]
    fn fields_that_are_not_told(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(field(&Value::Null, path).unwrap_err(), expected);
    }

    #[rstest]
    #[case("limits.cpu", "0", "1")]
    #[case("limits.cpu", "1m", "500")]
    #[case("requests.cpu", "1m", "0")]
    #[case("limits.memory", "1Mi", "101")]
    #[case("limits.memory", "0", "104857601")]
    #[case("limits.ephemeral-storage", "1Gi", "10")]
    #[case("limits.hugepages-2Mi", "0", "0")]
    fn amounts_in_units_of_a_divisor(#[case] name: &str, #[case] divisor: &str, #[case] expected: &str) {
        let container = json!({"resources": {"limits": {"cpu": "500m", "memory": "104857601"}}});
        let selector = json!({"resource": name, "divisor": divisor});
        let defaults = json!({"cpu": "8", "memory": "1Gi", "ephemeral-storage": "10Gi"});
        assert_eq!(resource(&selector, &container, &defaults).unwrap(), expected);
    }

    #[test]
    fn other_amounts_are_not_told() {
        let asked = |name: &str| resource(&json!({"resource": name}), &Value::Null, &Value::Null).unwrap_err();
        assert_eq!(asked("limits.pods"), "unsupported container resource : limits.pods");
        assert_eq!(asked("cpu"), "unsupported container resource : cpu");
    }
}
