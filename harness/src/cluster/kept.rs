//! Clusters that earlier runs left on purpose (`K3S_ARC_KEEP=always`, `k3s-arc up`): a run that asks for an equal one uses it, and has no boot
//! to wait for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Cluster, ClusterRecord, ClusterSpec, Provider, Run,
    lease::{KUBECONFIG, Lease, LeaseError},
    lock, ready,
    reaper::{self, CLUSTERS, Expiry, USERS},
    run::{Record, write_private},
};
use crate::config::Keep;

/// In the directory that a run would have for a cluster of its own: the directory of the kept one that it uses instead.
const ATTACHED: &str = "attached";

/// How long a kept cluster may take to prove itself; one that serves takes a tenth of a second.
const PROOF: Duration = Duration::from_secs(5);

/// A kept cluster in use. While this is held it is not removed for its age, which counts anew from then on.
#[derive(Debug)]
pub(super) struct Kept {
    directory: PathBuf,
    expiry: Expiry,
    _used: lock::Held,
}

impl Kept {
    /// The kept cluster that this run uses for a spec, which another of its processes has chosen; none, if it has not.
    pub(super) async fn chosen(directory: &Path) -> Result<Option<Self>, LeaseError> {
        let Ok(path) = std::fs::read_to_string(directory.join(ATTACHED)) else { return Ok(None) };
        let runs = directory.ancestors().nth(3).map(reaper::runs).unwrap_or_default();
        let kept = runs.into_iter().find(|(run, _)| Path::new(&path).starts_with(run));
        match kept.and_then(|(run, record)| Self::hold(&run, &record, PathBuf::from(&path))) {
            Some(kept) => Ok(Some(kept)),
            None => Err(LeaseError::KeptGone { path: path.into() }),
        }
    }

    /// Chooses one, for all of this run's processes: it suits, and has just proven that it serves.
    pub(super) async fn choose(
        run: &Run,
        provider: &dyn Provider,
        spec: &ClusterSpec,
        directory: &Path,
    ) -> Option<(Self, Cluster)> {
        if provider.is_in_process() || spec.is_private() {
            return None;
        }
        for (kept_by, record) in reaper::runs(run.directory().parent()?) {
            let lies_idle = record.keep == Keep::Always && !record.root.runs();
            let path = kept_by.join(CLUSTERS).join(Lease::name(provider, spec));
            if record.id == run.id() || !lies_idle || !ClusterRecord::read(&path).is_some_and(|found| provider.made(&found)) {
                continue;
            }
            let Some(kept) = Self::hold(&kept_by, &record, path) else { continue };
            match timeout(PROOF, kept.prove(provider)).await.unwrap_or_else(|_| Err("it does not answer".into())) {
                Ok(cluster) => {
                    // Without the note this run's other processes look for one themselves.
                    let _ = write_private(&directory.join(ATTACHED), kept.directory.display().to_string().as_bytes());
                    tracing::info!("using the cluster that run {} has kept", record.id);
                    return Some((kept, cluster));
                }
                Err(why) => tracing::warn!(
                    "the cluster that run {} has kept is not used: {}; `k3s-arc down {0}` removes it",
                    record.id,
                    crate::chain(&*why)
                ),
            }
        }
        None
    }

    /// Where its users keep what they share about it.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes hold of it, unless it is gone or about to be.
    fn hold(kept_by: &Path, record: &Record, directory: PathBuf) -> Option<Self> {
        let used = lock::try_shared(&kept_by.join(USERS)).ok().flatten()?;
        let expiry = Expiry::of(kept_by, record);
        ClusterRecord::read(&directory).map(|_| Self { directory, expiry, _used: used })
    }

    /// The cluster.
    pub(super) async fn cluster(&self, provider: &dyn Provider) -> Result<Cluster, super::ProviderError> {
        match ClusterRecord::read(&self.directory) {
            Some(record) => provider.attach(&record, &self.directory.join(KUBECONFIG)).await,
            None => Err(Box::new(miette::MietteDiagnostic::new("the kept cluster is gone").with_help("run again"))),
        }
    }

    async fn prove(&self, provider: &dyn Provider) -> Result<Cluster, Box<dyn std::error::Error + Send + Sync>> {
        let cluster = self.cluster(provider).await.map_err(|error| crate::report_of(&*error))?;
        ready::prove(&cluster.client()).await?;
        Ok(cluster)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It then goes a little earlier.
        let _ = self.expiry.postpone();
    }
}
