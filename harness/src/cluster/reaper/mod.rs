//! The reaper: a small process that outlives a run and removes what the run made.
//!
//! Under nextest no test knows that it is the last, and nothing runs after it. So the first process of a run
//! starts this program once more, in a process group of its own, where it waits (without polling) for the end of
//! the run's root process, and then removes everything that carries the run's label, and the run's directory.

use std::{
    ffi::OsStr,
    fs, io,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use super::{docker, lock, process::Process, run::Record};
use crate::config::Keep;

/// The argument that makes a program of ours the reaper.
const FLAG: &str = "--k3s-arc-reaper";
/// Held for as long as the reaper lives.
pub(super) const LOCK: &str = "reaper.lock";
/// The run as the reaper must know it.
pub(super) const RECORD: &str = "run.json";
/// There if something failed in the run.
pub(super) const FAILED: &str = "failed";
/// What the reaper could not do, for whoever looks.
const LOG: &str = "reaper.log";
/// There once a cluster was asked for.
pub(super) const CLUSTERS: &str = "clusters";

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
    /// The run's directory is still there.
    #[error("the directory of run {run} could not be removed")]
    #[diagnostic(code(k3s_arc::clean))]
    Directory {
        /// The run's id.
        run: String,
        /// What came back.
        source: io::Error,
    },
}

/// Becomes the reaper, if this process was started as one; a program's main function calls it first.
///
/// Returns the code to exit with, or `None` in any other process.
pub fn take_over() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(FLAG)) {
        return None;
    }
    let directory = arguments.next()?;
    Some(match reap(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads this process's output; if the log cannot be written either, there is nowhere left to tell it.
            let _ = fs::write(Path::new(&directory).join(LOG), format!("{}\n", crate::chain(&*error)));
            ExitCode::FAILURE
        }
    })
}

/// Starts the reaper of a run and returns once it watches.
pub(super) fn start(directory: &Path) -> io::Result<()> {
    let mut reaper = Command::new(std::env::current_exe()?)
        .arg(FLAG)
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A Ctrl-C, and nextest's signals to a test's process group, are not meant for it.
        .process_group(0)
        .spawn()?;
    let mut answer = String::new();
    if let Some(output) = reaper.stdout.take() {
        BufReader::new(output).read_line(&mut answer)?;
    }
    match answer.trim_end() {
        READY => Ok(()),
        other => Err(io::Error::other(format!("it was to say `{READY}`, and said `{other}`"))),
    }
}

const READY: &str = "watching";

fn reap(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // Another reaper of the same run does the work already.
    let Some(_alive) = lock::try_exclusive(&directory.join(LOCK))? else { return Ok(()) };
    let record: Record = serde_json::from_slice(&fs::read(directory.join(RECORD))?)?;
    let root = record.root.runs().then(|| waitpid_any::WaitHandle::open(record.root.pid as _)).transpose();
    writeln!(io::stdout(), "{READY}")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(base) = directory.parent() {
        runtime.block_on(sweep(base));
    }
    // A root that is gone already cannot be waited for.
    if let Ok(Some(mut root)) = root {
        root.wait()?;
    }
    if is_to_go(directory, record.keep) {
        runtime.block_on(clean(directory, &record.id))?;
    }
    Ok(())
}

/// Whether a run's clusters go with it.
pub(super) fn is_to_go(directory: &Path, keep: Keep) -> bool {
    match keep {
        Keep::Never => true,
        Keep::Failed => !directory.join(FAILED).exists(),
        Keep::Always => false,
    }
}

/// Removes everything that a run made: what carries its label, and its directory.
pub(super) async fn clean(directory: &Path, run: &str) -> Result<(), CleanError> {
    if directory.join(docker::MARK).exists() {
        docker::remove_run(run).await.map_err(|source| CleanError::Docker { run: run.to_owned(), source })?;
    }
    match remove_tree(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(CleanError::Directory { run: run.to_owned(), source });
        }
        _ => {}
    }
    if let Some(base) = directory.parent() {
        // Succeeds for the last run only: other runs' directories keep it.
        let _ = fs::remove_dir(base);
    }
    Ok(())
}

/// Removes a directory and all below it. The folders of an emulated node have the modes that pods gave them, which may keep out their
/// owner too; for a kernel's root there are none.
fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            fs::remove_dir_all(directory)
        }
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

/// Removes what runs left whose root and reaper are both gone: a reaper that was killed, or a host that went down.
async fn sweep(base: &Path) {
    for (directory, record) in runs(base) {
        let Ok(Some(_abandoned)) = lock::try_exclusive(&directory.join(LOCK)) else { continue };
        if !record.root.runs() && is_to_go(&directory, record.keep) {
            // What cannot be removed now is the next sweep's.
            let _ = clean(&directory, &record.id).await;
        }
    }
}

/// The runs there are, with their directories.
pub(super) fn runs(base: &Path) -> Vec<(std::path::PathBuf, Record)> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |directory: std::path::PathBuf| {
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
    root: Process,
    directory: std::path::PathBuf,
}

/// The runs of this user that are still there.
pub fn find(config: &crate::config::Config) -> Vec<Found> {
    let found = |(directory, record): (_, Record)| Found {
        active: record.root.runs(),
        serves: record.serves,
        root: record.root,
        id: record.id,
        directory,
    };
    runs(&super::run::base(config)).into_iter().map(found).collect()
}

impl Found {
    /// Removes everything the run made.
    ///
    /// # Errors
    /// [`CleanError`], naming what is left.
    pub async fn remove(&self) -> Result<(), CleanError> {
        if self.serves && self.root.terminate() {
            // It removes what it made itself; what it does not manage is removed below.
            for _ in 0..100 {
                if !self.root.runs() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        clean(&self.directory, &self.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_kept_only_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let to_go = |keep| is_to_go(directory.path(), keep);
        assert!(to_go(Keep::Never) && to_go(Keep::Failed) && !to_go(Keep::Always));
        fs::write(directory.path().join(FAILED), "").unwrap();
        assert!(to_go(Keep::Never) && !to_go(Keep::Failed) && !to_go(Keep::Always));
    }

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
}
