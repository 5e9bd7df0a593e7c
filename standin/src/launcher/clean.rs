//! Removing what there is of Arc, in the reverse of the order in which it was made.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams},
    core::{ApiResource, ObjectMeta, PartialObjectMeta},
};

use super::{LaunchError, objects::managed, scan::Found, wait::until};
use crate::{
    kubernetes::{Attempted, unless_not_found},
    log::Log,
};

/// How long what is deleted may take to be gone, per step. The slowest is a volume whose directory a provisioner's
/// helper pod empties.
const GONE_WITHIN: Duration = Duration::from_secs(180);

/// Removes custom resources, controller, definitions, roles, claims and volumes, and namespaces, and waits for each
/// to be gone. Namespaces that no launcher made are left.
pub(super) async fn clean(client: &Client, found: &Found, log: &Log) -> Result<(), LaunchError> {
    let cleaner = Cleaner { client, log };
    let (controllers, others): (Vec<_>, Vec<_>) =
        found.resources.iter().partition(|(resource, _)| resource.kind == "DataController");
    for resources in [others, controllers] {
        let targets = resources.into_iter().map(|(resource, object)| Target::new(resource.clone(), object.metadata.clone()));
        cleaner.remove("custom resources", targets.collect()).await?;
    }

    // The garbage collector would remove what a DataController owns too, but learns of new kinds only every 30 s.
    let mut controller = cleaner.list::<Deployment>(found).await?;
    controller.extend(cleaner.list::<ReplicaSet>(found).await?);
    controller.extend(cleaner.list::<StatefulSet>(found).await?);
    controller.extend(cleaner.list::<DaemonSet>(found).await?);
    controller.retain(|target| !target.is_of_deployment());
    cleaner.remove("controller", controller).await?;

    let definition = |name: &String| {
        Target::new(
            ApiResource::erase::<CustomResourceDefinition>(&()),
            ObjectMeta { name: Some(name.clone()), ..Default::default() },
        )
    };
    cleaner.remove("custom resource definitions", found.definitions.iter().map(definition).collect()).await?;

    let mut roles = cleaner.list::<RoleBinding>(found).await?;
    roles.extend(cleaner.list::<Role>(found).await?);
    roles.extend(cleaner.list_cluster_wide::<ClusterRoleBinding>().await?);
    roles.extend(cleaner.list_cluster_wide::<ClusterRole>().await?);
    cleaner.remove("roles and cluster roles", roles).await?;

    let (reclaimed, retained) = cleaner.volumes(found).await?;
    cleaner.remove("volume claims", cleaner.list::<PersistentVolumeClaim>(found).await?).await?;
    cleaner.remove("retained volumes", retained).await?;
    let namespaces = cleaner.list_cluster_wide::<Namespace>().await?;
    // The provisioner reclaims its volumes meanwhile. Deleting them here would leave it their directories.
    futures::try_join!(cleaner.await_gone("volumes", &reclaimed), cleaner.remove("namespaces", namespaces))?;
    Ok(())
}

/// Something to be removed.
#[derive(Debug)]
struct Target {
    resource: ApiResource,
    metadata: ObjectMeta,
}

impl Target {
    fn new(resource: ApiResource, metadata: ObjectMeta) -> Self {
        Self { resource, metadata }
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn title(&self) -> String {
        match &self.metadata.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.resource.kind, self.name()),
            None => format!("{} {}", self.resource.kind, self.name()),
        }
    }

    /// Workloads stay until their pods are gone; what owns them need not wait for that.
    fn parameters(&self) -> DeleteParams {
        if self.resource.group == "apps" { DeleteParams::foreground() } else { DeleteParams::background() }
    }

    /// Whether a Deployment has made it, and goes before it.
    fn is_of_deployment(&self) -> bool {
        self.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Deployment")
    }

    fn api(&self, client: &Client) -> Api<PartialObjectMeta> {
        match &self.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

fn titles(targets: &[Target]) -> String {
    targets.iter().map(Target::title).collect::<Vec<_>>().join(", ")
}

struct Cleaner<'a> {
    client: &'a Client,
    log: &'a Log,
}

impl Cleaner<'_> {
    /// Deletes each target, with everything it owns, and waits until all are gone.
    async fn remove(&self, what: &str, targets: Vec<Target>) -> Result<(), LaunchError> {
        if targets.is_empty() {
            return Ok(());
        }
        self.log.info(format_args!("cleaning up {what}: {}", titles(&targets)));
        try_join_all(targets.iter().map(async |target| {
            let deleted = target.api(self.client).delete(target.name(), &target.parameters()).await;
            let deleted = unless_not_found(deleted);
            deleted.attempted(|| format!("deleting {}", target.title()))?;
            self.gone(target).await
        }))
        .await?;
        Ok(())
    }

    /// Waits until all targets are gone, which somebody else deletes.
    async fn await_gone(&self, what: &str, targets: &[Target]) -> Result<(), LaunchError> {
        if !targets.is_empty() {
            self.log.info(format_args!("waiting until {what} are gone: {}", titles(targets)));
        }
        try_join_all(targets.iter().map(|target| self.gone(target))).await?;
        Ok(())
    }

    async fn gone(&self, target: &Target) -> Result<(), LaunchError> {
        let (title, name, api) = (target.title(), target.name(), target.api(self.client));
        let uid = target.metadata.uid.as_deref();
        until(api, name, format!("{title} is gone"), GONE_WITHIN, |object: Option<&PartialObjectMeta>| match object {
            None => Ok(()),
            // One of the same name, made since.
            Some(other) if uid.is_some() && other.metadata.uid.as_deref() != uid => Ok(()),
            Some(left) => Err(format!("it is still there, with finalizers {:?}", left.finalizers())),
        })
        .await?;
        Ok(())
    }

    /// The objects of a type in the namespaces that launchers made.
    async fn list<K>(&self, found: &Found) -> Result<Vec<Target>, LaunchError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let mut targets = Vec::new();
        for namespace in &found.namespaces {
            let api: Api<PartialObjectMeta> = Api::namespaced_with(self.client.clone(), namespace, &resource);
            let list = api.list_metadata(&ListParams::default()).await;
            let list = list.attempted(|| format!("listing the {} of {namespace}", resource.plural))?;
            targets.extend(list.items.into_iter().map(|object| Target::new(resource.clone(), object.metadata)));
        }
        Ok(targets)
    }

    /// The cluster-wide objects of a type that launchers made.
    async fn list_cluster_wide<K>(&self) -> Result<Vec<Target>, LaunchError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<PartialObjectMeta> = Api::all_with(self.client.clone(), &resource);
        let list = api.list_metadata(&ListParams::default().labels(&managed())).await;
        let list = list.attempted(|| format!("listing the launchers' {}", resource.plural))?;
        Ok(list.items.into_iter().map(|object| Target::new(resource.clone(), object.metadata)).collect())
    }

    /// The volumes bound to claims in launchers' namespaces: those that are reclaimed with their claims, and the others.
    async fn volumes(&self, found: &Found) -> Result<(Vec<Target>, Vec<Target>), LaunchError> {
        let volumes = Api::<PersistentVolume>::all(self.client.clone()).list(&ListParams::default()).await;
        let volumes = volumes.attempted(|| "listing the volumes".into())?;
        let (mut reclaimed, mut others) = (Vec::new(), Vec::new());
        for volume in volumes {
            let Some(spec) = volume.spec else { continue };
            let namespace = spec.claim_ref.and_then(|claim| claim.namespace);
            if !namespace.is_some_and(|namespace| found.namespaces.contains(&namespace)) {
                continue;
            }
            let kept = spec.persistent_volume_reclaim_policy.as_deref() != Some("Delete");
            let targets = if kept { &mut others } else { &mut reclaimed };
            targets.push(Target::new(ApiResource::erase::<PersistentVolume>(&()), volume.metadata));
        }
        Ok((reclaimed, others))
    }
}
