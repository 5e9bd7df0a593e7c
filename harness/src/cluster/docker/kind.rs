//! What kind of engine it is, by what it says of itself, and whether K3s can run on it.

use testcontainers::bollard::{
    Docker,
    models::{SystemInfo, SystemVersion},
};

use super::DockerError;

/// Who serves Docker's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Maker {
    /// Docker itself.
    #[default]
    Docker,
    /// Docker Desktop: an engine in a virtual machine, which publishes ports on this host all the same.
    Desktop,
    /// Podman, whose API is like Docker's.
    Podman,
}

/// What an engine is like, as far as K3s is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) maker: Maker,
    /// Whether its containers are Windows's.
    windows: bool,
    /// Whether it runs without root.
    rootless: bool,
    /// Whether the users of its containers are mapped to others.
    remapped: bool,
    /// The controllers that it may not limit containers with: of a rootless engine, those that are not delegated to its user.
    withheld: Vec<&'static str>,
    /// Whether it limits no containers, whatever it says of controllers: without root on cgroup v1 (<https://github.com/moby/moby/issues/42151>).
    without_cgroups: bool,
}

/// Why K3s does not run on an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("K3s does not run on this engine: {why}")]
#[diagnostic(code(k3s_arc::docker::unsuitable), help("{remedy}"))]
pub struct Unsuitable {
    /// What is in the way.
    pub why: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Kind {
    /// Asks an engine.
    pub(super) async fn of(engine: &Docker) -> Result<Self, DockerError> {
        let (info, version) = futures::join!(engine.info(), engine.version());
        let refused = |error| DockerError::request("tell about itself", error);
        Ok(Self::read(&info.map_err(refused)?, &version.map_err(refused)?))
    }

    /// What its answers to `/info` and `/version` say.
    pub(super) fn read(info: &SystemInfo, version: &SystemVersion) -> Self {
        let options = info.security_options.as_deref().unwrap_or_default();
        let has = |name: &str| options.iter().any(|option| option.split(',').any(|part| part == name));
        let components = version.components.as_deref().unwrap_or_default();
        let maker = if components.iter().any(|component| component.name == "Podman Engine") {
            Maker::Podman
        } else if info.operating_system.as_deref() == Some("Docker Desktop") {
            Maker::Desktop
        } else {
            Maker::Docker
        };
        let limits = [("cpu", info.cpu_cfs_quota), ("memory", info.memory_limit), ("pids", info.pids_limit)];
        Self {
            maker,
            windows: info.os_type.as_deref() == Some("windows"),
            rootless: has("name=rootless") || (maker == Maker::Podman && keeps_at_home(info)),
            remapped: has("name=userns"),
            withheld: limits.into_iter().filter(|(_, can)| *can == Some(false)).map(|(name, _)| name).collect(),
            without_cgroups: info.cgroup_version.is_some_and(|version| version.to_string() == "1")
                || info.cgroup_driver.is_some_and(|driver| driver.to_string() == "none"),
        }
    }

    /// Refuses what K3s is known not to run on.
    pub(crate) fn can_run_k3s(&self) -> Result<(), Unsuitable> {
        let unsuitable = |why: &str, remedy| Err(Unsuitable { why: why.to_owned(), remedy });
        if self.windows {
            return unsuitable("its containers are Windows's", "switch it to Linux containers (Docker Desktop's menu)");
        }
        if self.remapped {
            return unsuitable(
                "it maps the users of its containers (userns-remap), which keeps them from being privileged",
                "take userns-remap out of its daemon.json, or name another engine in DOCKER_HOST",
            );
        }
        match (self.rootless, self.maker) {
            (true, Maker::Podman) => unsuitable(
                "it is Podman without root",
                "use that of root: `sudo systemctl enable --now podman.socket`, DOCKER_HOST=unix:///run/podman/podman.sock",
            ),
            (true, _) if self.without_cgroups => unsuitable(
                "it runs without root on a host with cgroup v1, where it cannot limit containers",
                "boot its host with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or use an engine that runs as root",
            ),
            (true, _) if !self.withheld.is_empty() => Err(Unsuitable {
                why: format!(
                    "it runs without root, and its user may not use the cgroup controllers {}",
                    self.withheld.join(", ")
                ),
                remedy: "delegate them: Delegate=cpu cpuset io memory pids in /etc/systemd/system/user@.service.d/delegate.conf \
                         (https://rootlesscontaine.rs/getting-started/common/cgroup2/), or use an engine that runs as root",
            }),
            _ => Ok(()),
        }
    }

    /// In a word or two.
    pub(crate) fn name(&self) -> &'static str {
        match (self.maker, self.rootless) {
            (Maker::Podman, true) => "rootless Podman",
            (Maker::Podman, false) => "Podman",
            (Maker::Desktop, _) => "Docker Desktop",
            (Maker::Docker, true) => "rootless Docker",
            (Maker::Docker, false) => "Docker",
        }
    }

    /// Whether a volume that comes to be with a container gets the labels that the container's mount asks for. Podman 4.3's does not, and the
    /// cache would not find again what it keeps.
    pub(super) fn labels_what_it_mounts(&self) -> bool {
        self.maker != Maker::Podman
    }

    /// Whether it runs without root.
    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless
    }

    #[cfg(test)]
    pub(crate) fn example(maker: Maker, rootless: bool, without_cgroups: bool) -> Self {
        Self { maker, rootless, without_cgroups, ..Self::default() }
    }
}

/// Whether it keeps its images where Podman without root does by default: before version 4.6 nothing else of its answer tells
/// (<https://github.com/containers/podman/pull/18208>).
fn keeps_at_home(info: &SystemInfo) -> bool {
    info.docker_root_dir.as_ref().is_some_and(|directory| directory.contains("/.local/share/containers/"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn kind(info: Value, components: Value) -> Kind {
        let version = json!({"Components": components});
        Kind::read(&serde_json::from_value(info).unwrap(), &serde_json::from_value(version).unwrap())
    }

    fn engine() -> Value {
        json!([{"Name": "Engine", "Version": "28.2.2"}, {"Name": "containerd", "Version": "1.7.28"}])
    }

    // Parts of what engines answered: Debian's docker.io 20.10.24 and Podman 4.3.1, with and without root, asked; rootless Docker on Ubuntu
    // 20.04, by https://github.com/kubernetes/minikube/pull/10878; the others by the API's description,
    // https://docs.docker.com/reference/api/engine/.
    #[rstest]
    #[case::usual(
        json!({"CgroupDriver": "cgroupfs", "CgroupVersion": "1", "OSType": "linux", "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
               "MemoryLimit": true, "CpuCfsQuota": true, "PidsLimit": true, "SecurityOptions": ["name=seccomp,profile=default"]}),
        engine(), "Docker", None
    )]
    #[case::desktop(
        json!({"CgroupVersion": "2", "OSType": "linux", "OperatingSystem": "Docker Desktop", "SecurityOptions": ["name=seccomp,profile=unconfined", "name=cgroupns"]}),
        engine(), "Docker Desktop", None
    )]
    #[case::windows(json!({"OSType": "windows", "OperatingSystem": "Windows 11"}), engine(), "Docker", Some("its containers are Windows's"))]
    #[case::remapped(
        json!({"OSType": "linux", "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"]}),
        engine(), "Docker", Some("it maps the users of its containers")
    )]
    #[case::rootless_on_cgroup_v1(
        json!({"MemoryLimit": true, "CpuCfsQuota": true, "PidsLimit": true, "CgroupDriver": "none", "CgroupVersion": "1", "OSType": "linux",
               "OperatingSystem": "Ubuntu 20.04.2 LTS", "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}),
        engine(), "rootless Docker", Some("it runs without root on a host with cgroup v1")
    )]
    #[case::rootless_as_debian_has_it(
        json!({"MemoryLimit": false, "CpuCfsQuota": false, "PidsLimit": false, "CgroupDriver": "none", "CgroupVersion": "1", "OSType": "linux",
               "OperatingSystem": "Debian GNU/Linux 12 (bookworm)", "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}),
        engine(), "rootless Docker", Some("it runs without root on a host with cgroup v1")
    )]
    #[case::rootless_without_cpu(
        json!({"MemoryLimit": true, "CpuCfsQuota": false, "PidsLimit": true, "CgroupDriver": "systemd", "CgroupVersion": "2", "OSType": "linux",
               "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}),
        engine(), "rootless Docker", Some("it runs without root, and its user may not use the cgroup controllers cpu")
    )]
    #[case::rootless_with_all(
        json!({"MemoryLimit": true, "CpuCfsQuota": true, "PidsLimit": true, "CgroupDriver": "systemd", "CgroupVersion": "2", "OSType": "linux",
               "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]}),
        engine(), "rootless Docker", None
    )]
    #[case::podman(
        json!({"CgroupDriver": "cgroupfs", "CgroupVersion": "1", "OSType": "linux", "OperatingSystem": "debian", "MemoryLimit": true,
               "CpuCfsQuota": true, "PidsLimit": true, "SecurityOptions": ["name=seccomp,profile=default"]}),
        json!([{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "OCI Runtime (crun)", "Version": "crun version 1.8.1"}]),
        "Podman", None
    )]
    #[case::rootless_podman_before_it_says_so(
        json!({"CgroupDriver": "cgroupfs", "CgroupVersion": "1", "OSType": "linux", "OperatingSystem": "debian",
               "DockerRootDir": "/home/user/.local/share/containers/storage", "SecurityOptions": ["name=seccomp,profile=default"]}),
        json!([{"Name": "Podman Engine", "Version": "4.3.1"}]), "rootless Podman", Some("it is Podman without root")
    )]
    #[case::rootless_podman(
        json!({"CgroupVersion": "2", "OSType": "linux", "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}),
        json!([{"Name": "Podman Engine", "Version": "5.7.0"}]), "rootless Podman", Some("it is Podman without root")
    )]
    fn an_engine_is_known_by_what_it_says_and_refused_where_k3s_cannot_run(
        #[case] info: Value,
        #[case] components: Value,
        #[case] name: &str,
        #[case] refused: Option<&str>,
    ) {
        let kind = kind(info, components);
        assert_eq!(kind.name(), name);
        match (kind.can_run_k3s(), refused) {
            (Ok(()), None) => {}
            (Err(Unsuitable { why, .. }), Some(expected)) => assert!(why.starts_with(expected), "{why}"),
            (other, expected) => panic!("{other:?}, and expected was {expected:?}"),
        }
    }
}
