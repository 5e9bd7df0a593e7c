//! What real versions of Multipass print, `tests/fixtures/multipass`, is understood.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use rstest::rstest;

use super::{
    MultipassError, Size, Version,
    cause::{Asked, is_of_no_vm},
    command::CallError,
    info::{State, Vm, names},
};

/// The recorded output of a version, `1.16.1/info.json`.
fn recorded(file: &str) -> String {
    let path = directory().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/multipass")
}

/// All recorded outputs of a kind, of all versions.
fn all(kind: &str) -> Vec<(String, String)> {
    let versions = std::fs::read_dir(directory()).into_iter().flatten().flatten();
    let files = versions.flat_map(|version| std::fs::read_dir(version.path()).into_iter().flatten().flatten());
    let is_of_kind = |name: &str| name.starts_with(kind) && name.ends_with(".json") && !name.contains("snapshots");
    let files = files.filter(|file| is_of_kind(&file.file_name().to_string_lossy())).map(|file| file.path());
    files.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap_or_default())).collect()
}

#[test]
fn every_list_and_every_version_is_read() {
    let (lists, versions) = (all("list"), all("version"));
    assert!(lists.len() >= 6 && versions.len() >= 6, "of all versions");
    for (file, text) in lists {
        let names = names(text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {}", crate::chain(&error)));
        assert_eq!(names.is_empty(), file.contains("empty"), "{file}");
    }
    for (file, text) in versions {
        let version = Version::of(text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {}", crate::chain(&error)));
        assert_eq!(version.daemon.is_none(), file.contains("no-daemon"), "{file}");
    }
}

#[test]
fn every_vm_is_read_and_has_an_address_if_it_runs_and_is_reached() {
    let recorded = all("info");
    assert!(recorded.len() >= 7, "of all versions");
    for (file, text) in recorded {
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (name, written) in json["info"].as_object().unwrap() {
            let vm = Vm::of_info(name, text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {}", crate::chain(&error)));
            assert_eq!(vm.state.to_string(), written["state"].as_str().unwrap(), "{file}");
            assert!(!matches!(vm.state, State::Other(_)), "{file}: {}", vm.state);
            let reached = vm.state == State::Running && !written["ipv4"].as_array().unwrap().iter().all(|text| text == "N/A");
            assert_eq!(vm.address().is_some(), reached, "{file}: {name}");
        }
    }
}

#[test]
fn of_the_addresses_that_k3s_makes_none_is_taken() {
    let json: serde_json::Value = serde_json::from_str(&recorded("1.14.0/info-lxd.json")).unwrap();
    let (name, written) = json["info"].as_object().unwrap().iter().next().unwrap();
    assert!(written["ipv4"].as_array().unwrap().len() > 1, "it has several");
    let address = Vm::of_info(name, json.to_string().as_bytes()).unwrap().address().unwrap();
    assert_eq!(address.to_string(), written["ipv4"][0].as_str().unwrap());
    assert_ne!(address.octets()[..2], [10, 42], "{address}");
    assert_ne!(address, Ipv4Addr::LOCALHOST);
}

#[rstest]
#[case::timeout("1.14.0/launch-timeout.txt", "LaunchTimeout")]
#[case::client("1.16.1/launch-client-timeout.txt", "LaunchTimeout")]
#[case::no_response("1.10.1/launch-no-response.txt", "LaunchTimeout")]
#[case::taken("1.16.1/launch-name-taken.txt", "NameTaken")]
#[case::no_space("1.16.1/launch-no-space.txt", "NoSpace")]
#[case::no_kvm("1.16.1/launch-no-kvm.txt", "NoVirtualization")]
#[case::no_image("1.16.1/launch-no-image.txt", "NoImage")]
#[case::unreachable("1.14.0/launch-unreachable.txt", "NoImage")]
#[case::no_daemon("1.16.1/no-daemon.txt", "NoDaemon")]
#[case::no_permission("1.16.1/no-permission.txt", "NotPermitted")]
#[case::not_authenticated("1.16.1/not-authenticated.txt", "NotPermitted")]
fn every_failure_of_a_launch_is_named(#[case] file: &str, #[case] variant: &str) {
    let asked =
        Asked { name: "box", release: "24.04", memory: Size::gib(20), disk: Size::gib(50), within: Duration::from_secs(900) };
    let failed = CallError::Failed { command: "multipass launch".to_owned(), code: Some(2), output: recorded(file) };
    let error = MultipassError::of_launch(asked, failed);
    assert!(format!("{error:?}").starts_with(variant), "{error:?}");
    assert!(miette::Diagnostic::help(&error).is_some(), "it has a remedy");
}

#[test]
fn a_vm_that_is_not_there_and_one_that_is_off_are_told_apart() {
    let failed = |file| CallError::Failed { command: String::new(), code: Some(2), output: recorded(file) };
    assert!(is_of_no_vm(&failed("1.16.1/info-missing.txt")));
    assert!(!is_of_no_vm(&failed("1.16.1/transfer-off.txt")) && !is_of_no_vm(&failed("1.16.1/start-deleted.txt")));
}
