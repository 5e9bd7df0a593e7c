//! The volumes of a pod on the node's disk (`pkg/kubelet/volumemanager`, `pkg/volume`).
//!
//! What the kubelet mounts is a folder here: a volume in memory is one on the disk, and one that a claim stands for is used where it
//! lies. Kinds that need a driver or a server are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k3s_arc_container::Files;
use k3s_arc_container::files::Disk;
use serde_json::Value;

use super::super::Node;
use super::atomic::{self, Payload};
use super::claims::{Claimed, claimed};
use super::payload::Maker;
use super::tokens::Tokens;
use super::{all_containers, cgroup, host_path, id, metadata, ownership, path_error, pod_directory, real, sandbox_directory};
use crate::field::quote;
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{entries, list, text};

/// Why a volume could not be set up: an event of the pod says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetupError {
    /// Its name in the pod.
    pub(crate) volume: String,
    /// The event's reason.
    pub(crate) reason: &'static str,
    /// The event's message.
    pub(crate) message: String,
}

impl SetupError {
    /// `step`: what failed; `name`: of the volume in the pod, or of the PersistentVolume behind it.
    fn failed(volume: &Value, step: &str, name: &str, why: &str) -> Self {
        let message = format!("MountVolume.{step} failed for volume {} : {why}", quote(name));
        Self { volume: text(&volume["name"]).to_owned(), reason: "FailedMount", message }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SetupError {}

const SET_UP: &str = "SetUp";

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Where it lies: a path of the node.
    pub(super) path: PathBuf,
    /// Whether no container may write to it.
    pub(super) read_only: bool,
    /// Whether the kubelet writes its content.
    pub(super) is_written: bool,
    /// How many bytes it may have (`sizeLimit` of an emptyDir); who watches over disks evicts the pod when it has more.
    pub(crate) size_limit: Option<u64>,
}

/// The volumes of a pod that are there, by their names in the pod.
#[derive(Debug)]
pub(crate) struct PodVolumes {
    volumes: BTreeMap<String, Volume>,
    tokens: Tokens,
    /// When the kubelet took the pod over, as it notes it in the pod's annotations.
    seen: String,
    /// What is to be removed with the pod, as paths of the node.
    directories: Vec<PathBuf>,
}

/// Prepares the volumes that containers of a pod mount. It can be called again, after an error as well.
pub(crate) fn set_up(node: &Node, pod: &Value) -> Result<PodVolumes, SetupError> {
    let used = used(pod);
    let wanted: Vec<_> = list(&pod["spec"]["volumes"]).iter().filter(|v| used.contains(text(&v["name"]))).collect();
    let mut claims = claims(node, pod, &wanted)?;
    let directories = vec![pod_directory(pod), sandbox_directory(pod), cgroup::of_pod(pod)];
    let mut volumes =
        PodVolumes { volumes: BTreeMap::new(), tokens: Tokens::default(), seen: node.cluster.clock().to_string(), directories };
    for name in ["", "volumes", "plugins"] {
        let path = pod_directory(pod).join(name);
        make_directory(&node.files(), &path, 0o750).map_err(|error| SetupError {
            volume: String::new(),
            reason: "FailedToMakePodDataDirectories",
            message: format!("error making pod data directories: {}", path_error("mkdir", &path, &error)),
        })?;
    }
    for volume in wanted {
        let name = text(&volume["name"]);
        let done = match claims.remove(name) {
            Some(claimed) => set_up_claimed(node, pod, &claimed)
                .map_err(|(step, why)| SetupError::failed(volume, step, metadata(&claimed.volume, "name"), &why))?,
            None => volumes.set_up_inline(node, pod, volume).map_err(|why| SetupError::failed(volume, SET_UP, name, &why))?,
        };
        volumes.volumes.insert(name.to_owned(), done);
    }
    Ok(volumes)
}

/// The names of the volumes that any container uses; what nobody uses is not set up.
fn used(pod: &Value) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for container in all_containers(pod) {
        let mounts = list(&container["volumeMounts"]).iter().chain(list(&container["volumeDevices"]));
        names.extend(mounts.map(|mount| text(&mount["name"])));
    }
    names
}

/// What stands behind volumes with a claim. The kubelet looks at all before it sets any of them up.
fn claims(node: &Node, pod: &Value, wanted: &[&Value]) -> Result<BTreeMap<String, Claimed>, SetupError> {
    let (mut found, mut errors, mut failed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for volume in wanted {
        let name = text(&volume["name"]);
        match claimed(node, pod, volume) {
            Ok(None) => {}
            Ok(Some(claimed)) => {
                found.insert(name.to_owned(), claimed);
            }
            Err(error) => {
                failed.insert(name);
                errors.insert(error);
            }
        }
    }
    let Some(first) = failed.first() else { return Ok(found) };
    let list = |all: Vec<&str>, between: &str| all.join(between);
    let names = list(failed.iter().copied().collect(), " ");
    let errors = list(errors.iter().map(String::as_str).collect(), "; ");
    let message = format!(
        "Unable to attach or mount volumes: unmounted volumes=[{names}], unattached volumes=[], failed to process \
         volumes=[{names}]: {errors}"
    );
    Err(SetupError { volume: (*first).to_owned(), reason: "FailedMount", message })
}

/// A claim's volume is used where it lies. An error says which step failed.
fn set_up_claimed(node: &Node, pod: &Value, claimed: &Claimed) -> Result<Volume, (&'static str, String)> {
    let spec = &claimed.volume["spec"];
    if !claimed.is_within_reach(node) {
        return Err(("NodeAffinity check", "no matching NodeSelectorTerms".to_owned()));
    }
    if !spec["hostPath"].is_null() {
        host_path::prepare(node, &spec["hostPath"]).map_err(|why| (SET_UP, why))?;
        return Ok(plain(text(&spec["hostPath"]["path"]).into(), claimed.read_only));
    }
    if spec["local"].is_null() {
        let known = ["capacity", "claimRef", "nodeAffinity"];
        let kind = entries(spec).find(|(key, source)| source.is_object() && !known.contains(key));
        return Err((SET_UP, format!("volumes of kind {} are not emulated", kind.map_or("unknown", |(kind, _)| kind))));
    }
    let path = local(node, text(&spec["local"]["path"])).map_err(|why| ("NewMounter initialization", why))?;
    if let (Some(group), false) = (ownership::group(pod), claimed.read_only) {
        let real = real(node, &path);
        if !ownership::only_on_mismatch(pod) || ownership::is_needed(&node.disk, &real, group, false) {
            ownership::give(&node.disk, &real, group, false);
        }
    }
    Ok(plain(path, claimed.read_only))
}

/// The folder of a `local` volume.
fn local(node: &Node, path: &str) -> Result<PathBuf, String> {
    let found = node.files().canonicalize(path).map_err(|_| format!("path {} does not exist", quote(path)))?;
    if real(node, &found).is_dir() { Ok(found) } else { Err("only directory and block device are supported".to_owned()) }
}

fn plain(path: PathBuf, read_only: bool) -> Volume {
    Volume { path, read_only, is_written: false, size_limit: None }
}

/// The kinds whose content the kubelet writes.
const WRITTEN: [&str; 4] = ["configMap", "secret", "projected", "downwardAPI"];

/// A volume's kind and the source it has for it; one without any is an emptyDir.
fn source(volume: &Value) -> (&str, &Value) {
    entries(volume).find(|(key, source)| *key != "name" && source.is_object()).unwrap_or(("emptyDir", &Value::Null))
}

/// The folder of a volume: `volumes/kubernetes.io~secret/name`.
fn directory(pod: &Value, plugin: &str, volume: &Value) -> PathBuf {
    pod_directory(pod).join("volumes").join(format!("kubernetes.io~{plugin}")).join(text(&volume["name"]))
}

fn make_directory(files: &Files, path: &Path, mode: u32) -> io::Result<()> {
    if files.metadata(path).is_ok() {
        return Ok(());
    }
    files.create_dir_all(path)?;
    files.set_mode(path, mode)
}

impl PodVolumes {
    pub(crate) fn get(&self, name: &str) -> Option<&Volume> {
        self.volumes.get(name)
    }

    /// Writes what has changed in ConfigMaps, Secrets and the pod's own metadata. Returns whether anything had.
    pub(crate) fn refresh(&self, node: &Node, pod: &Value) -> Result<bool, SetupError> {
        let mut changed = false;
        for volume in list(&pod["spec"]["volumes"]) {
            let name = text(&volume["name"]);
            if self.get(name).is_some_and(|volume| volume.is_written) {
                let written = self.write(node, pod, volume).map_err(|why| SetupError::failed(volume, SET_UP, name, &why))?;
                changed |= written.1;
            }
        }
        Ok(changed)
    }

    /// Removes all that the node keeps for the pod. What claims stand for stays.
    pub(crate) fn tear_down(&self, node: &Node) -> io::Result<()> {
        for directory in &self.directories {
            remove(&node.disk, &real(node, directory))?;
        }
        Ok(())
    }

    fn set_up_inline(&self, node: &Node, pod: &Value, volume: &Value) -> Result<Volume, String> {
        let (kind, source) = source(volume);
        match kind {
            "emptyDir" => empty_dir(node, pod, volume, source),
            "hostPath" => {
                host_path::prepare(node, source)?;
                Ok(plain(text(&source["path"]).into(), false))
            }
            _ if WRITTEN.contains(&kind) => {
                let (path, _) = self.write(node, pod, volume)?;
                Ok(Volume { path, read_only: true, is_written: true, size_limit: None })
            }
            _ => Err(format!("volumes of kind {kind} are not emulated")),
        }
    }

    /// Writes a volume's content, where it is not there already. Returns where, and whether it was written.
    fn write(&self, node: &Node, pod: &Value, volume: &Value) -> Result<(PathBuf, bool), String> {
        let (kind, source) = source(volume);
        let mode = id(&source["defaultMode"]).ok_or("no defaultMode used, not even the default value for it")?;
        let maker = Maker { node, pod, tokens: &self.tokens, seen: &self.seen };
        // All but ConfigMaps are kept in memory, in file systems whose roots have mode 1777.
        let (plugin, root_mode, payload): (_, _, Payload) = match kind {
            "configMap" => ("configmap", 0o777, maker.config_map(source, mode)?),
            "secret" => ("secret", 0o1777, maker.secret(source, mode)?),
            "projected" => ("projected", 0o1777, maker.projected(source, mode)?),
            _ => ("downward-api", 0o1777, maker.downward(source, mode)?),
        };
        let (files, path) = (node.files(), directory(pod, plugin, volume));
        make_directory(&files, &path, root_mode).map_err(|error| path_error("mkdir", &path, &error))?;
        let give = || {
            if let Some(group) = ownership::group(pod) {
                ownership::give(&node.disk, &real(node, &path), group, true);
            }
        };
        let written = atomic::write(&files, &path, &payload, node.cluster.clock(), &give)?;
        Ok((path, written))
    }
}

fn empty_dir(node: &Node, pod: &Value, volume: &Value, source: &Value) -> Result<Volume, String> {
    let mode = match text(&source["medium"]) {
        "" => 0o777,
        "Memory" => 0o1777,
        other => return Err(format!("storage medium {} is not emulated", quote(other))),
    };
    let path = directory(pod, "empty-dir", volume);
    let is_new = node.files().metadata(&path).is_err();
    make_directory(&node.files(), &path, mode).map_err(|error| path_error("mkdir", &path, &error))?;
    if let (Some(group), true) = (ownership::group(pod), is_new) {
        ownership::give(&node.disk, &real(node, &path), group, false);
    }
    let limit = u64::try_from(Quantity::of(&source["sizeLimit"]).value()).ok().filter(|&bytes| bytes > 0);
    Ok(Volume { path, read_only: false, is_written: false, size_limit: limit })
}

/// Removes a path of this machine and all below it. Folders are made accessible first: containers may have closed them to everybody,
/// and this process may not be root.
pub(crate) fn remove(disk: &Disk, real: &Path) -> io::Result<()> {
    match fs::symlink_metadata(real) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if found.is_dir() => open_up(real),
        Ok(_) => {}
    }
    fs::remove_dir_all(real)?;
    disk.forget(real);
    Ok(())
}

/// Makes a folder and those in it accessible, as far as that can be done.
pub(crate) fn open_up(real: &Path) {
    if fs::set_permissions(real, Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(real).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
