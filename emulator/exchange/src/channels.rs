//! WebSockets on which the first byte of a message says which stream it belongs to, as commands in containers and forwarded
//! ports use them (`apimachinery/pkg/util/httpstream/wsstream`).

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::{Error, script::Piece};

/// The channel on which a command's end is told, as JSON.
const STATUS: u8 = 3;

/// That no more is sent on the channel which is named.
const CLOSE: u8 = 255;

/// How long nothing comes until it is believed that nothing will.
const SILENCE: Duration = Duration::from_secs(4);

/// The wish for a WebSocket, unless the script says it otherwise.
pub(super) fn wish(headers: &mut HeaderMap) {
    let wishes = [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        (header::SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io"),
    ];
    for (name, value) in wishes {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Sends what is to be sent and tells what came on each channel until the connection ended, or nothing came any more.
pub(super) async fn talk(response: Response<Incoming>, pieces: &[Piece]) -> Result<Value, Error> {
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await?);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    for piece in pieces {
        let message = match piece {
            Piece::Send { on, text } => [&[*on], text.as_bytes()].concat(),
            Piece::Close { close } => vec![CLOSE, *close],
        };
        socket.send(Message::Binary(Bytes::from(message))).await?;
    }
    let mut channels: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut answer = Map::new();
    while let Ok(message) = tokio::time::timeout(SILENCE, socket.next()).await {
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                if let Some((channel, bytes)) = bytes.split_first() {
                    channels.entry(*channel).or_default().extend_from_slice(bytes);
                }
            }
            Some(Ok(Message::Close(frame))) => {
                answer.insert("closed".to_owned(), frame.map(|frame| u16::from(frame.code)).into());
            }
            // In the protocols that are letters, channels are digits.
            Some(Ok(Message::Text(text))) if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let bytes = STANDARD.decode(&text[1..]).unwrap_or_else(|_| text.as_bytes().to_vec());
                channels.entry(text.as_bytes()[0] - b'0').or_default().extend_from_slice(&bytes);
            }
            Some(Ok(_)) => {}
            // Many servers end it without a word.
            Some(Err(_)) | None => {
                answer.insert("ended".to_owned(), true.into());
                break;
            }
        }
    }
    let told = channels.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(channel, bytes)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = if channel == STATUS { serde_json::from_str(&text).ok() } else { None };
        (channel.to_string(), status.unwrap_or_else(|| text.into()))
    });
    answer.insert("channels".to_owned(), Value::Object(told.collect()));
    Ok(answer.into())
}
