//! Sandboxes: the network and the pause container, which a pod has before its own containers.

use kube::ResourceExt;

use super::{
    Finding, PullFailure, Snapshot, Standing,
    snapshot::{is_before_its_containers, message, told},
};

/// How failures to make one are recognised (all texts of a line occur), and what they mean.
const SIGNS: &[(&[&str], &str, &str)] = &[
    (
        // Seen on K3s at boot: the kubelet starts pods before flannel has its lease, and tries again only 14 s later.
        &["/run/flannel/subnet.env"],
        "its network was asked for before flannel had written its subnet: the CNI race of a K3s that has just started",
        "wait: the kubelet tries again after about 14 s. If it lasts, flannel does not get its lease: see K3s's own log",
    ),
    (
        &["failed to find plugin"],
        "a CNI plugin is missing on the node",
        "K3s brings its own plugins; see --flannel-backend and what was put into /etc/cni/net.d",
    ),
    (
        &["cni plugin not initialized"],
        "the node has no CNI configuration (yet)",
        "wait while K3s starts; with --flannel-backend=none install a network plugin",
    ),
    (
        &["no ip addresses available"],
        "the node's range of pod addresses is used up",
        "delete pods; after a crash, stale reservations are in /var/lib/cni/networks",
    ),
    (&["address already in use"], "a port that it wants on the node is taken", "free the hostPort, or choose another"),
    (
        &["oci runtime create failed"],
        "the container runtime refuses to make it",
        "read the runtime's message; on a new kernel or cgroup version, K3s may be too old",
    ),
];

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let finding = |pod: &k8s_openapi::api::core::v1::Pod| {
        let name = pod.name_any();
        let event = snapshot.newest_event("Pod", &name, &["FailedCreatePodSandBox"])?;
        let standing = if is_before_its_containers(pod) { Standing::Retrying } else { Standing::Over };
        let (cause, remedy) = explain(message(event));
        let cause = match standing {
            Standing::Over => format!("pod {name}: its sandbox came late: {cause}"),
            _ => format!("pod {name}: its sandbox is not made yet, retrying: {cause}"),
        };
        Some(Finding::new(standing, cause, vec![told(event)], remedy))
    };
    snapshot.pods.iter().filter_map(finding).collect()
}

fn explain(text: &str) -> (String, &'static str) {
    let lower = text.to_lowercase();
    if lower.contains("failed to get sandbox image") || lower.contains("failed to pull image") {
        let failure = PullFailure::of(text);
        return (format!("the pause image cannot be pulled: {}", failure.cause()), failure.remedy());
    }
    let sign = SIGNS.iter().find(|(texts, _, _)| texts.iter().all(|text| lower.contains(text)));
    match sign {
        Some((_, cause, remedy)) => ((*cause).to_owned(), remedy),
        None => ("none of the known causes".to_owned(), "read the message"),
    }
}
