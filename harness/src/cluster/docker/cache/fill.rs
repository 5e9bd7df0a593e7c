//! Keeping a boot: the node is frozen for as long as its data is copied.

use std::{path::Path, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use kube::{Api, ResourceExt};
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
        WaitContainerOptionsBuilder,
    },
};

use super::{
    super::{
        DockerError, boot,
        container::{self, DATA, Names},
        node::DockerNode,
    },
    Cache, FORMAT, MOUNT, Stored, bounds, store,
};
use crate::{
    cluster::{ClusterSpec, NodeAccess, Run},
    wait::{self, Seen, Selection},
};

/// For what the proof of the boot left to be gone. It takes local-path some 3 s.
const SETTLE: Duration = Duration::from_secs(20);
/// For the copy, while the node is frozen. On a slow disk it may be gigabytes of preloaded images.
const COPY: Duration = Duration::from_secs(60);

/// Why a boot is not kept.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum FillError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The cluster is of no use to anybody any more.
    #[error(transparent)]
    Frozen(DockerError),
    #[error("what proved the boot is not gone")]
    Unsettled(#[from] wait::WaitError),
    #[error("the node could not {attempted}: {answer}")]
    Node { attempted: &'static str, answer: String },
    #[error("it could not be copied: {0}")]
    Copy(String),
}

/// Makes an entry of a cluster that has just been proven and that nobody has used yet; the bounds of the cache are seen to.
pub(in super::super) async fn fill(
    engine: &Docker,
    run: &Run,
    spec: &ClusterSpec,
    names: &Names,
    k3s: &str,
    kubeconfig: &Path,
    cache: &Cache,
) -> Result<(), FillError> {
    tracing::info!("keeping this boot in the cache");
    let node = DockerNode::running(engine.clone(), k3s.to_owned()).await?;
    let staged = on_node(&node, "gather what the entry needs", include_str!("stage.sh"));
    tokio::try_join!(settled(kubeconfig), staged)?;
    let address = container::address(engine, k3s).await?;
    let entry = Stored::new(cache.key(), spec.k3s().to_string(), spec.command().join(" "), address);

    engine.pause_container(k3s).await.map_err(|error| DockerError::request("freeze the K3s container", error))?;
    let copied = match tokio::time::timeout(COPY, copy(engine, run, spec, names, &entry)).await {
        Ok(copied) => copied,
        Err(_) => Err(FillError::Copy(format!("not within {} s", COPY.as_secs()))),
    };
    let thawed = engine.unpause_container(k3s).await;
    thawed.map_err(|error| FillError::Frozen(DockerError::request("go on with the K3s container", error)))?;
    remove_helper(engine, names).await?;
    on_node(&node, "remove what the entry needed", "rm -r /var/lib/rancher/k3s/.k3s-arc").await?;
    if copied.is_err() {
        // Half-written; what cannot be removed now, whoever surveys the cache next removes.
        let _ = entry.remove(engine).await;
    }
    copied?;
    for (entry, reason) in bounds::surplus(&store::surveyed(engine, run.labels(&spec.digest()).into()).await?, store::now()) {
        if entry.remove(engine).await? {
            tracing::info!("removed the boot {} from the cache: {reason}", entry.key);
        }
    }
    Ok(())
}

/// Waits until what proved the boot is gone: in an entry it would be a volume that is to be deleted, and a pod that does so.
async fn settled(kubeconfig: &Path) -> Result<(), FillError> {
    let client = boot::client(kubeconfig).await?;
    let volumes = Api::<PersistentVolume>::all(client.clone());
    wait::until(volumes, Selection::default(), "the probe's volume is gone", SETTLE, |volumes| match volumes {
        [] => Seen::Done(()),
        [volume, ..] => Seen::NotYet(format!("{} is there", volume.name_any())),
    })
    .await?;
    wait::until(Api::<Pod>::all(client), Selection::default(), "no pod is on its way out", SETTLE, |pods| {
        match pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_some()) {
            None => Seen::Done(()),
            Some(pod) => Seen::NotYet(format!("{} is being deleted", pod.name_any())),
        }
    })
    .await?;
    Ok(())
}

async fn on_node(node: &DockerNode, attempted: &'static str, script: &str) -> Result<(), FillError> {
    match node.exec(&["sh", "-c", script]).await {
        Ok(output) if output.exit_code == 0 => Ok(()),
        Ok(output) => Err(FillError::Node { attempted, answer: output.stderr }),
        Err(error) => Err(FillError::Node { attempted, answer: crate::chain(&error) }),
    }
}

fn helper_name(names: &Names) -> String {
    format!("{}-cache", names.container)
}

/// Copies by a container, which carries the run's labels: killed, we leave it to the reaper.
async fn copy(engine: &Docker, run: &Run, spec: &ClusterSpec, names: &Names, entry: &Stored) -> Result<(), FillError> {
    let data = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(names.volume(DATA.0)),
        target: Some("/from".to_owned()),
        read_only: Some(true),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    };
    let labels = run.labels(&spec.digest()).into_iter().chain([(store::FILLING.to_owned(), entry.key.clone())]);
    let command = ["-c", include_str!("fill.sh"), FORMAT].map(str::to_owned);
    let body = ContainerCreateBody {
        image: Some(spec.k3s().to_string()),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        cmd: Some(command.into()),
        labels: Some(labels.collect()),
        network_disabled: Some(true),
        host_config: Some(HostConfig { mounts: Some(vec![data, entry.mount(MOUNT)]), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let name = helper_name(names);
    let made = engine.create_container(Some(CreateContainerOptionsBuilder::default().name(&name).build()), body).await;
    made.map_err(|error| DockerError::request(format!("make the container {name}"), error))?;
    let started = engine.start_container(&name, None::<StartContainerOptions>).await;
    started.map_err(|error| DockerError::request(format!("start the container {name}"), error))?;
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    match engine.wait_container(&name, Some(options)).next().await {
        Some(Ok(exit)) if exit.status_code == 0 => Ok(()),
        Some(Ok(_) | Err(BollardError::DockerContainerWaitError { .. })) => Err(FillError::Copy(said(engine, &name).await)),
        Some(Err(error)) => Err(DockerError::request(format!("wait for the container {name}"), error).into()),
        None => Err(FillError::Copy("Docker does not say how it ended".to_owned())),
    }
}

/// What a container said last.
async fn said(engine: &Docker, container: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("3").build();
    let chunks: Vec<_> = engine.logs(container, Some(options)).collect().await;
    let text: String = chunks.into_iter().flatten().map(|chunk| chunk.to_string()).collect();
    text.trim().to_owned()
}

async fn remove_helper(engine: &Docker, names: &Names) -> Result<(), DockerError> {
    let name = helper_name(names);
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match engine.remove_container(&name, Some(options)).await {
        Ok(()) | Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(DockerError::request(format!("remove the container {name}"), error)),
    }
}
