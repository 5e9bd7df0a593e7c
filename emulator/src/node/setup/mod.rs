//! What a container is given before it starts: its command, environment, user and files (`pkg/kubelet/kubelet_pods.go`,
//! `pkg/kubelet/kuberuntime`, `pkg/volume`), and what containerd and runc add to it.
//!
//! Everything lies where a node has it: a pod's volumes below `/var/lib/kubelet/pods/<uid>` of the node's root, what its containers
//! share below containerd's folder of sandboxes. Paths in here are the node's; [`real`] makes paths of this machine of them.

mod atomic;
pub(crate) mod cgroup;
mod claims;
mod command;
mod dns;
mod environment;
mod expansion;
mod fields;
mod host_path;
mod hosts;
mod limits;
mod mounts;
mod ownership;
mod payload;
mod services;
mod sub_path;
#[cfg(test)]
mod testing;
mod tokens;
mod user;
pub(crate) mod volumes;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Node;
use crate::kinds::view::{list, text};

pub(crate) use self::{
    command::command,
    environment::environment,
    hosts::host_name,
    limits::limits,
    mounts::{mounts, root_is_read_only},
    user::user,
    volumes::PodVolumes,
};

/// Why a container cannot be created: its status is `waiting` with this reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// `CreateContainerConfigError`, or `CreateContainerError` of what the runtime refuses.
    pub(crate) reason: &'static str,
    /// In the kubelet's words.
    pub(crate) message: String,
}

impl ConfigError {
    fn config(message: impl Into<String>) -> Self {
        Self { reason: "CreateContainerConfigError", message: message.into() }
    }

    fn runtime(message: impl Into<String>) -> Self {
        Self { reason: "CreateContainerError", message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A field of an object's metadata.
fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
    text(&object["metadata"][field])
}

/// The folder that a node keeps for a pod.
fn pod_directory(pod: &Value) -> PathBuf {
    Path::new("/var/lib/kubelet/pods").join(metadata(pod, "uid"))
}

/// The folder in which containerd keeps what the containers of a pod share.
fn sandbox_directory(pod: &Value) -> PathBuf {
    Path::new("/run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes").join(metadata(pod, "uid"))
}

/// Where a path of the node is on this machine.
fn real(node: &Node, path: &Path) -> PathBuf {
    node.root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Containers of all three kinds (`podutil.VisitContainers`).
fn all_containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|kind| list(&pod["spec"][kind]))
}

/// A field of the security context that counts: the container's own, or else the pod's (`DetermineEffectiveSecurityContext`).
fn security<'a>(pod: &'a Value, container: &'a Value, field: &str) -> &'a Value {
    let own = &container["securityContext"][field];
    if own.is_null() { &pod["spec"]["securityContext"][field] } else { own }
}

/// An id of a user or group.
fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The error of an operation on a file, as Go's `os.PathError` is worded.
fn path_error(operation: &str, path: &Path, error: &io::Error) -> String {
    format!("{operation} {}: {}", path.display(), errno(error))
}

/// What the C library calls an error.
fn errno(error: &io::Error) -> String {
    let name = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AlreadyExists => "file exists",
        io::ErrorKind::NotADirectory => "not a directory",
        io::ErrorKind::IsADirectory => "is a directory",
        io::ErrorKind::ReadOnlyFilesystem => "read-only file system",
        io::ErrorKind::StorageFull => "no space left on device",
        _ => return error.to_string(),
    };
    name.to_owned()
}

/// Several errors as one (`utilerrors.NewAggregate`).
fn aggregate(errors: Vec<String>) -> Result<(), String> {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.len() {
        0 => Ok(()),
        1 => Err(distinct.remove(0)),
        _ => Err(format!("[{}]", distinct.join(", "))),
    }
}
