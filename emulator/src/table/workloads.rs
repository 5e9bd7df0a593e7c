//! Controllers of pods: apps, batch, autoscaling, policy, and the core group's.

use jiff::Timestamp;
use serde_json::Value;

use super::cells;
use super::duration::{human, since, time};
use super::view::{
    age, at, condition, containers, count, few, flag, formatted_selector, integer, is_deleted, is_set, labels, list, name,
    optional, quantity, selector, text,
};

pub(super) fn pod_template(template: &Value, _: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(template, "/template/spec"));
    cells![name(template), names, images, labels(template, "/template/metadata/labels")]
}

pub(super) fn replication_controller(controller: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(controller, "/spec/template/spec"));
    cells![
        name(controller),
        integer(controller, "/spec/replicas"),
        integer(controller, "/status/replicas"),
        integer(controller, "/status/readyReplicas"),
        age(controller, now),
        names,
        images,
        labels(controller, "/spec/selector"),
    ]
}

pub(super) fn replica_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(set, "/spec/template/spec"));
    cells![
        name(set),
        integer(set, "/spec/replicas"),
        integer(set, "/status/replicas"),
        integer(set, "/status/readyReplicas"),
        age(set, now),
        names,
        images,
        formatted_selector(set, "/spec/selector"),
    ]
}

pub(super) fn daemon_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(set, "/spec/template/spec"));
    cells![
        name(set),
        integer(set, "/status/desiredNumberScheduled"),
        integer(set, "/status/currentNumberScheduled"),
        integer(set, "/status/numberReady"),
        integer(set, "/status/updatedNumberScheduled"),
        integer(set, "/status/numberAvailable"),
        labels(set, "/spec/template/spec/nodeSelector"),
        age(set, now),
        names,
        images,
        formatted_selector(set, "/spec/selector"),
    ]
}

pub(super) fn stateful_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(set, "/spec/template/spec"));
    cells![name(set), ready(set), age(set, now), names, images]
}

pub(super) fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(at(deployment, "/spec/template/spec"));
    cells![
        name(deployment),
        ready(deployment),
        integer(deployment, "/status/updatedReplicas"),
        integer(deployment, "/status/availableReplicas"),
        age(deployment, now),
        names,
        images,
        selector(at(deployment, "/spec/selector")).unwrap_or_else(|| "<invalid>".into()),
    ]
}

fn ready(object: &Value) -> String {
    format!("{}/{}", integer(object, "/status/readyReplicas"), integer(object, "/spec/replicas"))
}

pub(super) fn controller_revision(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(revision, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller"));
    let controller = owner.map_or_else(
        || "<none>".into(),
        |owner| {
            let kind = text(owner, "/kind").to_lowercase();
            match text(owner, "/apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{}/{}", group.to_lowercase(), name_in(owner)),
                None => format!("{kind}/{}", name_in(owner)),
            }
        },
    );
    cells![name(revision), controller, integer(revision, "/revision"), age(revision, now)]
}

fn name_in(reference: &Value) -> &str {
    text(reference, "/name")
}

/// The subresource `scale`.
pub(super) fn scale(scale: &Value, now: Timestamp) -> Vec<Value> {
    cells![name(scale), integer(scale, "/spec/replicas"), integer(scale, "/status/replicas"), age(scale, now)]
}

pub(super) fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    let succeeded = integer(job, "/status/succeeded");
    let completions = match (at(job, "/spec/completions").as_i64(), integer(job, "/spec/parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = time(at(job, "/status/startTime"))
        .map_or_else(String::new, |start| human(time(at(job, "/status/completionTime")).unwrap_or(now).duration_since(start)));
    let is = |kind| condition(job, kind).is_some_and(|condition| text(condition, "/status") == "True");
    let status = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if is_deleted(job) => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let (names, images) = containers(at(job, "/spec/template/spec"));
    cells![name(job), status, completions, duration, age(job, now), names, images, formatted_selector(job, "/spec/selector"),]
}

pub(super) fn cron_job(job: &Value, now: Timestamp) -> Vec<Value> {
    let suspend = match at(job, "/spec/suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let scheduled = at(job, "/status/lastScheduleTime");
    let (names, images) = containers(at(job, "/spec/jobTemplate/spec/template/spec"));
    cells![
        name(job),
        text(job, "/spec/schedule"),
        optional(job, "/spec/timeZone", "<none>"),
        suspend,
        count(job, "/status/active"),
        if scheduled.is_null() { "<none>".into() } else { since(scheduled, now) },
        age(job, now),
        names,
        images,
        formatted_selector(job, "/spec/jobTemplate/spec/selector"),
    ]
}

pub(super) fn pod_disruption_budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let limit = |pointer| match at(budget, pointer) {
        Value::Number(number) => number.to_string(),
        Value::String(percentage) => percentage.clone(),
        _ => "N/A".into(),
    };
    cells![
        name(budget),
        limit("/spec/minAvailable"),
        limit("/spec/maxUnavailable"),
        integer(budget, "/status/disruptionsAllowed"),
        age(budget, now),
    ]
}

pub(super) fn horizontal_pod_autoscaler(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let reference =
        format!("{}/{}", text(autoscaler, "/spec/scaleTargetRef/kind"), text(autoscaler, "/spec/scaleTargetRef/name"));
    let least = at(autoscaler, "/spec/minReplicas").as_i64().map_or_else(|| "<unset>".into(), |least| least.to_string());
    cells![
        name(autoscaler),
        reference,
        metrics(autoscaler),
        least,
        integer(autoscaler, "/spec/maxReplicas"),
        integer(autoscaler, "/status/currentReplicas"),
        age(autoscaler, now),
    ]
}

/// Current and wanted values of the metrics (`formatHPAMetrics`).
fn metrics(autoscaler: &Value) -> String {
    let statuses = list(autoscaler, "/status/currentMetrics");
    let mut shown = Vec::new();
    for (index, spec) in list(autoscaler, "/spec/metrics").iter().enumerate() {
        let status = statuses.get(index).unwrap_or(&Value::Null);
        shown.push(metric(spec, status));
    }
    if shown.is_empty() { "<none>".into() } else { few(shown, 2, ", ") }
}

fn metric(spec: &Value, status: &Value) -> String {
    let field = match text(spec, "/type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".into(),
    };
    let (spec, status) = (&spec[field], status.get(field));
    let target = at(spec, "/target");
    let by_average = is_set(target, "/averageValue");
    let current = |pointer| status.map_or_else(unknown, |status| quantity(status, pointer).to_owned());
    match field {
        "pods" => format!("{}/{}", current("/current/averageValue"), quantity(target, "/averageValue")),
        "external" | "object" if by_average => {
            let current = status.map_or("", |status| text(status, "/current/averageValue"));
            let current = if current.is_empty() { "<unknown>" } else { current };
            format!("{current}/{} (avg)", quantity(target, "/averageValue"))
        }
        "external" | "object" => format!("{}/{}", current("/current/value"), quantity(target, "/value")),
        _ if by_average => {
            format!("{}: {}/{}", text(spec, "/name"), current("/current/averageValue"), quantity(target, "/averageValue"))
        }
        _ => {
            let current = status.and_then(|status| percentage(status, "/current/averageUtilization"));
            let target = percentage(target, "/averageUtilization").unwrap_or_else(|| "<auto>".into());
            format!("{}: {}/{target}", text(spec, "/name"), current.unwrap_or_else(unknown))
        }
    }
}

fn percentage(value: &Value, pointer: &str) -> Option<String> {
    at(value, pointer).as_i64().map(|percentage| format!("{percentage}%"))
}

fn unknown() -> String {
    "<unknown>".into()
}
