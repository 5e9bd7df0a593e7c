//! From a started container to a cluster that serves: a new pod with a new claim has run, a name has resolved.

use std::{
    collections::VecDeque,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    core::v1::{Node, ServiceAccount},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use tokio::sync::Notify;

use super::{DockerError, container::API_PORT, error};
use crate::{
    cluster::{ClusterSpec, Packaged, run::write_private},
    probe,
    wait::{self, Seen, Selection, WaitError},
};

/// Where K3s writes its kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// Between two attempts at an API that does not listen yet; there is nothing to watch until it does.
const RETRY: Duration = Duration::from_millis(100);

/// Waits until the K3s in a container serves, and gives its version. Its kubeconfig is then at `kubeconfig`.
pub(super) async fn until_served(
    engine: &Docker,
    container: &str,
    spec: &ClusterSpec,
    kubeconfig: &Path,
    standin_image: &str,
    deadline: Duration,
) -> Result<String, DockerError> {
    let boot =
        Boot { engine, container, spec, kubeconfig, standin_image, deadline, log: Log::default(), stage: Mutex::default() };
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
    container: &'a str,
    spec: &'a ClusterSpec,
    kubeconfig: &'a Path,
    standin_image: &'a str,
    deadline: Duration,
    log: Log,
    /// What is being waited for.
    stage: Mutex<&'static str>,
}

impl Boot<'_> {
    async fn serve(&self) -> Result<String, DockerError> {
        self.stage("K3s's kubeconfig");
        self.fetch_kubeconfig().await?;
        let client = client(self.kubeconfig).await?;
        self.stage("an API that answers");
        let version = self.answering(&client).await;
        self.stage("node, StorageClass and service account");
        self.populated(&client).await.map_err(|error| DockerError::NotServed { source: error.into() })?;
        self.stage("a new pod with a new claim, and a name that resolves");
        let served = probe::served(client, "default", self.standin_image, self.deadline);
        served.await.map_err(|error| DockerError::NotServed { source: error.into() })?;
        Ok(version)
    }

    fn stage(&self, stage: &'static str) {
        tracing::info!("waiting for {stage}");
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
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
        for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            // 127.0.0.1 is among the names of K3s's certificate.
            cluster.server = Some(format!("https://127.0.0.1:{port}"));
        }
        let yaml = serde_saphyr::to_string(&config).map_err(|error| unusable(error.into()))?;
        write_private(self.kubeconfig, yaml.as_bytes())
            .map_err(|error| DockerError::Kubeconfig { path: self.kubeconfig.to_owned(), source: error.into() })
    }

    async fn published_port(&self) -> Result<String, DockerError> {
        let inspected = self.engine.inspect_container(self.container, None::<InspectContainerOptions>).await;
        let inspected = inspected.map_err(|error| DockerError::request("look at the K3s container", error))?;
        let ports = inspected.network_settings.and_then(|network| network.ports).unwrap_or_default();
        let bound = ports.get(API_PORT).cloned().flatten().into_iter().flatten().find_map(|binding| binding.host_port);
        bound.ok_or_else(|| DockerError::Port { answer: format!("no port of 127.0.0.1 leads to the container's {API_PORT}") })
    }

    /// The version that the API reports, as soon as it does.
    async fn answering(&self, client: &Client) -> String {
        loop {
            match client.apiserver_version().await {
                Ok(version) => return version.git_version,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// What must exist before a pod is worth creating: one that is judged before the scheduler knows the StorageClass
    /// is stuck for five minutes.
    async fn populated(&self, client: &Client) -> Result<(), WaitError> {
        let classes = Api::<StorageClass>::all(client.clone());
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
        let class = async {
            if !self.spec.has(Packaged::LocalStorage) {
                return Ok(());
            }
            wait::until(classes, Selection::default(), "a StorageClass exists", self.deadline, |classes| match classes {
                [] => Seen::NotYet("none".to_owned()),
                _ => Seen::Done(()),
            })
            .await
        };
        let account =
            wait::until(accounts, wait::named("default"), "a service account exists", self.deadline, |accounts| match accounts {
                [] => Seen::NotYet("none".to_owned()),
                _ => Seen::Done(()),
            });
        let node =
            wait::until(Api::<Node>::all(client.clone()), Selection::default(), "the node is Ready", self.deadline, |nodes| {
                let mut conditions = nodes.iter().filter_map(|node| node.status.as_ref()?.conditions.as_ref()).flatten();
                match conditions.find(|condition| condition.type_ == "Ready") {
                    Some(ready) if ready.status == "True" => Seen::Done(()),
                    Some(ready) => Seen::NotYet(ready.message.clone().unwrap_or_default()),
                    None => Seen::NotYet("no node has registered".to_owned()),
                }
            });
        tokio::try_join!(class, account, node).map(|_| ())
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
        let (line, cause) = error::ExitCause::in_log(&lines).unzip();
        DockerError::Exited { exit_code, cause, last_lines: error::LogTail::new(&lines, line) }
    }

    fn too_late(&self) -> DockerError {
        let missing = (*self.stage.lock().unwrap_or_else(PoisonError::into_inner)).to_owned();
        DockerError::Deadline { after: self.deadline, missing, last_lines: error::LogTail::new(&self.log.lines(), None) }
    }
}

/// A client by a kubeconfig of ours.
pub(super) async fn client(kubeconfig: &Path) -> Result<Client, DockerError> {
    let unusable =
        |source: Box<dyn std::error::Error + Send + Sync>| DockerError::Kubeconfig { path: kubeconfig.to_owned(), source };
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(error.into()))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(read, &options).await.map_err(|error| unusable(error.into()))?;
    Client::try_from(config).map_err(|error| unusable(error.into()))
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
