//! Removing from a cluster that exists what a run made on it: what carries the run's label, and what came of that. Nothing else.
//!
//! In the order in which nothing makes anew what has just been removed: first the launcher, then Arc's custom resources while somebody
//! is there to let them go, then the rest.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use k3s_arc_standin::kubernetes::unless_not_found;
use k8s_openapi::{
    api::core::v1::{PersistentVolume, PersistentVolumeClaim},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
    config::Kubeconfig,
    core::GroupVersionKind,
    discovery::{self, ApiResource, verbs},
};

use serde_json::json;

use super::source::Source;
use crate::{
    cluster::{Capability, Cluster, RUN_LABEL, client, lease, reaper},
    wait,
};

/// Beside the kubeconfig of a lease, from before the run first makes something on the cluster.
const MARK: &str = "existing.json";

/// Beside it: a file for each namespace that the run made on the cluster.
const NAMESPACES: &str = "namespaces";

/// The launcher has 90 s to end, and uses them to clean up.
const LAUNCHER_GONE: Duration = Duration::from_secs(120);
/// Custom resources go at once, if somebody is there to let them go.
const RESOURCES_GONE: Duration = Duration::from_secs(60);
/// Within this, namespaces are gone with all that they hold, and volumes are reclaimed.
const GONE: Duration = Duration::from_secs(180);
/// A volume that is being made for a claim comes within this, or not any more.
const COMES_WITHIN: Duration = Duration::from_secs(20);
/// The annotation by which a provisioner is asked for a claim's volume ("Dynamic Volume Provisioning", Kubernetes documentation).
const ASKED_FOR: &str = "volume.kubernetes.io/storage-provisioner";
/// How many kinds are listed at once.
const AT_ONCE: usize = 8;

/// Where a volume says what becomes of it.
const RECLAIM_POLICY: &str = "/spec/persistentVolumeReclaimPolicy";

/// Kinds that are computed, never made.
const COMPUTED: [&str; 3] = ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"];

/// What the reaper must know to clean a cluster that is not the run's own; the kubeconfig is beside it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Mark {
    run: String,
    context: String,
    server: String,
}

/// Why something of a run is left on a cluster.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Uncleaned {
    /// There is no way to the cluster any more.
    #[error("by the context {context} one cannot log in to {server} any more")]
    Login {
        /// The context.
        context: String,
        /// Where its API is.
        server: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API did not do what it was asked.
    #[error("the API of the context {context} at {server} refused to {attempted}")]
    Api {
        /// The context.
        context: String,
        /// Where its API is.
        server: String,
        /// What was asked.
        attempted: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// It is deleted, and still there.
    #[error("still on the cluster of the context {context}: {}", .left.join(", "))]
    Left {
        /// The context.
        context: String,
        /// What is left, kind and name.
        left: Vec<String>,
    },
}

/// Notes beside the kubeconfig that there may be something of the run on the cluster.
pub(super) fn mark(kubeconfig: &Path, run: &str, source: &Source) -> Result<(), (PathBuf, io::Error)> {
    let path = kubeconfig.with_file_name(MARK);
    let mark = Mark { run: run.to_owned(), context: source.context.clone(), server: source.server.clone() };
    let written = serde_json::to_vec(&mark).map_err(io::Error::from).and_then(|json| fs::write(&path, json));
    written.map_err(|error| (path, error))
}

/// Notes that a namespace was made on a cluster that is not the run's own: its volumes are to be found when it is gone.
pub(crate) fn note(cluster: &Cluster, namespace: &str) {
    if !cluster.can(Capability::Own) {
        let noted = cluster.kubeconfig().with_file_name(NAMESPACES);
        // Without the note a volume that its class retains stays; that is no reason to fail.
        let _ = fs::create_dir_all(&noted).and_then(|()| fs::write(noted.join(namespace), ""));
    }
}

/// Removes what a run, whose directory this is, made on clusters that are not its own; gives kind and name of each.
pub(in crate::cluster) async fn clean(directory: &Path) -> Result<Vec<String>, Uncleaned> {
    let mut removed = Vec::new();
    let leases = fs::read_dir(directory.join(reaper::CLUSTERS)).into_iter().flatten().flatten();
    for lease in leases.map(|entry| entry.path()) {
        let mark = fs::read(lease.join(MARK)).ok().and_then(|json| serde_json::from_slice::<Mark>(&json).ok());
        if let Some(mark) = mark {
            removed.extend(clean_one(&lease, &mark).await?);
        }
    }
    Ok(removed)
}

async fn clean_one(lease: &Path, mark: &Mark) -> Result<Vec<String>, Uncleaned> {
    let login = |source| Uncleaned::Login { context: mark.context.clone(), server: mark.server.clone(), source };
    let kubeconfig = Kubeconfig::read_from(lease.join(lease::KUBECONFIG)).map_err(|error| login(error.into()))?;
    let client = client::plain_of(kubeconfig).await.map_err(login)?;
    let noted = fs::read_dir(lease.join(NAMESPACES)).into_iter().flatten().flatten();
    let noted = noted.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let cleaner = Cleaner { client, mark, selector: format!("{RUN_LABEL}={}", mark.run), noted };
    cleaner.clean().await
}

/// An object that is to go.
#[derive(Debug, Clone)]
struct Target {
    resource: ApiResource,
    object: DynamicObject,
}

impl Target {
    fn title(&self) -> String {
        let kind = self.resource.kind.to_lowercase();
        match self.object.namespace() {
            Some(namespace) => format!("{kind} {namespace}/{}", self.object.name_any()),
            None => format!("{kind} {}", self.object.name_any()),
        }
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        match self.object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    fn is(&self, group: &str, kind: &str) -> bool {
        self.resource.group == group && self.resource.kind == kind
    }
}

struct Cleaner<'a> {
    client: Client,
    mark: &'a Mark,
    selector: String,
    /// The namespaces that checks had, most of them gone.
    noted: BTreeSet<String>,
}

impl Cleaner<'_> {
    async fn clean(&self) -> Result<Vec<String>, Uncleaned> {
        let found = self.find().await?;
        let mut coming = self.coming(&namespaces_of(&found)).await?;
        let (jobs, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|target| target.is("batch", "Job"));
        self.delete(&jobs, &DeleteParams::foreground()).await?;
        self.gone(&jobs, LAUNCHER_GONE).await;

        let resources = self.resources_of(&found).await?;
        self.delete(&resources, &DeleteParams::background()).await?;
        self.gone(&resources, RESOURCES_GONE).await;

        // The launcher may have made more in its last moments.
        let found = self.find().await?;
        let namespaces = namespaces_of(&found);
        coming.extend(self.coming(&namespaces).await?);
        self.delete(&found, &DeleteParams::background()).await?;
        self.gone(&found, GONE).await;

        self.come(&coming).await;
        let volumes = self.volumes_of(&namespaces.union(&self.noted).cloned().collect()).await?;
        self.reclaim(&volumes).await?;
        let mut left = self.gone(&volumes, GONE).await;
        left.extend(self.find().await?.iter().map(Target::title));
        let removed = jobs.iter().chain(&found).map(Target::title).collect();
        if left.is_empty() { Ok(removed) } else { Err(Uncleaned::Left { context: self.mark.context.clone(), left }) }
    }

    /// Everything with the run's label, of whatever kind, but what goes with its namespace.
    async fn find(&self) -> Result<Vec<Target>, Uncleaned> {
        let groups = self.client.list_api_groups().await.map_err(|error| self.refused("list its kinds", error))?;
        let names = groups.groups.into_iter().map(|group| group.name).filter(|name| !COMPUTED.contains(&name.as_str()));
        let kinds: Vec<_> = stream::iter([String::new()].into_iter().chain(names))
            // One whose server is down has nothing of ours, or it could not have been made.
            .map(|group| async move { discovery::group(&self.client, &group).await.ok() })
            .buffer_unordered(AT_ONCE)
            .filter_map(|group| std::future::ready(group.map(|group| group.recommended_resources())))
            .collect()
            .await;
        let kinds = kinds
            .into_iter()
            .flatten()
            .filter(|(_, can)| can.supports_operation(verbs::LIST) && can.supports_operation(verbs::DELETE));
        let found: Vec<Vec<Target>> = stream::iter(kinds.map(|(resource, _)| self.list(resource, Some(&self.selector))))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let found: Vec<Target> = found.into_iter().flatten().collect();
        let namespaces = namespaces_of(&found);
        let stays = |target: &Target| target.object.namespace().is_none_or(|namespace| !namespaces.contains(&namespace));
        Ok(found.into_iter().filter(|target| stays(target) || target.is("batch", "Job")).collect())
    }

    /// The objects of a kind, in every namespace. A kind that one may not list, or that is gone, has none that are ours.
    async fn list(&self, resource: ApiResource, selector: Option<&str>) -> Result<Vec<Target>, Uncleaned> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let parameters = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
        match api.list(&parameters).await {
            Ok(list) => Ok(list.items.into_iter().map(|object| Target { resource: resource.clone(), object }).collect()),
            Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => Ok(Vec::new()),
            Err(error) => Err(self.refused(&format!("list {}", resource.plural), error)),
        }
    }

    /// The custom resources whose definitions are among these.
    async fn resources_of(&self, found: &[Target]) -> Result<Vec<Target>, Uncleaned> {
        let definitions = found.iter().filter(|target| target.is("apiextensions.k8s.io", "CustomResourceDefinition"));
        let served = definitions.filter_map(|target| {
            let definition: CustomResourceDefinition = target.object.clone().try_parse().ok()?;
            let version = definition.spec.versions.iter().find(|version| version.served)?;
            let kind = GroupVersionKind::gvk(&definition.spec.group, &version.name, &definition.spec.names.kind);
            Some(ApiResource::from_gvk_with_plural(&kind, &definition.spec.names.plural))
        });
        let mut resources = Vec::new();
        for resource in served {
            resources.extend(self.list(resource, None).await?);
        }
        Ok(resources)
    }

    /// The volumes that are being made for claims in these namespaces, by the names that provisioners give them. They come although
    /// their claims are deleted meanwhile.
    async fn coming(&self, namespaces: &BTreeSet<String>) -> Result<BTreeSet<String>, Uncleaned> {
        let claims = self.list(ApiResource::erase::<PersistentVolumeClaim>(&()), None).await?;
        let is_ours = |claim: &&Target| claim.object.namespace().is_some_and(|namespace| namespaces.contains(&namespace));
        let is_unbound = |claim: &&Target| claim.object.data.pointer("/spec/volumeName").is_none();
        let asked_for = |claim: &&Target| claim.object.annotations().contains_key(ASKED_FOR);
        let claims = claims.iter().filter(is_ours).filter(is_unbound).filter(asked_for);
        Ok(claims.filter_map(|claim| Some(format!("pvc-{}", claim.object.uid()?))).collect())
    }

    /// Waits until these volumes are there, or would be.
    async fn come(&self, volumes: &BTreeSet<String>) {
        let api = Api::<PersistentVolume>::all(self.client.clone());
        let waited = volumes.iter().map(|volume| {
            let what = format!("volume {volume} comes");
            wait::until(api.clone(), wait::named(volume), what, COMES_WITHIN, |volumes| match volumes {
                [] => wait::Seen::NotYet("it is not there".to_owned()),
                _ => wait::Seen::Done(()),
            })
        });
        // One that does not come need not be removed.
        let _ = futures::future::join_all(waited).await;
    }

    /// The volumes whose claims are in these namespaces.
    async fn volumes_of(&self, namespaces: &BTreeSet<String>) -> Result<Vec<Target>, Uncleaned> {
        let volumes = self.list(ApiResource::erase::<PersistentVolume>(&()), None).await?;
        let claimed = |target: &Target| {
            let namespace = target.object.data.pointer("/spec/claimRef/namespace").and_then(serde_json::Value::as_str);
            namespace.is_some_and(|namespace| namespaces.contains(namespace))
        };
        Ok(volumes.into_iter().filter(claimed).collect())
    }

    /// Has those volumes reclaimed that their class would retain. To delete them would leave what they stand for: a disk, a directory.
    async fn reclaim(&self, volumes: &[Target]) -> Result<(), Uncleaned> {
        let policy = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
        for volume in volumes.iter().filter(|volume| volume.object.data.pointer(RECLAIM_POLICY) != policy.pointer(RECLAIM_POLICY))
        {
            let name = volume.object.name_any();
            let patched = volume.api(&self.client).patch(&name, &PatchParams::default(), &Patch::Merge(&policy)).await;
            unless_not_found(patched).map_err(|error| self.refused(&format!("change {}", volume.title()), error))?;
        }
        Ok(())
    }

    async fn delete(&self, targets: &[Target], parameters: &DeleteParams) -> Result<(), Uncleaned> {
        stream::iter(targets)
            .map(|target| async move {
                // Never another that has come to stand in its place.
                let preconditions = Preconditions { uid: target.object.uid(), resource_version: None };
                let parameters = parameters.clone().preconditions(preconditions);
                match unless_not_found(target.api(&self.client).delete(&target.object.name_any(), &parameters).await) {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                    Err(error) => Err(self.refused(&format!("delete {}", target.title()), error)),
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Waits until they are gone, and gives those that are not.
    async fn gone(&self, targets: &[Target], deadline: Duration) -> Vec<String> {
        let waited = targets.iter().map(|target| async move {
            let (title, uid) = (target.title(), target.object.uid());
            let api = target.api(&self.client);
            let selection = wait::named(&target.object.name_any());
            let gone = wait::until(api, selection, &title, deadline, |left: &[DynamicObject]| {
                match left.iter().any(|left| left.uid() == uid) {
                    true => wait::Seen::NotYet("still there".to_owned()),
                    false => wait::Seen::Done(()),
                }
            });
            gone.await.err().map(|_| title)
        });
        futures::future::join_all(waited).await.into_iter().flatten().collect()
    }

    fn refused(&self, attempted: &str, error: kube::Error) -> Uncleaned {
        Uncleaned::Api {
            context: self.mark.context.clone(),
            server: self.mark.server.clone(),
            attempted: attempted.to_owned(),
            source: Box::new(error),
        }
    }
}

fn namespaces_of(found: &[Target]) -> BTreeSet<String> {
    found.iter().filter(|target| target.is("", "Namespace")).map(|target| target.object.name_any()).collect()
}
