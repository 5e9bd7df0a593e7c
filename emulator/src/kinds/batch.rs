//! Jobs and CronJobs (`pkg/apis/batch/{v1/defaults.go,validation/validation.go}`, `pkg/registry/batch`).

use serde_json::{Value, json};

use super::pod::{self, nonnegative};
use super::replication::{immutable, keep_spec, mismatch, prepare_create, prepare_update, take_labels};
use super::view::{self, count, fill, fill_text, flag, int, items, keep, list, put, same, text};
use super::{Rules, cron, internal, meta, names, selector};
use crate::field::{Errors, Kind, Path, quote};

/// The rules of a resource of the group.
pub(crate) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "jobs" => &JOBS,
        "cronjobs" => &CRON_JOBS,
        _ => &Rules::PLAIN,
    }
}

const INDEXED: &str = "Indexed";
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

static JOBS: Rules = Rules {
    default: default_job,
    prepare_create: |job| {
        generate_selector(job);
        prepare_create(job);
    },
    validate: |job, errors| validate_job(job, true, errors),
    prepare_update,
    validate_update: |old, new, errors| {
        meta::validate(new, true, names::dns1123_subdomain, errors);
        let labels = &old["spec"]["template"]["metadata"]["labels"];
        let prefixed = !labels[UID_LABELS[1]].is_null() && !labels[NAME_LABELS[1]].is_null();
        validate_job(new, prefixed, errors);
        meta::validate_update(old, new, errors);
        validate_job_update(old, new, errors);
    },
    prepare_status: keep_spec,
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        status::validate(old, new, errors);
    },
    warnings: |new, old| match old {
        Some(old) if old["metadata"]["generation"] == new["metadata"]["generation"] => Vec::new(),
        Some(_) => job_warnings(&new["spec"], &Path::new("spec")),
        None => with_name_warning(new, job_warnings(&new["spec"], &Path::new("spec"))),
    },
    fields: |job| vec![("status.successful", int(&job["status"]["succeeded"]).to_string())],
    ..Rules::PLAIN
};

fn with_name_warning(object: &Value, warnings: Vec<String>) -> Vec<String> {
    pod::name_warning(object, "Pod names and hostnames").into_iter().chain(warnings).collect()
}

/// `WarningsForJobSpec`.
fn job_warnings(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_huge = int(&spec["completions"]) > 100_000 && int(&spec["parallelism"]) > 10_000;
    if text(&spec["completionMode"]) == INDEXED && is_huge {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    warnings.extend(pod::template_warnings(&spec["template"], &path.child("template")));
    warnings
}

/// The defaults of a template and of the patterns of conditions, which Jobs and the templates of Jobs share.
fn default_spec(spec: &mut Value) {
    view::object(spec, "template");
    if let Some(template) = spec.get_mut("template") {
        pod::default_template(template);
    }
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for pattern in items(policy, "rules").flat_map(|rule| items(rule, "onPodConditions")) {
            fill_text(pattern, "status", "True");
        }
    }
}

fn default_job(job: &mut Value) {
    view::object(job, "spec");
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    take_labels(job, labels);
    let Some(spec) = job.get_mut("spec") else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        fill(spec, "completions", 1);
    }
    fill(spec, "parallelism", 1);
    let limit = if spec["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    fill(spec, "backoffLimit", limit);
    fill(spec, "completionMode", "NonIndexed");
    fill(spec, "suspend", false);
    let policy = if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    fill(spec, "podReplacementPolicy", policy);
    fill(spec, "manualSelector", false);
    default_spec(spec);
}

/// A Job selects the pods that carry its uid, and gives them that label and its name.
fn generate_selector(job: &mut Value) {
    if flag(&job["spec"]["manualSelector"]) {
        return;
    }
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    // Labels that a Job takes over from its template are the same map in Kubernetes, so that it gets these too. One without
    // any takes them over when it is read back from the store.
    let shares_labels = same(&job["metadata"]["labels"], &job["spec"]["template"]["metadata"]["labels"]);
    add_selector(job, &uid, &name);
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    if shares_labels && let Some(metadata) = view::object(job, "metadata") {
        metadata.insert("labels".to_owned(), labels);
    }
}

fn add_selector(job: &mut Value, uid: &Value, name: &Value) {
    let Some(spec) = job.get_mut("spec") else { return };
    view::object(spec, "template");
    let metadata = spec.get_mut("template").and_then(|template| {
        view::object(template, "metadata")?;
        template.get_mut("metadata")
    });
    if let Some(labels) = metadata.and_then(|metadata| view::object(metadata, "labels")) {
        for (keys, value) in [(NAME_LABELS, name), (UID_LABELS, uid)] {
            for key in keys {
                labels.entry(key).or_insert_with(|| value.clone());
            }
        }
    }
    view::object(spec, "selector");
    if let Some(labels) = spec.get_mut("selector").and_then(|selector| view::object(selector, "matchLabels")) {
        labels.entry(UID_LABELS[1]).or_insert_with(|| uid.clone());
    }
}

/// `ValidateJob`, but for the metadata. `prefixed` asks for the labels with Kubernetes' prefix too.
fn validate_job(job: &Value, prefixed: bool, errors: &mut Errors) {
    validate_generated_selector(job, prefixed, errors);
    let (spec, path) = (&job["spec"], Path::new("spec"));
    validate_spec(spec, &path, errors);
    let own = &spec["selector"];
    if own.is_null() {
        errors.required(&path.child("selector"), "");
    }
    selector::validate(own, &path.child("selector"), errors);
    let labels = &spec["template"]["metadata"]["labels"];
    if selector::compile(own).is_ok_and(|own| !own.matches(labels)) {
        mismatch(labels, &path.child("template").child("metadata").child("labels"), errors);
    }
    let completions = int(&spec["completions"]);
    if text(&spec["completionMode"]) == INDEXED && completions > 0 {
        let name = text(&job["metadata"]["name"]);
        let host = format!("{name}-{}", completions - 1);
        if !names::label(&host).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {host}");
            errors.invalid(&Path::new("metadata").child("name"), name, &why);
        }
    }
}

fn validate_generated_selector(job: &Value, prefixed: bool, errors: &mut Errors) {
    let spec = &job["spec"];
    if flag(&spec["manualSelector"]) || spec["selector"].is_null() {
        return;
    }
    let (uid, name) = (text(&job["metadata"]["uid"]), text(&job["metadata"]["name"]));
    if uid.is_empty() {
        errors.required(&Path::new("metadata").child("uid"), "");
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    let mut expected = serde_json::Map::new();
    for i in 0..(if prefixed { 2 } else { 1 }) {
        for (key, value) in [(UID_LABELS[i], uid), (NAME_LABELS[i], name)] {
            let (path, why) = (path.key(key), format!("must be '{value}'"));
            match labels.get(key).map(text) {
                None => errors.required(&path, &why),
                Some(actual) if actual != value => errors.invalid(&path, labels.clone(), &why),
                Some(_) => {}
            }
            expected.insert(key.to_owned(), value.into());
        }
    }
    let own = &spec["selector"];
    if selector::compile(own).is_ok_and(|own| !own.matches(&Value::Object(expected))) {
        errors.invalid(&Path::new("spec").child("selector"), own.clone(), "`selector` not auto-generated");
    }
}

/// `validateJobSpec`: what holds for Jobs and for templates of Jobs.
fn validate_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        nonnegative(int(&spec[field]), &path.child(field), errors);
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        validate_manager(manager, &path.child("managedBy"), errors);
    }
    validate_mode(spec, path, errors);
    if !spec["podFailurePolicy"].is_null() {
        validate_failure_policy(spec, &path.child("podFailurePolicy"), errors);
    }
    if !spec["successPolicy"].is_null() {
        let path = path.child("successPolicy");
        if text(&spec["completionMode"]) == INDEXED {
            validate_success_policy(spec, &path, errors);
        } else {
            let why = "requires indexed completion mode";
            errors.other(Kind::Invalid, &path.to_string(), internal::invalid("SuccessPolicy", &spec["successPolicy"], why));
        }
    }
    if let Some(policy) = spec["podReplacementPolicy"].as_str() {
        let allowed: &[&str] = if spec["podFailurePolicy"].is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
        if !allowed.contains(&policy) {
            errors.not_supported(&path.child("podReplacementPolicy"), policy, allowed);
        }
    }
    pod::validate_template(&spec["template"], &path.child("template"), errors);
    let policy_path = path.child("template").child("spec").child("restartPolicy");
    match text(&spec["template"]["spec"]["restartPolicy"]) {
        "" | "Always" => errors.required(&policy_path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if !spec["podFailurePolicy"].is_null() => {
            errors.invalid(&policy_path, "OnFailure", "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.not_supported(&policy_path, other, &["OnFailure", "Never"]),
    }
}

/// `IsDomainPrefixedPath`.
fn validate_manager(manager: &str, path: &Path, errors: &mut Errors) {
    match manager.split_once('/') {
        _ if manager.is_empty() => errors.required(path, ""),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            for why in names::subdomain(host) {
                errors.invalid(path, host, &why);
            }
            if !rest.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c)) {
                let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.invalid(path, rest, why);
            }
        }
        _ => errors.invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    if manager.len() > 63 {
        errors.too_long(path, 63);
    }
}

fn validate_mode(spec: &Value, path: &Path, errors: &mut Errors) {
    const MOST: i64 = 100_000;
    const MOST_FOR_MANY: i64 = 10_000;
    let (mode, most_failed) = (text(&spec["completionMode"]), spec["maxFailedIndexes"].as_i64());
    if !matches!(mode, "" | "NonIndexed" | INDEXED) {
        errors.not_supported(&path.child("completionMode"), mode, &["NonIndexed", INDEXED]);
    }
    let failed_path = path.child("maxFailedIndexes");
    if mode == INDEXED {
        let (completions, parallelism) = (spec["completions"].as_i64(), int(&spec["parallelism"]));
        if completions.is_none() {
            errors.required(&path.child("completions"), "when completion mode is Indexed");
        }
        if parallelism > MOST {
            let why = "must be less than or equal to 100000 when completion mode is Indexed";
            errors.invalid(&path.child("parallelism"), parallelism, why);
        }
        if let (Some(completions), Some(failed)) = (completions, most_failed)
            && failed > completions
        {
            errors.invalid(&failed_path, failed, "must be less than or equal to completions");
        }
        if let Some(failed) = most_failed.filter(|failed| *failed > MOST) {
            errors.invalid(&failed_path, failed, "must be less than or equal to 100000");
        }
        if completions.is_some_and(|completions| completions > MOST) && !spec["backoffLimitPerIndex"].is_null() {
            let why =
                "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index";
            if most_failed.is_none() {
                errors.required(&failed_path, "must be specified when completions is above 100000");
            }
            if parallelism > MOST_FOR_MANY {
                errors.invalid(&path.child("parallelism"), parallelism, why);
            }
            if let Some(failed) = most_failed.filter(|failed| *failed > MOST_FOR_MANY) {
                errors.invalid(&failed_path, failed, why);
            }
        }
    }
    if matches!(mode, "" | "NonIndexed") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(number) = spec[field].as_i64() {
                errors.invalid(&path.child(field), number, "requires indexed completion mode");
            }
        }
    }
}

/// A list of strings as Go's `%q` prints it.
fn quoted(all: &[&str]) -> String {
    format!("[{}]", all.iter().map(|one| quote(one)).collect::<Vec<_>>().join(" "))
}

fn required_of(value: &Value, allowed: &[&str], path: &Path, errors: &mut Errors) {
    match text(value) {
        "" => errors.required(path, &format!("valid values: {}", quoted(allowed))),
        value if !allowed.contains(&value) => errors.not_supported(path, value, allowed),
        _ => {}
    }
}

fn validate_failure_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    let (rules, path) = (list(&spec["podFailurePolicy"]["rules"]), path.child("rules"));
    if rules.len() > 20 {
        errors.too_many(&path, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action_path = path.child("action");
        if text(&rule["action"]) == "FailIndex" {
            if spec["backoffLimitPerIndex"].is_null() {
                errors.invalid(&action_path, "FailIndex", "requires the backoffLimitPerIndex to be set");
            }
        } else {
            required_of(&rule["action"], &["Count", "FailIndex", "FailJob", "Ignore"], &action_path, errors);
        }
        let (codes, conditions) = (&rule["onExitCodes"], list(&rule["onPodConditions"]));
        if !codes.is_null() {
            validate_exit_codes(codes, spec, &path.child("onExitCodes"), errors);
        }
        validate_conditions(conditions, &path.child("onPodConditions"), errors);
        let why = match (codes.is_null(), conditions.is_empty()) {
            (false, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (true, true) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        invalid_as_a_whole(&path, why, errors);
    }
}

/// An invalid value that the message does not show.
fn invalid_as_a_whole(path: &Path, why: &str, errors: &mut Errors) {
    errors.other(Kind::Invalid, &path.to_string(), format!("Invalid value: {why}"));
}

fn validate_conditions(conditions: &[Value], path: &Path, errors: &mut Errors) {
    if conditions.len() > 20 {
        errors.too_many(path, conditions.len(), 20);
    }
    for (i, pattern) in conditions.iter().enumerate() {
        let path = path.index(i);
        names::validate_label_name(text(&pattern["type"]), &path.child("type"), errors);
        required_of(&pattern["status"], &["False", "True", "Unknown"], &path.child("status"), errors);
    }
}

fn validate_exit_codes(codes: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    required_of(&codes["operator"], &["In", "NotIn"], &path.child("operator"), errors);
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let mut containers = list(&pod["containers"]).iter().chain(list(&pod["initContainers"]));
        if containers.all(|container| text(&container["name"]) != name) {
            let why = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&path.child("containerName"), name, why);
        }
    }
    let path = path.child("values");
    let values: Vec<i64> = list(&codes["values"]).iter().map(int).collect();
    if values.is_empty() {
        errors.invalid(&path, codes["values"].clone(), "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&path, values.len(), 255);
    }
    for (i, value) in values.iter().enumerate() {
        let path = path.index(i);
        if text(&codes["operator"]) == "In" && *value == 0 {
            errors.invalid(&path, 0, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            errors.duplicate(&path, *value);
        }
    }
    if !values.is_sorted() {
        errors.invalid(&path, values, "must be ordered");
    }
}

fn validate_success_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    let (rules, path) = (list(&spec["successPolicy"]["rules"]), path.child("rules"));
    if rules.is_empty() {
        errors.required(&path, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        errors.too_many(&path, rules.len(), 20);
    }
    let completions = int(&spec["completions"]);
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let (needed, indexes) = (rule["succeededCount"].as_i64(), rule["succeededIndexes"].as_str());
        if needed.is_none() && indexes.is_none() {
            errors.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(indexes) = indexes {
            let path = path.child("succeededIndexes");
            if indexes.len() > 65536 {
                errors.too_long(&path, 65536);
            }
            match status::count_indexes(indexes, completions) {
                Ok(number) => total = number,
                Err(why) => errors.invalid(&path, indexes, &format!("error parsing succeededIndexes: {why}")),
            }
        }
        if let Some(needed) = needed {
            let path = path.child("succeededCount");
            nonnegative(needed, &path, errors);
            if needed > completions {
                let why = format!("must be less than or equal to {completions} (the number of specified completions)");
                errors.invalid(&path, needed, &why);
            }
            if indexes.is_some() && needed > total {
                let why = format!(
                    "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
                );
                errors.invalid(&path, needed, &why);
            }
        }
    }
}

/// `ValidateJobSpecUpdate`.
fn validate_job_update(old_job: &Value, new_job: &Value, errors: &mut Errors) {
    let (old, new, path) = (&old_job["spec"], &new_job["spec"], Path::new("spec"));
    validate_spec(new, &path, errors);
    let own = &new["selector"];
    if own.is_null() {
        errors.required(&path.child("selector"), "");
    }
    selector::validate(own, &path.child("selector"), errors);
    let labels = &new["template"]["metadata"]["labels"];
    if selector::compile(own).is_ok_and(|own| !own.matches(labels)) {
        mismatch(labels, &path.child("template").child("metadata").child("labels"), errors);
    }
    let completions_path = path.child("completions");
    if text(&new["completionMode"]) != INDEXED {
        immutable(&old["completions"], &new["completions"], &completions_path, errors);
    } else if !new["completions"].is_null()
        && old["completions"] != new["completions"]
        && new["completions"] != new["parallelism"]
    {
        errors.invalid(&completions_path, new["completions"].clone(), "can only be modified in tandem with spec.parallelism");
    }
    immutable(&old["selector"], own, &path.child("selector"), errors);
    let suspended = flag(&old["suspend"]) && old_job["status"]["startTime"].is_null();
    let mut before = old["template"].clone();
    if suspended {
        allow_scheduling_changes(&mut before, &new["template"]);
    }
    let mut keep_structure = |of: &str, before: &Value, after: &Value, field: &str| {
        if !same(before, after) {
            let shown = if after.is_null() { "null".to_owned() } else { internal::json(of, after) };
            let why = format!("Invalid value: {shown}: field is immutable");
            errors.other(Kind::Invalid, &path.child(field).to_string(), why);
        }
    };
    keep_structure("PodTemplateSpec", &before, &new["template"], "template");
    let structures = [("string", "completionMode"), ("PodFailurePolicy", "podFailurePolicy")];
    for (of, field) in structures.into_iter().chain([
        ("int", "backoffLimitPerIndex"),
        ("string", "managedBy"),
        ("SuccessPolicy", "successPolicy"),
    ]) {
        keep_structure(of, &old[field], &new[field], field);
    }
}

/// A Job that has not started may still be told where to run.
fn allow_scheduling_changes(before: &mut Value, after: &Value) {
    if let Some(metadata) = view::object(before, "metadata") {
        for field in ["annotations", "labels"] {
            match &after["metadata"][field] {
                Value::Null => drop(metadata.remove(field)),
                value => drop(metadata.insert(field.to_owned(), value.clone())),
            }
        }
    }
    let Some(spec) = before.get_mut("spec") else { return };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        keep(&after["spec"], spec, field);
    }
    let node = after["spec"]["affinity"]["nodeAffinity"].clone();
    let had = !spec["affinity"].is_null();
    if had || !after["spec"]["affinity"].is_null() {
        view::object(spec, "affinity");
        if let Some(affinity) = spec.get_mut("affinity") {
            put(affinity, "nodeAffinity", node);
        }
        if after["spec"]["affinity"].is_null() && count(&spec["affinity"]) == 0 {
            view::remove(spec, "affinity");
        }
    }
}

static CRON_JOBS: Rules = Rules {
    default: |object| {
        view::object(object, "spec");
        let Some(spec) = object.get_mut("spec") else { return };
        fill_text(spec, "concurrencyPolicy", "Allow");
        fill(spec, "suspend", false);
        fill(spec, "successfulJobsHistoryLimit", 3);
        fill(spec, "failedJobsHistoryLimit", 1);
        view::object(spec, "jobTemplate");
        let Some(template) = spec.get_mut("jobTemplate") else { return };
        view::object(template, "spec");
        if let Some(job) = template.get_mut("spec") {
            default_spec(job);
        }
    },
    prepare_create: |object| {
        prepare_create(object);
        drop_disabled(object, &Value::Null);
    },
    validate: |object, errors| {
        validate_cron_job(&object["spec"], &Value::Null, errors);
        let name = text(&object["metadata"]["name"]);
        if name.len() > 52 {
            errors.invalid(&Path::new("metadata").child("name"), name, "must be no more than 52 characters");
        }
    },
    prepare_update: |old, new| {
        drop_disabled(new, old);
        prepare_update(old, new);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_cron_job(&new["spec"], &old["spec"], errors);
    },
    prepare_status: keep_spec,
    warnings: |new, old| {
        let path = Path::new("spec").child("jobTemplate").child("spec");
        let own = job_warnings(&new["spec"]["jobTemplate"]["spec"], &path);
        let Some(old) = old else { return with_name_warning(new, own) };
        let mut warnings = if old["metadata"]["generation"] == new["metadata"]["generation"] { Vec::new() } else { own };
        if text(&new["spec"]["schedule"]).contains("TZ") {
            let text = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                        https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
            warnings.push(text.to_owned());
        }
        warnings
    },
    ..Rules::PLAIN
};

fn drop_disabled(object: &mut Value, old: &Value) {
    let pod = object.pointer_mut("/spec/jobTemplate/spec/template/spec");
    pod::drop_disabled(pod, &old["spec"]["jobTemplate"]["spec"]["template"]["spec"]);
}

/// `validateCronJobSpec`; the old spec is null in a create.
fn validate_cron_job(spec: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (schedule, schedule_path) = (text(&spec["schedule"]), path.child("schedule"));
    if schedule.is_empty() {
        errors.required(&schedule_path, "");
    } else {
        if let Some(why) = cron::error(schedule) {
            errors.invalid(&schedule_path, schedule, &why);
        }
        let had_zone = text(&old["schedule"]).contains("TZ");
        if schedule.contains("TZ") && !had_zone {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&schedule_path, schedule, why);
        } else if schedule.contains("TZ") && !spec["timeZone"].is_null() {
            let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.invalid(&schedule_path, schedule, why);
        }
    }
    nonnegative(int(&spec["startingDeadlineSeconds"]), &path.child("startingDeadlineSeconds"), errors);
    if let Some(zone) = spec["timeZone"].as_str()
        && (old.is_null() || old["timeZone"] != spec["timeZone"])
    {
        validate_time_zone(zone, &path.child("timeZone"), errors);
    }
    let policy = text(&spec["concurrencyPolicy"]);
    let allowed = ["Allow", "Forbid", "Replace"];
    if policy.is_empty() {
        errors.required(&path.child("concurrencyPolicy"), "");
    } else if !allowed.contains(&policy) {
        errors.not_supported(&path.child("concurrencyPolicy"), policy, &allowed);
    }
    let (job, job_path) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
    validate_spec(job, &job_path, errors);
    if !job["selector"].is_null() {
        errors.invalid(&job_path.child("selector"), job["selector"].clone(), "`selector` will be auto-generated");
    }
    if flag(&job["manualSelector"]) {
        errors.not_supported(&job_path.child("manualSelector"), true, &["nil", "false"]);
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        nonnegative(int(&spec[field]), &path.child(field), errors);
    }
}

fn validate_time_zone(zone: &str, path: &Path, errors: &mut Errors) {
    if zone.is_empty() {
        return errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    }
    let unknown = format!("unknown time zone {zone}");
    let is_good = |part: &str| {
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_+".contains(&c))
    };
    if !zone.split('/').all(is_good) {
        return errors.invalid(path, zone, &unknown);
    }
    if zone.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, why);
    }
    if zone != "Local" && !cron::is_time_zone(zone) {
        errors.invalid(path, zone, &unknown);
    }
}

/// The status of Jobs, which their controller writes and others may (`managedBy`).
mod status {
    use super::{Errors, INDEXED, Path, Value, count, flag, int, internal, invalid_as_a_whole, json, list, nonnegative, text};
    use crate::field::{Kind, quote};

    fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
        let parts: Vec<&str> = text.split('-').collect();
        if parts.len() > 2 {
            let why = "violates the requirement that an index interval can have at most two parts separated by '-'";
            return Err(format!("the fragment {} {why}", quote(text)));
        }
        let number = |text: &str| match text.parse::<i64>() {
            Err(_) => Err(format!("cannot convert string to integer for index: {}", quote(text))),
            Ok(number) if number >= completions => Err(format!("too large index: {}", quote(text))),
            Ok(number) => Ok(number),
        };
        let first = number(parts[0])?;
        let Some(last) = parts.get(1) else { return Ok((first, first)) };
        let last = number(last)?;
        if first >= last {
            return Err(format!("non-increasing order, previous: {first}, current: {last}"));
        }
        Ok((first, last))
    }

    /// `validateIndexesFormat`: how many indexes `1,3-5` are.
    pub(super) fn count_indexes(indexes: &str, completions: i64) -> Result<i64, String> {
        let (mut total, mut previous) = (0, None);
        for part in indexes.split(',').filter(|_| !indexes.is_empty()) {
            let (first, last) = interval(part, completions)?;
            if let Some(previous) = previous.filter(|previous| *previous >= first) {
                return Err(format!("non-increasing order, previous: {previous}, current: {first}"));
            }
            total += last.saturating_sub(first).saturating_add(1);
            previous = Some(last);
        }
        Ok(total)
    }

    fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
        let intervals =
            |text: &str| -> Vec<(i64, i64)> { text.split(',').filter_map(|part| interval(part, completions).ok()).collect() };
        let failed = intervals(failed);
        let meets = |&(a, b): &(i64, i64)| failed.iter().find(|(c, d)| a <= *d && *c <= b).map(|(c, _)| a.max(*c));
        intervals(completed).iter().find_map(meets)
    }

    /// Whether the Job has the condition.
    fn is(job: &Value, condition: &str) -> bool {
        let has = |one: &Value| text(&one["type"]) == condition && text(&one["status"]) == "True";
        list(&job["status"]["conditions"]).iter().any(has)
    }

    fn is_finished(job: &Value) -> bool {
        is(job, "Complete") || is(job, "Failed")
    }

    /// `ValidateJobUpdateStatus`, with the options of `getStatusValidationOptions`: most is only looked at when it changes.
    pub(super) fn validate(old: &Value, new: &Value, errors: &mut Errors) {
        let (before, after, spec, path) = (&old["status"], &new["status"], &new["spec"], Path::new("status"));
        for field in ["active", "succeeded", "failed", "ready", "terminating"] {
            nonnegative(int(&after[field]), &path.child(field), errors);
        }
        let uncounted = &after["uncountedTerminatedPods"];
        let mut seen: Vec<&str> = Vec::new();
        for kind in ["succeeded", "failed"] {
            for (i, uid) in list(&uncounted[kind]).iter().map(text).enumerate() {
                let path = path.child("uncountedTerminatedPods").child(kind).index(i);
                if uid.is_empty() {
                    errors.invalid(&path, "", "must not be empty");
                } else if seen.contains(&uid) {
                    errors.duplicate(&path, uid);
                }
                seen.push(uid);
            }
        }
        let changed = |field: &str| before[field] != after[field];
        let turned = |condition: &str| is(old, condition) != is(new, condition);
        let finish_turned = is_finished(old) != is_finished(new);
        let (complete, failed, finished) = (is(new, "Complete"), is(new, "Failed"), is_finished(new));
        let (target, met) = (is(new, "FailureTarget"), is(new, "SuccessCriteriaMet"));
        let conditions = path.child("conditions");
        let (start, end) = (&after["startTime"], &after["completionTime"]);
        let (start_path, end_path) = (path.child("startTime"), path.child("completionTime"));
        if complete && failed && (turned("Complete") || turned("Failed")) {
            invalid_as_a_whole(&conditions, "cannot set Complete=True and Failed=true conditions", errors);
        }
        if complete && target && (turned("Complete") || turned("FailureTarget")) {
            invalid_as_a_whole(&conditions, "cannot set Complete=True and FailureTarget=true conditions", errors);
        }
        if turned("Complete") || changed("completionTime") {
            if !end.is_null() && !complete {
                let why = "cannot set completionTime when there is no Complete=True condition";
                errors.invalid(&end_path, end.clone(), why);
            }
            if end.is_null() && complete {
                errors.required(&end_path, "completionTime is required for Complete jobs");
            }
        }
        if (changed("startTime") || changed("completionTime")) && !start.is_null() && !end.is_null() && text(end) < text(start) {
            errors.invalid(&end_path, end.clone(), "must be equal to or after `startTime`");
        }
        if failed && !target && (turned("Failed") || changed("failedIndexes")) {
            let why = "cannot set Failed=True condition without the FailureTarget=true condition";
            invalid_as_a_whole(&conditions, why, errors);
        }
        if complete && !met && (turned("Complete") || turned("SuccessCriteriaMet")) {
            let why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
            invalid_as_a_whole(&conditions, why, errors);
        }
        if finished && int(&after["active"]) > 0 && (finish_turned || changed("active")) {
            errors.invalid(&path.child("active"), int(&after["active"]), "active>0 is invalid for finished job");
        }
        let suspended_at_zero = flag(&spec["suspend"]) && spec["completions"] == json!(0);
        if finished && start.is_null() && (finish_turned || changed("startTime")) && !suspended_at_zero {
            errors.required(&start_path, "startTime is required for finished job");
        }
        let has_uncounted = count(&uncounted["failed"]) + count(&uncounted["succeeded"]) > 0;
        if finished && has_uncounted && (finish_turned || changed("uncountedTerminatedPods")) {
            let shown = internal::invalid("UncountedTerminatedPods", uncounted, "must be empty for finished job");
            errors.other(Kind::Invalid, &path.child("uncountedTerminatedPods").to_string(), shown);
        }
        validate_indexes(before, after, spec, &path, errors);
        if finished && int(&after["terminating"]) > 0 && (finish_turned || changed("terminating")) {
            let why = "terminating>0 is invalid for finished job";
            errors.invalid(&path.child("terminating"), int(&after["terminating"]), why);
        }
        if int(&after["ready"]) > int(&after["active"]) && (changed("ready") || changed("active")) {
            errors.invalid(&path.child("ready"), int(&after["ready"]), "cannot set more ready pods than active");
        }
        if met && failed {
            invalid_as_a_whole(&conditions, "cannot set SuccessCriteriaMet=True and Failed=true conditions", errors);
        }
        if met && target {
            invalid_as_a_whole(&conditions, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", errors);
        }
        if !spec["successPolicy"].is_null() && !met && complete {
            let why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
            invalid_as_a_whole(&conditions, why, errors);
        }
        validate_transition(old, new, &path, errors);
    }

    fn validate_indexes(before: &Value, after: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
        let completions = spec["completions"].as_i64();
        let (completed, failed) = (text(&after["completedIndexes"]), after["failedIndexes"].as_str());
        let (completed_path, failed_path) = (path.child("completedIndexes"), path.child("failedIndexes"));
        let completed_changed = text(&before["completedIndexes"]) != completed;
        let failed_changed = before["failedIndexes"].as_str() != failed;
        if let Some(Err(why)) = completions.filter(|_| completed_changed).map(|most| count_indexes(completed, most)) {
            errors.invalid(&completed_path, completed, &format!("error parsing completedIndexes: {why}"));
        }
        let has_limit = !spec["backoffLimitPerIndex"].is_null();
        if let (Some(failed), Some(most), true, true) = (failed, completions, failed_changed, has_limit)
            && let Err(why) = count_indexes(failed, most)
        {
            errors.invalid(&failed_path, failed, &format!("error parsing failedIndexes: {why}"));
        }
        if completed_changed && !completed.is_empty() && text(&spec["completionMode"]) != INDEXED {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.invalid(&completed_path, completed, why);
        }
        let Some(failed) = failed else { return };
        if failed_changed && !has_limit {
            errors.invalid(&failed_path, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
        if let Some(index) =
            completions.filter(|_| failed_changed || completed_changed).and_then(|most| overlap(completed, failed, most))
        {
            let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.invalid(&failed_path, failed, &why);
        }
    }

    fn validate_transition(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
        let (before, after, spec, conditions) = (&old["status"], &new["status"], &new["spec"], path.child("conditions"));
        for condition in ["Failed", "Complete", "FailureTarget"] {
            if is(old, condition) && !is(new, condition) {
                let why = format!("cannot disable the terminal {condition}=True condition");
                invalid_as_a_whole(&conditions, &why, errors);
            }
        }
        let elastic = text(&spec["completionMode"]) == INDEXED && spec["completions"] == spec["parallelism"];
        for (field, may_shrink) in [("failed", false), ("succeeded", elastic)] {
            if int(&after[field]) < int(&before[field]) && !may_shrink {
                errors.invalid(&path.child(field), int(&after[field]), &format!("cannot decrease the {field} counter"));
            }
        }
        let (was, is_now) = (&before["completionTime"], &after["completionTime"]);
        if !was.is_null() && !is_now.is_null() && was != is_now {
            errors.invalid(&path.child("completionTime"), is_now.clone(), "field is immutable");
        }
        let started = &before["startTime"];
        if !started.is_null() && *started != after["startTime"] && !flag(&spec["suspend"]) {
            errors.required(&path.child("startTime"), "startTime cannot be removed for unsuspended job");
        }
        if is(old, "SuccessCriteriaMet") && !is(new, "SuccessCriteriaMet") {
            invalid_as_a_whole(&conditions, "cannot disable the SuccessCriteriaMet=True condition", errors);
        }
        if is(old, "Complete") && !is(old, "SuccessCriteriaMet") && is(new, "SuccessCriteriaMet") {
            let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            invalid_as_a_whole(&conditions, why, errors);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn indexes() {
            assert_eq!(count_indexes("0,2-4", 5), Ok(4));
            assert_eq!(count_indexes("", 5), Ok(0));
            assert_eq!(count_indexes("9", 5), Err("too large index: \"9\"".into()));
            assert_eq!(count_indexes("3-1", 5), Err("non-increasing order, previous: 3, current: 1".into()));
            assert_eq!(overlap("0-2", "2,4", 5), Some(2));
        }
    }
}
