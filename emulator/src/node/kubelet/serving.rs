//! What the API server asks a kubelet for (`pkg/kubelet/server`): logs, commands in containers, their own streams, ports of pods.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::attempt::Attempt;
use super::logs::Log;
use super::pod::Pod;
use super::{ExecError, Kubelet, LogOptions, Streams, exec};
use crate::field::quote;
use crate::kinds::view::{list, text};
use crate::status::Refusal;

impl Kubelet {
    /// The log of a container, piece by piece until it is over (or the container is, when it is followed).
    pub(crate) fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<Bytes>, Refusal> {
        let found = self.context.pod(namespace, pod);
        let found = found.ok_or_else(|| Refusal::bad_request(format!("pod {} cannot be found", quote(pod))))?;
        let log = chosen(&found, container, options.previous).map_err(Refusal::bad_request)?;
        Ok(log.read(options.clone()))
    }

    /// The running container of that name.
    fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<(Arc<Pod>, Arc<Attempt>), Refusal> {
        let refused = |why: &str| Refusal::internal(&format!("unable to upgrade connection: {why}"));
        let pod = self.context.pod(namespace, pod).ok_or_else(|| refused("pod does not exist"))?;
        let attempt = pod.runtime().newest(container).filter(|attempt| attempt.is_running()).cloned();
        let attempt = attempt.ok_or_else(|| refused(&format!("container not found ({})", quote(container))))?;
        Ok((pod, attempt))
    }

    /// Runs a command in a container to its end. Returns its exit code.
    pub(crate) async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<i32, ExecError> {
        let (_, attempt) = self.running(namespace, pod, container).map_err(ExecError::Refused)?;
        exec::run(&attempt, command, streams).await.map_err(ExecError::NotStarted)
    }

    /// Takes part in what a container's first process reads and prints, until it ends. Returns once that is so.
    pub(crate) async fn attach(&self, namespace: &str, pod: &str, container: &str, streams: Streams) -> Result<(), Refusal> {
        let (_, attempt) = self.running(namespace, pod, container)?;
        let Streams { mut stdin, stdout, stderr } = streams;
        let listening = attempt.log.listen(stdout, stderr);
        let writing = async {
            if let Some(mut to) = attempt.take_stdin() {
                // Whoever does not read it any more does not need it.
                let _ = tokio::io::copy(&mut stdin, &mut to).await;
                if attempt.recipe.is_stdin_once {
                    let _ = to.shutdown().await;
                } else {
                    attempt.return_stdin(to);
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = writing => {}
            () = attempt.exited() => {}
        }
        drop(listening);
        Ok(())
    }

    /// Connects to a port of a pod.
    pub(crate) async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> io::Result<TcpStream> {
        let pod = self.context.pod(namespace, pod).ok_or(io::ErrorKind::NotFound)?;
        let net = pod.runtime().sandbox.as_ref().map(|sandbox| sandbox.net.clone()).ok_or(io::ErrorKind::NotConnected)?;
        net.connect_port(port).await
    }
}

/// The log that is meant (`validateContainerLogStatus`), or why there is none.
fn chosen(pod: &Pod, container: &str, previous: bool) -> Result<Arc<Log>, String> {
    let (named, of) = (quote(container), quote(&pod.name));
    let status = pod.status();
    let all = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"].into_iter();
    let found = all.flat_map(|key| list(&status[key])).find(|status| text(&status["name"]) == container);
    let found = found.ok_or_else(|| format!("container {named} in pod {of} is not available"))?;
    let runtime = pod.runtime();
    let attempts = runtime.attempts.get(container).map_or(&[][..], Vec::as_slice);
    let of_id = |id: &Value| attempts.iter().find(|attempt| text(id).ends_with(&attempt.id)).map(|attempt| attempt.log.clone());
    let (state, last) = (&found["state"], &found["lastState"]["terminated"]);
    if previous {
        return of_id(&last["containerID"]).ok_or_else(|| format!("previous terminated container {named} in pod {of} not found"));
    }
    let terminated = || format!("container {named} in pod {of} is terminated");
    if !state["running"].is_null() {
        return of_id(&found["containerID"]).ok_or_else(terminated);
    }
    if !state["terminated"].is_null() {
        return of_id(&state["terminated"]["containerID"]).or_else(|| of_id(&last["containerID"])).ok_or_else(terminated);
    }
    if !last.is_null() {
        return of_id(&last["containerID"]).ok_or_else(terminated);
    }
    let why = match text(&state["waiting"]["reason"]) {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        reason => reason,
    };
    Err(format!("container {named} in pod {of} is waiting to start: {why}"))
}
