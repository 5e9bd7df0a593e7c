//! Commands in containers, and what a container's own process reads and prints.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use k3s_arc_container::{Input, Output};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::socket::{Handshake, Receiver, Sender};
use crate::api::answer::Answer;
use crate::api::request::Query;
use crate::node::kubelet::{ExecError, Kubelet, Streams};
use crate::status::Refusal;

/// What is spoken, the best first (`apimachinery/pkg/util/remotecommand/constants.go`).
pub(super) const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// Since v5: the client will send no more on the channel that is named.
const CLOSE: u8 = 255;

/// Input that is read ahead.
const AHEAD: usize = 64 * 1024;

/// A container.
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

/// Which streams a client wants.
#[derive(Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

pub(super) fn answer(
    query: &Query,
    kubelet: Arc<Kubelet>,
    place: Place,
    attach: bool,
    handshake: Handshake,
) -> Result<Answer, Refusal> {
    let flag = |name| query.flag(name);
    let wanted = Wanted { stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr"), tty: flag("tty") };
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let command: Vec<String> = query.all("command").into_iter().map(str::to_owned).collect();
    let plain = handshake.protocol.is_none_or(|protocol| !protocol.starts_with('v'));
    Ok(handshake.accept(move |sender, receiver| async move {
        let (output, written) = mpsc::unbounded_channel();
        let (input, stdin) = tokio::io::duplex(AHEAD);
        let streams = Streams {
            stdin: if wanted.stdin { Input::new(stdin) } else { Input::empty() },
            stdout: on_channel(&output, STDOUT, wanted.stdout),
            // A terminal has but one stream.
            stderr: on_channel(&output, if wanted.tty { STDOUT } else { STDERR }, wanted.stderr || wanted.tty),
        };
        let running = async move {
            if attach {
                let attached = kubelet.attach(&place.namespace, &place.pod, &place.container, streams).await;
                attached.map_or_else(|refusal| refusal.to_json(), |()| success())
            } else {
                told(kubelet.exec(&place.namespace, &place.pod, &place.container, &command, streams).await)
            }
        };
        drop(output);
        serve(wanted, plain, (sender, receiver), (input, written), running).await;
    }))
}

/// An output that is sent on a channel; into nothing, if nobody wants it.
fn on_channel(to: &UnboundedSender<(u8, Bytes)>, channel: u8, wanted: bool) -> Output {
    let to = to.clone();
    if !wanted {
        return Output::null();
    }
    Output::new(move |bytes| to.send((channel, Bytes::copy_from_slice(bytes))).map_err(|_| io::ErrorKind::BrokenPipe.into()))
}

/// Carries messages both ways until the command has ended and all that it printed is sent; a client that goes away ends it.
async fn serve(
    wanted: Wanted,
    plain: bool,
    (mut sender, mut receiver): (Sender, Receiver),
    (input, mut written): (DuplexStream, UnboundedReceiver<(u8, Bytes)>),
    running: impl Future<Output = Value>,
) {
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    // Tells the client that the connection stands.
    if !sender.send(first, b"").await {
        return;
    }
    let mut stdin = Stdin { to: Some(input), pending: Bytes::new(), is_last: false };
    tokio::pin!(running);
    let (mut ended, mut is_open) = (None, true);
    let status = loop {
        tokio::select! {
            biased;
            piece = written.recv(), if is_open => match piece {
                Some((channel, bytes)) => if !sender.send(channel, &bytes).await { return },
                // Every output of the command is closed; it may go on without.
                None => is_open = false,
            },
            status = &mut running, if ended.is_none() => ended = Some(status),
            () = stdin.feed() => {}
            // A command that does not read keeps its client from sending.
            message = receiver.next(), if stdin.pending.is_empty() => match message {
                Some((STDIN, bytes)) => stdin.pending = bytes,
                Some((CLOSE, channel)) if channel.first() == Some(&STDIN) => stdin.close(),
                // The size of a terminal, most likely.
                Some(_) => {}
                None => return,
            },
        }
        if written.is_empty()
            && let Some(status) = ended.take()
        {
            break status;
        }
    };
    let text = if plain { status["message"].as_str().unwrap_or_default().to_owned() } else { status.to_string() };
    if !(plain && status["status"] == "Success") {
        sender.send(ERROR, text.as_bytes()).await;
    }
    sender.close().await;
}

/// What a client sends for the command to read.
struct Stdin {
    /// None: the command reads no more, or the client sends no more.
    to: Option<DuplexStream>,
    pending: Bytes,
    is_last: bool,
}

impl Stdin {
    /// Hands over some of what is pending; for ever, when nothing is. What is not handed over when this is dropped stays pending.
    async fn feed(&mut self) {
        let Some(to) = self.to.as_mut().filter(|_| !self.pending.is_empty()) else { return std::future::pending().await };
        match to.write(&self.pending).await {
            Ok(count @ 1..) => self.pending.advance(count),
            _ => {
                self.to = None;
                self.pending.clear();
            }
        }
        if self.is_last && self.pending.is_empty() {
            self.to = None;
        }
    }

    fn close(&mut self) {
        self.is_last = true;
        if self.pending.is_empty() {
            self.to = None;
        }
    }
}

fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// How a command ended, as the kubelet tells it (`cri/streaming/remotecommand/exec.go`).
fn told(ended: Result<i32, ExecError>) -> Value {
    match ended {
        Ok(0) => success(),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(ExecError::Refused(refusal)) => refusal.to_json(),
        Err(ExecError::NotStarted(why)) => {
            let id = uuid::Uuid::new_v4().simple().to_string().repeat(2);
            let why = format!(
                "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec \"{id}\": {why}"
            );
            Refusal::internal(&why).to_json()
        }
    }
}
