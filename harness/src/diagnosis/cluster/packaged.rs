//! CoreDNS and local-path: without the one no name resolves, without the other no claim is bound.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt, api::ListParams};
use tokio::time::timeout;

use super::ASKED;
use crate::diagnosis::{Finding, Standing};

/// Where K3s's own pods are.
pub(super) const NAMESPACE: &str = "kube-system";

/// The deployments that everything depends on, and what does not work without them.
const NEEDED: [(&str, &str); 2] =
    [("coredns", "no name of the cluster resolves"), ("local-path-provisioner", "no claim of class local-path is bound")];

/// A deployment that K3s packages, and how many pods it has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// How many pods it is to have.
    pub wanted: i32,
    /// How many are available.
    pub available: i32,
}

/// Those that are there: some are left out on purpose.
pub(super) async fn components(client: &Client) -> Vec<Component> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
    let Ok(Ok(listed)) = timeout(ASKED, deployments.list(&ListParams::default())).await else { return Vec::new() };
    let needed = |deployment: &Deployment| NEEDED.iter().any(|(name, _)| *name == deployment.name_any());
    let component = |deployment: Deployment| Component {
        name: deployment.name_any(),
        wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        available: deployment.status.and_then(|status| status.available_replicas).unwrap_or_default(),
    };
    listed.into_iter().filter(needed).map(component).collect()
}

pub(super) fn finding(component: &Component) -> Option<Finding> {
    let Component { name, wanted, available } = component;
    let without = NEEDED.iter().find(|(needed, _)| needed == name).map_or("what it does is not done", |(_, without)| *without);
    if *wanted == 0 {
        return Some(Finding::new(
            Standing::Stuck,
            format!("deployment {name} in {NAMESPACE} is scaled to no pods: {without}"),
            Vec::new(),
            format!("kubectl -n {NAMESPACE} scale deployment {name} --replicas=1"),
        ));
    }
    (*available == 0).then(|| {
        Finding::new(
            Standing::Stuck,
            format!("deployment {name} in {NAMESPACE} has no pod that is available: {without}"),
            vec![format!("available: {available} of {wanted}")],
            format!("see its pods: kubectl -n {NAMESPACE} describe pods, and logs deployment/{name}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::complete("coredns", 1, 1, None)]
    #[case::to_none(
        "coredns",
        0,
        0,
        Some("deployment coredns in kube-system is scaled to no pods: no name of the cluster resolves")
    )]
    #[case::not_yet(
        "local-path-provisioner",
        1,
        0,
        Some(
            "deployment local-path-provisioner in kube-system has no pod that is available: no claim of class local-path is bound"
        )
    )]
    fn a_component_without_pods_is_told(
        #[case] name: &str,
        #[case] wanted: i32,
        #[case] available: i32,
        #[case] told: Option<&str>,
    ) {
        let found = finding(&Component { name: name.to_owned(), wanted, available });
        assert_eq!(found.map(|found| found.diagnosis.cause).as_deref(), told);
    }
}
