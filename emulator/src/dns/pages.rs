//! What CoreDNS tells over HTTP: that it lives, that it is ready, and its metrics.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::instance::Page;
use super::plugin::metrics::{Counts, page};
use super::sockets::FULL;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, what: Page, counts: Counts) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    sleep(FULL).await;
                    continue;
                };
                let counts = counts.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let told = tell(what, request.uri().path(), &counts);
                    async move { Ok::<_, Infallible>(told) }
                });
                connections.spawn(async move {
                    // Who goes away while he is told something has heard enough.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

fn tell(what: Page, path: &str, counts: &Counts) -> Response<Full<Bytes>> {
    let text = match (what, path) {
        (Page::Health, "/health") | (Page::Ready, "/ready") => Some("OK".to_owned()),
        (Page::Metrics, "/metrics") => Some(page(counts)),
        _ => None,
    };
    let (status, text) = text.map_or((StatusCode::NOT_FOUND, "404 page not found\n".to_owned()), |text| (StatusCode::OK, text));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
