//! Rules of `storage.k8s.io` (`pkg/registry/storage`, `pkg/apis/storage/validation/validation.go`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::core::volume::validate_driver;
use super::view::{bump_generation, count, entries, fill, immutable, int, keep, list, put, same, text};
use super::{Rules, meta, names, resources, selector, selector_terms};
use crate::field::{Errors, Path};

const PARAMETERS_SIZE: usize = 256 * 1024;

pub(super) fn rules(resource: &str) -> &'static Rules {
    match resource {
        "storageclasses" => &STORAGE_CLASS,
        "csidrivers" => &CSI_DRIVER,
        "csinodes" => &CSI_NODE,
        "volumeattachments" => &VOLUME_ATTACHMENT,
        "csistoragecapacities" => &CSI_STORAGE_CAPACITY,
        "volumeattributesclasses" => &VOLUME_ATTRIBUTES_CLASS,
        _ => &Rules::PLAIN,
    }
}

fn validate_provisioner(provisioner: &str, path: &Path, errors: &mut Errors) {
    if provisioner.is_empty() {
        errors.required(path, "");
    } else {
        let lower = provisioner.to_lowercase();
        for wrong in names::qualified(&lower) {
            errors.invalid(path, lower.as_str(), &wrong);
        }
    }
}

fn validate_parameters(parameters: &Value, required: bool, errors: &mut Errors) {
    let path = Path::new("parameters");
    if count(parameters) > 512 {
        errors.too_long(&path, 512);
        return;
    }
    let mut size = 0;
    for (key, value) in entries(parameters) {
        if key.is_empty() {
            errors.invalid(&path, key, "field can not be empty.");
        }
        size += key.len() + text(value).len();
    }
    if size > PARAMETERS_SIZE {
        errors.too_long(&path, PARAMETERS_SIZE);
    }
    if required && count(parameters) == 0 {
        errors.required(&path, "must contain at least one key/value pair");
    }
}

const STORAGE_CLASS: Rules = Rules {
    default: |class| {
        fill(class, "reclaimPolicy", "Delete");
        fill(class, "volumeBindingMode", "Immediate");
    },
    validate: validate_class,
    validate_update: |old, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_class(new, errors);
        meta::validate_update(old, new, errors);
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if !same(&old[field], &new[field]) {
                errors.forbidden(&Path::new(field), &format!("updates to {field} are forbidden."));
            }
        }
        let mode = "volumeBindingMode";
        immutable(&old[mode], &new[mode], &Path::new(mode), errors);
    },
    ..Rules::PLAIN
};

fn validate_class(class: &Value, errors: &mut Errors) {
    validate_provisioner(text(&class["provisioner"]), &Path::new("provisioner"), errors);
    validate_parameters(&class["parameters"], false, errors);
    let policy = text(&class["reclaimPolicy"]);
    if !matches!(policy, "" | "Delete" | "Retain") {
        errors.not_supported(&Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let mode = text(&class["volumeBindingMode"]);
    if !matches!(mode, "Immediate" | "WaitForFirstConsumer") {
        errors.not_supported(&Path::new("volumeBindingMode"), mode, &["Immediate", "WaitForFirstConsumer"]);
    }
    selector_terms::validate_topologies(&class["allowedTopologies"], &Path::new("allowedTopologies"), errors);
}

const VOLUME_ATTRIBUTES_CLASS: Rules = Rules {
    validate: validate_attributes_class,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        for field in ["driverName", "parameters"] {
            if !same(&old[field], &new[field]) {
                errors.forbidden(&Path::new(field), &format!("updates to {field} are forbidden."));
            }
        }
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_attributes_class(new, errors);
    },
    ..Rules::PLAIN
};

fn validate_attributes_class(class: &Value, errors: &mut Errors) {
    validate_provisioner(text(&class["driverName"]), &Path::new("driverName"), errors);
    validate_parameters(&class["parameters"], true, errors);
}

const CSI_DRIVER: Rules = Rules {
    default: |driver| {
        let Some(spec) = driver.get_mut("spec") else { return };
        fill(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            fill(spec, field, false);
        }
        fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if count(&spec["volumeLifecycleModes"]) == 0 {
            put(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    },
    validate: |driver, errors| validate_driver_spec(&driver["spec"], errors),
    prepare_update: bump_generation,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        let (was, is, path) = (&old["spec"], &new["spec"], Path::new("spec"));
        validate_driver_spec(is, errors);
        // Spelt so in Kubernetes.
        immutable(&was["attachRequired"], &is["attachRequired"], &path.child("attachedRequired"), errors);
        let modes = "volumeLifecycleModes";
        immutable(&was[modes], &is[modes], &path.child(modes), errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_driver_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let policy = text(&spec["fsGroupPolicy"]);
    let known = ["File", "None", "ReadWriteOnceWithFSType"];
    if !known.contains(&policy) {
        errors.not_supported(&path.child("fsGroupPolicy"), policy, &known);
    }
    let mut seen = BTreeSet::new();
    for (i, request) in list(&spec["tokenRequests"]).iter().enumerate() {
        let at = path.child("tokenRequests").index(i);
        let audience = text(&request["audience"]);
        if !seen.insert(audience) {
            errors.duplicate(&at.child("audience"), audience);
            continue;
        }
        if let Some(seconds) = request["expirationSeconds"].as_i64() {
            validate_expiration(seconds, &at.child("expirationSeconds"), errors);
        }
    }
    for mode in list(&spec["volumeLifecycleModes"]).iter().map(text) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.not_supported(&path.child("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
        }
    }
    if let Some(seconds) = spec["nodeAllocatableUpdatePeriodSeconds"].as_i64()
        && seconds < 10
    {
        let at = path.child("nodeAllocatableUpdatePeriodSeconds");
        errors.invalid(&at, seconds, "must be greater than or equal to 10 seconds");
    }
}

/// The life of a token, here and in TokenRequests.
pub(crate) fn validate_expiration(seconds: i64, path: &Path, errors: &mut Errors) {
    if seconds < 600 {
        errors.invalid(path, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds");
    }
}

const CSI_NODE: Rules = Rules {
    validate: validate_csi_node,
    validate_update: |old, new, errors| {
        for _ in 0..2 {
            meta::validate(new, false, names::dns1123_subdomain, errors);
            validate_csi_node(new, errors);
        }
        let drivers = |node: &Value| list(&node["spec"]["drivers"]).to_vec();
        for was in drivers(old) {
            for is in drivers(new).iter().filter(|is| is["name"] == was["name"]) {
                immutable(&was, is, &Path::new("spec").child("drivers"), errors);
            }
        }
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_csi_node(node: &Value, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, driver) in list(&node["spec"]["drivers"]).iter().enumerate() {
        let path = Path::new("spec").child("drivers").index(i);
        let (name, id) = (text(&driver["name"]), text(&driver["nodeID"]));
        validate_driver(name, &path.child("name"), errors);
        if id.is_empty() {
            errors.required(&path.child("nodeID"), "");
        }
        if id.len() > 256 {
            errors.invalid(&path.child("nodeID"), id, "must be 256 characters or less");
        }
        let limit = int(&driver["allocatable"]["count"]);
        if limit < 0 {
            let detail = "must be greater than or equal to 0";
            errors.invalid(&path.child("allocatable").child("count"), limit, detail);
        }
        if !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        let mut keys = BTreeSet::new();
        for key in list(&driver["topologyKeys"]).iter().map(text) {
            if key.is_empty() {
                errors.required(&path, key);
            }
            if !keys.insert(key) {
                errors.duplicate(&path, key);
            }
            for wrong in names::qualified(key) {
                errors.invalid(&path, key, &wrong);
            }
        }
    }
}

const VOLUME_ATTACHMENT: Rules = Rules {
    prepare_create: |attachment| put(attachment, "status", json!({"attached": false})),
    validate: |attachment, errors| {
        validate_attachment(attachment, errors);
        let spec = &attachment["spec"];
        validate_driver(text(&spec["attacher"]), &Path::new("spec.attacher"), errors);
        if let Some(volume) = spec["source"]["persistentVolumeName"].as_str() {
            for wrong in names::subdomain(volume) {
                errors.invalid(&Path::new("spec.source.persistentVolumeName"), volume, &wrong);
            }
        }
    },
    prepare_update: |old, new| keep(old, new, "status"),
    validate_update: |old, new, errors| {
        for _ in 0..2 {
            meta::validate(new, false, names::dns1123_subdomain, errors);
            validate_attachment(new, errors);
        }
        immutable(&old["spec"], &new["spec"], &Path::new("spec"), errors);
    },
    prepare_status: |old, new| {
        keep(old, new, "spec");
        let version = new["metadata"]["resourceVersion"].clone();
        let managed = new["metadata"]["managedFields"].clone();
        keep(old, new, "metadata");
        if let Some(metadata) = new.get_mut("metadata") {
            put(metadata, "resourceVersion", version);
            put(metadata, "managedFields", managed);
        }
    },
    validate_status: |_, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_attachment(new, errors);
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_attachment(attachment: &Value, errors: &mut Errors) {
    let (spec, path) = (&attachment["spec"], Path::new("spec"));
    if text(&spec["attacher"]).is_empty() {
        errors.required(&path.child("attacher"), "");
    }
    let (source, at) = (&spec["source"], path.child("source"));
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source["inlineVolumeSpec"].is_null(), source["persistentVolumeName"].as_str()) {
        (true, None) => errors.required(&at, detail),
        (false, Some(_)) => errors.forbidden(&at, detail),
        (true, Some("")) => {
            errors.required(&at.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
        }
        _ => {}
    }
    let node = text(&spec["nodeName"]);
    for wrong in names::subdomain(node) {
        errors.invalid(&path.child("nodeName"), node, &wrong);
    }
    let (status, path) = (&attachment["status"], Path::new("status"));
    let size: usize = entries(&status["attachmentMetadata"]).map(|(key, value)| key.len() + text(value).len()).sum();
    if size > PARAMETERS_SIZE {
        errors.too_long(&path.child("attachmentMetadata"), PARAMETERS_SIZE);
    }
    for field in ["attachError", "detachError"] {
        if text(&status[field]["message"]).len() > 1024 {
            errors.too_long(&path.child(field).child("message"), PARAMETERS_SIZE);
        }
    }
}

const CSI_STORAGE_CAPACITY: Rules = Rules {
    validate: validate_capacity,
    validate_update: |old, new, errors| {
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_capacity(new, errors);
        meta::validate_update(old, new, errors);
        for field in ["nodeTopology", "storageClassName"] {
            immutable(&old[field], &new[field], &Path::new(field), errors);
        }
    },
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

fn validate_capacity(capacity: &Value, errors: &mut Errors) {
    if !capacity["nodeTopology"].is_null() {
        selector::validate(&capacity["nodeTopology"], &Path::new("nodeTopology"), errors);
    }
    let class = text(&capacity["storageClassName"]);
    for wrong in names::subdomain(class) {
        errors.invalid(&Path::new("storageClassName"), class, &wrong);
    }
    if !capacity["capacity"].is_null() {
        resources::nonnegative(&capacity["capacity"], &Path::new("capacity"), errors);
    }
}
