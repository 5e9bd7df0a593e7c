//! The runs that are still there, and removing one on demand.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CLUSTERS, CleanError, Expiry, LOCK, PROCESS, RECORD, Removed, USERS};
use crate::{
    cluster::{
        ClusterRecord,
        lease::KUBECONFIG,
        lock,
        process::Process,
        run,
        run::{Record, RunError},
    },
    config::Config,
};

/// How long a process that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The runs there are, with their directories.
pub(in crate::cluster) fn runs(base: &Path) -> Vec<(PathBuf, Record)> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |directory: PathBuf| {
        // What others put there is not to be believed: it names processes to end, and programs to run.
        run::prove_private(&directory).ok()?;
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

/// While it is there, no other run begins to use the clusters of one that was kept.
#[derive(Debug)]
pub struct Unused(#[expect(dead_code, reason = "it is held")] lock::Held);

/// The runs of this user that are still there.
///
/// # Errors
/// [`RunError::Unsafe`], if somebody else may have put them there.
pub fn find(config: &Config) -> Result<Vec<Found>, RunError> {
    let base = run::base(config);
    if !base.exists() {
        return Ok(Vec::new());
    }
    run::prove_private(&base)?;
    let found = |(directory, record): (PathBuf, Record)| {
        let active = record.root.runs();
        Found {
            active,
            serves: record.serves,
            clusters: clusters(&directory),
            left: Expiry::of(&directory, &record).left().filter(|_| !active && !super::is_to_go(&directory, record.keep)),
            root: record.root,
            id: record.id,
            directory,
        }
    };
    Ok(runs(&base).into_iter().map(found).collect())
}

pub(super) fn clusters(directory: &Path) -> Vec<(PathBuf, ClusterRecord)> {
    let entries = fs::read_dir(directory.join(CLUSTERS)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path().join(KUBECONFIG), ClusterRecord::read(&entry.path())?))).collect()
}

impl Found {
    /// Keeps other runs from using its clusters, if none does.
    pub fn unused(&self) -> Option<Unused> {
        lock::try_exclusive(&self.directory.join(USERS)).ok().flatten().map(Unused)
    }

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    use super::*;
    use crate::{cluster::private_directory, config::Keep};

    #[test]
    fn what_others_may_have_put_there_is_not_believed() {
        let parent = tempfile::tempdir().unwrap();
        let base = parent.path().join("base");
        private_directory(&base).unwrap();
        let record = serde_json::to_vec(&Record::new("run", Process::current(), Keep::Never)).unwrap();
        for (name, mode) in [("ours", 0o700), ("theirs", 0o777)] {
            let directory = base.join(name);
            fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
            fs::write(directory.join(RECORD), &record).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink(base.join("ours"), base.join("link")).unwrap();

        let of = |base: &Path| Config { run_dir: Some(base.to_owned()), ..Config::read(|_| None).unwrap() };
        let config = of(&base);
        let found: Vec<PathBuf> = find(&config).unwrap().into_iter().map(|found| found.directory).collect();
        assert_eq!(found, [base.join("ours")]);

        fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(&config), Err(RunError::Unsafe { problem: "open to other users", .. })));
        assert!(find(&of(&parent.path().join("none"))).unwrap().is_empty());
    }
}
