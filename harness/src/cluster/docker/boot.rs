//! From a started container to a cluster that serves: a new pod with a new claim has run, a name has resolved.

use std::{
    collections::VecDeque,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use kube::{Client, config::Kubeconfig};
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use tokio::sync::Notify;

use super::{DockerError, Making, container::API_PORT, node, route::Route};
use crate::cluster::{self, ClusterSpec, ExitCause, LogTail, Packaged, coredns::refresh_dns, ready, run::write_private};

/// Where K3s writes its kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// Waits until the K3s in a container serves, and gives its version. Its kubeconfig is then where it was to be.
///
/// `moved_to` is the container's address, if its datastore knows another one.
pub(super) async fn until_served(
    making: &Making<'_>,
    container: &str,
    standin_image: &str,
    deadline: Duration,
    moved_to: Option<String>,
) -> Result<String, DockerError> {
    let Making { engine, route, spec, kubeconfig, .. } = *making;
    let boot = Boot {
        engine,
        route,
        container,
        spec,
        kubeconfig,
        standin_image,
        deadline,
        moved_to,
        log: Log::default(),
        stage: ready::Stage::default(),
    };
    let log = boot.log.clone();
    let follower = tokio::spawn(follow(engine.clone(), container.to_owned(), log));
    let outcome = tokio::select! {
        served = boot.serve() => served,
        exit_code = exited(engine, container) => Err(boot.ended(exit_code).await),
        () = tokio::time::sleep(deadline) => Err(boot.too_late()),
    };
    follower.abort();
    outcome
}

struct Boot<'a> {
    engine: &'a Docker,
    route: &'a Route,
    container: &'a str,
    spec: &'a ClusterSpec,
    kubeconfig: &'a Path,
    standin_image: &'a str,
    deadline: Duration,
    moved_to: Option<String>,
    log: Log,
    stage: ready::Stage,
}

impl Boot<'_> {
    async fn serve(&self) -> Result<String, DockerError> {
        self.stage.enter("K3s's kubeconfig");
        self.fetch_kubeconfig().await?;
        let client = client(self.kubeconfig).await?;
        if let Some(address) = self.moved_to.as_ref().filter(|_| self.spec.has(Packaged::Coredns)) {
            self.stage.enter("an API that answers");
            ready::answering(&client).await;
            self.stage.enter("CoreDNS to be told the node's address");
            let refreshed = refresh_dns(&client, address, self.deadline).await;
            refreshed.map_err(|source| DockerError::NotServed { source })?;
        }
        let served = ready::until_served(&client, self.spec, self.standin_image, self.deadline, &self.stage);
        served.await.map_err(|source| DockerError::NotServed { source })
    }

    /// Takes the kubeconfig from the container as soon as K3s says that it wrote one.
    async fn fetch_kubeconfig(&self) -> Result<(), DockerError> {
        let unusable =
            |source: Box<dyn std::error::Error + Send + Sync>| DockerError::Kubeconfig { path: KUBECONFIG.into(), source };
        let text = loop {
            let written = self.log.kubeconfig_written.notified();
            match download(self.engine, self.container, KUBECONFIG).await {
                Ok(text) => break text,
                Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => {
                    // The line is the usual way; the tick is for engines whose log driver cannot be read.
                    let _ = tokio::time::timeout(Duration::from_secs(1), written).await;
                }
                Err(error) => return Err(DockerError::request("read K3s's kubeconfig", error)),
            }
        };
        let port = self.published_port().await?;
        let mut config = Kubeconfig::from_yaml(&text).map_err(|error| unusable(error.into()))?;
        let directory = self.kubeconfig.parent().unwrap_or(Path::new("/"));
        self.route.lead(&mut config, directory, port).await?;
        let yaml = serde_saphyr::to_string(&config).map_err(|error| unusable(error.into()))?;
        write_private(self.kubeconfig, yaml.as_bytes())
            .map_err(|error| DockerError::Kubeconfig { path: self.kubeconfig.to_owned(), source: error.into() })
    }

    async fn published_port(&self) -> Result<u16, DockerError> {
        let inspected = self.engine.inspect_container(self.container, None::<InspectContainerOptions>).await;
        let inspected = inspected.map_err(|error| DockerError::request("look at the K3s container", error))?;
        let address = self.route.published_on();
        let missing = || DockerError::Port { answer: format!("no port of {address} leads to the container's {API_PORT}") };
        node::port(&inspected).ok_or_else(missing)
    }

    async fn ended(&self, exit_code: i64) -> DockerError {
        // The log of a container that has ended is complete; what the follower saw may lack its end.
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("200").build();
        let log = Log::default();
        let chunks = self.engine.logs(self.container, Some(options));
        let _ = chunks
            .try_for_each(|chunk| {
                std::future::ready({
                    log.take(&chunk.to_string());
                    Ok(())
                })
            })
            .await;
        let lines = log.lines();
        let (line, cause) = ExitCause::in_log(&lines).unzip();
        DockerError::Exited { exit_code, cause, last_lines: LogTail::new(&lines, line) }
    }

    fn too_late(&self) -> DockerError {
        let missing = self.stage.now().to_owned();
        DockerError::Deadline { after: self.deadline, missing, last_lines: LogTail::new(&self.log.lines(), None) }
    }
}

/// A client by a kubeconfig of ours.
pub(super) async fn client(kubeconfig: &Path) -> Result<Client, DockerError> {
    let unusable =
        |source: Box<dyn std::error::Error + Send + Sync>| DockerError::Kubeconfig { path: kubeconfig.to_owned(), source };
    cluster::client(kubeconfig).await.map_err(unusable)
}

/// Resolves when the container has ended, to its exit code.
async fn exited(engine: &Docker, container: &str) -> i64 {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut exits = std::pin::pin!(engine.wait_container(container, Some(options)));
    match exits.next().await {
        Some(Ok(exit)) => exit.status_code,
        Some(Err(BollardError::DockerContainerWaitError { code, .. })) => code,
        // The engine does not say; the deadline decides.
        Some(Err(_)) | None => std::future::pending().await,
    }
}

/// A file of a container.
async fn download(engine: &Docker, container: &str, path: &str) -> Result<String, BollardError> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let chunks: Vec<_> = engine.download_from_container(container, Some(options)).try_collect().await?;
    let archive = chunks.concat();
    let mut text = String::new();
    if let Some(entry) = tar::Archive::new(archive.as_slice()).entries()?.next() {
        entry?.read_to_string(&mut text)?;
    }
    Ok(text)
}

/// K3s's log, as far as a boot needs it.
#[derive(Debug, Clone, Default)]
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    kubeconfig_written: Arc<Notify>,
}

impl Log {
    /// As many lines as may hold the cause of an end.
    const KEPT: usize = 200;

    fn take(&self, chunk: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in chunk.lines().filter(|line| !line.trim().is_empty()) {
            if line.contains("Wrote kubeconfig") {
                self.kubeconfig_written.notify_one();
            }
            if lines.len() == Self::KEPT {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn follow(engine: Docker, container: String, log: Log) {
    let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
    let mut chunks = engine.logs(&container, Some(options));
    while let Some(Ok(chunk)) = chunks.next().await {
        log.take(&chunk.to_string());
    }
}
