//! What one may do on a cluster, by the API's own account (SelfSubjectAccessReview).

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

/// What the checks do in namespaces of their own, and read elsewhere: verb, group, resource. Who may not do all of it would see
/// checks fail for the sake of rights.
const NEEDED: [(&str, &str, &str); 24] = [
    ("create", "", "namespaces"),
    ("delete", "", "namespaces"),
    ("list", "", "namespaces"),
    ("list", "", "nodes"),
    ("create", "", "pods"),
    ("watch", "", "pods"),
    ("delete", "", "pods"),
    ("get", "", "pods/log"),
    ("create", "", "pods/exec"),
    ("watch", "", "serviceaccounts"),
    ("watch", "", "events"),
    ("create", "", "services"),
    ("get", "", "services"),
    ("get", "", "configmaps"),
    ("create", "", "persistentvolumeclaims"),
    ("delete", "", "persistentvolumeclaims"),
    ("list", "", "persistentvolumes"),
    ("create", "", "resourcequotas"),
    ("create", "", "limitranges"),
    ("create", "apps", "deployments"),
    ("create", "apps", "statefulsets"),
    ("delete", "apps", "statefulsets"),
    ("create", "discovery.k8s.io", "endpointslices"),
    ("list", "storage.k8s.io", "storageclasses"),
];

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// What of what the checks do is not allowed: `create pods/log`, ...
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, kube::Error> {
    let asked = NEEDED.map(|(verb, group, resource)| async move {
        let allowed = is_allowed(client, verb, group, resource).await?;
        Ok::<_, kube::Error>((!allowed).then(|| told(verb, group, resource)))
    });
    let missing: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(missing.into_iter().flatten().collect())
}

/// Whether everything is allowed: who launches Arc data services gives the launcher that right.
pub(super) async fn are_all(client: &Client) -> Result<bool, kube::Error> {
    is_allowed(client, "*", "*", "*").await
}

async fn is_allowed(client: &Client, verb: &str, group: &str, resource: &str) -> Result<bool, kube::Error> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() },
        ..SelfSubjectAccessReview::default()
    };
    let answered = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answered.status.is_some_and(|status| status.allowed))
}

fn told(verb: &str, group: &str, resource: &str) -> String {
    if group.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}.{group}") }
}
