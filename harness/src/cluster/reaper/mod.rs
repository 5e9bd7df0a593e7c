//! The reaper: a small process that outlives a run and removes what the run made.
//!
//! Under nextest no test knows that it is the last, and nothing runs after it. So the first process of a run
//! starts this program once more, in a session of its own, where it waits (without polling) for the end of
//! the run's root process, ends what the run left running, and then removes everything that carries the run's label, and
//! the run's directory.
//!
//! Any program that links this library can be the reaper, a plain test binary too: it takes over before `main` does.

mod clean;
mod expiry;
mod found;

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

pub(super) use self::{clean::clean, expiry::Expiry, found::runs};
pub use self::{
    clean::{CleanError, Removed, remove_orphans},
    found::{Found, Unused, find},
};
use super::{docker, lock, multipass, private_directory, process::Process, run::Record};
use crate::config::Keep;

/// The variable that makes a process the reaper of the run in the directory that it names.
const VARIABLE: &str = "K3S_ARC_REAPER";
/// What it is called in a list of processes.
const NAME: &str = "k3s-arc-reaper";
/// Held for as long as the reaper lives.
pub(super) const LOCK: &str = "reaper.lock";
/// The reaper, as others know it.
const PROCESS: &str = "reaper.json";
/// The run as the reaper must know it.
pub(super) const RECORD: &str = "run.json";
/// There if something failed in the run.
pub(super) const FAILED: &str = "failed";
/// What the reaper could not do, for whoever looks.
const LOG: &str = "reaper.log";
/// There once a cluster was asked for.
pub(super) const CLUSTERS: &str = "clusters";
/// The processes of the run, one file each.
pub(super) const MEMBERS: &str = "members";
/// Shared by whoever uses a cluster of the run: while they do, it is not removed for its age.
pub(super) const USERS: &str = "users.lock";

/// Between two looks at a root that cannot be waited for.
const LOOK: Duration = Duration::from_secs(1);

/// How long processes of the run that outlived its root may take to end when asked to.
const GRACE: Duration = Duration::from_secs(1);
/// An engine goes on making what somebody asked for who was killed meanwhile: so it is looked at again, this long after.
const LATER: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(2)];
/// How long the reaper tries to remove what it cannot: while the engine restarts, say. Then it is the next run's to sweep.
const PATIENCE: Duration = Duration::from_secs(600);

// SAFETY: before `main` the standard library has run its own constructors on the platforms this builds for (Linux, macOS), and
// its environment, files, threads and processes work there; standard streams and SIGPIPE are as the parent left them, which `reap` sees to. In
// every process but the one that `start` makes, this reads one variable and returns.
#[ctor::ctor(unsafe)]
fn take_over() {
    if let Some(directory) = std::env::var_os(VARIABLE) {
        let directory = PathBuf::from(directory);
        let reaped = reap(&directory);
        if let Err(error) = &reaped {
            // Nobody reads this process's output; if the log cannot be written either, there is nowhere left to tell it.
            let _ = fs::write(directory.join(LOG), format!("{}\n", crate::chain(&**error)));
        }
        std::process::exit(i32::from(reaped.is_err()));
    }
}

/// Starts the reaper of a run, which makes the run's directory, and returns once it watches.
pub(super) fn start(directory: &Path, record: &Record) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let mut reaper = Command::new(this_program()?)
        .arg0(NAME)
        .env(VARIABLE, directory)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut input) = reaper.stdin.take() {
        input.write_all(&serde_json::to_vec(record)?)?;
    }
    let mut answer = String::new();
    if let Some(output) = reaper.stdout.take() {
        BufReader::new(output).read_line(&mut answer)?;
    }
    match answer.trim_end() {
        READY => Ok(()),
        other => Err(io::Error::other(format!("it was to say `{READY}`, and said `{other}`"))),
    }
}

/// Linux finds a program by this even when its file was replaced since, by a build say.
fn this_program() -> io::Result<OsString> {
    let by_kernel = OsStr::new("/proc/self/exe");
    if Path::new(by_kernel).exists() { Ok(by_kernel.into()) } else { std::env::current_exe().map(Into::into) }
}

const READY: &str = "watching";

fn reap(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // A closed terminal, a Ctrl-C, and nextest's signals to a test's process group are not meant for it.
    rustix::process::setsid()?;
    let mut record = Vec::new();
    io::stdin().read_to_end(&mut record)?;
    // Whoever started it was killed before he had said what for.
    let Ok(record) = serde_json::from_slice::<Record>(&record) else { return Ok(()) };
    // The last run to go takes the directory of all along, at this moment maybe.
    let made = directory.parent().map_or(Ok(()), private_directory).and_then(|()| private_directory(directory));
    if let Err(refused) = made {
        let _ = writeln!(io::stdout(), "{}", crate::chain(&refused));
        return Ok(());
    }
    // Another reaper of the same run does the work already.
    let Some(_alive) = lock::try_exclusive(&directory.join(LOCK))? else { return Ok(()) };
    fs::write(directory.join(RECORD), serde_json::to_vec(&record)?)?;
    fs::write(directory.join(PROCESS), serde_json::to_vec(&Process::current())?)?;
    let root = record.root.runs().then(|| waitpid_any::WaitHandle::open(record.root.pid as _)).transpose();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A reader that went away must not end it: whoever started it may be dead already.
    let _handled = runtime.block_on(async { signal(SignalKind::pipe()) })?;
    let _ = writeln!(io::stdout(), "{READY}");
    let cleaned = async {
        if let Ok(Some(mut root)) = root {
            tokio::task::spawn_blocking(move || root.wait()).await??;
        }
        // One that is gone already cannot be waited for, nor can any where the system does not offer it.
        while record.root.runs() {
            tokio::time::sleep(LOOK).await;
        }
        if !directory.join(RECORD).exists() {
            // The run ended in order and cleaned up after itself.
            return Ok(());
        }
        end_members(directory).await;
        let _unused = match is_to_go(directory, record.keep) {
            true => None,
            false => Some(Expiry::of(directory, &record).reached().await?),
        };
        clean_for_good(directory, &record.id, PATIENCE).await?;
        Ok(())
    };
    // An engine that an earlier run used may be far away, or gone: that does not hold up what is to be done for this one.
    runtime.block_on(async { futures::join!(cleaned, sweep(directory.parent())).0 })
}

/// Ends the processes of the run that outlived its root (nextest was killed, and its tests were not): they would go on making things.
async fn end_members(directory: &Path) {
    let members = fs::read_dir(directory.join(MEMBERS)).into_iter().flatten().flatten();
    let members: Vec<Process> =
        members.filter_map(|member| serde_json::from_slice(&fs::read(member.path()).ok()?).ok()).collect();
    for member in &members {
        member.terminate();
    }
    let ended = async {
        while members.iter().any(|member| member.runs()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        for member in members {
            member.kill();
        }
    }
}

/// Removes everything, and what an engine still had in the making when its asker was killed; tries again for as long as `patience`.
async fn clean_for_good(directory: &Path, run: &str, patience: Duration) -> Result<Vec<Removed>, CleanError> {
    let mut removed = Vec::new();
    if docker::is_marked(directory) {
        let ends = Instant::now() + patience;
        for later in LATER {
            let gone = persist(ends, async || docker::remove_run(directory, run).await).await;
            removed.append(&mut gone.map_err(|source| CleanError::Docker { run: run.to_owned(), source })?);
            tokio::time::sleep(later).await;
        }
    }
    if multipass::has_vms(directory) {
        let gone = persist(Instant::now() + patience, async || multipass::remove_run(directory, true).await).await;
        removed.append(&mut gone.map_err(|source| CleanError::Multipass { run: run.to_owned(), source })?);
    }
    removed.append(&mut persist(Instant::now() + patience, async || clean(directory, run).await).await?);
    Ok(removed)
}

/// Tries until it works, ever less often; what came back last, once it is over.
async fn persist<T, E>(ends: Instant, attempt: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    let mut pause = Duration::from_secs(1);
    loop {
        match attempt().await {
            Err(_) if Instant::now() < ends => tokio::time::sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

/// Whether a run's clusters go with it. A run that made none leaves nothing worth keeping.
pub(super) fn is_to_go(directory: &Path, keep: Keep) -> bool {
    let keeps = match keep {
        Keep::Never => false,
        Keep::Failed => directory.join(FAILED).exists(),
        Keep::Always => true,
    };
    !keeps || found::clusters(directory).is_empty()
}

/// Removes what runs left whose root and reaper are both gone: a reaper that was killed, or a host that went down.
async fn sweep(base: Option<&Path>) {
    for (directory, record) in base.map(runs).unwrap_or_default() {
        let Some(_left) = left(&directory, &record) else { continue };
        end_members(&directory).await;
        if let Some(_unused) = due(&directory, &record) {
            // What cannot be removed now is the next sweep's.
            let _ = clean(&directory, &record.id).await;
        }
    }
}

/// Holds a run that has neither a root nor a reaper any more.
fn left(directory: &Path, record: &Record) -> Option<lock::Held> {
    // First of all: a reaper that starts now must not find its place taken, not for a moment.
    if record.root.runs() {
        return None;
    }
    lock::try_exclusive(&directory.join(LOCK)).ok().flatten()
}

/// If a run is to be removed: what keeps others from using it meanwhile, where they could.
fn due(directory: &Path, record: &Record) -> Option<Option<lock::Held>> {
    if is_to_go(directory, record.keep) { Some(None) } else { Expiry::of(directory, record).past().map(Some) }
}

/// Holds a run that nobody will remove, though it should be.
fn abandoned(directory: &Path, record: &Record) -> Option<(lock::Held, Option<lock::Held>)> {
    left(directory, record).zip(due(directory, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterRecord;

    #[test]
    fn what_failed_is_kept_only_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let to_go = |keep| is_to_go(directory.path(), keep);
        assert!(to_go(Keep::Always), "there is no cluster");
        let cluster = directory.path().join(CLUSTERS).join("one");
        fs::create_dir_all(&cluster).unwrap();
        fs::write(cluster.join(ClusterRecord::FILE), serde_json::to_vec(&ClusterRecord::default()).unwrap()).unwrap();
        assert!(to_go(Keep::Never) && to_go(Keep::Failed) && !to_go(Keep::Always));
        fs::write(directory.path().join(FAILED), "").unwrap();
        assert!(to_go(Keep::Never) && !to_go(Keep::Failed) && !to_go(Keep::Always));
    }

    #[tokio::test]
    async fn a_process_that_outlives_its_run_is_ended_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let members = directory.path().join(MEMBERS);
        fs::create_dir(&members).unwrap();
        let start = || Command::new("sleep").arg("60").spawn().unwrap();
        let (mut member, mut other) = (start(), start());
        let process = Process::of(member.id()).unwrap();
        fs::write(members.join(process.to_string()), serde_json::to_vec(&process).unwrap()).unwrap();
        // Its number, but not its start: another process has got it since.
        let reused = Process { started: 1, ..Process::of(other.id()).unwrap() };
        fs::write(members.join(reused.to_string()), serde_json::to_vec(&reused).unwrap()).unwrap();

        end_members(directory.path()).await;
        assert!(!member.wait().unwrap().success());
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
