//! The entries there are: labelled volumes, each with its manifest in it.

use std::{
    collections::{HashMap, HashSet},
    io::Read,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::TryStreamExt;
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    models::{ContainerCreateBody, ContainerSummary, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptions, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    },
};

use super::{
    super::{DockerError, engine},
    FORMAT, MOUNT,
};
use crate::cluster::{Cached, CachedState, Cleared};

/// An entry's volume: the key.
const KEY: &str = "k3s-arc.cache";
/// The format of what is in it.
const FORMAT_LABEL: &str = "k3s-arc.cache.format";
/// When it was begun, in seconds since 1970.
const CREATED: &str = "k3s-arc.cache.created";
/// The address that the container had which it was made from.
const ADDRESS: &str = "k3s-arc.cache.address";
/// For people: which K3s.
const K3S: &str = "k3s-arc.cache.k3s";
/// For people: started how.
const COMMAND: &str = "k3s-arc.cache.command";

/// A container that fills an entry.
pub(super) const FILLING: &str = "k3s-arc.cache.filling";
/// A container, never started, through which entries are read.
const READING: &str = "k3s-arc.cache.reading";
/// The age in seconds from which on such a container was left by somebody who was killed.
const FORGOTTEN: i64 = 60;

/// An entry as Docker has it.
#[derive(Debug, Clone)]
pub(in super::super) struct Stored {
    pub(super) volume: String,
    pub(super) key: String,
    pub(super) format: String,
    /// Seconds since 1970, as all times here.
    pub(super) created: u64,
    k3s: String,
    command: String,
    /// By which its datastore knows the node.
    pub(in super::super) address: String,
    /// A container fills it.
    pub(super) filling: bool,
    /// A container has it mounted.
    mounted: bool,
    /// What is in it; none as well where nobody has looked.
    pub(super) manifest: Option<Manifest>,
    /// When it was last booted from.
    pub(super) used: Option<u64>,
}

/// What is told of an entry once it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    kilobytes: u64,
}

impl Manifest {
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Some(Self { kilobytes: value("kilobytes")?.parse().ok()? })
    }
}

impl Stored {
    /// A new one, for what somebody is about to keep.
    pub(super) fn new(key: &str, k3s: String, command: String, address: String) -> Self {
        let created = now();
        Self {
            volume: format!("k3s-arc-cache-{key}-{:x}-{:x}", created, std::process::id()),
            key: key.to_owned(),
            format: FORMAT.to_owned(),
            created,
            k3s,
            command,
            address,
            filling: false,
            mounted: false,
            manifest: None,
            used: None,
        }
    }

    fn read(volume: String, labels: &HashMap<String, String>) -> Self {
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        Self {
            key: label(KEY),
            format: label(FORMAT_LABEL),
            created: label(CREATED).parse().unwrap_or_default(),
            k3s: label(K3S),
            command: label(COMMAND),
            address: label(ADDRESS),
            volume,
            filling: false,
            mounted: false,
            manifest: None,
            used: None,
        }
    }

    /// What it is found by.
    pub(in super::super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        self.manifest.as_ref().map(|manifest| manifest.kilobytes << 10)
    }

    pub(super) fn used_or_made(&self) -> u64 {
        self.used.unwrap_or_default().max(self.created)
    }

    pub(super) fn is_of_another_format(&self) -> bool {
        self.format != FORMAT
    }

    /// Its volume in a container. Were it gone in between, Docker would make an empty one; it has the labels then, by which it is found.
    pub(in super::super) fn mount(&self, target: &str) -> Mount {
        let labels = [
            (KEY, &self.key),
            (FORMAT_LABEL, &self.format),
            (CREATED, &self.created.to_string()),
            (K3S, &self.k3s),
            (COMMAND, &self.command),
            (ADDRESS, &self.address),
        ];
        Mount {
            typ: Some(MountType::VOLUME),
            source: Some(self.volume.clone()),
            target: Some(target.to_owned()),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value.clone())).into()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        }
    }

    /// Its volume in the container of a boot.
    pub(in super::super) fn mount_to_restore(&self) -> Mount {
        self.mount(MOUNT)
    }

    /// Removes it, unless a container has it mounted; whether it is gone.
    pub(in super::super) async fn remove(&self, engine: &Docker) -> Result<bool, DockerError> {
        match engine.remove_volume(&self.volume, None::<RemoveVolumeOptions>).await {
            Ok(()) | Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
            Err(BollardError::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(DockerError::request(format!("remove the volume {}", self.volume), error)),
        }
    }

    #[cfg(test)]
    pub(super) fn example(key: &str, created: u64) -> Self {
        let entry = Self::new(key, "rancher/k3s:v1.34.1-k3s1".to_owned(), "server".to_owned(), "172.17.0.2".to_owned());
        Self { created, ..entry }.sized(1 << 20)
    }

    #[cfg(test)]
    pub(super) fn sized(self, bytes: u64) -> Self {
        Self { manifest: Some(Manifest { kilobytes: bytes >> 10 }), ..self }
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The entries of a key, or all; what is in them is not looked at.
pub(super) async fn stored(engine: &Docker, key: Option<&str>) -> Result<Vec<Stored>, DockerError> {
    let label = key.map_or_else(|| KEY.to_owned(), |key| format!("{KEY}={key}"));
    let options = ListVolumesOptionsBuilder::default().filters(&HashMap::from([("label", vec![label])])).build();
    let volumes = engine.list_volumes(Some(options)).await.map_err(|error| DockerError::request("list volumes", error))?;
    let volumes = volumes.volumes.unwrap_or_default();
    if volumes.is_empty() {
        return Ok(Vec::new());
    }
    // In this order: a container that fills an entry is there before the entry is.
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let containers =
        engine.list_containers(Some(options)).await.map_err(|error| DockerError::request("list containers", error))?;
    let reading = |container: &&ContainerSummary| label_of(container, READING).is_none();
    let mounted: HashSet<String> = containers.iter().filter(reading).flat_map(mounts).collect();
    let filling = |container: &&ContainerSummary| label_of(container, FILLING).is_some();
    let filled: HashSet<String> = containers.iter().filter(filling).flat_map(mounts).collect();
    let entry = |volume: testcontainers::bollard::models::Volume| Stored {
        mounted: mounted.contains(&volume.name),
        filling: filled.contains(&volume.name),
        ..Stored::read(volume.name, &volume.labels)
    };
    Ok(volumes.into_iter().map(entry).collect())
}

fn label_of<'a>(container: &'a ContainerSummary, name: &str) -> Option<&'a String> {
    container.labels.as_ref()?.get(name)
}

fn mounts(container: &ContainerSummary) -> impl Iterator<Item = String> {
    container.mounts.iter().flatten().filter_map(|mount| mount.name.clone())
}

/// All entries with what is in them, read through a container that is never started.
pub(super) async fn surveyed(engine: &Docker, labels: HashMap<String, String>) -> Result<Vec<Stored>, DockerError> {
    remove_forgotten(engine).await?;
    let mut entries = stored(engine, None).await?;
    if entries.is_empty() {
        return Ok(entries);
    }
    let place = |index: usize| format!("/entry/{index}");
    let mounts = entries.iter().enumerate().map(|(index, entry)| entry.mount(&place(index))).collect();
    let body = ContainerCreateBody {
        // Any image: nothing of it runs.
        image: Some(any_image(engine).await?),
        cmd: Some(vec!["never started".to_owned()]),
        labels: Some(labels.into_iter().chain([(READING.to_owned(), now().to_string())]).collect()),
        host_config: Some(HostConfig { mounts: Some(mounts), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let attempted = "make a container to read the cache through";
    let reader = engine.create_container(None::<CreateContainerOptions>, body).await;
    let reader = reader.map_err(|error| DockerError::request(attempted, error))?.id;
    for (index, entry) in entries.iter_mut().enumerate() {
        let manifest = file(engine, &reader, &format!("{}/manifest", place(index))).await;
        let used = file(engine, &reader, &format!("{}/used", place(index))).await;
        match (manifest, used) {
            (Ok(manifest), Ok(used)) => {
                entry.manifest = manifest.and_then(|file| Manifest::parse(&file.text));
                entry.used = used.map(|file| file.modified);
            }
            (Err(error), _) | (_, Err(error)) => {
                remove_reader(engine, &reader).await?;
                return Err(DockerError::request("read the cache", error));
            }
        }
    }
    remove_reader(engine, &reader).await?;
    Ok(entries)
}

async fn any_image(engine: &Docker) -> Result<String, DockerError> {
    let images = engine.list_images(Some(ListImagesOptionsBuilder::default().build())).await;
    let images = images.map_err(|error| DockerError::request("list images", error))?;
    let none = || DockerError::refused("read the cache", "it has no image to make a container of".into());
    images.into_iter().next().map(|image| image.id).ok_or_else(none)
}

async fn remove_reader(engine: &Docker, reader: &str) -> Result<(), DockerError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match engine.remove_container(reader, Some(options)).await {
        Ok(()) | Err(BollardError::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        Err(error) => Err(DockerError::request(format!("remove the container {reader}"), error)),
    }
}

/// Removes the containers of readers that were killed.
async fn remove_forgotten(engine: &Docker) -> Result<(), DockerError> {
    let filters = HashMap::from([("label", vec![READING])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let readers = engine.list_containers(Some(options)).await.map_err(|error| DockerError::request("list containers", error))?;
    let before = i64::try_from(now()).unwrap_or(i64::MAX) - FORGOTTEN;
    for reader in readers.into_iter().filter(|reader| reader.created.is_some_and(|created| created < before)) {
        if let Some(id) = reader.id {
            remove_reader(engine, &id).await?;
        }
    }
    Ok(())
}

struct File {
    text: String,
    modified: u64,
}

/// A small file of a container, if it is there.
async fn file(engine: &Docker, container: &str, path: &str) -> Result<Option<File>, BollardError> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let chunks: Vec<_> = match engine.download_from_container(container, Some(options)).try_collect().await {
        Ok(chunks) => chunks,
        // Not of a container that is gone, of whose files nothing is known.
        Err(BollardError::DockerResponseServerError { status_code: 404, message }) if !message.contains("No such container") => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let archive = chunks.concat();
    let mut archive = tar::Archive::new(archive.as_slice());
    let Some(entry) = archive.entries()?.next() else { return Ok(None) };
    let mut entry = entry?;
    let modified = entry.header().mtime()?;
    let mut text = String::new();
    entry.read_to_string(&mut text)?;
    Ok(Some(File { text, modified }))
}

impl From<&Stored> for Cached {
    fn from(entry: &Stored) -> Self {
        let state = match entry {
            _ if entry.filling => CachedState::BeingFilled,
            _ if entry.is_of_another_format() => CachedState::OtherFormat,
            _ if entry.manifest.is_none() => CachedState::HalfWritten,
            _ => CachedState::Whole,
        };
        Self {
            key: entry.key.clone(),
            volume: entry.volume.clone(),
            k3s: entry.k3s.clone(),
            command: entry.command.clone(),
            state,
            in_use: entry.mounted,
            bytes: entry.bytes(),
            made: entry.created,
            used: entry.used,
        }
    }
}

/// The entries there are, the newest first.
///
/// # Errors
/// [`DockerError`].
pub async fn list() -> Result<Vec<Cached>, DockerError> {
    let mut entries = surveyed(&engine::connect().await?, HashMap::new()).await?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.created));
    Ok(entries.iter().map(Cached::from).collect())
}

/// Removes the entries of these keys, or all; those that a run uses stay.
///
/// # Errors
/// [`DockerError`].
pub async fn clear(keys: Option<&[String]>) -> Result<Vec<Cleared>, DockerError> {
    let engine = engine::connect().await?;
    remove_forgotten(&engine).await?;
    let mut cleared = Vec::new();
    for entry in stored(&engine, None).await? {
        if keys.is_none_or(|keys| keys.contains(&entry.key)) {
            let removed = entry.remove(&engine).await?;
            cleared.push(Cleared { key: entry.key, volume: entry.volume, removed });
        }
    }
    Ok(cleared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_was_cut_short_is_none() {
        let manifest = "format=2\nkilobytes=331\nlists=abc\n";
        assert_eq!(Manifest::parse(manifest), Some(Manifest { kilobytes: 331 }));
        for cut in ["", "format=2\n", "format=2\nkilobytes=\n"] {
            assert_eq!(Manifest::parse(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn an_entry_is_read_back_from_the_labels_that_its_volume_gets() {
        let entry = Stored::example("abc", 7);
        let labels = entry.mount("/x").volume_options.unwrap().labels.unwrap();
        let read = Stored::read(entry.volume.clone(), &labels);
        assert_eq!(Cached::from(&read.sized(1 << 20)), Cached::from(&entry));
    }

    #[test]
    fn what_can_be_booted_from_is_told_from_what_cannot() {
        let state = |entry: Stored| Cached::from(&entry).state;
        let whole = Stored::example("abc", 7);
        assert_eq!(state(whole.clone()), CachedState::Whole);
        assert_eq!(state(Stored { manifest: None, ..whole.clone() }), CachedState::HalfWritten);
        assert_eq!(state(Stored { manifest: None, filling: true, ..whole.clone() }), CachedState::BeingFilled);
        assert_eq!(state(Stored { format: "0".to_owned(), ..whole }), CachedState::OtherFormat);
    }
}
