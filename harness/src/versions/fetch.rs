//! Asking K3s's channel server.
//!
//! It is asked through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, if any, and trusted if the host's own
//! certificates say so. Its answer is read leniently: of each channel the name and the newest release, whatever else there is; a
//! channel without a release, or with one that is not K3s's way of naming them, is left out.

use std::{collections::BTreeMap, time::Duration};

use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{Connect, HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::TokioExecutor,
};

use super::K3sVersion;

/// From the look-up of the server's name to its whole answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer read, in bytes. It has had 20 kB for years.
const LARGEST: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("`{url}` is no address: {problem}")]
    Address { url: String, problem: String },
    #[error("the host's certificates could not be read: {0}")]
    Certificates(std::io::Error),
    #[error("{host} cannot be reached: {problem}")]
    Unreachable { host: String, problem: String },
    #[error("{host} did not answer within {} s", PATIENCE.as_secs())]
    TooLate { host: String },
    #[error("{host} answered with {status}")]
    Refused { host: String, status: http::StatusCode },
    #[error("{host} answered something else than channels: {problem}")]
    Unreadable { host: String, problem: String },
}

/// What each channel's newest release is.
pub(super) async fn channels(url: &str) -> Result<BTreeMap<String, K3sVersion>, FetchError> {
    let no_address = |problem: &str| FetchError::Address { url: url.to_owned(), problem: problem.to_owned() };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| no_address(&error.to_string()))?;
    let host = uri.host().ok_or_else(|| no_address("it names no host"))?.to_owned();
    let answer = tokio::time::timeout(PATIENCE, get(uri, &host)).await;
    let body = answer.unwrap_or_else(|_| Err(FetchError::TooLate { host: host.clone() }))?;
    parse(&body).map_err(|problem| FetchError::Unreadable { host, problem })
}

async fn get(uri: Uri, host: &str) -> Result<Vec<u8>, FetchError> {
    let unreachable = |error: &(dyn std::error::Error + 'static)| FetchError::Unreachable {
        host: host.to_owned(),
        problem: crate::chain(error),
    };
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_native_roots().map_err(FetchError::Certificates)?;
    let builder = builder.https_or_http().enable_http1();
    let response = match Matcher::from_env().intercept(&uri) {
        None => request(builder.wrap_connector(direct), uri).await,
        Some(proxy) => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            request(builder.wrap_connector(tunnel), uri).await
        }
    };
    let response = response.map_err(|error| unreachable(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(FetchError::Refused { host: host.to_owned(), status });
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| unreachable(&*error))?;
    Ok(body.to_bytes().to_vec())
}

async fn request<C>(connector: C, uri: Uri) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client: Client<C, Empty<&'static [u8]>> = Client::builder(TokioExecutor::new()).build(connector);
    client.get(uri).await
}

/// Of `{"data":[{"name":"stable","latest":"v1.36.5+k3s1",...},...],...}`, names and releases.
fn parse(body: &[u8]) -> Result<BTreeMap<String, K3sVersion>, String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Vec<Channel>,
    }
    #[derive(serde::Deserialize)]
    struct Channel {
        name: String,
        #[serde(default)]
        latest: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let release = |channel: Channel| Some((channel.name, channel.latest?.parse().ok()?));
    let newest: BTreeMap<_, _> = answer.data.into_iter().filter_map(release).collect();
    if newest.is_empty() { Err("no channel in it has a release".to_owned()) } else { Ok(newest) }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What the channel server answers, in the shape it has had since 2020, with a field nobody knows.
    const ANSWER: &str = r#"{"type":"collection","links":{"self":"https://update.k3s.io/v1-release/channels"},"actions":{},
        "resourceType":"channels","new":{},"data":[
        {"id":"stable","type":"channel","links":{"self":"x"},"name":"stable","latest":"v1.36.5+k3s1"},
        {"id":"v1.37","type":"channel","links":{},"name":"v1.37","latest":"v1.37.1+k3s1","latestRegexp":"v1\\.37\\..*"},
        {"id":"v1.99","type":"channel","links":{},"name":"v1.99"},
        {"id":"odd","type":"channel","links":{},"name":"odd","latest":"tomorrow"}]}"#;

    /// A server on a port of this host that answers every request with the same text, and counts them.
    async fn server(answer: String) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1-release/channels", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (url, asked)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn each_channel_with_a_release_is_read_whatever_else_there_is() {
        let (url, _) = server(answer("200 OK", ANSWER)).await;
        let newest: Vec<String> =
            channels(&url).await.unwrap().iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(newest, ["stable v1.36.5+k3s1", "v1.37 v1.37.1+k3s1"]);
    }

    #[rstest::rstest]
    #[case::refused("503 Service Unavailable", "busy", "127.0.0.1 answered with 503 Service Unavailable")]
    #[case::a_page("200 OK", "<html>log in first</html>", "127.0.0.1 answered something else than channels: expected value")]
    #[case::nothing("200 OK", r#"{"data":[]}"#, "no channel in it has a release")]
    #[tokio::test]
    async fn what_is_no_answer_is_told(#[case] status: &str, #[case] body: &str, #[case] told: &str) {
        let (url, _) = server(answer(status, body)).await;
        let error = channels(&url).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[tokio::test]
    async fn a_closed_port_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = channels(&format!("http://{closed}/")).await.unwrap_err();
        assert!(matches!(&error, FetchError::Unreachable { problem, .. } if problem.contains("refused")), "{error}");
        let error = channels("not an address").await.unwrap_err();
        assert!(matches!(error, FetchError::Address { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_is_kept_and_a_failure_falls_back_without_asking_again() {
        use crate::{
            config::Config,
            versions::{Channels, Source},
        };
        let (url, asked) = server(answer("200 OK", ANSWER)).await;
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("runs");
        let config = |url: &str| {
            let (url, runs) = (url.to_owned(), runs.clone());
            Config::read(move |name| match name {
                "K3S_ARC_CHANNELS_URL" => Some(url.clone().into()),
                "K3S_ARC_RUN_DIR" => Some(runs.clone().into()),
                _ => None,
            })
            .unwrap()
        };
        let first = Channels::look_up(&config(&url)).await;
        let second = Channels::look_up(&config(&url)).await;
        assert_eq!(first.source(), &Source::Server);
        assert!(matches!(second.source(), Source::Kept { because: None, .. }), "{second:?}");
        assert_eq!(first.lines(9), second.lines(9));
        assert_eq!(asked.load(Ordering::SeqCst), 1);

        let (busy, asked) = server(answer("503 Service Unavailable", "")).await;
        for _ in 0..2 {
            let fallen_back = Channels::look_up(&config(&busy)).await;
            let told = fallen_back.source().to_string();
            assert!(told.contains("the table that is built in") && told.contains("503"), "{told}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "one that does not answer is left alone for a while");
    }
}
