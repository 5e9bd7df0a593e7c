use std::{collections::HashMap, fs};

use rstest::rstest;

use super::*;
use crate::digest;

/// The endpoint that is chosen with these variables set and these files there.
fn chosen(variables: &[(&str, &str)], there: &[&str]) -> Result<Endpoint, EndpointError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let environment = |name: &str| variables.get(name).map(OsString::from);
    Endpoint::of(&Environment(&environment), &|path| there.contains(&path.to_str().unwrap_or_default()))
}

fn address(variables: &[(&str, &str)], there: &[&str]) -> String {
    let Endpoint { address, tls, chosen } = chosen(variables, there).unwrap();
    let tls = tls.map(|tls| format!(" with {}", tls.display())).unwrap_or_default();
    format!("{address}{tls}, {chosen}")
}

/// Docker's directory, with a context as `docker context create` of Docker 28.2 writes it.
fn docker(name: &str, endpoint: &str, current: Option<&str>, has_tls: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let id = digest::full(name.as_bytes());
    let meta = directory.path().join("contexts/meta").join(&id);
    fs::create_dir_all(&meta).unwrap();
    let text = format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{endpoint}}}}}"#);
    fs::write(meta.join("meta.json"), text).unwrap();
    if has_tls {
        let tls = directory.path().join("contexts/tls").join(&id).join("docker");
        fs::create_dir_all(&tls).unwrap();
        fs::write(tls.join("ca.pem"), "").unwrap();
    }
    let current = current.map(|current| format!(r#","currentContext":"{current}""#)).unwrap_or_default();
    fs::write(directory.path().join("config.json"), format!(r#"{{"auths":{{}}{current}}}"#)).unwrap();
    directory
}

const LAB: &str = r#"{"Host":"ssh://lab@edge","SkipTLSVerify":false}"#;

#[test]
fn a_name_gives_the_directory_that_docker_gives_it() {
    // `docker context create lab`, Docker 28.2.
    let id = digest::full(b"lab");
    assert_eq!(id, "a51146d38077ff992eba84cf1d5e9b249073503eb74868699016153b031a38f7");
}

#[test]
fn the_variable_goes_before_contexts_and_those_before_the_usual_socket() {
    let directory = docker("lab", LAB, Some("lab"), false);
    let config = directory.path().to_str().unwrap();
    let file = directory.path().join("config.json").display().to_string();
    let all = [("DOCKER_HOST", "tcp://10.0.0.7:2375"), ("DOCKER_CONTEXT", "lab"), ("DOCKER_CONFIG", config)];
    assert_eq!(address(&all, &[]), "tcp://10.0.0.7:2375, by DOCKER_HOST");
    assert_eq!(address(&all[1..], &[]), "ssh://lab@edge, by the Docker context lab, which DOCKER_CONTEXT names");
    assert_eq!(address(&all[2..], &[]), format!("ssh://lab@edge, by the Docker context lab, which {file} names"));
    let none = [("DOCKER_CONTEXT", "default"), all[2]];
    assert_eq!(address(&none, &[USUAL]), "unix:///var/run/docker.sock, the usual socket");
    let empty = [("DOCKER_HOST", ""), ("DOCKER_CONTEXT", ""), all[2]];
    assert!(address(&empty, &[]).starts_with("ssh://lab@edge"), "an empty variable counts as unset");
}

#[test]
fn a_context_that_cannot_be_followed_is_not_passed_over() {
    let directory = docker("lab", r#"{"Host":"tcp://edge:2376","SkipTLSVerify":true}"#, Some("gone"), false);
    let config = ("DOCKER_CONFIG", directory.path().to_str().unwrap());
    assert!(matches!(chosen(&[config], &[USUAL]), Err(EndpointError::NoContext { name, .. }) if name == "gone"));
    assert!(matches!(chosen(&[config, ("DOCKER_CONTEXT", "lab")], &[USUAL]), Err(EndpointError::Unverified { .. })));
    let directory = docker("empty", "{}", Some("empty"), false);
    let config = ("DOCKER_CONFIG", directory.path().to_str().unwrap());
    assert_eq!(chosen(&[config], &[]).unwrap().address, "unix:///var/run/docker.sock");
    fs::write(directory.path().join("config.json"), "{").unwrap();
    assert!(matches!(chosen(&[config], &[USUAL]), Err(EndpointError::File { .. })));
}

#[test]
fn what_a_way_is_encrypted_with_comes_from_where_the_way_does() {
    let directory = docker("lab", r#"{"Host":"tcp://edge:2376","SkipTLSVerify":false}"#, Some("lab"), true);
    let config = ("DOCKER_CONFIG", directory.path().to_str().unwrap());
    let of_context = chosen(&[config], &[]).unwrap().tls.unwrap();
    assert!(of_context.starts_with(directory.path().join("contexts/tls")) && of_context.ends_with("docker"));

    let host = ("DOCKER_HOST", "tcp://edge");
    assert_eq!(chosen(&[config, host], &[]).unwrap().tls, None);
    let verified = [host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs"), config];
    assert_eq!(chosen(&verified, &[]).unwrap().tls, Some("/certs".into()));
    assert_eq!(chosen(&[verified[0], verified[1], config], &[]).unwrap().tls.as_deref(), Some(directory.path()));
    assert_eq!(chosen(&[("DOCKER_HOST", "unix:///x"), verified[1], verified[2]], &[]).unwrap().tls, None);
    assert!(matches!(chosen(&[host, ("DOCKER_TLS", "1")], &[]), Err(EndpointError::Unverified { .. })));
}

#[test]
fn a_command_is_about_the_same_engine_in_another_shell() {
    let directory = docker("lab", LAB, Some("lab"), false);
    let config = ("DOCKER_CONFIG", directory.path().to_str().unwrap());
    let host = ("DOCKER_HOST", "tcp://edge:2376");
    let tls = [host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
    let command = |variables: &[(&str, &str)]| chosen(variables, &[USUAL]).unwrap().command();
    assert_eq!(command(&[]), "docker");
    assert_eq!(command(&[config]), "docker --context lab");
    assert_eq!(command(&[host]), "docker --host tcp://edge:2376");
    assert_eq!(command(&tls), "DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/certs docker --host tcp://edge:2376");
}

#[test]
fn where_nothing_is_at_the_usual_socket_others_are_looked_at() {
    let user = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1000")];
    let rootless = "/run/user/1000/docker.sock";
    let podman = "/run/podman/podman.sock";
    assert_eq!(address(&user, &[USUAL, rootless]), "unix:///var/run/docker.sock, the usual socket");
    let found = |path: &str| format!("unix://{path}, found; nothing is at /var/run/docker.sock");
    assert_eq!(address(&user, &[podman, rootless]), found(rootless));
    assert_eq!(address(&user, &[podman]), found(podman));
    assert_eq!(address(&user, &["/home/u/.docker/run/docker.sock", podman]), found("/home/u/.docker/run/docker.sock"));
    assert_eq!(address(&user, &[]), "unix:///var/run/docker.sock, the usual socket");
}

fn way(address: &str, tls: bool) -> Result<Way, EndpointError> {
    let tls = tls.then(|| PathBuf::from("/certs"));
    Endpoint { address: address.to_owned(), tls, chosen: Chosen::Variable }.way()
}

fn ssh(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> Way {
    let owned = |text: &str| text.to_owned();
    Way::Ssh(Destination { user: user.map(owned), host: owned(host), port, socket: socket.map(owned) })
}

#[rstest]
#[case("unix:///run/user/1000/docker.sock", Way::Socket("/run/user/1000/docker.sock".into()))]
#[case("tcp://10.0.0.7", Way::Tcp { host: "10.0.0.7".to_owned(), port: 2375 })]
#[case("10.0.0.7:4243", Way::Tcp { host: "10.0.0.7".to_owned(), port: 4243 })]
#[case("tcp://[fd00::7]:2376", Way::Tcp { host: "fd00::7".to_owned(), port: 2376 })]
#[case("ssh://edge", ssh(None, "edge", None, None))]
#[case("ssh://me@edge:2222/run/docker.sock", ssh(Some("me"), "edge", Some(2222), Some("/run/docker.sock")))]
#[case("ssh://me@edge/", ssh(Some("me"), "edge", None, None))]
fn addresses_are_taken_apart(#[case] address: &str, #[case] expected: Way) {
    assert_eq!(way(address, false).unwrap(), expected);
}

#[test]
fn by_tls_the_usual_port_is_another() {
    assert_eq!(way("tcp://edge", true).unwrap(), Way::Tcp { host: "edge".to_owned(), port: 2376 });
}

#[rstest]
#[case("unix://docker.sock", "a socket has a whole path")]
#[case("npipe:////./pipe/docker_engine", "named pipes are of Windows")]
#[case("ssh://me:secret@edge", "ssh takes no password in it")]
#[case("ssh://-oProxyCommand=x", "no host or user begins with a hyphen")]
#[case("fd://x", "its scheme is none of unix, tcp and ssh")]
#[case("tcp://", "it is no URL")]
fn what_is_no_address_is_refused(#[case] address: &str, #[case] problem: &str) {
    assert!(matches!(way(address, false), Err(EndpointError::Address { problem: found, .. }) if found == problem));
}
