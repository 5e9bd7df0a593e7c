//! Pods, and the templates that they are made from.

use serde_json::{Value, json};

use super::view::{self, count, flag, int, items, keep, list, put, remove, same, set_generation, text};
use super::{Rules, meta};
use crate::field::{Errors, Path};

mod affinity;
mod annotations;
mod binding;
mod containers;
mod defaults;
mod env;
mod image;
mod probes;
mod resources;
mod security;
mod spec;
mod update;
mod volumes;
mod warnings;

pub(crate) use binding::bind;
pub(crate) use defaults::template as default_template;
pub(crate) use image::tag as image_tag;
pub(crate) use resources::quality_of_service;
pub(crate) use spec::{validate_template, validate_template_annotations};
pub(crate) use update::{prepare_ephemeral_containers, prepare_resize, validate_ephemeral_containers_update, validate_resize};
pub(crate) use warnings::{of_claim_spec as claim_warnings, of_name as name_warning, of_template as template_warnings};

/// The rules of the core group's workloads.
pub(crate) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "pods" => &PODS,
        "podtemplates" => &TEMPLATES,
        _ => super::replication::rules(),
    }
}

static PODS: Rules = Rules {
    default: defaults::pod,
    prepare_create,
    validate,
    prepare_update: |old, new| {
        keep(old, new, "status");
        drop_disabled(spec_mut(new), &old["spec"]);
        update::bump(old, new);
    },
    validate_update: update::validate,
    prepare_status: update::prepare_status,
    validate_status: update::validate_status,
    warnings: warnings::of_pod,
    fields,
    grace_period,
    ..Rules::PLAIN
};

static TEMPLATES: Rules = Rules {
    default: |object| {
        view::object(object, "template");
        if let Some(template) = object.get_mut("template") {
            default_template(template);
        }
    },
    prepare_create: |object| {
        set_generation(object, 1);
        if let Some(template) = object.get_mut("template") {
            drop_disabled(spec_mut(template), &Value::Null);
        }
    },
    validate: |object, errors| validate_template(&object["template"], &Path::new("template"), errors),
    prepare_update: |old, new| {
        if let Some(template) = new.get_mut("template") {
            drop_disabled(spec_mut(template), &old["template"]["spec"]);
        }
        if !same(&old["template"], &new["template"]) {
            set_generation(new, int(&old["metadata"]["generation"]) + 1);
        }
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_template(&new["template"], &Path::new("template"), errors);
    },
    warnings: |new, old| match old {
        Some(old) if old["metadata"]["generation"] == new["metadata"]["generation"] => Vec::new(),
        _ => template_warnings(&new["template"], &Path::new("template")),
    },
    ..Rules::PLAIN
};

/// Kubernetes' time now, to the second.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn spec_mut(owner: &mut Value) -> Option<&mut Value> {
    owner.get_mut("spec")
}

/// An optional value that must be one of these.
fn enumerated(value: &Value, allowed: &[&str], path: &Path, errors: &mut Errors) {
    if !value.is_null() && !allowed.contains(&text(value)) {
        errors.not_supported(path, text(value), allowed);
    }
}

/// `ValidateNonnegativeField`.
pub(crate) fn nonnegative(number: i64, path: &Path, errors: &mut Errors) {
    if number < 0 {
        errors.invalid(path, number, "must be greater than or equal to 0");
    }
}

/// All containers with their paths (`VisitContainersWithPath`).
fn visit(spec: &Value, path: &Path, mut visitor: impl FnMut(&Value, &Path)) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in list(&spec[kind]).iter().enumerate() {
            visitor(container, &path.child(kind).index(i));
        }
    }
}

fn prepare_create(pod: &mut Value) {
    set_generation(pod, 1);
    let quality = quality_of_service(&pod["spec"]);
    put(pod, "status", json!({"phase": "Pending", "qosClass": quality}));
    drop_disabled(spec_mut(pod), &Value::Null);
    if count(&pod["spec"]["schedulingGates"]) > 0 {
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": now(),
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        });
        if let Some(status) = view::object(pod, "status") {
            status.insert("conditions".to_owned(), json!([condition]));
        }
    }
    affinity::apply_label_keys(pod);
    apply_app_armor_annotations(pod);
}

/// `applyAppArmorVersionSkew`: the annotation becomes the field.
fn apply_app_armor_annotations(pod: &mut Value) {
    if text(&pod["spec"]["os"]["name"]) == "windows" {
        return;
    }
    let own_annotations = pod["metadata"]["annotations"].clone();
    let of_pod = pod["spec"]["securityContext"]["appArmorProfile"].clone();
    let Some(spec) = spec_mut(pod) else { return };
    for kind in ["initContainers", "containers"] {
        for container in items(spec, kind) {
            let key = format!("{}{}", annotations::APP_ARMOR, text(&container["name"]));
            let Some(annotation) = own_annotations.get(key) else { continue };
            let profile = annotations::app_armor_field(text(annotation));
            let is_set = !container["securityContext"]["appArmorProfile"].is_null();
            let mut wrong = Errors::new();
            security::validate_app_armor(&profile, &Path::root(), &mut wrong);
            if is_set || profile.is_null() || !wrong.is_empty() || profile == of_pod {
                continue;
            }
            if let Some(context) = view::object(container, "securityContext") {
                context.insert("appArmorProfile".to_owned(), profile);
            }
        }
    }
}

/// Clears fields of features that 1.34 has off by default, unless the old object uses them (`dropDisabledFields`).
pub(crate) fn drop_disabled(spec: Option<&mut Value>, old: &Value) {
    let Some(spec) = spec else { return };
    if old["hostnameOverride"].is_null() {
        remove(spec, "hostnameOverride");
    }
    let old_volumes = list(&old["volumes"]);
    let old_sources = || old_volumes.iter().flat_map(|volume| list(&volume["projected"]["sources"]));
    if old_volumes.iter().all(|volume| volume["image"].is_null()) {
        drop_image_volumes(spec);
    }
    for volume in items(spec, "volumes") {
        let Some(projected) = volume.get_mut("projected") else { continue };
        for kind in ["clusterTrustBundle", "podCertificate"] {
            if old_sources().all(|source| source[kind].is_null()) {
                for source in items(projected, "sources") {
                    remove(source, kind);
                }
            }
        }
    }
    let uses = |test: &dyn Fn(&Value) -> bool| {
        let mut found = false;
        visit(old, &Path::root(), |container, _| found |= test(container));
        found
    };
    let keeps_files = uses(&|one| list(&one["env"]).iter().any(|variable| !variable["valueFrom"]["fileKeyRef"].is_null()));
    let keeps_signals = uses(&|one| !one["lifecycle"]["stopSignal"].is_null());
    let keeps_rules = uses(&|one| !one["restartPolicyRules"].is_null())
        || list(&old["containers"]).iter().any(|one| !one["restartPolicy"].is_null());
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, kind) {
            if !keeps_rules {
                remove(container, "restartPolicyRules");
                if kind != "initContainers" || text(&container["restartPolicy"]) != "Always" {
                    remove(container, "restartPolicy");
                }
            }
            if !keeps_files {
                for source in items(container, "env").filter_map(|variable| variable.get_mut("valueFrom")) {
                    remove(source, "fileKeyRef");
                }
            }
            if !keeps_signals
                && let Some(lifecycle) = container.get_mut("lifecycle")
                && !lifecycle["stopSignal"].is_null()
            {
                remove(lifecycle, "stopSignal");
                if count(lifecycle) == 0 {
                    remove(container, "lifecycle");
                }
            }
        }
    }
}

/// Volumes of images go, and so do their mounts.
fn drop_image_volumes(spec: &mut Value) {
    let is_image = |volume: &&Value| !volume["image"].is_null();
    let names: Vec<String> =
        list(&spec["volumes"]).iter().filter(is_image).map(|volume| text(&volume["name"]).to_owned()).collect();
    if names.is_empty() {
        return;
    }
    let drop_named = |owner: &mut Value, field: &str| {
        if let Some(Value::Array(all)) = owner.get_mut(field) {
            all.retain(|one| !names.iter().any(|name| name == text(&one["name"])));
        }
    };
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, kind) {
            drop_named(container, "volumeMounts");
        }
    }
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
        volumes.retain(|volume| volume["image"].is_null());
    }
}

/// `ValidatePodCreate`.
fn validate(pod: &Value, errors: &mut Errors) {
    validate_common(pod, errors);
    let (spec, path) = (&pod["spec"], Path::new("spec"));
    if count(&spec["ephemeralContainers"]) > 0 {
        errors.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !text(&spec["nodeName"]).is_empty() && count(&spec["schedulingGates"]) > 0 {
        errors.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    annotations::validate_fields(&pod["metadata"]["annotations"], spec, &path, errors);
}

/// `validatePodMetadataAndSpec`, but for the metadata.
fn validate_common(pod: &Value, errors: &mut Errors) {
    let (metadata, own, path) = (&pod["metadata"], &pod["spec"], Path::new("spec"));
    let annotations_path = Path::new("metadata").child("annotations");
    annotations::validate(&metadata["annotations"], own, &annotations_path, errors);
    spec::validate(own, text(&metadata["name"]), true, &path, errors);
    if text(&own["serviceAccountName"]).is_empty() {
        for (i, volume) in list(&own["volumes"]).iter().enumerate() {
            let path = path.child("volumes").index(i).child("projected").child("sources");
            for (j, source) in list(&volume["projected"]["sources"]).iter().enumerate() {
                if !source["serviceAccountToken"].is_null() {
                    let text = "must not be specified when serviceAccountName is not set";
                    errors.forbidden(&path.index(j).child("serviceAccountToken"), text);
                }
            }
        }
    }
    for kind in ["containers", "initContainers"] {
        for (i, container) in list(&own[kind]).iter().enumerate() {
            containers::validate_image_of_pod(container, &path.child(kind).index(i), errors);
        }
    }
}

fn fields(pod: &Value) -> Vec<(&'static str, String)> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    vec![
        ("spec.nodeName", text(&spec["nodeName"]).to_owned()),
        ("spec.restartPolicy", text(&spec["restartPolicy"]).to_owned()),
        ("spec.schedulerName", text(&spec["schedulerName"]).to_owned()),
        ("spec.serviceAccountName", text(&spec["serviceAccountName"]).to_owned()),
        ("spec.hostNetwork", flag(&spec["hostNetwork"]).to_string()),
        ("status.phase", text(&status["phase"]).to_owned()),
        ("status.podIP", text(&status["podIPs"][0]["ip"]).to_owned()),
        ("status.nominatedNodeName", text(&status["nominatedNodeName"]).to_owned()),
    ]
}

/// `CheckGracefulDelete`: how long a delete that asks for no other period waits. A pod that runs nowhere goes at once.
fn grace_period(pod: &Value) -> Option<i64> {
    if is_gone(pod) {
        return Some(0);
    }
    let seconds = int(&pod["spec"]["terminationGracePeriodSeconds"]);
    Some(if seconds < 0 { 1 } else { seconds })
}

/// Whether nothing of the pod runs, so that any delete of it is immediate.
fn is_gone(pod: &Value) -> bool {
    text(&pod["spec"]["nodeName"]).is_empty() || matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        let mut pod = json!({
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "1"},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        });
        defaults::pod(&mut pod);
        pod
    }

    fn errors(check: impl FnOnce(&mut Errors)) -> String {
        let mut errors = Errors::new();
        check(&mut errors);
        errors.aggregate().unwrap_or_default()
    }

    #[test]
    fn a_good_pod() {
        let mut new = pod();
        prepare_create(&mut new);
        assert_eq!(errors(|e| validate(&new, e)), "");
        assert_eq!(new["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
        assert_eq!(new["metadata"]["generation"], 1);
        assert_eq!(grace_period(&new), Some(0));
        new["spec"]["nodeName"] = "n".into();
        assert_eq!(grace_period(&new), Some(30));
    }

    #[test]
    fn an_image_may_change_and_a_port_may_not() {
        let old = pod();
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = "other".into();
        assert_eq!(errors(|e| update::validate(&old, &new, e)), "");
        new["spec"]["containers"][0]["name"] = "d".into();
        let text = errors(|e| update::validate(&old, &new, e));
        assert!(text.contains("pod updates may not change fields other than `spec.containers[*].image`,"), "{text}");
        assert!(text.contains("\n@@ -3,7 +3,7 @@\n"), "{text}");
        assert!(text.contains("\n-   \"Name\": \"c\",\n+   \"Name\": \"d\",\n"), "{text}");
    }

    #[test]
    fn a_binding_is_for_once() {
        let binding = json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}});
        let bound = bind(&pod(), &binding, "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(bound["spec"]["nodeName"], "n");
        assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
        let refusal = bind(&bound, &binding, "").unwrap_err();
        assert_eq!(refusal.code, 409);
        let why = "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n\"";
        assert_eq!(refusal.message, why);
    }
}
