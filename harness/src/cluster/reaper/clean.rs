//! Removing all that a run made.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{CLUSTERS, RECORD, abandoned};
use crate::cluster::{
    docker, existing, lock,
    multipass::{self, MultipassError},
    private_directory,
    run::Record,
};

/// Why something of a run is still there.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CleanError {
    /// Docker did not remove all of it.
    #[error("not everything of run {run} could be removed from Docker")]
    #[diagnostic(code(k3s_arc::clean), help("`docker ps -a --filter label=k3s-arc.run={run}` shows what is left"))]
    Docker {
        /// The run's id.
        run: String,
        /// What came back.
        source: docker::DockerError,
    },
    /// Docker did not remove what runs left that nobody ends any more.
    #[error("what is left of runs that nobody knows any more could not be removed from Docker")]
    #[diagnostic(code(k3s_arc::clean), help("`docker ps -a --filter label=k3s-arc.run` shows it"))]
    Orphans {
        /// What came back.
        source: docker::DockerError,
    },
    /// Multipass did not remove all of it.
    #[error("not every VM of run {run} could be removed")]
    #[diagnostic(
        code(k3s_arc::clean),
        help("`multipass list` shows what is left, by names that begin with `k3s-arc-`; `k3s-arc down {run}` tries again")
    )]
    Multipass {
        /// The run's id.
        run: String,
        /// What came back.
        #[diagnostic_source]
        source: MultipassError,
    },
    /// The same, from Multipass.
    #[error("what is left of runs that nobody knows any more could not be removed from Multipass")]
    #[diagnostic(code(k3s_arc::clean), help("`multipass list` shows it, by names that begin with `k3s-arc-`"))]
    OrphanVms {
        /// What came back.
        #[diagnostic_source]
        source: MultipassError,
    },
    /// A cluster that is not the run's own still has something of it.
    #[error("not everything of run {run} could be removed from the cluster that it used")]
    #[diagnostic(
        code(k3s_arc::clean),
        help("what is left carries the label k3s-arc.run={run}; `k3s-arc down {run}` tries again, and so does the next run")
    )]
    Existing {
        /// The run's id.
        run: String,
        /// What came back.
        source: existing::Uncleaned,
    },
    /// The run's directory is still there.
    #[error("the directory of run {run} could not be removed")]
    #[diagnostic(code(k3s_arc::clean), help("`k3s-arc down {run}` tries again, and so does the next run"))]
    Directory {
        /// The run's id.
        run: String,
        /// What came back.
        source: io::Error,
    },
}

/// Something that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A container, by name.
    Container(String),
    /// A network, by name.
    Network(String),
    /// A volume, by name.
    Volume(String),
    /// A VM, by name.
    Machine(String),
    /// An object of a cluster that exists, with all that belongs to it.
    Object(String),
    /// A directory and all below it.
    Directory(PathBuf),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {name}"),
            Self::Network(name) => write!(f, "network {name}"),
            Self::Volume(name) => write!(f, "volume {name}"),
            Self::Machine(name) => write!(f, "VM {name}"),
            Self::Object(title) => f.write_str(title),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
        }
    }
}

/// Removes what runs of this host left that nobody ends any more: their directory is gone, or it is another than this configuration's, with neither
/// a process nor a reaper of theirs, and they were not to be kept. It is what `k3s-arc down --all` does besides removing runs.
///
/// # Errors
/// When an engine or Multipass answers, and does not remove it.
pub async fn remove_orphans() -> Result<Vec<Removed>, CleanError> {
    let refused = |source| CleanError::Orphans { source };
    let mut removed = docker::remove_orphans().await.map_err(refused)?;
    removed.extend(multipass::remove_orphans().await.map_err(|source| CleanError::OrphanVms { source })?);
    let ownerless = docker::ownerless().await.map_err(refused)?;
    for (directory, run) in ownerless.into_iter().chain(multipass::ownerless()) {
        if let Some(_abandoned) = abandoned_by(&directory, &run) {
            super::end_members(&directory).await;
            removed.append(&mut clean(&directory, &run).await?);
        }
    }
    Ok(removed)
}

/// Holds a run that is abandoned, if this directory is truly its own: anybody who may use the engine can write labels.
fn abandoned_by(directory: &Path, run: &str) -> Option<(lock::Held, Option<lock::Held>)> {
    if !directory.is_dir() || private_directory(directory).is_err() {
        return None;
    }
    let record: Record = serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()?;
    if record.id == run && directory.ends_with(run) { abandoned(directory, &record) } else { None }
}

/// Removes everything that a run made: what carries its label, and its directory.
pub(in crate::cluster) async fn clean(directory: &Path, run: &str) -> Result<Vec<Removed>, CleanError> {
    let mut removed = Vec::new();
    docker::end_tunnels(&directory.join(CLUSTERS));
    if docker::is_marked(directory) {
        let gone = docker::remove_run(directory, run).await;
        removed = gone.map_err(|source| CleanError::Docker { run: run.to_owned(), source })?;
    }
    let gone = multipass::remove_run(directory, false).await;
    removed.extend(gone.map_err(|source| CleanError::Multipass { run: run.to_owned(), source })?);
    let gone = existing::clean(directory).await.map_err(|source| CleanError::Existing { run: run.to_owned(), source })?;
    removed.extend(gone.into_iter().map(Removed::Object));
    match remove_directory(directory) {
        Ok(()) => removed.push(Removed::Directory(directory.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(CleanError::Directory { run: run.to_owned(), source }),
    }
    if let Some(base) = directory.parent() {
        // Succeeds for the last run only: other runs' directories keep it.
        let _ = fs::remove_dir(base);
    }
    Ok(removed)
}

/// Removes a run's directory.
fn remove_directory(directory: &Path) -> io::Result<()> {
    for path in record_last(directory)? {
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        match if is_directory { remove_tree(&path) } else { fs::remove_file(&path) } {
            // The run itself and its reaper may do it at once.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    remove_tree(directory)
}

/// What is in a run's directory, the run's record last: whoever removes it may be killed, and only by that does the next one know that
/// there is something left.
fn record_last(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort_by_key(|path| path.ends_with(RECORD));
    Ok(paths)
}

/// Removes a directory and all below it. The folders of an emulated node have the modes that pods gave them, which may keep out their
/// owner too; for a kernel's root there are none.
fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            fs::remove_dir_all(directory)
        }
        // A process of the run that was just killed may have been writing there.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(directory),
        removed => removed,
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Links are not followed: they may lead out of here.
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_have_closed_is_opened_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let (tree, outside) = (parent.path().join("tree"), parent.path().join("outside"));
        fs::create_dir_all(tree.join("closed/below")).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let before = mode(&outside);
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        open_up(&tree).unwrap();
        assert_eq!((mode(&tree.join("closed")), mode(&outside)), (0o700, before));
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.exists());
    }

    #[test]
    fn a_run_elsewhere_is_abandoned_when_nobody_is_left_to_end_it_and_nobody_keeps_it() {
        use crate::{cluster::process::Process, config::Keep};
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("run");
        private_directory(&directory).unwrap();
        let write = |record: &Record| fs::write(directory.join(RECORD), serde_json::to_vec(record).unwrap()).unwrap();
        let gone = Record::new("run", Process { started: 1, ..Process::current() }, Keep::Never);
        let is_abandoned = || abandoned_by(&directory, "run").is_some();

        assert!(!is_abandoned(), "it says nothing of a run");
        write(&gone);
        assert!(is_abandoned());
        assert!(abandoned_by(&directory, "another").is_none(), "a label may lie");
        let reaper = lock::try_exclusive(&directory.join(crate::cluster::reaper::LOCK)).unwrap();
        assert!(!is_abandoned(), "its reaper is about to");
        drop(reaper);
        write(&Record { root: Process::current(), ..gone.clone() });
        assert!(!is_abandoned(), "it goes on");
        write(&Record { keep: Keep::Always, ..gone.clone() });
        let cluster = directory.join(CLUSTERS).join("one");
        fs::create_dir_all(&cluster).unwrap();
        let kept = serde_json::to_vec(&crate::cluster::ClusterRecord::default()).unwrap();
        fs::write(cluster.join(crate::cluster::ClusterRecord::FILE), kept).unwrap();
        assert!(!is_abandoned(), "it is kept");
        write(&Record { keep: Keep::Always, keep_seconds: 0, ..gone.clone() });
        assert!(is_abandoned(), "it was kept for long enough");
        write(&gone);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_abandoned(), "others could have written there");
    }

    #[test]
    fn what_tells_that_there_is_a_run_is_removed_last() {
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..20).map(|number| number.to_string()).chain([RECORD.to_owned()]).collect();
        for file in &files {
            fs::write(directory.path().join(file), "").unwrap();
        }
        let paths = record_last(directory.path()).unwrap();
        assert_eq!((paths.len(), paths.last()), (files.len(), Some(&directory.path().join(RECORD))));
        remove_directory(directory.path()).unwrap();
        assert!(!directory.path().exists());
    }

    #[tokio::test]
    async fn the_last_run_takes_the_directory_of_all_runs_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let base = parent.path().join("runs");
        let (one, other) = (base.join("one"), base.join("other"));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(&other).unwrap();
        assert_eq!(clean(&one, "one").await.unwrap(), [Removed::Directory(one.clone())]);
        assert!(base.exists() && clean(&one, "one").await.unwrap().is_empty());
        clean(&other, "other").await.unwrap();
        assert!(!base.exists());
    }
}
