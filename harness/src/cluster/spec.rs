//! What is asked of a provider: which K3s, started how, with what on it.

use std::{collections::BTreeSet, path::PathBuf};

use super::K3sImage;
use crate::digest;

/// What flannel writes for the first server of a cluster with K3s's default network, on a bridge with an MTU of 1500.
const FLANNEL_SUBNET: &str = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/// What names K3s's configuration file: <https://docs.k3s.io/installation/configuration#configuration-file>.
const CONFIG: [&str; 2] = ["--config", "-c"];

/// Requests a second that the controller manager may make, and how many at once after a pause. Its defaults are 20 and 30
/// (<https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/>), at which its controllers take 5 s to
/// start, one after another, and K3s 2 s to 3 s longer to serve a first pod.
const CONTROLLER_REQUESTS: [&str; 2] =
    ["--kube-controller-manager-arg=kube-api-qps=200", "--kube-controller-manager-arg=kube-api-burst=400"];

/// A component that K3s brings along and that `--disable` leaves out:
/// <https://docs.k3s.io/installation/packaged-components>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packaged {
    /// Cluster DNS.
    Coredns,
    /// The LoadBalancer controller that runs a pod per Service and node.
    Servicelb,
    /// The ingress controller.
    Traefik,
    /// The `local-path` StorageClass and its provisioner.
    LocalStorage,
    /// `metrics.k8s.io`.
    MetricsServer,
}

impl Packaged {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Coredns, Self::Servicelb, Self::Traefik, Self::LocalStorage, Self::MetricsServer];

    /// Its name, as `--disable` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Packaged::Coredns => "coredns",
            Packaged::Servicelb => "servicelb",
            Packaged::Traefik => "traefik",
            Packaged::LocalStorage => "local-storage",
            Packaged::MetricsServer => "metrics-server",
        }
    }
}

/// A cluster as it is asked for. Two equal specs in one run share one cluster.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClusterSpec {
    k3s: K3sImage,
    server_arguments: Vec<String>,
    disabled: BTreeSet<Packaged>,
    engine_images: BTreeSet<String>,
    image_archives: BTreeSet<PathBuf>,
    node_name: String,
    private: Option<String>,
}

impl ClusterSpec {
    /// One server of this K3s, with CoreDNS and local-path. Traefik, ServiceLB and metrics-server are left
    /// out: Arc data services need none of them, and each costs a boot seconds and pulls.
    pub fn new(k3s: K3sImage) -> Self {
        Self {
            k3s,
            server_arguments: Vec::new(),
            disabled: [Packaged::Servicelb, Packaged::Traefik, Packaged::MetricsServer].into(),
            engine_images: BTreeSet::new(),
            image_archives: BTreeSet::new(),
            node_name: "k3s-arc-server-0".to_owned(),
            private: None,
        }
    }

    /// Adds an argument to `k3s server`, such as `--kubelet-arg=max-pods=20`.
    #[must_use]
    pub fn server_argument(mut self, argument: impl Into<String>) -> Self {
        self.server_arguments.push(argument.into());
        self
    }

    /// Puts a packaged component in (`true`) or leaves it out.
    #[must_use]
    pub fn packaged(mut self, component: Packaged, enabled: bool) -> Self {
        if enabled {
            self.disabled.remove(&component);
        } else {
            self.disabled.insert(component);
        }
        self
    }

    /// Imports an image of the local Docker Engine into the node, by its reference there.
    #[must_use]
    pub fn engine_image(mut self, reference: impl Into<String>) -> Self {
        self.engine_images.insert(reference.into());
        self
    }

    /// Imports an image archive (docker-save or OCI layout, `.tar`, `.tar.gz` or `.tar.zst`) into the node.
    #[must_use]
    pub fn image_archive(mut self, path: impl Into<PathBuf>) -> Self {
        self.image_archives.insert(path.into());
        self
    }

    /// Names the node.
    #[must_use]
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = name.into();
        self
    }

    /// Makes the spec unequal to all others but those private to the same `owner`: a cluster of one's own.
    #[must_use]
    pub fn private(mut self, owner: impl Into<String>) -> Self {
        self.private = Some(owner.into());
        self
    }

    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    pub(crate) fn k3s(&self) -> &K3sImage {
        &self.k3s
    }

    pub(crate) fn server_arguments(&self) -> impl Iterator<Item = &str> {
        self.server_arguments.iter().map(String::as_str)
    }

    pub(crate) fn engine_images(&self) -> impl Iterator<Item = &str> {
        self.engine_images.iter().map(String::as_str)
    }

    pub(crate) fn image_archives(&self) -> impl Iterator<Item = &PathBuf> {
        self.image_archives.iter()
    }

    pub(crate) fn name_of_node(&self) -> &str {
        &self.node_name
    }

    pub(crate) fn has(&self, component: Packaged) -> bool {
        !self.disabled.contains(&component)
    }

    /// The arguments of `k3s`, `server` first. Those that were asked for come last: of two that say the same, Kubernetes takes the later.
    pub(crate) fn command(&self) -> Vec<String> {
        let disabled = self.disabled.iter().map(|component| format!("--disable={}", component.name()));
        // Arguments for a component replace all that a file has for it.
        let requests = (!self.says(&CONFIG)).then_some(CONTROLLER_REQUESTS).into_iter().flatten().map(str::to_owned);
        ["server".to_owned(), format!("--node-name={}", self.node_name)]
            .into_iter()
            .chain(disabled)
            .chain(requests)
            .chain(self.server_arguments.iter().cloned())
            .collect()
    }

    /// Whether an argument says where the API is, or has a file say it.
    pub(super) fn advertises(&self) -> bool {
        self.says(&["--advertise-address"]) || self.says(&CONFIG)
    }

    fn says(&self, arguments: &[&str]) -> bool {
        self.server_arguments.iter().any(|said| arguments.iter().any(|argument| said.starts_with(argument)))
    }

    /// What `/run/flannel/subnet.env` will hold, where the pod network is K3s's default one, so that it is known before the start.
    ///
    /// A sandbox that is made before flannel has written it fails, and the kubelet tries again only 14 s later. With the
    /// file there from the start that race is gone; flannel writes its own over it.
    pub(super) fn flannel_subnet(&self) -> Option<&'static str> {
        let is_changed = self.says(&["--cluster-cidr", "--flannel", "--disable-network-policy"]) || self.says(&CONFIG);
        (!is_changed).then_some(FLANNEL_SUBNET)
    }

    /// Twelve hexadecimal digits that equal specs share.
    pub(crate) fn digest(&self) -> String {
        // A spec is plain data, so that serialising it cannot fail; were it to, all such specs would share.
        digest::short(&serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_node_and_what_is_left_out() {
        let spec = ClusterSpec::new(K3sImage::default())
            .packaged(Packaged::MetricsServer, true)
            .packaged(Packaged::Coredns, false)
            .server_argument("--kubelet-arg=max-pods=20");
        assert_eq!(
            spec.command(),
            [
                "server",
                "--node-name=k3s-arc-server-0",
                "--disable=coredns",
                "--disable=servicelb",
                "--disable=traefik",
                "--kube-controller-manager-arg=kube-api-qps=200",
                "--kube-controller-manager-arg=kube-api-burst=400",
                "--kubelet-arg=max-pods=20"
            ]
        );
        assert!(!spec.has(Packaged::Coredns) && spec.has(Packaged::MetricsServer));
    }

    #[test]
    fn what_a_file_says_of_the_controller_manager_stays() {
        let command = ClusterSpec::new(K3sImage::default()).server_argument("--config=/etc/k3s.yaml").command();
        assert!(!command.iter().any(|argument| argument.contains("controller-manager")), "{command:?}");
    }

    #[test]
    fn equal_specs_share_a_digest_and_others_do_not() {
        let spec = || ClusterSpec::new(K3sImage::default());
        assert_eq!(spec().engine_image("a").engine_image("b").digest(), spec().engine_image("b").engine_image("a").digest());
        assert_ne!(spec().digest(), spec().private("me").digest());
        assert_ne!(spec().digest(), spec().server_argument("--debug").digest());
    }

    #[test]
    fn arguments_that_change_the_network_are_noticed() {
        let spec = ClusterSpec::new(K3sImage::default());
        assert!(spec.clone().server_argument("--kubelet-arg=x=y").flannel_subnet().is_some());
        assert!(spec.clone().server_argument("--cluster-cidr=10.0.0.0/16").flannel_subnet().is_none());
        assert!(spec.server_argument("--flannel-backend=none").flannel_subnet().is_none());
    }
}
