//! The node itself, through the container it runs in.

use std::{future::Future, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use testcontainers::bollard::{
    Docker,
    container::LogOutput,
    errors::Error as BollardError,
    exec::{CreateExecOptions, StartExecResults},
    models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, PortBinding},
    query_parameters::{InspectContainerOptions, UploadToContainerOptionsBuilder},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    DockerError,
    container::API_PORT,
    route::{Route, authority},
};
use crate::cluster::{Machine, MachineState, NodeAccess, NodeError, NodeOutput, client::ANSWER};

/// How long the engine may take to say how a container is.
const INSPECTION: Duration = Duration::from_secs(5);

/// How long a command may take on the node: several times what the slowest (a rendering by kubectl) takes.
const COMMAND: Duration = Duration::from_secs(120);

/// Between two attempts at a container that is paused.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct DockerNode {
    engine: Docker,
    container: String,
    /// When it was started, as it was found.
    started: Option<String>,
    /// Whether the API is where its host publishes it, seen from here.
    is_direct: bool,
}

impl DockerNode {
    /// The node of a container that runs, or is paused.
    pub(super) async fn running(engine: Docker, container: String) -> Result<Self, DockerError> {
        let inspected = inspect(&engine, &container).await;
        let inspected = inspected.map_err(|error| DockerError::request("look at the K3s container", error))?;
        let state = inspected.as_ref().map_or(MachineState::Gone, state);
        if state.is_over() {
            return Err(DockerError::Gone { id: container.chars().take(12).collect(), state });
        }
        Ok(Self { engine, container, started: inspected.as_ref().and_then(started), is_direct: true })
    }

    /// The same, with its API reached so.
    pub(super) fn reached_by(self, route: &Route) -> Self {
        Self { is_direct: !matches!(route, Route::Tunnel(_)), ..self }
    }

    /// The port of its host's that leads to the API.
    pub(super) async fn port(&self) -> Result<Option<u16>, DockerError> {
        let inspected = inspect(&self.engine, &self.container).await;
        let inspected = inspected.map_err(|error| DockerError::request("look at the K3s container", error))?;
        Ok(inspected.as_ref().and_then(port))
    }

    async fn run(&self, command: &[&str]) -> Result<NodeOutput, BollardError> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = unless_paused(|| self.engine.create_exec(&self.container, options.clone())).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let started = unless_paused(|| self.engine.start_exec(&exec.id, None)).await?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                match chunk? {
                    LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                    other => stdout.extend_from_slice(other.as_ref()),
                }
            }
        }
        let ended = self.engine.inspect_exec(&exec.id).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(NodeOutput { exit_code: ended.exit_code.unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) })
    }

    async fn look(&self) -> Result<Machine, BollardError> {
        let inspected = inspect(&self.engine, &self.container).await?;
        let name = inspected.as_ref().and_then(|inspected| inspected.name.as_deref());
        let now = inspected.as_ref().and_then(started);
        Ok(Machine {
            kind: "container".to_owned(),
            name: name.map_or(self.container.as_str(), |name| name.trim_start_matches('/')).to_owned(),
            state: inspected.as_ref().map_or(MachineState::Gone, state),
            restarted: now.filter(|now| self.started.as_ref() != Some(now)),
            api: inspected.as_ref().and_then(published).filter(|_| self.is_direct),
        })
    }
}

/// What the engine says of a container; nothing, if there is none.
async fn inspect(engine: &Docker, container: &str) -> Result<Option<ContainerInspectResponse>, BollardError> {
    let inspection = engine.inspect_container(container, None::<InspectContainerOptions>);
    match timeout(INSPECTION, inspection).await.unwrap_or(Err(BollardError::RequestTimeoutError)) {
        Ok(inspected) => Ok(Some(inspected)),
        Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The engine does nothing in a container that is paused, and says so (409); one that goes on within [`ANSWER`] has lost nothing.
async fn unless_paused<T, F>(request: impl Fn() -> F) -> Result<T, BollardError>
where
    F: Future<Output = Result<T, BollardError>>,
{
    let ends = Instant::now() + ANSWER;
    loop {
        match request().await {
            Err(BollardError::DockerResponseServerError { status_code: 409, message })
                if message.contains("paused") && Instant::now() < ends =>
            {
                sleep(RETRY).await;
            }
            other => return other,
        }
    }
}

fn state(inspected: &ContainerInspectResponse) -> MachineState {
    let Some(state) = &inspected.state else { return MachineState::Gone };
    match state.status {
        Some(Status::RUNNING) => MachineState::Running,
        Some(Status::PAUSED) => MachineState::Paused,
        // It is on its way back, by a restart policy; it runs again or has ended at the next look.
        Some(Status::RESTARTING) => MachineState::Running,
        _ => MachineState::Ended {
            exit_code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            at: state.finished_at.clone().unwrap_or_default(),
        },
    }
}

fn started(inspected: &ContainerInspectResponse) -> Option<String> {
    inspected.state.as_ref()?.started_at.clone()
}

fn published(inspected: &ContainerInspectResponse) -> Option<String> {
    let binding = binding(inspected)?;
    Some(authority(binding.host_ip.as_ref()?, binding.host_port.as_ref()?.parse().ok()?))
}

/// The port of a container's host that leads to K3s's API in it.
pub(super) fn port(inspected: &ContainerInspectResponse) -> Option<u16> {
    binding(inspected)?.host_port.as_ref()?.parse().ok()
}

fn binding(inspected: &ContainerInspectResponse) -> Option<&PortBinding> {
    inspected.network_settings.as_ref()?.ports.as_ref()?.get(API_PORT)?.as_ref()?.first()
}

impl NodeAccess for DockerNode {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        async move {
            let attempted = || command.join(" ");
            match timeout(COMMAND, self.run(command)).await {
                Ok(ran) => ran.map_err(|source| NodeError::Unreachable { command: attempted(), source: source.into() }),
                Err(_) => Err(NodeError::Silent { attempted: format!("`{}`", attempted()), after: COMMAND }),
            }
        }
        .boxed()
    }

    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            let options = UploadToContainerOptionsBuilder::default().path(directory).build();
            let body = testcontainers::bollard::body_full(archive.into());
            let uploaded = self.engine.upload_to_container(&self.container, Some(options), body);
            let command = format!("tar -x -C {directory}");
            match timeout(COMMAND, uploaded).await {
                Ok(uploaded) => uploaded.map_err(|source| NodeError::Unreachable { command, source: source.into() }),
                Err(_) => Err(NodeError::Silent { attempted: format!("`{command}`"), after: COMMAND }),
            }
        }
        .boxed()
    }

    fn machine(&self) -> BoxFuture<'_, Result<Option<Machine>, NodeError>> {
        let unreachable = |source: BollardError| NodeError::Host { host: "the Docker Engine".to_owned(), source: source.into() };
        self.look().map(move |looked| looked.map(Some).map_err(unreachable)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn inspected(state: serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(json!({"State": state})).unwrap()
    }

    // As Docker 29 writes them.
    #[rstest]
    #[case::running(json!({"Status": "running", "Running": true}), "runs")]
    #[case::paused(json!({"Status": "paused", "Running": true, "Paused": true}), "is paused")]
    #[case::killed(json!({"Status": "exited", "ExitCode": 137}), "ended with exit code 137: it was killed (SIGKILL)")]
    #[case::out_of_memory(
        json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true}),
        "ended with exit code 137: it was killed for want of memory"
    )]
    #[case::k3s_failed(json!({"Status": "exited", "ExitCode": 1}), "ended with exit code 1")]
    #[case::restarting(json!({"Status": "restarting", "Restarting": true, "ExitCode": 1}), "runs")]
    fn a_containers_state_is_told(#[case] status: serde_json::Value, #[case] told: &str) {
        assert_eq!(state(&inspected(status)).to_string(), told);
    }

    /// What an engine says of a container that runs.
    const RUNNING: &str =
        r#"{"Id": "c0ffee", "Name": "/k3s-arc-1", "State": {"Status": "running", "StartedAt": "2026-11-01T10:00:00Z"}}"#;

    /// Answers one request, and lets go of the socket: an engine that is stopped then.
    async fn answer_once(socket: tokio::net::UnixListener) {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", RUNNING.len());
        stream.write_all(format!("{head}{RUNNING}").as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn an_engine_that_is_stopped_is_named_in_bounded_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let socket = tokio::net::UnixListener::bind(&path).unwrap();
        let engine =
            Docker::connect_with_unix(path.to_str().unwrap(), 120, testcontainers::bollard::API_DEFAULT_VERSION).unwrap();
        let (node, ()) = tokio::join!(DockerNode::running(engine, "c0ffee".to_owned()), answer_once(socket));
        let error = crate::chain(&node.unwrap().machine().await.unwrap_err());
        assert!(error.starts_with("the Docker Engine does not say how the node's machine is: "), "{error}");
    }

    #[tokio::test]
    async fn an_engine_that_does_not_answer_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let _silent = tokio::net::UnixListener::bind(&path).unwrap();
        let engine =
            Docker::connect_with_unix(path.to_str().unwrap(), 120, testcontainers::bollard::API_DEFAULT_VERSION).unwrap();
        let error = DockerNode::running(engine, "c0ffee".to_owned()).await.unwrap_err();
        assert!(matches!(&error, DockerError::Request { attempted, .. } if attempted == "look at the K3s container"), "{error}");
    }

    #[test]
    fn the_api_is_where_its_port_is_published() {
        let ports = json!({"NetworkSettings": {"Ports": {API_PORT: [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}}});
        assert_eq!(published(&serde_json::from_value(ports).unwrap()).as_deref(), Some("127.0.0.1:32768"));
        let unpublished = json!({"NetworkSettings": {"Ports": {API_PORT: null}}});
        assert_eq!(published(&serde_json::from_value(unpublished).unwrap()), None);
    }
}
