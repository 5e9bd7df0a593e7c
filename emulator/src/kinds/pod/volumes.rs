//! Volumes, and how containers mount them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::core::claim;
use super::super::names;
use super::super::view::{count, entries, flag, int, list, text};
use super::{enumerated, env};
use crate::field::{Errors, Path, quote};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const SEVERAL: &str = "may not specify more than 1 volume type";

/// What validates one kind of source.
type Check = fn(&Value, &Path, &mut Errors);

/// The kinds of sources in the order in which they are looked at: the field, its name in the error about several, its
/// name in errors about itself, and the check.
const SOURCES: [(&str, &str, &str, Check); 29] = [
    ("hostPath", "hostPath", "hostPath", host_path),
    ("gitRepo", "gitRepo", "gitRepo", git_repo),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", |v, p, e| disk(v, "pdName", p, e)),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", |v, p, e| disk(v, "volumeID", p, e)),
    ("secret", "secret", "secret", |v, p, e| files(v, "secretName", p, e)),
    ("nfs", "nfs", "nfs", nfs),
    ("iscsi", "iscsi", "iscsi", iscsi),
    ("glusterfs", "glusterfs", "glusterfs", |v, p, e| required(v, &["endpoints", "path"], p, e)),
    ("flocker", "flocker", "flocker", flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", |v, p, e| required(v, &["claimName"], p, e)),
    ("rbd", "rbd", "rbd", |v, p, e| required(v, &["monitors", "image"], p, e)),
    ("cinder", "cinder", "cinder", |v, p, e| {
        required(v, &["volumeID"], p, e);
        secret_ref(v, p, e);
    }),
    ("cephfs", "cephFS", "cephfs", |v, p, e| required(v, &["monitors"], p, e)),
    ("quobyte", "quobyte", "quobyte", quobyte),
    ("downwardAPI", "downwarAPI", "downwardAPI", |v, p, e| {
        mode(v, "defaultMode", p, e);
        for item in list(&v["items"]) {
            downward_file(item, p, e);
        }
    }),
    ("fc", "fc", "fc", fibre_channel),
    ("flexVolume", "flexVolume", "flexVolume", flex),
    ("configMap", "configMap", "configMap", |v, p, e| files(v, "name", p, e)),
    ("azureFile", "azureFile", "azureFile", |v, p, e| required(v, &["secretName", "shareName"], p, e)),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", |v, p, e| required(v, &["volumePath"], p, e)),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |v, p, e| required(v, &["pdID"], p, e)),
    ("portworxVolume", "portworxVolume", "portworxVolume", |v, p, e| required(v, &["volumeID"], p, e)),
    ("azureDisk", "azureDisk", "azureDisk", azure_disk),
    ("storageos", "storageos", "storageos", storage_os),
    ("projected", "projected", "projected", projected),
    ("scaleIO", "scaleIO", "scaleIO", |v, p, e| required(v, &["gateway", "system", "volumeName"], p, e)),
    ("csi", "csi", "csi", csi),
    ("ephemeral", "ephemeral", "ephemeral", ephemeral),
    ("image", "image", "image", |v, p, e| super::containers::validate_pull_policy(&v["pullPolicy"], &p.child("pullPolicy"), e)),
];

/// The volumes of a pod that passed validation.
pub(super) struct Volumes<'a>(Vec<&'a Value>);

impl<'a> Volumes<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find(|volume| text(&volume["name"]) == name).copied()
    }
}

/// `ValidateVolumes`. `pod` is the pod's name, "" in a template.
pub(super) fn validate<'a>(volumes: &'a Value, pod: &str, is_pod: bool, path: &Path, errors: &mut Errors) -> Volumes<'a> {
    let mut good = Volumes(Vec::new());
    let created: BTreeSet<_> = list(volumes)
        .iter()
        .filter(|volume| !pod.is_empty() && !volume["ephemeral"].is_null())
        .map(|volume| format!("{pod}-{}", text(&volume["name"])))
        .collect();
    for (i, volume) in list(volumes).iter().enumerate() {
        let (name, path) = (text(&volume["name"]), path.index(i));
        let mut own = Errors::new();
        validate_source(volume, pod, is_pod, &path, &mut own);
        if name.is_empty() {
            own.required(&path.child("name"), "");
        } else {
            for why in names::label(name) {
                own.invalid(&path.child("name"), name, &why);
            }
        }
        if good.get(name).is_some() {
            own.duplicate(&path.child("name"), name);
        }
        if own.is_empty() {
            good.0.push(volume);
        }
        errors.extend(own);
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if created.contains(claim) {
            let text = "must not reference a PVC that gets created for an ephemeral volume";
            errors.invalid(&path.child("persistentVolumeClaim").child("claimName"), claim, text);
        }
    }
    good
}

fn validate_source(volume: &Value, pod: &str, is_pod: bool, path: &Path, errors: &mut Errors) {
    let name = text(&volume["name"]);
    let mut found = 0;
    if !volume["emptyDir"].is_null() {
        found += 1;
        let limit = &volume["emptyDir"]["sizeLimit"];
        if super::super::quantity::Quantity::of(limit).is_negative() {
            let text = "SizeLimit field must be a valid resource quantity";
            errors.forbidden(&path.child("emptyDir").child("sizeLimit"), text);
        }
    }
    for (field, among_several, own_name, check) in SOURCES {
        let source = &volume[field];
        if source.is_null() {
            continue;
        }
        if found > 0 {
            errors.forbidden(&path.child(among_several), SEVERAL);
        } else {
            found += 1;
            if field == "image" && is_pod && text(&source["reference"]).is_empty() {
                errors.required(&path.child("image").child("reference"), "");
            }
            check(source, &path.child(own_name), errors);
            if field == "ephemeral" && !pod.is_empty() && !name.is_empty() {
                let claim = format!("{pod}-{name}");
                for why in names::subdomain(&claim) {
                    errors.invalid(&path.child("name"), name, &format!("PVC name {}: {why}", quote(&claim)));
                }
            }
        }
        let portal = text(&source["targetPortal"]);
        if field == "iscsi" && !source["initiatorName"].is_null() && name.len() + 1 + portal.len() > 64 {
            let text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is \
                        specified.";
            errors.invalid(&path.child("name"), name, text);
        }
    }
    if found == 0 {
        errors.required(path, "must specify a volume type");
    }
}

/// Fields that must not be empty.
fn required(source: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        if count(&source[*field]) == 0 {
            errors.required(&path.child(field), "");
        }
    }
}

fn mode(source: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = source[field].as_i64()
        && !(0..=0o777).contains(&mode)
    {
        errors.invalid(&path.child(field), mode, MODE);
    }
}

fn range(source: &Value, field: &str, (least, most): (i64, i64), text: &str, path: &Path, errors: &mut Errors) {
    let number = int(&source[field]);
    if !(least..=most).contains(&number) {
        errors.invalid(&path.child(field), number, text);
    }
}

fn secret_ref(source: &Value, path: &Path, errors: &mut Errors) {
    if !source["secretRef"].is_null() && text(&source["secretRef"]["name"]).is_empty() {
        errors.required(&path.child("secretRef").child("name"), "");
    }
}

/// `validatePathNoBacksteps`.
pub(super) fn no_backsteps(target: &str, path: &Path, errors: &mut Errors) {
    if target.split('/').any(|part| part == "..") {
        errors.invalid(path, target, "must not contain '..'");
    }
}

/// `validateLocalDescendingPath`.
pub(super) fn descending(target: &str, path: &Path, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_backsteps(target, path, errors);
}

/// `ValidateLocalNonReservedPath`.
fn not_reserved(target: &str, path: &Path, errors: &mut Errors) {
    descending(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let target = text(&source["path"]);
    if target.is_empty() {
        return errors.required(&path.child("path"), "");
    }
    no_backsteps(target, &path.child("path"), errors);
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    enumerated(&source["type"], &TYPES, &path.child("type"), errors);
}

fn git_repo(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["repository"], path, errors);
    descending(text(&source["directory"]), &path.child("directory"), errors);
}

fn disk(source: &Value, name: &str, path: &Path, errors: &mut Errors) {
    required(source, &[name], path, errors);
    range(source, "partition", (0, 255), "must be between 1 and 255, inclusive", path, errors);
}

fn nfs(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["server", "path"], path, errors);
    let target = text(&source["path"]);
    if !target.starts_with('/') {
        errors.invalid(&path.child("path"), target, "must be an absolute path");
    }
}

/// An initiator's or a target's name, as RFC 3720 has them.
fn is_iscsi_name(name: &str) -> bool {
    let is_number = |text: &str, length: usize| text.len() == length && text.bytes().all(|c| c.is_ascii_digit());
    let is_code =
        |text: &str, length: usize| text.chars().count() == length + 1 && text.chars().skip(1).all(|c| c.is_ascii_alphanumeric());
    if let Some(rest) = name.strip_prefix("iqn.") {
        let Some((date, rest)) = rest.split_once('.') else { return false };
        let Some((year, month)) = date.split_once('-') else { return false };
        let Some((authority, unique)) = rest.split_once(':') else { return false };
        return is_number(year, 4)
            && is_number(month, 2)
            && !authority.is_empty()
            && authority.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
            && !unique.is_empty()
            && !unique.contains([',', ';', '*', '&', '$', '|'])
            && !unique.contains(char::is_whitespace);
    }
    match (name.strip_prefix("eui"), name.strip_prefix("naa")) {
        (Some(rest), _) => is_code(rest, 16),
        (_, Some(rest)) => is_code(rest, 32),
        _ => false,
    }
}

fn iscsi_name(name: &str, path: &Path, errors: &mut Errors) {
    if !["iqn", "eui", "naa"].iter().any(|scheme| name.starts_with(scheme)) {
        errors.invalid(path, name, "must be valid format starting with iqn, eui, or naa");
    } else if !is_iscsi_name(name) {
        errors.invalid(path, name, "must be valid format");
    }
}

fn iscsi(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["targetPortal", "iqn"], path, errors);
    if !text(&source["iqn"]).is_empty() {
        iscsi_name(text(&source["iqn"]), &path.child("iqn"), errors);
    }
    range(source, "lun", (0, 255), "must be between 0 and 255, inclusive", path, errors);
    let authenticates = flag(&source["chapAuthDiscovery"]) || flag(&source["chapAuthSession"]);
    if authenticates && source["secretRef"].is_null() {
        errors.required(&path.child("secretRef"), "");
    }
    if !source["initiatorName"].is_null() {
        iscsi_name(text(&source["initiatorName"]), &path.child("initiatorname"), errors);
    }
}

fn flocker(source: &Value, path: &Path, errors: &mut Errors) {
    let (name, uuid) = (text(&source["datasetName"]), text(&source["datasetUUID"]));
    if name.is_empty() && uuid.is_empty() {
        errors.required(path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        errors.invalid(&path.child("datasetName"), name, "must not contain '/'");
    }
}

fn quobyte(source: &Value, path: &Path, errors: &mut Errors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(&source["registry"]);
    if registry.is_empty() {
        errors.required(&path.child("registry"), PAIRS);
    } else if text(&source["tenant"]).len() >= 65 {
        errors.required(&path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.split(',').filter(|pair| pair.matches(':').count() != 1 && !pair.contains("]:")) {
            errors.invalid(&path.child("registry"), registry, PAIRS);
        }
    }
    required(source, &["volume"], path, errors);
}

fn fibre_channel(source: &Value, path: &Path, errors: &mut Errors) {
    let (targets, ids) = (&source["targetWWNs"], &source["wwids"]);
    if count(targets) + count(ids) == 0 {
        errors.required(&path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    }
    if count(targets) > 0 && count(ids) > 0 {
        let text = "targetWWNs and wwids can not be specified simultaneously";
        errors.invalid(&path.child("targetWWNs"), targets.clone(), text);
    }
    if count(targets) > 0 {
        if source["lun"].is_null() {
            errors.required(&path.child("lun"), "lun is required if targetWWNs is specified");
        } else {
            range(source, "lun", (0, 255), "must be between 0 and 255, inclusive", path, errors);
        }
    }
}

fn flex(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["driver"], path, errors);
    for (key, _) in entries(&source["options"]) {
        let domain = format!(".{}", key.split_once('/').map_or(key, |(domain, _)| domain).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let text = "kubernetes.io and k8s.io namespaces are reserved";
            errors.invalid(&path.child("options").key(key), key, text);
        }
    }
}

fn azure_disk(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["diskName", "diskURI"], path, errors);
    enumerated(&source["cachingMode"], &["None", "ReadOnly", "ReadWrite"], &path.child("cachingMode"), errors);
    enumerated(&source["kind"], &["Dedicated", "Managed", "Shared"], &path.child("kind"), errors);
    let (kind, uri) = (&source["kind"], text(&source["diskURI"]));
    let (start, form) = if text(kind) == "Managed" {
        const FORM: &str = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        ("/subscriptions/", FORM)
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    if !kind.is_null() && !uri.starts_with(start) {
        errors.not_supported(&path.child("diskURI"), uri, &[form]);
    }
}

fn storage_os(source: &Value, path: &Path, errors: &mut Errors) {
    required(source, &["volumeName"], path, errors);
    for field in ["volumeName", "volumeNamespace"] {
        let name = text(&source[field]);
        if !name.is_empty() {
            for why in names::label(name) {
                errors.invalid(&path.child(field), name, &why);
            }
        }
    }
    secret_ref(source, path, errors);
}

/// A secret's or a ConfigMap's files.
fn files(source: &Value, name: &str, path: &Path, errors: &mut Errors) {
    required(source, &[name], path, errors);
    mode(source, "defaultMode", path, errors);
    for (i, item) in list(&source["items"]).iter().enumerate() {
        key_to_path(item, &path.child("items").index(i), errors);
    }
}

fn key_to_path(item: &Value, path: &Path, errors: &mut Errors) {
    required(item, &["key", "path"], path, errors);
    not_reserved(text(&item["path"]), &path.child("path"), errors);
    mode(item, "mode", path, errors);
}

/// `validateDownwardAPIVolumeFile`.
fn downward_file(file: &Value, path: &Path, errors: &mut Errors) {
    const FIELDS: [&str; 5] = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    required(file, &["path"], path, errors);
    not_reserved(text(&file["path"]), &path.child("path"), errors);
    if !file["fieldRef"].is_null() {
        env::validate_field_ref(&file["fieldRef"], &FIELDS, &path.child("fieldRef"), errors);
        if !file["resourceFieldRef"].is_null() {
            errors.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if !file["resourceFieldRef"].is_null() {
        env::validate_resource_ref(&file["resourceFieldRef"], true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    mode(file, "mode", path, errors);
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut paths = BTreeSet::new();
    // The error names the source, or the path where the source has no name.
    let mut claim = |target: &str, named: &str, errors: &mut Errors| {
        if !target.is_empty() && !paths.insert(target.to_owned()) {
            errors.invalid(path, named, "conflicting duplicate paths");
        }
    };
    for (i, projection) in list(&source["sources"]).iter().enumerate() {
        let own_path = path.child("sources").index(i);
        let mut found = 0;
        for kind in ["secret", "configMap"] {
            let own = &projection[kind];
            if own.is_null() {
                continue;
            }
            found += 1;
            let path = own_path.child(kind);
            required(own, &["name"], &path, errors);
            for (i, item) in list(&own["items"]).iter().enumerate() {
                key_to_path(item, &path.child("items").index(i), errors);
                claim(text(&item["path"]), text(&own["name"]), errors);
            }
        }
        if !projection["downwardAPI"].is_null() {
            found += 1;
            for file in list(&projection["downwardAPI"]["items"]) {
                downward_file(file, &own_path.child("downwardAPI"), errors);
                claim(text(&file["path"]), text(&file["path"]), errors);
            }
        }
        let token = &projection["serviceAccountToken"];
        if !token.is_null() {
            found += 1;
            let (seconds, target) = (int(&token["expirationSeconds"]), text(&token["path"]));
            let seconds_path = own_path.child("serviceAccountToken").child("expirationSeconds");
            if seconds < 600 {
                errors.invalid(&seconds_path, seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds > 1 << 32 {
                errors.invalid(&seconds_path, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            if target.is_empty() {
                errors.required(&path.child("path"), "");
            } else {
                not_reserved(target, &path.child("path"), errors);
            }
        }
        if found > 1 {
            errors.forbidden(&own_path, "may not specify more than 1 volume type per source");
        }
    }
}

/// `ValidateCSIDriverName`.
fn csi(source: &Value, path: &Path, errors: &mut Errors) {
    let (driver, driver_path) = (text(&source["driver"]), path.child("driver"));
    if driver.is_empty() {
        errors.required(&driver_path, "");
    }
    if driver.len() > 63 {
        errors.too_long(&driver_path, 63);
    }
    for why in names::subdomain(&driver.to_lowercase()) {
        errors.invalid(&driver_path, driver, &why);
    }
    let secret = &source["nodePublishSecretRef"];
    if secret.is_null() {
        return;
    }
    let name = text(&secret["name"]);
    if name.is_empty() {
        return errors.required(&path.child("nodePublishSecretRef").child("name"), "");
    }
    for why in names::subdomain(name) {
        errors.invalid(&path.child("name"), name, &why);
    }
}

fn ephemeral(source: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("volumeClaimTemplate");
    let template = &source["volumeClaimTemplate"];
    if template.is_null() {
        return errors.required(&path, "");
    }
    let metadata = path.child("metadata");
    super::super::meta::annotations(&template["metadata"]["annotations"], &metadata.child("annotations"), errors);
    names::validate_labels(&template["metadata"]["labels"], &metadata.child("labels"), errors);
    for (field, _) in entries(&template["metadata"]).filter(|(field, _)| !matches!(*field, "annotations" | "labels")) {
        if count(&template["metadata"][field]) > 0 {
            errors.forbidden(&metadata.child(field), "cannot be set");
        }
    }
    claim::validate_spec(&template["spec"], &path.child("spec"), true, errors);
}

/// The mounts or devices of a container, by name; the last of a name counts.
fn targets<'a>(container: &'a Value, kind: &str, target: &str) -> Vec<(&'a str, &'a str)> {
    list(&container[kind]).iter().map(|one| (text(&one["name"]), text(&one[target]))).collect()
}

/// `ValidateVolumeMounts`.
pub(super) fn validate_mounts(container: &Value, volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let devices = targets(container, "volumeDevices", "devicePath");
    let mut seen: Vec<&str> = Vec::new();
    for (i, mount) in list(&container["volumeMounts"]).iter().enumerate() {
        let own_path = path.index(i);
        let (name, target) = (text(&mount["name"]), text(&mount["mountPath"]));
        let (name_path, target_path) = (own_path.child("name"), own_path.child("mountPath"));
        if name.is_empty() {
            errors.required(&name_path, "");
        }
        if volumes.get(name).is_none() {
            errors.not_found(&name_path, name);
        }
        if target.is_empty() {
            errors.required(&target_path, "");
        }
        if seen.contains(&target) {
            errors.invalid(&target_path, target, "must be unique");
        }
        seen.push(target);
        if devices.iter().any(|(device, _)| *device == name) {
            errors.invalid(&name_path, name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|(_, path)| *path == target) {
            errors.invalid(&target_path, target, "must not already exist as a path in volumeDevices");
        }
        // The paths of these are the list's, not the item's.
        let (below, expression) = (text(&mount["subPath"]), text(&mount["subPathExpr"]));
        if !below.is_empty() {
            descending(below, &path.child("subPath"), errors);
        }
        if !expression.is_empty() {
            if !below.is_empty() {
                let text = "subPathExpr and subPath are mutually exclusive";
                errors.invalid(&own_path.child("subPathExpr"), expression, text);
            }
            descending(expression, &path.child("subPathExpr"), errors);
        }
        validate_propagation(mount, container, path, errors);
    }
}

fn validate_propagation(mount: &Value, container: &Value, path: &Path, errors: &mut Errors) {
    let propagation = &mount["mountPropagation"];
    let propagation_path = path.child("mountPropagation");
    enumerated(propagation, &["Bidirectional", "HostToContainer", "None"], &propagation_path, errors);
    if text(propagation) == "Bidirectional" && !flag(&container["securityContext"]["privileged"]) {
        let text = "Bidirectional mount propagation is available only to privileged containers";
        errors.forbidden(&propagation_path, text);
    }
    let recursive_path = path.child("recursiveReadOnly");
    match text(&mount["recursiveReadOnly"]) {
        _ if mount["recursiveReadOnly"].is_null() => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !flag(&mount["readOnly"]) {
                errors.forbidden(&recursive_path, "may only be specified when readOnly is true");
            }
            if !propagation.is_null() && text(propagation) != "None" {
                let text = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(&recursive_path, text);
            }
        }
        other => errors.not_supported(&recursive_path, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// `ValidateVolumeDevices`.
pub(super) fn validate_devices(container: &Value, volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let mounts = targets(container, "volumeMounts", "mountPath");
    let (mut names_seen, mut paths_seen): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (i, device) in list(&container["volumeDevices"]).iter().enumerate() {
        let own_path = path.index(i);
        let (name, target) = (text(&device["name"]), text(&device["devicePath"]));
        let (name_path, target_path) = (own_path.child("name"), own_path.child("devicePath"));
        if name.is_empty() {
            errors.required(&name_path, "");
        }
        if names_seen.contains(&name) {
            errors.invalid(&name_path, name, "must be unique");
        }
        match volumes.get(name) {
            Some(volume) if volume["persistentVolumeClaim"].is_null() && volume["ephemeral"].is_null() => {
                let text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&name_path, name, text);
            }
            Some(_) => {}
            None => errors.not_found(&name_path, name),
        }
        if target.is_empty() {
            errors.required(&target_path, "");
        }
        if paths_seen.contains(&target) {
            errors.invalid(&target_path, target, "must be unique");
        }
        if target.split('/').any(|part| part == "..") {
            errors.invalid(&target_path, target, "can not contain backsteps ('..')");
        } else {
            paths_seen.push(target);
        }
        if mounts.iter().any(|(mount, _)| *mount == name) {
            errors.invalid(&name_path, name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|(_, path)| *path == target) {
            errors.invalid(&target_path, target, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names_seen.push(name);
        }
    }
}
