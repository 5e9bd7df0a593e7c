//! What a pod's spec must be like, in a pod or in a template (`ValidatePodSpec`).

use serde_json::Value;

use super::super::view::{count, entries, flag, int, list, text};
use super::super::{ip, names};
use super::containers::{self, Context};
use super::{affinity, annotations, enumerated, resources, security, volumes};
use crate::field::{Errors, Path};

/// `ValidatePodTemplateSpec`.
pub(crate) fn validate_template(template: &Value, path: &Path, errors: &mut Errors) {
    let metadata = &template["metadata"];
    let spec_path = path.child("spec");
    names::validate_labels(&metadata["labels"], &path.child("labels"), errors);
    validate_template_annotations(template, path, errors);
    validate(&template["spec"], "", false, &spec_path, errors);
    annotations::validate_fields(&metadata["annotations"], &template["spec"], &spec_path, errors);
    if count(&template["spec"]["ephemeralContainers"]) > 0 {
        errors.forbidden(&spec_path.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// The part of [`validate_template`] about annotations, which StatefulSets check twice.
pub(crate) fn validate_template_annotations(template: &Value, path: &Path, errors: &mut Errors) {
    let (own, path) = (&template["metadata"]["annotations"], path.child("annotations"));
    super::super::meta::annotations(own, &path, errors);
    annotations::validate(own, &template["spec"], &path, errors);
}

/// `pod` is the pod's name, "" in a template.
pub(super) fn validate(spec: &Value, pod: &str, is_pod: bool, path: &Path, errors: &mut Errors) {
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    if grace.is_none() {
        errors.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volumes::validate(&spec["volumes"], pod, is_pod, &path.child("volumes"), errors);
    let claims = list(&spec["resourceClaims"]).iter().map(|claim| text(&claim["name"])).filter(|name| !name.is_empty());
    let context = Context {
        volumes,
        claims: claims.collect(),
        grace,
        restart_policy: text(&spec["restartPolicy"]),
        host_users: spec["hostUsers"] != false,
    };
    validate_claims(&spec["resourceClaims"], &path.child("resourceClaims"), errors);
    containers::validate(&spec["containers"], &context, &path.child("containers"), errors);
    containers::validate_init(spec, &context, &path.child("initContainers"), errors);
    containers::validate_ephemeral(spec, &context, &path.child("ephemeralContainers"), errors);
    resources::validate_pod_level(spec, &context.claims, path, errors);
    validate_host_ports(spec, is_pod, path, errors);
    one_of(&spec["restartPolicy"], &["Always", "OnFailure", "Never"], &path.child("restartPolicy"), errors);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(&spec["dnsPolicy"], &policies, &path.child("dnsPolicy"), errors);
    names::validate_labels(&spec["nodeSelector"], &path.child("nodeSelector"), errors);
    security::validate_pod(spec, &path.child("securityContext"), errors);
    affinity::validate(&spec["affinity"], &path.child("affinity"), errors);
    validate_dns(spec, &path.child("dnsConfig"), errors);
    for (i, gate) in list(&spec["readinessGates"]).iter().enumerate() {
        let path = path.child("readinessGates").index(i).child("conditionType");
        names::validate_label_name(text(&gate["conditionType"]), &path, errors);
    }
    let mut gates: Vec<&str> = Vec::new();
    for (i, gate) in list(&spec["schedulingGates"]).iter().enumerate() {
        let (name, path) = (text(&gate["name"]), path.child("schedulingGates").index(i));
        names::validate_label_name(name, &path, errors);
        if gates.contains(&name) {
            errors.duplicate(&path, name);
        }
        gates.push(name);
    }
    affinity::validate_spread(&spec["topologySpreadConstraints"], &path.child("topologySpreadConstraints"), errors);
    security::validate_host_process(spec, path, errors);
    security::validate_host_users(spec, path, errors);
    validate_names(spec, path, errors);
    enumerated_policy(spec, path, errors);
    if entries(&spec["overhead"]).next().is_some() {
        let limits = serde_json::json!({"limits": spec["overhead"]});
        resources::validate_container(&limits, &[], &path.child("overhead"), errors);
    }
    security::validate_os(spec, path, errors);
}

/// A value that must be there and be one of these.
fn one_of(value: &Value, allowed: &[&str], path: &Path, errors: &mut Errors) {
    match text(value) {
        "" => errors.required(path, ""),
        value => enumerated(&value.into(), allowed, path, errors),
    }
}

fn enumerated_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    if !spec["preemptionPolicy"].is_null() {
        let allowed = ["PreemptLowerPriority", "Never"];
        one_of(&spec["preemptionPolicy"], &allowed, &path.child("preemptionPolicy"), errors);
    }
}

/// The names of other things, and what stands among their checks.
fn validate_names(spec: &Value, path: &Path, errors: &mut Errors) {
    let check = |field: &str, check: fn(&str) -> Vec<String>, errors: &mut Errors| {
        let name = text(&spec[field]);
        for why in check(name).iter().filter(|_| !name.is_empty()) {
            errors.invalid(&path.child(field), name, why);
        }
    };
    check("serviceAccountName", names::subdomain, errors);
    check("nodeName", names::subdomain, errors);
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        let most = i64::from(i32::MAX);
        if !(1..=most).contains(&seconds) {
            errors.invalid(&path.child("activeDeadlineSeconds"), seconds, &names::range_error(1, most));
        }
    }
    check("hostname", names::label, errors);
    check("subdomain", names::label, errors);
    affinity::validate_tolerations(&spec["tolerations"], &path.child("tolerations"), errors);
    for (i, alias) in list(&spec["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(i);
        ip::validate_legacy(text(&alias["ip"]), &path.child("ip"), errors);
        for (i, host) in list(&alias["hostnames"]).iter().enumerate() {
            for why in names::subdomain(text(host)) {
                errors.invalid(&path.child("hostnames").index(i), text(host), &why);
            }
        }
    }
    check("priorityClassName", names::subdomain, errors);
    if let Some(class) = spec["runtimeClassName"].as_str() {
        for why in names::subdomain(class) {
            errors.invalid(&path.child("runtimeClassName"), class, &why);
        }
    }
}

fn validate_claims(claims: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, claim) in list(claims).iter().enumerate() {
        let (name, path) = (text(&claim["name"]), path.index(i));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if seen.contains(&name) {
            errors.duplicate(&path.child("name"), name);
        } else {
            for why in names::label(name) {
                errors.invalid(&path.child("name"), name, &why);
            }
            seen.push(name);
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let why = match sources.iter().filter(|source| !claim[**source].is_null()).count() {
            2 => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => "",
        };
        if !why.is_empty() {
            let what = super::super::internal::invalid("PodResourceClaim", claim, why);
            errors.other(crate::field::Kind::Invalid, &path.to_string(), what);
        }
        for source in sources {
            if let Some(name) = claim[source].as_str() {
                for why in names::subdomain(name) {
                    errors.invalid(&path.child(source), name, &why);
                }
            }
        }
    }
}

/// `validatePodHostNetworkDeps`.
fn validate_host_ports(spec: &Value, is_pod: bool, path: &Path, errors: &mut Errors) {
    if !flag(&spec["hostNetwork"]) {
        return;
    }
    for (i, container) in list(&spec["containers"]).iter().enumerate() {
        for (j, port) in list(&container["ports"]).iter().enumerate() {
            let (host, own) = (int(&port["hostPort"]), int(&port["containerPort"]));
            if (is_pod || host != 0) && host != own {
                let path = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                errors.invalid(&path, host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn validate_dns(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = &spec["dnsConfig"];
    let (servers, searches) = (list(&config["nameservers"]), list(&config["searches"]));
    if text(&spec["dnsPolicy"]) == "None" {
        if config.is_null() {
            return errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.required(&path.child("nameservers"), text);
        }
    }
    if servers.len() > 3 {
        errors.invalid(&path.child("nameservers"), servers.to_vec(), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().enumerate() {
        ip::validate_legacy(text(server), &path.child("nameservers").index(i), errors);
    }
    let searches_path = path.child("searches");
    if searches.len() > 32 {
        errors.invalid(&searches_path, searches.to_vec(), "must not have more than 32 search paths");
    }
    let characters: usize = searches.iter().map(|search| text(search).len() + 1).sum();
    if characters > 2049 {
        let text = "must not have more than 2048 characters (including spaces) in the search list";
        errors.invalid(&searches_path, searches.to_vec(), text);
    }
    for (i, search) in searches.iter().map(text).enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        for why in underscored_subdomain(search) {
            errors.invalid(&searches_path.index(i), search, &why);
        }
    }
    for (i, option) in list(&config["options"]).iter().enumerate() {
        if text(&option["name"]).is_empty() {
            errors.required(&path.child("options").index(i), "must not be empty");
        }
    }
}

/// `IsDNS1123SubdomainWithUnderscore`.
fn underscored_subdomain(name: &str) -> Vec<String> {
    const FORMAT: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        label.starts_with(is_end) && label.ends_with(is_end) && label.chars().all(|c| is_end(c) || matches!(c, '-' | '_'))
    };
    let mut wrong = Vec::new();
    if name.len() > 253 {
        wrong.push(names::max_len(253));
    }
    if !name.split('.').all(is_label) {
        wrong.push(names::regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start \
             and end with an alphanumeric character",
            FORMAT,
            &["example.com"],
        ));
    }
    wrong
}
