//! The images that nodes have, by the names that pods use, and what happens when one is pulled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use k3s_arc_container::Image;
use sha2::{Digest, Sha256};

/// What goes wrong when an image is pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullFault {
    /// How long it takes.
    pub delay: Duration,
    /// How it ends; none: well.
    pub failure: Option<PullFailure>,
}

/// Why an image cannot be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullFailure {
    /// Nobody knows the registry.
    NoSuchHost,
    /// The registry does not listen.
    Refused,
    /// The registry has no such image.
    NotFound,
    /// The registry wants to know who asks.
    Denied,
    /// The registry answers with another status: `429 Too Many Requests`.
    Status(String),
    /// What is left of containerd's message after `failed to resolve reference "...": `.
    Else(String),
}

impl PullFailure {
    /// As containerd says it.
    pub(crate) fn text(&self, image: &str) -> String {
        let reference = normal(image);
        let why = match self {
            Self::NoSuchHost | Self::Refused => {
                let url = manifest_url(&reference);
                let host = url.split('/').nth(2).unwrap_or_default();
                let name = host.split(':').next().unwrap_or_default();
                let address = if host.contains(':') { host.to_owned() } else { format!("{host}:443") };
                match self {
                    Self::NoSuchHost => format!("failed to do request: Head \"{url}\": dial tcp: lookup {name}: no such host"),
                    _ => format!("failed to do request: Head \"{url}\": dial tcp {address}: connect: connection refused"),
                }
            }
            Self::NotFound => format!("{reference}: not found"),
            Self::Denied => "pull access denied, repository does not exist or may require authorization: authorization failed: \
                             no basic auth credentials"
                .to_owned(),
            Self::Status(status) => format!("unexpected status from HEAD request to {}: {status}", manifest_url(&reference)),
            Self::Else(why) => why.clone(),
        };
        // The code is told where it is not Unknown.
        let code = if *self == Self::NotFound { "rpc error: code = NotFound desc = " } else { "" };
        format!("{code}failed to pull and unpack image \"{reference}\": failed to resolve reference \"{reference}\": {why}")
    }
}

/// Where a registry is asked for an image.
fn manifest_url(reference: &str) -> String {
    let (host, rest) = reference.split_once('/').unwrap_or(("docker.io", reference));
    let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let (repository, version) = match rest.split_once('@') {
        Some(found) => found,
        None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
    };
    format!("https://{host}/v2/{repository}/manifests/{version}")
}

#[derive(Debug, Default)]
struct Inner {
    registered: BTreeMap<String, Arc<Image>>,
    faults: BTreeMap<String, PullFault>,
}

/// What was registered, by normalised name (`docker.io/library/busybox:latest`).
#[derive(Debug, Default)]
pub(crate) struct Images(RwLock<Inner>);

impl Images {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, name: &str, image: Image) {
        self.write().registered.insert(normal(name), Arc::new(image));
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Image>> {
        self.read().registered.get(&normal(name)).cloned()
    }

    /// Lets pulls of an image take long or fail; none: not any more. As long as there is one, no node has the image already.
    pub(crate) fn set_fault(&self, name: &str, fault: Option<PullFault>) {
        let name = normal(name);
        match fault {
            Some(fault) => self.write().faults.insert(name, fault),
            None => self.write().faults.remove(&name),
        };
    }

    /// The image, if nodes have it without pulling it.
    pub(crate) fn present(&self, name: &str) -> Option<Arc<Image>> {
        let inner = self.read();
        let name = normal(name);
        inner.registered.get(&name).filter(|_| !inner.faults.contains_key(&name)).cloned()
    }

    /// Gets it from its registry. An image that nobody registered is in a registry that cannot be reached.
    pub(crate) async fn pull(&self, name: &str) -> Result<Arc<Image>, String> {
        let fault = self.read().faults.get(&normal(name)).cloned().unwrap_or_default();
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        let failed = fault.failure.map(|failure| failure.text(name));
        match (failed, self.get(name)) {
            (Some(why), _) => Err(why),
            (None, Some(image)) => Ok(image),
            (None, None) => Err(PullFailure::NoSuchHost.text(name)),
        }
    }

    /// Names and sizes, as a node tells them: the largest first.
    pub(crate) fn sizes(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.read().registered.iter().map(|(name, image)| (name.clone(), image.size)).collect();
        all.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        all
    }
}

/// An image's identity (`sha256:...`). There is no manifest that it could be the digest of: the name stands for it.
pub(crate) fn id(name: &str) -> String {
    let mut id = "sha256:".to_owned();
    for byte in Sha256::digest(normal(name)) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// An image's name in full (`distribution/reference.ParseDockerRef`): with a digest, its tag says nothing.
pub(crate) fn normal(name: &str) -> String {
    let (repository, rest) = match name.split_once('@') {
        Some((named, digest)) => (tagged(named).0, format!("@{digest}")),
        None => {
            let (repository, tag) = tagged(name);
            (repository, format!(":{}", tag.unwrap_or("latest")))
        }
    };
    let repository = match repository.split_once('/') {
        None => format!("docker.io/library/{repository}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => repository.to_owned(),
        Some(_) => format!("docker.io/{repository}"),
    };
    format!("{repository}{rest}")
}

/// A name without its tag, and the tag.
fn tagged(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_whole() {
        assert_eq!(normal("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(normal("rancher/mirrored-pause:3.6"), "docker.io/rancher/mirrored-pause:3.6");
        assert_eq!(normal("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(normal("docker.io/library/busybox@sha256:00"), "docker.io/library/busybox@sha256:00");
        assert_eq!(normal("busybox:1.36@sha256:00"), "docker.io/library/busybox@sha256:00");
        assert_eq!(normal("localhost:5000/a@sha256:00"), "localhost:5000/a@sha256:00");
    }

    /// As recorded on a real K3s.
    #[test]
    fn failures_are_told_as_containerd_does() {
        let name = "mcr.microsoft.com/arcdata/arc-ci-launcher:v1";
        let expected = format!(
            "failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": failed to do request: Head \
             \"https://mcr.microsoft.com/v2/arcdata/arc-ci-launcher/manifests/v1\": dial tcp: lookup mcr.microsoft.com: no such host"
        );
        assert_eq!(PullFailure::NoSuchHost.text(name), expected);
        let expected = "rpc error: code = NotFound desc = failed to pull and unpack image \"r404.test/a/b:c\": failed to resolve \
                        reference \"r404.test/a/b:c\": r404.test/a/b:c: not found";
        assert_eq!(PullFailure::NotFound.text("r404.test/a/b:c"), expected);
        let refused = PullFailure::Refused.text("172.17.0.1:1/x:y");
        assert!(refused.ends_with(
            "failed to do request: Head \"https://172.17.0.1:1/v2/x/manifests/y\": dial tcp 172.17.0.1:1: connect: connection refused"
        ));
        assert!(PullFailure::NoSuchHost.text("nginx").contains("https://registry-1.docker.io/v2/library/nginx/manifests/latest"));
    }

    #[tokio::test]
    async fn a_fault_makes_a_present_image_one_that_is_pulled() {
        let images = Images::default();
        images.register("a:1", Image::new());
        assert!(images.present("docker.io/library/a:1").is_some() && images.pull("a:1").await.is_ok());
        images.set_fault("a:1", Some(PullFault { failure: Some(PullFailure::Denied), ..PullFault::default() }));
        assert!(images.present("a:1").is_none() && images.pull("a:1").await.unwrap_err().contains("pull access denied"));
        images.set_fault("a:1", None);
        assert!(images.present("a:1").is_some());
        assert!(images.pull("b").await.is_err());
    }
}
