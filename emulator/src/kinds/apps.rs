//! Deployments, ReplicaSets, StatefulSets, DaemonSets and ControllerRevisions
//! (`pkg/apis/apps/{v1/defaults.go,validation/validation.go}`, `pkg/registry/apps`).

use serde_json::{Value, json};

use super::core::claim;
use super::pod::{self, nonnegative};
use super::replication::{
    immutable, keep_spec, mismatch, no_more_than, prepare_create, prepare_update, template_warnings, validate_always_on,
    validate_status,
};
use super::view::{self, count, fill, fill_text, int, items, keep, list, put, remove, same, set_generation, text};
use super::{Rules, internal, meta, names, selector};
use crate::field::{Errors, Kind, Path};
use crate::selector::labels::Selector;

/// The rules of a resource of the group.
pub(crate) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "deployments" => &DEPLOYMENTS,
        "replicasets" => &REPLICA_SETS,
        "statefulsets" => &STATEFUL_SETS,
        "daemonsets" => &DAEMON_SETS,
        "controllerrevisions" => &REVISIONS,
        _ => &Rules::PLAIN,
    }
}

/// The spec after the defaults of its template.
fn defaulted(object: &mut Value) -> Option<&mut Value> {
    view::object(object, "spec");
    let spec = object.get_mut("spec")?;
    view::object(spec, "template");
    if let Some(template) = spec.get_mut("template") {
        pod::default_template(template);
    }
    Some(spec)
}

/// Validates the selector of a spec; `kind` is what the error about an empty one names.
fn validate_selector(own: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    if own.is_null() {
        return errors.required(path, "");
    }
    selector::validate(own, path, errors);
    if count(&own["matchLabels"]) + count(&own["matchExpressions"]) == 0 {
        errors.invalid(path, own.clone(), &format!("empty selector is invalid for {kind}"));
    }
}

/// The template of a ReplicaSet or a Deployment (`ValidatePodTemplateSpecForReplicaSet`).
fn validate_template(spec: &Value, path: &Path, errors: &mut Errors) {
    match selector::compile(&spec["selector"]) {
        Err(_) => errors.invalid(&path.child("selector"), spec["selector"].clone(), "invalid label selector"),
        Ok(own) => {
            let (template, path) = (&spec["template"], path.child("template"));
            validate_labels(template, &own, &path, errors);
            pod::validate_template(template, &path, errors);
            validate_always_on(template, "ReplicaSet", &path, errors);
        }
    }
}

fn validate_labels(template: &Value, own: &Selector, path: &Path, errors: &mut Errors) {
    let labels = &template["metadata"]["labels"];
    if !own.is_everything() && !own.matches(labels) {
        mismatch(labels, &path.child("metadata").child("labels"), errors);
    }
}

/// A count of collisions only grows.
fn validate_collisions(old: &Value, new: &Value, errors: &mut Errors) {
    let [before, after] = [old, new].map(|object| object["status"]["collisionCount"].as_i64());
    if before.is_some_and(|before| after.is_none_or(|after| after < before)) {
        let path = Path::new("status").child("collisionCount");
        errors.invalid(&path, after.unwrap_or_default(), "cannot be decremented");
    }
}

fn is_percent(value: &str) -> bool {
    value.strip_suffix('%').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()))
}

/// `ValidatePositiveIntOrPercent`.
pub(crate) fn validate_int_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::String(text) if !is_percent(text) => {
            let what = "a valid percent string must be a numeric string followed by an ending '%'";
            errors.invalid(path, text.as_str(), &names::regex_error(what, "[0-9]+%", &["1%", "93%"]));
        }
        Value::String(_) => {}
        number => nonnegative(int(number), path, errors),
    }
}

/// The number, or the number of percents; 0 for what is neither.
fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(if is_percent(text) { i64::MAX } else { 0 }),
        number => int(number),
    }
}

fn at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
    if value.as_str().is_some_and(is_percent) && amount(value) > 100 {
        errors.invalid(path, value.clone(), "must not be greater than 100%");
    }
}

/// An IntOrString that is absent is 0.
fn or_zero(value: &Value) -> Value {
    if value.is_null() { json!(0) } else { value.clone() }
}

static DEPLOYMENTS: Rules = Rules {
    default: |object| {
        let Some(spec) = defaulted(object) else { return };
        fill(spec, "replicas", 1);
        view::object(spec, "strategy");
        if let Some(strategy) = spec.get_mut("strategy") {
            fill_text(strategy, "type", "RollingUpdate");
            if text(&strategy["type"]) == "RollingUpdate" {
                fill(strategy, "rollingUpdate", json!({}));
                if let Some(update) = strategy.get_mut("rollingUpdate") {
                    fill(update, "maxUnavailable", "25%");
                    fill(update, "maxSurge", "25%");
                }
            }
        }
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
    },
    prepare_create,
    validate: |object, errors| validate_deployment(&object["spec"], errors),
    prepare_update: |old, new| {
        prepare_update(old, new);
        // Annotations may tell the controller something.
        if !same(&old["metadata"]["annotations"], &new["metadata"]["annotations"]) {
            set_generation(new, int(&old["metadata"]["generation"]) + 1);
        }
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_deployment(&new["spec"], errors);
        immutable(&old["spec"]["selector"], &new["spec"]["selector"], &Path::new("spec").child("selector"), errors);
    },
    prepare_status: |old, new| {
        keep_spec(old, new);
        if let Some(metadata) = new.get_mut("metadata") {
            keep(&old["metadata"], metadata, "labels");
        }
        drop_terminating(old, new);
    },
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let (status, path) = (&new["status"], Path::new("status"));
        for field in [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ] {
            nonnegative(int(&status[field]), &path.child(field), errors);
        }
        no_more_than(status, &["updatedReplicas", "readyReplicas", "availableReplicas"], errors);
        validate_collisions(old, new, errors);
    },
    warnings: |new, old| template_warnings(new, old, true),
    ..Rules::PLAIN
};

/// `terminatingReplicas` belongs to a feature that is off.
fn drop_terminating(old: &Value, new: &mut Value) {
    if old["status"]["terminatingReplicas"].is_null()
        && let Some(status) = new.get_mut("status")
    {
        remove(status, "terminatingReplicas");
    }
}

fn validate_deployment(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    nonnegative(int(&spec["replicas"]), &path.child("replicas"), errors);
    validate_selector(&spec["selector"], "deployment", &path.child("selector"), errors);
    validate_template(spec, &path, errors);
    validate_strategy(&spec["strategy"], &path.child("strategy"), errors);
    let least = int(&spec["minReadySeconds"]);
    nonnegative(least, &path.child("minReadySeconds"), errors);
    nonnegative(int(&spec["revisionHistoryLimit"]), &path.child("revisionHistoryLimit"), errors);
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64() {
        let path = path.child("progressDeadlineSeconds");
        nonnegative(deadline, &path, errors);
        if deadline <= least {
            errors.invalid(&path, deadline, "must be greater than minReadySeconds");
        }
    }
}

fn not_supported(of: &str, strategy: &Value, allowed: &str, path: &Path, errors: &mut Errors) {
    let text = format!("Unsupported value: {}: supported values: {allowed}", internal::json(of, strategy));
    errors.other(Kind::NotSupported, &path.to_string(), text);
}

fn validate_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (update, update_path) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(&strategy["type"]) {
        "Recreate" => {
            if !update.is_null() {
                errors.forbidden(&update_path, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" if update.is_null() => {
            errors.required(&update_path, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|field| or_zero(&update[field]));
            let unavailable_path = update_path.child("maxUnavailable");
            validate_int_or_percent(&unavailable, &unavailable_path, errors);
            validate_int_or_percent(&surge, &update_path.child("maxSurge"), errors);
            if amount(&unavailable) == 0 && amount(&surge) == 0 {
                errors.invalid(&unavailable_path, unavailable.clone(), "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, &unavailable_path, errors);
        }
        _ => not_supported("DeploymentStrategy", strategy, "\"Recreate\", \"RollingUpdate\"", path, errors),
    }
}

static REPLICA_SETS: Rules = Rules {
    default: |object| {
        if let Some(spec) = defaulted(object) {
            fill(spec, "replicas", 1);
        }
    },
    prepare_create,
    validate: |object, errors| validate_replica_set(&object["spec"], errors),
    prepare_update,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_replica_set(&new["spec"], errors);
        immutable(&old["spec"]["selector"], &new["spec"]["selector"], &Path::new("spec").child("selector"), errors);
    },
    prepare_status: |old, new| {
        keep_spec(old, new);
        drop_terminating(old, new);
    },
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_status(&new["status"], "fullyLabeledReplicas", errors);
    },
    warnings: |new, old| template_warnings(new, old, true),
    fields: |object| vec![("status.replicas", int(&object["status"]["replicas"]).to_string())],
    ..Rules::PLAIN
};

fn validate_replica_set(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    nonnegative(int(&spec["replicas"]), &path.child("replicas"), errors);
    nonnegative(int(&spec["minReadySeconds"]), &path.child("minReadySeconds"), errors);
    // Indeed "deployment".
    validate_selector(&spec["selector"], "deployment", &path.child("selector"), errors);
    validate_template(spec, &path, errors);
}

static STATEFUL_SETS: Rules = Rules {
    default: |object| {
        let Some(spec) = defaulted(object) else { return };
        fill_text(spec, "podManagementPolicy", "OrderedReady");
        view::object(spec, "updateStrategy");
        if let Some(strategy) = spec.get_mut("updateStrategy") {
            if text(&strategy["type"]).is_empty() {
                put(strategy, "type", "RollingUpdate".into());
                fill(strategy, "rollingUpdate", json!({}));
            }
            if text(&strategy["type"]) == "RollingUpdate"
                && let Some(update) = strategy.get_mut("rollingUpdate")
            {
                fill(update, "partition", 0);
            }
        }
        view::object(spec, "persistentVolumeClaimRetentionPolicy");
        if let Some(policy) = spec.get_mut("persistentVolumeClaimRetentionPolicy") {
            fill_text(policy, "whenDeleted", "Retain");
            fill_text(policy, "whenScaled", "Retain");
        }
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", 10);
        for claim in items(spec, "volumeClaimTemplates") {
            default_claim(claim);
        }
    },
    prepare_create: |object| {
        prepare_create(object);
        put(object, "status", json!({"replicas": 0, "availableReplicas": 0}));
        drop_max_unavailable(object, &Value::Null);
    },
    validate: |object, errors| validate_stateful_set(&object["spec"], true, errors),
    prepare_update: |old, new| {
        drop_max_unavailable(new, old);
        prepare_update(old, new);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_stateful_set(&new["spec"], false, errors);
        let mut rest = new["spec"].clone();
        for field in [
            "replicas",
            "template",
            "updateStrategy",
            "minReadySeconds",
            "ordinals",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
        ] {
            keep(&old["spec"], &mut rest, field);
        }
        if !same(&old["spec"], &rest) {
            let text = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                        'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            errors.forbidden(&Path::new("spec"), text);
        }
    },
    prepare_status: keep_spec,
    validate_status: |old, new, errors| {
        let (status, path) = (&new["status"], Path::new("status"));
        for field in [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ] {
            nonnegative(int(&status[field]), &path.child(field), errors);
        }
        for field in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
            if int(&status[field]) > int(&status["replicas"]) {
                errors.invalid(&path.child(field), int(&status[field]), "cannot be greater than status.replicas");
            }
        }
        let available = int(&status["availableReplicas"]);
        if available > int(&status["readyReplicas"]) {
            let text = "cannot be greater than status.readyReplicas";
            errors.invalid(&path.child("availableReplicas"), available, text);
        }
        meta::validate_update(old, new, errors);
        validate_collisions(old, new, errors);
    },
    name: names::dns1123_label,
    warnings: |new, old| {
        let mut warnings = template_warnings(new, old, false);
        let path = Path::new("spec").child("volumeClaimTemplates");
        for (i, claim) in list(&new["spec"]["volumeClaimTemplates"]).iter().enumerate() {
            let path = path.index(i);
            let path = if old.is_some() { path.child("Spec") } else { path };
            pod::claim_warnings(&claim["spec"], &path, &mut warnings);
        }
        if int(&new["spec"]["revisionHistoryLimit"]) < 0 {
            let text =
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
            warnings.push(text.to_owned());
        }
        warnings
    },
    ..Rules::PLAIN
};

/// The defaults of a claim, which in a template even has a kind and a status.
fn default_claim(claim: &mut Value) {
    put(claim, "kind", "PersistentVolumeClaim".into());
    put(claim, "apiVersion", "v1".into());
    if let Some(status) = view::object(claim, "status") {
        let is_empty = status.get("phase").is_none_or(|phase| text(phase).is_empty());
        if is_empty {
            status.insert("phase".to_owned(), "Pending".into());
        }
    }
    let Some(spec) = claim.get_mut("spec") else { return };
    fill(spec, "volumeMode", "Filesystem");
    if let Some(own) = spec.get_mut("resources") {
        super::resources::round(own.get_mut("limits"));
        super::resources::round(own.get_mut("requests"));
    }
}

/// `maxUnavailable` of StatefulSets belongs to a feature that is off.
fn drop_max_unavailable(object: &mut Value, old: &Value) {
    if !old["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].is_null() {
        return;
    }
    let strategy = object.get_mut("spec").and_then(|spec| spec.get_mut("updateStrategy"));
    if let Some(update) = strategy.and_then(|strategy| strategy.get_mut("rollingUpdate")) {
        remove(update, "maxUnavailable");
    }
}

fn validate_stateful_set(spec: &Value, is_new: bool, errors: &mut Errors) {
    let path = Path::new("spec");
    let policy = text(&spec["podManagementPolicy"]);
    match policy {
        "" => errors.required(&path.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        _ => errors.invalid(&path.child("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'"),
    }
    validate_stateful_strategy(&spec["updateStrategy"], &path.child("updateStrategy"), errors);
    let (retention, retention_path) =
        (&spec["persistentVolumeClaimRetentionPolicy"], path.child("persistentVolumeClaimRetentionPolicy"));
    for field in ["whenDeleted", "whenScaled"] {
        let value = text(&retention[field]);
        if !retention.is_null() && !matches!(value, "Retain" | "Delete") {
            errors.not_supported(&retention_path.child(field), value, &["Retain", "Delete"]);
        }
    }
    let templates = list(&spec["volumeClaimTemplates"]);
    for (i, template) in templates.iter().enumerate().filter(|_| is_new) {
        let path = path.child("volumeClaimTemplates").index(i).child("spec");
        claim::validate_spec(&template["spec"], &path, true, errors);
    }
    nonnegative(int(&spec["replicas"]), &path.child("replicas"), errors);
    nonnegative(int(&spec["minReadySeconds"]), &path.child("minReadySeconds"), errors);
    nonnegative(int(&spec["ordinals"]["start"]), &path.child("ordinals.start"), errors);
    let service = text(&spec["serviceName"]);
    for why in names::label(service).iter().filter(|_| is_new && !service.is_empty()) {
        errors.invalid(&path.child("serviceName"), service, why);
    }
    validate_selector(&spec["selector"], "statefulset", &path.child("selector"), errors);
    let template_path = path.child("template");
    match selector::compile(&spec["selector"]) {
        Err(_) => errors.invalid(&path.child("selector"), spec["selector"].clone(), ""),
        Ok(own) => {
            let template = with_claims(&spec["template"], templates);
            validate_labels(&template, &own, &template_path, errors);
            pod::validate_template(&template, &template_path, errors);
            // These are looked at twice, within the above and again.
            names::validate_labels(&template["metadata"]["labels"], &template_path.child("labels"), errors);
            pod::validate_template_annotations(&template, &template_path, errors);
        }
    }
    validate_always_on(&spec["template"], "StatefulSet", &template_path, errors);
}

/// The template as the controller will complete it: with a volume for each claim, and without what it sets itself.
fn with_claims(template: &Value, claims: &[Value]) -> Value {
    let mut template = template.clone();
    let Some(spec) = template.get_mut("spec") else { return template };
    remove(spec, "subdomain");
    remove(spec, "hostname");
    if claims.is_empty() {
        return template;
    }
    let names: Vec<&str> = claims.iter().map(|claim| text(&claim["metadata"]["name"])).collect();
    let own = names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let others = list(&spec["volumes"]).iter().filter(|volume| !names.contains(&text(&volume["name"]))).cloned();
    let volumes: Vec<Value> = own.chain(others).collect();
    put(spec, "volumes", volumes.into());
    template
}

fn validate_stateful_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (update, update_path) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    let mut refuse = |of: &str, value: &Value, path: &Path, why: &str| {
        errors.other(Kind::Invalid, &path.to_string(), internal::invalid(of, value, why));
    };
    match text(&strategy["type"]) {
        "" => errors.required(path, ""),
        "OnDelete" => {
            if !update.is_null() {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                refuse("RollingUpdateStatefulSetStrategy", update, &update_path, why);
            }
        }
        "RollingUpdate" => nonnegative(int(&update["partition"]), &update_path.child("partition"), errors),
        _ => refuse("StatefulSetUpdateStrategy", strategy, path, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

static DAEMON_SETS: Rules = Rules {
    default: |object| {
        let Some(spec) = defaulted(object) else { return };
        view::object(spec, "updateStrategy");
        if let Some(strategy) = spec.get_mut("updateStrategy") {
            fill_text(strategy, "type", "RollingUpdate");
            if text(&strategy["type"]) == "RollingUpdate" {
                fill(strategy, "rollingUpdate", json!({}));
                if let Some(update) = strategy.get_mut("rollingUpdate") {
                    fill(update, "maxUnavailable", 1);
                    fill(update, "maxSurge", 0);
                }
            }
        }
        fill(spec, "revisionHistoryLimit", 10);
        // A field of the internal form, which the API server writes out at every conversion.
        set_template_generation(object, template_generation(object));
    },
    prepare_create: |object| {
        prepare_create(object);
        put(object, "status", empty_daemon_status());
        let generation = template_generation(object).max(1);
        set_template_generation(object, generation);
    },
    validate: |object, errors| validate_daemon_set(object, errors),
    prepare_update: |old, new| {
        let mut generation = template_generation(old);
        prepare_update(old, new);
        if !same(&old["spec"]["template"], &new["spec"]["template"]) {
            generation += 1;
        }
        set_template_generation(new, generation);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        // The generation of the template is the API server's own, and therefore right.
        immutable(&old["spec"]["selector"], &new["spec"]["selector"], &Path::new("spec").child("selector"), errors);
        validate_daemon_set(new, errors);
    },
    prepare_status: |old, new| {
        keep_spec(old, new);
        set_template_generation(new, template_generation(old));
    },
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        for field in [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ] {
            nonnegative(int(&new["status"][field]), &Path::new("status").child(field), errors);
        }
        validate_collisions(old, new, errors);
    },
    warnings: |new, old| match old {
        Some(old) if template_generation(old) == template_generation(new) => Vec::new(),
        _ => pod::template_warnings(&new["spec"]["template"], &Path::new("spec").child("template")),
    },
    ..Rules::PLAIN
};

/// The fields that a DaemonSet's status always has.
fn empty_daemon_status() -> Value {
    json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0})
}

/// `apps/v1` has it in an annotation (`Convert_v1_DaemonSet_To_apps_DaemonSet`).
fn template_generation(object: &Value) -> i64 {
    text(&object["metadata"]["annotations"][TEMPLATE_GENERATION]).parse().unwrap_or_default()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let Some(metadata) = view::object(object, "metadata") else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    put(annotations, TEMPLATE_GENERATION, generation.to_string().into());
}

fn validate_daemon_set(object: &Value, errors: &mut Errors) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (own, own_path, template_path) = (&spec["selector"], path.child("selector"), path.child("template"));
    selector::validate(own, &own_path, errors);
    let labels = &spec["template"]["metadata"]["labels"];
    if selector::compile(own).is_ok_and(|own| !own.matches(labels)) {
        mismatch(labels, &template_path.child("metadata").child("labels"), errors);
    }
    if !own.is_null() && count(&own["matchLabels"]) + count(&own["matchExpressions"]) == 0 {
        errors.invalid(&own_path, own.clone(), "empty selector is invalid for daemonset");
    }
    pod::validate_template(&spec["template"], &template_path, errors);
    validate_always_on(&spec["template"], "DaemonSet", &template_path, errors);
    nonnegative(int(&spec["minReadySeconds"]), &path.child("minReadySeconds"), errors);
    nonnegative(template_generation(object), &path.child("templateGeneration"), errors);
    validate_daemon_strategy(&spec["updateStrategy"], &path.child("updateStrategy"), errors);
    nonnegative(int(&spec["revisionHistoryLimit"]), &path.child("revisionHistoryLimit"), errors);
}

fn validate_daemon_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (update, path_) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(&strategy["type"]) {
        "OnDelete" => {}
        "RollingUpdate" if update.is_null() => errors.required(&path_, ""),
        "RollingUpdate" => {
            let fields = ["maxUnavailable", "maxSurge"];
            let values = fields.map(|field| or_zero(&update[field]));
            for (field, value) in fields.iter().zip(&values) {
                validate_int_or_percent(value, &path_.child(field), errors);
            }
            for (field, value) in fields.iter().zip(&values) {
                at_most_all(value, &path_.child(field), errors);
            }
            let [unavailable, surge] = values;
            match (amount(&unavailable) != 0, amount(&surge) != 0) {
                (true, true) => {
                    errors.invalid(&path_.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero");
                }
                (false, false) => errors.required(&path_.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => not_supported("DaemonSetUpdateStrategy", strategy, "\"RollingUpdate\", \"OnDelete\"", path, errors),
    }
}

static REVISIONS: Rules = Rules {
    validate: |object, errors| {
        nonnegative(int(&object["revision"]), &Path::new("revision"), errors);
        match &object["data"] {
            Value::Object(_) => {}
            Value::Null => errors.required(&Path::new("data"), "data is mandatory"),
            _ => errors.required(&Path::new("data"), "data must be a valid JSON object"),
        }
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
        nonnegative(int(&new["revision"]), &Path::new("revision"), errors);
        if old["data"] != new["data"] {
            errors.invalid(&Path::new("data"), new["data"].clone(), "field is immutable");
        }
    },
    ..Rules::PLAIN
};
