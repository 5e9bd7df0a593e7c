//! WebSockets with channels: the first byte of a message says which of a connection's streams it belongs to
//! (`apimachinery/pkg/util/httpstream/wsstream`).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::api::answer::{self, Answer};
use crate::cluster::Cluster;
use crate::status::Refusal;

/// The most that one message may have: clients send their input in pieces of 32 KiB.
const MOST: usize = 1 << 20;

/// A client's wish for a WebSocket.
pub(super) struct Handshake {
    key: HeaderValue,
    upgrade: OnUpgrade,
    cluster: Arc<Cluster>,
    /// What was agreed on, if anything was offered.
    pub(super) protocol: Option<&'static str>,
}

impl Handshake {
    /// What a request wishes for; `protocols` are the server's, the best first.
    pub(super) fn of(cluster: &Arc<Cluster>, parts: &Parts, protocols: &[&'static str]) -> Result<Self, Refusal> {
        let has = |name, word: &str| words(&parts.headers, name).any(|found| found.eq_ignore_ascii_case(word));
        let required = || Refusal::bad_request("Upgrade request required");
        if !has(CONNECTION.as_str(), "upgrade") {
            return Err(required());
        }
        if has(UPGRADE.as_str(), "SPDY/3.1") {
            let why = "SPDY is not emulated: use a client that speaks WebSockets (kubectl v1.31 or newer, kube-rs)";
            return Err(Refusal::bad_request(why));
        }
        let upgrade = parts.extensions.get::<OnUpgrade>().filter(|_| has(UPGRADE.as_str(), "websocket"));
        let (Some(upgrade), Some(key)) = (upgrade, parts.headers.get("sec-websocket-key")) else { return Err(required()) };
        let offered: Vec<&str> = words(&parts.headers, "sec-websocket-protocol").collect();
        let protocol = protocols.iter().copied().find(|protocol| offered.contains(protocol));
        if protocol.is_none() && !offered.is_empty() {
            let why = format!("unable to negotiate protocol: client supports {offered:?}, server accepts {protocols:?}");
            return Err(Refusal::bad_request(why));
        }
        Ok(Self { key: key.clone(), upgrade: upgrade.clone(), cluster: cluster.clone(), protocol })
    }

    /// Agrees, and gives the connection to `serve` once the answer is out.
    pub(super) fn accept<Serving>(self, serve: impl FnOnce(Sender, Receiver) -> Serving + Send + 'static) -> Answer
    where
        Serving: Future<Output = ()> + Send,
    {
        let mut answer = answer::whole(101, "", "");
        let headers = answer.headers_mut();
        headers.clear();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(self.key.as_bytes())) {
            headers.insert("Sec-WebSocket-Accept", accept);
        }
        if let Some(protocol) = self.protocol {
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
        }
        let base64 = self.protocol.is_some_and(|protocol| protocol.contains("base64"));
        tokio::spawn(async move {
            let upgraded = match self.upgrade.await {
                Ok(upgraded) => TokioIo::new(upgraded),
                Err(error) => return tracing::debug!(%error, "a WebSocket did not come to be"),
            };
            let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
            let (sink, stream) = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await.split();
            tokio::select! {
                () = serve(Sender { sink, base64 }, Receiver { stream, base64 }) => {}
                // It is a connection of the server's like any other.
                () = self.cluster.faults.down() => {}
            }
        });
        answer
    }
}

/// The words of a header that is a list.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The server's half.
pub(super) struct Sender {
    sink: SplitSink<Socket, Message>,
    base64: bool,
}

impl Sender {
    /// Sends a message on a channel; false when the client is gone.
    pub(super) async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        let message = if self.base64 {
            Message::Text(format!("{}{}", char::from(b'0' + channel), STANDARD.encode(bytes)).into())
        } else {
            Message::Binary([&[channel], bytes].concat().into())
        };
        self.sink.send(message).await.is_ok()
    }

    /// Ends the connection in order.
    pub(super) async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        // A client that is gone needs no farewell.
        let _ = self.sink.send(Message::Close(Some(frame))).await;
        let _ = self.sink.close().await;
    }
}

/// The client's half.
pub(super) struct Receiver {
    stream: SplitStream<Socket>,
    base64: bool,
}

impl Receiver {
    /// The next message and its channel; none when the client has closed, or sends what is not understood.
    pub(super) async fn next(&mut self) -> Option<(u8, Bytes)> {
        loop {
            match self.stream.next().await?.ok()? {
                Message::Binary(bytes) if !self.base64 => {
                    let channel = *bytes.first()?;
                    return Some((channel, bytes.slice(1..)));
                }
                Message::Text(text) if self.base64 => {
                    let channel = text.bytes().next()?.checked_sub(b'0')?;
                    return Some((channel, STANDARD.decode(text.get(1..)?).ok()?.into()));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                _ => return None,
            }
        }
    }
}
