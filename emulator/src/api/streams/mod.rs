//! Streams: commands in containers and connections to pods' ports, over WebSockets (`apimachinery/pkg/util/remotecommand`,
//! `kubelet/pkg/cri/streaming`). SPDY, which older clients ask for, is refused by name.

mod exec;
mod forward;
mod socket;

use super::answer::Answer;
use super::pods;
use super::resources::Request;
use super::subresources::present;
use crate::status::Refusal;
use socket::Handshake;

/// Answers `exec`, `attach` and `portforward`.
pub(super) fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    let pod = present(request)?;
    let subresource = request.target.subresource.as_str();
    let container = if subresource == "portforward" { String::new() } else { pods::container(request, &pod)? };
    let kubelet = pods::kubelet(request, &pod)?;
    let protocols = if subresource == "portforward" { &forward::PROTOCOLS[..] } else { &exec::PROTOCOLS[..] };
    let handshake = Handshake::of(request.cluster, &request.asked.parts, protocols)?;
    let (namespace, pod) = (request.target.namespace.clone(), request.target.name.clone());
    match subresource {
        "portforward" => forward::answer(request.query(), kubelet, namespace, pod, handshake),
        _ => {
            exec::answer(request.query(), kubelet, exec::Place { namespace, pod, container }, subresource == "attach", handshake)
        }
    }
}
