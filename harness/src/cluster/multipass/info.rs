//! What Multipass says of itself and of its VMs, as JSON, of versions 1.8 to 1.17.
//!
//! Fields that versions and drivers differ in (memory as number or text, disks, mounts, snapshots, zones) are not looked at; those that are
//! must be there, and of their type. The shapes are those of `src/client/cli/formatter/json_formatter.cpp` in canonical/multipass.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

use serde::{Deserialize, Deserializer, de::Error};

/// The networks of K3s's pods and services, whose addresses a VM has too once K3s runs in it, and that nobody reaches from outside:
/// <https://docs.k3s.io/cli/server#networking>.
const INSIDE: [[u8; 2]; 2] = [[10, 42], [10, 43]];

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not what this version of Multipass is known to answer.
    #[error("it is not the JSON that is expected of it: {answer}")]
    Json {
        /// Its first line.
        answer: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The VM that was asked about is not in it.
    #[error("it does not tell of {name}")]
    NotIn {
        /// The VM.
        name: String,
    },
}

/// What state a VM is in: <https://canonical.com/multipass/docs/stable/reference/instance-states/>.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) enum State {
    Running,
    Stopped,
    /// In the trash, from which it can be recovered.
    Deleted,
    Starting,
    Restarting,
    DelayedShutdown,
    Suspending,
    Suspended,
    /// Its zone was taken away.
    Unavailable,
    /// Multipass cannot tell.
    Unknown,
    /// One of a later version.
    Other(String),
}

impl State {
    const NAMES: [(&str, Self); 10] = [
        ("Running", Self::Running),
        ("Stopped", Self::Stopped),
        ("Deleted", Self::Deleted),
        ("Starting", Self::Starting),
        ("Restarting", Self::Restarting),
        ("Delayed Shutdown", Self::DelayedShutdown),
        ("Suspending", Self::Suspending),
        ("Suspended", Self::Suspended),
        ("Unavailable", Self::Unavailable),
        ("Unknown", Self::Unknown),
    ];
}

impl From<String> for State {
    fn from(text: String) -> Self {
        // 1.8 to 1.17 have `Delayed Shutdown`, their documentation `Delayed shutdown`.
        let known = Self::NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        known.map_or(Self::Other(text), |(_, state)| state)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            known => f.write_str(Self::NAMES.iter().find(|(_, state)| state == known).map_or("", |(name, _)| name)),
        }
    }
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Vm {
    pub(super) state: State,
    /// The one by which Multipass reaches it comes first; none while it starts or does not run.
    #[serde(deserialize_with = "addresses")]
    pub(super) ipv4: Vec<Ipv4Addr>,
}

/// Versions before 1.17 have `N/A` in the place of an address that a VM which runs has not got.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ipv4Addr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let known = texts.iter().filter(|text| *text != "N/A");
    known.map(|text| text.parse().map_err(|_| D::Error::custom(format!("`{text}` is no address")))).collect()
}

impl Vm {
    /// Of what `info NAME --format json` prints, the VM of that name.
    pub(super) fn of_info(name: &str, json: &[u8]) -> Result<Self, AnswerError> {
        #[derive(Deserialize)]
        struct Info {
            info: BTreeMap<String, Vm>,
        }
        let mut info: Info = read(json)?;
        info.info.remove(name).ok_or_else(|| AnswerError::NotIn { name: name.to_owned() })
    }

    /// The address at which its host reaches it.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        let is_outside = |address: &&Ipv4Addr| {
            let [first, second, ..] = address.octets();
            !INSIDE.contains(&[first, second]) && !address.is_loopback() && !address.is_link_local() && !address.is_unspecified()
        };
        self.ipv4.iter().find(is_outside).copied()
    }
}

/// Of what `list --format json` prints, the names of all VMs, deleted ones that are not purged too.
pub(super) fn names(json: &[u8]) -> Result<Vec<String>, AnswerError> {
    #[derive(Deserialize)]
    struct List {
        list: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let list: List = read(json)?;
    Ok(list.list.into_iter().map(|named| named.name).collect())
}

/// Which Multipass it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Version {
    /// The command's: `1.16.1+mac`.
    #[serde(rename = "multipass")]
    pub(crate) command: String,
    /// The daemon's; nothing, if it cannot be reached.
    #[serde(rename = "multipassd")]
    pub(crate) daemon: Option<String>,
}

impl Version {
    /// Of what `version --format json` prints.
    pub(super) fn of(json: &[u8]) -> Result<Self, AnswerError> {
        read(json)
    }
}

fn read<T: for<'a> Deserialize<'a>>(json: &[u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(json).map_err(|source| {
        let text = String::from_utf8_lossy(json);
        let answer = text.trim().lines().next().unwrap_or("nothing").chars().take(200).collect();
        AnswerError::Json { answer, source }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const RUNNING: &str = r#"{"errors": [], "info": {"k3s-arc-1": {
        "cpu_count": "8", "disks": {"sda1": {"total": "51850354688", "used": "2122571776"}},
        "image_hash": "a8d3b1d8b9a4", "image_release": "24.04 LTS", "ipv4": ["10.97.0.76", "10.42.0.0", "10.42.0.1"],
        "load": [0.04, 0.06, 0.06], "memory": {"total": 20956061696, "used": 178364416}, "mounts": {},
        "release": "Ubuntu 24.04.1 LTS", "snapshot_count": "0", "state": "Running"}}}"#;

    #[test]
    fn a_vm_that_runs_has_an_address_besides_those_of_its_pods() {
        let vm = Vm::of_info("k3s-arc-1", RUNNING.as_bytes()).unwrap();
        assert_eq!((vm.state.clone(), vm.address()), (State::Running, Some(Ipv4Addr::new(10, 97, 0, 76))));
        let inside = Vm { ipv4: vec![Ipv4Addr::new(10, 42, 0, 1), Ipv4Addr::new(169, 254, 3, 4)], ..vm };
        assert_eq!(inside.address(), None, "it has lost its own");
    }

    #[rstest]
    #[case::stopped(r#"{"state": "Stopped", "ipv4": [], "load": [], "memory": {}, "release": ""}"#, State::Stopped)]
    #[case::starting(r#"{"state": "Starting", "ipv4": [], "disks": {"sda1": {}}}"#, State::Starting)]
    #[case::shutting_down(r#"{"state": "Delayed Shutdown", "ipv4": ["10.97.0.76"]}"#, State::DelayedShutdown)]
    #[case::in_a_zone(
        r#"{"state": "Unavailable", "zone": {"name": "zone1", "available": false}, "ipv4": []}"#,
        State::Unavailable
    )]
    #[case::of_tomorrow(r#"{"state": "Migrating", "ipv4": []}"#, State::Other("Migrating".to_owned()))]
    fn every_state_is_read_and_written(#[case] vm: &str, #[case] state: State) {
        let json = format!(r#"{{"errors": [], "info": {{"vm": {vm}}}}}"#);
        let vm = Vm::of_info("vm", json.as_bytes()).unwrap();
        assert_eq!(vm.state, state);
        assert_eq!(State::from(vm.state.to_string()), state);
    }

    #[rstest]
    #[case::no_state(r#"{"info": {"vm": {"ipv4": []}}}"#)]
    #[case::no_addresses(r#"{"info": {"vm": {"state": "Running"}}}"#)]
    #[case::another_word(r#"{"info": {"vm": {"state": "Running", "ipv4": ["--"]}}}"#)]
    #[case::another_vm(r#"{"info": {"other": {"state": "Running", "ipv4": []}}}"#)]
    #[case::a_table("Name:           vm\nState:          Running\n")]
    #[case::nothing("")]
    fn what_is_not_as_known_is_refused(#[case] answer: &str) {
        assert!(Vm::of_info("vm", answer.as_bytes()).is_err());
    }

    #[test]
    fn an_answer_of_another_kind_is_shown() {
        let error = names(b"list failed: no\nmore").unwrap_err();
        assert_eq!(error.to_string(), "it is not the JSON that is expected of it: list failed: no");
    }

    #[test]
    fn a_list_names_all_vms() {
        let list = br#"{"list": [
            {"ipv4": ["10.97.0.76"], "name": "k3s-arc-1", "release": "Ubuntu 24.04 LTS", "state": "Running"},
            {"ipv4": [], "name": "primary", "release": "Not Available", "state": "Deleted"}]}"#;
        assert_eq!(names(list).unwrap(), ["k3s-arc-1", "primary"]);
        assert!(names(br#"{"list": []}"#).unwrap().is_empty());
    }

    #[test]
    fn a_daemon_that_does_not_answer_has_no_version() {
        let version = Version::of(br#"{"multipass": "1.16.1", "multipassd": "1.16.1"}"#).unwrap();
        assert_eq!((version.command.as_str(), version.daemon.as_deref()), ("1.16.1", Some("1.16.1")));
        assert_eq!(Version::of(br#"{"multipass": "1.16.1"}"#).unwrap().daemon, None);
        assert!(Version::of(br#"{"multipassd": "1.16.1"}"#).is_err());
    }
}
