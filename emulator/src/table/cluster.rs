//! Nodes, namespaces, access, admission, events and the rest.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cells;
use super::duration::{human, since};
use super::view::{age, at, condition, count, entries, flag, integer, is_deleted, is_set, list, name, quantity, text, text_or};

pub(super) fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(node, "Ready") {
        Some(ready) if text(ready, "/status") == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(node, "/spec/unschedulable") {
        status += ",SchedulingDisabled";
    }
    let roles: BTreeSet<&str> = entries(node, "/metadata/labels")
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    let roles = roles.into_iter().collect::<Vec<_>>().join(",");
    let address = |kind| {
        let found = list(node, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
        found.map_or("<none>", |address| text(address, "/address"))
    };
    cells![
        name(node),
        status,
        if roles.is_empty() { "<none>".into() } else { roles },
        age(node, now),
        text(node, "/status/nodeInfo/kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        text_or(node, "/status/nodeInfo/osImage", "<unknown>"),
        text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>"),
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
    ]
}

pub(super) fn component_status(component: &Value, _: Timestamp) -> Vec<Value> {
    let healthy = list(component, "/conditions").iter().find(|condition| text(condition, "/type") == "Healthy");
    match healthy {
        Some(condition) => {
            let status = if text(condition, "/status") == "True" { "Healthy" } else { "Unhealthy" };
            cells![name(component), status, text(condition, "/message"), text(condition, "/error")]
        }
        None => cells![name(component), "Unknown", "", ""],
    }
}

pub(super) fn namespace(namespace: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(namespace), text(namespace, "/status/phase"), age(namespace, now)]
}

pub(super) fn secret(secret: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(secret), text(secret, "/type"), count(secret, "/data"), age(secret, now)]
}

pub(super) fn config_map(map: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(map), count(map, "/data") + count(map, "/binaryData"), age(map, now)]
}

pub(super) fn service_account(account: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(account), count(account, "/secrets"), age(account, now)]
}

pub(super) fn resource_quota(quota: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (String::new(), String::new());
    for (resource, hard) in entries(quota, "/status/hard") {
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        let used = at(quota, "/status/used").get(resource).map_or("0", |used| quantity(used, ""));
        let separator = if column.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(column, "{separator}{resource}: {used}/{}", quantity(hard, ""));
    }
    cells![name(quota), requests, limits, age(quota, now)]
}

/// Of both groups: what one calls `regarding`, the other calls `involvedObject`, and so on.
pub(super) fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &'static str, other: &'static str| match at(event, core) {
        Value::Null => at(event, other),
        value => value,
    };
    let first = match either("/firstTimestamp", "/deprecatedFirstTimestamp") {
        Value::Null => since(at(event, "/eventTime"), now),
        first => since(first, now),
    };
    let mut last = match either("/lastTimestamp", "/deprecatedLastTimestamp") {
        Value::Null => first.clone(),
        last => since(last, now),
    };
    let mut number = either("/count", "/deprecatedCount").as_i64().unwrap_or(0).max(1);
    if is_set(event, "/series") {
        last = since(at(event, "/series/lastObservedTime"), now);
        number = integer(event, "/series/count");
    }
    let object = either("/involvedObject", "/regarding");
    let kind = text(object, "/kind").to_lowercase();
    let target = match text(object, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = either("/source", "/deprecatedSource");
    let component = text_or(source, "/component", text_or(event, "/reportingComponent", text(event, "/reportingController")));
    let source = match text_or(source, "/host", text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    };
    cells![
        last,
        text(event, "/type"),
        text(event, "/reason"),
        target,
        text(object, "/fieldPath"),
        source,
        either("/message", "/note").as_str().unwrap_or("").trim(),
        first,
        number,
        name(event),
    ]
}

pub(super) fn role_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let subjects = |kind: &str| {
        let subjects = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
        let names = subjects.map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
            _ => text(subject, "/name").into(),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    cells![name(binding), role, age(binding, now), subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

pub(super) fn certificate_signing_request(request: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind| condition(request, kind).is_some();
    let mut status = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status += ",Failed";
    }
    if !text(request, "/status/certificate").is_empty() {
        status += ",Issued";
    }
    let duration = at(request, "/spec/expirationSeconds")
        .as_i64()
        .map_or_else(|| "<none>".into(), |seconds| human(SignedDuration::from_secs(seconds)));
    cells![
        name(request),
        age(request, now),
        text_or(request, "/spec/signerName", "<none>"),
        text(request, "/spec/username"),
        duration,
        status,
    ]
}

pub(super) fn lease(lease: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(lease), text(lease, "/spec/holderIdentity"), age(lease, now)]
}

pub(super) fn priority_class(class: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        name(class),
        integer(class, "/value"),
        flag(class, "/globalDefault"),
        age(class, now),
        text(class, "/preemptionPolicy"),
    ]
}

pub(super) fn runtime_class(class: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(class), text(class, "/handler"), age(class, now)]
}

pub(super) fn webhook_configuration(configuration: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(configuration), count(configuration, "/webhooks"), age(configuration, now)]
}

pub(super) fn validating_admission_policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = if is_set(policy, "/spec/paramKind") {
        format!("{}/{}", text(policy, "/spec/paramKind/apiVersion"), text(policy, "/spec/paramKind/kind"))
    } else {
        "<unset>".into()
    };
    cells![name(policy), count(policy, "/spec/validations"), parameters, age(policy, now)]
}

pub(super) fn validating_admission_policy_binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let reference = at(binding, "/spec/paramRef");
    let parameters = match (text(reference, "/name"), text(reference, "/namespace")) {
        ("", _) if is_set(reference, "/selector") => go_selector(at(reference, "/selector")),
        ("", _) => "<unset>".into(),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    cells![name(binding), text(binding, "/spec/policyName"), parameters, age(binding, now)]
}

/// A selector as Go prints the struct: that is what the server does there.
fn go_selector(selector: &Value) -> String {
    let labels: String =
        entries(selector, "/matchLabels").map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or(""))).collect();
    let expressions: String = list(selector, "/matchExpressions")
        .iter()
        .map(|expression| {
            let values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
            let (key, operator) = (text(expression, "/key"), text(expression, "/operator"));
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

pub(super) fn flow_schema(schema: &Value, now: Timestamp) -> Vec<Value> {
    let dangling = condition(schema, "Dangling").map_or("?", |condition| text(condition, "/status"));
    let method = at(schema, "/spec/distinguisherMethod");
    cells![
        name(schema),
        text(schema, "/spec/priorityLevelConfiguration/name"),
        integer(schema, "/spec/matchingPrecedence"),
        if method.is_null() { "<none>" } else { text(method, "/type") },
        age(schema, now),
        dangling,
    ]
}

/// What comes first in a list of flow schemas, which is sorted by precedence.
pub(super) fn flow_schema_order(schema: &Value) -> (i64, &str) {
    (integer(schema, "/spec/matchingPrecedence"), name(schema))
}

pub(super) fn priority_level(level: &Value, now: Timestamp) -> Vec<Value> {
    let limited = at(level, "/spec/limited");
    let queuing = at(limited, "/limitResponse/queuing");
    let number = |parent: &Value, pointer| match parent {
        Value::Null => Value::from("<none>"),
        parent => integer(parent, pointer).into(),
    };
    cells![
        name(level),
        text(level, "/spec/type"),
        number(limited, "/nominalConcurrencyShares"),
        number(queuing, "/queues"),
        number(queuing, "/handSize"),
        number(queuing, "/queueLengthLimit"),
        age(level, now),
    ]
}

pub(super) fn resource_claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let state = match (is_deleted(claim), is_set(claim, "/status/allocation"), count(claim, "/status/reservedFor")) {
        (false, false, _) => "pending",
        (true, false, _) => "deleted",
        (false, true, 0) => "allocated",
        (false, true, _) => "allocated,reserved",
        (true, true, 0) => "deleted,allocated",
        (true, true, _) => "deleted,allocated,reserved",
    };
    cells![name(claim), state, age(claim, now)]
}

pub(super) fn resource_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        name(slice),
        text(slice, "/spec/nodeName"),
        text(slice, "/spec/driver"),
        text(slice, "/spec/pool/name"),
        age(slice, now),
    ]
}

/// Device classes and templates of resource claims have nothing more to show.
pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(object), age(object, now)]
}

pub(super) fn api_service(service: &Value, now: Timestamp) -> Vec<Value> {
    let backend = if is_set(service, "/spec/service") {
        format!("{}/{}", text(service, "/spec/service/namespace"), text(service, "/spec/service/name"))
    } else {
        "Local".into()
    };
    let available = condition(service, "Available").map_or_else(
        || "Unknown".into(),
        |condition| match (text(condition, "/status"), text(condition, "/reason")) {
            (status @ "True", _) | (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    );
    cells![name(service), backend, available, age(service, now)]
}
