//! What a container sees beside its image's files (`makeMounts`, and containerd's `linuxContainerMounts`).

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use k3s_arc_container::Files;
use k3s_arc_container::files::Mount;
use serde_json::Value;

use super::super::Node;
use super::environment::declared;
use super::expansion::expand;
use super::{
    ConfigError, PodVolumes, cgroup, dns, host_name, hosts, path_error, pod_directory, real, sandbox_directory, security,
    sub_path,
};
use crate::field::quote;
use crate::kinds::view::{count, flag, list, text};

const HOSTS: &str = "/etc/hosts";
const SHARED_MEMORY: &str = "/dev/shm";

/// Whether a container may not write to its image's files.
pub(crate) fn root_is_read_only(container: &Value) -> bool {
    flag(&container["securityContext"]["readOnlyRootFilesystem"])
}

/// A container's mounts beside its root. The pod's addresses are those in its status; `/etc/hosts` is the pod's only once it has
/// some. The termination message is what is in the file at `terminationMessagePath` when the container has ended.
pub(crate) fn mounts(node: &Node, pod: &Value, container: &Value, volumes: &PodVolumes) -> Result<Vec<Mount>, ConfigError> {
    if count(&container["volumeDevices"]) > 0 {
        return Err(ConfigError::config("volumeDevices are not emulated: a node has no block devices"));
    }
    let mut mounts = Mounts { node, files: node.files(), all: Vec::new() };
    for mount in list(&container["volumeMounts"]).iter().enumerate() {
        mounts.add_volume(pod, container, volumes, mount)?;
    }
    mounts.add_pods_own(pod, container).map_err(ConfigError::runtime)?;
    Ok(mounts.all)
}

/// The pod's addresses.
fn pod_ips(pod: &Value) -> Vec<IpAddr> {
    let status = &pod["status"];
    let all = list(&status["podIPs"]).iter().map(|ip| text(&ip["ip"])).chain([text(&status["podIP"])]);
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in all.filter_map(|ip| ip.parse().ok()) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips
}

/// A path in a container, absolute and without detours.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for step in Path::new(path).components() {
        match step {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

struct Mounts<'a> {
    node: &'a Node,
    files: Files,
    all: Vec<Mount>,
}

impl Mounts<'_> {
    fn has(&self, at: &str) -> bool {
        self.all.iter().any(|mount| mount.at == Path::new(at))
    }

    /// Mounts a path of the node, unless the container has something of its own there.
    fn add(&mut self, at: &str, source: &Path, read_only: bool) {
        if !self.has(at) {
            self.all.push(Mount { at: at.into(), source: real(self.node, source), lower: None, read_only });
        }
    }

    fn add_volume(
        &mut self,
        pod: &Value,
        container: &Value,
        volumes: &PodVolumes,
        (index, mount): (usize, &Value),
    ) -> Result<(), ConfigError> {
        let name = text(&mount["name"]);
        let Some(volume) = volumes.get(name) else {
            let (volume, container) = (quote(name), quote(text(&container["name"])));
            return Err(ConfigError::config(format!("cannot find volume {volume} to mount into container {container}")));
        };
        let path = match sub_path_of(self.node, pod, container, mount)? {
            Some(part) => {
                sub_path::prepare(self.node, pod, container, (index, mount), volume, &part).map_err(ConfigError::config)?
            }
            None => self.existing(&volume.path).map_err(ConfigError::runtime)?,
        };
        let read_only = volume.read_only || flag(&mount["readOnly"]);
        let at = clean(text(&mount["mountPath"]));
        self.all.push(Mount { at, source: real(self.node, &path), lower: None, read_only });
        Ok(())
    }

    /// A volume's path without links. What is missing on the node, the runtime makes.
    fn existing(&self, path: &Path) -> Result<PathBuf, String> {
        match self.files.canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let failed = |error: io::Error| {
                    let why = path_error("mkdir", path, &error);
                    format!("failed to generate container spec: failed to mkdir {}: {why}", quote(&path.to_string_lossy()))
                };
                self.files.create_dir_all(path).map_err(failed)?;
                self.files.canonicalize(path).map_err(failed)
            }
            found => found.map_err(|error| path_error("stat", path, &error)),
        }
    }

    /// What every container has.
    fn add_pods_own(&mut self, pod: &Value, container: &Value) -> Result<(), String> {
        let ips = pod_ips(pod);
        let on_host = flag(&pod["spec"]["hostNetwork"]);
        if (on_host || !ips.is_empty()) && !self.has(HOSTS) {
            // Anew for every container: its pod's addresses may have changed.
            let path = pod_directory(pod).join("etc-hosts");
            self.write(&path, &hosts::hosts(self.node, pod, &ips), 0o644)?;
            self.add(HOSTS, &path, false);
        }
        self.add_termination_log(pod, container)?;
        let (sandbox, read_only) = (sandbox_directory(pod), root_is_read_only(container));
        for (at, content) in [
            ("/etc/hostname", format!("{}\n", host_name(self.node, pod))),
            ("/etc/resolv.conf", dns::resolv_conf(self.node, pod)),
        ] {
            let path = sandbox.join(at.trim_start_matches("/etc/"));
            if self.files.metadata(&path).is_err() {
                self.write(&path, &content, 0o644)?;
            }
            self.add(at, &path, read_only);
        }
        let shared = if flag(&pod["spec"]["hostIPC"]) { SHARED_MEMORY.into() } else { sandbox.join("shm") };
        if self.files.metadata(&shared).is_err() {
            self.files.create_dir_all(&shared).map_err(|error| path_error("mkdir", &shared, &error))?;
            self.files.set_mode(&shared, 0o1777).map_err(|error| path_error("chmod", &shared, &error))?;
        }
        self.add(SHARED_MEMORY, &shared, false);
        let group = cgroup::prepare(self.node, pod, container);
        let group = group.map_err(|error| path_error("mkdir", Path::new("/sys/fs/cgroup"), &error))?;
        if !self.has("/sys/fs/cgroup") {
            let read_only = !flag(security(pod, container, "privileged"));
            self.all.push(Mount { at: "/sys/fs/cgroup".into(), source: group, lower: None, read_only });
        }
        Ok(())
    }

    /// A new file for each container, which anybody may write to.
    fn add_termination_log(&mut self, pod: &Value, container: &Value) -> Result<(), String> {
        let at = text(&container["terminationMessagePath"]);
        if at.is_empty() {
            return Ok(());
        }
        let number = uuid::Uuid::new_v4().as_fields().0;
        let path = pod_directory(pod).join("containers").join(text(&container["name"])).join(format!("{number:08x}"));
        self.write(&path, "", 0o666)?;
        self.add(&clean(at).to_string_lossy(), &path, false);
        Ok(())
    }

    fn write(&self, path: &Path, content: &str, mode: u32) -> Result<(), String> {
        let written = || {
            if let Some(parent) = path.parent() {
                self.files.create_dir_all(parent)?;
            }
            self.files.write(path, content)?;
            self.files.set_mode(path, mode)
        };
        written().map_err(|error| path_error("open", path, &error))
    }
}

/// The part of a volume that is mounted, if not all of it. An expression knows the kubelet's variables
/// (`ExpandContainerVolumeMounts`).
fn sub_path_of(node: &Node, pod: &Value, container: &Value, mount: &Value) -> Result<Option<String>, ConfigError> {
    let expression = text(&mount["subPathExpr"]);
    if expression.is_empty() {
        return Ok(Some(text(&mount["subPath"]).to_owned()).filter(|path| !path.is_empty()));
    }
    let env = declared(node, pod, container, &pod_ips(pod))?;
    let mut missing = BTreeSet::new();
    let expanded = expand(expression, |name| {
        let value = env.get(name).cloned().unwrap_or_default();
        if value.is_empty() {
            missing.insert(name.to_owned());
        }
        value
    });
    if missing.is_empty() {
        return Ok(Some(expanded).filter(|path| !path.is_empty()));
    }
    let missing: Vec<_> = missing.into_iter().collect();
    Err(ConfigError::config(format!("missing value for {}", missing.join(", "))))
}

#[cfg(test)]
mod tests;
