//! The kubelet: runs the pods that are bound to its node, and tells the API how they are (`pkg/kubelet`).

use std::io;

use k3s_arc_container::{Input, Output};
use tokio::net::TcpStream;

use crate::status::Refusal;

/// Standard streams of a command in a container.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// Why a command did not run.
#[derive(Debug)]
pub(crate) enum ExecError {
    /// The container does not run, or is not there: the request is refused.
    Refused(Refusal),
    /// It could not be started (`OCI runtime exec failed: ...`): told in the stream of errors.
    NotStarted(String),
}

/// What a log is asked for (`PodLogOptions`).
#[derive(Debug, Clone, Default)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) since: Option<jiff::Timestamp>,
    pub(crate) tail: Option<usize>,
    pub(crate) limit: Option<usize>,
}

/// A node's kubelet.
#[derive(Debug)]
pub(crate) struct Kubelet;

impl Kubelet {
    /// The log of a container, piece by piece until it is over (or the container is, when it is followed).
    pub(crate) fn log(
        &self,
        _namespace: &str,
        _pod: &str,
        _container: &str,
        _options: &LogOptions,
    ) -> Result<tokio::sync::mpsc::Receiver<bytes::Bytes>, Refusal> {
        Err(Refusal::internal("nothing runs yet"))
    }

    /// Runs a command in a container to its end. Returns its exit code.
    pub(crate) async fn exec(
        &self,
        _namespace: &str,
        _pod: &str,
        _container: &str,
        _command: &[String],
        _streams: Streams,
    ) -> Result<i32, ExecError> {
        Err(ExecError::Refused(Refusal::internal("nothing runs yet")))
    }

    /// Takes part in what a container's first process reads and prints, until it ends. Returns once that is so.
    pub(crate) async fn attach(&self, _namespace: &str, _pod: &str, _container: &str, _streams: Streams) -> Result<(), Refusal> {
        Err(Refusal::internal("nothing runs yet"))
    }

    /// Connects to a port of a pod.
    pub(crate) async fn port_forward(&self, _namespace: &str, _pod: &str, _port: u16) -> io::Result<TcpStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}
