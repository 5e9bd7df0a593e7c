//! ResourceQuota: what objects use, and whether a namespace's quotas allow for it
//! (`apiserver/pkg/admission/plugin/resourcequota/controller.go`, `pkg/quota/v1/evaluator/core`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::storage::class_of;
use super::{Attributes, Objects, Operation};
use crate::kinds::pod_resources::{Amounts, Side, is_best_effort, with_overhead};
use crate::kinds::quantity::Quantity;
use crate::kinds::resources::{is_extended, is_huge_page, is_native};
use crate::kinds::view::{count, entries, list, put, text};
use crate::status::Refusal;

const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// What a quota of pods' resources makes every container say.
const MUST_SPECIFY: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// A resource of which quotas know more than the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted<'a> {
    Pods,
    Services,
    Claims,
    /// The name in `count/…`, and the older one if there is one.
    Other(&'a str, &'a str),
}

impl<'a> Counted<'a> {
    fn of(group: &'a str, resource: &'a str) -> Self {
        match (group, resource) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            _ => Self::Other(group, resource),
        }
    }

    fn count_name(self) -> String {
        match self {
            Self::Pods => "count/pods".to_owned(),
            Self::Services => "count/services".to_owned(),
            Self::Claims => "count/persistentvolumeclaims".to_owned(),
            Self::Other("", resource) => format!("count/{resource}"),
            Self::Other(group, resource) => format!("count/{resource}.{group}"),
        }
    }

    /// The older name of the count.
    fn alias(self) -> Option<&'a str> {
        match self {
            Self::Other("", name @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => Some(name),
            _ => None,
        }
    }

    /// Whether a quota of that name is about these objects (`MatchingResources`).
    fn matches(self, name: &str) -> bool {
        if name == self.count_name() {
            return true;
        }
        match self {
            Self::Pods => {
                let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
                name == "pods"
                    || matches!(bare, "cpu" | "memory" | "ephemeral-storage")
                    || is_huge_page(name)
                    || name.starts_with("requests.hugepages-")
                    || (!is_native(name) && name.starts_with("requests."))
            }
            Self::Services => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            Self::Claims => {
                let bare = name.split_once(BY_CLASS).map_or(name, |(_, bare)| bare);
                matches!(bare, "persistentvolumeclaims" | "requests.storage")
            }
            Self::Other(..) => self.alias() == Some(name),
        }
    }

    /// What one object uses.
    fn usage(self, object: &Value) -> Amounts {
        let mut used = Amounts::from([(self.count_name(), Quantity::integer(1))]);
        match self {
            Self::Pods if !is_done(object) => {
                let [requests, limits] = [Side::Requests, Side::Limits].map(|side| with_overhead(object, side));
                used.extend(compute_usage(&requests, &limits));
            }
            Self::Pods => {}
            Self::Services => service_usage(object, &mut used),
            Self::Claims => claim_usage(object, &mut used),
            Self::Other(..) => {
                if let Some(alias) = self.alias() {
                    used.insert(alias.to_owned(), Quantity::integer(1));
                }
            }
        }
        used
    }

    /// Whether the object is in a scope.
    fn in_scope(self, object: &Value, selector: &Value) -> bool {
        let spec = &object["spec"];
        let exists = text(&selector["operator"]) == "Exists";
        match (self, text(&selector["scopeName"])) {
            (Self::Pods, "Terminating") => is_terminating(object),
            (Self::Pods, "NotTerminating") => !is_terminating(object),
            (Self::Pods, "BestEffort") => is_best_effort(object),
            (Self::Pods, "NotBestEffort") => !is_best_effort(object),
            (Self::Pods, "PriorityClass") => selected(&[text(&spec["priorityClassName"])], selector, exists),
            (Self::Pods, "CrossNamespacePodAffinity") => reaches_other_namespaces(spec),
            (Self::Claims, "VolumeAttributesClass") => {
                let status = &object["status"];
                let names = [
                    text(&spec["volumeAttributesClassName"]),
                    text(&status["currentVolumeAttributesClassName"]),
                    text(&status["modifyVolumeStatus"]["targetVolumeAttributesClassName"]),
                ];
                selected(&names, selector, exists)
            }
            _ => false,
        }
    }
}

fn selected(names: &[&str], selector: &Value, exists: bool) -> bool {
    let names: Vec<_> = names.iter().filter(|name| !name.is_empty()).collect();
    let listed = |name: &str| list(&selector["values"]).iter().any(|value| value == name);
    match text(&selector["operator"]) {
        _ if exists => !names.is_empty(),
        "In" => names.iter().any(|name| listed(name)),
        "NotIn" => names.is_empty() || names.iter().any(|name| !listed(name)),
        "DoesNotExist" => names.is_empty(),
        _ => false,
    }
}

fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// A pod that has ended uses nothing but a place in the count (`QuotaV1Pod`).
fn is_done(pod: &Value) -> bool {
    if matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded") {
        return true;
    }
    let metadata = &pod["metadata"];
    let deleted: Option<jiff::Timestamp> = metadata["deletionTimestamp"].as_str().and_then(|time| time.parse().ok());
    let grace = metadata["deletionGracePeriodSeconds"].as_i64();
    match (deleted, grace) {
        (Some(deleted), Some(grace)) => jiff::Timestamp::now().as_second() > deleted.as_second().saturating_add(grace),
        _ => false,
    }
}

fn reaches_other_namespaces(spec: &Value) -> bool {
    let reaches = |term: &Value| count(&term["namespaces"]) > 0 || !term["namespaceSelector"].is_null();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &spec["affinity"][*kind];
        list(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(reaches)
            || list(&affinity["preferredDuringSchedulingIgnoredDuringExecution"])
                .iter()
                .any(|weighted| reaches(&weighted["podAffinityTerm"]))
    })
}

/// podComputeUsageHelper.
fn compute_usage(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), Quantity::integer(1))]);
    for (name, value) in requests {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name) {
            used.insert(name.clone(), value.clone());
            used.insert(format!("requests.{name}"), value.clone());
        } else if is_extended(name) {
            used.insert(format!("requests.{name}"), value.clone());
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(value) = limits.get(name) {
            used.insert(format!("limits.{name}"), value.clone());
        }
    }
    used
}

fn service_usage(service: &Value, used: &mut Amounts) {
    let spec = &service["spec"];
    let ports = list(&spec["ports"]);
    let kind = text(&spec["type"]);
    let node_ports = match kind {
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or_default() != 0).count()
        }
        "NodePort" | "LoadBalancer" => ports.len(),
        _ => 0,
    };
    let integer = |n: usize| Quantity::integer(i64::try_from(n).unwrap_or(i64::MAX));
    used.insert("services".into(), Quantity::integer(1));
    used.insert("services.nodeports".into(), integer(node_ports));
    used.insert("services.loadbalancers".into(), integer(usize::from(kind == "LoadBalancer")));
}

fn claim_usage(claim: &Value, used: &mut Amounts) {
    let class = class_of(claim);
    let mut both = |name: &str, value: Quantity| {
        if !class.is_empty() {
            used.insert(format!("{class}{BY_CLASS}{name}"), value.clone());
        }
        used.insert(name.to_owned(), value);
    };
    both("persistentvolumeclaims", Quantity::integer(1));
    let asked = &claim["spec"]["resources"]["requests"]["storage"];
    if asked.is_null() {
        return;
    }
    let asked = Quantity::of(asked);
    let allocated = Quantity::of(&claim["status"]["allocatedResources"]["storage"]);
    both("requests.storage", if allocated > asked { allocated } else { asked });
}

/// The scopes of a quota, in one form.
fn scopes(quota: &Value) -> Vec<Value> {
    let spec = &quota["spec"];
    let plain = list(&spec["scopes"]).iter().map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    plain.chain(list(&spec["scopeSelector"]["matchExpressions"]).iter().cloned()).collect()
}

/// Whether the quota says anything about the object (`generic.Matches`).
fn quota_matches(counted: Counted<'_>, quota: &Value, hard: &Value, object: &Value) -> bool {
    entries(hard).any(|(name, _)| counted.matches(name)) && scopes(quota).iter().all(|scope| counted.in_scope(object, scope))
}

fn print(amounts: &Amounts, names: &BTreeSet<&str>) -> String {
    let shown = amounts.iter().filter(|(name, _)| names.contains(name.as_str()));
    shown.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn amounts(value: &Value) -> Amounts {
    entries(value).map(|(name, value)| (name.to_owned(), Quantity::of(value))).collect()
}

fn to_json(amounts: &Amounts) -> Value {
    amounts.iter().map(|(name, value)| (name.clone(), value.to_string().into())).collect::<Map<_, _>>().into()
}

/// Whether quotas look at the request (`Handles`).
fn handles(counted: Counted<'_>, attributes: &Attributes) -> bool {
    let (create, update) = (attributes.operation == Operation::Create, attributes.operation == Operation::Update);
    match (counted, attributes.subresource.as_str()) {
        (Counted::Pods, "") => create || (update && is_terminating(&attributes.old) != is_terminating(&attributes.object)),
        (Counted::Pods, "resize") => update,
        (Counted::Services | Counted::Claims, "") => create || update,
        (Counted::Claims, "status") => {
            let allocated = |claim: &Value| claim["status"]["allocatedResources"]["storage"].clone();
            update && allocated(&attributes.old) != allocated(&attributes.object)
        }
        (Counted::Other(..), "") => create,
        _ => false,
    }
}

/// Refuses what exceeds a quota. Otherwise the quotas with their new `status.used`, to be stored unless it is a dry run.
pub(crate) fn charge(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<Value>, Refusal> {
    let counted = Counted::of(&attributes.group, &attributes.resource);
    // Events are too many to be counted.
    let ignored = attributes.resource == "events" || attributes.namespace.is_empty();
    if ignored || attributes.is_kind("", "Namespace") || !handles(counted, attributes) {
        return Ok(Vec::new());
    }
    let quotas = objects.list("", "resourcequotas", Some(&attributes.namespace));
    let object = &attributes.object;
    let matching: Vec<_> =
        quotas.iter().filter(|quota| quota_matches(counted, quota, &quota["status"]["hard"], object)).collect();
    for quota in &matching {
        let (name, status) = (text(&quota["metadata"]["name"]), &quota["status"]);
        let restricted: BTreeSet<_> = entries(&status["hard"]).map(|(n, _)| n).filter(|n| counted.matches(n)).collect();
        if let Some(why) = missing_amounts(counted, object, &restricted) {
            return Err(attributes.forbidden(&format!("failed quota: {name}: {why}")));
        }
        if restricted.iter().any(|resource| status["used"].get(*resource).is_none()) {
            let names: Vec<_> = restricted.into_iter().collect();
            return Err(attributes.forbidden(&format!("status unknown for quota: {name}, resources: {}", names.join(","))));
        }
    }
    let usage = counted.usage(object);
    let negative: Vec<_> = usage.iter().filter(|(_, value)| value.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(attributes.forbidden(&format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    let mut charged = Vec::new();
    for quota in matching {
        let was_matching =
            attributes.operation == Operation::Update && quota_matches(counted, quota, &quota["status"]["hard"], &attributes.old);
        let delta = if was_matching { difference(&usage, &counted.usage(&attributes.old)) } else { usage.clone() };
        if let Some(used) = charge_one(attributes, quota, delta)? {
            let mut new = (**quota).clone();
            if let Some(status) = new.get_mut("status") {
                put(status, "used", to_json(&used));
            }
            charged.push(new);
        }
    }
    Ok(charged)
}

/// What is new, and nothing below zero.
fn difference(new: &Amounts, old: &Amounts) -> Amounts {
    let mut delta = new.clone();
    for (name, value) in old {
        if let Some(present) = delta.get_mut(name) {
            if *present < *value {
                *present = Quantity::ZERO;
            } else {
                present.sub(value);
            }
        }
    }
    delta
}

fn charge_one(attributes: &Attributes, quota: &Value, delta: Amounts) -> Result<Option<Amounts>, Refusal> {
    let hard = amounts(&quota["status"]["hard"]);
    let requested: Amounts = delta.into_iter().filter(|(name, value)| !value.is_zero() && hard.contains_key(name)).collect();
    if requested.is_empty() {
        return Ok(None);
    }
    let before = amounts(&quota["status"]["used"]);
    let mut after = before.clone();
    for (name, value) in &requested {
        after.entry(name.clone()).or_insert(Quantity::ZERO).add(value);
    }
    let exceeded: BTreeSet<_> = requested
        .keys()
        .filter(|name| matches!((after.get(*name), hard.get(*name)), (Some(used), Some(hard)) if used > hard))
        .map(String::as_str)
        .collect();
    if !exceeded.is_empty() && attributes.subresource != "status" {
        return Err(attributes.forbidden(&format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            text(&quota["metadata"]["name"]),
            print(&requested, &exceeded),
            print(&before, &exceeded),
            print(&hard, &exceeded)
        )));
    }
    Ok(Some(after))
}

/// What a pod's containers leave unsaid that a quota needs to know (`Constraints`).
fn missing_amounts(counted: Counted<'_>, pod: &Value, restricted: &BTreeSet<&str>) -> Option<String> {
    let spec = &pod["spec"];
    if counted != Counted::Pods || count(&spec["resources"]["requests"]) + count(&spec["resources"]["limits"]) > 0 {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in list(&spec["containers"]).iter().chain(list(&spec["initContainers"])) {
        let resources = &container["resources"];
        let said = compute_usage(&amounts(&resources["requests"]), &amounts(&resources["limits"]));
        for name in MUST_SPECIFY.iter().filter(|name| restricted.contains(**name) && !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(text(&container["name"]));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let each = missing
        .into_iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")));
    Some(format!("must specify {}", each.collect::<Vec<_>>().join("; ")))
}

/// What the objects of its namespace use of a quota: the new `status.used`, one entry per resource of `spec.hard`.
pub(crate) fn usage(quota: &Value, objects: &dyn Objects) -> Value {
    let (hard, namespace) = (&quota["spec"]["hard"], text(&quota["metadata"]["namespace"]));
    let mut used: Amounts = entries(hard).map(|(name, _)| (name.to_owned(), Quantity::ZERO)).collect();
    let mut seen = BTreeSet::new();
    for (name, _) in entries(hard) {
        let Some((group, resource)) = resource_of(name) else { continue };
        if !seen.insert((group, resource)) {
            continue;
        }
        let counted = Counted::of(group, resource);
        for object in objects.list(group, resource, Some(namespace)) {
            if !quota_matches(counted, quota, hard, &object) {
                continue;
            }
            for (name, value) in counted.usage(&object) {
                if let Some(sum) = used.get_mut(&name) {
                    sum.add(&value);
                }
            }
        }
    }
    to_json(&used)
}

/// Group and resource of the objects that a quota's entry is about.
fn resource_of(name: &str) -> Option<(&str, &str)> {
    if let Some(counted) = name.strip_prefix("count/") {
        return Some(counted.split_once('.').map_or(("", counted), |(resource, group)| (group, resource)));
    }
    let resources = ["pods", "services", "persistentvolumeclaims"];
    let special = resources.into_iter().find(|resource| Counted::of("", resource).matches(name));
    let aliased = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"].into_iter().find(|one| *one == name);
    special.or(aliased).map(|resource| ("", resource))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::User;

    struct Fixed(Vec<Value>);

    impl Objects for Fixed {
        fn get(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Arc<Value>> {
            None
        }

        fn list(&self, _: &str, resource: &str, _: Option<&str>) -> Vec<Arc<Value>> {
            self.0.iter().filter(|o| o["resource"] == resource).cloned().map(Arc::new).collect()
        }
    }

    fn create(object: Value) -> Attributes {
        Attributes {
            group: String::new(),
            version: "v1".into(),
            resource: "pods".into(),
            subresource: String::new(),
            kind: "Pod".into(),
            namespace: "d".into(),
            name: "p".into(),
            operation: Operation::Create,
            user: User::system(),
            object,
            old: Arc::new(Value::Null),
            dry_run: false,
        }
    }

    #[test]
    fn a_second_pod_is_too_many() {
        let quota = json!({"resource": "resourcequotas", "metadata": {"name": "q"},
                           "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}});
        let refusal = charge(&create(json!({"spec": {"containers": [{"name": "c"}]}})), &Fixed(vec![quota])).unwrap_err();
        assert_eq!(
            refusal.message,
            "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
        );
    }

    #[test]
    fn compute_quotas_want_amounts() {
        let quota = json!({"resource": "resourcequotas", "metadata": {"name": "q"},
                           "status": {"hard": {"requests.cpu": "1"}, "used": {"requests.cpu": "0"}}});
        let refusal = charge(&create(json!({"spec": {"containers": [{"name": "c"}]}})), &Fixed(vec![quota])).unwrap_err();
        assert_eq!(refusal.message, "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    }

    #[test]
    fn usage_is_summed() {
        let quota =
            json!({"metadata": {"namespace": "d"}, "spec": {"hard": {"pods": "3", "count/secrets": "9", "limits.cpu": "1"}}});
        let objects = Fixed(vec![
            json!({"resource": "pods", "spec": {"containers": [{"resources": {"limits": {"cpu": "100m"}}}]}}),
            json!({"resource": "pods", "status": {"phase": "Failed"}}),
        ]);
        assert_eq!(usage(&quota, &objects), json!({"pods": "1", "count/secrets": "0", "limits.cpu": "100m"}));
    }
}
