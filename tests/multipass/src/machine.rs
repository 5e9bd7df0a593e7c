//! The machines there are: containers with a label of this program's. A name says whose they are and whether they are deleted, since labels
//! cannot be changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    docker,
    failure::Failure,
    faults::{Fault, Faults},
    version::Version,
};

/// The label that every container and volume of this program's carries. Its value is the host.
pub(crate) const LABEL: &str = "fake-multipass.host";
/// What a machine was asked for, each under this and its name.
pub(crate) const ASKED: &str = "fake-multipass.asked.";
/// What the name of a deleted machine's container ends in.
const DELETED: &str = ".deleted";

/// The daemon that is played: machines of one are not seen by another. Tests that must not see each other's have one each.
pub(crate) fn host() -> String {
    std::env::var("FAKE_MULTIPASS_HOST").ok().filter(|host| !host.is_empty()).unwrap_or_else(|| "default".to_owned())
}

/// A machine's state, in the words of `status_string_for` in `src/client/cli/formatter/format_utils.cpp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Stopped,
    Deleted,
    Starting,
    Suspended,
    Unknown,
}

impl State {
    /// As it is printed.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
            Self::Starting => "Starting",
            Self::Suspended => "Suspended",
            Self::Unknown => "Unknown",
        }
    }
}

/// A machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) container: String,
    pub(crate) state: State,
    /// Its address on Docker's network, if it has one.
    pub(crate) address: Option<String>,
    /// What it was asked for: `cpus`, `memory` and `disk` (bytes), `image`.
    pub(crate) asked: BTreeMap<String, String>,
}

/// What of a container matters here: <https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerInspect>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    state: InspectedState,
    config: Config,
    network_settings: Network,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    networks: BTreeMap<String, Value>,
}

/// The name of a machine's container.
pub(crate) fn container(name: &str) -> String {
    format!("multipass.{}.{name}", host())
}

/// All machines of this host, by name. One that is made or removed at this moment may be missing.
pub(crate) fn all(faults: &Faults) -> Result<Vec<Machine>, Failure> {
    let label = format!("label={LABEL}={}", host());
    let names = docker::output(["ps", "--all", "--filter", &label, "--format", "{{.Names}}"])?;
    let mut machines: Vec<Machine> =
        names.lines().filter_map(|container| inspected(container, faults).transpose()).collect::<Result<_, _>>()?;
    machines.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(machines)
}

fn inspected(container: &str, faults: &Faults) -> Result<Option<Machine>, Failure> {
    let Ok(told) = docker::output(["inspect", "--type", "container", container]) else { return Ok(None) };
    let told: Vec<Inspected> = serde_json::from_str(&told).map_err(|error| Failure::Fake(format!("docker inspect: {error}")))?;
    let machine = told.into_iter().next().and_then(|told| Machine::read(told, faults));
    // One that is about to end, or to come, does not answer, and has no address.
    let hides =
        |machine: &Machine| machine.state == State::Running && faults.hides_address(|| on_for(container).unwrap_or_default());
    Ok(machine.map(|machine| if hides(&machine) { Machine { address: None, ..machine } } else { machine }))
}

/// For how many seconds a machine has been on, by its own clock.
fn on_for(container: &str) -> Result<u64, Failure> {
    let script = "echo $(($(date +%s) - $(stat -c %Y /run/booted 2>/dev/null || date +%s)))";
    let seconds = docker::output(["exec", container, "sh", "-c", script])?;
    seconds.trim().parse().map_err(|_| Failure::Fake(format!("{container} does not know the time: {seconds}")))
}

impl Machine {
    fn read(told: Inspected, faults: &Faults) -> Option<Self> {
        let container = told.name.trim_start_matches('/').to_owned();
        let (name, deleted) = match container.strip_suffix(DELETED) {
            Some(name) => (name, true),
            None => (container.as_str(), false),
        };
        let name = name.rsplit('.').next()?.to_owned();
        let state = match told.state.status.as_str() {
            _ if deleted => State::Deleted,
            "running" if faults.has(Fault::UnknownState) => State::Unknown,
            "running" if faults.has(Fault::Starting) => State::Starting,
            "running" => State::Running,
            "paused" => State::Suspended,
            _ => State::Stopped,
        };
        let mut networks = told.network_settings.networks.into_values();
        let address =
            networks.find_map(|network| network["IPAddress"].as_str().filter(|address| !address.is_empty()).map(str::to_owned));
        let asked =
            told.config.labels.into_iter().filter_map(|(label, value)| Some((label.strip_prefix(ASKED)?.to_owned(), value)));
        Some(Self { name, container, state, address, asked: asked.collect() })
    }

    /// What it was asked for by this name.
    pub(crate) fn asked(&self, what: &str) -> &str {
        self.asked.get(what).map_or("", String::as_str)
    }

    /// All its addresses, the one to reach it by first, as the real one finds them: by asking it.
    pub(crate) fn addresses(&self, version: &Version) -> Vec<String> {
        if self.state != State::Running {
            return Vec::new();
        }
        let Some(address) = &self.address else {
            return version.has_word_for_no_address().then(|| "N/A".to_owned()).into_iter().collect();
        };
        let told = docker::output(["exec", &self.container, "hostname", "-I"]).unwrap_or_default();
        let others = told.split_whitespace().filter(|other| *other != address && !other.contains(':')).map(str::to_owned);
        std::iter::once(address.clone()).chain(others).collect()
    }

    /// Takes it to the trash.
    pub(crate) fn to_trash(&self) -> Result<(), Failure> {
        if self.state == State::Suspended {
            docker::output(["unpause", &self.container])?;
        }
        docker::output(["stop", "--time", "20", &self.container])?;
        docker::output(["rename", &self.container, &format!("{}{DELETED}", self.container)]).map(drop)
    }

    /// Takes it from the trash.
    pub(crate) fn recover(&self) -> Result<(), Failure> {
        docker::output(["rename", &self.container, self.container.trim_end_matches(DELETED)]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, status: &str, faults: &Faults) -> Machine {
        let told = serde_json::json!({
            "Name": format!("/{name}"), "State": { "Status": status },
            "Config": { "Labels": { LABEL: "default", "fake-multipass.asked.cpus": "8" } },
            "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.5" } } },
        });
        Machine::read(serde_json::from_value(told).unwrap(), faults).unwrap()
    }

    #[test]
    fn a_container_is_a_machine_in_multipass_words() {
        let machine = read("multipass.default.box", "running", &Faults::default());
        assert_eq!((machine.name.as_str(), machine.state, machine.asked("cpus")), ("box", State::Running, "8"));
        assert_eq!(machine.address.as_deref(), Some("172.17.0.5"));
        let state = |name, status| read(name, status, &Faults::default()).state;
        assert_eq!(state("multipass.default.box.deleted", "exited"), State::Deleted);
        assert_eq!(read("multipass.default.box.deleted", "exited", &Faults::default()).name, "box");
        assert_eq!(state("multipass.default.box", "paused"), State::Suspended);
        assert_eq!(state("multipass.default.box", "created"), State::Stopped);
    }
}
