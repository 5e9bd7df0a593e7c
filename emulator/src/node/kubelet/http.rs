//! Requests of probes and hooks to pods (`pkg/probe/http`). What fails is told in the words of Go's client.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k3s_arc_container::{Net, Transport};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls;
use crate::kinds::view::{list, text};

/// The most bytes of an answer that are read.
const MOST_BODY: usize = 10 * 1024;
/// Redirections that are followed.
const MOST_REDIRECTS: usize = 10;

/// What is asked for (`HTTPGetAction`).
#[derive(Debug, Clone)]
pub(super) struct Get {
    https: bool,
    host: String,
    port: u16,
    /// With the query.
    path: String,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// The number of a port that is given as such, or by the name that the container gives it.
pub(super) fn port_of(port: &Value, container: &Value) -> Result<u16, String> {
    let number = match port {
        Value::String(name) => name.parse().ok().or_else(|| {
            let named = list(&container["ports"]).iter().find(|port| text(&port["name"]) == name);
            named.and_then(|port| port["containerPort"].as_i64())
        }),
        number => number.as_i64(),
    };
    let number = number.ok_or_else(|| format!("couldn't find port: {} in container", text(port)))?;
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

impl Get {
    pub(super) fn of(action: &Value, container: &Value, pod_ip: &str, purpose: &str) -> Result<Self, String> {
        let port = port_of(&action["port"], container)?;
        let host = Some(text(&action["host"])).filter(|host| !host.is_empty()).unwrap_or(pod_ip).to_owned();
        let path = text(&action["path"]);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let given = list(&action["httpHeaders"]).iter();
        let mut headers: Vec<(String, String)> =
            given.map(|header| (text(&header["name"]).to_owned(), text(&header["value"]).to_owned())).collect();
        let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !has(&headers, "user-agent") {
            headers.push(("User-Agent".to_owned(), format!("kube-{purpose}/1.34")));
        }
        if !has(&headers, "accept") {
            headers.push(("Accept".to_owned(), "*/*".to_owned()));
        }
        Ok(Self { https: action["scheme"] == "HTTPS", host, port, path, headers })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    fn url(&self) -> String {
        format!("{}://{}{}", if self.https { "https" } else { "http" }, self.authority(), self.path)
    }

    /// Asks. The text of an error is what Go's client says.
    pub(super) async fn send(&self, net: &Arc<dyn Net>, timeout: Option<Duration>) -> Result<Answer, String> {
        let failed = |url: &str, why: String| format!("Get \"{url}\": {why}");
        let url = self.url();
        let asked = self.follow(net);
        let Some(timeout) = timeout else {
            return asked.await.map_err(|(url, why)| failed(&url, why));
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer.map_err(|(url, why)| failed(&url, why)),
            Err(_) => Err(failed(&url, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned())),
        }
    }

    async fn follow(&self, net: &Arc<dyn Net>) -> Result<Answer, (String, String)> {
        let mut get = self.clone();
        for _ in 0..MOST_REDIRECTS {
            let (answer, location) = get.once(net).await.map_err(|why| (get.url(), why))?;
            let next = location.filter(|_| matches!(answer.status, 301 | 302 | 303 | 307 | 308));
            match next.and_then(|location| get.redirected(&location)) {
                Some(next) if next.host == self.host => get = next,
                _ => return Ok(answer),
            }
        }
        Err((get.url(), format!("stopped after {MOST_REDIRECTS} redirects")))
    }

    fn redirected(&self, location: &str) -> Option<Self> {
        let uri: http::Uri = location.parse().ok()?;
        let mut next = self.clone();
        if let Some(host) = uri.host() {
            next.https = uri.scheme_str().map_or(self.https, |scheme| scheme == "https");
            next.host = host.trim_matches(['[', ']']).to_owned();
            next.port = uri.port_u16().unwrap_or(if next.https { 443 } else { 80 });
        }
        next.path = uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned());
        Some(next)
    }

    async fn once(&self, net: &Arc<dyn Net>) -> Result<(Answer, Option<String>), String> {
        let stream = dial(net, &self.host, self.port).await?;
        if self.https { self.exchange(tls::connect(stream).await?).await } else { self.exchange(stream).await }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Answer, Option<String>), String> {
        let mut request = Request::get(&self.path);
        let has_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !has_host {
            request = request.header(header::HOST, self.authority());
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, value);
        }
        let request = request.header(header::CONNECTION, "close").body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| in_go(&e))?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|e| in_go(&e))?;
            let status = answer.status().as_u16();
            let location = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let body = Limited::new(answer.into_body(), MOST_BODY).collect().await;
            let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            Ok((Answer { status, body }, location))
        };
        tokio::pin!(answered, connection);
        let mut is_open = true;
        loop {
            tokio::select! {
                answer = &mut answered => return answer,
                // What went wrong with it, the request is told as well.
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }
}

/// hyper's errors as Go's client has them.
fn in_go(error: &hyper::Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return errno(cause);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() { "EOF".to_owned() } else { error.to_string() }
}

/// Connects to a port, as a pod sees it.
pub(super) async fn dial(net: &Arc<dyn Net>, host: &str, port: u16) -> Result<TcpStream, String> {
    let Ok(address) = host.parse::<IpAddr>() else {
        return Err(format!("dial tcp: lookup {host}: no such host"));
    };
    let to = SocketAddr::new(address, port);
    let connected = match net.route(to, Transport::Tcp) {
        Ok(real) => TcpStream::connect(real).await,
        Err(error) => Err(error),
    };
    connected.map_err(|error| format!("dial tcp {to}: connect: {}", errno(&error)))
}

/// What the C library calls an error.
fn errno(error: &io::Error) -> String {
    let name = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::UnexpectedEof => "EOF",
        _ => return error.to_string(),
    };
    name.to_owned()
}
