//! Image pulls, told apart by what stopped them.
//!
//! The kubelet never gives a pull up: it backs off and tries again, up to every five minutes. Arc's images
//! are about 2.5 GB each, and on a home link their pulls fail for minutes and then succeed; so a pull that
//! fails of the network is not a failed deployment, and one whose image does not exist is.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::{
    Finding, Snapshot, Standing,
    snapshot::{containers, message, reason, told},
};

/// What stopped the pull of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullFailure {
    /// The registry's name was asked for and no DNS server answered (in time, or at all).
    DnsTimeout,
    /// The DNS server answered that the registry's name does not exist.
    NoSuchHost,
    /// The registry did not answer in time.
    ConnectTimeout,
    /// There is no way to the registry, or nothing listens there.
    Unreachable,
    /// The connection broke in the middle.
    Interrupted,
    /// The registry, or the kubelet, lets only so many pulls through.
    Throttled,
    /// The registry failed of itself (HTTP 5xx).
    RegistryError,
    /// The registry is reached, and its certificate or protocol is not accepted.
    Tls,
    /// The registry knows no such image or tag.
    NotFound,
    /// The registry wants credentials, or other ones.
    Unauthorized,
    /// The node's disk is full.
    NoSpace,
    /// The image is not made for the node's architecture.
    WrongPlatform,
    /// The image's name is not one.
    InvalidName,
    /// The pod forbids a pull, and the image is not on the node.
    NeverPulled,
    /// None of these.
    Other,
}

/// How each is recognised: all texts of one line occur in the message, in lower case. The first match counts, so
/// what is nearer to the cause comes first: a timeout of a look-up is a matter of DNS, not of the connection.
const SIGNS: &[(PullFailure, &[&str])] = &[
    (PullFailure::NoSpace, &["no space left on device"]),
    (PullFailure::NoSpace, &["disk quota exceeded"]),
    (PullFailure::NoSuchHost, &["lookup ", "no such host"]),
    (PullFailure::DnsTimeout, &["lookup ", "i/o timeout"]),
    (PullFailure::DnsTimeout, &["lookup ", "server misbehaving"]),
    (PullFailure::DnsTimeout, &["lookup ", "try again"]),
    (PullFailure::DnsTimeout, &["lookup ", "connection refused"]),
    (PullFailure::DnsTimeout, &["lookup ", "network is unreachable"]),
    (PullFailure::DnsTimeout, &["lookup ", "no route to host"]),
    (PullFailure::DnsTimeout, &["temporary failure in name resolution"]),
    (PullFailure::Throttled, &["429 too many requests"]),
    (PullFailure::Throttled, &["toomanyrequests"]),
    (PullFailure::Throttled, &["pull qps exceeded"]),
    (PullFailure::Tls, &["x509:"]),
    (PullFailure::Tls, &["server gave http response to https client"]),
    (PullFailure::Tls, &["tls: "]),
    (PullFailure::ConnectTimeout, &["tls handshake timeout"]),
    (PullFailure::Unreachable, &["connection refused"]),
    (PullFailure::Unreachable, &["no route to host"]),
    (PullFailure::Unreachable, &["network is unreachable"]),
    (PullFailure::ConnectTimeout, &["i/o timeout"]),
    (PullFailure::ConnectTimeout, &["context deadline exceeded"]),
    (PullFailure::ConnectTimeout, &["client.timeout exceeded"]),
    (PullFailure::ConnectTimeout, &["connection timed out"]),
    (PullFailure::Interrupted, &["connection reset by peer"]),
    (PullFailure::Interrupted, &["unexpected eof"]),
    (PullFailure::Interrupted, &["broken pipe"]),
    (PullFailure::Unauthorized, &["401 unauthorized"]),
    (PullFailure::Unauthorized, &["403 forbidden"]),
    (PullFailure::Unauthorized, &["pull access denied"]),
    (PullFailure::Unauthorized, &["authorization failed"]),
    (PullFailure::Unauthorized, &["failed to authorize"]),
    (PullFailure::RegistryError, &["500 internal server error"]),
    (PullFailure::RegistryError, &["502 bad gateway"]),
    (PullFailure::RegistryError, &["503 service unavailable"]),
    (PullFailure::RegistryError, &["504 gateway timeout"]),
    (PullFailure::WrongPlatform, &["no match for platform"]),
    (PullFailure::NotFound, &["not found"]),
    (PullFailure::NotFound, &["manifest unknown"]),
    (PullFailure::Interrupted, &["eof"]),
];

impl PullFailure {
    /// What stopped the pull, from the message of the kubelet or of containerd.
    pub fn of(message: &str) -> Self {
        let message = message.to_lowercase();
        let found = SIGNS.iter().find(|(_, texts)| texts.iter().all(|text| message.contains(text)));
        found.map_or(Self::Other, |(failure, _)| *failure)
    }

    /// Whether trying again, as the kubelet does, may help with nothing else done.
    pub fn may_pass(self) -> bool {
        match self {
            Self::DnsTimeout | Self::ConnectTimeout | Self::Unreachable | Self::Interrupted | Self::Throttled => true,
            // A look-up is answered "no such host" by resolvers that have lost their upstream, too, but rarely.
            Self::RegistryError | Self::Other => true,
            Self::NoSuchHost | Self::Tls | Self::NotFound | Self::Unauthorized | Self::NoSpace => false,
            Self::WrongPlatform | Self::InvalidName | Self::NeverPulled => false,
        }
    }

    /// What stopped it, in words.
    pub fn cause(self) -> &'static str {
        match self {
            Self::DnsTimeout => "the registry's name could not be looked up: no DNS server answered the node",
            Self::NoSuchHost => "the registry's name does not exist, says the node's DNS server",
            Self::ConnectTimeout => "the registry did not answer in time",
            Self::Unreachable => "nothing answers at the registry's address, or there is no route to it",
            Self::Interrupted => "the connection to the registry broke in the middle",
            Self::Throttled => "pulls are throttled",
            Self::RegistryError => "the registry answers with an error of its own",
            Self::Tls => "the registry's certificate or protocol is not accepted",
            Self::NotFound => "the registry has no such image or tag",
            Self::Unauthorized => {
                "the registry refuses the credentials, or wants some (it says the same of images it does not have)"
            }
            Self::NoSpace => "the node's disk is full",
            Self::WrongPlatform => "the image is not made for the node's architecture",
            Self::InvalidName => "that is not an image's name",
            Self::NeverPulled => "it is not on the node, and the pod's imagePullPolicy Never forbids a pull",
            Self::Other => "none of the known causes",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::DnsTimeout => {
                "see that the node (not the cluster's CoreDNS) can look names up: its /etc/resolv.conf; or preload the image"
            }
            Self::NoSuchHost => "check the registry's name for a typing error; or preload the image",
            Self::ConnectTimeout => {
                "check the node's way out (proxy, firewall, a slow link needs patience); or preload the image"
            }
            Self::Unreachable => "check that the registry runs and that the node reaches its port; or preload the image",
            Self::Interrupted => "wait: the next try usually succeeds; on a bad link, preload the image",
            Self::Throttled => "wait, log in to the registry, use a mirror (registries.yaml), or preload the image",
            Self::RegistryError => "wait, or look at the registry",
            Self::Tls => {
                "give K3s the registry's certificate authority, or say that it speaks plain HTTP, in /etc/rancher/k3s/registries.yaml"
            }
            Self::NotFound => {
                "check repository and tag: for Arc, DOCKER_TAG, spec.docker.imageTag and the launcher's newTag must be published ones"
            }
            Self::Unauthorized => "check repository and tag first, then the pull secret of the pod's service account",
            Self::NoSpace => "free space on the node: Arc's images take about 2.5 GB each",
            Self::WrongPlatform => "use an image for the node's architecture: Arc's are for linux/amd64",
            Self::InvalidName => "correct the image's name",
            Self::NeverPulled => "preload the image into the cluster, or allow pulls",
            Self::Other => "read the messages",
        }
    }
}

/// Reasons with which a container waits for its image.
const WAITING: [&str; 5] = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"];

/// One finding for an image and what stops it, whichever pods wait for it: eight components of one registry fail alike.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    #[derive(Default)]
    struct Waiting {
        pods: Vec<String>,
        evidence: Vec<String>,
    }
    let mut by_image: BTreeMap<(bool, String, PullFailure), Waiting> = BTreeMap::new();
    for pod in &snapshot.pods {
        let name = pod.name_any();
        let events = snapshot.events_about("Pod", &name);
        for container in containers(pod) {
            let image = container.spec.and_then(|spec| spec.image.as_deref()).unwrap_or(&container.status.image);
            let quoted = format!("\"{image}\"");
            let failed: Vec<String> = events
                .iter()
                .filter(|event| matches!(reason(event), "Failed" | "InspectFailed" | "ErrImageNeverPull"))
                .filter(|event| message(event).contains(&quoted))
                .map(|event| told(event))
                .collect();
            let (over, failure, mut evidence) = match container.waits() {
                Some((why, text)) if WAITING.contains(&why) => {
                    let failure = match why {
                        "ErrImageNeverPull" => PullFailure::NeverPulled,
                        "InvalidImageName" => PullFailure::InvalidName,
                        // Kubelets before v1.32 repeat no cause while they back off; their events have it.
                        _ => std::iter::once(text)
                            .chain(failed.iter().map(String::as_str))
                            .map(PullFailure::of)
                            .find(|failure| *failure != PullFailure::Other)
                            .unwrap_or(PullFailure::Other),
                    };
                    (false, failure, if failed.is_empty() { vec![format!("{why}: {text}")] } else { Vec::new() })
                }
                _ => match failed.first() {
                    Some(event) if !container.is_being_created() => (true, PullFailure::of(event), Vec::new()),
                    _ => continue,
                },
            };
            evidence.extend(failed);
            evidence.extend(events.iter().find(|event| over && reason(event) == "Pulled").map(|event| told(event)));
            let waiting = by_image.entry((over, image.to_owned(), failure)).or_default();
            waiting.pods.push(format!("{name}/{}", container.status.name));
            if waiting.evidence.is_empty() {
                waiting.evidence = evidence;
            }
        }
    }
    let finding = |((over, image, failure), waiting): ((bool, String, PullFailure), Waiting)| {
        let pods = waiting.pods.join(", ");
        let cause = failure.cause();
        let (standing, cause) = match (over, failure.may_pass()) {
            (true, _) => (Standing::Over, format!("image {image} was pulled late; before that, {cause} ({pods})")),
            (false, true) => {
                (Standing::Retrying, format!("image {image} is not pulled yet, retrying with back-off: {cause} ({pods})"))
            }
            (false, false) => (Standing::Stuck, format!("image {image} cannot be pulled: {cause} ({pods})")),
        };
        Finding::new(standing, cause, waiting.evidence, failure.remedy())
    };
    by_image.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Messages of kubelet and containerd: those of Arc's first deployments on K3s, of K3s v1.34.1 against registries that
    /// were made to fail, and of Docker Hub.
    #[rstest]
    #[case::dns_timeout(
        PullFailure::DnsTimeout,
        "failed to copy: httpReadSeeker: failed open: failed to do request: Get \"https://eastus.data.mcr.microsoft.com/x\": \
         dial tcp: lookup eastus.data.mcr.microsoft.com on 127.0.0.53:53: read udp 127.0.0.1:35161->127.0.0.53:53: i/o timeout"
    )]
    #[case::dns_server_gone(PullFailure::DnsTimeout, "dial tcp: lookup a.test on 10.0.0.1:53: read: connection refused")]
    #[case::no_such_host(PullFailure::NoSuchHost, "dial tcp: lookup mcr.microsof.com on 10.0.0.1:53: no such host")]
    #[case::connect_timeout(
        PullFailure::ConnectTimeout,
        "failed to do request: Head \"https://x/v2/\": dial tcp 10.1.1.1:443: i/o timeout"
    )]
    #[case::handshake_timeout(PullFailure::ConnectTimeout, "Head \"https://x/v2/\": net/http: TLS handshake timeout")]
    #[case::no_route(PullFailure::Unreachable, "dial tcp 10.1.1.1:443: connect: no route to host")]
    #[case::reset(PullFailure::Interrupted, "failed to copy: read tcp 10.1.1.2:5->10.1.1.1:443: read: connection reset by peer")]
    #[case::cut(PullFailure::Interrupted, "failed to extract layer sha256:ab: unexpected EOF")]
    #[case::docker_hub_throttles(
        PullFailure::Throttled,
        "429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit."
    )]
    #[case::kubelet_throttles(PullFailure::Throttled, "pull QPS exceeded")]
    #[case::no_such_tag(
        PullFailure::NotFound,
        "rpc error: code = NotFound desc = failed to resolve reference \"a/b:c\": a/b:c: not found"
    )]
    #[case::docker_hub_has_none(
        PullFailure::Unauthorized,
        "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: \
         authorization failed"
    )]
    #[case::disk_full(
        PullFailure::NoSpace,
        "failed to extract layer sha256:ab: write /var/lib/rancher/k3s/agent/containerd/x: no space left on device: unknown"
    )]
    #[case::own_authority(PullFailure::Tls, "tls: failed to verify certificate: x509: certificate signed by unknown authority")]
    #[case::plain_http(PullFailure::Tls, "http: server gave HTTP response to HTTPS client")]
    #[case::other_architecture(PullFailure::WrongPlatform, "no match for platform in manifest sha256:ab: not found")]
    #[case::unheard_of(PullFailure::Other, "the hamster died")]
    fn what_stopped_a_pull_is_told_apart(#[case] failure: PullFailure, #[case] message: &str) {
        assert_eq!(PullFailure::of(message), failure);
    }
}
