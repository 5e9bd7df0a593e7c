//! The runs that are still there, and removing one on demand.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CLUSTERS, CleanError, Expiry, LOCK, PROCESS, RECORD, Removed};
use crate::{
    cluster::{ClusterRecord, lease::KUBECONFIG, lock, process::Process, run, run::Record},
    config::Config,
};

/// How long a process that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The runs there are, with their directories.
pub(in crate::cluster) fn runs(base: &Path) -> Vec<(PathBuf, Record)> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |directory: PathBuf| {
        let record = serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()?;
        Some((directory, record))
    };
    entries.filter_map(read).collect()
}

/// A run that was kept, or goes on.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Whether its root process still runs.
    pub active: bool,
    /// Whether it is a cluster that `k3s-arc up` serves.
    pub serves: bool,
    /// Its clusters: the kubeconfig of each, and what is known of it.
    pub clusters: Vec<(PathBuf, ClusterRecord)>,
    /// How long it is kept if nobody uses it meanwhile; nothing if it is active, or its time has come.
    pub left: Option<Duration>,
    root: Process,
    directory: PathBuf,
}

/// The runs of this user that are still there.
pub fn find(config: &Config) -> Vec<Found> {
    let found = |(directory, record): (PathBuf, Record)| {
        let active = record.root.runs();
        Found {
            active,
            serves: record.serves,
            clusters: clusters(&directory),
            left: Expiry::of(&directory, &record).left().filter(|_| !active),
            root: record.root,
            id: record.id,
            directory,
        }
    };
    runs(&run::base(config)).into_iter().map(found).collect()
}

pub(super) fn clusters(directory: &Path) -> Vec<(PathBuf, ClusterRecord)> {
    let entries = fs::read_dir(directory.join(CLUSTERS)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path().join(KUBECONFIG), ClusterRecord::read(&entry.path())?))).collect()
}

impl Found {
    /// Ends the run, if it goes on, and removes everything it made. Gives what was removed.
    ///
    /// # Errors
    /// [`CleanError`], naming what is left.
    pub async fn remove(&self) -> Result<Vec<Removed>, CleanError> {
        // The reaper would do the same at the end of the run, and that of a kept one waits for its time to come.
        let reaper = fs::read(self.directory.join(PROCESS)).ok();
        if let Some(reaper) = reaper.and_then(|text| serde_json::from_slice::<Process>(&text).ok()) {
            reaper.terminate();
        }
        if self.root.terminate() {
            self.until(|| !self.root.runs()).await;
        }
        let lock = self.directory.join(LOCK);
        self.until(|| !self.directory.exists() || matches!(lock::try_exclusive(&lock), Ok(Some(_)))).await;
        super::end_members(&self.directory).await;
        super::clean_for_good(&self.directory, &self.id, Duration::ZERO).await
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let waited = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // What goes on after that is not waited for.
        let _ = tokio::time::timeout(PATIENCE, waited).await;
    }
}
