//! Does the launcher leave the cluster as it found it?

use k3s_arc_standin::arc::GROUP_SUFFIX;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, PersistentVolume},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;

use super::{Access, Area, Check, Context, Evidence, Failure};
use crate::launcher::{Launch, LaunchOptions, LauncherMode};

/// The launcher's clean-up, and the overlay's deletion, leave nothing of Arc on the cluster.
pub const LEAVES_NOTHING: Check = Check {
    area: Area::Launcher,
    name: "leaves_nothing",
    question: "Do the launcher's clean-up and `kubectl delete -k` leave nothing of Arc on the cluster?",
    needs: &[],
    // The other checks look at what this one removes.
    access: Access::Alone,
    on_arc: true,
    ask: |cx, evidence| Box::pin(leaves_nothing(cx, evidence)),
};

/// The area's checks.
pub const CHECKS: &[Check] = &[LEAVES_NOTHING];

async fn leaves_nothing(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let deployed = cx.launch()?.namespace.clone();
    let before = of_arc(cx, &deployed).await?;
    evidence.saw("deployed", before.join(", "));
    evidence.require(!before.is_empty(), "a launch was there to clean up after", "nothing of Arc is on the cluster")?;

    let options = LaunchOptions { mode: LauncherMode::CleanOnly, ..cx.launch_options().clone() };
    let launch = Launch::prepare(cx.cluster(), &options).await?;
    let outcome = launch.run(|line| tracing::info!("launcher: {line}")).await?;
    evidence.saw("clean-up took", format!("{:.1} s", outcome.took.as_secs_f64()));
    evidence.saw("its last line", outcome.log.lines().last().unwrap_or_default());
    evidence.require(outcome.exit_code == 0, "the launcher's clean-up exits with 0", outcome.exit_code)?;
    let after = of_arc(cx, &deployed).await?;
    evidence.require(after.is_empty(), "nothing of Arc is left after the launcher's clean-up", after.join(", "))?;

    let namespace = launch.namespace().to_owned();
    launch.delete().await?;
    let left = cx.api_all::<Namespace>().get_opt(&namespace).await?;
    evidence.require(left.is_none(), "the launcher's own namespace is gone after `kubectl delete -k`", &namespace)
}

/// What of Arc is on the cluster, as `kind/name`: custom resource definitions, and what belongs to the namespace of the deployment.
async fn of_arc(cx: &Context, deployed: &str) -> Result<Vec<String>, kube::Error> {
    let mut found = names(cx.api_all::<CustomResourceDefinition>(), "crd", |crd| crd.spec.group.ends_with(GROUP_SUFFIX)).await?;
    found.extend(names(cx.api_all::<Namespace>(), "namespace", |object| object.name_any() == deployed).await?);
    let claimed = |volume: &PersistentVolume| {
        volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.namespace.as_deref()) == Some(deployed)
    };
    found.extend(names(cx.api_all::<PersistentVolume>(), "persistentvolume", claimed).await?);
    found.extend(names(cx.api_all::<ClusterRole>(), "clusterrole", |object| object.name_any().contains(deployed)).await?);
    found.extend(
        names(cx.api_all::<ClusterRoleBinding>(), "clusterrolebinding", |object| object.name_any().contains(deployed)).await?,
    );
    Ok(found)
}

async fn names<K>(api: Api<K>, kind: &str, wanted: impl Fn(&K) -> bool) -> Result<Vec<String>, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let objects = api.list(&ListParams::default()).await?;
    Ok(objects.iter().filter(|object| wanted(object)).map(|object| format!("{kind}/{}", object.name_any())).collect())
}
