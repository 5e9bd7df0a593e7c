//! However a test ends, what it made is removed: in a plain test binary, as a user of the library has one.

#![cfg(target_os = "linux")] // What is left running is looked for in /proc.
#![allow(clippy::unwrap_used)] // Helpers of tests, like tests, say what went wrong by panicking.

use std::{
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use k3s_arc_harness::{
    check::Access,
    config::Config,
    fixture::{Fixture, Target},
};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How the test below is to end; without it, it is nobody's turn.
const END: &str = "ENDS_TEST_END";
/// Says that the test has its cluster.
const READY: &str = "ready";
/// Within this, everything is gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Not a test of its own: what the tests below start, to see it end. On its own it has nothing to do.
#[test]
fn one_that_ends() {
    let Ok(end) = std::env::var(END) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _fixture = runtime.block_on(async {
        let config: Config = Target::Emulator.config().unwrap();
        Fixture::new(config, Access::Shared).await.unwrap()
    });
    fs::write(Path::new(&std::env::var("K3S_ARC_RUN_DIR").unwrap()).with_file_name(READY), "").unwrap();
    match end.as_str() {
        "panic" => panic!("as asked"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        "overflow" => assert_ne!(overflow(1), 0),
        // It is killed.
        _ => std::thread::sleep(Duration::from_secs(60)),
    }
}

#[expect(unconditional_recursion, reason = "its stack is to overflow")]
fn overflow(depth: u64) -> u64 {
    let page = [depth; 512];
    overflow(depth + 1) + std::hint::black_box(page)[0]
}

fn start(end: &str, runs: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_that_ends", "--nocapture"])
        .env(END, end)
        .env("K3S_ARC_RUN_DIR", runs)
        .env_remove("NEXTEST")
        .env_remove("NEXTEST_RUN_ID")
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that were started for these runs and still are there.
fn processes(runs: &Path) -> Vec<u32> {
    let mark = format!("K3S_ARC_RUN_DIR={}", runs.display());
    let of = |entry: fs::DirEntry| {
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        entry.file_name().to_str()?.parse().ok().filter(|_| marked)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// Runs the test to its end, by itself or by `kill`, and sees to it that nothing is left.
fn ends(end: &str, kill: impl Fn(Pid)) -> ExitStatus {
    let parent = tempfile::tempdir().unwrap();
    let runs = parent.path().join("runs");
    let mut child = start(end, &runs);
    until("the test has its cluster", Duration::from_secs(60), || {
        parent.path().join(READY).exists() || child.try_wait().unwrap().is_some()
    });
    kill(Pid::from_child(&child));
    let status = child.wait().unwrap();
    assert!(parent.path().join(READY).exists(), "it ended before it had a cluster: {status}");
    until("its files are removed", GONE_WITHIN, || !runs.exists());
    until("its processes end", GONE_WITHIN, || processes(&runs).is_empty());
    status
}

#[rstest]
#[case("panic", Some(101), None)]
#[case("exit", Some(7), None)]
#[case("abort", None, Some(Signal::ABORT))]
#[case("overflow", None, Some(Signal::ABORT))]
fn by_itself(#[case] end: &str, #[case] code: Option<i32>, #[case] signal: Option<Signal>) {
    let status = ends(end, |_| ());
    assert_eq!((status.code(), status.signal()), (code, signal.map(Signal::as_raw)));
}

/// A closed terminal and Ctrl-C are tried with the program, in `tests/e2e/killed.rs`: whoever started this in the background may have had
/// their signals ignored.
#[rstest]
#[case::timeout(Signal::TERM)]
#[case::kill(Signal::KILL)]
fn by_a_signal(#[case] signal: Signal) {
    let status = ends("sleep", |pid| kill_process(pid, signal).unwrap());
    assert_eq!(status.signal(), Some(signal.as_raw()));
}

#[test]
fn with_its_process_group() {
    let status = ends("sleep", |pid| kill_process_group(pid, Signal::KILL).unwrap());
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
}

/// nextest killed, and its tests not: they would go on, and go on making things.
#[test]
fn with_a_killed_runner_that_it_outlives() {
    let parent = tempfile::tempdir().unwrap();
    let runs = parent.path().join("runs");
    let runner = parent.path().join("nextest");
    fs::copy("/bin/sh", &runner).unwrap();
    let test = format!("'{}' --exact one_that_ends --nocapture; true", std::env::current_exe().unwrap().display());
    let mut runner = Command::new(&runner)
        .args(["-c", &test])
        .envs([(END, "sleep"), ("NEXTEST_RUN_ID", "0f0f0f0f-1111-2222-3333-444444444444")])
        .env("K3S_ARC_RUN_DIR", &runs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the test has its cluster", Duration::from_secs(60), || parent.path().join(READY).exists());
    runner.kill().unwrap();
    runner.wait().unwrap();
    until("its processes end", GONE_WITHIN, || processes(&runs).is_empty());
    until("its files are removed", GONE_WITHIN, || !runs.exists());
}

/// The reaper killed too: what both left is the next run's to sweep.
#[test]
fn with_its_reaper() {
    let parent = tempfile::tempdir().unwrap();
    let runs = parent.path().join("runs");
    let mut child = start("sleep", &runs);
    until("the test has its cluster", Duration::from_secs(60), || parent.path().join(READY).exists());
    let of_test = Pid::from_child(&child);
    for process in processes(&runs).into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        if process != of_test {
            kill_process(process, Signal::KILL).unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = fs::read_dir(&runs).unwrap().flatten().next().unwrap().path();

    let mut next = start("exit", &runs);
    next.wait().unwrap();
    until("the next run sweeps what the first one left", GONE_WITHIN, || !left.exists());
    until("and leaves nothing itself", GONE_WITHIN, || !runs.exists());
}
