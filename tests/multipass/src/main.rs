//! A `multipass` for tests: the real one's command line, JSON, texts and exit codes, with privileged Docker containers for machines.
//!
//! A test of whatever drives Multipass needs Multipass, which needs hardware virtualisation and a daemon of its own. Where neither is to
//! be had, this stands on `PATH` in its place. Its machines are containers of a Debian-like image that install and boot a real K3s: they
//! have an init, a user `ubuntu` with sudo, a `systemctl` that supervises units, and an address.
//!
//! All state is in Docker: containers that carry a label of this program's, so that separate calls agree as if there were a daemon. What it
//! prints follows the sources of Multipass, <https://github.com/canonical/multipass>, in the shapes of the version that
//! `FAKE_MULTIPASS_VERSION` asks for. Faults are asked for by variables too: [`faults`].

// What it is for is to print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod cloud_init;
mod docker;
mod exec;
mod failure;
mod faults;
mod launch;
mod lifecycle;
mod machine;
mod output;
mod snapshot;
mod transfer;
mod version;

use std::process::ExitCode;

use arguments::Command;
use clap::Parser;
use failure::Failure;
use faults::Faults;
use version::Version;

fn main() -> ExitCode {
    let command = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => {
            let _ = error.print();
            // clap's own code for a wrong command line is 2, which is Multipass's for a command that failed.
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let name = command.name();
    match run(command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprint!("{}", failure.told_by(name));
            ExitCode::from(failure.code())
        }
    }
}

/// Does what was asked, and gives the exit code.
fn run(command: Command) -> Result<u8, Failure> {
    let version = Version::asked()?;
    let faults = Faults::asked()?;
    let done = |()| 0;
    if let Command::Version { format } = command {
        return output::print_version(&version, &faults, format).map(done);
    }
    faults.of_the_daemon()?;
    match command {
        Command::Version { .. } => Ok(0),
        Command::Launch(asked) => launch::launch(&asked, &version, &faults).map(done),
        Command::Info { names, format, snapshots } => output::info(&names, format, snapshots, &version, &faults).map(done),
        Command::List { format, snapshots } => output::list(format, snapshots, &version, &faults).map(done),
        Command::Exec { name, working_directory, command, .. } => {
            exec::exec(&name, working_directory.as_deref(), &command, &faults)
        }
        Command::Transfer { recursive, parents, paths } => transfer::transfer(&paths, recursive, parents).map(done),
        Command::Start { names, all, .. } => lifecycle::start(&names, all, &faults).map(done),
        Command::Stop { names, all, force, .. } => lifecycle::stop(&names, all, force).map(done),
        Command::Restart { names, all, .. } => lifecycle::restart(&names, all).map(done),
        Command::Suspend { names, all } => lifecycle::suspend(&names, all).map(done),
        Command::Delete { names, all, purge } => lifecycle::delete(&names, all, purge).map(done),
        Command::Purge => lifecycle::purge().map(done),
        Command::Recover { names, all } => lifecycle::recover(&names, all).map(done),
        Command::Snapshot { instance, name, comment } => {
            snapshot::take(&instance, name.as_deref(), comment.as_deref(), &version).map(done)
        }
        Command::Restore { snapshot, destructive } => snapshot::restore(&snapshot, destructive, &version).map(done),
        Command::Get { key } => output::get(&key).map(done),
        Command::Networks { format } => output::networks(format).map(done),
        Command::Find { format } => output::find(format).map(done),
    }
}
