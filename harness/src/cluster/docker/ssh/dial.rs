//! A client of an engine behind ssh: each of its connections is one `ssh ... docker system dial-stdio`.
//!
//! That process reads from and writes to one end of a pair of sockets, of which this process has the other: it ends when the connection is
//! closed, and when this process is gone, whatever ended it.

use std::{
    future::{Ready, ready},
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use testcontainers::bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error as BollardError};
use tokio::{io::AsyncReadExt, sync::watch};
use tower::Service;

use super::{Destination, command, dial_stdio};

/// How long an answer may take to begin, in seconds, as testcontainers has it for the other ways.
const PATIENCE: u64 = 120;

/// How long `ssh` may take to say why, once its connection has ended.
const REASON: Duration = Duration::from_secs(1);

/// As much of what `ssh` says as an error shows, in bytes.
const SHOWN: u64 = 4096;

/// What `ssh` said last, and with it the other host's `docker`.
#[derive(Debug, Clone)]
pub(in super::super) struct Said(watch::Receiver<String>);

impl Said {
    /// Its words, if there are any soon.
    pub(in super::super) async fn words(mut self) -> Option<String> {
        let spoken = tokio::time::timeout(REASON, self.0.wait_for(|said| !said.is_empty())).await;
        spoken.ok()?.ok().map(|said| said.clone())
    }
}

/// A client of the engine at a destination, and what is heard on the way there.
pub(in super::super) fn connect(destination: &Destination) -> Result<(Docker, Said), BollardError> {
    let destination = destination.clone();
    connect_by(move || command(&destination, &[], &dial_stdio(&destination)))
}

/// A client of the engine that a command leads to.
fn connect_by(command: impl Fn() -> Command + Send + Sync + 'static) -> Result<(Docker, Said), BollardError> {
    let (said, hears) = watch::channel(String::new());
    let dial = Dial { command: Arc::new(command), said };
    // Connections are kept: each begins with all that ssh does.
    let client = Client::builder(TokioExecutor::new()).build(dial);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async { answer.await.map_err(BollardError::from) }
    };
    // Nobody looks the name up.
    let docker = Docker::connect_with_custom_transport(transport, Some("http://docker"), PATIENCE, API_DEFAULT_VERSION)?;
    Ok((docker, Said(hears)))
}

#[derive(Clone)]
struct Dial {
    command: Arc<dyn Fn() -> Command + Send + Sync>,
    said: watch::Sender<String>,
}

impl Dial {
    fn dial(&self) -> io::Result<TokioIo<tokio::net::UnixStream>> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = tokio::process::Command::from((self.command)());
        let output: OwnedFd = theirs.try_clone()?.into();
        command.stdin(OwnedFd::from(theirs)).stdout(output).stderr(Stdio::piped());
        // A Ctrl-C in this terminal is not meant for it.
        let mut child = command.process_group(0).spawn()?;
        let (stderr, said) = (child.stderr.take(), self.said.clone());
        tokio::spawn(async move {
            let mut words = String::new();
            if let Some(stderr) = stderr {
                // What is no text is not shown.
                let _ = stderr.take(SHOWN).read_to_string(&mut words).await;
            }
            let words = words.trim();
            if !words.is_empty() {
                said.send_replace(words.to_owned());
            }
            let _ = child.wait().await;
        });
        ours.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(ours).map(TokioIo::new)
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<tokio::net::UnixStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.dial())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: String) -> impl Fn() -> Command + Send + Sync + 'static {
        move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        }
    }

    /// Whether it comes true within some seconds.
    async fn comes_true(condition: impl Fn() -> bool) -> bool {
        let comes = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), comes).await.is_ok()
    }

    #[tokio::test]
    async fn what_a_command_leads_to_is_asked_and_the_command_ends_with_its_connection() {
        let directory = tempfile::tempdir().unwrap();
        let ended = directory.path().join("ended");
        // An engine's answer to a ping, once it is asked; and then until nobody asks any more.
        let answer = r"printf 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK'";
        let script = format!("read -r asked; {answer}; cat >/dev/null; : >'{}'", ended.display());
        let (docker, _) = connect_by(shell(script)).unwrap();
        assert_eq!(docker.ping().await.unwrap(), "OK");
        assert!(!ended.exists(), "the connection is kept for the next question");
        drop(docker);
        assert!(comes_true(|| ended.exists()).await);
    }

    #[tokio::test]
    async fn what_a_command_says_that_leads_nowhere_is_heard() {
        let (docker, said) = connect_by(shell("echo 'Permission denied (publickey).' >&2; exit 255".to_owned())).unwrap();
        assert!(docker.ping().await.is_err());
        assert_eq!(said.words().await.as_deref(), Some("Permission denied (publickey)."));
    }
}
