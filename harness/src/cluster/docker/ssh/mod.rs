//! The way to an engine by ssh, as the docker command line goes it (<https://github.com/docker/cli/blob/v28.2.2/cli/connhelper/ssh/ssh.go>): the
//! user's own `ssh`, with their keys, agent, `~/.ssh/config` and known hosts.
//!
//! bollard's own way by ssh is not taken: it leaves its `ssh` behind when the process is killed, and knows no path in the address.

mod dial;
mod tunnel;

use std::{fs, path::Path, process::Command};

pub use self::tunnel::TunnelError;
pub(super) use self::{dial::connect, tunnel::Tunnel};
use super::endpoint::Destination;

/// Nobody is there to be asked for a password, or whether a host is the right one; and a connection that the user shares between
/// their own sessions is not to end with ours, nor ours with it.
const OPTIONS: [&str; 5] =
    ["BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "ControlMaster=no", "ControlPath=none"];

/// Ends the ways to the clusters of a run, by its directory of clusters.
pub(in crate::cluster) fn end_tunnels(clusters: &Path) {
    for cluster in fs::read_dir(clusters).into_iter().flatten().flatten() {
        Tunnel::in_directory(&cluster.path()).end();
    }
}

/// `ssh` with these options and arguments to a destination, running `there` if that is anything.
fn command(destination: &Destination, arguments: &[&str], there: &[String]) -> Command {
    let mut command = Command::new("ssh");
    for option in OPTIONS {
        command.args(["-o", option]);
    }
    command.arg("-T").args(arguments);
    if let Some(user) = &destination.user {
        command.args(["-l", user]);
    }
    if let Some(port) = destination.port {
        command.args(["-p", &port.to_string()]);
    }
    command.arg("--").arg(&destination.host).args(there);
    command
}

/// What the other host runs to lead to its engine.
fn dial_stdio(destination: &Destination) -> Vec<String> {
    // Its shell reads it.
    let quoted = |socket: &String| format!("'unix://{}'", socket.replace('\'', r"'\''"));
    let socket = destination.socket.iter().flat_map(|socket| ["--host".to_owned(), quoted(socket)]);
    let dial = ["system".to_owned(), "dial-stdio".to_owned()];
    std::iter::once("docker".to_owned()).chain(socket).chain(dial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        words[2 * OPTIONS.len()..].join(" ")
    }

    #[test]
    fn the_other_host_is_told_what_the_address_says() {
        let plain = Destination { user: None, host: "edge".to_owned(), port: None, socket: None };
        assert_eq!(words(&command(&plain, &[], &dial_stdio(&plain))), "-T -- edge docker system dial-stdio");
        let whole = Destination {
            user: Some("me".to_owned()),
            port: Some(2222),
            socket: Some("/run/user/1000/it's.sock".to_owned()),
            ..plain
        };
        assert_eq!(
            words(&command(&whole, &["-N"], &dial_stdio(&whole))),
            r"-T -N -l me -p 2222 -- edge docker --host 'unix:///run/user/1000/it'\''s.sock' system dial-stdio"
        );
    }
}
