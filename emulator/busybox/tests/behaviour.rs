//! What no recording tells: what reaches a container's first process, how commands end, and that they stay inside.

mod support;

use std::time::Duration;

use k3s_arc_container::{INTERRUPT, Input, KILL, Memory, Output, TERMINATE};
use rstest::rstest;
use support::{Made, Must, PATIENCE, Running, container, text};

fn roomy() -> Made {
    container(Memory::unlimited())
}

async fn ended(running: Running) -> i32 {
    tokio::time::timeout(PATIENCE, running.task).await.must("no end").must("no panic")
}

/// Waits until it has printed this.
async fn printed(running: &Running, expected: &str) {
    let waiting = async {
        while !text(&running.stdout).contains(expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "only: {:?}", text(&running.stdout));
}

#[tokio::test]
async fn the_first_process_hears_what_it_traps() {
    let made = roomy();
    let running =
        made.start(&["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"], Input::empty());
    printed(&running, "up").await;
    running.killer.send(TERMINATE);
    let out = running.stdout.clone();
    assert_eq!(ended(running).await, 3);
    assert_eq!(text(&out), "up\nbye\n");
}

#[tokio::test]
async fn the_first_process_does_not_hear_what_it_does_not_trap() {
    let made = roomy();
    let mut running = made.start(&["sh", "-c", "trap : USR1; echo up; /bin/sleep 1000"], Input::empty());
    printed(&running, "up").await;
    running.killer.send(TERMINATE);
    running.killer.send(INTERRUPT);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut running.task).await.is_err());
    running.task.abort();
    assert!(running.task.await.expect_err("aborted").is_cancelled());
}

#[rstest]
#[case("trap 'echo got' TERM; echo up; /bin/sleep 1000 & wait; echo waited $?")]
#[case("trap 'echo got' TERM; echo up; sleep 1000; echo waited 143")]
#[tokio::test]
async fn a_trapped_signal_ends_waiting(#[case] script: &str) {
    let made = roomy();
    let running = made.start(&["sh", "-c", script], Input::empty());
    printed(&running, "up").await;
    running.killer.send(TERMINATE);
    printed(&running, "got\nwaited 143").await;
    assert_eq!(ended(running).await, 0);
}

#[tokio::test]
async fn the_others_end_with_the_first_process() {
    let made = roomy();
    let init = made.start(&["sh", "-c", "echo up; read x"], Input::new(Pending));
    printed(&init, "up").await;
    let other = made.start(&["sh", "-c", "trap '' TERM; echo up; sleep 1000"], Input::empty());
    printed(&other, "up").await;
    init.task.abort();
    assert_eq!(ended(other).await, 128 + KILL);
}

#[tokio::test]
async fn what_is_started_in_the_background_outlives_its_shell_but_not_the_container() {
    let made = roomy();
    let init = made.start(&["sleep", "1000"], Input::empty());
    let ran = made.sh("(sleep 0.1; echo late > /tmp/f; sleep 1000) & echo $!").await;
    assert_eq!(ran.code, 0);
    let pid: u32 = ran.stdout.trim().parse().must("a number");
    let waited = made.sh("while [ ! -s f ]; do sleep 0.01; done; cat f").await;
    assert_eq!(waited.stdout, "late\n");
    assert!(made.container.processes.kill(pid, 0));
    init.task.abort();
    let gone = async {
        while made.container.processes.kill(pid, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.must("it is still there");
}

#[rstest]
#[case("while true; do :; done")]
#[case("yes > /dev/null")]
#[case("cat /dev/zero > /dev/null")]
#[case("yes | cat > /dev/null")]
#[case("until false; do x=$((x+1)); done")]
#[case("f() { f; }; while :; do f & wait; done")]
#[case("tail -c 5 /dev/zero")]
#[case("wc -c /dev/zero")]
#[case("md5sum /dev/zero")]
#[case("dd if=/dev/zero of=/dev/null bs=1k")]
#[case("seq 1 1000000000000 > /dev/null")]
#[case("find / -name x; while find /proc >/dev/null; do :; done")]
#[case("for i in 1; do while read x; do :; done < /dev/zero; done")]
#[tokio::test(flavor = "current_thread")]
async fn a_loop_lets_others_run_and_can_be_killed(#[case] script: &str) {
    let made = roomy();
    let mut running = made.start(&["sh", "-c", script], Input::empty());
    // With one thread, this passes only if the loop lets it.
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut running.task).await.is_err());
    running.task.abort();
    assert!(running.task.await.expect_err("aborted").is_cancelled());
}

#[rstest]
#[case("tail /dev/zero")]
#[case("head -c 20m /dev/zero | tail")]
#[case("yes | tr -d '\\n' | tail -n 1")]
#[case("sort /dev/zero")]
#[case("yes | tr -d '\\n' | read x")]
#[case("yes $(head -c 900 /dev/zero | tr '\\0' a)'\\' | read x")]
#[case("head -c 2000000 /dev/zero | tr '\\0' x | while read x; do :; done")]
#[case("x=$(cat /dev/zero)")]
#[case("x=a; while :; do x=$x$x; done")]
#[case("dd if=/dev/zero of=/dev/null bs=100M count=1")]
#[case("x=$(head -c 4000000 /dev/zero | tr '\\0' x); y=$x; z=$x; a=$x$y$z; echo not reached")]
#[tokio::test]
async fn who_holds_too_much_uses_up_the_memory(#[case] script: &str) {
    let made = container(Memory::limited(8 << 20));
    let running = made.start(&["sh", "-c", script], Input::empty());
    tokio::time::timeout(PATIENCE, made.container.memory.exceeded()).await.must("the memory suffices");
    assert!(!running.task.is_finished());
    running.task.abort();
    assert_eq!(text(&running.stdout), "");
}

#[tokio::test]
async fn what_is_not_held_does_not_use_memory() {
    let made = container(Memory::limited(4 << 20));
    let ran = made
        .sh("head -c 50m /dev/zero | cat | wc -c; seq 200000 | tail -n 1; dd if=/dev/zero bs=1M count=20 2>/dev/null | md5sum")
        .await;
    assert_eq!(ran.stdout, "52428800\n200000\n8f4e33f3dc3e414ff94e5fb6905cba8c  -\n");
    assert_eq!(made.container.memory.used(), 0);
}

#[tokio::test]
async fn a_script_cannot_use_up_the_stack_or_the_processes() {
    let made = roomy().with_init();
    assert_eq!(made.sh("f() { f; }; f").await.code, 139);
    let nested = format!("{}echo{}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(made.sh(&nested).await.stderr, "sh: syntax error: nested too deeply\n");
    let nested = format!("echo {}x{}", "$(echo \"".repeat(5_000), "\")".repeat(5_000));
    assert_eq!(made.sh(&nested).await.code, 2);
    let bomb = made.start(&["sh", "-c", "f() { f | f & }; f; wait; echo over"], Input::empty());
    tokio::time::timeout(Duration::from_secs(2), bomb.task).await.ok();
    assert!(made.container.processes.list().len() < 3000);
}

#[tokio::test]
async fn directories_may_be_deep() {
    let made = roomy();
    let script = "d=$(yes d | head -n 100 | tr '\\n' /); mkdir -p $d; echo x > $d/f
        for c in 'find d' 'ls -R d' 'du d' 'grep -r x d' 'chmod -R 700 d' 'cp -r d e' 'tar cf t d' 'mv e /root' 'rm -r d'; do
            $c > out 2>&1 || { echo $c; head -n 1 out; }
        done; ls";
    assert_eq!(made.sh(script).await.stdout, "out\nt\n");
}

#[tokio::test]
async fn paths_stay_inside() {
    let beside = tempfile::tempdir().must("a directory");
    let outside = beside.path().with_extension("outside");
    std::fs::write(&outside, "secret").must("written");
    let name = outside.file_name().and_then(|name| name.to_str()).must("a name");
    let deep = "../".repeat(40);
    for script in [
        format!("cat {deep}{name} {}", outside.display()),
        format!("cat < {deep}{name}"),
        format!("ln -s {deep}{name} l; cat l; ln -s {} m; cat m", outside.display()),
        format!("cd {deep}; ls {name}"),
        format!(". {}", outside.display()),
        format!("sh {}", outside.display()),
        format!("echo x > {}", outside.display()),
        format!("cp {} /tmp/copy; dd if={} of=/tmp/copy2", outside.display(), outside.display()),
        format!("echo /proc/self/root{} /proc/self/cwd/{deep}{name}", outside.display()) + " | xargs -n1 cat",
        format!("find / -name {name}; grep -r secret /"),
        "wget -q -O - file:///etc/passwd; cat /etc/hostname /etc/shadow /proc/version_signature".to_owned(),
    ] {
        let made = roomy();
        let ran = made.sh(&script).await;
        assert!(!ran.stdout.contains("secret") && !ran.stdout.contains(&format!("/{name}\n")), "{script}: {ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&outside).must("read"), "secret");
    std::fs::remove_file(outside).must("removed");
}

#[tokio::test]
async fn nothing_of_this_process_is_seen() {
    let made = roomy();
    let ran = made.sh("env; ps; ls /; cat /proc/self/status; pwd").await;
    assert!(!ran.stdout.contains("CARGO") && !ran.stdout.contains("target"), "{}", ran.stdout);
}

#[tokio::test]
async fn processes_are_listed() {
    let made = roomy();
    let init = made.start(&["sh", "-c", "sleep 1000"], Input::empty());
    let ran = made
        .sh("ps; cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$ $PPID; kill -0 1; echo $?; pidof sleep; ps -o pid,args")
        .await;
    let expected = "PID   USER     TIME  COMMAND\n    1 root      0:00 sh -c sleep 1000\n    2 root      0:00 sh -c ps;";
    assert!(ran.stdout.starts_with(expected), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nsh -c sleep 1000 \n2 0\n0\n"), "{}", ran.stdout);
    init.task.abort();
}

#[tokio::test]
async fn a_terminal_is_prompted() {
    let made = roomy();
    let (keys, input) = Output::pipe();
    let running = made.start(&["sh"], input.terminal());
    let asked = async |expected: &str| {
        let waiting = async {
            while !text(&running.stderr).ends_with(expected) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "only: {:?} {:?}", text(&running.stderr), text(&running.stdout));
    };
    asked("/tmp # ").await;
    keys.put(b"cd /etc\n").await.must("typed");
    asked("/etc # ").await;
    keys.put(b"for i in 1 2; do\n").await.must("typed");
    asked("> ").await;
    keys.put(b"echo $i; done; nope; [ -t 0 ] && echo tty\n").await.must("typed");
    asked("sh: nope: not found\n/etc # ").await;
    keys.put(b"if; then\n").await.must("typed");
    asked("sh: syntax error: unexpected \";\"\n/etc # ").await;
    keys.put(b"exit 4\n").await.must("typed");
    let out = running.stdout.clone();
    assert_eq!(ended(running).await, 4);
    assert_eq!(text(&out), "1\n2\ntty\n");
}

#[tokio::test]
async fn a_file_is_followed_as_it_grows() {
    let made = roomy();
    made.container.files.write("/tmp/log", "one\n").must("written");
    let running = made.start(&["tail", "-f", "/tmp/log"], Input::empty());
    printed(&running, "one\n").await;
    made.sh("echo two >> /tmp/log").await;
    printed(&running, "one\ntwo\n").await;
    running.task.abort();
}

#[tokio::test]
async fn what_the_kernel_adds_is_there() {
    let made = container(Memory::limited(64 << 20));
    let ran = made.sh("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; ls /bin/sh /dev/null; grep -c processor /proc/cpuinfo > /dev/null && echo cpus; head -n 1 /proc/meminfo; cut -d' ' -f2 /proc/mounts; [ -x /bin/sh ] && echo x; head -c 100 /dev/urandom | wc -c; cp /bin/sh /tmp; echo $?").await;
    let expected = "67108864\nmax 100000\n/bin/sh\n/dev/null\ncpus\nMemTotal:        8388608 kB\n/\nx\n100\n1\n";
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
}

/// An input that never ends.
struct Pending;

impl tokio::io::AsyncRead for Pending {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}
