//! Clients of a cluster's API: patient with one that pauses or starts again, and not for ever.
//!
//! kube-rs gives up at once where nobody listens, as for the seconds in which K3s starts again, and waits without end for an
//! answer that does not come, as from a K3s that is frozen. Here the first is tried again, and the second has an end.

mod proxy;

use std::{io, path::Path, task, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, Uri};
use hyper_util::client::{
    legacy,
    proxy::matcher::{Intercept, Matcher},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, retry::RetryPolicy},
    config::{KubeConfigOptions, Kubeconfig, NamedExtension},
};
use tokio::time::{Instant, Sleep};
use tower::{
    BoxError, Service,
    buffer::BufferLayer,
    layer::layer_fn,
    retry::{Policy, RetryLayer},
};

/// How long an answer may take, all attempts counted: longer than a laptop's short sleep or a migration of a VM freezes a
/// node, shorter than the deadlines of the checks.
pub(crate) const ANSWER: Duration = Duration::from_secs(75);

/// How long connections are tried again: K3s listens again about 10 s after it was started anew.
const CONNECTION: Duration = Duration::from_secs(30);

/// The same, where nothing at all listens: Docker's own end of a published port does for as long as the container runs.
const START: Duration = Duration::from_secs(15);

/// How long one connection may take, TLS included. A frozen server's kernel accepts it, and nothing follows.
const CONNECT: Duration = Duration::from_secs(10);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(100);

/// How many requests may wait for a connection at once, as in kube-rs.
const WAITING: usize = 1024;

/// A client that tries again where the API is not there, for half a minute at most, and waits for an answer for 75 s at most.
///
/// # Errors
/// What came back.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client, BoxError> {
    client_of(Kubeconfig::read_from(kubeconfig)?).await
}

/// The same, by a kubeconfig that has been read.
pub(super) async fn client_of(kubeconfig: Kubeconfig) -> Result<Client, BoxError> {
    match config(kubeconfig).await? {
        (config, None) => Ok(patient(ClientBuilder::try_from(config)?)),
        (config, Some(proxy)) => Ok(patient(proxy::builder(&config, &proxy)?)),
    }
}

/// A client that tells what it meets at once: to find out what is the matter.
///
/// # Errors
/// What came back.
pub(crate) async fn plain(kubeconfig: &Path) -> Result<Client, BoxError> {
    plain_of(Kubeconfig::read_from(kubeconfig)?).await
}

/// The extension of a cluster in a kubeconfig of ours that says that no proxy leads there: the network of this host's VMs is its own.
const DIRECT: &str = "k3s-arc.direct";

/// Says so.
pub(crate) fn direct() -> NamedExtension {
    NamedExtension { name: DIRECT.to_owned(), extension: serde_json::json!({"provider": "k3s-arc"}) }
}

fn is_direct(kubeconfig: &Kubeconfig) -> bool {
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    clusters.filter_map(|cluster| cluster.extensions.as_ref()).flatten().any(|extension| extension.name == DIRECT)
}

/// The same, by a kubeconfig that has been read.
pub(super) async fn plain_of(kubeconfig: Kubeconfig) -> Result<Client, BoxError> {
    match config(kubeconfig).await? {
        (mut config, None) => {
            config.default_retry = false;
            Ok(Client::try_from(config)?)
        }
        (config, Some(proxy)) => Ok(proxy::builder(&config, &proxy)?.build()),
    }
}

fn patient<S, B>(builder: ClientBuilder<S>) -> Client
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = hyper::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let builder = builder.with_layer(&BufferLayer::new(WAITING));
    builder.with_layer(&RetryLayer::new(Patience)).with_layer(&layer_fn(Bounded)).build()
}

/// What a client is made of, and the proxy to go through. A log-in plug-in is asked again when its token is about to expire.
async fn config(kubeconfig: Kubeconfig) -> Result<(Config, Option<Intercept>), BoxError> {
    let (of_kubeconfig, is_direct) = (proxy_url(&kubeconfig), is_direct(&kubeconfig));
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(CONNECT);
    config.proxy_url = None;
    let proxy = proxy::choose(&config, of_kubeconfig.as_deref(), &Matcher::from_env());
    Ok((config, proxy.filter(|_| !is_direct)))
}

/// The proxy that a kubeconfig names for the cluster of its current context.
fn proxy_url(kubeconfig: &Kubeconfig) -> Option<String> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == *current)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

/// Whether a cluster's address is one of this host's own.
fn is_here(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// No answer within [`ANSWER`].
#[derive(Debug, thiserror::Error)]
#[error("the API did not answer within {} s", ANSWER.as_secs())]
struct Silence;

/// Tries again where that cannot do harm: what never reached the server, and questions whose answer got lost.
#[derive(Debug, Clone, Copy)]
struct Patience;

/// In a request's extensions: when it was made first.
#[derive(Debug, Clone, Copy)]
struct Begun(Instant);

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Patience {
    type Future = Sleep;

    fn retry(&mut self, request: &mut Request<Body>, result: &mut Result<Response<B>, BoxError>) -> Option<Sleep> {
        let error = result.as_ref().err()?;
        let begun = request.extensions().get::<Begun>()?.0;
        let again = match trouble(&**error)? {
            Trouble::NotReached => true,
            Trouble::Lost => *request.method() == Method::GET,
        };
        let within = match io_kind(&**error) {
            // A server that is frozen.
            Some(io::ErrorKind::TimedOut) => ANSWER,
            Some(io::ErrorKind::ConnectionRefused) => START,
            _ => CONNECTION,
        };
        (again && begun.elapsed() < within).then(|| tokio::time::sleep(RETRY))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut kube = RetryPolicy::default();
        let mut cloned = Policy::<_, Response<B>, BoxError>::clone_request(&mut kube, request)?;
        cloned.extensions_mut().get_or_insert_with(|| Begun(Instant::now()));
        Some(cloned)
    }
}

/// What became of a request that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// There was no connection to send it on.
    NotReached,
    /// The connection broke before an answer came; the server may have done what was asked.
    Lost,
}

/// Nothing, where trying again would meet the same: a certificate that is not accepted.
fn trouble(error: &(dyn std::error::Error + 'static)) -> Option<Trouble> {
    let client = causes(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
    if crate::chain(error).contains("certificate") {
        return None;
    }
    Some(if client.is_connect() { Trouble::NotReached } else { Trouble::Lost })
}

/// What the operating system, or the time, did to a connection.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Lets no answer take longer than [`ANSWER`]. Only its head is meant: a watch goes on for as long as it likes.
#[derive(Debug)]
struct Bounded<S>(S);

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A log that is followed begins with its first line, however long that takes.
        let is_followed = request.uri().query().is_some_and(|query| query.contains("follow=true"));
        let answer = self.0.call(request);
        if is_followed {
            return answer.boxed();
        }
        async { tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(Silence.into())) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use kube::Api;
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[rstest]
    #[case("https://127.0.0.1:6443", true)]
    #[case("https://[::1]:6443", true)]
    #[case("https://localhost:6443", true)]
    #[case("https://10.0.0.1:6443", false)]
    #[case("https://k3s.example:6443", false)]
    fn a_cluster_on_this_host_is_told_from_others(#[case] address: &str, #[case] here: bool) {
        assert_eq!(is_here(&address.parse().unwrap()), here);
    }

    #[test]
    fn no_proxy_leads_to_a_vm_of_this_host() {
        let read = |extensions: &str| {
            let text =
                format!(r#"{{"clusters": [{{"name": "c", "cluster": {{"server": "https://10.97.0.76:6443" {extensions}}}}}]}}"#);
            Kubeconfig::from_yaml(&text).unwrap()
        };
        let marked = format!(r#", "extensions": [{}]"#, serde_json::to_string(&direct()).unwrap());
        assert!(is_direct(&read(&marked)) && !is_direct(&read("")));
    }

    /// A kubeconfig of an API at this port, without TLS.
    fn kubeconfig(port: u16) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            r#"{{"clusters": [{{"name": "c", "cluster": {{"server": "http://127.0.0.1:{port}"}}}}],
                "users": [{{"name": "u", "user": {{}}}}],
                "contexts": [{{"name": "x", "context": {{"cluster": "c", "user": "u"}}}}], "current-context": "x"}}"#
        );
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// Accepts a connection and a request on it; answers with a node, or hangs up.
    async fn serve(listener: &TcpListener, answers: bool) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        if answers {
            let body = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_api_that_does_not_listen_yet_is_tried_again() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let file = kubeconfig(port);
        let nodes: Api<Node> = Api::all(client(file.path()).await.unwrap());
        let late = async {
            tokio::time::sleep(3 * RETRY).await;
            serve(&TcpListener::bind(("127.0.0.1", port)).await.unwrap(), true).await;
        };
        let (node, ()) = tokio::join!(nodes.get("n"), late);
        assert_eq!(node.unwrap().metadata.name.as_deref(), Some("n"));
        let plain: Api<Node> = Api::all(plain(file.path()).await.unwrap());
        assert!(plain.get("n").await.is_err(), "nobody listens any more, and it is told at once");
    }

    #[tokio::test]
    async fn a_question_is_asked_again_and_an_order_is_not_given_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let file = kubeconfig(listener.local_addr().unwrap().port());
        let nodes: Api<Node> = Api::all(client(file.path()).await.unwrap());
        let hangs_up_once = async {
            serve(&listener, false).await;
            serve(&listener, true).await;
        };
        let (node, ()) = tokio::join!(nodes.get("n"), hangs_up_once);
        assert!(node.is_ok(), "{node:?}");
        let parameters = kube::api::PostParams::default();
        let (created, node) = (Node::default(), nodes.clone());
        let (created, ()) = tokio::join!(node.create(&parameters, &created), serve(&listener, false));
        assert!(created.is_err(), "whether it was created nobody knows");
    }
}
