//! What servers reply, seen from inside a pod.

use std::{error::Error, fmt::Display, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use k3s_arc_container::{Container, Net};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, time::timeout};

use super::dns::{Resolver, again};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a body, in bytes: more than the pod's log should hold is no answer.
const LIMIT: usize = 64 * 1024;

/// Calls to make. They are answered in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// One after the other.
    pub calls: Vec<Call>,
    /// For how many milliseconds a call that fails, by its status too, is made again.
    #[serde(default)]
    pub patience_ms: u64,
}

/// One call of a server. Hosts are names, resolved as an application does it, or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Opens a TCP connection to `host:port` and closes it.
    Connect(String),
    /// GETs an `http://host:port/path`.
    Get(String),
    /// PUTs a body to an `http://host:port/path`.
    Put {
        /// Where to.
        url: String,
        /// What.
        body: String,
    },
}

impl Call {
    /// The URL, or the host and port.
    pub fn target(&self) -> &str {
        match self {
            Call::Connect(target) | Call::Get(target) | Call::Put { url: target, .. } => target,
        }
    }
}

/// To each call the reply, or why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// In the calls' order.
    pub replies: Vec<Result<Reply, String>>,
}

/// What a server replied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The address that was connected to.
    pub address: SocketAddr,
    /// The status; 0 for [`Call::Connect`], which asks for none.
    pub status: u16,
    /// The body. One of more than 64 KiB is an error.
    pub body: String,
}

impl Reply {
    /// Whether the connection was all that was asked for, or the status is a 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self.status, 0 | 200..=299)
    }
}

/// Makes the calls.
///
/// # Errors
/// What could not be read of the pod's own files; a call that fails is an answer.
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    let caller = Caller { resolver: Resolver::of(container)?, net: container.net.clone() };
    let patience = Duration::from_millis(request.patience_ms);
    let mut replies = Vec::new();
    for call in &request.calls {
        let good = |reply: &Result<Reply, String>| reply.as_ref().is_ok_and(Reply::is_success);
        replies.push(again(patience, || caller.make(call), good).await);
    }
    Ok(Answer { replies })
}

/// Who calls: names are resolved, and servers reached, as its pod does it.
struct Caller {
    resolver: Resolver,
    net: Arc<dyn Net>,
}

impl Caller {
    async fn make(&self, call: &Call) -> Result<Reply, String> {
        let (method, target, body) = match call {
            Call::Connect(target) => (Method::CONNECT, target, ""),
            Call::Get(url) => (Method::GET, url, ""),
            Call::Put { url, body } => (Method::PUT, url, body.as_str()),
        };
        match timeout(PATIENCE, self.talk(method, target, body)).await {
            Ok(reply) => reply,
            Err(_) => Err(format!("{target}: no reply within {} s", PATIENCE.as_secs())),
        }
    }

    async fn talk(&self, method: Method, target: &str, body: &str) -> Result<Reply, String> {
        let failed = |error: &dyn Display| format!("{target}: {error}");
        let uri: Uri = target.parse().map_err(|error| failed(&error))?;
        let (Some(authority), Some(port)) = (uri.authority(), uri.port_u16()) else {
            return Err(failed(&"no host with a port"));
        };
        let (stream, address) = self.connect(authority.host(), port).await.map_err(|error| failed(&error))?;
        if method == Method::CONNECT {
            return Ok(Reply { address, status: 0, body: String::new() });
        }
        let request = hyper::Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, authority.as_str())
            .header(CONNECTION, "close")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| failed(&error))?;
        let (status, body) = exchange(stream, request).await.map_err(|error| failed(&error))?;
        Ok(Reply { address, status, body })
    }

    /// Connects to the first address that accepts.
    async fn connect(&self, host: &str, port: u16) -> Result<(TcpStream, SocketAddr), String> {
        let addresses = match host.trim_matches(['[', ']']).parse() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.find(host).await?.addresses,
        };
        let mut refused = format!("{host} has no address");
        for address in addresses {
            let address = SocketAddr::new(address, port);
            match self.net.connect(address).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => refused = format!("{address}: {error}"),
            }
        }
        Err(refused)
    }
}

/// Sends a request over a connection, and takes in the status and the body of the reply.
async fn exchange(
    stream: TcpStream,
    request: hyper::Request<Full<Bytes>>,
) -> Result<(u16, String), Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let reply = async {
        let reply = sender.send_request(request).await?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), LIMIT).collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection does the sending and receiving; it may end before the reply has been taken in.
    let connection = async {
        match connection.await {
            Ok(()) => pending().await,
            Err(error) => Err(error.into()),
        }
    };
    tokio::select! {
        biased;
        reply = reply => reply,
        broken = connection => broken,
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing};
    use k3s_arc_container::HostNet;
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::Behind;

    fn caller() -> Caller {
        caller_in(Arc::new(HostNet))
    }

    fn caller_in(net: Arc<dyn Net>) -> Caller {
        let hosts = "127.0.0.1 component.test\n::1 component.test\n10.43.0.7 service.test\n";
        Caller { resolver: Resolver::new("nameserver 127.0.0.1\n", hosts, net.clone()).unwrap(), net }
    }

    async fn serve() -> SocketAddr {
        let routes = Router::new()
            .route("/healthz", routing::get(|| async { "ok" }))
            .route("/echo", routing::put(|body: String| async move { body }))
            .route("/much", routing::get(|| async { "x".repeat(LIMIT + 1) }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        address
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_its_server_asked() {
        let address = serve().await;
        let get = Call::Get(format!("http://component.test:{}/healthz", address.port()));
        assert_eq!(caller().make(&get).await, Ok(Reply { address, status: 200, body: "ok".to_owned() }));
    }

    #[tokio::test]
    async fn a_body_is_put() {
        let address = serve().await;
        let put = Call::Put { url: format!("http://{address}/echo"), body: "data".to_owned() };
        assert_eq!(caller().make(&put).await.unwrap().body, "data");
    }

    #[tokio::test]
    async fn a_connection_alone_asks_for_no_status() {
        let address = serve().await;
        let connect = Call::Connect(address.to_string());
        assert_eq!(caller().make(&connect).await, Ok(Reply { address, status: 0, body: String::new() }));
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_is_a_reply() {
        let get = Call::Get(format!("http://{}/none", serve().await));
        assert_eq!(caller().make(&get).await.unwrap().status, 404);
    }

    #[rstest::rstest]
    #[case::closed("http://127.0.0.1:1/", "127.0.0.1:1: ")]
    #[case::without_port("http://127.0.0.1/", "no host with a port")]
    #[case::no_host("/healthz", "no host with a port")]
    #[tokio::test]
    async fn what_fails_says_where(#[case] url: &str, #[case] says: &str) {
        let error = caller().make(&Call::Get(url.to_owned())).await.unwrap_err();
        assert!(error.starts_with(&format!("{url}: ")) && error.contains(says), "{error}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_taken_in() {
        let get = Call::Get(format!("http://{}/much", serve().await));
        assert!(caller().make(&get).await.unwrap_err().contains("length limit exceeded"));
    }

    #[tokio::test]
    async fn a_server_is_reached_where_the_network_leads() {
        let seen = "10.43.0.7:80".parse().unwrap();
        let net = Behind { seen, real: serve().await };
        let get = Call::Get("http://service.test:80/healthz".to_owned());
        let expected = Reply { address: seen, status: 200, body: "ok".to_owned() };
        assert_eq!(caller_in(Arc::new(net)).make(&get).await, Ok(expected));
    }
}
