//! Asking K3s's channel server.
//!
//! Its answer is read leniently: of each channel the name and the newest release, whatever else there is; a channel without a release,
//! or with one that is not K3s's way of naming them, is left out.

use std::{collections::BTreeMap, time::Duration};

use super::K3sVersion;
use crate::http::{self, HttpError};

/// From the look-up of the server's name to its whole answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} answered with {status}")]
    Refused { url: String, status: String },
    #[error("{url} answered something else than channels: {problem}")]
    Unreadable { url: String, problem: String },
}

/// What each channel's newest release is.
pub(super) async fn channels(url: &str) -> Result<BTreeMap<String, K3sVersion>, FetchError> {
    let answer = http::get(url, PATIENCE).await?;
    if !answer.status.is_success() {
        return Err(FetchError::Refused { url: url.to_owned(), status: answer.status.to_string() });
    }
    parse(&answer.body).map_err(|problem| FetchError::Unreadable { url: url.to_owned(), problem })
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
    #[case::refused("503 Service Unavailable", "busy", "answered with 503 Service Unavailable")]
    #[case::a_page("200 OK", "<html>log in first</html>", "answered something else than channels: expected value")]
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
        assert!(
            matches!(&error, FetchError::Http(HttpError::Unreachable { problem, .. }) if problem.contains("refused")),
            "{error}"
        );
        let error = channels("not an address").await.unwrap_err();
        assert!(matches!(error, FetchError::Http(HttpError::Address { .. })), "{error}");
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
