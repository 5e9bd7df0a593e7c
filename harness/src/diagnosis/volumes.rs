//! Claims that do not bind, and volumes that are not mounted.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::{
    Finding, Snapshot, Standing,
    snapshot::{is_before_its_containers, message, reason, told},
};

pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let claims = snapshot.claims.iter().filter_map(|claim| claim_finding(snapshot, claim));
    claims.chain(snapshot.pods.iter().filter_map(|pod| mount_finding(snapshot, pod))).collect()
}

/// Why a claim is not bound; nothing, if it only waits for a pod to want it.
fn claim_finding(snapshot: &Snapshot, claim: &PersistentVolumeClaim) -> Option<Finding> {
    let name = claim.name_any();
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let stuck = |cause: &str, evidence: Vec<String>, remedy: &str| {
        Some(Finding::new(Standing::Stuck, format!("claim {name}: {cause}"), evidence, remedy))
    };
    match phase {
        "Lost" => return stuck("its volume is gone", Vec::new(), "restore the data into a new claim"),
        "Bound" => return None,
        _ => {}
    }
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let events = snapshot.events_about("PersistentVolumeClaim", &name);
    let provisioning = events.iter().find(|event| {
        matches!(reason(event), "ProvisioningFailed" | "FailedBinding") && !message(event).contains("waiting for first consumer")
    });
    let evidence: Vec<String> = provisioning.map(|event| told(event)).into_iter().collect();
    let text = provisioning.map(|event| message(event)).unwrap_or_default();

    let known_classes = snapshot.classes.as_deref();
    match class {
        None if known_classes.is_some_and(|classes| classes.is_empty()) => {
            return stuck(
                "it names no StorageClass and the cluster has none",
                evidence,
                "keep K3s's local-storage component (do not --disable it), or name a class",
            );
        }
        None => {
            return stuck(
                "it names no StorageClass and none is the default",
                evidence,
                "mark a class as default, or name one (K3s's own is local-path)",
            );
        }
        // An empty name asks for no provisioner: only a volume made by hand can fill it.
        Some("") => {
            return stuck(
                "it wants a volume made by hand (its class is \"\"), and none fits",
                evidence,
                "create such a PersistentVolume, or name a class",
            );
        }
        Some(class) => {
            if known_classes.is_some_and(|classes| classes.iter().all(|known| known.name_any() != class)) {
                let known = known_classes.unwrap_or_default().iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ");
                let cause = format!("its StorageClass {class} does not exist (there are: {known})");
                return stuck(
                    &cause,
                    evidence,
                    "name a class that exists: on K3s local-path (for Arc: KUBERNETES_STORAGECLASS and patch.json)",
                );
            }
        }
    }
    if !text.is_empty() {
        return provisioning_finding(claim, text, evidence);
    }
    // ExternalProvisioning is said once a provisioner is asked; nothing after it means that nobody answers.
    let asked = events.iter().find(|event| reason(event) == "ExternalProvisioning")?;
    if events.iter().any(|event| reason(event) == "Provisioning") {
        return None;
    }
    let provisioner = known_classes
        .and_then(|classes| classes.iter().find(|known| Some(known.name_any().as_str()) == class))
        .map_or("unknown", |class| class.provisioner.as_str());
    Some(Finding::new(
        Standing::Retrying,
        format!("claim {name}: its provisioner {provisioner} has not answered"),
        vec![told(asked)],
        "see that the provisioner's pod runs (K3s's is deployment local-path-provisioner in kube-system)",
    ))
}

/// The provisioner was asked and refused, or failed.
fn provisioning_finding(claim: &PersistentVolumeClaim, text: &str, evidence: Vec<String>) -> Option<Finding> {
    let name = claim.name_any();
    let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()).unwrap_or_default().join(", ");
    let (standing, cause, remedy) = if text.contains("ReadWriteOnce") {
        (
            Standing::Stuck,
            format!("its provisioner does not give access mode {modes}"),
            "ask for ReadWriteOnce: a local-path volume is a directory of one node; shared volumes need another provisioner, such as NFS",
        )
    } else if text.contains("timeout") {
        (
            Standing::Retrying,
            "its provisioner could not make the volume in time".to_owned(),
            "local-path makes it with a helper pod in kube-system: see that pod's events (its image is rancher/mirrored-library-busybox)",
        )
    } else {
        (Standing::Retrying, "its provisioner failed to make the volume".to_owned(), "read the provisioner's message")
    };
    Some(Finding::new(standing, format!("claim {name}: {cause}"), evidence, remedy))
}

/// Why a scheduled pod waits for its volumes.
fn mount_finding(snapshot: &Snapshot, pod: &Pod) -> Option<Finding> {
    let name = pod.name_any();
    let event = snapshot.newest_event("Pod", &name, &["FailedMount", "FailedAttachVolume", "FailedMapVolume"])?;
    let standing = if is_before_its_containers(pod) { Standing::Retrying } else { Standing::Over };
    let text = message(event);
    let volume = quoted_after(text, "for volume ").unwrap_or("unknown");
    let (cause, remedy) = if let Some(what) = missing_source(text) {
        (format!("{what} is missing"), "create it, or correct the reference; the kubelet tries again by itself")
    } else if text.contains("not registered") {
        ("the kubelet has not yet seen what it refers to".to_owned(), "wait; if it lasts, see that the object exists")
    } else if text.contains("hostPath type check failed") || text.contains("does not exist") {
        ("its directory is not on the node".to_owned(), "restore the directory, or make a new claim; was it removed by hand?")
    } else if text.contains("timed out waiting for the condition") {
        ("it was not mounted in time".to_owned(), "see the claim, and the earlier events of the pod")
    } else {
        ("none of the known causes".to_owned(), "read the message")
    };
    let cause = match standing {
        Standing::Over => format!("pod {name}: volume {volume} came late: {cause}"),
        _ => format!("pod {name}: volume {volume} is not mounted yet, retrying: {cause}"),
    };
    Some(Finding::new(standing, cause, vec![told(event)], remedy))
}

/// `configmap "x" not found`, `secret "x" not found`, inside a longer text.
fn missing_source(text: &str) -> Option<String> {
    ["configmap", "secret", "persistentvolumeclaim"].into_iter().find_map(|kind| {
        let name = quoted_after(text, &format!("{kind} "))?;
        text.contains(&format!("\"{name}\" not found")).then(|| format!("{kind} {name}"))
    })
}

fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(&format!("{before}\""))?.1.split('"').next()
}
