//! What is behind the API server: a request is passed on to a pod, to an endpoint of a service, or to a node's kubelet
//! (`apimachinery/pkg/util/proxy`, `registry/core/{pod,service,node}/strategy.go`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING, UPGRADE};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use k3s_arc_container::Net;
use serde_json::Value;

use super::answer::{self, Answer};
use super::pods;
use super::resources::Request;
use crate::field::quote;
use crate::kinds::view::{int, list, text};
use crate::node::kubelet::LogOptions;
use crate::status::Refusal;

/// How long the other side may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What concerns one connection and not the next (RFC 9110, 7.6.1), and what is the API server's alone.
const NOT_PASSED_ON: [HeaderName; 6] =
    [CONNECTION, TRANSFER_ENCODING, UPGRADE, HOST, AUTHORIZATION, HeaderName::from_static("keep-alive")];

/// Passes a request on, and the answer back.
pub(super) async fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    let uri = &request.asked.parts.uri;
    // What comes before: `/api/v1/pods/p/proxy`, and a namespace for what is in one.
    let before = if request.target.namespace.is_empty() { 6 } else { 8 };
    let behind: Vec<&str> = uri.path().split('/').skip(before).collect();
    let asked = Asked::of(&request.target.name);
    let to = match request.target.resource.as_str() {
        "nodes" => return node(request, asked.name, &behind),
        "services" => service(request, &asked)?,
        _ => pod(request, &asked)?,
    };
    if behind.is_empty() {
        let mut moved = answer::whole(301, "", "");
        if let Ok(location) = HeaderValue::from_str(&format!("{}/", uri.path())) {
            moved.headers_mut().insert(LOCATION, location);
        }
        return Ok(moved);
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/{}{query}", behind.join("/"));
    let passed = tokio::time::timeout(PATIENCE, pass(request, to, &path)).await;
    passed.unwrap_or_else(|_| Err(failed(to, "504 Gateway Timeout")))
}

/// `scheme:name:port`, of which only the name must be said.
struct Asked<'a> {
    name: &'a str,
    port: &'a str,
}

impl<'a> Asked<'a> {
    fn of(name: &'a str) -> Self {
        match name.split(':').collect::<Vec<_>>()[..] {
            [name, port] | [_, name, port] => Self { name, port },
            _ => Self { name, port: "" },
        }
    }
}

fn find(request: &Request<'_>, name: &str) -> Result<Value, Refusal> {
    let served = request.served;
    let found = served.fetch(request.cluster, &request.target.namespace, name);
    found.ok_or_else(|| Refusal::not_found(&served.group, &served.resource, name))
}

fn pod(request: &Request<'_>, asked: &Asked<'_>) -> Result<SocketAddr, Refusal> {
    let pod = find(request, asked.name)?;
    let first = || {
        let ports = list(&pod["spec"]["containers"]).iter().flat_map(|container| list(&container["ports"]));
        ports.map(|port| int(&port["containerPort"])).next().unwrap_or(80)
    };
    let port = if asked.port.is_empty() { first() } else { asked.port.parse().unwrap_or_default() };
    address(text(&pod["status"]["podIP"]), port)
}

fn address(ip: &str, port: i64) -> Result<SocketAddr, Refusal> {
    let address = ip.parse::<IpAddr>().ok().zip(u16::try_from(port).ok());
    address.map(SocketAddr::from).ok_or_else(|| Refusal::bad_request("address not allowed"))
}

fn service(request: &Request<'_>, asked: &Asked<'_>) -> Result<SocketAddr, Refusal> {
    let service = find(request, asked.name)?;
    let unavailable = |why: String| Refusal::new(503, "ServiceUnavailable", why);
    let mut port = asked.port;
    if let Ok(number) = port.parse::<i64>() {
        let found = list(&service["spec"]["ports"]).iter().find(|port| int(&port["port"]) == number);
        let none = || unavailable(format!("no service port {number} found for service {}", quote(asked.name)));
        port = text(&found.ok_or_else(none)?["name"]);
    }
    let endpoints = request.cluster.object("", "endpoints", &request.target.namespace, asked.name).unwrap_or_default();
    let ready = list(&endpoints["subsets"]).iter().filter_map(|subset| {
        let number = list(&subset["ports"]).iter().find(|found| text(&found["name"]) == port)?;
        Some((text(&list(&subset["addresses"]).first()?["ip"]), int(&number["port"])))
    });
    let none = || unavailable(format!("no endpoints available for service {}", quote(asked.name)));
    let (ip, number) = { ready }.next().ok_or_else(none)?;
    address(ip, number)
}

/// As K3s says it, whose API server reaches pods through a tunnel of its own.
fn failed(to: SocketAddr, status: &str) -> Refusal {
    let code = status.split(' ').next().unwrap_or_default();
    let why = format!("error trying to reach service: proxy error from 127.0.0.1:6443 while dialing {to}, code {code}: {status}");
    Refusal::new(503, "ServiceUnavailable", why)
}

async fn pass(request: &Request<'_>, to: SocketAddr, path: &str) -> Result<Answer, Refusal> {
    let unreachable = || failed(to, "502 Bad Gateway");
    let net = request.cluster.network.host(0);
    let stream = (&*net as &dyn Net).connect(to).await.map_err(|_| unreachable())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| unreachable())?;
    // It ends with the answer, or when nobody reads that any more.
    tokio::spawn(connection);
    let mut passed = http::Request::new(Full::new(Bytes::from(request.body.clone())));
    *passed.method_mut() = request.asked.parts.method.clone();
    *passed.uri_mut() = path.parse().map_err(|_| Refusal::bad_request("the path cannot be passed on"))?;
    *passed.headers_mut() = passed_on(&request.asked.parts.headers);
    if let Ok(host) = HeaderValue::from_str(&to.to_string()) {
        passed.headers_mut().insert(HOST, host);
    }
    let (parts, mut body) = sender.send_request(passed).await.map_err(|_| unreachable())?.into_parts();
    let (mut answer, pieces) = answer::stream("");
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = passed_on(&parts.headers);
    tokio::spawn(async move {
        // Held until all is read: the connection is this.
        let _sender = sender;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(bytes) = frame.into_data() else { continue };
            if pieces.send(bytes).await.is_err() {
                return;
            }
        }
    });
    Ok(answer)
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let is_ours = |name: &HeaderName| NOT_PASSED_ON.contains(name) || name.as_str().starts_with("impersonate-");
    headers.iter().filter(|(name, _)| !is_ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a kubelet says itself. Its other pages are not there.
fn node(request: &Request<'_>, name: &str, behind: &[&str]) -> Result<Answer, Refusal> {
    find(request, name)?;
    let nobody = || failed(SocketAddr::from(([127, 0, 0, 1], 10250)), "502 Bad Gateway");
    let kubelet = request.cluster.nodes.get(name).ok_or_else(nobody)?;
    let text = |code, text: &str| answer::whole(code, "text/plain; charset=utf-8", text.to_owned());
    match behind {
        ["healthz"] => Ok(text(200, "ok")),
        ["containerLogs", namespace, pod, container] => {
            let Some(found) = request.cluster.object("", "pods", namespace, pod) else {
                return Ok(text(404, &format!("pod {} does not exist", quote(pod))));
            };
            let lists = ["containers", "initContainers", "ephemeralContainers"];
            let mut all = lists.iter().flat_map(|field| list(&found["spec"][*field]));
            if !all.any(|candidate| candidate["name"] == *container) {
                return Ok(text(404, &format!("container {} not found in pod {}", quote(container), quote(pod))));
            }
            Ok(pods::stream(kubelet.log(namespace, pod, container, &LogOptions::default())?))
        }
        _ => Ok(answer::text(404, "404 page not found")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", "web", "")]
    #[case("web:http", "web", "http")]
    #[case("https:web:443", "web", "443")]
    #[case("https:web:", "web", "")]
    fn names_have_a_scheme_and_a_port(#[case] asked: &str, #[case] name: &str, #[case] port: &str) {
        let asked = Asked::of(asked);
        assert_eq!((asked.name, asked.port), (name, port));
    }
}
