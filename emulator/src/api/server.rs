//! Connections: TLS, client certificates, HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::access::authority::user_of;
use crate::cluster::Cluster;

/// The header of every answer, which no real API server sends: whoever has only an address can tell them apart.
pub const EMULATED: &str = "x-emulated-by";

/// How long a client may take for its handshake and for the headers of a request (Kubernetes' server: 32 s).
const PATIENCE: Duration = Duration::from_secs(32);

/// How much all headers of a request may have together, and how many there may be. Go's server counts the bytes only.
const MOST_HEADERS: (usize, usize) = (1 << 20, 1000);

/// Serves until `stop` says so or is dropped. Every connection is a task of its own.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, cluster: Arc<Cluster>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: those who are served now must finish first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if cluster.faults.is_down() {
            continue;
        }
        let (tls, cluster, mut stop) = (tls.clone(), cluster.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(stream, peer, tls, cluster.clone()) => {}
                () = cluster.faults.down() => {}
                _ = stop.changed() => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: TlsAcceptor, cluster: Arc<Cluster>) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let user = session.peer_certificates().and_then(|chain| user_of(chain.first()?)).map(Arc::new);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (cluster, user) = (cluster.clone(), user.clone());
        async move {
            let mut answer = super::handle(&cluster, user.as_deref(), request).await;
            answer.headers_mut().insert(EMULATED, HeaderValue::from_static("k3s-arc-emulator"));
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .half_close(false)
        .max_buf_size(MOST_HEADERS.0)
        .max_headers(MOST_HEADERS.1);
    let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}
