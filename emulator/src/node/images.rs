//! The images that nodes have, by the names that pods use.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use k3s_arc_container::Image;

/// What was registered, by normalised name (`docker.io/library/busybox:latest`).
#[derive(Debug, Default)]
pub(crate) struct Images(RwLock<BTreeMap<String, Arc<Image>>>);

impl Images {
    pub(crate) fn register(&self, name: &str, image: Image) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(normal(name), Arc::new(image));
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Image>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&normal(name)).cloned()
    }
}

/// An image's name in full (`distribution/reference.ParseDockerRef`).
pub(crate) fn normal(name: &str) -> String {
    let (repository, rest) = match name.split_once('@') {
        Some((repository, digest)) => (repository, format!("@{digest}")),
        None => match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, format!(":{tag}")),
            _ => (name, ":latest".to_owned()),
        },
    };
    let repository = match repository.split_once('/') {
        None => format!("docker.io/library/{repository}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => repository.to_owned(),
        Some(_) => format!("docker.io/{repository}"),
    };
    format!("{repository}{rest}")
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
    }
}
