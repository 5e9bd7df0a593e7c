//! Containers: those of the pod, those that run before them, and those that are added for debugging.

use serde_json::Value;

use super::super::names;
use super::super::view::{count, entries, int, list, text};
use super::volumes::{self, Volumes};
use super::{enumerated, env, probes, resources, security};
use crate::field::{Errors, Path};

/// What the checks of a container need to know of its pod.
pub(super) struct Context<'a> {
    pub(super) volumes: Volumes<'a>,
    /// The names in `spec.resourceClaims`.
    pub(super) claims: Vec<&'a str>,
    pub(super) grace: Option<i64>,
    pub(super) restart_policy: &'a str,
    /// Whether the pod shares the node's user namespace.
    pub(super) host_users: bool,
}

/// `validateContainers`.
pub(super) fn validate(containers: &Value, context: &Context, path: &Path, errors: &mut Errors) {
    if count(containers) == 0 {
        return errors.required(path, "");
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, container) in list(containers).iter().enumerate() {
        let (name, path) = (text(&container["name"]), path.index(i));
        validate_common(container, context, &path, errors);
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        }
        seen.push(name);
        probes::validate_lifecycle(&container["lifecycle"], context.grace, &path.child("lifecycle"), errors);
        probes::validate_all(container, &path, errors);
        if !container["restartPolicy"].is_null() {
            errors.forbidden(&path.child("restartPolicy"), "may not be set for non-init containers");
        }
    }
    validate_host_ports(list(containers), path, errors);
}

/// `validateInitContainers`.
pub(super) fn validate_init(spec: &Value, context: &Context, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = list(&spec["containers"]).iter().map(|container| text(&container["name"])).collect();
    for (i, container) in list(&spec["initContainers"]).iter().enumerate() {
        let (name, own_path) = (text(&container["name"]), path.index(i));
        validate_common(container, context, &own_path, errors);
        let policy = &container["restartPolicy"];
        enumerated(policy, &["Always"], &own_path.child("restartPolicy"), errors);
        if seen.contains(&name) {
            errors.duplicate(&own_path.child("name"), name);
        } else if !name.is_empty() {
            seen.push(name);
        }
        // The path is that of the first init container, whichever it is.
        validate_host_ports(std::slice::from_ref(container), path, errors);
        if resources::is_sidecar(container) {
            probes::validate_lifecycle(&container["lifecycle"], context.grace, &own_path.child("lifecycle"), errors);
            probes::validate_all(container, &own_path, errors);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if !container[field].is_null() {
                    let text = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&own_path.child(field), text);
                }
            }
        }
    }
}

/// `validateEphemeralContainers`.
pub(super) fn validate_ephemeral(spec: &Value, context: &Context, path: &Path, errors: &mut Errors) {
    let others: Vec<&str> =
        ["containers", "initContainers"].iter().flat_map(|kind| list(&spec[*kind])).map(|one| text(&one["name"])).collect();
    let mut seen = others.clone();
    for (i, container) in list(&spec["ephemeralContainers"]).iter().enumerate() {
        let (name, path) = (text(&container["name"]), path.index(i));
        validate_common(container, context, &path, errors);
        validate_image_of_pod(container, &path, errors);
        if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        } else {
            seen.push(name);
        }
        let target = text(&container["targetContainerName"]);
        if !target.is_empty() && !others.contains(&target) {
            errors.not_found(&path.child("targetContainerName"), target);
        }
        const FORBIDDEN: [&str; 9] = [
            "ports",
            "resources",
            "resizePolicy",
            "restartPolicy",
            "restartPolicyRules",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
        ];
        for field in FORBIDDEN {
            let value = &container[field];
            let is_set = !value.is_null() && (field != "resources" || entries(value).next().is_some());
            if is_set {
                errors.forbidden(&path.child(field), "cannot be set for an Ephemeral Container");
            }
        }
        for (i, mount) in list(&container["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(&mount[field]).is_empty() {
                    let path = path.child("volumeMounts").index(i).child(field);
                    errors.forbidden(&path, "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

/// `validateContainerOnlyForPod`.
pub(super) fn validate_image_of_pod(container: &Value, path: &Path, errors: &mut Errors) {
    let image = text(&container["image"]);
    if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

/// `validateContainerCommon`.
fn validate_common(container: &Value, context: &Context, path: &Path, errors: &mut Errors) {
    let name = text(&container["name"]);
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    } else {
        for why in names::label(name) {
            errors.invalid(&path.child("name"), name, &why);
        }
    }
    if text(&container["image"]).is_empty() {
        errors.required(&path.child("image"), "");
    }
    let policy_path = path.child("terminationMessagePolicy");
    match text(&container["terminationMessagePolicy"]) {
        "" => errors.required(&policy_path, ""),
        policy => enumerated(&policy.into(), &["File", "FallbackToLogsOnError"], &policy_path, errors),
    }
    validate_ports(&container["ports"], &path.child("ports"), errors);
    env::validate(list(&container["env"]), &path.child("env"), errors);
    env::validate_from(list(&container["envFrom"]), &path.child("envFrom"), errors);
    volumes::validate_mounts(container, &context.volumes, &path.child("volumeMounts"), errors);
    volumes::validate_devices(container, &context.volumes, &path.child("volumeDevices"), errors);
    validate_pull_policy(&container["imagePullPolicy"], &path.child("imagePullPolicy"), errors);
    resources::validate_container(&container["resources"], &context.claims, &path.child("resources"), errors);
    validate_resize_policy(&container["resizePolicy"], context.restart_policy, &path.child("resizePolicy"), errors);
    security::validate_container(&container["securityContext"], context.host_users, &path.child("securityContext"), errors);
}

/// `validatePullPolicy`.
pub(super) fn validate_pull_policy(policy: &Value, path: &Path, errors: &mut Errors) {
    match text(policy) {
        "" => errors.required(path, ""),
        policy => enumerated(&policy.into(), &["Always", "IfNotPresent", "Never"], path, errors),
    }
}

fn validate_ports(ports: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, port) in list(ports).iter().enumerate() {
        let path = path.index(i);
        let (name, number, host) = (text(&port["name"]), int(&port["containerPort"]), int(&port["hostPort"]));
        if !name.is_empty() {
            let wrong = names::port_name(name);
            for why in &wrong {
                errors.invalid(&path.child("name"), name, why);
            }
            if wrong.is_empty() {
                if seen.contains(&name) {
                    errors.duplicate(&path.child("name"), name);
                } else {
                    seen.push(name);
                }
            }
        }
        if number == 0 {
            errors.required(&path.child("containerPort"), "");
        } else {
            for why in names::port_number(number) {
                errors.invalid(&path.child("containerPort"), number, &why);
            }
        }
        if host != 0 {
            for why in names::port_number(host) {
                errors.invalid(&path.child("hostPort"), host, &why);
            }
        }
        match text(&port["protocol"]) {
            "" => errors.required(&path.child("protocol"), ""),
            protocol => enumerated(&protocol.into(), &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors),
        }
    }
}

/// `checkHostPortConflicts`.
fn validate_host_ports(containers: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in list(&container["ports"]).iter().enumerate().filter(|(_, port)| int(&port["hostPort"]) != 0) {
            let key = format!("{}/{}/{}", text(&port["protocol"]), text(&port["hostIP"]), int(&port["hostPort"]));
            if seen.contains(&key) {
                errors.duplicate(&path.index(i).child("ports").index(j).child("hostPort"), key.as_str());
            } else {
                seen.push(key);
            }
        }
    }
}

fn validate_resize_policy(policies: &Value, restart_policy: &str, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, policy) in list(policies).iter().enumerate() {
        let (resource, restart) = (text(&policy["resourceName"]), text(&policy["restartPolicy"]));
        if seen.contains(&resource) {
            errors.duplicate(&path.index(i), resource);
        }
        seen.push(resource);
        for (value, allowed) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            match value {
                "" => errors.required(path, ""),
                value => enumerated(&value.into(), &allowed, path, errors),
            }
        }
        if restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}
