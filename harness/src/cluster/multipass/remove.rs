//! Removing VMs that runs of ours launched, and no others.
//!
//! A VM has no labels. So before it is launched, what would be its labels goes to a file that has its name: in the run's directory, for
//! who removes the run, and in the user's state directory, for who comes when the run's directory is gone: that is a temporary one, and
//! VMs outlast a restart of their host. Only VMs with such a file are removed, each by its name: a bare `multipass purge` would empty
//! the trash, which is everybody's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::{
    MultipassError,
    cause::is_of_no_vm,
    command::{CallError, Input, Multipass},
    warm::Cache,
};
use crate::cluster::{
    Removed, Run, orphan,
    run::{DIRECTORY_LABEL, RUN_LABEL, SPEC_LABEL, host, write_private},
};

/// In a run's directory: its VMs' files.
const NOTES: &str = "multipass";

/// How long a VM may take to go. One that runs is shut down first.
const REMOVAL: Duration = Duration::from_secs(120);

/// Multipass goes on launching what somebody asked for who was killed meanwhile, and knows nothing of it until the image is there. So a
/// launch that came to no end is looked after for so long; then it is the next run's to sweep.
const IN_DOUBT: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// How old the file of a VM is that will not come any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// What there is to know of a VM of ours.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Note {
    name: String,
    /// The `multipass` that launched it: who removes it may have another `PATH`.
    program: PathBuf,
    labels: Vec<(String, String)>,
    /// Whether it came up; until then Multipass may not know of it yet.
    launched: bool,
    /// The key of one that is the warm cache's, to which it goes back.
    #[serde(default)]
    warm: Option<String>,
}

/// Where a VM's note is kept, twice.
#[derive(Debug)]
pub(super) struct Notes {
    of_run: PathBuf,
    of_user: Option<PathBuf>,
}

impl Notes {
    /// Of a run's VMs.
    pub(super) fn of(run_directory: &Path) -> Self {
        Self { of_run: run_directory.join(NOTES), of_user: users() }
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.of_run].into_iter().chain(&self.of_user)
    }

    fn write(&self, note: &Note) -> Result<(), MultipassError> {
        for directory in self.directories() {
            let path = file(directory, &note.name);
            let written = fs::create_dir_all(directory).and_then(|()| {
                let json = serde_json::to_vec(note).map_err(io::Error::from)?;
                write_private(&path, &json)
            });
            match written {
                Ok(()) => {}
                // A user without a home has a run's directory all the same.
                Err(error) if Some(directory) == self.of_user.as_ref() => tracing::debug!("{}: {error}", path.display()),
                Err(source) => return Err(MultipassError::Note { path, source }),
            }
        }
        Ok(())
    }

    /// Notes a VM that is about to be launched.
    pub(super) fn add(
        &self,
        name: &str,
        multipass: &Multipass,
        run: &Run,
        spec_digest: &str,
        warm: Option<String>,
    ) -> Result<Note, MultipassError> {
        let labels = run.labels(spec_digest).into();
        let program = multipass.program().to_owned();
        let note = Note { name: name.to_owned(), program, labels, launched: false, warm };
        self.write(&note)?;
        Ok(note)
    }

    /// Notes that it is there.
    pub(super) fn confirm(&self, note: Note) -> Result<(), MultipassError> {
        self.write(&Note { launched: true, ..note })
    }

    /// Forgets a VM that is not there, or not ours.
    pub(super) fn forget(&self, name: &str) {
        for directory in self.directories() {
            // What stays is looked for once more, and not found.
            let _ = fs::remove_file(file(directory, name));
        }
    }
}

fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.json"))
}

/// This user's notes.
fn users() -> Option<PathBuf> {
    Some(state()?.join(NOTES))
}

/// What k3s-arc keeps for this user, by the XDG base directories: <https://specifications.freedesktop.org/basedir-spec/latest/>.
pub(super) fn state() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    state.is_absolute().then(|| state.join("k3s-arc"))
}

fn read(directory: &Path) -> Vec<(PathBuf, Note)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter_map(|path| Some((path.clone(), serde_json::from_slice(&fs::read(path).ok()?).ok()?))).collect()
}

impl Note {
    fn multipass(&self) -> Option<Multipass> {
        if self.program.is_file() { Some(Multipass::at(&self.program)) } else { Multipass::find() }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }

    /// Removes the VM for good, or gives it back to the cache that it is of.
    async fn remove(&self) -> Result<Gone, MultipassError> {
        let multipass = self.multipass().ok_or(MultipassError::NotInstalled)?;
        if let (Some(key), Some(cache)) = (&self.warm, Cache::of_user())
            && let Some(has_gone) = cache.release(&multipass, key).await?
        {
            return Ok(if has_gone { Gone::Removed } else { Gone::Kept });
        }
        Ok(if purge(&multipass, &self.name).await? { Gone::Removed } else { Gone::NotThere })
    }
}

/// What became of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Removed,
    /// The cache has it.
    Kept,
    /// There was none.
    NotThere,
}

/// Removes a VM for good, and nothing else. Whether there was one.
pub(super) async fn purge(multipass: &Multipass, name: &str) -> Result<bool, MultipassError> {
    match multipass.run(&["delete", "--purge", name], Input::Nothing, REMOVAL).await {
        Ok(_) => Ok(true),
        Err(error) if is_of_no_vm(&error) => Ok(false),
        Err(error) => Err(refused(name, error)),
    }
}

fn refused(name: &str, source: CallError) -> MultipassError {
    MultipassError::of(format!("remove the VM {name}"), source)
}

/// Whether a run has VMs.
pub(in crate::cluster) fn has_vms(run_directory: &Path) -> bool {
    fs::read_dir(run_directory.join(NOTES)).is_ok_and(|mut notes| notes.next().is_some())
}

/// Removes every VM of the run in a directory; a launch in doubt is looked after for a while, if `late`. Gives what was removed.
pub(in crate::cluster) async fn remove_run(run_directory: &Path, late: bool) -> Result<Vec<Removed>, MultipassError> {
    let notes = Notes::of(run_directory);
    let mut removed = Vec::new();
    for (_, note) in read(&notes.of_run) {
        let since = Instant::now();
        let gone = loop {
            let gone = note.remove().await?;
            if gone != Gone::NotThere || note.launched || !late || since.elapsed() > IN_DOUBT {
                break gone;
            }
            sleep(LOOK).await;
        };
        let directories: Vec<&PathBuf> = notes.directories().collect();
        if gone != Gone::NotThere || note.launched {
            notes.forget(&note.name);
        } else if let [of_run, ..] = directories[..] {
            // The user's stays, for the sweep: it may come yet.
            let _ = fs::remove_file(file(of_run, &note.name));
        }
        if gone == Gone::Removed {
            removed.push(Removed::Machine(note.name));
        }
    }
    Ok(removed)
}

/// Removes what a run has of one spec.
pub(super) async fn remove_spec(notes: &Notes, spec_digest: &str) -> Result<(), MultipassError> {
    for (_, note) in read(&notes.of_run).into_iter().filter(|(_, note)| note.label(SPEC_LABEL) == Some(spec_digest)) {
        note.remove().await?;
        notes.forget(&note.name);
    }
    Ok(())
}

/// The runs of this host, with their directories, that have VMs and whose owner is gone.
pub(in crate::cluster) fn ownerless() -> Vec<(PathBuf, String)> {
    let host = host();
    let notes = read(&users().unwrap_or_default()).into_iter();
    let mut runs: Vec<_> = notes
        .filter(|(_, note)| orphan::is_ownerless(|label| note.label(label), &host))
        .filter_map(|(_, note)| Some((PathBuf::from(note.label(DIRECTORY_LABEL)?), note.label(RUN_LABEL)?.to_owned())))
        .collect();
    runs.dedup();
    runs
}

/// Removes VMs of runs of this host that nobody knows any more. Gives what was removed.
pub(in crate::cluster) async fn remove_orphans() -> Result<Vec<Removed>, MultipassError> {
    match users() {
        Some(directory) => sweep(&directory, &host()).await,
        None => Ok(Vec::new()),
    }
}

async fn sweep(directory: &Path, host: &str) -> Result<Vec<Removed>, MultipassError> {
    let mut removed = Vec::new();
    for (path, note) in read(directory).into_iter().filter(|(_, note)| orphan::is_orphan(|label| note.label(label), host)) {
        match note.remove().await? {
            Gone::Removed => removed.push(Removed::Machine(note.name.clone())),
            Gone::NotThere if !note.launched && age(&path) < FORGOTTEN => continue,
            Gone::NotThere | Gone::Kept => {}
        }
        let _ = fs::remove_file(path);
    }
    Ok(removed)
}

fn age(path: &Path) -> Duration {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::command::tests::scripted, *};
    use crate::cluster::{
        process::Process,
        run::{HOST_LABEL, OWNER_LABEL},
    };

    /// A `multipass` that notes what it is asked, and knows the VMs that are files of a directory.
    const SCRIPT: &str = r#"
        echo "$@" >>"$(dirname "$0")/asked"
        vm="$(dirname "$0")/vms/$3"
        [ -e "$vm" ] && exec rm "$vm"
        printf 'delete failed: instance "%s" does not exist\n' "$3" >&2; exit 2"#;

    struct Host {
        directory: tempfile::TempDir,
        multipass: Multipass,
    }

    impl Host {
        fn with(vms: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
            let multipass = scripted(directory.path(), SCRIPT);
            for vm in vms {
                let vms = directory.path().join("vms");
                let _ = fs::create_dir_all(&vms).and_then(|()| fs::write(vms.join(vm), ""));
            }
            Self { directory, multipass }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn asked(&self) -> Vec<String> {
            let asked = fs::read_to_string(self.path("asked")).unwrap_or_default();
            asked.lines().map(str::to_owned).collect()
        }

        fn note(&self, directory: &str, name: &str, launched: bool, labels: &[(&str, &str)]) {
            let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
            let program = self.multipass.program().to_owned();
            let note = Note { name: name.to_owned(), program, labels, launched, warm: None };
            let notes = Notes { of_run: self.path(directory), of_user: None };
            notes.write(&note).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[tokio::test]
    async fn a_run_takes_its_own_vms_with_it_each_by_its_name() {
        let host = Host::with(&["k3s-arc-1-a", "k3s-arc-2-b", "primary"]);
        host.note("run/multipass", "k3s-arc-1-a", true, &[]);
        host.note("run/multipass", "k3s-arc-1-gone", true, &[]);
        assert!(has_vms(&host.path("run")) && !has_vms(&host.path("elsewhere")));
        let removed = remove_run(&host.path("run"), false).await.unwrap();
        assert_eq!(removed, [Removed::Machine("k3s-arc-1-a".to_owned())]);
        let mut asked = host.asked();
        asked.sort();
        assert_eq!(asked, ["delete --purge k3s-arc-1-a", "delete --purge k3s-arc-1-gone"]);
        assert!(host.path("vms/k3s-arc-2-b").exists() && host.path("vms/primary").exists());
        assert!(!has_vms(&host.path("run")), "nothing is left to remove");
    }

    #[tokio::test]
    async fn a_vm_that_comes_after_its_asker_was_killed_is_removed_too() {
        let host = Host::with(&["other"]);
        host.note("run/multipass", "late", false, &[]);
        let run = host.path("run");
        let (removed, ()) = tokio::join!(remove_run(&run, true), async {
            while host.asked().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
            fs::write(host.path("vms/late"), "").unwrap();
        });
        assert_eq!(removed.unwrap(), [Removed::Machine("late".to_owned())]);
    }

    #[tokio::test]
    async fn a_removal_that_is_refused_is_told_and_not_forgotten() {
        let host = Host::with(&[]);
        host.note("run/multipass", "vm", true, &[]);
        scripted(host.directory.path(), "echo 'delete failed: cannot connect to the multipass socket' >&2; exit 2");
        assert!(matches!(remove_run(&host.path("run"), false).await.unwrap_err(), MultipassError::NoDaemon { .. }));
        assert!(has_vms(&host.path("run")));
    }

    #[tokio::test]
    async fn only_what_nobody_knows_any_more_is_swept() {
        let host = Host::with(&["orphan", "kept", "active", "elsewhere"]);
        let this = Process::current();
        let (lives, lived) = (this.label(), Process { started: 1, ..this }.label());
        let (there, gone) = (host.path("vms").display().to_string(), host.path("gone").display().to_string());
        let labels = |host, directory, owner| [(HOST_LABEL, host), (DIRECTORY_LABEL, directory), (OWNER_LABEL, owner)];
        host.note("user", "orphan", true, &labels("here", &gone, &lived));
        host.note("user", "late", false, &labels("here", &gone, &lived));
        host.note("user", "kept", true, &labels("here", &there, &lived));
        host.note("user", "active", true, &labels("here", &gone, &lives));
        host.note("user", "elsewhere", true, &labels("there", &gone, &lived));
        let removed = sweep(&host.path("user"), "here").await.unwrap();
        assert_eq!(removed, [Removed::Machine("orphan".to_owned())]);
        let mut left: Vec<String> = read(&host.path("user")).into_iter().map(|(_, note)| note.name).collect();
        left.sort();
        assert_eq!(left, ["active", "elsewhere", "kept", "late"], "one that was launched a moment ago may come yet");
    }
}
