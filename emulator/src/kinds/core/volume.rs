//! PersistentVolumes (`pkg/registry/core/persistentvolume/strategy.go`).

use serde_json::{Value, json};

use super::claim::{CLASS_ANNOTATION, is_positive, nonnegative, validate_access_modes, validate_mode};
use crate::field::{Errors, Path};
use crate::kinds::view::{count, entries, fill, fill_text, immutable, int, keep, put, same, text};
use crate::kinds::{Rules, diff, internal, meta, names, resources, selector_terms};

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// The sources, in the order in which they are looked at.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

pub(super) const VOLUME: Rules = Rules {
    default: |volume| {
        if let Some(spec) = volume.get_mut("spec") {
            fill_text(spec, "persistentVolumeReclaimPolicy", "Retain");
            fill(spec, "volumeMode", "Filesystem");
            resources::round(spec.get_mut("capacity"));
            if let Some(path) = spec.get_mut("hostPath") {
                fill(path, "type", "");
            }
            if let Some(disk) = spec.get_mut("iscsi") {
                fill_text(disk, "iscsiInterface", "default");
            }
            if let Some(disk) = spec.get_mut("rbd") {
                fill_text(disk, "pool", "rbd");
                fill_text(disk, "user", "admin");
                fill_text(disk, "keyring", "/etc/ceph/keyring");
            }
        }
        if let Some(status) = volume.get_mut("status") {
            fill(status, "phase", "Pending");
        }
    },
    prepare_create: |volume| put(volume, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": meta::now()})),
    validate,
    prepare_update: |old, new| keep(old, new, "status"),
    validate_update: |old, new, errors| {
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate(new, errors);
        // Once more, without the mount options.
        meta::validate(new, false, names::dns1123_subdomain, errors);
        validate_spec(&new["spec"], errors);
        validate_change(&old["spec"], &new["spec"], errors);
    },
    prepare_status: |old, new| {
        keep(old, new, "spec");
        let (was, is) = (&old["status"], &new["status"]);
        let time = "lastPhaseTransitionTime";
        let unset = is[time].is_null();
        let time_value = match was["phase"] == is["phase"] {
            true if unset => was[time].clone(),
            false if unset || was[time] == is[time] => meta::now().into(),
            _ => return,
        };
        if let Some(status) = new.get_mut("status") {
            put(status, time, time_value);
        }
    },
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        if text(&new["metadata"]["resourceVersion"]).is_empty() {
            errors.required(&Path::new("resourceVersion"), "");
        }
    },
    warnings: |volume, _| warnings(volume),
    fields: |volume| vec![("name", text(&volume["metadata"]["name"]).to_owned())],
    ..Rules::PLAIN
};

fn validate(volume: &Value, errors: &mut Errors) {
    validate_spec(&volume["spec"], errors);
    // The kinds of volumes that know mount options.
    let mountable = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    let options = volume["metadata"]["annotations"].get(MOUNT_OPTIONS).is_some();
    if options && mountable.iter().all(|source| volume["spec"][*source].is_null()) {
        let path = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
        errors.forbidden(&path, "may not specify mount options for this volume type");
    }
}

fn validate_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    if count(&spec["accessModes"]) == 0 {
        errors.required(&path.child("accessModes"), "");
    }
    validate_access_modes(spec, &path, errors);
    let (capacity, at) = (&spec["capacity"], path.child("capacity"));
    if count(capacity) == 0 {
        errors.required(&at, "");
    }
    if capacity["storage"].is_null() || count(capacity) > 1 {
        let shown = if capacity.is_null() { "null".to_owned() } else { capacity.to_string() };
        let body = format!("Unsupported value: {shown}: supported values: \"storage\"");
        errors.other(crate::field::Kind::NotSupported, &at.to_string(), body);
    }
    for (name, value) in entries(capacity) {
        nonnegative(value, &at.key(name), errors);
        if !is_positive(value) {
            let shown = crate::kinds::quantity::Quantity::of(value).to_string();
            errors.invalid(&at.key(name), shown, "must be greater than zero");
        }
    }
    let policy = text(&spec["persistentVolumeReclaimPolicy"]);
    if !matches!(policy, "" | "Delete" | "Recycle" | "Retain") {
        let known = ["Delete", "Recycle", "Retain"];
        errors.not_supported(&path.child("persistentVolumeReclaimPolicy"), policy, &known);
    }
    let affinity = &spec["nodeAffinity"];
    if !affinity.is_null() {
        let at = path.child("nodeAffinity").child("required");
        if affinity["required"].is_null() {
            errors.required(&at, "must specify required node constraints");
        } else {
            selector_terms::validate_node_selector(&affinity["required"], &at, errors);
        }
    }
    validate_sources(spec, &path, errors);
    if policy == "Recycle" && text(&spec["hostPath"]["path"]).trim_matches('/').is_empty() && !spec["hostPath"].is_null() {
        let at = path.child("persistentVolumeReclaimPolicy");
        errors.forbidden(&at, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = text(&spec["storageClassName"]);
    if !class.is_empty() {
        for wrong in names::subdomain(class) {
            errors.invalid(&path.child("storageClassName"), class, &wrong);
        }
    }
    validate_mode(spec, &path, errors);
    if let Some(class) = spec["volumeAttributesClassName"].as_str() {
        let at = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.required(&at, "an empty string is disallowed");
        } else {
            for wrong in names::subdomain(class) {
                errors.invalid(&at, class, &wrong);
            }
        }
        if spec["csi"].is_null() {
            errors.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn validate_sources(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = 0;
    for name in SOURCES {
        let source = &spec[name];
        if source.is_null() {
            continue;
        }
        seen += 1;
        let at = path.child(if name == "cephfs" { "cephFS" } else { name });
        if seen > 1 && name != "flexVolume" {
            errors.forbidden(&at, "may not specify more than 1 volume type");
            seen = 1;
            continue;
        }
        match name {
            "hostPath" => {
                let given = validate_path(source, &at, errors);
                if given {
                    validate_host_path_type(source, &at, errors);
                }
            }
            "local" => {
                validate_path(source, &at, errors);
                if spec["nodeAffinity"].is_null() {
                    errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "nfs" => {
                require(source, &["server", "path"], &at, errors);
                let mount = text(&source["path"]);
                if !mount.starts_with('/') {
                    errors.invalid(&at.child("path"), mount, "must be an absolute path");
                }
            }
            "csi" => validate_csi(source, &at, errors),
            "iscsi" => {
                require(source, &["targetPortal", "iqn"], &at, errors);
                let unit = int(&source["lun"]);
                if !(0..=255).contains(&unit) {
                    errors.invalid(&at.child("lun"), unit, &names::range_error(0, 255));
                }
            }
            "rbd" => require(source, &["monitors", "image"], &at, errors),
            "cephfs" => require(source, &["monitors"], &path.child("cephfs"), errors),
            "glusterfs" => require(source, &["endpoints", "path"], &at, errors),
            "flexVolume" => require(source, &["driver"], &at, errors),
            "cinder" | "awsElasticBlockStore" | "portworxVolume" => require(source, &["volumeID"], &at, errors),
            "gcePersistentDisk" => require(source, &["pdName"], &path.child("persistentDisk"), errors),
            "vsphereVolume" => require(source, &["volumePath"], &at, errors),
            "photonPersistentDisk" => require(source, &["pdID"], &at, errors),
            "azureFile" => require(source, &["secretName", "shareName"], &at, errors),
            "azureDisk" => require(source, &["diskName", "diskURI"], &at, errors),
            "storageos" => require(source, &["volumeName"], &at, errors),
            "quobyte" => require(source, &["registry", "volume"], &at, errors),
            "scaleIO" => require(source, &["gateway", "system", "volumeName"], &at, errors),
            _ => {}
        }
    }
    if seen == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn require(source: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if count(&source[*field]) == 0 {
            errors.required(&path.child(field), "");
        }
    }
}

/// A path is given and does not lead up.
fn validate_path(source: &Value, path: &Path, errors: &mut Errors) -> bool {
    let given = text(&source["path"]);
    if given.is_empty() {
        errors.required(&path.child("path"), "");
        return false;
    }
    if given.split('/').any(|part| part == "..") {
        errors.invalid(&path.child("path"), given, "must not contain '..'");
    }
    true
}

fn validate_host_path_type(source: &Value, path: &Path, errors: &mut Errors) {
    let known = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if let Some(kind) = source["type"].as_str()
        && !known.contains(&kind)
    {
        errors.not_supported(&path.child("type"), kind, &known);
    }
}

/// ValidateCSIDriverName.
pub(crate) fn validate_driver(driver: &str, path: &Path, errors: &mut Errors) {
    if driver.is_empty() {
        errors.required(path, "");
    }
    if driver.len() > 63 {
        errors.too_long(path, 63);
    }
    for wrong in names::subdomain(&driver.to_lowercase()) {
        errors.invalid(path, driver, &wrong);
    }
}

fn validate_csi(source: &Value, path: &Path, errors: &mut Errors) {
    validate_driver(text(&source["driver"]), &path.child("driver"), errors);
    require(source, &["volumeHandle"], path, errors);
    for field in ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"] {
        let (secret, path) = (&source[field], path.child(field));
        if secret.is_null() {
            continue;
        }
        for field in ["name", "namespace"] {
            let value = text(&secret[field]);
            if value.is_empty() {
                errors.required(&path.child(field), "");
            } else {
                for wrong in names::subdomain(value) {
                    errors.invalid(&path.child(field), value, &wrong);
                }
            }
        }
    }
}

fn sources(spec: &Value) -> Value {
    let present = SOURCES.iter().filter_map(|name| Some(((*name).to_owned(), spec.get(*name)?.clone())));
    Value::Object(present.collect())
}

fn validate_change(was: &Value, is: &Value, errors: &mut Errors) {
    let (old, mut new) = (sources(was), sources(is));
    if !old["csi"].is_null()
        && old["csi"]["controllerExpandSecretRef"].is_null()
        && let Some(csi) = new.get_mut("csi")
    {
        put(csi, "controllerExpandSecretRef", Value::Null);
    }
    if !same(&old, &new) {
        let [a, b] = [&old, &new].map(|sources| internal::pretty("PersistentVolumeSource", sources));
        let path = Path::new("spec").child("persistentvolumesource");
        let difference = diff::unified(&a, &b);
        errors.forbidden(&path, &format!("spec.persistentvolumesource is immutable after creation\n{difference}"));
    }
    immutable(&was["volumeMode"], &is["volumeMode"], &Path::new("volumeMode"), errors);
    if !was["nodeAffinity"].is_null() && !same(&was["nodeAffinity"], &is["nodeAffinity"]) {
        let detail = "field is immutable, except for updating from beta label to GA";
        let body = match &is["nodeAffinity"] {
            Value::Null => format!("Invalid value: null: {detail}"),
            affinity => internal::invalid("VolumeNodeAffinity", affinity, detail),
        };
        errors.other(crate::field::Kind::Invalid, "nodeAffinity", body);
    }
    let class = "volumeAttributesClassName";
    if !was[class].is_null() && is[class].is_null() {
        errors.forbidden(&Path::new("spec").child(class), "update from non-nil value to nil is forbidden");
    }
}

fn warnings(volume: &Value) -> Vec<String> {
    let (spec, annotations) = (&volume["spec"], &volume["metadata"]["annotations"]);
    let mut warnings = Vec::new();
    for (key, since, instead) in [(CLASS_ANNOTATION, "v1.8", "storageClassName"), (MOUNT_OPTIONS, "v1.31", "mountOptions")] {
        if annotations.get(key).is_some() {
            warnings.push(format!("metadata.annotations[{key}]: deprecated since {since}; use \"{instead}\" attribute instead"));
        }
    }
    if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to \
             use dynamic provisioning."
                .to_owned(),
        );
    }
    for (field, shown, deprecated, gone) in [
        ("cephfs", "cephfs", "v1.28", "v1.31"),
        ("photonPersistentDisk", "photonPersistentDisk", "v1.11", "v1.16"),
        ("scaleIO", "scaleIO", "v1.16", "v1.22"),
        ("storageos", "storageOS", "v1.22", "v1.25"),
        ("glusterfs", "glusterfs", "v1.25", "v1.26"),
        ("rbd", "rbd", "v1.28", "v1.31"),
    ] {
        if !spec[field].is_null() {
            warnings.push(format!("spec.{shown}: deprecated in {deprecated}, non-functional in {gone}+"));
        }
    }
    warnings
}
