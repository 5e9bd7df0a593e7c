//! The K3s container, as testcontainers' modules would have it but for what they fall short of: its API on a
//! random port of 127.0.0.1 alone, every volume named and labelled, a fixed node name.

use std::{collections::HashMap, time::Duration};

use testcontainers::{
    ContainerRequest, Image, ImageExt, TestcontainersError,
    bollard::{
        Docker,
        models::{MountVolumeOptions, PortBinding, VolumeCreateRequest},
        query_parameters::InspectContainerOptions,
    },
    core::{CgroupnsMode, ContainerPort, Mount, WaitFor, error::ClientError},
    runners::AsyncRunner,
};

use super::{
    DockerError, Making,
    cache::{self, Stored},
    elsewhere,
    route::free_port,
};
use crate::cluster::{ClusterSpec, Run};

/// K3s's API, as Docker writes it: <https://docs.k3s.io/installation/requirements#networking>.
pub(super) const API_PORT: &str = "6443/tcp";
/// The same, as testcontainers has it.
const EXPOSED: [ContainerPort; 1] = [ContainerPort::Tcp(6443)];

/// The volumes of K3s's image (its Dockerfile's `VOLUME`s). Unnamed, each run would leak four.
const VOLUMES: [(&str, &str); 4] =
    [("rancher", "/var/lib/rancher/k3s"), ("kubelet", "/var/lib/kubelet"), ("cni", "/var/lib/cni"), ("log", "/var/log")];

/// How the container's shell becomes K3s.
const START: &str = include_str!("start.sh");

/// Where K3s says that its API is, for its pods and itself; the node has this address, too ([`START`]).
///
/// By itself K3s says the address that Docker gave the container, which is another one when it starts again, or from the cache; the
/// datastore goes on naming the old one for 15 s to 25 s. Connections that go there fail, or come to another cluster of the same keys.
/// This one is never another's: it is reserved for documentation (RFC 5737).
const ADVERTISED: &str = "--advertise-address=192.0.2.1";

/// The volume in which images and manifests are put before the start.
pub(super) const DATA: (&str, &str) = VOLUMES[0];

/// The names of what a spec's cluster consists of in Docker.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) container: String,
    prefix: String,
}

impl Names {
    pub(super) fn new(run: &Run, spec: &ClusterSpec) -> Self {
        // A nextest run's id is a UUID, whose first group tells it apart well enough for a name; labels carry the whole.
        // Ids of other runs begin with the second in which the run did, which others share.
        let is_uuid = run.id().split('-').count() == 5;
        let run = run.id().split_once('-').filter(|_| is_uuid).map_or(run.id(), |(first, _)| first);
        let prefix = format!("k3s-arc-{run}-{}", spec.digest());
        Self { container: prefix.clone(), prefix }
    }

    pub(super) fn volume(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

/// Makes the cluster's volumes, labelled. Left to Docker, they would come to be without labels.
pub(super) async fn create_volumes(engine: &Docker, run: &Run, spec: &ClusterSpec, names: &Names) -> Result<(), DockerError> {
    for (name, _) in VOLUMES {
        let request = VolumeCreateRequest {
            name: Some(names.volume(name)),
            labels: Some(run.labels(&spec.digest()).into()),
            ..VolumeCreateRequest::default()
        };
        engine.create_volume(request).await.map_err(|error| DockerError::request(format!("make the volume {name}"), error))?;
    }
    Ok(())
}

/// Starts K3s, from a cache entry or from nothing, and gives the container's id; what happens in it is not awaited.
pub(super) async fn start(making: &Making<'_>, entry: Option<&Stored>) -> Result<String, DockerError> {
    let Making { engine, endpoint, route, run, spec, names, .. } = making;
    let from = if entry.is_some() { " from the cache" } else { "" };
    tracing::info!("starting {}{from}", spec.k3s());
    let attempted = || format!("start the container {}", names.container);
    let request = request(run, spec, names, entry, route.published_on());
    if !endpoint.is_found_by_testcontainers() {
        return elsewhere::start(engine, &request).await.map_err(|error| DockerError::request(attempted(), error));
    }
    let started = request.start().await.map_err(|error| match error {
        TestcontainersError::Client(
            ClientError::CreateContainer(error) | ClientError::StartContainer(error) | ClientError::Init(error),
        ) => DockerError::request(attempted(), error),
        error => DockerError::refused(attempted(), error.into()),
    })?;
    let id = started.id().to_owned();
    // Its drop would remove the container, which outlives this process: other tests of the run use it. It carries
    // the run's label, by which the reaper removes it.
    std::mem::forget(started);
    Ok(id)
}

/// The address of a container that runs, on the network that its API is published from.
pub(super) async fn address(engine: &Docker, container: &str) -> Result<String, DockerError> {
    let inspected = engine.inspect_container(container, None::<InspectContainerOptions>).await;
    let inspected = inspected.map_err(|error| DockerError::request("look at the K3s container", error))?;
    let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut addresses = networks.into_values().filter_map(|network| network.ip_address);
    Ok(addresses.find(|address| !address.is_empty()).unwrap_or_default())
}

fn request(run: &Run, spec: &ClusterSpec, names: &Names, entry: Option<&Stored>, published_on: String) -> ContainerRequest<K3s> {
    // None, for Docker to choose. One that Docker chooses is another at each start of the container, and a kubeconfig would not survive a
    // restart. One that is free here is mostly free on another host too; where it is not, another is tried.
    let port = free_port().map(|port| port.to_string()).unwrap_or_default();
    let volumes = VOLUMES.map(|(name, path)| Mount::volume_mount(names.volume(name), path));
    let tmpfs = ["/run", "/var/run"].map(Mount::tmpfs_mount);
    let image = K3s::new(spec, entry.is_some());
    let entry = entry.map(Stored::mount_to_restore);
    let mut request = ContainerRequest::from(image)
        .with_container_name(&names.container)
        .with_labels(run.labels(&spec.digest()))
        .with_hostname(spec.name_of_node())
        .with_privileged(true)
        // On cgroup v1 hosts Docker's default is the host's namespace, in which K3s does not find its own CPU quotas and
        // goes on without ("Disabling CPU quotas due to missing cpu controller or cpu.cfs_period_us"): no limit on
        // CPU would be enforced.
        .with_cgroupns_mode(CgroupnsMode::Private)
        .with_startup_timeout(Duration::from_secs(120))
        // testcontainers publishes on all addresses; K3s's API is nobody's business but this host's.
        .with_host_config_modifier(move |host| {
            let binding = PortBinding { host_ip: Some(published_on.clone()), host_port: Some(port.clone()) };
            host.publish_all_ports = Some(false);
            host.port_bindings = Some(HashMap::from([(API_PORT.to_owned(), Some(vec![binding]))]));
            if let Some(entry) = &entry {
                let mounts = host.mounts.get_or_insert_default();
                // Else Docker fills the empty volume with what the image has there, which the entry has too.
                for data in mounts.iter_mut().filter(|mount| mount.target.as_deref() == Some(DATA.1)) {
                    data.volume_options = Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() });
                }
                mounts.push(entry.clone());
            }
        });
    for mount in volumes.into_iter().chain(tmpfs) {
        request = request.with_mount(mount);
    }
    request
}

/// K3s's image, as testcontainers sees it.
#[derive(Debug)]
struct K3s {
    name: String,
    tag: String,
    command: Vec<String>,
}

impl K3s {
    fn new(spec: &ClusterSpec, restored: bool) -> Self {
        let (name, tag) = spec.k3s().split_for_testcontainers();
        let subnet = spec.flannel_subnet().unwrap_or_default();
        let script = if restored { format!("{}{START}", cache::RESTORE) } else { START.to_owned() };
        let advertised = (!spec.advertises()).then(|| ADVERTISED.to_owned());
        let command = ["-c", &script, subnet].map(str::to_owned).into_iter().chain(spec.command()).chain(advertised).collect();
        Self { name, tag, command }
    }
}

impl Image for K3s {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> &str {
        &self.tag
    }

    /// None: readiness is found out from the API, by what is new on it.
    fn ready_conditions(&self) -> Vec<WaitFor> {
        Vec::new()
    }

    fn expose_ports(&self) -> &[ContainerPort] {
        &EXPOSED
    }

    fn entrypoint(&self) -> Option<&str> {
        Some("/bin/sh")
    }

    fn cmd(&self) -> impl IntoIterator<Item = impl Into<std::borrow::Cow<'_, str>>> {
        &self.command
    }
}
