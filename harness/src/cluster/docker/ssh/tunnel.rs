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
    process::Stdio,
    time::Duration,
};

use super::{Destination, command};
use crate::cluster::process::Process;

/// Beside a cluster's kubeconfig: the process.
const PROCESS: &str = "tunnel.json";
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
        if is_open(local) {
            return Ok(());
        }
        self.end();
        let failed =
            |said: String| TunnelError { local, remote: format!("127.0.0.1:{remote}"), host: destination.host.clone(), said };
        let mut ssh = self.start(destination, local, remote).map_err(|error| failed(error.to_string()))?;
        let opened = async {
            loop {
                if is_open(local) {
                    return Ok(());
                }
                if let Ok(Some(status)) = ssh.try_wait() {
                    return Err(failed(self.said().unwrap_or_else(|| status.to_string())));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let opened = tokio::time::timeout(PATIENCE, opened).await;
        let opened = opened.unwrap_or_else(|_| Err(failed(format!("nothing in {} s", PATIENCE.as_secs()))));
        if opened.is_err() {
            self.end();
        }
        opened
    }

    fn start(&self, destination: &Destination, local: u16, remote: u16) -> io::Result<std::process::Child> {
        let forward = format!("127.0.0.1:{local}:127.0.0.1:{remote}");
        let arguments = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward];
        let mut ssh = command(destination, &arguments, &[])
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
