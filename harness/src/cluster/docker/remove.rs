//! Removing what carries our labels, and nothing else.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use futures::future::try_join_all;
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptionsBuilder,
    },
};

use super::{DockerError, engine, mark};
use crate::cluster::{
    Removed, orphan,
    run::{DIRECTORY_LABEL, RUN_LABEL, host},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Network,
    Volume,
}

/// Something that an engine has.
#[derive(Debug)]
struct Thing {
    kind: Kind,
    name: String,
    /// What the engine finds it by.
    id: String,
    labels: HashMap<String, String>,
}

impl Thing {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// Removes every container, network and volume of a run, from the engine that its directory names. Gives what was removed.
pub(in crate::cluster) async fn remove_run(directory: &Path, run: &str) -> Result<Vec<Removed>, DockerError> {
    remove(&engine::connect_to(&mark::endpoint(directory)?).await?, &[(RUN_LABEL, run)]).await
}

/// Removes every container, network and volume that carries all these labels. Gives what was removed.
pub(super) async fn remove(engine: &Docker, labels: &[(&str, &str)]) -> Result<Vec<Removed>, DockerError> {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    remove_all(engine, list(engine, labels).await?).await
}

/// Removes what runs of this host left that nobody knows any more. Gives what was removed; nothing, where there is no engine to ask.
pub(in crate::cluster) async fn remove_orphans() -> Result<Vec<Removed>, DockerError> {
    let Ok(engine) = engine::connect().await else { return Ok(Vec::new()) };
    let mut things = list(&engine, vec![RUN_LABEL.to_owned()]).await?;
    let host = host();
    things.retain(|thing| orphan::is_orphan(|label| thing.label(label), &host));
    remove_all(&engine, things).await
}

/// The runs of this host, with their directories, that have something on the engine and whose owner is gone. Nothing, where there is no engine
/// to ask.
pub(in crate::cluster) async fn ownerless() -> Result<BTreeSet<(PathBuf, String)>, DockerError> {
    let Ok(engine) = engine::connect().await else { return Ok(BTreeSet::new()) };
    let things = list(&engine, vec![RUN_LABEL.to_owned()]).await?;
    let host = host();
    let ownerless = things.iter().filter(|thing| orphan::is_ownerless(|label| thing.label(label), &host));
    let run = |thing: &Thing| Some((thing.label(DIRECTORY_LABEL)?.into(), thing.label(RUN_LABEL)?.to_owned()));
    Ok(ownerless.filter_map(run).collect())
}

async fn list(engine: &Docker, labels: Vec<String>) -> Result<Vec<Thing>, DockerError> {
    let filters = HashMap::from([("label".to_owned(), labels)]);
    let mut things = Vec::new();

    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers =
        engine.list_containers(Some(options)).await.map_err(|error| DockerError::request("list containers", error))?;
    things.extend(containers.into_iter().map(|container| {
        let id = container.id.unwrap_or_default();
        let name = container.names.into_iter().flatten().next();
        let name = name.map_or_else(|| id.clone(), |name| name.trim_start_matches('/').to_owned());
        Thing { kind: Kind::Container, name, id, labels: container.labels.unwrap_or_default() }
    }));

    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = engine.list_networks(Some(options)).await.map_err(|error| DockerError::request("list networks", error))?;
    things.extend(networks.into_iter().map(|network| {
        let id = network.id.unwrap_or_default();
        let name = network.name.unwrap_or_else(|| id.clone());
        Thing { kind: Kind::Network, name, id, labels: network.labels.unwrap_or_default() }
    }));

    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = engine.list_volumes(Some(options)).await.map_err(|error| DockerError::request("list volumes", error))?;
    things.extend(volumes.volumes.unwrap_or_default().into_iter().map(|volume| Thing {
        kind: Kind::Volume,
        name: volume.name.clone(),
        id: volume.name,
        labels: volume.labels,
    }));
    Ok(things)
}

/// Containers go first: what they use cannot.
async fn remove_all(engine: &Docker, things: Vec<Thing>) -> Result<Vec<Removed>, DockerError> {
    let (containers, others): (Vec<_>, Vec<_>) = things.into_iter().partition(|thing| thing.kind == Kind::Container);
    let mut removed = try_join_all(containers.into_iter().map(|thing| remove_one(engine, thing))).await?;
    removed.append(&mut try_join_all(others.into_iter().map(|thing| remove_one(engine, thing))).await?);
    Ok(removed)
}

async fn remove_one(engine: &Docker, thing: Thing) -> Result<Removed, DockerError> {
    let Thing { kind, name, id, .. } = thing;
    let (what, removed) = match kind {
        Kind::Container => {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            (Removed::Container(name), engine.remove_container(&id, Some(options)).await)
        }
        Kind::Network => (Removed::Network(name), engine.remove_network(&id).await),
        Kind::Volume => {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            (Removed::Volume(name), engine.remove_volume(&id, Some(options)).await)
        }
    };
    gone(removed).map_err(|error| DockerError::request(format!("remove the {what}"), error))?;
    Ok(what)
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
