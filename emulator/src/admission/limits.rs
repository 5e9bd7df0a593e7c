//! LimitRanger: what the LimitRanges of a namespace give pods and refuse them and claims.

use std::sync::Arc;

use serde_json::Value;

use super::{Attributes, Objects, Operation, aggregate};
use crate::kinds::pod_resources::{Amounts, Side, of_pod};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{at, count, entries, items, list, object, text};
use crate::status::Refusal;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

fn applies(attributes: &Attributes) -> bool {
    let plain = match attributes.subresource.as_str() {
        "" => {
            attributes.is_kind("", "PersistentVolumeClaim")
                || (attributes.is_kind("", "Pod") && attributes.operation == Operation::Create)
        }
        "resize" => attributes.is_kind("", "Pod") && attributes.operation == Operation::Update,
        _ => false,
    };
    plain && attributes.old["metadata"]["deletionTimestamp"].is_null()
}

fn ranges(attributes: &Attributes, objects: &dyn Objects) -> Vec<Arc<Value>> {
    if applies(attributes) { objects.list("", "limitranges", Some(&attributes.namespace)) } else { Vec::new() }
}

fn limits(range: &Value) -> &[Value] {
    list(at(range, &["spec", "limits"]))
}

pub(super) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    if !attributes.is_kind("", "Pod") {
        return Ok(());
    }
    for range in ranges(attributes, objects) {
        give_defaults(&mut attributes.object, &range);
    }
    Ok(())
}

fn give_defaults(pod: &mut Value, range: &Value) {
    let mut notes = Vec::new();
    for (field, what) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(spec) = pod.get_mut("spec") else { return };
        for container in items(spec, field) {
            let name = text(&container["name"]).to_owned();
            let mut given = [Vec::new(), Vec::new()];
            for (i, (side, defaults)) in [("requests", "defaultRequest"), ("limits", "default")].into_iter().enumerate() {
                for limit in limits(range).iter().filter(|limit| text(&limit["type"]) == "Container") {
                    give(container, side, &limit[defaults], &mut given[i]);
                }
            }
            for (names, word) in given.iter_mut().zip(["request", "limit"]) {
                names.sort_unstable();
                if !names.is_empty() {
                    notes.push(format!("{} {word} for {what} {name}", names.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty()
        && let Some(metadata) = pod.get_mut("metadata")
        && let Some(annotations) = object(metadata, "annotations")
    {
        annotations.insert(ANNOTATION.into(), format!("LimitRanger plugin set: {}", notes.join("; ")).into());
    }
}

fn give(container: &mut Value, side: &str, defaults: &Value, given: &mut Vec<String>) {
    if count(defaults) == 0 {
        return;
    }
    object(container, "resources");
    let Some(amounts) = container.get_mut("resources").and_then(|resources| object(resources, side)) else { return };
    for (name, value) in entries(defaults) {
        if !amounts.contains_key(name) {
            amounts.insert(name.to_owned(), value.clone());
            given.push(name.to_owned());
        }
    }
}

pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    for range in ranges(attributes, objects) {
        let mut reasons = Vec::new();
        for limit in limits(&range) {
            check_limit(attributes, limit, &mut reasons);
        }
        if let Some(why) = aggregate(reasons) {
            return Err(attributes.forbidden(&why));
        }
    }
    Ok(())
}

fn check_limit(attributes: &Attributes, limit: &Value, reasons: &mut Vec<String>) {
    let (object, kind) = (&attributes.object, text(&limit["type"]));
    match (attributes.kind.as_str(), kind) {
        ("PersistentVolumeClaim", "PersistentVolumeClaim") => {
            let requests = amounts(&object["spec"]["resources"]["requests"]);
            for (name, bound) in bounds(limit, "min") {
                reasons.extend(at_least(kind, name, &bound, &requests, &Amounts::new()));
            }
            for (name, bound) in bounds(limit, "max") {
                reasons.extend(at_most_requested(kind, name, &bound, &requests));
            }
        }
        ("Pod", "Container") => {
            let containers = list(&object["spec"]["containers"]).iter().chain(list(&object["spec"]["initContainers"]));
            for container in containers {
                let [requests, limits] = ["requests", "limits"].map(|side| amounts(&container["resources"][side]));
                check_amounts(kind, limit, &requests, &limits, reasons);
            }
        }
        ("Pod", "Pod") => {
            check_amounts(kind, limit, &of_pod(object, Side::Requests), &of_pod(object, Side::Limits), reasons);
        }
        _ => {}
    }
}

fn check_amounts(kind: &str, limit: &Value, requests: &Amounts, limits: &Amounts, reasons: &mut Vec<String>) {
    for (name, bound) in bounds(limit, "min") {
        reasons.extend(at_least(kind, name, &bound, requests, limits));
    }
    for (name, bound) in bounds(limit, "max") {
        reasons.extend(at_most(kind, name, &bound, requests, limits));
    }
    for (name, bound) in bounds(limit, "maxLimitRequestRatio") {
        reasons.extend(ratio(kind, name, &bound, requests, limits));
    }
}

fn amounts(value: &Value) -> Amounts {
    entries(value).map(|(name, value)| (name.to_owned(), Quantity::of(value))).collect()
}

fn bounds<'a>(limit: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, Quantity)> {
    entries(&limit[field]).map(|(name, value)| (name, Quantity::of(value)))
}

fn at_least(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("minimum {name} usage per {kind} is {bound}");
    match (requests.get(name), limits.get(name)) {
        (None, _) => Some(format!("{what}.  No request is specified")),
        (Some(request), _) if request < bound => Some(format!("{what}, but request is {request}")),
        (_, Some(limit)) if limit < bound => Some(format!("{what}, but limit is {limit}")),
        _ => None,
    }
}

fn at_most_requested(kind: &str, name: &str, bound: &Quantity, requests: &Amounts) -> Option<String> {
    let what = format!("maximum {name} usage per {kind} is {bound}");
    match requests.get(name) {
        None => Some(format!("{what}.  No request is specified")),
        Some(request) if request > bound => Some(format!("{what}, but request is {request}")),
        Some(_) => None,
    }
}

fn at_most(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("maximum {name} usage per {kind} is {bound}");
    match (limits.get(name), requests.get(name)) {
        (None, _) => Some(format!("{what}.  No limit is specified")),
        (Some(limit), _) if limit > bound => Some(format!("{what}, but limit is {limit}")),
        (_, Some(request)) if request > bound => Some(format!("{what}, but request is {request}")),
        _ => None,
    }
}

fn ratio(kind: &str, name: &str, bound: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let what = format!("{name} max limit to request ratio per {kind} is {bound}");
    let Some(request) = requests.get(name).filter(|q| !q.is_zero()) else {
        return Some(format!("{what}, but no request is specified or request is 0"));
    };
    let Some(limit) = limits.get(name).filter(|q| !q.is_zero()) else {
        return Some(format!("{what}, but no limit is specified or limit is 0"));
    };
    #[allow(clippy::cast_precision_loss)] // As Kubernetes computes it.
    let (ratio, most) = (limit.milli_value() as f64 / request.milli_value() as f64, bound.milli_value() as f64);
    (ratio * 1000.0 > most).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
}
