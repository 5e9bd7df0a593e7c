//! What a caller sees who needs no machine: exit codes, and which of the two streams has the text.

// Helpers of tests, like tests, say what went wrong by panicking.
#![allow(clippy::expect_used)]

use std::{path::Path, process::Command};

/// The exit code, standard output and standard error of a call.
fn call(arguments: &[&str], faults: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multipass"));
    let output = command.args(arguments).env("FAKE_MULTIPASS_FAULTS", faults).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What Multipass 1.16.1 printed.
fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/multipass/1.16.1").join(name);
    std::fs::read_to_string(path).expect("it is there")
}

#[test]
fn a_version_is_told_with_a_daemon_and_without() {
    assert_eq!(call(&["version", "--format", "json"], ""), (Some(0), recorded("version.json"), String::new()));
    assert_eq!(call(&["version", "--format", "json"], "no-daemon"), (Some(0), recorded("version-no-daemon.json"), String::new()));
}

#[test]
fn a_daemon_that_does_not_serve_fails_every_other_command() {
    for (fault, name) in
        [("no-daemon", "no-daemon.txt"), ("no-permission", "no-permission.txt"), ("not-authenticated", "not-authenticated.txt")]
    {
        assert_eq!(call(&["list", "--format", "json"], fault), (Some(2), String::new(), recorded(name)));
    }
}

#[test]
fn a_wrong_command_line_ends_with_1_and_a_fault_that_is_unknown_with_neither_code_of_the_real_one() {
    assert_eq!(call(&["list", "--no-such"], "").0, Some(1));
    assert_eq!(call(&["launch", "--cpus", "0"], "").0, Some(1));
    assert_eq!(call(&["stop"], ""), (Some(1), String::new(), "Name argument or --all is required\n".to_owned()));
    let unknown = call(&["list"], "no-such");
    assert_eq!(unknown.0, Some(125), "{}", unknown.2);
}
