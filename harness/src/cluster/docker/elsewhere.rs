//! Starting a container on an engine that testcontainers does not find.
//!
//! testcontainers 0.28 looks at `DOCKER_HOST` and at the usual socket, and takes no client from others: it knows neither Docker contexts nor ssh.
//! What it is asked for is made here on such an engine, just as it would make it.

use testcontainers::{
    ContainerRequest, Image,
    bollard::{
        Docker,
        errors::Error as BollardError,
        models::{ContainerCreateBody, HostConfig},
        query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions},
    },
};

/// Starts it, and gives its id.
pub(super) async fn start<I: Image>(engine: &Docker, request: &ContainerRequest<I>) -> Result<String, BollardError> {
    let name = request.container_name().clone().unwrap_or_default();
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let created = engine.create_container(Some(options), body(request)).await?;
    engine.start_container(&created.id, None::<StartContainerOptions>).await?;
    Ok(created.id)
}

fn body<I: Image>(request: &ContainerRequest<I>) -> ContainerCreateBody {
    let mut host = HostConfig {
        privileged: Some(request.privileged()),
        cgroupns_mode: request.cgroupns_mode().map(Into::into),
        mounts: Some(request.mounts().map(Into::into).collect()),
        ..HostConfig::default()
    };
    if let Some(modify) = request.host_config_modifier() {
        modify(&mut host);
    }
    ContainerCreateBody {
        image: Some(request.descriptor()),
        hostname: request.hostname().map(str::to_owned),
        labels: Some(request.labels().clone().into_iter().collect()),
        entrypoint: request.entrypoint().map(|entrypoint| vec![entrypoint.to_owned()]),
        cmd: Some(request.cmd().map(|argument| argument.into_owned()).collect()),
        exposed_ports: Some(request.expose_ports().iter().map(ToString::to_string).collect()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}
