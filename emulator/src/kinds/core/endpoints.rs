//! Endpoints (`pkg/registry/core/endpoint/strategy.go`).

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::view::{fill_text, int, items, list, same, text};
use crate::kinds::{Rules, ip, meta, names};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(super) const ENDPOINTS: Rules = Rules {
    default: |endpoints| {
        for subset in items(endpoints, "subsets") {
            for port in items(subset, "ports") {
                fill_text(port, "protocol", "TCP");
            }
        }
    },
    validate: validate_subsets,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
        if !same(&old["subsets"], &new["subsets"]) {
            validate_subsets(new, errors);
        }
    },
    warnings: |endpoints, _| {
        let labels = &endpoints["metadata"]["labels"];
        if labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        for (i, subset) in list(&endpoints["subsets"]).iter().enumerate() {
            for kind in ["addresses", "notReadyAddresses"] {
                for (j, address) in list(&subset[kind]).iter().enumerate() {
                    warnings.extend(ip::warnings(text(&address["ip"]), &format!("subsets[{i}].{kind}[{j}].ip")));
                }
            }
        }
        warnings
    },
    allow_create_on_update: true,
    ..Rules::PLAIN
};

fn validate_subsets(endpoints: &Value, errors: &mut Errors) {
    for (i, subset) in list(&endpoints["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(i);
        if list(&subset["addresses"]).is_empty() && list(&subset["notReadyAddresses"]).is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for kind in ["addresses", "notReadyAddresses"] {
            for (j, address) in list(&subset[kind]).iter().enumerate() {
                validate_address(address, &path.child(kind).index(j), errors);
            }
        }
        let ports = list(&subset["ports"]);
        for (j, port) in ports.iter().enumerate() {
            validate_port(port, ports.len() > 1, &path.child("ports").index(j), errors);
        }
    }
}

fn validate_address(address: &Value, path: &Path, errors: &mut Errors) {
    let value = text(&address["ip"]);
    ip::validate_legacy(value, &path.child("ip"), errors);
    let host = text(&address["hostname"]);
    if !host.is_empty() {
        for wrong in names::label(host) {
            errors.invalid(&path.child("hostname"), host, &wrong);
        }
    }
    if let Some(node) = address["nodeName"].as_str() {
        for wrong in names::subdomain(node) {
            errors.invalid(&path.child("nodeName"), node, &wrong);
        }
    }
    ip::validate_endpoint(value, &path.child("ip"), errors);
}

fn validate_port(port: &Value, named: bool, path: &Path, errors: &mut Errors) {
    let name = text(&port["name"]);
    if !name.is_empty() {
        for wrong in names::label(name) {
            errors.invalid(&path.child("name"), name, &wrong);
        }
    } else if named {
        errors.required(&path.child("name"), "");
    }
    let number = int(&port["port"]);
    for wrong in names::port_number(number) {
        errors.invalid(&path.child("port"), number, &wrong);
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
