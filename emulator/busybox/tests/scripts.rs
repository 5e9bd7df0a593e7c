//! Scripts, and what busybox 1.36.1 makes of them: `tests/scripts/*.txt` has what it printed, complained and ended with.
//!
//! A case begins with `$ ` and its script, of which further lines begin with `> `; then come lines of standard output (`| `) and
//! error (`! `), where a `\` at the end says that there is no newline, and the exit code (`= `).
//! What is recorded is compared with the real one again by `as_the_real_one_does`, which needs a root folder with its busybox in
//! `K3S_ARC_BUSYBOX_ROOT`, and the right to `chroot`; with `K3S_ARC_BUSYBOX_RECORD` set it writes what it finds.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use k3s_arc_container::Memory;
use support::{Must, Ran};

/// A script, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    script: String,
    ran: Ran,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    files.sort();
    files
}

fn add(text: &mut String, line: &str) {
    match line.strip_suffix('\\') {
        Some(open) => text.push_str(open),
        None => {
            text.push_str(line);
            text.push('\n');
        }
    }
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_at(line.len().min(2));
        if mark == "$ " {
            cases.push(Case { script: rest.to_owned(), ran: Ran { stdout: String::new(), stderr: String::new(), code: 0 } });
        }
        let Some(case) = cases.last_mut() else { continue };
        match mark.trim_end() {
            ">" => case.script += &format!("\n{rest}"),
            "|" => add(&mut case.ran.stdout, rest),
            "!" => add(&mut case.ran.stderr, rest),
            "=" => case.ran.code = rest.parse().unwrap_or(-1),
            _ => {}
        }
    }
    cases
}

fn print(cases: &[Case]) -> String {
    let mut text = String::new();
    let marked = |mark: char, content: &str| {
        let mut lines = String::new();
        for line in content.split_inclusive('\n') {
            let whole = line.strip_suffix('\n');
            let _ = writeln!(lines, "{mark} {}{}", whole.unwrap_or(line), if whole.is_none() { "\\" } else { "" });
        }
        lines
    };
    for case in cases {
        let _ = writeln!(text, "$ {}", case.script.replace('\n', "\n> "));
        text += &marked('|', &case.ran.stdout);
        text += &marked('!', &case.ran.stderr);
        let _ = writeln!(text, "= {}\n", case.ran.code);
    }
    text
}

#[tokio::test]
async fn scripts_do_what_they_do_in_busybox() {
    let mut wrong = String::new();
    let mut count = 0;
    for file in files() {
        for case in parse(&std::fs::read_to_string(&file).must("a file of cases")) {
            let made = support::container(Memory::unlimited()).with_init();
            let ran = made.sh(&case.script).await;
            count += 1;
            if ran != case.ran {
                let (expected, found) = (print(std::slice::from_ref(&case)), print(&[Case { ran, ..case }]));
                let _ = writeln!(wrong, "in {}, expected:\n{expected}found:\n{found}", file.display());
            }
        }
    }
    assert!(count >= 150, "only {count} scripts");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Runs a script with the real one.
fn real(root: &Path, script: &str) -> std::io::Result<Ran> {
    let work = root.join("tmp");
    if work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    std::fs::create_dir_all(&work)?;
    let ran = std::process::Command::new("chroot")
        .arg(root)
        .args(["/bin/busybox", "env", "-i", "PATH=/bin", "HOME=/root", "/bin/busybox", "sh", "-c"])
        .args(["cd /tmp; exec /bin/busybox sh -c \"$1\"", "sh", script])
        .stdin(std::process::Stdio::null())
        .output()?;
    let code = {
        use std::os::unix::process::ExitStatusExt;
        ran.status.code().or(ran.status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { stdout: text(ran.stdout), stderr: text(ran.stderr), code })
}

#[test]
#[ignore = "needs a root folder with busybox 1.36.1 and the right to chroot"]
fn as_the_real_one_does() {
    let root = PathBuf::from(std::env::var_os("K3S_ARC_BUSYBOX_ROOT").must("K3S_ARC_BUSYBOX_ROOT"));
    let mut wrong = String::new();
    for file in files() {
        let cases = parse(&std::fs::read_to_string(&file).must("a file of cases"));
        let found: Vec<Case> = cases
            .iter()
            .map(|case| Case { script: case.script.clone(), ran: real(&root, &case.script).must("chroot") })
            .collect();
        if std::env::var_os("K3S_ARC_BUSYBOX_RECORD").is_some() {
            std::fs::write(&file, print(&found)).must("written");
            continue;
        }
        for (case, found) in cases.iter().zip(&found).filter(|(case, found)| case != found) {
            let _ =
                writeln!(wrong, "recorded:\n{}found:\n{}", print(std::slice::from_ref(case)), print(std::slice::from_ref(found)));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
