//! Pods that ask for resources, and how the cluster answers.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    api::{ObjectMeta, PostParams},
    core::Status,
};

use crate::{
    check::{Context, Failure},
    namespace::MANAGED_BY,
};

/// Within this, the cluster has judged a pod or a policy.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// Amounts by resource: `[("cpu", "100m")]`.
pub(super) type Amounts<'a> = &'a [(&'a str, &'a str)];

/// What a map of quantities looks like in an object.
pub(super) fn quantities(amounts: Amounts<'_>) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(resource, amount)| ((*resource).to_owned(), Quantity((*amount).to_owned()))).collect()
}

/// Name and labels of what a check makes.
pub(super) fn metadata(name: &str) -> ObjectMeta {
    let labels = BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]);
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}

/// Gives each container of the pod these requests and limits in place of its own.
pub(super) fn set_resources(pod: &mut Pod, requests: Amounts<'_>, limits: Amounts<'_>) {
    let of = |amounts: Amounts<'_>| (!amounts.is_empty()).then(|| quantities(amounts));
    for container in &mut pod.spec.get_or_insert_default().containers {
        let resources = ResourceRequirements { requests: of(requests), limits: of(limits), ..ResourceRequirements::default() };
        container.resources = Some(resources);
    }
}

/// The pod as the API would create it, with all that admission does to it, but without creating it.
pub(super) async fn admit(cx: &Context, pod: &Pod) -> Result<Pod, kube::Error> {
    cx.api().create(&PostParams { dry_run: true, ..PostParams::default() }, pod).await
}

/// The API's refusal of the pod.
pub(super) async fn refusal(cx: &Context, pod: &Pod) -> Result<Status, Failure> {
    match admit(cx, pod).await {
        Err(kube::Error::Api(status)) => Ok(*status),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Failure::new("the API refuses the pod", "it admits it")),
    }
}
