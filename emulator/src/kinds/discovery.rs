//! Rules of `discovery.k8s.io` (`pkg/registry/discovery/endpointslice/strategy.go`).

use serde_json::Value;

use super::view::{count, fill, immutable, int, items, list, put, remove, same, set_generation, text};
use super::{Rules, ip, meta, names};
use crate::field::{Errors, Path};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ZONE: &str = "topology.kubernetes.io/zone";

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "endpointslices" => &ENDPOINT_SLICE,
        _ => &Rules::PLAIN,
    }
}

const ENDPOINT_SLICE: Rules = Rules {
    default: |slice| {
        for port in items(slice, "ports") {
            fill(port, "name", "");
            fill(port, "protocol", "TCP");
        }
    },
    prepare_create: |slice| {
        set_generation(slice, 1);
        drop_topology(slice);
    },
    validate: |slice, errors| validate(slice, None, errors),
    prepare_update: |old, new| {
        let content = |slice: &Value| {
            let mut content = slice.clone();
            remove(&mut content, "metadata");
            content
        };
        let labels = |slice: &Value| slice["metadata"]["labels"].clone();
        if !same(&content(old), &content(new)) || !same(&labels(old), &labels(new)) {
            set_generation(new, int(&old["metadata"]["generation"]) + 1);
        }
        if !same(&old["endpoints"], &new["endpoints"]) {
            drop_topology(new);
        }
    },
    validate_update: |old, new, errors| {
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate(new, Some(old), errors);
        immutable(&old["addressType"], &new["addressType"], &Path::new("addressType"), errors);
    },
    warnings: |slice, old| {
        let mut warnings = Vec::new();
        if old.is_none() && slice["addressType"] == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        let manager = text(&slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]);
        if !matches!(manager, "endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io") {
            for (i, endpoint) in list(&slice["endpoints"]).iter().enumerate() {
                for (j, address) in list(&endpoint["addresses"]).iter().enumerate() {
                    warnings.extend(ip::warnings(text(address), &format!("endpoints[{i}].addresses[{j}]")));
                }
            }
        }
        warnings
    },
    ..Rules::PLAIN
};

/// Only the beta version wrote topologies.
fn drop_topology(slice: &mut Value) {
    for endpoint in items(slice, "endpoints") {
        remove(endpoint, "deprecatedTopology");
        let zone = endpoint["zone"].clone();
        put(endpoint, "zone", zone);
    }
}

fn validate(slice: &Value, old: Option<&Value>, errors: &mut Errors) {
    let kind = text(&slice["addressType"]);
    match kind {
        "" => errors.required(&Path::new("addressType"), ""),
        "IPv4" | "IPv6" | "FQDN" => {}
        _ => errors.not_supported(&Path::new("addressType"), kind, &["FQDN", "IPv4", "IPv6"]),
    }
    validate_ports(list(&slice["ports"]), &Path::new("ports"), errors);
    if old.is_none_or(|old| !same(&old["endpoints"], &slice["endpoints"])) {
        validate_endpoints(list(&slice["endpoints"]), kind, &Path::new("endpoints"), errors);
    }
}

fn validate_ports(ports: &[Value], path: &Path, errors: &mut Errors) {
    if ports.len() > 20000 {
        errors.too_many(path, ports.len(), 20000);
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (path, name) = (path.index(i), text(&port["name"]));
        if !name.is_empty() {
            for wrong in names::label(name) {
                errors.invalid(&path.child("name"), name, &wrong);
            }
        }
        if !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        let protocol = text(&port["protocol"]);
        if !PROTOCOLS.contains(&protocol) {
            errors.not_supported(&path.child("protocol"), protocol, &PROTOCOLS);
        }
        if let Some(protocol) = port["appProtocol"].as_str() {
            for wrong in names::qualified(protocol) {
                errors.invalid(&path.child("appProtocol"), protocol, &wrong);
            }
        }
    }
}

fn validate_endpoints(endpoints: &[Value], kind: &str, path: &Path, errors: &mut Errors) {
    if endpoints.len() > 1000 {
        errors.too_many(path, endpoints.len(), 1000);
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(i);
        let (addresses, at) = (list(&endpoint["addresses"]), path.child("addresses"));
        if addresses.is_empty() {
            errors.required(&at, "must contain at least 1 address");
        } else if addresses.len() > 100 {
            errors.too_many(&at, addresses.len(), 100);
        }
        for (j, address) in addresses.iter().map(text).enumerate() {
            validate_address(address, kind, &at, j, errors);
        }
        if let Some(node) = endpoint["nodeName"].as_str() {
            for wrong in names::subdomain(node) {
                errors.invalid(&path.child("nodeName"), node, &wrong);
            }
        }
        let (topology, at) = (&endpoint["deprecatedTopology"], path.child("deprecatedTopology"));
        if count(topology) > 16 {
            errors.too_many(&at, count(topology), 16);
        }
        if topology.get(ZONE).is_none() {
            names::validate_labels(topology, &at, errors);
        }
        if let Some(host) = endpoint["hostname"].as_str() {
            for wrong in names::label(host) {
                errors.invalid(&path.child("hostname"), host, &wrong);
            }
        }
        let hints = &endpoint["hints"];
        validate_hints(&hints["forZones"], &path.child("hints").child("forZones"), names::label_value, errors);
        validate_hints(&hints["forNodes"], &path.child("hints").child("forNodes"), names::subdomain, errors);
    }
}

fn validate_address(address: &str, kind: &str, path: &Path, i: usize, errors: &mut Errors) {
    let at = path.index(i);
    let before = errors.iter().count();
    match kind {
        "IPv4" => drop(ip::validate_legacy(address, &at, errors)),
        "IPv6" => ip::validate(address, &at, errors),
        "FQDN" => return validate_domain(address, &at, errors),
        _ => return,
    }
    if errors.iter().count() > before {
        return;
    }
    let is_v4 = ip::parse_sloppy(address).is_some_and(|a| a.is_ipv4());
    if is_v4 != (kind == "IPv4") {
        errors.invalid(path, address, &format!("must be an {kind} address"));
    }
    ip::validate_endpoint(address, &at, errors);
}

/// IsFullyQualifiedDomainName.
fn validate_domain(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let wrong = names::subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(path, name, &wrong.join(","));
    } else if !name.contains('.') {
        errors.invalid(path, name, "should be a domain with at least two segments separated by dots");
    } else if let Some(label) = name.split('.').find(|label| !names::label(label).is_empty()) {
        errors.invalid(path, label, &names::label(label).join(","));
    }
}

fn validate_hints(hints: &Value, path: &Path, check: fn(&str) -> Vec<String>, errors: &mut Errors) {
    let hints = list(hints);
    if hints.len() > 8 {
        errors.too_many(path, hints.len(), 8);
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, name) in hints.iter().map(|hint| text(&hint["name"])).enumerate() {
        let path = path.index(i).child("name");
        if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
        for wrong in check(name) {
            errors.invalid(&path, name, &wrong);
        }
    }
}
