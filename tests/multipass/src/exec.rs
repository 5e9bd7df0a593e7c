//! `exec`: a command as the machine's user, with this process's standard streams and the command's exit code.

use std::{ffi::OsString, io::IsTerminal as _};

use crate::{
    docker,
    failure::Failure,
    faults::Faults,
    lifecycle,
    machine::{Machine, State},
};

/// The user of Multipass's images.
pub(crate) const USER: &str = "ubuntu";

/// What sshd gives a session, by `/etc/environment`.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin";

/// Runs a command in a machine; one that is off is started first, as `src/client/cli/cmd/exec.cpp` does.
pub(crate) fn exec(name: &str, directory: Option<&str>, command: &[OsString], faults: &Faults) -> Result<u8, Failure> {
    let mut machine = lifecycle::operative(name, faults)?;
    if matches!(machine.state, State::Stopped | State::Suspended) {
        lifecycle::start_one(&machine, faults)?;
        machine = lifecycle::operative(name, faults)?;
    }
    reach(&machine)?;
    let line = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if faults.exec_hangs(&line) {
        loop {
            std::thread::park();
        }
    }
    if faults.exec_lost(&line) {
        return Err(lost("Socket error: disconnected".to_owned()));
    }
    let terminal = if std::io::stdin().is_terminal() { "-it" } else { "-i" };
    let directory = directory.unwrap_or("/home/ubuntu");
    let mut docker =
        docker::command(["exec", terminal, "--user", USER, "--workdir", directory, "--env", PATH, "--env", "HOME=/home/ubuntu"]);
    // By a shell, as sshd runs it: what is not found is the shell's to say.
    docker.args(["--env", "USER=ubuntu", &machine.container, "/bin/sh", "-c", "\"$@\"", "sh"]).args(command);
    run(docker)
}

/// Whether the machine can be reached, as ssh would find out.
pub(crate) fn reach(machine: &Machine) -> Result<(), Failure> {
    match machine.state {
        State::Unknown => Err(Failure::refused("Cannot retrieve credentials in unknown state")),
        State::Running if machine.address.is_none() => Err(lost("failed to determine IP address".to_owned())),
        State::Running | State::Starting => Ok(()),
        _ => Err(Failure::refused(format!("instance \"{}\" is not running", machine.name))),
    }
}

fn lost(reason: String) -> Failure {
    Failure::Client { text: format!("exec failed: ssh connection failed: '{reason}'"), code: 255 }
}

/// Becomes the command, so that what ends this process ends it.
#[cfg(unix)]
fn run(mut docker: std::process::Command) -> Result<u8, Failure> {
    use std::os::unix::process::CommandExt as _;
    Err(Failure::Fake(format!("docker cannot be run: {}", docker.exec())))
}

#[cfg(not(unix))]
fn run(mut docker: std::process::Command) -> Result<u8, Failure> {
    let status = docker.status().map_err(|error| Failure::Fake(format!("docker cannot be run: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}
