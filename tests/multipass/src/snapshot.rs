//! `snapshot` and `restore`: an image of the machine's container, and a volume with what its volumes have.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    docker,
    failure::Failure,
    faults::Faults,
    launch::{self, is_hostname},
    lifecycle,
    machine::{self, LABEL, State},
    version::Version,
};

/// The labels of a snapshot's volume.
const MACHINE: &str = "fake-multipass.machine";
const NAME: &str = "fake-multipass.snapshot";
const COMMENT: &str = "fake-multipass.comment";
const PARENT: &str = "fake-multipass.parent";

/// A snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) machine: String,
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) parent: String,
    /// When it was taken, in Docker's words.
    pub(crate) created: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    created_at: String,
    labels: Option<BTreeMap<String, String>>,
}

/// The snapshots of this host's machines, the oldest first.
pub(crate) fn all() -> Result<Vec<Snapshot>, Failure> {
    let label = format!("label={LABEL}={}", machine::host());
    let names = docker::output(["volume", "ls", "--quiet", "--filter", &label, "--filter", &format!("label={NAME}")])?;
    let mut snapshots = Vec::new();
    for volume in names.lines() {
        let Ok(told) = docker::output(["volume", "inspect", volume]) else { continue };
        let told: Vec<Volume> =
            serde_json::from_str(&told).map_err(|error| Failure::Fake(format!("docker volume inspect: {error}")))?;
        snapshots.extend(told.into_iter().map(Snapshot::read));
    }
    snapshots.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
    Ok(snapshots)
}

impl Snapshot {
    fn read(volume: Volume) -> Self {
        let labels = volume.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        Self {
            machine: label(MACHINE),
            name: label(NAME),
            comment: label(COMMENT),
            parent: label(PARENT),
            created: volume.created_at,
        }
    }
}

fn volume(machine: &str, name: &str) -> String {
    format!("{}.snapshot.{name}", machine::container(machine))
}

fn image(machine: &str, name: &str) -> String {
    format!("fake-multipass:{}.{machine}.{name}", machine::host())
}

fn check(version: &Version) -> Result<(), Failure> {
    // An older client knows no such command, and says so on its standard error.
    let unknown = || Failure::CommandLine("Error: Unknown command or alias".to_owned());
    version.has_snapshots().then_some(()).ok_or_else(unknown)
}

/// Takes a snapshot of a machine that is off.
pub(crate) fn take(name: &str, asked: Option<&str>, comment: Option<&str>, version: &Version) -> Result<(), Failure> {
    check(version)?;
    let machine = lifecycle::operative(name, &Faults::default())?;
    if machine.state != State::Stopped {
        return Err(Failure::refused("Multipass can only take snapshots of stopped instances."));
    }
    let taken: Vec<Snapshot> = all()?.into_iter().filter(|snapshot| snapshot.machine == name).collect();
    let snapshot = asked.map_or_else(|| format!("snapshot{}", taken.len() + 1), str::to_owned);
    if !is_hostname(&snapshot) {
        return Err(Failure::refused(format!("Invalid snapshot name: \"{snapshot}\".")));
    }
    if taken.iter().any(|other| other.name == snapshot) {
        return Err(Failure::refused(format!("Snapshot already exists: {name}.{snapshot}")));
    }
    let parent = taken.last().map_or("", |parent| &parent.name);
    let labels = [
        (LABEL, machine::host().as_str()),
        (MACHINE, name),
        (NAME, &snapshot),
        (COMMENT, comment.unwrap_or_default()),
        (PARENT, parent),
    ]
    .map(|(label, value)| format!("{label}={value}"));
    let volume = volume(name, &snapshot);
    docker::output(
        ["volume", "create"].into_iter().chain(labels.iter().flat_map(|label| ["--label", label])).chain([volume.as_str()]),
    )?;
    copy(&machine.container, &volume, "cp -a /var/lib/rancher /var/lib/kubelet /snapshot/")?;
    docker::output(["commit", &machine.container, &image(name, &snapshot)])?;
    println!("\x1b[2K\x1b[0A\x1b[0ESnapshot taken: {name}.{snapshot}");
    Ok(())
}

/// Puts a machine that is off back to what it was.
pub(crate) fn restore(asked: &str, destructive: bool, version: &Version) -> Result<(), Failure> {
    check(version)?;
    let Some((name, snapshot)) = asked.split_once('.').filter(|(name, snapshot)| !name.is_empty() && !snapshot.is_empty()) else {
        let text =
            "Invalid format. Please specify the instance to restore and snapshot to use in the form <instance>.<snapshot>.";
        return Err(Failure::CommandLine(text.to_owned()));
    };
    let machine = lifecycle::operative(name, &Faults::default())?;
    find(name, snapshot)?;
    if machine.state != State::Stopped {
        return Err(Failure::refused("Multipass can only restore snapshots of stopped instances."));
    }
    if !destructive {
        eprintln!("Unable to query client for confirmation. Use '--destructive' to automatically discard current machine state.");
        return Err(Failure::refused("Cannot get confirmation from client. Aborting..."));
    }
    docker::output(["rm", "--force", "--volumes", &machine.container])?;
    launch::like(&machine, &image(name, snapshot))?;
    copy(
        &machine.container,
        &volume(name, snapshot),
        "cp -a /snapshot/rancher/. /var/lib/rancher/ && cp -a /snapshot/kubelet/. /var/lib/kubelet/",
    )?;
    println!("\x1b[2K\x1b[0A\x1b[0ESnapshot restored: {asked}");
    Ok(())
}

/// Runs a script that sees a machine's volumes and, at `/snapshot`, a snapshot's.
fn copy(container: &str, volume: &str, script: &str) -> Result<(), Failure> {
    let label = format!("{LABEL}.helper={}", machine::host());
    let mount = format!("{volume}:/snapshot");
    // Privileged: containerd's overlays carry attributes that nobody else may write.
    let arguments = ["run", "--rm", "--privileged", "--label", &label, "--volumes-from", container, "--volume", &mount];
    docker::output(arguments.into_iter().chain([launch::image().as_str(), "sh", "-c", script])).map(drop)
}

fn find(machine: &str, name: &str) -> Result<Snapshot, Failure> {
    let found = all()?.into_iter().find(|snapshot| snapshot.machine == machine && snapshot.name == name);
    found.ok_or_else(|| Failure::refused(format!("No such snapshot: {machine}.{name}")))
}

/// Removes snapshots, each `machine.name`. They have no trash.
pub(crate) fn delete(names: &[String], purge: bool) -> Result<(), Failure> {
    for asked in names {
        let (machine, name) = asked.split_once('.').unwrap_or((asked, ""));
        let snapshot = find(machine, name)?;
        if !purge {
            return Err(Failure::refused(format!(
                "Snapshots can only be purged (after deletion, they cannot be recovered). Unable to query client for confirmation. Please \
                 use the `--purge` flag if that is what you want.\n\n\tmultipass delete --purge {asked}\n"
            )));
        }
        remove(&snapshot)?;
    }
    Ok(())
}

/// Removes a machine's snapshots.
pub(crate) fn delete_all(machine: &str) -> Result<(), Failure> {
    all()?.iter().filter(|snapshot| snapshot.machine == machine).try_for_each(remove)
}

fn remove(snapshot: &Snapshot) -> Result<(), Failure> {
    // The volume last: it is what says that there is a snapshot.
    docker::output(["image", "rm", &image(&snapshot.machine, &snapshot.name)])?;
    docker::output(["volume", "rm", "--force", &volume(&snapshot.machine, &snapshot.name)]).map(drop)
}
