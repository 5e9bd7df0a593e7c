//! From a port of this host's loopback to one of the engine's host's: K3s's API is published on that loopback, and on nothing else.
//!
//! Everybody who uses a cluster goes through its tunnel, people with `kubectl` too. So it is no process's but the cluster's: it outlives the one that
//! opened it, lies beside the cluster's kubeconfig by name, and whoever removes the run ends it. Where it broke, the next process that
//! comes to the cluster opens it anew, at the same port.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{Destination, command};
use crate::cluster::{lock, process::Process};

/// Beside a cluster's kubeconfig: the process.
const PROCESS: &str = "tunnel.json";
/// Held by who opens it.
const TURN: &str = "tunnel.lock";
/// What `ssh` said.
const LOG: &str = "tunnel.log";

/// How long ssh may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no way to a cluster's API.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("ssh opens no way from 127.0.0.1:{local} to {remote} on {host}: {said}")]
#[diagnostic(
    code(k3s_arc::docker::tunnel),
    help("`ssh -N -L {local}:{remote} {host}` shows why; its sshd must allow forwarding (AllowTcpForwarding)")
)]
pub struct TunnelError {
    /// The port here.
    pub local: u16,
    /// Where it is to lead, seen from the other host.
    pub remote: String,
    /// The other host.
    pub host: String,
    /// What ssh said.
    pub said: String,
}

/// The tunnel of a cluster, by the directory of its kubeconfig.
#[derive(Debug)]
pub(in super::super) struct Tunnel(PathBuf);

impl Tunnel {
    pub(in super::super) fn in_directory(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Sees to it that a port of this host's leads to one of the other's.
    pub(in super::super) async fn ensure(&self, destination: &Destination, local: u16, remote: u16) -> Result<(), TunnelError> {
        let forward = format!("127.0.0.1:{local}:127.0.0.1:{remote}");
        let ssh = command(destination, &["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward], &[]);
        let (remote, host) = (format!("127.0.0.1:{remote}"), destination.host.clone());
        self.ensure_by(ssh, local).await.map_err(|said| TunnelError { local, remote, host, said })
    }

    /// The same, by this command; or what it said.
    async fn ensure_by(&self, ssh: Command, local: u16) -> Result<(), String> {
        // Of several runs that use a kept cluster, one opens it.
        let turn = lock::exclusive(&self.0.join(TURN), "another process opens the way to the cluster").await;
        let _turn = turn.map_err(|error| error.to_string())?;
        if is_open(local) {
            return Ok(());
        }
        self.end();
        let mut ssh = self.start(ssh).map_err(|error| error.to_string())?;
        let opened = async {
            loop {
                if is_open(local) {
                    return Ok(());
                }
                if let Ok(Some(status)) = ssh.try_wait() {
                    return Err(self.said().unwrap_or_else(|| status.to_string()));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let opened = tokio::time::timeout(PATIENCE, opened).await;
        let opened = opened.unwrap_or_else(|_| Err(format!("nothing in {} s", PATIENCE.as_secs())));
        if opened.is_err() {
            self.end();
        }
        opened
    }

    fn start(&self, mut ssh: Command) -> io::Result<Child> {
        let mut ssh = ssh
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.0.join(LOG))?)
            // Signals to this process's group, of a terminal or of nextest, are not meant for it.
            .process_group(0)
            .spawn()?;
        // Without the note nobody would end it.
        let noted = Process::of(ssh.id()).map(|process| serde_json::to_vec(&process));
        let noted = noted.and_then(Result::ok).and_then(|json| fs::write(self.0.join(PROCESS), json).ok());
        if noted.is_none() && matches!(ssh.try_wait(), Ok(None)) {
            ssh.kill()?;
            return Err(io::Error::other(format!("{} cannot be written", self.0.join(PROCESS).display())));
        }
        Ok(ssh)
    }

    /// Ends it, if there is one.
    pub(in super::super) fn end(&self) {
        let path = self.0.join(PROCESS);
        let process = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Process>(&text).ok());
        if let Some(process) = process {
            process.terminate();
        }
        let _ = fs::remove_file(path);
    }

    fn said(&self) -> Option<String> {
        let text = fs::read_to_string(self.0.join(LOG)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// Whether somebody listens on a port of this host's loopback.
fn is_open(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::docker::route::free_port;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_tunnel_outlives_who_opened_it_and_ends_when_it_is_ended() {
        let clusters = tempfile::tempdir().unwrap();
        let directory = clusters.path().join("one");
        fs::create_dir(&directory).unwrap();
        let tunnel = Tunnel::in_directory(&directory);
        let port = free_port().unwrap();
        let listens = async {
            // Once it was started.
            while !directory.join(PROCESS).exists() {
                tokio::time::sleep(LOOK).await;
            }
            tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap()
        };
        let (opened, listener) = tokio::join!(tunnel.ensure_by(shell("exec sleep 60"), port), listens);
        opened.unwrap();
        let read = || serde_json::from_slice::<Process>(&fs::read(directory.join(PROCESS)).unwrap()).unwrap();
        let process = read();
        assert!(process.runs());
        tunnel.ensure_by(shell("exit 1"), port).await.unwrap();
        assert_eq!(read(), process, "one that is open is not opened again");
        drop(listener);
        super::super::end_tunnels(clusters.path());
        assert!(!directory.join(PROCESS).exists());
        while process.runs() {
            tokio::time::sleep(LOOK).await;
        }
    }

    #[tokio::test]
    async fn what_is_said_of_one_that_does_not_open_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let said = "channel_setup_fwd_listener_tcpip: cannot listen to port: 6443";
        let failing = shell(&format!("echo '{said}' >&2; exit 255"));
        let opened = Tunnel::in_directory(directory.path()).ensure_by(failing, free_port().unwrap()).await;
        assert_eq!(opened.unwrap_err(), said);
        assert!(!directory.path().join(PROCESS).exists());
    }
}
