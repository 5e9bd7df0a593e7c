//! What goes back to a client: bodies whole or streamed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Frame};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::status::Refusal;

/// The body of an answer.
pub(crate) type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;
/// A whole answer.
pub(crate) type Answer = Response<Body>;

/// A body of one piece. An empty `content_type` is none.
pub(crate) fn whole(code: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !content_type.is_empty()
        && let Ok(value) = HeaderValue::from_str(content_type)
    {
        answer.headers_mut().insert(CONTENT_TYPE, value);
    }
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// JSON, with the line end that Go's encoder writes.
pub(crate) fn json(code: u16, value: &Value) -> Answer {
    whole(code, "application/json", format!("{value}\n"))
}

/// The Status in an answer, for clients that want it in another encoding.
#[derive(Clone)]
pub(crate) struct Refused(pub(crate) Value);

/// A text, as Go's `http.Error` sends it.
pub(crate) fn text(code: u16, message: &str) -> Answer {
    let mut answer = whole(code, "text/plain; charset=utf-8", format!("{message}\n"));
    answer.headers_mut().insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    answer
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.to_json();
        let mut answer = json(refusal.code, &status);
        answer.extensions_mut().insert(Refused(status));
        let wait = refusal.details.as_ref().and_then(|d| d["retryAfterSeconds"].as_i64());
        if let Some(seconds) = wait {
            answer.headers_mut().insert("Retry-After", seconds.into());
        }
        answer
    }
}

/// The same JSON with line breaks and indentation. A body that goes on for ever stays as it is.
pub(crate) async fn pretty(answer: Answer) -> Answer {
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if !is_json || answer.body().size_hint().exact().is_none() {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes);
    let indented = serde_json::from_slice::<Value>(&body).and_then(|value| serde_json::to_vec_pretty(&value));
    Response::from_parts(parts, Full::new(indented.map_or(body, Bytes::from)).boxed())
}

/// Adds a Warning header for each text, in the form that kubectl reads (RFC 7234, code 299).
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            headers.append(WARNING, value);
        }
    }
}

/// A body that is written while it is read. The writer learns from its channel that the reader is gone.
pub(crate) fn stream(content_type: &str) -> (Answer, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel(64);
    let mut answer = Response::new(Stream(receiver).boxed());
    if let Ok(value) = HeaderValue::from_str(content_type) {
        answer.headers_mut().insert(CONTENT_TYPE, value);
    }
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    (answer, sender)
}

struct Stream(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
