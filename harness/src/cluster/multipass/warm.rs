//! The warm cache of VMs: one whose K3s has served is stopped and snapshotted, and later boots of an equal key restore it.
//!
//! A snapshot is of one VM and restored in it alone, so that the VM itself is what is kept: off while nobody uses it, in one run's hands at a
//! time. What a run leaves in it is of no account, since each boot begins by restoring the snapshot, and is proven as any other. A VM
//! that is half-made, cannot be restored, or does not serve then, is discarded, told of, and made anew.
//!
//! It has a name of its own, and a file in the user's state directory that says what it is and who uses it. Snapshots came with Multipass 1.13,
//! and not with every driver: <https://canonical.com/multipass/docs/stable/explanation/snapshot/>. Without them nothing is kept.

use std::{
    fs, io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::{
    MultipassError, Shape,
    command::{Input, Multipass},
    launch, remove,
};
use crate::{
    cluster::{Cached, CachedState, Cleared, ClusterSpec, Run, lock, process, run::write_private},
    digest,
};

/// The layout of an entry's file, and of what is in its VM.
const FORMAT: u32 = 1;
/// How many are kept; a VM takes some gigabytes.
const KEPT: usize = 2;
/// What its snapshot is called.
const SNAPSHOT: &str = "warm";

/// A VM that is kept, or is to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Entry {
    format: u32,
    key: String,
    pub(super) vm: String,
    /// The `multipass` that launched it.
    program: PathBuf,
    k3s: String,
    command: String,
    /// Whether its snapshot has been taken.
    whole: bool,
    /// The directory of the run that uses it; while that is there, nobody else does.
    user: Option<PathBuf>,
    /// Seconds since 1970, as all times here.
    made: u64,
    used: Option<u64>,
}

/// What boots of a spec depend on.
#[derive(Serialize)]
struct Parts<'a> {
    format: u32,
    k3s: String,
    command: Vec<String>,
    /// Its tag is its content.
    standin: &'a str,
    cpus: u32,
    memory: u64,
    disk: u64,
    release: &'a str,
}

/// What a run gets of the cache.
#[derive(Debug)]
pub(super) enum Claim {
    /// A VM to restore.
    Warm(Entry),
    /// Nothing so far: the VM that it makes is to be kept.
    Empty(Entry),
    /// Nothing, since another run uses it, or nothing can be kept.
    None,
}

/// Where a user's entries are.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// This user's; nothing, if he has no home.
    pub(super) fn of_user() -> Option<Self> {
        Some(Self { directory: remove::state()?.join("vms") })
    }

    fn file(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.json"))
    }

    fn read(&self, key: &str) -> Option<Entry> {
        serde_json::from_slice(&fs::read(self.file(key)).ok()?).ok()
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        write_private(&self.file(&entry.key), &serde_json::to_vec(entry)?)
    }

    fn entries(&self) -> Vec<Entry> {
        let files = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let keys = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        keys.filter_map(|key| self.read(&key)).collect()
    }

    /// Held while entries change hands.
    async fn lock(&self) -> io::Result<lock::Held> {
        fs::create_dir_all(&self.directory)?;
        lock::exclusive(&self.directory.join("lock"), "another run looks into the cache of VMs").await
    }

    /// Takes a spec's VM for a run. A half-made one goes.
    pub(super) async fn claim(
        &self,
        multipass: &Multipass,
        run: &Run,
        spec: &ClusterSpec,
        shape: &Shape,
        standin: &str,
    ) -> Result<Claim, MultipassError> {
        // What is imported from files of the user's, or from an engine, may be another thing tomorrow.
        if spec.engine_images().next().is_some() || spec.image_archives().next().is_some() {
            return Ok(Claim::None);
        }
        let entry = Entry::new(multipass, run, spec, shape, standin);
        let unusable = |source| MultipassError::Note { path: self.directory.clone(), source };
        let _held = self.lock().await.map_err(unusable)?;
        let found = self.read(&entry.key);
        match found {
            Some(found) if found.is_in_use() => return Ok(Claim::None),
            Some(found) if found.whole && found.format == FORMAT => {
                let found = Entry { user: entry.user, used: Some(now()), ..found };
                self.write(&found).map_err(unusable)?;
                return Ok(Claim::Warm(found));
            }
            Some(found) => drop(remove::purge(multipass, &found.vm).await?),
            // Not one that this user's files tell of, so not this user's to remove.
            None if launch::all_names(multipass).await?.contains(&entry.vm) => return Ok(Claim::None),
            None => {}
        }
        self.write(&entry).map_err(unusable)?;
        Ok(Claim::Empty(entry))
    }

    /// Takes the snapshot of a VM that has served, for which it is stopped; and lets the least used go of those that are too many.
    pub(super) async fn fill(&self, multipass: &Multipass, entry: &Entry) -> Result<(), MultipassError> {
        stop(multipass, &entry.vm).await?;
        let arguments = ["snapshot", &entry.vm, "--name", SNAPSHOT];
        let taken = multipass.run(&arguments, Input::Nothing, launch::CHANGE).await;
        taken.map_err(|source| MultipassError::of(format!("take a snapshot of the VM {}", entry.vm), source))?;
        let unusable = |source| MultipassError::Note { path: self.directory.clone(), source };
        let _held = self.lock().await.map_err(unusable)?;
        self.write(&Entry { whole: true, ..entry.clone() }).map_err(unusable)?;
        for surplus in surplus(self.entries()) {
            tracing::info!("the VM {} goes from the cache, which keeps {KEPT}", surplus.vm);
            self.discard(&surplus).await?;
        }
        Ok(())
    }

    /// Gives a VM back: off, if it is whole; else it goes. Whether it went; nothing, where none is known by this key.
    pub(super) async fn release(&self, multipass: &Multipass, key: &str) -> Result<Option<bool>, MultipassError> {
        let unusable = |source| MultipassError::Note { path: self.directory.clone(), source };
        let _held = self.lock().await.map_err(unusable)?;
        let Some(entry) = self.read(key) else { return Ok(None) };
        // What is lost without being shut down is what the next boot throws away.
        if entry.whole && stop(multipass, &entry.vm).await.is_ok() {
            self.write(&Entry { user: None, ..entry }).map_err(unusable)?;
            return Ok(Some(false));
        }
        self.discard(&entry).await?;
        Ok(Some(true))
    }

    /// Removes an entry, and its VM. Whether there was one.
    pub(super) async fn discard(&self, entry: &Entry) -> Result<bool, MultipassError> {
        let multipass = if entry.program.is_file() { Some(Multipass::at(&entry.program)) } else { Multipass::find() };
        let was_there = remove::purge(&multipass.ok_or(MultipassError::NotInstalled)?, &entry.vm).await?;
        let _ = fs::remove_file(self.file(&entry.key));
        Ok(was_there)
    }
}

impl Entry {
    fn new(multipass: &Multipass, run: &Run, spec: &ClusterSpec, shape: &Shape, standin: &str) -> Self {
        let command = spec.command();
        let (k3s, release) = (spec.k3s().to_string(), shape.release.as_str());
        let (memory, disk) = (shape.memory.bytes(), shape.disk.bytes());
        let parts = Parts { format: FORMAT, k3s, command, standin, cpus: shape.cpus, memory, disk, release };
        // Plain data, so that serialising it cannot fail.
        let key = digest::short(&serde_json::to_vec(&parts).unwrap_or_default());
        Self {
            format: FORMAT,
            // VMs are of the whole host, and files of one user.
            vm: format!("k3s-arc-warm-{}-{key}", process::user()),
            program: multipass.program().to_owned(),
            k3s: parts.k3s,
            command: parts.command.join(" "),
            whole: false,
            user: Some(run.directory().to_owned()),
            made: now(),
            used: None,
            key,
        }
    }

    /// What it is found by.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn is_in_use(&self) -> bool {
        self.user.as_ref().is_some_and(|directory| directory.exists())
    }

    /// Puts the VM back to its snapshot, and starts it.
    pub(super) async fn restore(&self, multipass: &Multipass) -> Result<(), MultipassError> {
        stop(multipass, &self.vm).await?;
        let snapshot = format!("{}.{SNAPSHOT}", self.vm);
        let restored = multipass.run(&["restore", "--destructive", &snapshot], Input::Nothing, launch::CHANGE).await;
        restored.map_err(|source| MultipassError::of(format!("restore {snapshot}"), source))?;
        launch::start(multipass, &self.vm).await
    }
}

/// Stops a VM; one that is off is as it should be.
async fn stop(multipass: &Multipass, vm: &str) -> Result<(), MultipassError> {
    let stopped = multipass.run(&["stop", vm], Input::Nothing, launch::CHANGE).await;
    stopped.map(drop).map_err(|source| MultipassError::of(format!("stop the VM {vm}"), source))
}

/// Those that are too many, of which the ones in use stay.
fn surplus(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| entry.whole);
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.used.unwrap_or_default().max(entry.made)));
    entries.into_iter().skip(KEPT).filter(|entry| !entry.is_in_use()).collect()
}

/// The VMs that are kept, the newest first.
pub fn list() -> Vec<Cached> {
    let mut entries = Cache::of_user().map(|cache| cache.entries()).unwrap_or_default();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.made));
    entries.iter().map(told).collect()
}

fn told(entry: &Entry) -> Cached {
    let state = match entry {
        Entry { format, .. } if *format != FORMAT => CachedState::OtherFormat,
        Entry { whole: true, .. } => CachedState::Whole,
        _ if entry.is_in_use() => CachedState::BeingFilled,
        _ => CachedState::HalfWritten,
    };
    Cached {
        key: entry.key.clone(),
        volume: entry.vm.clone(),
        k3s: entry.k3s.clone(),
        command: entry.command.clone(),
        state,
        in_use: entry.is_in_use(),
        bytes: None,
        made: entry.made,
        used: entry.used,
    }
}

/// Removes the VMs of these keys, or all that are kept; those that a run uses stay.
///
/// # Errors
/// [`MultipassError`].
pub async fn clear(keys: Option<&[String]>) -> Result<Vec<Cleared>, MultipassError> {
    let Some(cache) = Cache::of_user() else { return Ok(Vec::new()) };
    let mut cleared = Vec::new();
    if cache.entries().is_empty() {
        return Ok(cleared);
    }
    let _held = cache.lock().await.map_err(|source| MultipassError::Note { path: cache.directory.clone(), source })?;
    for entry in cache.entries().into_iter().filter(|entry| keys.is_none_or(|keys| keys.contains(&entry.key))) {
        let removed = !entry.is_in_use();
        if removed {
            cache.discard(&entry).await?;
        }
        cleared.push(Cleared { key: entry.key, volume: entry.vm, removed });
    }
    Ok(cleared)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::command::tests::scripted, *};

    /// A `multipass` that notes what it is asked.
    const SCRIPT: &str = r#"echo "$@" >>"$(dirname "$0")/asked""#;

    fn entry(directory: &Path, key: &str, whole: bool, used: u64) -> Entry {
        Entry {
            format: FORMAT,
            key: key.to_owned(),
            vm: format!("k3s-arc-warm-0-{key}"),
            program: directory.join("multipass"),
            k3s: "rancher/k3s:v1.34.1-k3s1".to_owned(),
            command: "server".to_owned(),
            whole,
            user: None,
            made: 1,
            used: Some(used),
        }
    }

    fn asked(directory: &Path) -> Vec<String> {
        let asked = fs::read_to_string(directory.join("asked")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn one_that_is_whole_is_given_back_off_and_one_that_is_not_goes() {
        let directory = tempfile::tempdir().unwrap();
        let multipass = scripted(directory.path(), SCRIPT);
        let cache = Cache { directory: directory.path().join("vms") };
        fs::create_dir(&cache.directory).unwrap();
        let mut whole = entry(directory.path(), "a", true, 5);
        whole.user = Some(directory.path().to_owned());
        cache.write(&whole).unwrap();
        cache.write(&entry(directory.path(), "b", false, 5)).unwrap();

        assert_eq!(cache.release(&multipass, "a").await.unwrap(), Some(false));
        assert_eq!(cache.release(&multipass, "b").await.unwrap(), Some(true));
        assert_eq!(cache.release(&multipass, "c").await.unwrap(), None, "there is none");
        assert_eq!(asked(directory.path()), ["stop k3s-arc-warm-0-a", "delete --purge k3s-arc-warm-0-b"]);
        assert_eq!(cache.read("a").unwrap().user, None);
        assert_eq!(cache.read("b"), None);
    }

    #[tokio::test]
    async fn a_boot_begins_with_the_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        let multipass = scripted(directory.path(), SCRIPT);
        entry(directory.path(), "a", true, 5).restore(&multipass).await.unwrap();
        let asked = asked(directory.path());
        assert_eq!(asked[..2], ["stop k3s-arc-warm-0-a", "restore --destructive k3s-arc-warm-0-a.warm"]);
        assert!(asked[2].starts_with("start k3s-arc-warm-0-a"), "{}", asked[2]);
    }

    #[test]
    fn the_least_used_goes_unless_it_is_in_use() {
        let here = tempfile::tempdir().unwrap();
        let mut used = entry(here.path(), "used", true, 1);
        used.user = Some(here.path().to_owned());
        let others = [("old", 2), ("new", 9), ("newer", 10)].map(|(key, used)| entry(here.path(), key, true, used));
        let half = entry(here.path(), "half", false, 0);
        let gone = surplus(others.into_iter().chain([used, half]).collect());
        assert_eq!(gone.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["old"]);
    }

    #[test]
    fn an_entry_is_told_by_what_it_is() {
        let here = tempfile::tempdir().unwrap();
        let half = entry(here.path(), "a", false, 5);
        assert_eq!(told(&half).state, CachedState::HalfWritten);
        assert_eq!(told(&Entry { user: Some(here.path().to_owned()), ..half.clone() }).state, CachedState::BeingFilled);
        assert_eq!(told(&Entry { format: 0, ..half.clone() }).state, CachedState::OtherFormat);
        let whole = told(&Entry { whole: true, ..half });
        assert_eq!((whole.state, whole.in_use, whole.volume.as_str()), (CachedState::Whole, false, "k3s-arc-warm-0-a"));
    }
}
