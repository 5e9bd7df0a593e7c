//! Removing what carries our labels, and nothing else.

use std::collections::HashMap;

use futures::future::try_join_all;
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptionsBuilder,
    },
};

use super::{DockerError, engine};
use crate::cluster::run::RUN_LABEL;

/// Removes every container, network and volume of a run.
pub(in crate::cluster) async fn remove_run(run: &str) -> Result<(), DockerError> {
    remove(&engine::connect().await?, &[(RUN_LABEL, run)]).await
}

/// Removes every container, network and volume that carries all these labels.
pub(super) async fn remove(engine: &Docker, labels: &[(&str, &str)]) -> Result<(), DockerError> {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let filters = HashMap::from([("label".to_owned(), labels)]);

    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers =
        engine.list_containers(Some(options)).await.map_err(|error| DockerError::request("list containers", error))?;
    try_join_all(containers.into_iter().filter_map(|container| container.id).map(|id| async move {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        gone(engine.remove_container(&id, Some(options)).await)
            .map_err(|error| DockerError::request(format!("remove the container {id}"), error))
    }))
    .await?;

    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = engine.list_networks(Some(options)).await.map_err(|error| DockerError::request("list networks", error))?;
    try_join_all(networks.into_iter().filter_map(|network| network.id).map(|id| async move {
        gone(engine.remove_network(&id).await).map_err(|error| DockerError::request(format!("remove the network {id}"), error))
    }))
    .await?;

    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = engine.list_volumes(Some(options)).await.map_err(|error| DockerError::request("list volumes", error))?;
    try_join_all(volumes.volumes.unwrap_or_default().into_iter().map(|volume| async move {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        gone(engine.remove_volume(&volume.name, Some(options)).await)
            .map_err(|error| DockerError::request(format!("remove the volume {}", volume.name), error))
    }))
    .await?;
    Ok(())
}

/// What is gone already, or going (409: removal in progress), is as it should be.
fn gone(removed: Result<(), BollardError>) -> Result<(), BollardError> {
    match removed {
        Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(BollardError::DockerResponseServerError { status_code: 409, message }) if message.contains("already in progress") => {
            Ok(())
        }
        other => other,
    }
}
