//! Connections to a pod's ports, two channels each: its data and its errors (`kubelet/pkg/cri/streaming/portforward`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;

use super::socket::Handshake;
use crate::api::answer::Answer;
use crate::api::request::Query;
use crate::node::kubelet::Kubelet;
use crate::status::Refusal;

/// What is spoken, the best first.
pub(super) const PROTOCOLS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// Channels are numbered by a byte, two a port.
const MOST_PORTS: usize = 100;

pub(super) fn answer(
    query: &Query,
    kubelet: Arc<Kubelet>,
    namespace: String,
    pod: String,
    handshake: Handshake,
) -> Result<Answer, Refusal> {
    let mut ports = Vec::new();
    for text in query.all("ports").iter().flat_map(|value| value.split(',')) {
        let invalid = || Refusal::bad_request(format!("invalid port {text:?}"));
        ports.push(text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid)?);
    }
    if ports.is_empty() {
        return Err(Refusal::bad_request("query parameter \"ports\" is required"));
    }
    if ports.len() > MOST_PORTS {
        return Err(Refusal::bad_request(format!("at most {MOST_PORTS} ports can be forwarded at once")));
    }
    Ok(handshake.accept(move |mut sender, mut receiver| async move {
        let (outgoing, mut written) = mpsc::unbounded_channel();
        let mut connections = JoinSet::new();
        let mut inputs = Vec::new();
        for (number, port) in ports.into_iter().enumerate() {
            let channel = u8::try_from(2 * number).unwrap_or_default();
            // Each channel begins with the port that it is about.
            for channel in [channel, channel + 1] {
                if !sender.send(channel, &port.to_le_bytes()).await {
                    return;
                }
            }
            let (input, received) = mpsc::channel(16);
            inputs.push(Some(input));
            let connection =
                Connection { kubelet: kubelet.clone(), namespace: namespace.clone(), pod: pod.clone(), port, channel };
            connections.spawn(connection.carry(received, outgoing.clone()));
        }
        drop(outgoing);
        loop {
            tokio::select! {
                piece = written.recv() => match piece {
                    Some((channel, bytes)) => if !sender.send(channel, &bytes).await { return },
                    None => break,
                },
                message = receiver.next() => match message {
                    Some((channel, bytes)) if channel % 2 == 0 => {
                        let input = inputs.get_mut(usize::from(channel / 2));
                        if let Some(Some(open)) = input && open.send(bytes).await.is_err() {
                            // That connection has ended.
                            inputs[usize::from(channel / 2)] = None;
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
        sender.close().await;
    }))
}

/// A connection to one port.
struct Connection {
    kubelet: Arc<Kubelet>,
    namespace: String,
    pod: String,
    port: u16,
    channel: u8,
}

impl Connection {
    async fn carry(self, received: mpsc::Receiver<Bytes>, outgoing: UnboundedSender<(u8, Bytes)>) {
        let stream = match self.kubelet.port_forward(&self.namespace, &self.pod, self.port).await {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!(
                    "error forwarding port {port} to pod {pod}, uid : failed to connect to localhost:{port} inside namespace: {error}",
                    port = self.port,
                    pod = self.pod
                );
                // A client that is gone needs no reason.
                let _ = outgoing.send((self.channel + 1, why.into()));
                return;
            }
        };
        let (mut from, to) = stream.into_split();
        let sending = tokio::spawn(send(received, to));
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 || outgoing.send((self.channel, Bytes::copy_from_slice(&buffer[..read]))).is_err() {
                break;
            }
        }
        sending.abort();
    }
}

async fn send(mut received: mpsc::Receiver<Bytes>, mut to: OwnedWriteHalf) {
    while let Some(bytes) = received.recv().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
