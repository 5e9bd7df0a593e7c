//! Docker, by its command line, which finds the engine of whoever runs the tests.

use std::{
    ffi::OsStr,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::failure::Failure;

/// A `docker` with these arguments.
pub(crate) fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

/// What `docker` printed, which must succeed.
pub(crate) fn output<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<String, Failure> {
    let mut command = command(arguments);
    let output = command.stdin(Stdio::null()).output().map_err(not_there)?;
    succeeded(&command, &output)
}

/// Runs `docker` with this on its standard input.
pub(crate) fn feed<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Result<String, Failure> {
    let mut command = command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_there)?;
    if let Some(mut stdin) = child.stdin.take() {
        // What ended before it had read everything says why itself.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(not_there)?;
    succeeded(&command, &output)
}

fn not_there(error: std::io::Error) -> Failure {
    Failure::Fake(format!("docker cannot be run: {error}"))
}

fn succeeded(command: &Command, output: &Output) -> Result<String, Failure> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let asked = command.get_args().next().map(OsStr::to_string_lossy).unwrap_or_default();
    Err(Failure::Fake(format!("docker {asked}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
