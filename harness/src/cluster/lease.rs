//! Leases: how the processes of a run share clusters, and take one alone when they must.
//!
//! Everything lies in a directory per spec: locks of the kernel's (whose holder may be killed in any state
//! without blocking anybody) and a record of the cluster once it serves. The first process to ask makes the
//! cluster while it holds `making.lock`; those who waited for the lock find the record. A maker that was killed
//! leaves the lock and no record, and the next one starts afresh. A maker that failed leaves its error, so that forty
//! tests do not wait out forty boots to say the same.
//!
//! A cluster that an earlier run has kept is shared with whoever else uses it, so that its directory is the one that counts.
//! One that lives in the process which made it is shared by that process's tests alone; its directory's name says whose it is.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use super::{
    Cluster, ClusterRecord, ClusterSpec, Provider, ProviderError, Run, kept::Kept, lock, process::Process, reaper,
    run::write_private,
};

/// How one shares a cluster with the others of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It stays in its namespace; others may run beside it.
    Shared,
    /// It disturbs the cluster (deletes CoreDNS's pod, say) and takes it alone.
    Alone,
}

/// A claim on a cluster, held until this is dropped.
#[derive(Debug)]
pub struct Lease {
    cluster: Arc<Cluster>,
    directory: PathBuf,
    _rooms: Vec<Arc<lock::Held>>,
    _kept: Option<Kept>,
}

/// The rooms that this process shares, by directory.
static SHARED: LazyLock<Mutex<HashMap<PathBuf, Weak<lock::Held>>>> = LazyLock::new(Mutex::default);

/// Why there is no lease.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LeaseError {
    /// The provider made no cluster, or lost one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Provider(Failed),
    /// It made none for an earlier test of the run either.
    #[error("an earlier test of this run asked for the same cluster, and it could not be made:\n{report}")]
    #[diagnostic(code(k3s_arc::lease::failed_before))]
    FailedBefore {
        /// The error, as that test reported it.
        report: String,
    },
    /// The kept cluster that this run uses has been removed.
    #[error("the kept cluster in {}, which this run uses, has been removed meanwhile", .path.display())]
    #[diagnostic(code(k3s_arc::lease::kept_gone), help("run again"))]
    KeptGone {
        /// Where it was.
        path: PathBuf,
    },
    /// The directory of the lease is of no use.
    #[error("the lease's directory {} could not be used", .path.display())]
    #[diagnostic(code(k3s_arc::lease::directory), help("name another place in K3S_ARC_RUN_DIR"))]
    Directory {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

/// A provider's error.
#[derive(Debug)]
pub struct Failed(ProviderError);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

// A box of a diagnostic is not one itself, so it is passed on by hand.
impl miette::Diagnostic for Failed {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help()
    }
}

const FAILED: &str = "failed.txt";
/// Beside a cluster's record: the kubeconfig that leads to it.
pub(super) const KUBECONFIG: &str = "kubeconfig";

impl Lease {
    /// Takes a claim on the run's cluster of this spec, which is made if there is none.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn take(run: &Run, provider: &dyn Provider, spec: &ClusterSpec, access: Access) -> Result<Self, LeaseError> {
        let directory = run.directory().join(reaper::CLUSTERS).join(Self::name(provider, spec));
        let unusable = |source| LeaseError::Directory { path: directory.clone(), source };
        fs::create_dir_all(&directory).map_err(unusable)?;
        let room = Self::enter(&directory, access).await.map_err(unusable)?;
        let (cluster, kept) = Self::find_or_make(run, provider, spec, &directory).await?;
        let cluster = Arc::new(cluster);
        let Some(kept) = kept else { return Ok(Self { cluster, directory, _rooms: vec![room], _kept: None }) };
        // Other runs may use it at the same time.
        let directory = kept.directory().to_owned();
        let unusable = |source| LeaseError::Directory { path: directory.clone(), source };
        let rooms = vec![room, Self::enter(&directory, access).await.map_err(unusable)?];
        Ok(Self { cluster, directory, _rooms: rooms, _kept: Some(kept) })
    }

    /// What its users find a cluster by: all of the run's processes, or those of the process that made it.
    pub(super) fn name(provider: &dyn Provider, spec: &ClusterSpec) -> String {
        let digest = spec.digest();
        if provider.is_in_process() { format!("{digest}-{}-{}", provider.name(), Process::current()) } else { digest }
    }

    /// The cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    /// Where the users of this cluster keep what they share about it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// As [`Self::queue`], but a process that shares a room is not kept from sharing it once more: it would wait for one who wants the
    /// room alone, and he for it.
    async fn enter(directory: &Path, access: Access) -> io::Result<Arc<lock::Held>> {
        let shared = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if access == Access::Alone {
            return Self::queue(directory, access).await.map(Arc::new);
        }
        let known = shared().get(directory).and_then(Weak::upgrade);
        if let Some(room) = known {
            return Ok(room);
        }
        let room = Arc::new(Self::queue(directory, access).await?);
        shared().insert(directory.to_owned(), Arc::downgrade(&room));
        Ok(room)
    }

    /// A room with a turnstile: whoever wants it alone blocks those behind him, or he would wait for ever.
    async fn queue(directory: &Path, access: Access) -> io::Result<lock::Held> {
        let _turn = lock::exclusive(&directory.join("turn.lock"), "a test before this one wants the cluster alone").await?;
        let room = directory.join("room.lock");
        match access {
            Access::Shared => lock::shared(&room, "another test has the cluster alone").await,
            Access::Alone => lock::exclusive(&room, "other tests use the cluster, and this one needs it alone").await,
        }
    }

    async fn find_or_make(
        run: &Run,
        provider: &dyn Provider,
        spec: &ClusterSpec,
        directory: &Path,
    ) -> Result<(Cluster, Option<Kept>), LeaseError> {
        let unusable = |source| LeaseError::Directory { path: directory.to_owned(), source };
        let failed = |error| LeaseError::Provider(Failed(error));
        let kubeconfig = directory.join(KUBECONFIG);
        let making = directory.join("making.lock");
        let _making = lock::exclusive(&making, "another test of this run is starting the cluster").await.map_err(unusable)?;

        if let Ok(report) = fs::read_to_string(directory.join(FAILED)) {
            return Err(LeaseError::FailedBefore { report });
        }
        if let Some(record) = ClusterRecord::read(directory) {
            return provider.attach(&record, &kubeconfig).await.map(|cluster| (cluster, None)).map_err(failed);
        }
        if let Some(kept) = Kept::chosen(directory).await? {
            let cluster = kept.cluster(provider).await.map_err(failed)?;
            return Ok((cluster, Some(kept)));
        }
        if let Some((kept, cluster)) = Kept::choose(run, provider, spec, directory).await {
            return Ok((cluster, Some(kept)));
        }
        let made = match provider.make(run, spec, &kubeconfig).await {
            Ok(record) => provider.attach(&record, &kubeconfig).await.map(|cluster| (record, cluster)),
            Err(error) => Err(error),
        };
        match made {
            Ok((record, cluster)) => {
                let json = serde_json::to_vec(&record).map_err(io::Error::from).map_err(unusable)?;
                write_private(&directory.join(ClusterRecord::FILE), &json).map_err(unusable)?;
                if run.is_kept() {
                    announce(&record);
                }
                Ok((cluster, None))
            }
            Err(error) => {
                fs::write(directory.join(FAILED), crate::report_of(&*error)).map_err(unusable)?;
                // What the attempt left would only be in the way; that it cannot be removed is not the error to report.
                if let Err(left) = provider.discard(run, spec, &kubeconfig).await {
                    tracing::debug!("left for the reaper: {}", crate::chain(&*left));
                }
                Err(failed(error))
            }
        }
    }

    /// Notes that something failed on the cluster, and says how to reach it if it is kept for that.
    pub(crate) fn failed(&self, run: &Run) {
        run.mark_failed();
        if let Some(record) = ClusterRecord::read(&self.directory)
            && run.is_kept()
        {
            announce(&record);
        }
    }
}

fn announce(record: &ClusterRecord) {
    tracing::warn!("what was made is kept (K3S_ARC_KEEP); look at it, and remove it, with\n  {}", record.commands.join("\n  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_who_wants_the_room_alone_is_not_overtaken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let inside = Lease::queue(&path, Access::Shared).await.unwrap();
        let beside = Lease::queue(&path, Access::Shared).await.unwrap();
        drop(beside);
        let enter = |access| {
            let path = path.clone();
            tokio::spawn(async move { Lease::queue(&path, access).await })
        };
        let mut alone = enter(Access::Alone);
        // He has taken the turn once nobody else can.
        while lock::try_exclusive(&path.join("turn.lock")).unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        let late = enter(Access::Shared);
        tokio::task::yield_now().await;
        assert!(!alone.is_finished() && !late.is_finished());
        drop(inside);
        let alone = (&mut alone).await.unwrap().unwrap();
        assert!(!late.is_finished());
        drop(alone);
        late.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn one_who_is_inside_does_not_wait_for_who_waits_for_him() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let inside = Lease::enter(&path, Access::Shared).await.unwrap();
        let alone = tokio::spawn({
            let path = path.clone();
            async move { Lease::enter(&path, Access::Alone).await.map(drop) }
        });
        while lock::try_exclusive(&path.join("turn.lock")).unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        let again = Lease::enter(&path, Access::Shared).await.unwrap();
        drop(inside);
        assert!(!alone.is_finished());
        drop(again);
        alone.await.unwrap().unwrap();
    }

    #[test]
    fn what_lives_in_a_process_is_found_by_that_process_alone() {
        use crate::cluster::{DEFAULT_BOOT_TIMEOUT, Emulator, K3sImage, docker::Docker};
        let spec = ClusterSpec::new(K3sImage::default());
        let emulated = Lease::name(&Emulator::new("standin".to_owned(), DEFAULT_BOOT_TIMEOUT), &spec);
        assert!(emulated.contains(&format!("-emulator-{}-", std::process::id())), "{emulated}");
        let standin = crate::image::Standin::Published { reference: "standin".to_owned() };
        assert_eq!(Lease::name(&Docker::new(standin, DEFAULT_BOOT_TIMEOUT), &spec), spec.digest());
    }
}
