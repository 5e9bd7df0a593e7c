//! What the API server asks a pod's node for: its logs, commands in its containers, its ports.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::answer::{self, Answer};
use super::resources::Request;
use super::streams;
use super::subresources::present;
use crate::field::{Errors, Path, quote};
use crate::node::kubelet::LogOptions;
use crate::status::Refusal;

/// Answers `log`, `exec`, `attach`, `portforward` of a pod.
pub(super) fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    match request.target.subresource.as_str() {
        "log" => log(request),
        _ => streams::answer(request),
    }
}

/// The kubelet of a pod's node.
pub(super) fn kubelet(request: &Request<'_>, pod: &Value) -> Result<std::sync::Arc<crate::node::kubelet::Kubelet>, Refusal> {
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() {
        return Err(Refusal::bad_request(format!("pod {} does not have a host assigned", request.target.name)));
    }
    if request.cluster.object("", "nodes", "", node).is_none() {
        // The real one says so of the pod's resource, too.
        return Err(Refusal::not_found("", "pods", node));
    }
    let nobody =
        || Refusal::internal(&format!("the node {node} is not emulated: {} cannot be served", request.target.subresource));
    request.cluster.nodes.get(node).ok_or_else(nobody)
}

fn log(request: &Request<'_>) -> Result<Answer, Refusal> {
    let options = log_options(request)?;
    let pod = present(request)?;
    let container = container(request, &pod)?;
    if pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty() {
        return Ok(answer::whole(204, "", ""));
    }
    let kubelet = kubelet(request, &pod)?;
    Ok(stream(kubelet.log(&request.target.namespace, &request.target.name, &container, &options)?))
}

/// A log, piece by piece.
pub(super) fn stream(mut pieces: mpsc::Receiver<Bytes>) -> Answer {
    let (answer, sender) = answer::stream("text/plain");
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = sender.closed() => None,
            };
            let Some(piece) = piece else { return };
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    answer
}

/// What a log is asked for (`core/validation.ValidatePodLogOptions`).
fn log_options(request: &Request<'_>) -> Result<LogOptions, Refusal> {
    let query = request.query();
    let mut errors = Errors::new();
    let number = |name: &str| -> Result<Option<i64>, Refusal> {
        let Some(text) = query.text(name) else { return Ok(None) };
        let why = format!("strconv.ParseInt: parsing {}: invalid syntax", quote(text));
        text.parse().map(Some).map_err(|_| Refusal::bad_request(why))
    };
    let (tail, limit, since) = (number("tailLines")?, number("limitBytes")?, number("sinceSeconds")?);
    let since_time = query.text("sinceTime").filter(|text| !text.is_empty()).map(since_time).transpose()?;
    if let Some(tail) = tail.filter(|&n| n < 0) {
        errors.invalid(&Path::new("tailLines"), tail, "must be greater than or equal to 0");
    }
    if let Some(limit) = limit.filter(|&n| n < 1) {
        errors.invalid(&Path::new("limitBytes"), limit, "must be greater than 0");
    }
    if since.is_some() && query.text("sinceTime").is_some() {
        errors.forbidden(&Path::new("[]"), "at most one of `sinceTime` or `sinceSeconds` may be specified");
    } else if let Some(since) = since.filter(|&n| n < 1) {
        errors.invalid(&Path::new("sinceSeconds"), since, "must be greater than 0");
    }
    // A feature that is off.
    if query.text("stream").is_some() {
        errors.forbidden(&Path::new("stream"), "may not be specified");
    }
    if !errors.is_empty() {
        return Err(Refusal::invalid("", "PodLogOptions", &request.target.name, &errors));
    }
    let seconds_ago = |seconds| request.cluster.clock().checked_sub(jiff::SignedDuration::from_secs(seconds)).ok();
    let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
    Ok(LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        since: since_time.or_else(|| since.and_then(seconds_ago)),
        tail: size(tail),
        limit: size(limit),
    })
}

/// A time in a query, or what Go's `time.Parse` says of it that finds no year.
fn since_time(text: &str) -> Result<jiff::Timestamp, Refusal> {
    let why = || {
        let text = quote(text);
        Refusal::bad_request(format!("parsing time {text} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text} as \"2006\""))
    };
    text.parse().map_err(|_| why())
}

/// The container that is asked about: one of the pod's; without a name there must be but one.
pub(super) fn container(request: &Request<'_>, pod: &Value) -> Result<String, Refusal> {
    let names = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|c| c["name"].as_str()).map(str::to_owned).collect()
    };
    let (own, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    let name = &request.target.name;
    match request.query().text("container") {
        Some(container) => {
            let known = [&own, &init, &ephemeral].iter().any(|list| list.iter().any(|n| n == container));
            let unknown = || Refusal::bad_request(format!("container {container} is not valid for pod {name}"));
            if known { Ok(container.to_owned()) } else { Err(unknown()) }
        }
        None if own.len() > 1 => {
            let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", own.join(" "));
            if !init.is_empty() {
                message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            if !ephemeral.is_empty() {
                message.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
            }
            Err(Refusal::bad_request(message))
        }
        None => Ok(own.into_iter().next().unwrap_or_default()),
    }
}
