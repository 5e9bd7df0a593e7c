//! A run: all test processes of one `cargo nextest run`, or the one process of anything else.
//!
//! nextest gives every test a process, and nothing that a process holds is shared with the next. What the processes of
//! a run share lives in the run's directory; the reaper, started by the first of them, removes all that the run
//! made when its root process (nextest itself) is gone, whatever ended it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    lock,
    process::{self, Process},
    reaper,
};
use crate::{
    config::{Config, DEFAULT_KEEP_FOR, Keep},
    digest,
};

/// The label that names the run which made a thing.
pub(crate) const RUN_LABEL: &str = "k3s-arc.run";
/// The label that names the run's root process, as `<pid>@<start time>`.
pub(crate) const OWNER_LABEL: &str = "k3s-arc.owner";
/// The label that names the host on which that process runs: an engine may serve several.
pub(crate) const HOST_LABEL: &str = "k3s-arc.host";
/// The label that names the run's directory on that host.
pub(crate) const DIRECTORY_LABEL: &str = "k3s-arc.directory";
/// The label that names the spec a thing was made for, by digest.
pub(crate) const SPEC_LABEL: &str = "k3s-arc.spec";

/// Why a run's directory or reaper could not be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// The directory could not be made or read.
    #[error("the run's directory {} could not be {attempted}", .path.display())]
    #[diagnostic(code(k3s_arc::run), help("name another place in K3S_ARC_RUN_DIR"))]
    Directory {
        /// Which.
        path: PathBuf,
        /// What was attempted.
        attempted: &'static str,
        /// What came back.
        source: io::Error,
    },
    /// The directory is somebody else's, or open to others.
    #[error("the run's directory {} is {problem}", .path.display())]
    #[diagnostic(code(k3s_arc::run), help("kubeconfigs are kept there: remove it, or name another place in K3S_ARC_RUN_DIR"))]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// `a symbolic link`, ...
        problem: &'static str,
    },
    /// The run's id cannot be the name of a directory.
    #[error("NEXTEST_RUN_ID={id}: expected letters, digits and hyphens")]
    #[diagnostic(code(k3s_arc::run), help("nextest sets it; unset it, if this was not started by nextest"))]
    Id {
        /// The id.
        id: String,
    },
    /// The reaper did not start.
    #[error("the process that removes what this run makes did not start")]
    #[diagnostic(
        code(k3s_arc::run::reaper),
        help(
            "it is this program, started once more with K3S_ARC_REAPER set: is it there to be read, and may a process be started?"
        )
    )]
    Reaper {
        /// What came back.
        source: io::Error,
    },
}

/// A run, joined.
#[derive(Debug)]
pub struct Run {
    record: Record,
    directory: PathBuf,
}

/// What the run's directory says of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) root: Process,
    pub(crate) keep: Keep,
    /// The run is a cluster that is served until it is told to stop, not a suite.
    #[serde(default)]
    pub(crate) serves: bool,
    /// How long it is kept after its last use, if it is.
    pub(crate) keep_seconds: u64,
}

impl Record {
    pub(crate) fn new(id: impl Into<String>, root: Process, keep: Keep) -> Self {
        Self { id: id.into(), root, keep, serves: false, keep_seconds: DEFAULT_KEEP_FOR.as_secs() }
    }

    fn of_this_process(config: &Config) -> Self {
        let root = Process::current();
        Self {
            keep_seconds: config.keep_for.as_secs(),
            ..Self::new(format!("{:x}-{:x}", root.started, root.pid), root, config.keep)
        }
    }
}

impl Run {
    /// Joins the run that this process belongs to; the first one to join makes it and starts its reaper.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn join(config: &Config) -> Result<Self, RunError> {
        let this = Record::of_this_process(config);
        let record = match std::env::var("NEXTEST_RUN_ID") {
            // A wrapper script may stand between nextest and the test; were there no nextest at all, the test is alone.
            Ok(id) => Record { id, root: Process::ancestor("nextest").unwrap_or(this.root), ..this },
            Err(_) => this,
        };
        Self::open(config, record)
    }

    /// Begins a run that is this process, and serves a cluster until it is told to stop.
    pub(crate) fn serving(config: &Config) -> Result<Self, RunError> {
        Self::open(config, Record { serves: true, keep: Keep::Never, ..Record::of_this_process(config) })
    }

    fn open(config: &Config, record: Record) -> Result<Self, RunError> {
        if record.id.is_empty() || !record.id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
            return Err(RunError::Id { id: record.id });
        }
        let base = base(config);
        let base = std::path::absolute(&base).map_err(|source| RunError::Directory { path: base, attempted: "found", source })?;
        private_directory(&base)?;
        let directory = base.join(&record.id);
        if fs::symlink_metadata(&directory).is_ok() {
            prove_private(&directory)?;
        }
        let run = Self { record, directory };
        run.ensure_reaper(&base)?;
        run.enrol()?;
        Ok(run)
    }

    /// The run's id: nextest's, or one of this process.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Whether the run is this process alone, and not one of nextest's.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.record.root == Process::current()
    }

    /// Where the run's processes keep what they share.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether what the run made outlives it, as things stand.
    pub(crate) fn is_kept(&self) -> bool {
        !reaper::is_to_go(&self.directory, self.record.keep)
    }

    /// The labels of everything the run makes for a spec.
    pub(crate) fn labels(&self, spec_digest: &str) -> [(String, String); 5] {
        [
            (RUN_LABEL, self.record.id.clone()),
            (OWNER_LABEL, self.record.root.label()),
            (HOST_LABEL, host()),
            (DIRECTORY_LABEL, self.directory.display().to_string()),
            (SPEC_LABEL, spec_digest.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// Notes that something failed, so that `K3S_ARC_KEEP=failed` keeps the clusters.
    pub(crate) fn mark_failed(&self) {
        // Without the mark the run is cleaned up, which is the lesser surprise.
        let _ = fs::write(self.directory.join(reaper::FAILED), "");
    }

    /// Removes what the run made, now and in this process. For a run of one process, at its orderly end; the reaper then finds
    /// nothing to do.
    pub(crate) async fn remove(&self) {
        if let Err(error) = reaper::clean(&self.directory, &self.record.id).await {
            tracing::warn!("left for the reaper: {}", crate::chain(&error));
        }
    }

    /// Notes that this process is one of the run's, for the reaper to end if it outlives the run's root.
    fn enrol(&self) -> Result<(), RunError> {
        let members = self.directory.join(reaper::MEMBERS);
        private_directory(&members)?;
        let this = Process::current();
        let written = serde_json::to_vec(&this).map_err(io::Error::from);
        let written = written.and_then(|json| fs::write(members.join(this.to_string()), json));
        written.map_err(|source| RunError::Directory { path: members, attempted: "written to", source })
    }

    /// It is the reaper that makes the run's directory: whenever this process is killed, somebody is there who removes what is there.
    fn ensure_reaper(&self, base: &Path) -> Result<(), RunError> {
        let at = |attempted| {
            let path = self.directory.clone();
            move |source| RunError::Directory { path, attempted, source }
        };
        // Held for as long as it takes to start a process; whoever waits here waits milliseconds.
        let starting = loop {
            match fs::File::open(base) {
                // The last run to go took it along.
                Err(error) if error.kind() == io::ErrorKind::NotFound => private_directory(base)?,
                opened => break opened.map_err(at("looked at"))?,
            }
        };
        starting.lock().map_err(at("locked"))?;
        let is_there = self.directory.exists();
        if is_there && lock::try_exclusive(&self.directory.join(reaper::LOCK)).map_err(at("locked"))?.is_none() {
            return Ok(());
        }
        reaper::start(&self.directory, &self.record).map_err(|source| RunError::Reaper { source })
    }
}

/// What tells this host from others that use the same engine, for the label of what is made: its name, which others may have too, so also
/// what the system knows it by, and where processes are numbered anew, as in a container. Nothing, where the system tells nothing.
pub fn host() -> String {
    let machine = fs::read_to_string("/etc/machine-id").ok();
    // Not for everybody to see as it is: https://www.freedesktop.org/software/systemd/man/latest/machine-id.html
    let machine = machine.filter(|id| !id.trim().is_empty()).map(|id| digest::short(id.trim().as_bytes()));
    let processes = fs::read_link("/proc/self/ns/pid").ok().map(|space| space.display().to_string());
    let processes = processes.filter(|space| space != FIRST_PROCESSES);
    [sysinfo::System::host_name().ok(), machine, processes].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// The numbering of processes that Linux begins with (`PROC_PID_INIT_INO`).
const FIRST_PROCESSES: &str = "pid:[4026531836]";

/// Where all runs of this user keep their state.
pub(crate) fn base(config: &Config) -> PathBuf {
    config.run_dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("k3s-arc-{}", process::user())))
}

/// Makes a directory that only this user can look into, or proves that the one there is such.
pub(crate) fn private_directory(path: &Path) -> Result<(), RunError> {
    let failed = |attempted| {
        let path = path.to_owned();
        move |source| RunError::Directory { path, attempted, source }
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("made")(error)),
    }
    prove_private(path)
}

/// Proves that only this user can look into a directory that is there.
pub(crate) fn prove_private(path: &Path) -> Result<(), RunError> {
    let failed = |source| RunError::Directory { path: path.to_owned(), attempted: "looked at", source };
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let problem = if metadata.is_symlink() {
        "a symbolic link"
    } else if !metadata.is_dir() {
        "not a directory"
    } else if metadata.uid() != process::user() {
        "another user's"
    } else if metadata.mode() & 0o077 != 0 {
        "open to other users"
    } else {
        return Ok(());
    };
    Err(RunError::Unsafe { path: path.to_owned(), problem })
}

/// Writes a file that only this user can read, at once and whole.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    // Its mode is 0600, and it is none that was there before.
    let mut file =
        tempfile::NamedTempFile::new_in(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))?;
    io::Write::write_all(&mut file, content)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_that_others_could_read_or_redirect_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("run");
        private_directory(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        private_directory(&directory).unwrap();

        let link = parent.path().join("link");
        symlink(&directory, &link).unwrap();
        assert!(matches!(private_directory(&link), Err(RunError::Unsafe { problem: "a symbolic link", .. })));

        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(private_directory(&directory), Err(RunError::Unsafe { problem: "open to other users", .. })));
    }

    #[test]
    fn a_private_file_is_the_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        write_private(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
