//! The API over HTTP: who asks, for what, and what they are answered.

pub(crate) mod answer;
mod authenticate;
pub(crate) mod body;
pub(crate) mod discovery;
pub(crate) mod negotiate;
pub(crate) mod openapi;
pub(crate) mod options;
mod paths;
mod pods;
mod proxy;
pub(crate) mod request;
mod resources;
mod respond;
mod reviews;
pub(crate) mod server;
mod streams;
mod subresources;
mod watch;

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use hyper::Request;
use hyper::body::Incoming;

use crate::access::User;
use crate::cluster::Cluster;
use crate::status::Refusal;
use answer::Answer;
use request::{Query, Route};

/// A request that was authenticated.
pub(crate) struct Asked {
    pub(crate) user: User,
    pub(crate) parts: Parts,
    pub(crate) route: Route,
    pub(crate) query: Query,
}

impl Asked {
    /// The `Host` that the client named.
    pub(crate) fn host(&self) -> String {
        let header = self.parts.headers.get(http::header::HOST).and_then(|v| v.to_str().ok());
        header.unwrap_or_default().to_owned()
    }

    /// The `User-Agent`, whose first word is the manager of what it writes.
    pub(crate) fn agent(&self) -> &str {
        self.parts.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// Answers a request.
pub(crate) async fn handle(cluster: &Arc<Cluster>, certificate: Option<&User>, request: Request<Incoming>) -> Answer {
    cluster.faults.hold().await;
    let headers = request.headers().clone();
    let pretty = wants_pretty(&headers, request.uri().query());
    let mut answer = match answer(cluster, certificate, request).await {
        Ok(answer) | Err(answer) => answer,
    };
    if let Some(answer::Refused(status)) = answer.extensions_mut().remove() {
        let encoding = negotiate::of_errors(&headers);
        if encoding != negotiate::Encoding::Json {
            let wanted = negotiate::Wanted { encoding, ..negotiate::Wanted::JSON };
            let code = answer.status().as_u16();
            let kept = std::mem::take(answer.headers_mut());
            answer = respond::document(code, wanted, &status);
            for (name, value) in kept.iter().filter(|(name, _)| **name != CONTENT_TYPE) {
                answer.headers_mut().append(name, value.clone());
            }
        }
    }
    if pretty {
        answer = answer::pretty(answer).await;
    }
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        answer.headers_mut().insert("Audit-Id", id);
    }
    answer
}

/// Whether a person reads the answer: by parameter, else by what people use (`handlers/responsewriters`).
fn wants_pretty(headers: &http::HeaderMap, query: Option<&str>) -> bool {
    let query = Query::of(query);
    if query.get("pretty").is_some() {
        return query.flag("pretty");
    }
    let agent = headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|start| agent.starts_with(start))
}

async fn answer(cluster: &Arc<Cluster>, certificate: Option<&User>, request: Request<Incoming>) -> Result<Answer, Answer> {
    let (parts, body) = request.into_parts();
    if parts.version == http::Version::HTTP_11 && !parts.headers.contains_key(http::header::HOST) {
        return Err(answer::text(400, "400 Bad Request: missing required Host header"));
    }
    let path = request::percent_decoded(parts.uri.path()).ok_or_else(|| answer::text(400, "400 Bad Request"))?;
    if path.starts_with("//") {
        return Err(nowhere());
    }
    let route = Route::of(&path);
    let query = Query::of(parts.uri.query());
    let user = authenticate::authenticate(cluster, certificate, &parts.headers)?;
    let user = authenticate::impersonate(cluster, user, &parts.headers, &path).map_err(|answer| *answer)?;
    cluster.authorize(&user, &request::action(&parts.method, &route, &query))?;
    let asked = Asked { user, parts, route, query };
    match &asked.route {
        Route::Path(path) => Ok(paths::answer(cluster, &asked, path)),
        Route::Resource(target) => resources::answer(cluster, &asked, target, body).await,
    }
}

/// A path that leads nowhere, as Go's router says it.
pub(crate) fn nowhere() -> Answer {
    answer::text(404, "404 page not found")
}

/// A resource that a known group has not.
pub(crate) fn no_such_resource() -> Refusal {
    Refusal::new(404, "NotFound", "the server could not find the requested resource").with_details(serde_json::json!({}))
}

/// A verb that a resource has not.
pub(crate) fn no_such_method() -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    Refusal::new(405, "MethodNotAllowed", message).with_details(serde_json::json!({}))
}
