//! What is done to machines that exist: on, off, to the trash and back, away for good.

use crate::{
    docker,
    failure::Failure,
    faults::{Fault, Faults},
    launch,
    machine::{self, Machine, State},
    snapshot,
};

/// Which machines a command may be about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those that are not deleted.
    Operative,
    /// Those and the deleted.
    Existing,
}

/// The machines of these names, or all that are not deleted; the daemon's complaint about those that are not as wanted.
fn chosen(names: &[String], all: bool, wanted: Wanted) -> Result<Vec<Machine>, Failure> {
    check_names(names, all)?;
    let machines = machine::all(&Faults::default())?;
    if all {
        return Ok(machines.into_iter().filter(|machine| machine.state != State::Deleted).collect());
    }
    let mut errors = Vec::new();
    let mut chosen = Vec::new();
    for name in names {
        match machines.iter().find(|machine| machine.name == *name) {
            None => errors.push(format!("instance \"{name}\" does not exist")),
            Some(machine) if machine.state == State::Deleted && wanted == Wanted::Operative => {
                errors.push(format!("instance \"{name}\" is deleted"));
            }
            Some(machine) => chosen.push(machine.clone()),
        }
    }
    if errors.is_empty() { Ok(chosen) } else { Err(Failure::errors(&errors)) }
}

/// `check_for_name_and_all_option_conflict` of `src/client/cli/cmd/common_cli.cpp`.
fn check_names(names: &[String], all: bool) -> Result<(), Failure> {
    match (names.len(), all) {
        (0, false) => Err(Failure::CommandLine("Name argument or --all is required".to_owned())),
        (1, true) => Err(Failure::CommandLine("Cannot specify name when --all option set".to_owned())),
        (2.., true) => Err(Failure::CommandLine("Cannot specify names when --all option set".to_owned())),
        _ => Ok(()),
    }
}

/// A machine that is on and may be asked something.
pub(crate) fn operative(name: &str, faults: &Faults) -> Result<Machine, Failure> {
    let machines = machine::all(faults)?;
    match machines.into_iter().find(|machine| machine.name == name) {
        None => Err(Failure::refused(format!("instance \"{name}\" does not exist"))),
        Some(machine) if machine.state == State::Deleted => Err(Failure::refused(format!("instance \"{name}\" is deleted"))),
        Some(machine) => Ok(machine),
    }
}

/// `start`, which reports the missing and the deleted in words of its own.
pub(crate) fn start(names: &[String], all: bool, faults: &Faults) -> Result<(), Failure> {
    check_names(names, all)?;
    let machines = machine::all(faults)?;
    let details = names.iter().filter_map(|name| match machines.iter().find(|machine| machine.name == *name) {
        None => Some(format!("Instance '{name}' does not exist.")),
        Some(machine) if machine.state == State::Deleted => {
            Some(format!("Instance '{name}' is deleted. Use 'recover' to recover it or 'purge' to permanently delete it."))
        }
        Some(_) => None,
    });
    let details: Vec<String> = details.collect();
    if !details.is_empty() {
        return Err(Failure::Refused { message: "instance(s) missing".to_owned(), details: details.join("\n") });
    }
    for machine in machines.iter().filter(|machine| names.contains(&machine.name) || (all && machine.state != State::Deleted)) {
        start_one(machine, faults)?;
    }
    Ok(())
}

/// Starts a machine that is off or suspended.
pub(crate) fn start_one(machine: &Machine, faults: &Faults) -> Result<(), Failure> {
    match machine.state {
        State::Suspended => docker::output(["unpause", &machine.container]).map(drop),
        State::Stopped => {
            launch::start(&machine.container)?;
            if faults.has(Fault::StartTimeout) {
                return Err(launch::timed_out(false, ""));
            }
            Ok(())
        }
        State::Unknown => {
            let name = &machine.name;
            Err(Failure::errors(&[format!(
                "Instance '{name}' is already running, but in an unknown state.\nTry to stop it first."
            )]))
        }
        State::Running | State::Starting | State::Deleted => Ok(()),
    }
}

/// `stop`. A suspended machine stays suspended, as the real one's does unless forced.
pub(crate) fn stop(names: &[String], all: bool, force: bool) -> Result<(), Failure> {
    for machine in chosen(names, all, Wanted::Operative)? {
        match machine.state {
            State::Running if force => docker::output(["kill", &machine.container])?,
            State::Suspended if force => docker::output(["kill", &machine.container])?,
            State::Running => docker::output(["stop", "--time", "20", &machine.container])?,
            _ => continue,
        };
    }
    Ok(())
}

/// `restart`.
pub(crate) fn restart(names: &[String], all: bool) -> Result<(), Failure> {
    for machine in chosen(names, all, Wanted::Operative)? {
        if machine.state != State::Running {
            return Err(Failure::refused(format!("instance \"{}\" is not running", machine.name)));
        }
        docker::output(["stop", "--time", "20", &machine.container])?;
        launch::start(&machine.container)?;
    }
    Ok(())
}

/// `suspend`.
pub(crate) fn suspend(names: &[String], all: bool) -> Result<(), Failure> {
    for machine in chosen(names, all, Wanted::Operative)? {
        if machine.state == State::Running {
            docker::output(["pause", &machine.container])?;
        }
    }
    Ok(())
}

/// `delete`: to the trash, or away for good.
pub(crate) fn delete(names: &[String], all: bool, purge: bool) -> Result<(), Failure> {
    let (snapshots, machines): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name.contains('.'));
    if !snapshots.is_empty() {
        snapshot::delete(&snapshots, purge)?;
        if machines.is_empty() {
            return Ok(());
        }
    }
    for machine in chosen(&machines, all, Wanted::Existing)? {
        match (purge, machine.state) {
            (true, _) => purge_one(&machine)?,
            (false, State::Deleted) => {}
            (false, _) => machine.to_trash()?,
        }
    }
    Ok(())
}

/// `purge`: everybody's trash on this host.
pub(crate) fn purge() -> Result<(), Failure> {
    let machines = machine::all(&Faults::default())?;
    machines.iter().filter(|machine| machine.state == State::Deleted).try_for_each(purge_one)
}

fn purge_one(machine: &Machine) -> Result<(), Failure> {
    // The container first: it may have been restored from a snapshot's image.
    docker::output(["rm", "--force", "--volumes", &machine.container])?;
    snapshot::delete_all(&machine.name)
}

/// `recover`.
pub(crate) fn recover(names: &[String], all: bool) -> Result<(), Failure> {
    if all {
        let machines = machine::all(&Faults::default())?;
        return machines.iter().filter(|machine| machine.state == State::Deleted).try_for_each(Machine::recover);
    }
    for machine in chosen(names, all, Wanted::Existing)? {
        if machine.state == State::Deleted {
            machine.recover()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_about_nothing_is_refused_before_docker_is_asked() {
        let told = |names: &[&str], all| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            check_names(&names, all).map_err(|failure| (failure.code(), failure.told_by("stop"))).err()
        };
        assert_eq!(told(&[], false).unwrap(), (1, "Name argument or --all is required\n".to_owned()));
        assert_eq!(told(&["a", "b"], true).unwrap(), (1, "Cannot specify names when --all option set\n".to_owned()));
        assert_eq!(told(&["a"], false), None);
    }
}
