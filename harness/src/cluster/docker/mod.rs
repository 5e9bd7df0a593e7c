//! Clusters in Docker: one privileged container per node, through testcontainers.

mod boot;
pub mod cache;
mod container;
mod elsewhere;
mod endpoint;
mod engine;
mod error;
mod kind;
mod mark;
mod node;
mod preload;
mod remove;
mod route;
mod ssh;
mod survey;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use testcontainers::bollard;

use self::cache::{Cache, FillError, Stored};
use self::endpoint::Endpoint;
pub use self::{
    endpoint::EndpointError, engine::client, error::DockerError, kind::Unsuitable, route::RouteError, ssh::TunnelError,
};
pub(super) use self::{
    engine::lacks,
    mark::is_marked,
    preload::saved_images,
    remove::{ownerless, remove_orphans, remove_run},
    ssh::end_tunnels,
};
pub(crate) use self::{
    kind::{Kind, Maker},
    preload::archives_in,
    route::Route,
    survey::Engine,
};
use super::{
    Boot, Capability, Cluster, ClusterRecord, ClusterSpec, ExitCause, Provider, ProviderError, Run, orphan,
    run::{RUN_LABEL, SPEC_LABEL},
};
use crate::{config::CacheUse, diagnosis, image::Standin};

/// Makes clusters of one K3s container each.
#[derive(Debug)]
pub struct Docker {
    standin: Standin,
    boot_timeout: Duration,
    cache: CacheUse,
    open: bool,
}

impl Docker {
    /// Puts `standin` on every cluster it makes, and gives each `boot_timeout` from start to served.
    pub fn new(standin: Standin, boot_timeout: Duration) -> Self {
        Self { standin, boot_timeout, cache: CacheUse::Never, open: false }
    }

    /// Boots from the warm cache, and keeps boots in it.
    #[must_use]
    pub fn with_cache(self, cache: CacheUse) -> Self {
        Self { cache, ..self }
    }

    /// If `open`, also uses an engine that is reached over a network without TLS, and publishes K3s's API on that network.
    #[must_use]
    pub fn with_open_network(self, open: bool) -> Self {
        Self { open, ..self }
    }

    async fn boot(&self, run: &Run, spec: &ClusterSpec, kubeconfig: &Path) -> Result<ClusterRecord, DockerError> {
        let endpoint = Endpoint::choose()?;
        let engine = engine::connect_to(&endpoint).await?;
        let kind = Kind::of(&engine).await?;
        kind.can_run_k3s()?;
        let route = Route::to(&endpoint, self.open).await?;
        if endpoint.is_worth_telling() {
            tracing::info!("{} at {} ({})", kind.name(), endpoint.address, endpoint.chosen);
        }
        orphan::tell(remove_orphans().await);
        remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
        engine::ensure_image(&engine, &spec.k3s().to_string()).await?;
        let names = container::Names::new(run, spec);
        let making =
            Making { engine: &engine, kind: &kind, endpoint: &endpoint, route: &route, run, spec, kubeconfig, names: &names };
        // The snapshotter is found out by trying: what the host's kernel and K3s's data directory allow is K3s's to say.
        match self.boot_with(&making).await {
            Err(DockerError::Exited { cause: Some(ExitCause::Overlayfs), .. }) => {
                tracing::warn!("overlayfs cannot be used here; starting K3s again with the slower native snapshotter");
                remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
                let native = spec.clone().server_argument("--snapshotter=native");
                let names = container::Names::new(run, &native);
                self.boot_with(&Making { spec: &native, names: &names, ..making }).await
            }
            // Somebody took the port in the moment after it was found free.
            Err(DockerError::Port { .. }) => {
                remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
                self.boot_with(&making).await
            }
            booted => booted,
        }
    }

    /// Boots from the cache, if there is an entry that is of use; else from nothing, and keeps that for the next.
    async fn boot_with(&self, making: &Making<'_>) -> Result<ClusterRecord, DockerError> {
        let Making { engine, endpoint, run, spec, kubeconfig, names, .. } = *making;
        mark::mark(run.directory(), endpoint)?;

        let (cache, entry) = self.cached(making).await;
        let mut boot = Boot::FromNothing;
        if let Some(entry) = entry {
            let error = match self.boot_from(making, Some(&entry), self.patience()).await {
                Ok(record) => return Ok(record),
                Err(error) => error,
            };
            let had_no_time = matches!(error, DockerError::Deadline { .. }) && self.patience() == self.boot_timeout;
            let Some(why) = cache::refusal(&error).filter(|_| !had_no_time) else { return Err(error) };
            tracing::warn!("the cached boot {} is {why}; it is discarded, and K3s boots from nothing", entry.key());
            remove::remove(engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
            entry.remove(engine).await?;
            boot = Boot::Rebuilt(why);
        }
        let record = self.boot_from(making, None, self.boot_timeout).await?;
        if let Some(cache) = cache {
            match cache::fill(engine, run, spec, names, &record.handle, kubeconfig, &cache).await {
                Ok(()) => {}
                Err(FillError::Frozen(error)) => return Err(error),
                Err(error) => tracing::warn!("this boot is not kept in the cache: {}", crate::chain(&error)),
            }
        }
        Ok(ClusterRecord { boot, ..record })
    }

    /// The spec's place in the cache, and what is there. A cache that cannot be looked at is no reason not to boot.
    async fn cached(&self, making: &Making<'_>) -> (Option<Cache>, Option<Stored>) {
        let Making { engine, kind, spec, .. } = *making;
        if self.cache == CacheUse::Never || !kind.labels_what_it_mounts() {
            return (None, None);
        }
        let found = async {
            let Some(cache) = Cache::of(engine, spec, &self.standin).await? else { return Ok((None, None)) };
            let entry = cache.newest(engine).await?;
            Ok((Some(cache), entry))
        };
        found.await.unwrap_or_else(|error: DockerError| {
            tracing::warn!("the cache is not used: {}", crate::chain(&error));
            (None, None)
        })
    }

    /// How long an entry may take to serve. With no more time than that for the whole boot, its end says nothing of the entry.
    fn patience(&self) -> Duration {
        (self.boot_timeout / 3).max(Duration::from_secs(30)).min(self.boot_timeout)
    }

    async fn boot_from(
        &self,
        making: &Making<'_>,
        entry: Option<&Stored>,
        deadline: Duration,
    ) -> Result<ClusterRecord, DockerError> {
        let Making { engine, endpoint, run, spec, kubeconfig, names, .. } = *making;
        container::create_volumes(engine, run, spec, names).await?;
        if entry.is_none() {
            preload::preload(engine, run, spec, names, &self.standin).await?;
        }
        let id = container::start(making, entry).await?;
        let moved_to = match entry {
            Some(entry) => Some(container::address(engine, &id).await?).filter(|address| *address != entry.address),
            None => None,
        };
        let standin = self.standin.reference();
        let served = boot::until_served(making, &id, standin, deadline, moved_to).await;
        let version = match served {
            Ok(version) => version,
            // What is wrong with a boot from the cache is the cache's to say.
            Err(error) if entry.is_some() => return Err(error),
            Err(error) => return Err(explained(error, making, &id).await),
        };
        if entry.is_some() {
            let node = node::DockerNode::running(engine.clone(), id.clone()).await?;
            // Nothing waits for it: kubelets spare images for their first minutes. Once begun it goes on without us.
            tokio::spawn(async move { cache::pin(&node).await });
        }
        let mut capabilities = Capability::of_our_own(spec);
        capabilities.extend([Capability::NodeExec, Capability::NodeKubectl, Capability::Cgroups, Capability::Container]);
        Ok(ClusterRecord {
            provider: self.name().to_owned(),
            run: run.id().to_owned(),
            version,
            standin_image: standin.to_owned(),
            capabilities,
            lacks: BTreeMap::new(),
            storage_class: None,
            emulated: false,
            place: endpoint.address.clone(),
            handle: id,
            commands: vec![
                format!("kubectl --kubeconfig {} get pods -A", kubeconfig.display()),
                format!("{} exec -it {} sh", endpoint.command(), names.container),
                format!("k3s-arc down {}", run.id()),
            ],
            boot: if entry.is_some() { Boot::FromCache } else { Boot::FromNothing },
        })
    }
}

/// What a boot is about.
#[derive(Clone, Copy)]
struct Making<'a> {
    engine: &'a bollard::Docker,
    kind: &'a Kind,
    endpoint: &'a Endpoint,
    route: &'a Route,
    run: &'a Run,
    spec: &'a ClusterSpec,
    kubeconfig: &'a Path,
    names: &'a container::Names,
}

/// The same error, with what the cluster itself says of a boot that came to no end; as it is, where nothing is recognised.
async fn explained(error: DockerError, making: &Making<'_>, id: &str) -> DockerError {
    let Making { engine, route, kubeconfig, .. } = *making;
    let is_up = matches!(error, DockerError::NotServed { .. } | DockerError::Deadline { .. }) && kubeconfig.exists();
    let node = if is_up { node::DockerNode::running(engine.clone(), id.to_owned()).await.ok() } else { None };
    let diagnoses = match node.map(|node| node.reached_by(route)) {
        Some(node) => diagnosis::of_boot(kubeconfig, &node).await,
        None => Vec::new(),
    };
    if diagnoses.is_empty() { error } else { DockerError::Explained { error: Box::new(error), diagnoses } }
}

impl Provider for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn standin_image(&self) -> &str {
        self.standin.reference()
    }

    /// A cluster on another engine is not to be had from this one.
    fn made(&self, record: &ClusterRecord) -> bool {
        record.provider == self.name()
            && record.standin_image == self.standin_image()
            && Endpoint::choose().is_ok_and(|endpoint| endpoint.address == record.place)
    }

    fn make<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<ClusterRecord, ProviderError>> {
        self.boot(run, spec, kubeconfig).map(|made| made.map_err(ProviderError::from)).boxed()
    }

    fn attach<'a>(&'a self, record: &'a ClusterRecord, kubeconfig: &'a Path) -> BoxFuture<'a, Result<Cluster, ProviderError>> {
        async move {
            let endpoint = Endpoint::choose().map_err(DockerError::from)?;
            let engine = engine::connect_to(&endpoint).await?;
            // Who made it was asked whether the network may be open.
            let route = Route::to(&endpoint, true).await.map_err(DockerError::from)?;
            let node = node::DockerNode::running(engine, record.handle.clone()).await?.reached_by(&route);
            route.restore(kubeconfig, node.port().await?).await.map_err(DockerError::from)?;
            let client = boot::client(kubeconfig).await?;
            Ok(Cluster::new(self.name(), record, kubeconfig, client, Arc::new(node)))
        }
        .boxed()
    }

    fn discard<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            if let Some(directory) = kubeconfig.parent() {
                ssh::Tunnel::in_directory(directory).end();
            }
            let engine = engine::connect().await?;
            remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
            Ok(())
        }
        .boxed()
    }
}
