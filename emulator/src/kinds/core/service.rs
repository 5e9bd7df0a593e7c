//! Services (`pkg/registry/core/service/strategy.go`). What an allocation needs is in [`super::allocation`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::field::{Errors, Kind, Path, quote};
use crate::kinds::view::{count, fill, fill_text, flag, int, items, keep, list, put, remove, same, text};
use crate::kinds::{Rules, ip, meta, names};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

pub(super) const SERVICE: Rules = Rules {
    default,
    prepare_create: |service| put(service, "status", json!({"loadBalancer": {}})),
    validate: |service, errors| validate(service, None, errors),
    name: names::dns1035_label,
    prepare_update: |old, new| {
        keep(old, new, "status");
        drop_type_dependent(old, new);
    },
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_cluster_ips_change(old, new, errors);
        validate_families_change(old, new, errors);
        validate_class(Some(old), new, errors);
        let port = |service: &Value| int(&service["spec"]["healthCheckNodePort"]);
        if needs_health_check(old) && needs_health_check(new) && port(old) != port(new) {
            errors.forbidden(&Path::new("spec").child("healthCheckNodePort"), "field is immutable");
        }
        validate(new, Some(old), errors);
    },
    prepare_status: |old, new| keep(old, new, "spec"),
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_status(old, new, errors);
    },
    canonicalize: |service| {
        if kind(service) == "ExternalName"
            && let Some(spec) = service.get_mut("spec")
        {
            remove(spec, "internalTrafficPolicy");
        }
    },
    warnings: |service, _| warnings(service),
    fields: |service| {
        let spec = &service["spec"];
        vec![("spec.clusterIP", text(&spec["clusterIP"]).to_owned()), ("spec.type", text(&spec["type"]).to_owned())]
    },
    allow_create_on_update: true,
    ..Rules::PLAIN
};

fn kind(service: &Value) -> &str {
    text(&service["spec"]["type"])
}

/// ExternallyAccessible.
fn externally_accessible(service: &Value) -> bool {
    match kind(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => count(&service["spec"]["externalIPs"]) > 0,
        _ => false,
    }
}

/// NeedsHealthCheck.
pub(super) fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(&service["spec"]["externalTrafficPolicy"]) == "Local"
}

/// isHeadlessService of the validation.
fn is_headless(service: &Value) -> bool {
    matches!(list(&service["spec"]["clusterIPs"]), [one] if one == "None")
}

fn default(service: &mut Value) {
    let Some(spec) = service.get_mut("spec") else { return };
    fill_text(spec, "sessionAffinity", "None");
    match text(&spec["sessionAffinity"]) {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" if spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].is_null() => {
            put(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
        _ => {}
    }
    fill_text(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        fill_text(port, "protocol", "TCP");
        let target = &port["targetPort"];
        if target.is_null() || *target == 0 || *target == "" {
            let number = port["port"].clone();
            put(port, "targetPort", if number.is_null() { 0.into() } else { number });
        }
    }
    let accessible = externally_accessible(service);
    let Some(spec) = service.get_mut("spec") else { return };
    if accessible {
        fill_text(spec, "externalTrafficPolicy", "Cluster");
    }
    let kind = text(&spec["type"]).to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
        let balancer = service.get_mut("status").and_then(|status| status.get_mut("loadBalancer"));
        for ingress in balancer.into_iter().flat_map(|balancer| items(balancer, "ingress")) {
            if !text(&ingress["ip"]).is_empty() {
                fill(ingress, "ipMode", "VIP");
            }
        }
    }
}

/// What a type no longer needs goes with a change of type, unless the client says otherwise (`dropTypeDependentFields`).
fn drop_type_dependent(old: &Value, new: &mut Value) {
    let (was, is) = (kind(old).to_owned(), kind(new).to_owned());
    let unchanged = |new: &Value, field: &str| same(&old["spec"][field], &new["spec"][field]);
    let mut dropped = Vec::new();
    if was != "ExternalName" && is == "ExternalName" {
        if unchanged(new, "clusterIP") && unchanged(new, "clusterIPs") {
            dropped.extend(["clusterIP", "clusterIPs"]);
        }
        dropped.extend(["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|field| unchanged(new, field)));
    }
    let ported = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let ports = |service: &Value| {
        list(&service["spec"]["ports"]).iter().map(|p| int(&p["nodePort"])).filter(|&p| p != 0).collect::<BTreeSet<_>>()
    };
    let drop_ports = ported(&was) && !ported(&is) && ports(old).is_superset(&ports(new));
    if needs_health_check(old) && !needs_health_check(new) && unchanged(new, "healthCheckNodePort") {
        dropped.push("healthCheckNodePort");
    }
    if was == "LoadBalancer" && is != "LoadBalancer" {
        dropped.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"].into_iter().filter(|field| unchanged(new, field)));
    }
    if externally_accessible(old) && !externally_accessible(new) && unchanged(new, "externalTrafficPolicy") {
        dropped.push("externalTrafficPolicy");
    }
    let Some(spec) = new.get_mut("spec") else { return };
    for field in dropped {
        remove(spec, field);
    }
    if drop_ports {
        for port in items(spec, "ports") {
            remove(port, "nodePort");
        }
    }
    if is != "LoadBalancer" {
        put(new, "status", json!({"loadBalancer": {}}));
        if let Some(conditions) = old["status"].get("conditions") {
            new["status"]["conditions"] = conditions.clone();
        }
    }
}

fn validate(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let annotations = &service["metadata"]["annotations"];
    let (mode, hints) = (annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS));
    if let (Some(mode), Some(hints)) = (mode, hints)
        && mode != hints
    {
        let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        errors.invalid(&Path::new("metadata").child("annotations").key(TOPOLOGY_MODE), mode.clone(), &detail);
    }
    validate_type(service, &path, errors);
    validate_ports(service, &path.child("ports"), errors);
    names::validate_labels(&spec["selector"], &path.child("selector"), errors);
    validate_affinity(spec, &path, errors);
    validate_cluster_ips(service, old, errors);
    let had: Vec<_> = old.map_or(&[][..], |old| list(&old["spec"]["externalIPs"])).iter().map(text).collect();
    for (i, external) in list(&spec["externalIPs"]).iter().map(text).enumerate() {
        let path = path.child("externalIPs").index(i);
        if had.contains(&external) || ip::validate_legacy(external, &path, errors).is_some() {
            ip::validate_endpoint(external, &path, errors);
        }
    }
    let kind = kind(service);
    if !matches!(kind, "ClusterIP" | "ExternalName" | "LoadBalancer" | "NodePort") {
        let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        errors.not_supported(&path.child("type"), kind, &known);
    }
    validate_port_numbers(spec, kind, &path.child("ports"), errors);
    validate_source_ranges(service, old, errors);
    let allocate = &spec["allocateLoadBalancerNodePorts"];
    if !allocate.is_null() && kind != "LoadBalancer" {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        errors.forbidden(&path.child("allocateLoadBalancerNodePorts"), detail);
    }
    if allocate.is_null() && kind == "LoadBalancer" {
        errors.required(&Path::new("allocateLoadBalancerNodePorts"), "");
    }
    validate_class(None, service, errors);
    validate_policies(service, &path, errors);
}

fn validate_type(service: &Value, path: &Path, errors: &mut Errors) {
    let (spec, kind) = (&service["spec"], kind(service));
    if count(&spec["ports"]) == 0 && !is_headless(service) && kind != "ExternalName" {
        errors.required(&path.child("ports"), "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(service) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&path.child("clusterIPs").index(0), "None", &detail);
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if count(&spec[field]) > 0 {
                    errors.forbidden(&path.child(field), "may not be set for ExternalName services");
                }
            }
            let given = text(&spec["externalName"]);
            let name = given.strip_suffix('.').unwrap_or(given);
            if name.is_empty() {
                errors.required(&path.child("externalName"), "");
            } else {
                for wrong in names::subdomain(name) {
                    errors.invalid(&path.child("externalName"), name, &wrong);
                }
            }
        }
        _ => {}
    }
}

fn validate_ports(service: &Value, path: &Path, errors: &mut Errors) {
    let ports = list(&service["spec"]["ports"]);
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(&port["name"]);
        if !name.is_empty() {
            for wrong in names::label(name) {
                errors.invalid(&path.child("name"), name, &wrong);
            }
            if !seen.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
        } else if ports.len() > 1 {
            errors.required(&path.child("name"), "");
        }
        for wrong in names::port_number(int(&port["port"])) {
            errors.invalid(&path.child("port"), int(&port["port"]), &wrong);
        }
        let protocol = text(&port["protocol"]);
        if protocol.is_empty() {
            errors.required(&path.child("protocol"), "");
        } else if !PROTOCOLS.contains(&protocol) {
            errors.not_supported(&path.child("protocol"), protocol, &PROTOCOLS);
        }
        match &port["targetPort"] {
            Value::String(name) => {
                for wrong in names::port_name(name) {
                    errors.invalid(&path.child("targetPort"), name.as_str(), &wrong);
                }
            }
            number => {
                for wrong in names::port_number(int(number)) {
                    errors.invalid(&path.child("targetPort"), int(number), &wrong);
                }
            }
        }
        if let Some(protocol) = port["appProtocol"].as_str() {
            for wrong in names::qualified(protocol) {
                errors.invalid(&path.child("appProtocol"), protocol, &wrong);
            }
        }
    }
}

/// Ports are told apart by protocol and number; so are node ports.
fn validate_port_numbers(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let ports = list(&spec["ports"]);
    if kind == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| int(&port["nodePort"]) != 0) {
            errors.forbidden(&path.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let number = int(&port["nodePort"]);
        if number != 0 && !seen.insert((text(&port["protocol"]), number)) {
            errors.duplicate(&path.index(i).child("nodePort"), number);
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(&port["protocol"]), int(&port["port"]));
        if !seen.insert((protocol, number)) {
            // The internal type, which has no JSON names.
            let shown = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                quote(protocol)
            );
            errors.other(Kind::Duplicate, &path.index(i).to_string(), shown);
        }
    }
}

fn validate_affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = &spec["sessionAffinityConfig"];
    let at = path.child("sessionAffinityConfig");
    match text(&spec["sessionAffinity"]) {
        "ClientIP" => {
            let seconds = int(&config["clientIP"]["timeoutSeconds"]);
            if !(1..=86400).contains(&seconds) {
                let detail = "must be greater than 0 and less than 86400";
                errors.invalid(&at.child("clientIP").child("timeoutSeconds"), seconds, detail);
            }
        }
        "None" if !config.is_null() => errors.forbidden(&at, "must not be set when session affinity is None"),
        "None" => {}
        other => errors.not_supported(&path.child("sessionAffinity"), other, &["ClientIP", "None"]),
    }
}

/// ValidateServiceClusterIPsRelatedFields.
pub(super) fn validate_cluster_ips(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    if kind(service) == "ExternalName" {
        return;
    }
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let (at, shown) = (path.child("clusterIPs"), &spec["clusterIPs"]);
    let ips: Vec<_> = list(shown).iter().map(text).collect();
    match (text(&spec["clusterIP"]), ips.first()) {
        ("", Some(_)) => errors.invalid(&at, shown.clone(), "must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => errors.required(&at, ""),
        (ip, Some(first)) if *first != ip => errors.invalid(&at, shown.clone(), "first value must match `clusterIP`"),
        _ => {}
    }
    let families: Vec<_> = list(&spec["ipFamilies"]).iter().map(text).collect();
    for (i, family) in families.iter().enumerate() {
        let at = path.child("ipFamilies").index(i);
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.not_supported(&at, *family, &["IPv4", "IPv6"]);
        }
        if families[..i].contains(family) {
            errors.duplicate(&at, *family);
        }
    }
    if let Some(policy) = spec["ipFamilyPolicy"].as_str()
        && !matches!(policy, "SingleStack" | "PreferDualStack" | "RequireDualStack")
    {
        let known = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        errors.not_supported(&path.child("ipFamilyPolicy"), policy, &known);
    }
    let had: Vec<_> = old.map_or(&[][..], |old| list(&old["spec"]["clusterIPs"])).iter().map(text).collect();
    let mut malformed = false;
    for (i, address) in ips.iter().enumerate() {
        if i == 0 && *address == "None" {
            if ips.len() > 1 {
                malformed = true;
                errors.invalid(&at, shown.clone(), "'None' must be the first and only value");
            }
        } else if !had.contains(address) {
            malformed |= ip::validate_legacy(address, &at.index(i), errors).is_none();
        }
    }
    if ips.len() > 2 {
        errors.invalid(&at, shown.clone(), "may only hold up to 2 values");
    }
    if malformed {
        return;
    }
    let is_v6 = |address: &str| ip::parse_sloppy(address).is_some_and(|a| a.is_ipv6());
    if ips.len() > 1 && ips.iter().all(|a| is_v6(a)) | !ips.iter().any(|a| is_v6(a)) {
        errors.invalid(&at, shown.clone(), "may specify no more than one IP for each IP family");
    }
    if !is_headless(service) {
        for (i, (address, family)) in ips.iter().zip(&families).enumerate() {
            if matches!(*family, "IPv4" | "IPv6") && (*family == "IPv6") != is_v6(address) {
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
                errors.invalid(&at.index(i), *address, &detail);
            }
        }
    }
}

fn validate_source_ranges(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let ranges = |service: &Value| -> Vec<String> {
        list(&service["spec"]["loadBalancerSourceRanges"]).iter().map(|r| text(r).trim().to_owned()).collect()
    };
    let given = ranges(service);
    let annotation = &service["metadata"]["annotations"][SOURCE_RANGES];
    if !given.is_empty() {
        // Spelt so in Kubernetes.
        let path = Path::new("spec").child("LoadBalancerSourceRanges");
        if kind(service) != "LoadBalancer" {
            errors.forbidden(&path, ONLY);
        }
        let had = old.map(ranges).unwrap_or_default();
        for (i, range) in given.iter().enumerate().filter(|(_, range)| !had.contains(range)) {
            ip::validate_cidr_legacy(range, &path.index(i), errors);
        }
    } else if let Some(value) = annotation.as_str() {
        let path = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
        if kind(service) != "LoadBalancer" {
            errors.forbidden(&path, ONLY);
        }
        if old.is_none_or(|old| old["metadata"]["annotations"][SOURCE_RANGES] != *annotation) && !value.trim().is_empty() {
            for range in value.trim().split(',') {
                ip::validate_cidr_legacy(range.trim(), &path, errors);
            }
        }
    }
}

fn validate_class(old: Option<&Value>, service: &Value, errors: &mut Errors) {
    let path = Path::new("spec").child("loadBalancerClass");
    let class = &service["spec"]["loadBalancerClass"];
    let balances = kind(service) == "LoadBalancer";
    if let Some(old) = old
        && kind(old) == "LoadBalancer"
        && balances
        && old["spec"]["loadBalancerClass"] != *class
    {
        errors.invalid(&path, class.clone(), "may not change once set");
    }
    match class.as_str() {
        Some(class) if balances => {
            for wrong in names::qualified(class) {
                errors.invalid(&path, class, &wrong);
            }
        }
        Some(_) => errors.forbidden(&path, "may only be used when `type` is 'LoadBalancer'"),
        None => {}
    }
}

fn validate_policies(service: &Value, path: &Path, errors: &mut Errors) {
    let spec = &service["spec"];
    let (external, at) = (text(&spec["externalTrafficPolicy"]), path.child("externalTrafficPolicy"));
    match (externally_accessible(service), external) {
        (false, "") | (true, "Cluster" | "Local") => {}
        (false, _) => errors.invalid(&at, external, "may only be set for externally-accessible services"),
        (true, "") => errors.required(&at, ""),
        (true, _) => errors.not_supported(&at, external, &["Cluster", "Local"]),
    }
    let (port, at) = (int(&spec["healthCheckNodePort"]), path.child("healthCheckNodePort"));
    match (needs_health_check(service), port) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&at, port, detail);
        }
        (true, 0) => errors.required(&at, ""),
        (true, _) => {
            for wrong in names::port_number(port) {
                errors.invalid(&at, port, &wrong);
            }
        }
    }
    let at = path.child("internalTrafficPolicy");
    match spec["internalTrafficPolicy"].as_str() {
        None if matches!(kind(service), "NodePort" | "LoadBalancer" | "ClusterIP") => errors.required(&at, ""),
        None | Some("Cluster" | "Local") => {}
        Some(other) => errors.not_supported(&at, other, &["Cluster", "Local"]),
    }
    let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(distribution) = spec["trafficDistribution"].as_str()
        && !known.contains(&distribution)
    {
        errors.not_supported(&path.child("trafficDistribution"), distribution, &known);
    }
}

fn strings(value: &Value) -> Vec<&str> {
    list(value).iter().map(text).collect()
}

/// validateUpgradeDowngradeClusterIPs.
fn validate_cluster_ips_change(old: &Value, new: &Value, errors: &mut Errors) {
    if kind(old) == "ExternalName" || kind(new) == "ExternalName" || (is_headless(old) && is_headless(new)) {
        return;
    }
    let (was, is) = (strings(&old["spec"]["clusterIPs"]), strings(&new["spec"]["clusterIPs"]));
    let (shown, path) = (&new["spec"]["clusterIPs"], Path::new("spec").child("clusterIPs"));
    let first_changed = matches!((was.first(), is.first()), (Some(a), Some(b)) if a != b);
    if was.len() == is.len() {
        for (i, _) in was.iter().zip(&is).enumerate().filter(|(_, (a, b))| a != b) {
            errors.invalid(&path.index(i), shown.clone(), "may not change once set");
        }
        return;
    }
    if was.len() > is.len() && is.is_empty() {
        errors.invalid(&path.index(0), shown.clone(), "primary clusterIP can not be unset");
    }
    if first_changed {
        errors.invalid(&path.index(0), shown.clone(), "may not change once set");
    }
    if was.len() > is.len() && is.len() == 1 {
        validate_single_stack(new, "must be set to 'SingleStack' when releasing the secondary clusterIP", errors);
    }
}

fn validate_single_stack(new: &Value, detail: &str, errors: &mut Errors) {
    let policy = &new["spec"]["ipFamilyPolicy"];
    if policy != "SingleStack" {
        errors.invalid(&Path::new("spec").child("ipFamilyPolicy"), policy.clone(), detail);
    }
}

/// validateUpgradeDowngradeIPFamilies.
fn validate_families_change(old: &Value, new: &Value, errors: &mut Errors) {
    if kind(old) == "ExternalName" || kind(new) == "ExternalName" || is_headless(old) || is_headless(new) {
        return;
    }
    let (was, is) = (strings(&old["spec"]["ipFamilies"]), strings(&new["spec"]["ipFamilies"]));
    let (families, ips) = (&new["spec"]["ipFamilies"], &new["spec"]["clusterIPs"]);
    let at = Path::new("spec").child("ipFamilies").index(0);
    if was.len() == is.len() {
        for _ in was.iter().zip(&is).filter(|(a, b)| a != b) {
            errors.invalid(&at, families.clone(), "may not change once set");
        }
        return;
    }
    if was.len() > is.len() && count(ips) == 0 {
        errors.invalid(&at, families.clone(), "primary ipFamily can not be unset");
    }
    if matches!((was.first(), is.first()), (Some(a), Some(b)) if a != b) {
        errors.invalid(&at, ips.clone(), "may not change once set");
    }
    if was.len() > is.len() && is.len() == 1 {
        validate_single_stack(new, "must be set to 'SingleStack' when releasing the secondary ipFamily", errors);
    }
}

/// ValidateLoadBalancerStatus of a Service.
fn validate_status(old: &Value, new: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingresses = list(&new["status"]["loadBalancer"]["ingress"]);
    if kind(new) != "LoadBalancer" && !ingresses.is_empty() {
        errors.forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let had: Vec<_> = list(&old["status"]["loadBalancer"]["ingress"]).iter().map(|i| text(&i["ip"])).collect();
    for (i, ingress) in ingresses.iter().enumerate() {
        let path = path.index(i);
        let (address, mode) = (text(&ingress["ip"]), ingress["ipMode"].as_str());
        if !address.is_empty() && !had.contains(&address) {
            ip::validate_legacy(address, &path.child("ip"), errors);
        }
        match mode {
            None if !address.is_empty() => errors.required(&path.child("ipMode"), "must be specified when `ip` is set"),
            Some(_) if address.is_empty() => {
                errors.forbidden(&path.child("ipMode"), "may not be specified when `ip` is not set");
            }
            Some(mode) if !matches!(mode, "VIP" | "Proxy") => {
                errors.not_supported(&path.child("ipMode"), mode, &["Proxy", "VIP"]);
            }
            _ => {}
        }
        validate_balancer_host(text(&ingress["hostname"]), &path.child("hostname"), errors);
    }
}

/// The host name that a load balancer is reached at.
pub(crate) fn validate_balancer_host(host: &str, path: &Path, errors: &mut Errors) {
    if host.is_empty() {
        return;
    }
    for wrong in names::subdomain(host) {
        errors.invalid(path, host, &wrong);
    }
    if ip::parse_sloppy(host).is_some() {
        errors.invalid(path, host, "must be a DNS name, not an IP address");
    }
}

/// GetWarningsForService.
fn warnings(service: &Value) -> Vec<String> {
    let (spec, kind) = (&service["spec"], kind(service));
    let mut warnings = Vec::new();
    if service["metadata"]["annotations"].get(TOPOLOGY_HINTS).is_some() {
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let addresses = |field: &'static str| {
        let list = list(&spec[field]).iter().enumerate();
        list.filter_map(move |(i, a)| ip::warnings(text(a), &format!("spec.{field}[{i}]")))
    };
    if !matches!(text(&spec["clusterIP"]), "" | "None") {
        warnings.extend(addresses("clusterIPs"));
    }
    if kind == "ClusterIP" && spec["clusterIP"] == "None" {
        if !text(&spec["loadBalancerIP"]).is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if count(&spec["externalIPs"]) > 0 {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if !text(&spec["sessionAffinity"]).is_empty() {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    warnings.extend(addresses("externalIPs"));
    if !text(&spec["loadBalancerIP"]).is_empty() {
        warnings.extend(ip::warnings(text(&spec["loadBalancerIP"]), "spec.loadBalancerIP"));
    }
    for (i, range) in list(&spec["loadBalancerSourceRanges"]).iter().enumerate() {
        warnings.extend(ip::cidr_warnings(text(range), &format!("spec.loadBalancerSourceRanges[{i}]")));
    }
    if kind == "ExternalName" && count(&spec["externalIPs"]) > 0 {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(&spec["externalName"]).is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    warnings
}

/// Whether its ports get node ports (`shouldAllocateNodePorts`).
pub(super) fn allocates_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => flag(&service["spec"]["allocateLoadBalancerNodePorts"]),
        _ => false,
    }
}
