//! The node itself, through the container it runs in.

use futures::{FutureExt, StreamExt, future::BoxFuture};
use testcontainers::bollard::{
    Docker,
    container::LogOutput,
    errors::Error as BollardError,
    exec::{CreateExecOptions, StartExecResults},
    query_parameters::{InspectContainerOptions, UploadToContainerOptionsBuilder},
};

use super::DockerError;
use crate::cluster::{NodeAccess, NodeError, NodeOutput};

#[derive(Debug)]
pub(super) struct DockerNode {
    engine: Docker,
    container: String,
}

impl DockerNode {
    /// The node of a container that runs.
    pub(super) async fn running(engine: Docker, container: String) -> Result<Self, DockerError> {
        let gone = |state: String| DockerError::Gone { id: container.chars().take(12).collect(), state };
        let inspected = match engine.inspect_container(&container, None::<InspectContainerOptions>).await {
            Ok(inspected) => inspected,
            Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => return Err(gone("gone".to_owned())),
            Err(error) => return Err(DockerError::request("look at the K3s container", error)),
        };
        let state = inspected.state.unwrap_or_default();
        if state.running != Some(true) {
            return Err(gone(state.status.map_or("not running".to_owned(), |status| status.to_string())));
        }
        Ok(Self { engine, container })
    }

    async fn run(&self, command: &[&str]) -> Result<NodeOutput, BollardError> {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self.engine.create_exec(&self.container, options).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, .. } = self.engine.start_exec(&exec.id, None).await? {
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
}

impl NodeAccess for DockerNode {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        let unreachable = |source: BollardError| NodeError::Unreachable { command: command.join(" "), source: source.into() };
        self.run(command).map(move |ran| ran.map_err(unreachable)).boxed()
    }

    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        async move {
            let options = UploadToContainerOptionsBuilder::default().path(directory).build();
            let uploaded = self
                .engine
                .upload_to_container(&self.container, Some(options), testcontainers::bollard::body_full(archive.into()))
                .await;
            let command = format!("tar -x -C {directory}");
            uploaded.map_err(|source| NodeError::Unreachable { command, source: source.into() })
        }
        .boxed()
    }
}
