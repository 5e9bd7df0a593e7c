//! Diagnosis: cause, evidence and remedy of a failure, read from events, statuses and logs.
//!
//! A [`Snapshot`] is what the cluster says of a namespace at one moment; [`explain`] reads it. Each
//! family of causes is a file, and each cause is recognised by what Kubernetes, containerd and K3s write.

mod admission;
mod cluster;
mod containers;
mod held;
mod images;
mod namespaces;
mod nodes;
mod sandboxes;
mod scheduling;
mod snapshot;
mod terminating;
mod volumes;

use std::{
    collections::BTreeSet,
    fmt::{self, Display},
    path::Path,
    time::Duration,
};

use kube::Client;

pub use self::{
    cluster::{Answer, Component, Disk, NodeView, Vitals},
    held::Held,
    images::PullFailure,
    snapshot::Snapshot,
};
use crate::cluster::{Cluster, NodeAccess};

/// What explains a failure.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Diagnosis {
    /// What went wrong, in one line: `pod x: image pull failed: the registry's name did not resolve`.
    pub cause: String,
    /// The messages it was read from, as the cluster wrote them.
    pub evidence: Vec<String>,
    /// What to do next.
    pub remedy: String,
}

impl Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cause:     {}", self.cause)?;
        self.evidence.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "remedy:    {}", self.remedy)
    }
}

/// How a trouble stands. In order of telling: what lasts explains a failure better than what is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It stays until somebody does something.
    Stuck,
    /// Kubernetes tries again, and the trouble may pass.
    Retrying,
    /// It has passed, and cost time.
    Over,
}

/// A diagnosis and how its trouble stands.
#[derive(Debug)]
struct Finding {
    standing: Standing,
    diagnosis: Diagnosis,
}

impl Finding {
    fn new(standing: Standing, cause: impl Display, evidence: Vec<String>, remedy: impl Display) -> Self {
        Self { standing, diagnosis: Diagnosis { cause: cause.to_string(), evidence, remedy: remedy.to_string() } }
    }
}

/// The time a snapshot may take: a diagnosis comes on top of a failure, and must not be what a run waits for.
const SNAPSHOT_BUDGET: Duration = Duration::from_secs(10);

/// What is wrong in a namespace, most telling first; empty where nothing is recognised.
///
/// It takes at most ten seconds, and what the API does not give within them is left out.
pub async fn of_namespace(client: Client, namespace: &str) -> Vec<Diagnosis> {
    explain(&Snapshot::take(client, namespace, SNAPSHOT_BUDGET).await)
}

/// What is wrong with a cluster as a whole, and in a namespace of it, most telling first; empty where nothing is recognised.
///
/// It takes at most 25 s, and less where the API does not answer: then there is nothing more to be asked.
pub async fn of_cluster(cluster: &Cluster, namespace: Option<&str>) -> Vec<Diagnosis> {
    let vitals = Vitals::take(cluster.kubeconfig(), cluster.node()).await;
    let mut findings = cluster::findings(&vitals);
    if let Some(namespace) = namespace.filter(|_| vitals.is_usable()) {
        let snapshot = Snapshot::take(cluster.client(), namespace, SNAPSHOT_BUDGET).await;
        findings.extend(self::findings(&snapshot));
    }
    ordered(findings)
}

/// What is wrong with a cluster that has not come up.
pub(crate) async fn of_boot(kubeconfig: &Path, node: &dyn NodeAccess) -> Vec<Diagnosis> {
    ordered(cluster::findings(&Vitals::take(kubeconfig, node).await))
}

/// Diagnoses, one after the other.
pub(crate) fn told(diagnoses: &[Diagnosis]) -> String {
    diagnoses.iter().map(Diagnosis::to_string).collect::<String>().trim_end().to_owned()
}

/// What is wrong in what a snapshot shows, most telling first; empty where nothing is recognised.
pub fn explain(snapshot: &Snapshot) -> Vec<Diagnosis> {
    ordered(findings(snapshot))
}

/// What lasts comes first, and nothing twice: the nodes are seen from every namespace.
fn ordered(mut findings: Vec<Finding>) -> Vec<Diagnosis> {
    findings.sort_by_key(|finding| finding.standing);
    let mut told = BTreeSet::new();
    let diagnoses = findings.into_iter().map(|finding| finding.diagnosis);
    diagnoses.filter(|diagnosis| told.insert(diagnosis.cause.clone())).collect()
}

fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    // Within one standing, in the order in which a pod would meet them.
    let families: [fn(&Snapshot) -> Vec<Finding>; 9] = [
        nodes::findings,
        admission::findings,
        volumes::findings,
        scheduling::findings,
        sandboxes::findings,
        images::findings,
        containers::findings,
        terminating::findings,
        namespaces::findings,
    ];
    families.iter().flat_map(|family| family(snapshot)).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What K3s v1.34.1 said of pods that were made to fail, trimmed to what a diagnosis reads.
    #[rstest]
    #[case::admission("admission", include_str!("recorded/admission.json"))]
    #[case::containers("containers", include_str!("recorded/containers.json"))]
    #[case::images("images", include_str!("recorded/images.json"))]
    #[case::namespace_finalizers("namespace_finalizers", include_str!("recorded/namespace_finalizers.json"))]
    #[case::sandbox_cni_race("sandbox_cni_race", include_str!("recorded/sandbox_cni_race.json"))]
    #[case::sandbox_recovered("sandbox_recovered", include_str!("recorded/sandbox_recovered.json"))]
    #[case::scheduling("scheduling", include_str!("recorded/scheduling.json"))]
    #[case::volumes("volumes", include_str!("recorded/volumes.json"))]
    fn recorded_failures_are_explained(#[case] name: &str, #[case] recorded: &str) {
        let snapshot: Snapshot = serde_json::from_str(recorded).unwrap();
        let told: Vec<String> = explain(&snapshot).iter().map(Diagnosis::to_string).collect();
        insta::assert_snapshot!(name, told.join("\n"));
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        assert_eq!(explain(&Snapshot::default()), Vec::new());
    }
}
