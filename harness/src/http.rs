//! One HTTP request at a time, for what is asked of servers outside of any cluster.
//!
//! It goes through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, if any, by CONNECT; and a server is
//! trusted if the host's own certificates say so.

use std::time::Duration;

use http::{StatusCode, Uri};
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

/// The largest answer read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The `Date` header: the server's clock.
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("`{url}` is no address: {problem}")]
    Address { url: String, problem: String },
    #[error("the host's certificates could not be read: {0}")]
    Certificates(std::io::Error),
    #[error("{host} cannot be reached: {problem}")]
    Unreachable { host: String, problem: String },
    #[error("{host} did not answer within {:.0} s", .patience.as_secs_f64())]
    TooLate { host: String, patience: Duration },
}

/// Asks for what is at an address, and waits no longer than `patience` from the look-up of the server's name to the end of its answer.
pub(crate) async fn get(url: &str, patience: Duration) -> Result<Answer, HttpError> {
    let no_address = |problem: &str| HttpError::Address { url: url.to_owned(), problem: problem.to_owned() };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| no_address(&error.to_string()))?;
    let host = uri.host().ok_or_else(|| no_address("it names no host"))?.to_owned();
    let uri = with_port(uri);
    let answer = tokio::time::timeout(patience, ask(uri, &host)).await;
    answer.unwrap_or(Err(HttpError::TooLate { host, patience }))
}

/// The address with its port where that is HTTP's own: a tunnel would take HTTPS's.
fn with_port(uri: Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.authority = match (uri.scheme_str(), uri.port(), uri.authority()) {
        (Some("http"), None, Some(authority)) => format!("{authority}:80").parse().ok(),
        _ => parts.authority,
    };
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Whether requests to this address go through a proxy.
pub(crate) fn is_proxied(url: &str) -> bool {
    url.parse().is_ok_and(|uri| Matcher::from_env().intercept(&uri).is_some())
}

async fn ask(uri: Uri, host: &str) -> Result<Answer, HttpError> {
    let unreachable = |error: &(dyn std::error::Error + 'static)| HttpError::Unreachable {
        host: host.to_owned(),
        problem: crate::chain(error),
    };
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_native_roots().map_err(HttpError::Certificates)?;
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
    let date = response.headers().get(http::header::DATE).and_then(|date| Some(date.to_str().ok()?.to_owned()));
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| unreachable(&*error))?;
    Ok(Answer { status, date, body: body.to_bytes().to_vec() })
}

async fn request<C>(connector: C, uri: Uri) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client: Client<C, Empty<&'static [u8]>> = Client::builder(TokioExecutor::new()).build(connector);
    client.get(uri).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://channels.example/x", "http://channels.example:80/x")]
    #[case("http://channels.example:8080/x", "http://channels.example:8080/x")]
    #[case("https://channels.example/x", "https://channels.example/x")]
    fn http_goes_to_its_own_port_through_a_tunnel_too(#[case] address: &str, #[case] asked: &str) {
        assert_eq!(with_port(address.parse().unwrap()).to_string(), asked);
    }
}
