//! What K3s packages with itself.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};

use super::workload::{complete, resource};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    wait,
};

/// Are CoreDNS, local-path and whatever else K3s packages available?
pub const PACKAGED_COMPONENTS: Check = Check {
    area: Area::Readiness,
    name: "packaged_components",
    question: "Are CoreDNS, local-path and whatever else K3s packages available?",
    needs: &[Capability::K3s],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(packaged_components(cx, evidence)),
};

/// Is there one default StorageClass, for claims that name none?
pub const DEFAULT_STORAGE_CLASS: Check = Check {
    area: Area::Readiness,
    name: "default_storage_class",
    question: "Is there one default StorageClass, for claims that name none?",
    needs: &[],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(default_storage_class(cx, evidence)),
};

const NAMESPACE: &str = "kube-system";
/// Without these nothing of Arc comes to run; metrics-server and Traefik are left out by choice.
const COREDNS: &str = "coredns";
const PROVISIONER: &str = "local-path-provisioner";
/// A component that was just restarted may take as long.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(60);
/// The annotation that makes a class the default ("Storage Classes", Kubernetes documentation).
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

async fn packaged_components(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let deployments = cx.api_in::<Deployment>(NAMESPACE).list(&ListParams::default()).await?;
    let daemon_sets = cx.api_in::<DaemonSet>(NAMESPACE).list(&ListParams::default()).await?;
    let deployments = deployments.iter().map(|deployment| {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        ("Deployment", deployment.name_any(), wanted)
    });
    let daemon_sets = daemon_sets.iter().map(|daemon_set| {
        let wanted = daemon_set.status.as_ref().map_or(0, |status| status.desired_number_scheduled);
        ("DaemonSet", daemon_set.name_any(), wanted)
    });
    let there: Vec<_> = deployments.chain(daemon_sets).collect();
    // Where claims are for another class, it was left out by choice, too.
    let needed: Vec<&str> = [COREDNS].into_iter().chain(cx.cluster().can(Capability::LocalPath).then_some(PROVISIONER)).collect();
    for name in &needed {
        let found = there.iter().any(|(_, there, _)| there == name);
        evidence.require(found, format!("Deployment {name} is in {NAMESPACE}"), "it is not there")?;
    }
    for (kind, name, wanted) in there {
        // Someone's choice, where K3s and Arc do without.
        if wanted == 0 && !needed.contains(&name.as_str()) {
            evidence.saw(format!("{kind} {name}"), "scaled to no pods");
            continue;
        }
        let workloads: Api<DynamicObject> = Api::namespaced_with(cx.client(), NAMESPACE, &resource(kind));
        let what = format!("{kind} {name} is available");
        let available = wait::until(workloads, wait::named(&name), what, AVAILABLE_WITHIN, complete).await;
        evidence.saw(format!("{kind} {name}"), available?);
    }
    Ok(())
}

async fn default_storage_class(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let classes = cx.api_all::<StorageClass>().list(&ListParams::default()).await?;
    for class in &classes {
        evidence
            .saw(format!("StorageClass {}", class.name_any()), format!("{}, default: {}", class.provisioner, is_default(class)));
    }
    let defaults: Vec<String> = classes.iter().filter(|class| is_default(class)).map(ResourceExt::name_any).collect();
    evidence.require(
        defaults.len() == 1,
        "one StorageClass is the default",
        format!("{}: {}", defaults.len(), defaults.join(", ")),
    )?;
    Ok(())
}

fn is_default(class: &StorageClass) -> bool {
    class.annotations().get(DEFAULT).is_some_and(|value| value == "true")
}
