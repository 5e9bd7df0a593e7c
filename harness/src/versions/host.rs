//! What this host can run, as far as it is known before anything is started.

use super::K3sVersion;
use crate::cluster::docker::Engine;

/// The first Kubernetes whose kubelets refuse cgroup v1 unless told otherwise:
/// <https://kubernetes.io/docs/concepts/architecture/cgroups/#deprecation-of-cgroup-v1>.
const WITHOUT_CGROUP_V1: (u32, u32) = (1, 35);

/// The architectures that K3s's images are published for, as Docker and the kernel name them: <https://hub.docker.com/r/rancher/k3s/tags>.
const ARCHITECTURES: [&str; 6] = ["x86_64", "amd64", "aarch64", "arm64", "armv7l", "arm"];

/// What decides whether a K3s version can run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Why no K3s can be started in Docker, if none can.
    pub no_engine: Option<String>,
    /// The cgroup version of the Docker Engine's host.
    pub cgroups: Option<u32>,
    /// The machine of the Docker Engine's host, `x86_64` or the like.
    pub architecture: Option<String>,
    /// The K3s images that the Docker Engine has, by reference.
    pub images: Vec<String>,
}

impl Host {
    /// Looks at the Docker Engine, and at its host through it.
    pub async fn look() -> Self {
        match Engine::look().await {
            Ok(engine) => Self {
                no_engine: engine.kind.can_run_k3s().err().map(|error| error.to_string()),
                cgroups: engine.cgroups,
                architecture: engine.architecture,
                images: engine.k3s_images,
            },
            Err(error) => Self { no_engine: Some(error.to_string()), cgroups: None, architecture: None, images: Vec::new() },
        }
    }

    /// Why this host cannot run a version, if it cannot.
    pub fn refuses(&self, version: K3sVersion) -> Option<String> {
        if let Some(reason) = &self.no_engine {
            return Some(reason.clone());
        }
        if let Some(architecture) = self.architecture.as_deref().filter(|machine| !ARCHITECTURES.contains(machine)) {
            return Some(format!("K3s publishes no image for {architecture}"));
        }
        let old_cgroups = self.cgroups == Some(1) && version.line() >= WITHOUT_CGROUP_V1;
        old_cgroups.then(|| "its kubelet refuses hosts with cgroup v1, as this one is; boot it with cgroup v2".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn host(cgroups: u32, architecture: &str) -> Host {
        Host { no_engine: None, cgroups: Some(cgroups), architecture: Some(architecture.to_owned()), images: Vec::new() }
    }

    #[rstest]
    #[case(host(1, "x86_64"), "v1.34.12+k3s1", None)]
    #[case(host(1, "x86_64"), "v1.35.0+k3s1", Some("cgroup v1"))]
    #[case(host(2, "aarch64"), "v1.37.1+k3s1", None)]
    #[case(host(2, "s390x"), "v1.34.1+k3s1", Some("no image for s390x"))]
    #[case(Host { no_engine: Some("no Docker Engine answers".to_owned()), ..host(2, "arm64") }, "v1.34.1+k3s1", Some("no Docker"))]
    fn what_cannot_run_here_is_told_with_its_reason(#[case] host: Host, #[case] version: &str, #[case] reason: Option<&str>) {
        let refused = host.refuses(version.parse().unwrap());
        match reason {
            None => assert_eq!(refused, None),
            Some(reason) => assert!(refused.clone().unwrap().contains(reason), "{refused:?}"),
        }
    }
}
