//! Pods that a controller wants and the API refuses: quota, limits, policy, accounts.

use std::collections::BTreeSet;

use super::{
    Finding, Snapshot, Standing,
    snapshot::{message, reason, told},
};

/// One finding for each workload whose last attempt to create a pod was refused.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let refused: BTreeSet<(&str, &str)> = snapshot
        .events
        .iter()
        .filter(|event| reason(event) == "FailedCreate")
        .filter_map(|event| Some((event.involved_object.kind.as_deref()?, event.involved_object.name.as_deref()?)))
        .collect();
    let finding = |(kind, name): (&str, &str)| {
        let newest = snapshot.newest_event(kind, name, &["FailedCreate", "SuccessfulCreate"])?;
        let event = snapshot.newest_event(kind, name, &["FailedCreate"])?;
        let standing = if reason(newest) == "FailedCreate" { Standing::Retrying } else { Standing::Over };
        let (cause, remedy) = explain(message(event));
        let lead = if standing == Standing::Over { "was refused pods for a while" } else { "gets no pod" };
        Some(Finding::new(standing, format!("{kind} {name} {lead}: {cause}"), vec![told(event)], remedy))
    };
    refused.into_iter().filter_map(finding).collect()
}

/// What an API's refusal of a pod means. Also for refusals that a client got itself.
fn explain(text: &str) -> (String, &'static str) {
    if let Some((_, quota)) = text.split_once("exceeded quota: ") {
        // exceeded quota: small, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1
        return (format!("exceeded quota: {quota}"), "lower the requests, free some, or raise the ResourceQuota");
    }
    if let Some((_, quota)) = text.split_once("failed quota: ") {
        return (
            format!("quota wants what the pod does not say: {quota}"),
            "set these requests or limits, or a LimitRange that gives defaults",
        );
    }
    if text.contains(" usage per ") {
        // maximum memory usage per Container is 64Mi, but limit is 1Gi
        let refused = text.split_once("forbidden: ").map_or(text, |(_, refused)| refused);
        return (format!("a LimitRange refuses it: {refused}"), "change the container's requests and limits, or the LimitRange");
    }
    if text.contains("serviceaccount") && text.contains("not found") {
        return ("its service account does not exist".to_owned(), "create it; in a new namespace, wait until `default` appears");
    }
    if text.contains("violates PodSecurity") {
        return (
            "the namespace's Pod Security level forbids it".to_owned(),
            "change the pod, or the namespace's pod-security labels",
        );
    }
    if text.contains("failed calling webhook") {
        return (
            "an admission webhook does not answer".to_owned(),
            "see the webhook's Service and pods, or remove its configuration",
        );
    }
    let reason = text.strip_prefix("Error creating: ").unwrap_or(text);
    (reason.to_owned(), "read the message")
}
