//! Clusters in Docker: one privileged container per node, through testcontainers.

mod boot;
mod container;
mod engine;
mod error;
mod node;
mod preload;
mod remove;

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};

pub use self::error::{DockerError, ExitCause, LogTail};
pub(crate) use self::preload::archives_in;
pub(super) use self::{
    engine::lacks,
    remove::{remove_orphans, remove_run},
};
use super::{
    Capability, Cluster, ClusterRecord, ClusterSpec, Provider, ProviderError, Run,
    run::{RUN_LABEL, SPEC_LABEL},
};
use crate::image::Standin;

/// In a run's directory, from before the run first makes something in Docker.
pub(super) const MARK: &str = "docker";

/// Makes clusters of one K3s container each.
#[derive(Debug)]
pub struct Docker {
    standin: Standin,
    boot_timeout: Duration,
}

impl Docker {
    /// Puts `standin` on every cluster it makes, and gives each `boot_timeout` from start to served.
    pub fn new(standin: Standin, boot_timeout: Duration) -> Self {
        Self { standin, boot_timeout }
    }

    async fn boot(&self, run: &Run, spec: &ClusterSpec, kubeconfig: &Path) -> Result<ClusterRecord, DockerError> {
        let engine = engine::connect().await?;
        for orphan in remove_orphans().await? {
            tracing::info!("removed {orphan}, which an earlier run left");
        }
        remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
        engine::ensure_image(&engine, &spec.k3s().to_string()).await?;
        // The snapshotter is found out by trying: what the host's kernel and K3s's data directory allow is K3s's to say.
        match self.boot_with(&engine, run, spec, kubeconfig).await {
            Err(DockerError::Exited { cause: Some(error::ExitCause::Overlayfs), .. }) => {
                tracing::warn!("overlayfs cannot be used here; starting K3s again with the slower native snapshotter");
                remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
                let native = spec.clone().server_argument("--snapshotter=native");
                self.boot_with(&engine, run, &native, kubeconfig).await
            }
            booted => booted,
        }
    }

    async fn boot_with(
        &self,
        engine: &testcontainers::bollard::Docker,
        run: &Run,
        spec: &ClusterSpec,
        kubeconfig: &Path,
    ) -> Result<ClusterRecord, DockerError> {
        let names = container::Names::new(run, spec);
        let mark = run.directory().join(MARK);
        std::fs::write(&mark, "").map_err(|source| DockerError::Mark { path: mark, source })?;
        container::create_volumes(engine, run, spec, &names).await?;
        preload::preload(engine, run, spec, &names, &self.standin).await?;
        let id = container::start(run, spec, &names).await?;
        let version = boot::until_served(engine, &id, spec, kubeconfig, self.standin.reference(), self.boot_timeout).await?;
        Ok(ClusterRecord {
            provider: self.name().to_owned(),
            version,
            standin_image: self.standin.reference().to_owned(),
            capabilities: [Capability::NodeExec, Capability::NodeKubectl, Capability::Cgroups].into(),
            handle: id,
            commands: vec![
                format!("kubectl --kubeconfig {} get pods -A", kubeconfig.display()),
                format!("docker exec -it {} sh", names.container),
                format!("k3s-arc down {}", run.id()),
            ],
        })
    }
}

impl Provider for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn standin_image(&self) -> &str {
        self.standin.reference()
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
            let engine = engine::connect().await?;
            let node = node::DockerNode::running(engine, record.handle.clone()).await?;
            let client = boot::client(kubeconfig).await?;
            Ok(Cluster::new(self.name(), record, kubeconfig, client, Arc::new(node)))
        }
        .boxed()
    }

    fn discard<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        _kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            let engine = engine::connect().await?;
            remove::remove(&engine, &[(RUN_LABEL, run.id()), (SPEC_LABEL, &spec.digest())]).await?;
            Ok(())
        }
        .boxed()
    }
}
