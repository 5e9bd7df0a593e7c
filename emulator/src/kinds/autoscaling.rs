//! HorizontalPodAutoscalers (`pkg/apis/autoscaling`). They are validated and stored as `autoscaling/v2`; what `v1` lacks lies in
//! annotations there.

use serde_json::{Map, Value, json};

use super::pod::nonnegative;
use super::quantity::Quantity;
use super::view::{self, count, fill, int, keep, list, put, remove, text};
use super::{Rules, internal, meta, names, resources};
use crate::field::{Errors, Path};

/// The rules of a resource of the group.
pub(crate) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "horizontalpodautoscalers" => &AUTOSCALERS,
        _ => &Rules::PLAIN,
    }
}

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const STATUSES: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const TOLERANCES: [&str; 2] =
    ["autoscaling.alpha.kubernetes.io/scale-down-tolerance", "autoscaling.alpha.kubernetes.io/scale-up-tolerance"];

static AUTOSCALERS: Rules = Rules {
    default,
    prepare_create: |object| {
        put(object, "status", json!({"currentMetrics": null, "desiredReplicas": 0}));
        settle(object, &Value::Null);
    },
    validate: |object, errors| validate(&wide(object), &Value::Null, errors),
    prepare_update: |old, new| {
        keep(old, new, "status");
        settle(new, old);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate(&wide(new), &wide(old), errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        for field in ["currentReplicas", "desiredReplicas"] {
            nonnegative(int(&new["status"][field]), &Path::new("status").child(field), errors);
        }
    },
    ..Rules::PLAIN
};

fn is_v1(object: &Value) -> bool {
    text(&object["apiVersion"]) == "autoscaling/v1"
}

/// The object in `v2`'s form, in which everything is validated.
fn wide(object: &Value) -> Value {
    if is_v1(object) { to_v2(object.clone()) } else { object.clone() }
}

/// Drops what belongs to features that are off, and gives an object of `v1` what it gets on its way through `v2`.
fn settle(object: &mut Value, old: &Value) {
    let rules = ["scaleDown", "scaleUp"];
    let in_use = rules.iter().any(|kind| !old["spec"]["behavior"][*kind]["tolerance"].is_null());
    let behavior = object.get_mut("spec").and_then(|spec| spec.get_mut("behavior"));
    if let Some(behavior) = behavior.filter(|_| !in_use) {
        for kind in rules {
            if let Some(own) = behavior.get_mut(kind) {
                remove(own, "tolerance");
            }
        }
    }
    if is_v1(object) {
        *object = to_v1(to_v2(object.take()));
        put(object, "apiVersion", "autoscaling/v1".into());
    }
}

fn default(object: &mut Value) {
    view::object(object, "spec");
    let is_v1 = is_v1(object);
    let Some(spec) = object.get_mut("spec") else { return };
    fill(spec, "minReplicas", 1);
    if is_v1 {
        return;
    }
    if count(&spec["metrics"]) == 0 {
        put(spec, "metrics", json!([cpu_target(80)]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|behavior| !behavior.is_null()) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent]});
    let down = json!({"selectPolicy": "Max", "policies": [percent]});
    for (kind, default) in [("scaleUp", up), ("scaleDown", down)] {
        fill(behavior, kind, json!({}));
        let Some(own) = behavior.get_mut(kind) else { continue };
        for (field, value) in view::entries(&default) {
            fill(own, field, value.clone());
        }
    }
}

fn cpu_target(percent: i64) -> Value {
    json!({
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
    })
}

/// Whether `v1` has a field of its own for the metric.
fn is_cpu_target(metric: &Value) -> bool {
    text(&metric["type"]) == "Resource"
        && text(&metric["resource"]["name"]) == "cpu"
        && !metric["resource"]["target"]["averageUtilization"].is_null()
}

/// Moves fields: from the source's path to the target's name, where there is a value.
fn moved(source: &Value, fields: &[(&str, &str)]) -> Value {
    let mut target = Map::new();
    for (pointer, name) in fields {
        if let Some(value) = source.pointer(pointer).filter(|value| !value.is_null()) {
            target.insert((*name).to_owned(), value.clone());
        }
    }
    Value::Object(target)
}

/// A metric's source (or its status) as `v1` has it; `side` is `target` or `current`.
fn narrow_metric(metric: &Value, side: &str) -> Value {
    let mut out = json!({"type": metric["type"]});
    let prefix = if side == "target" { "target" } else { "current" };
    let value = format!("/{side}/value");
    let average = format!("/{side}/averageValue");
    let utilization = format!("/{side}/averageUtilization");
    let [own_value, own_average, own_utilization] =
        ["Value", "AverageValue", "AverageUtilization"].map(|name| format!("{prefix}{name}"));
    let object: [(&str, &str); 5] = [
        ("/describedObject", "target"),
        ("/metric/name", "metricName"),
        ("/metric/selector", "selector"),
        (&value, &own_value),
        (&average, "averageValue"),
    ];
    let pods: [(&str, &str); 3] = [("/metric/name", "metricName"), ("/metric/selector", "selector"), (&average, &own_average)];
    let external: [(&str, &str); 4] =
        [("/metric/name", "metricName"), ("/metric/selector", "metricSelector"), (&value, &own_value), (&average, &own_average)];
    let resource: [(&str, &str); 4] =
        [("/name", "name"), ("/container", "container"), (&utilization, &own_utilization), (&average, &own_average)];
    let kinds: [(&str, &[(&str, &str)]); 5] = [
        ("object", &object),
        ("pods", &pods),
        ("external", &external),
        ("resource", &resource),
        ("containerResource", &resource),
    ];
    for (kind, fields) in kinds {
        if !metric[kind].is_null() {
            out[kind] = moved(&metric[kind], fields);
        }
    }
    out
}

/// The way back.
fn widen_metric(metric: &Value, side: &str) -> Value {
    let mut out = json!({"type": metric["type"]});
    let prefix = if side == "target" { "target" } else { "current" };
    for kind in ["object", "pods", "external", "resource", "containerResource"] {
        let own = &metric[kind];
        if own.is_null() {
            continue;
        }
        let average_name = if kind == "object" { "averageValue".to_owned() } else { format!("{prefix}AverageValue") };
        let mut amounts = Map::new();
        for (from, to) in [
            (format!("{prefix}Value"), "value"),
            (average_name, "averageValue"),
            (format!("{prefix}AverageUtilization"), "averageUtilization"),
        ] {
            if let Some(value) = own.get(&from).filter(|value| !value.is_null()) {
                amounts.insert(to.to_owned(), value.clone());
            }
        }
        if side == "target" {
            let of = if amounts.contains_key("averageUtilization") {
                "Utilization"
            } else if kind == "object" && !amounts.contains_key("averageValue")
                || kind == "external" && amounts.contains_key("value")
            {
                "Value"
            } else {
                "AverageValue"
            };
            amounts.insert("type".to_owned(), of.into());
        }
        let mut wide = if kind.ends_with("esource") {
            moved(own, &[("/name", "name"), ("/container", "container")])
        } else {
            let selector = if kind == "external" { "/metricSelector" } else { "/selector" };
            let mut wide = json!({"metric": moved(own, &[("/metricName", "name"), (selector, "selector")])});
            if kind == "object" {
                wide["describedObject"] = own["target"].clone();
            }
            wide
        };
        wide[side] = Value::Object(amounts);
        out[kind] = wide;
    }
    out
}

/// A stored object as `autoscaling/v1` has it.
pub(super) fn to_v1(mut object: Value) -> Value {
    let (spec, status) = (object["spec"].take(), object["status"].take());
    let mut added: Vec<(&str, String)> = Vec::new();
    let metrics = list(&spec["metrics"]);
    let others: Vec<Value> = metrics.iter().filter(|one| !is_cpu_target(one)).map(|one| narrow_metric(one, "target")).collect();
    if !others.is_empty() {
        added.push((METRICS, internal::json("[]v1.MetricSpec", &others.into())));
    }
    let current: Vec<Value> = list(&status["currentMetrics"]).iter().map(|one| narrow_metric(one, "current")).collect();
    if !current.is_empty() {
        added.push((STATUSES, internal::json("[]v1.MetricStatus", &current.into())));
    }
    if !spec["behavior"].is_null() {
        added.push((BEHAVIOR, internal::json("HorizontalPodAutoscalerBehavior", &spec["behavior"])));
    }
    if count(&status["conditions"]) > 0 {
        added.push((CONDITIONS, internal::json("[]v1.HorizontalPodAutoscalerCondition", &status["conditions"])));
    }
    set_annotations(&mut object, added);
    let mut narrow =
        moved(&spec, &[("/scaleTargetRef", "scaleTargetRef"), ("/minReplicas", "minReplicas"), ("/maxReplicas", "maxReplicas")]);
    if let Some(target) = metrics.iter().find(|metric| is_cpu_target(metric)) {
        narrow["targetCPUUtilizationPercentage"] = target["resource"]["target"]["averageUtilization"].clone();
    }
    let mut narrow_status = moved(&status, &[("/observedGeneration", "observedGeneration"), ("/lastScaleTime", "lastScaleTime")]);
    // These are always there.
    for field in ["currentReplicas", "desiredReplicas"] {
        narrow_status[field] = int(&status[field]).into();
    }
    let mut utilization = list(&status["currentMetrics"])
        .iter()
        .filter(|one| text(&one["type"]) == "Resource" && text(&one["resource"]["name"]) == "cpu")
        .filter_map(|one| one.pointer("/resource/current/averageUtilization"));
    if let Some(percent) = utilization.next_back() {
        narrow_status["currentCPUUtilizationPercentage"] = percent.clone();
    }
    put(&mut object, "spec", narrow);
    put(&mut object, "status", narrow_status);
    object
}

/// Replaces the annotations that stand for fields.
fn set_annotations(object: &mut Value, added: Vec<(&str, String)>) {
    let Some(metadata) = view::object(object, "metadata") else { return };
    let mut annotations = match metadata.remove("annotations") {
        Some(Value::Object(annotations)) => annotations,
        _ => Map::new(),
    };
    for key in [METRICS, STATUSES, CONDITIONS, BEHAVIOR].into_iter().chain(TOLERANCES) {
        annotations.remove(key);
    }
    annotations.extend(added.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
    }
}

/// Keys as the API has them: Go's begin with a capital letter. Deeper than behaviors go nothing is of interest.
fn lower_keys(value: Value, depth: usize) -> Value {
    match value {
        Value::Object(entries) if depth > 0 => entries
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let mut letters = key.chars();
                let first = letters.next().map(|c| c.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect::<String>(), lower_keys(value, depth - 1))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) if depth > 0 => items.into_iter().map(|item| lower_keys(item, depth - 1)).collect(),
        other => other,
    }
}

/// An object of `autoscaling/v1` as it is stored.
pub(super) fn to_v2(mut object: Value) -> Value {
    let (spec, status) = (object["spec"].take(), object["status"].take());
    let annotation = |key: &str| -> Option<Value> { serde_json::from_str(object["metadata"]["annotations"][key].as_str()?).ok() };
    let mut metrics: Vec<Value> = match annotation(METRICS) {
        Some(Value::Array(others)) => others.iter().map(|one| widen_metric(one, "target")).collect(),
        _ => Vec::new(),
    };
    if let Some(percent) = spec["targetCPUUtilizationPercentage"].as_i64() {
        metrics.push(cpu_target(percent));
    }
    if metrics.is_empty() {
        metrics.push(cpu_target(80));
    }
    let mut wide =
        moved(&spec, &[("/scaleTargetRef", "scaleTargetRef"), ("/minReplicas", "minReplicas"), ("/maxReplicas", "maxReplicas")]);
    wide["metrics"] = metrics.into();
    if let Some(behavior) = annotation(BEHAVIOR).map(|behavior| lower_keys(behavior, 5)).filter(|one| count(one) > 0) {
        wide["behavior"] = behavior;
    }
    let mut wide_status = moved(
        &status,
        &[
            ("/observedGeneration", "observedGeneration"),
            ("/lastScaleTime", "lastScaleTime"),
            ("/currentReplicas", "currentReplicas"),
            ("/desiredReplicas", "desiredReplicas"),
        ],
    );
    if let Some(percent) = status["currentCPUUtilizationPercentage"].as_i64() {
        let current = json!({"averageUtilization": percent});
        wide_status["currentMetrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]);
    }
    if let Some(Value::Array(current)) = annotation(STATUSES) {
        wide_status["currentMetrics"] = current.iter().map(|one| widen_metric(one, "current")).collect();
    }
    if let Some(conditions) = annotation(CONDITIONS).filter(Value::is_array) {
        wide_status["conditions"] = conditions;
    }
    set_annotations(&mut object, Vec::new());
    put(&mut object, "spec", wide);
    put(&mut object, "status", wide_status);
    object
}

/// `validateHorizontalPodAutoscalerSpec`; the old object is null in a create.
fn validate(object: &Value, old: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let most = int(&spec["maxReplicas"]);
    let bound = i64::from(old["spec"]["minReplicas"] != json!(0));
    let least = spec["minReplicas"].as_i64();
    if let Some(least) = least.filter(|least| *least < bound) {
        errors.invalid(&path.child("minReplicas"), least, &format!("must be greater than or equal to {bound}"));
    }
    if most < 1 {
        errors.invalid(&path.child("maxReplicas"), most, "must be greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        errors.invalid(&path.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
    }
    let (target, before) = (&spec["scaleTargetRef"], &old["spec"]["scaleTargetRef"]);
    let is_same = !old.is_null() && ["apiVersion", "kind"].iter().all(|field| target[*field] == before[*field]);
    let group = if is_same {
        Group::Any
    } else if text(&target["kind"]) == "ReplicationController" {
        Group::MayBeEmpty
    } else {
        Group::Required
    };
    validate_reference(target, group, &path.child("scaleTargetRef"), errors);
    let metrics = list(&spec["metrics"]);
    for (i, metric) in metrics.iter().enumerate() {
        validate_metric(metric, &path.child("metrics").index(i), errors);
    }
    let scales_to_zero = metrics.iter().any(|metric| matches!(text(&metric["type"]), "Object" | "External"));
    if least == Some(0) && !scales_to_zero {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.forbidden(&path.child("metrics"), why);
    }
    for kind in ["scaleUp", "scaleDown"] {
        validate_scaling(&spec["behavior"][kind], &path.child("behavior").child(kind), errors);
    }
}

/// What the group of a reference's apiVersion may be.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Required,
    MayBeEmpty,
    Any,
}

/// `ValidateCrossVersionObjectReference`.
fn validate_reference(reference: &Value, group: Group, path: &Path, errors: &mut Errors) {
    for field in ["kind", "name"] {
        let value = text(&reference[field]);
        if value.is_empty() {
            errors.required(&path.child(field), "");
        }
        for why in names::path_segment(value, false) {
            errors.invalid(&path.child(field), value, &why);
        }
    }
    let version = text(&reference["apiVersion"]);
    let why = match version.matches('/').count() {
        _ if group == Group::Any => return,
        0 | 1 if group == Group::Required && version.split_once('/').is_none_or(|(group, _)| group.is_empty()) => {
            "apiVersion must specify API group".to_owned()
        }
        0 | 1 => return,
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    errors.invalid(&path.child("apiVersion"), version, &why);
}

fn validate_metric(metric: &Value, path: &Path, errors: &mut Errors) {
    const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = text(&metric["type"]);
    let is_known = TYPES.contains(&kind);
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric source type");
    }
    if !is_known {
        errors.not_supported(&path.child("type"), kind, &TYPES);
    }
    let mut present = Vec::new();
    for field in ["object", "external", "pods", "resource", "containerResource"] {
        if metric[field].is_null() {
            continue;
        }
        present.push(field);
        if present.len() == 1 {
            validate_source(field, &metric[field], &path.child(field), errors);
        }
    }
    let mut letters = kind.chars();
    let expected: String = letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect();
    if !is_known {
        errors.not_supported(&path.child("type"), kind, &TYPES);
    } else if metric[expected.as_str()].is_null() {
        errors.required(&path.child(&expected), "must populate information for the given metric source");
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| **field != expected || !is_known) {
            errors.forbidden(&path.child(field), "must populate the given metric source only");
        }
    }
}

fn validate_source(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    if kind == "object" {
        validate_reference(&source["describedObject"], Group::MayBeEmpty, &path.child("describedObject"), errors);
    }
    let name = text(&source["name"]);
    match kind {
        "resource" | "containerResource" => {
            let path = path.child("name");
            if name.is_empty() {
                errors.required(&path, "must specify a resource name");
            } else if kind == "containerResource" {
                resources::validate_container_name(name, &path, errors);
            }
        }
        _ => {
            let (name, path) = (text(&source["metric"]["name"]), path.child("metric").child("name"));
            if name.is_empty() {
                errors.required(&path, "must specify a metric name");
            }
            for why in names::path_segment(name, false) {
                errors.invalid(&path, name, &why);
            }
        }
    }
    if kind == "containerResource" {
        let (container, path) = (text(&source["container"]), path.child("container"));
        if container.is_empty() {
            errors.required(&path, "must specify a container");
        } else {
            for why in names::label(container) {
                errors.invalid(&path, container, &why);
            }
        }
    }
    let (target, path) = (&source["target"], path.child("target"));
    validate_target(target, &path, errors);
    let [has_value, has_average, has_utilization] =
        ["value", "averageValue", "averageUtilization"].map(|field| !target[field].is_null());
    match kind {
        "object" if !has_value && !has_average => {
            errors.required(&path.child("averageValue"), "must set either a target value or averageValue");
        }
        "external" if !has_value && !has_average => {
            let why = "must set either a target value for metric or a per-pod target";
            errors.required(&path.child("averageValue"), why);
        }
        "external" if has_value && has_average => {
            errors.forbidden(&path.child("value"), "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !has_average => {
            errors.required(&path.child("averageValue"), "must specify a positive target averageValue");
        }
        "resource" | "containerResource" if !has_utilization && !has_average => {
            let why = "must set either a target raw value or a target utilization";
            errors.required(&path.child("averageUtilization"), why);
        }
        "resource" | "containerResource" if has_utilization && has_average => {
            errors.forbidden(&path.child("averageValue"), "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn validate_target(target: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(&target["type"]);
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.invalid(&path.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let amount = Quantity::of(&target[field]);
        if !target[field].is_null() && amount <= Quantity::ZERO {
            errors.invalid(&path.child(field), amount.to_string(), "must be positive");
        }
    }
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|percent| *percent < 1) {
        errors.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn validate_scaling(rules: &Value, path: &Path, errors: &mut Errors) {
    if rules.is_null() {
        return;
    }
    if let Some(window) = rules["stabilizationWindowSeconds"].as_i64() {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.invalid(&path, window, "must be greater than or equal to zero");
        }
        if window > 3600 {
            errors.invalid(&path, window, "must be less than or equal to 3600");
        }
    }
    const POLICIES: [&str; 3] = ["Disabled", "Max", "Min"];
    if let Some(policy) = rules["selectPolicy"].as_str().filter(|policy| !POLICIES.contains(policy)) {
        errors.not_supported(&path.child("selectPolicy"), policy, &POLICIES);
    }
    let policies = list(&rules["policies"]);
    if policies.is_empty() {
        errors.required(&path.child("policies"), "must specify at least one Policy");
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = path.child("policies").index(i);
        let (kind, value, period) = (text(&policy["type"]), int(&policy["value"]), int(&policy["periodSeconds"]));
        if !matches!(kind, "Pods" | "Percent") {
            errors.not_supported(&path.child("type"), kind, &["Percent", "Pods"]);
        }
        if value <= 0 {
            errors.invalid(&path.child("value"), value, "must be greater than zero");
        }
        if period <= 0 {
            errors.invalid(&path.child("periodSeconds"), period, "must be greater than zero");
        }
        if period > 1800 {
            errors.invalid(&path.child("periodSeconds"), period, "must be less than or equal to 1800");
        }
    }
    if !rules["tolerance"].is_null() {
        resources::nonnegative(&rules["tolerance"], &path.child("tolerance"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let wide = json!({
            "metadata": {"name": "a", "annotations": {"x": "y"}},
            "spec": {
                "maxReplicas": 3, "minReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"},
                "metrics": [
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                    cpu_target(50),
                ],
                "behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}},
            },
            "status": {"currentReplicas": 1, "desiredReplicas": 1},
        });
        let narrow = to_v1(wide.clone());
        assert_eq!(narrow["spec"]["targetCPUUtilizationPercentage"], 50);
        assert_eq!(
            narrow["metadata"]["annotations"][METRICS],
            r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]"#
        );
        assert_eq!(
            narrow["metadata"]["annotations"][BEHAVIOR],
            r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}"#
        );
        assert_eq!(to_v2(narrow), wide);
    }
}
