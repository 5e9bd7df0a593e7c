//! Rules of `networking.k8s.io` (`pkg/apis/networking/validation/validation.go`).

use std::net::IpAddr;

use serde_json::{Value, json};

use super::core::service::validate_balancer_host;
use super::view::{bump_generation, count, fill, immutable, int, items, keep, list, object, put, set_generation, text};
use super::{Rules, ip, meta, names, selector};
use crate::field::{Errors, Path, quote};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "ingresses" => &INGRESS,
        "ingressclasses" => &INGRESS_CLASS,
        "networkpolicies" => &NETWORK_POLICY,
        "ipaddresses" => &IP_ADDRESS,
        "servicecidrs" => &SERVICE_CIDR,
        _ => &Rules::PLAIN,
    }
}

const INGRESS: Rules = Rules {
    prepare_create: |ingress| {
        put(ingress, "status", json!({"loadBalancer": {}}));
        set_generation(ingress, 1);
    },
    validate: |ingress, errors| {
        validate_ingress(&ingress["spec"], errors);
        let annotation = &ingress["metadata"]["annotations"][CLASS_ANNOTATION];
        let class = &ingress["spec"]["ingressClassName"];
        if annotation.is_string() && class.is_string() && annotation != class {
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            errors.invalid(&path, text(annotation), "must match `ingressClassName` when both are specified");
        }
    },
    prepare_update: |old, new| {
        keep(old, new, "status");
        bump_generation(old, new);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_ingress(&new["spec"], errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let addresses = |ingress: &Value| list(&ingress["status"]["loadBalancer"]["ingress"]).to_vec();
        let had: Vec<_> = addresses(old).iter().map(|i| i["ip"].clone()).collect();
        for (i, one) in addresses(new).iter().enumerate() {
            let path = Path::new("status").child("loadBalancer").child("ingress").index(i);
            let address = text(&one["ip"]);
            if !address.is_empty() && !had.contains(&one["ip"]) {
                ip::validate_legacy(address, &path.child("ip"), errors);
            }
            validate_balancer_host(text(&one["hostname"]), &path.child("hostname"), errors);
        }
    },
    warnings: |ingress, old| {
        let annotated = ingress["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some();
        if old.is_some() || !annotated || !ingress["spec"]["ingressClassName"].is_null() {
            return Vec::new();
        }
        vec![format!("annotation {} is deprecated, please use 'spec.ingressClassName' instead", quote(CLASS_ANNOTATION))]
    },
    ..Rules::PLAIN
};

fn validate_ingress(spec: &Value, errors: &mut Errors) {
    let (path, rules) = (Path::new("spec"), list(&spec["rules"]));
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let shown = if spec["rules"].is_null() { "null" } else { "[]" };
        let detail = "either `defaultBackend` or `rules` must be specified";
        super::view::invalid_shown(errors, &path, shown, detail);
    }
    if !spec["defaultBackend"].is_null() {
        validate_backend(&spec["defaultBackend"], &path.child("defaultBackend"), errors);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(i);
        let host = text(&rule["host"]);
        if !host.is_empty() {
            if ip::parse_sloppy(host).is_some() {
                errors.invalid(&path.child("host"), host, "must be a DNS name, not an IP address");
            }
            validate_host(host, &path.child("host"), errors);
        }
        if rule["http"].is_null() {
            continue;
        }
        let (paths, at) = (list(&rule["http"]["paths"]), path.child("http").child("paths"));
        if paths.is_empty() {
            errors.required(&at, "");
        }
        for (j, one) in paths.iter().enumerate() {
            validate_path(one, &at.index(j), errors);
        }
    }
    for (i, tls) in list(&spec["tls"]).iter().enumerate() {
        let path = path.child("tls").index(i);
        for (j, host) in list(&tls["hosts"]).iter().map(text).enumerate() {
            validate_host(host, &path.child("hosts").index(j), errors);
        }
        let secret = text(&tls["secretName"]);
        if !secret.is_empty() {
            for wrong in names::subdomain(secret) {
                errors.invalid(&path.child("secretName"), secret, &wrong);
            }
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        for wrong in names::subdomain(class) {
            errors.invalid(&path.child("ingressClassName"), class, &wrong);
        }
    }
}

fn validate_host(host: &str, path: &Path, errors: &mut Errors) {
    let wrong = if host.contains('*') { names::wildcard_subdomain(host) } else { names::subdomain(host) };
    for wrong in wrong {
        errors.invalid(path, host, &wrong);
    }
}

fn validate_path(one: &Value, path: &Path, errors: &mut Errors) {
    let (given, at) = (text(&one["path"]), path.child("path"));
    match one["pathType"].as_str() {
        None => {
            errors.required(&path.child("pathType"), "pathType must be specified");
            return;
        }
        Some("Exact" | "Prefix") => {
            if !given.starts_with('/') {
                errors.invalid(&at, given, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if given.contains(part) {
                    errors.invalid(&at, given, &format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if given.ends_with(end) {
                    errors.invalid(&at, given, &format!("cannot end with '{end}'"));
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !given.is_empty() && !given.starts_with('/') {
                errors.invalid(&at, given, "must be an absolute path");
            }
        }
        Some(other) => {
            errors.not_supported(&path.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]);
        }
    }
    validate_backend(&one["backend"], &path.child("backend"), errors);
}

fn validate_backend(backend: &Value, path: &Path, errors: &mut Errors) {
    let (resource, service) = (&backend["resource"], &backend["service"]);
    match (resource.is_null(), service.is_null()) {
        (false, false) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (true, true) => errors.invalid(path, "", "resource or service backend is required"),
        (false, true) => validate_reference(resource, &path.child("resource"), errors),
        (true, false) => {
            let (name, at) = (text(&service["name"]), path.child("service").child("name"));
            if name.is_empty() {
                errors.required(&at, "");
            } else {
                for wrong in names::dns1035(name) {
                    errors.invalid(&at, name, &wrong);
                }
            }
            let (name, number) = (text(&service["port"]["name"]), int(&service["port"]["number"]));
            let at = path.child("service").child("port");
            match (name, number) {
                ("", 0) => errors.required(path, "port name or number is required"),
                ("", number) => {
                    for wrong in names::port_number(number) {
                        errors.invalid(&at.child("number"), number, &wrong);
                    }
                }
                (name, 0) => {
                    for wrong in names::port_name(name) {
                        errors.invalid(&at.child("name"), name, &wrong);
                    }
                }
                _ => errors.invalid(path, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// validateIngressTypedLocalObjectReference.
fn validate_reference(reference: &Value, path: &Path, errors: &mut Errors) {
    if let Some(group) = reference["apiGroup"].as_str() {
        for wrong in names::subdomain(group) {
            errors.invalid(&path.child("apiGroup"), group, &wrong);
        }
    }
    for field in ["kind", "name"] {
        validate_segment(text(&reference[field]), true, &path.child(field), errors);
    }
}

fn validate_segment(value: &str, required: bool, path: &Path, errors: &mut Errors) {
    if value.is_empty() && required {
        errors.required(path, "");
    }
    for wrong in names::path_segment(value, false) {
        errors.invalid(path, value, &wrong);
    }
}

const INGRESS_CLASS: Rules = Rules {
    default: |class| {
        if let Some(parameters) = class.pointer_mut("/spec/parameters") {
            fill(parameters, "scope", "Cluster");
        }
    },
    prepare_create: |class| set_generation(class, 1),
    validate: |class, errors| validate_class(&class["spec"], errors),
    prepare_update: bump_generation,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let path = Path::new("spec").child("controller");
        immutable(&old["spec"]["controller"], &new["spec"]["controller"], &path, errors);
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_class(&new["spec"], errors);
    },
    ..Rules::PLAIN
};

fn validate_class(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (controller, at) = (text(&spec["controller"]), path.child("controller"));
    if controller.len() > 250 {
        errors.too_long(&at, 250);
    }
    validate_domain_path(controller, &at, errors);
    let (parameters, at) = (&spec["parameters"], path.child("parameters"));
    if parameters.is_null() {
        return;
    }
    validate_reference(parameters, &at, errors);
    let namespace = parameters["namespace"].as_str();
    let at_namespace = at.child("namespace");
    match (text(&parameters["scope"]), namespace) {
        ("Cluster", None) => {}
        ("Cluster", Some(_)) => errors.forbidden(&at_namespace, "`parameters.scope` is set to 'Cluster'"),
        ("Namespace", None) => errors.required(&at_namespace, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", Some(namespace)) => {
            for wrong in names::label(namespace) {
                errors.invalid(&at_namespace, namespace, &wrong);
            }
        }
        (other, _) => errors.not_supported(&at.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

/// IsDomainPrefixedPath.
fn validate_domain_path(value: &str, path: &Path, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
        return;
    }
    let Some((host, rest)) = value.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty()) else {
        errors.invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    for wrong in names::subdomain(host) {
        errors.invalid(path, host, &wrong);
    }
    if !rest.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c)) {
        errors.invalid(path, rest, &names::regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]));
    }
}

const NETWORK_POLICY: Rules = Rules {
    default: |policy| {
        let Some(spec) = policy.get_mut("spec") else { return };
        for rules in ["ingress", "egress"] {
            for rule in items(spec, rules) {
                for port in items(rule, "ports") {
                    fill(port, "protocol", "TCP");
                }
            }
        }
        if count(&spec["policyTypes"]) == 0 {
            let both = count(&spec["egress"]) > 0;
            put(spec, "policyTypes", if both { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    },
    prepare_create: |policy| set_generation(policy, 1),
    validate: |policy, errors| validate_policy(&policy["spec"], errors),
    prepare_update: bump_generation,
    validate_update: |old, new, errors| {
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_policy(&new["spec"], errors);
        meta::validate_update(old, new, errors);
        validate_policy(&new["spec"], errors);
    },
    warnings: |policy, _| {
        let mut warnings = Vec::new();
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for (i, rule) in list(&policy["spec"][rules]).iter().enumerate() {
                for (j, peer) in list(&rule[peers]).iter().enumerate() {
                    let (block, path) = (&peer["ipBlock"], format!("spec.{rules}[{i}].{peers}[{j}].ipBlock"));
                    if block.is_null() {
                        continue;
                    }
                    warnings.extend(ip::cidr_warnings(text(&block["cidr"]), &format!("{path}.cidr")));
                    for (k, except) in list(&block["except"]).iter().enumerate() {
                        warnings.extend(ip::cidr_warnings(text(except), &format!("{path}.except[{k}]")));
                    }
                }
            }
        }
        warnings
    },
    ..Rules::PLAIN
};

fn validate_policy(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    selector::validate(&spec["podSelector"], &path.child("podSelector"), errors);
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in list(&spec[rules]).iter().enumerate() {
            let path = path.child(rules).index(i);
            for (j, port) in list(&rule["ports"]).iter().enumerate() {
                validate_policy_port(port, &path.child("ports").index(j), errors);
            }
            for (j, peer) in list(&rule[peers]).iter().enumerate() {
                validate_peer(peer, &path.child(peers).index(j), errors);
            }
        }
    }
    let (kinds, at) = (list(&spec["policyTypes"]), path.child("policyTypes"));
    if kinds.len() > 2 {
        errors.invalid(&at, spec["policyTypes"].clone(), "may not specify more than two policyTypes");
        return;
    }
    for (i, kind) in kinds.iter().map(text).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            errors.not_supported(&at.index(i), kind, &["Ingress", "Egress"]);
        }
    }
}

fn validate_policy_port(port: &Value, path: &Path, errors: &mut Errors) {
    if let Some(protocol) = port["protocol"].as_str()
        && !matches!(protocol, "TCP" | "UDP" | "SCTP")
    {
        errors.not_supported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let (end, at) = (port["endPort"].as_i64(), path.child("endPort"));
    match &port["port"] {
        Value::Null => {
            if let Some(end) = end {
                errors.invalid(&at, end, "may not be specified when `port` is not specified");
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.invalid(&at, end, "may not be specified when `port` is non-numeric");
            }
            for wrong in names::port_name(name) {
                errors.invalid(&path.child("port"), name.as_str(), &wrong);
            }
        }
        number => {
            let number = int(number);
            for wrong in names::port_number(number) {
                errors.invalid(&path.child("port"), number, &wrong);
            }
            if let Some(end) = end {
                if end < number {
                    errors.invalid(&at, number, "must be greater than or equal to `port`");
                }
                for wrong in names::port_number(end) {
                    errors.invalid(&at, end, &wrong);
                }
            }
        }
    }
}

fn validate_peer(peer: &Value, path: &Path, errors: &mut Errors) {
    let mut peers = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if !peer[field].is_null() {
            peers += 1;
            selector::validate(&peer[field], &path.child(field), errors);
        }
    }
    let block = &peer["ipBlock"];
    if !block.is_null() {
        peers += 1;
        validate_block(block, &path.child("ipBlock"), errors);
    }
    if peers == 0 {
        errors.required(path, "must specify a peer");
    } else if peers > 1 && !block.is_null() {
        errors.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn validate_block(block: &Value, path: &Path, errors: &mut Errors) {
    let cidr = text(&block["cidr"]);
    if cidr.is_empty() {
        errors.required(&path.child("cidr"), "");
        return;
    }
    let Some(whole) = ip::validate_cidr_legacy(cidr, &path.child("cidr"), errors) else { return };
    for (i, except) in list(&block["except"]).iter().map(text).enumerate() {
        let path = path.child("except").index(i);
        let Some(part) = ip::validate_cidr_legacy(except, &path, errors) else { continue };
        if !whole.contains(part.network()) || whole.length >= part.length {
            errors.invalid(&path, except, "must be a strict subset of `cidr`");
        }
    }
}

/// An address's name is the address, in canonical form.
fn address_name(name: &str, _prefix: bool) -> Vec<String> {
    let mut errors = Errors::new();
    ip::validate(name, &Path::root(), &mut errors);
    let shown = format!("Invalid value: {}: ", quote(name));
    errors.iter().map(|error| error.body.strip_prefix(&shown).unwrap_or(&error.body).to_owned()).collect()
}

const IP_ADDRESS: Rules = Rules {
    validate: |address, errors| {
        let (parent, path) = (&address["spec"]["parentRef"], Path::new("spec").child("parentRef"));
        if parent.is_null() {
            errors.required(&path, "");
            return;
        }
        let group = text(&parent["group"]);
        if !group.is_empty() {
            for wrong in names::subdomain(group) {
                errors.invalid(&path.child("group"), group, &wrong);
            }
        }
        for (field, required) in [("resource", true), ("name", true), ("namespace", false)] {
            validate_segment(text(&parent[field]), required, &path.child(field), errors);
        }
    },
    name: address_name,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let path = Path::new("spec").child("parentRef");
        immutable(&old["spec"]["parentRef"], &new["spec"]["parentRef"], &path, errors);
    },
    ..Rules::PLAIN
};

const SERVICE_CIDR: Rules = Rules {
    prepare_create: |cidr| {
        put(cidr, "status", json!({}));
        object(cidr, "spec");
    },
    validate: |cidr, errors| validate_cidrs(&cidr["spec"], errors),
    prepare_update: |old, new| keep(old, new, "status"),
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let cidrs = |object: &Value| list(&object["spec"]["cidrs"]).to_vec();
        let (was, is, path) = (cidrs(old), cidrs(new), Path::new("spec").child("cidrs"));
        if was.len() == is.len() || (was.len() == 1 && is.len() == 2) {
            for (i, (_, new)) in was.iter().zip(&is).enumerate().filter(|(_, (old, new))| old != new) {
                errors.invalid(&path.index(i), text(new), "field is immutable");
            }
            if was.len() != is.len() {
                validate_cidrs(&new["spec"], errors);
            }
        } else {
            errors.invalid(&path, new["spec"]["cidrs"].clone(), "field is immutable");
        }
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: meta::validate_update,
    ..Rules::PLAIN
};

fn validate_cidrs(spec: &Value, errors: &mut Errors) {
    let (cidrs, path) = (list(&spec["cidrs"]), Path::new("spec").child("cidrs"));
    if cidrs.is_empty() {
        errors.required(&path, "at least one CIDR required");
    } else if cidrs.len() > 2 {
        let shown = format!("{{\"CIDRs\":{}}}", spec["cidrs"]);
        super::view::invalid_shown(errors, &path, &shown, "may only hold up to 2 values");
    } else {
        for (i, cidr) in cidrs.iter().map(text).enumerate() {
            ip::validate_cidr(cidr, &path.index(i), errors);
        }
        let parsed: Vec<_> = cidrs.iter().filter_map(|cidr| ip::Cidr::parse_sloppy(text(cidr))).collect();
        if let [a, b] = parsed[..]
            && matches!((a.address, b.address), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)))
        {
            let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            errors.invalid(&path, spec["cidrs"].clone(), detail);
        }
    }
}
