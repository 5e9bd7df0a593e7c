//! Nodes (`pkg/registry/core/node/strategy.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Errors, Kind, Path, quote};
use crate::kinds::view::{count, entries, flag, keep, list, put, remove, text};
use crate::kinds::{Rules, ip, meta, names, resources};

pub(super) const NODE: Rules = Rules {
    default: |node| {
        if let Some(status) = node.get_mut("status") {
            resources::round(status.get_mut("capacity"));
            resources::round(status.get_mut("allocatable"));
            if status["allocatable"].is_null() && !status["capacity"].is_null() {
                put(status, "allocatable", status["capacity"].clone());
            }
        }
        sync_cidrs(node);
    },
    prepare_create: |node| drop_config(node, &Value::Null),
    validate,
    prepare_update: |old, new| {
        keep(old, new, "status");
        drop_config(new, old);
    },
    validate_update: |old, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate(new, errors);
        validate_change(old, new, errors);
    },
    prepare_status: |old, new| {
        keep(old, new, "spec");
        if old["status"]["config"].is_null()
            && let Some(status) = new.get_mut("status")
        {
            remove(status, "config");
        }
    },
    validate_status: validate_change,
    warnings: |node, _| {
        let mut warnings = Vec::new();
        let spec = &node["spec"];
        if !spec["configSource"].is_null() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !text(&spec["externalID"]).is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        for (i, cidr) in list(&spec["podCIDRs"]).iter().enumerate() {
            warnings.extend(ip::cidr_warnings(text(cidr), &format!("spec.podCIDRs[{i}]")));
        }
        warnings
    },
    fields: |node| vec![("spec.unschedulable", flag(&node["spec"]["unschedulable"]).to_string())],
    ..Rules::PLAIN
};

/// `podCIDR` is the first of `podCIDRs`; where they differ, it is the one that counts (`Convert_v1_NodeSpec_To_core_NodeSpec`).
fn sync_cidrs(node: &mut Value) {
    let Some(spec) = node.get_mut("spec") else { return };
    let (one, first) = (spec["podCIDR"].clone(), list(&spec["podCIDRs"]).first().cloned());
    match first {
        Some(first) if text(&one).is_empty() => put(spec, "podCIDR", first),
        first if !text(&one).is_empty() && first.as_ref() != Some(&one) => put(spec, "podCIDRs", Value::Array(vec![one])),
        _ => {}
    }
}

fn drop_config(node: &mut Value, old: &Value) {
    if old["spec"]["configSource"].is_null()
        && let Some(spec) = node.get_mut("spec")
    {
        remove(spec, "configSource");
    }
    if old.is_null()
        && let Some(status) = node.get_mut("status")
    {
        remove(status, "config");
    }
}

fn validate(node: &Value, errors: &mut Errors) {
    validate_taints(node, errors);
    validate_resources(node, errors);
    let path = Path::new("spec").child("podCIDRs");
    let cidrs = &node["spec"]["podCIDRs"];
    let parsed: Vec<_> =
        list(cidrs).iter().enumerate().map(|(i, cidr)| ip::validate_cidr_legacy(text(cidr), &path.index(i), errors)).collect();
    let v4 = parsed.iter().flatten().filter(|cidr| cidr.address.is_ipv4()).count();
    if parsed.len() > 2 || (parsed.len() == 2 && v4 != 1) {
        errors.invalid(&path, cidrs.clone(), "may specify no more than one CIDR for each IP family");
    }
}

fn validate_resources(node: &Value, errors: &mut Errors) {
    for field in ["capacity", "allocatable"] {
        for (name, value) in entries(&node["status"][field]) {
            resources::validate_quantity(name, value, &Path::new("status").child(field).child(name), errors);
        }
    }
}

fn validate_taints(node: &Value, errors: &mut Errors) {
    // Spelt so in Kubernetes.
    let path = Path::new("metadata").child("taints");
    let mut seen = BTreeSet::new();
    for (i, taint) in list(&node["spec"]["taints"]).iter().enumerate() {
        let path = path.index(i);
        let [key, value, effect] = ["key", "value", "effect"].map(|field| text(&taint[field]));
        names::validate_label_name(key, &path.child("key"), errors);
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.invalid(&path.child("value"), value, &wrong.join(";"));
        }
        match effect {
            "" => errors.required(&path.child("effect"), ""),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            _ => errors.not_supported(&path.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        }
        if !seen.insert((effect, key)) {
            let time = &taint["timeAdded"];
            let body = format!(
                "Duplicate value: {{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{time}}}: taints must be unique by key and \
                 effect pair",
                quote(key),
                quote(value),
                quote(effect)
            );
            errors.other(Kind::Duplicate, &path.to_string(), body);
        }
    }
}

fn validate_change(old: &Value, new: &Value, errors: &mut Errors) {
    meta::validate_update(old, new, errors);
    validate_resources(new, errors);
    let mut seen = Vec::new();
    for (i, address) in list(&new["status"]["addresses"]).iter().enumerate() {
        if seen.contains(&address) {
            let body = format!("Duplicate value: {{\"Type\":{},\"Address\":{}}}", address["type"], address["address"]);
            errors.other(Kind::Duplicate, &Path::new("status").child("addresses").index(i).to_string(), body);
        }
        seen.push(address);
    }
    let (was, is, path) = (&old["spec"], &new["spec"], Path::new("spec"));
    let (had, has) = (list(&was["podCIDRs"]), list(&is["podCIDRs"]));
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    if !had.is_empty() {
        let changes = if had.len() == has.len() { had.iter().zip(has).filter(|(a, b)| a != b).count() } else { 1 };
        for _ in 0..changes {
            errors.forbidden(&path.child("podCIDRs"), detail);
        }
    }
    if count(&was["providerID"]) > 0 && was["providerID"] != is["providerID"] {
        errors.forbidden(&path.child("providerID"), "node updates may not change providerID except from \"\" to valid");
    }
    validate_taints(new, errors);
    if text(&was["externalID"]) != text(&is["externalID"]) {
        errors.forbidden(&path.child("externalID"), "may not be updated");
    }
}
