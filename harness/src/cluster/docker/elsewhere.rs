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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testcontainers::{
        GenericImage, ImageExt,
        core::{CgroupnsMode, IntoContainerPort, Mount},
    };

    use super::*;

    #[test]
    fn what_testcontainers_is_asked_for_is_asked_of_the_engine() {
        let image = GenericImage::new("rancher/k3s", "v1.34.1-k3s1").with_entrypoint("/bin/sh").with_exposed_port(6443.tcp());
        let request = image
            .with_cmd(["-c", "k3s"])
            .with_container_name("k3s-arc-1")
            .with_labels([("k3s-arc.run", "1")])
            .with_hostname("node")
            .with_privileged(true)
            .with_cgroupns_mode(CgroupnsMode::Private)
            .with_mount(Mount::volume_mount("data", "/data"))
            .with_mount(Mount::tmpfs_mount("/run"))
            .with_host_config_modifier(|host| host.publish_all_ports = Some(false));
        let asked = serde_json::to_value(body(&request)).unwrap();
        let host = &asked["HostConfig"];
        assert_eq!(asked["Image"], "rancher/k3s:v1.34.1-k3s1");
        assert_eq!((&asked["Entrypoint"], &asked["Cmd"]), (&json!(["/bin/sh"]), &json!(["-c", "k3s"])));
        assert_eq!((&asked["Hostname"], &asked["Labels"]), (&json!("node"), &json!({"k3s-arc.run": "1"})));
        assert_eq!((&host["Privileged"], &host["CgroupnsMode"]), (&json!(true), &json!("private")));
        assert_eq!(host["PublishAllPorts"], false);
        let targets: Vec<_> = host["Mounts"].as_array().unwrap().iter().map(|mount| (&mount["Type"], &mount["Target"])).collect();
        assert_eq!(targets, [(&json!("volume"), &json!("/data")), (&json!("tmpfs"), &json!("/run"))]);
        assert!(asked["ExposedPorts"].to_string().contains("6443/tcp"));
    }
}
