//! Images reach the cluster without a registry: K3s imports every archive that lies in its data directory's
//! `agent/images` when it starts, <https://docs.k3s.io/installation/airgap#manually-deploy-images-method>.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use futures::{StreamExt, stream::unfold};
use testcontainers::bollard::{
    Docker, body_try_stream,
    errors::Error as BollardError,
    models::{ContainerCreateBody, HostConfig, Mount, MountType},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};

use super::{
    DockerError,
    container::{DATA, Names},
    engine,
};
use crate::{
    cluster::{ClusterSpec, Run},
    image::Standin,
};

/// Where archives go, below the data directory.
const IMAGES: &str = "agent/images";

/// One archive on its way to the node.
enum Archive {
    Bytes(&'static str, Vec<u8>),
    File(PathBuf),
}

/// Puts the spec's images, and the stand-in's, where K3s imports them when it starts.
pub(super) async fn preload(
    engine: &Docker,
    run: &Run,
    spec: &ClusterSpec,
    names: &Names,
    standin: &Standin,
) -> Result<(), DockerError> {
    let mut archives: Vec<Archive> = spec.image_archives().cloned().map(Archive::File).collect();
    if let Some(bytes) = standin.archive()? {
        archives.push(Archive::Bytes("k3s-arc-standin.tar", bytes));
    }
    // Kept until the upload is over; it may be of gigabytes, so it is a file and not memory.
    let saved = save_engine_images(engine, spec, run.directory()).await?;
    archives.extend(saved.as_ref().map(|saved| Archive::File(saved.path().to_owned())));
    if archives.is_empty() {
        return Ok(());
    }
    upload(engine, run, spec, names, archives).await
}

/// The images of the local engine that the spec names, in one archive; none, and no engine is asked, where it names none.
pub(in crate::cluster) async fn saved_images(
    spec: &ClusterSpec,
    directory: &Path,
) -> Result<Option<tempfile::NamedTempFile>, DockerError> {
    if spec.engine_images().next().is_none() {
        return Ok(None);
    }
    save_engine_images(&engine::connect().await?, spec, directory).await
}

/// Saves the images of the local engine that the spec names, in one archive.
async fn save_engine_images(
    engine: &Docker,
    spec: &ClusterSpec,
    directory: &Path,
) -> Result<Option<tempfile::NamedTempFile>, DockerError> {
    let images: Vec<&str> = spec.engine_images().collect();
    if images.is_empty() {
        return Ok(None);
    }
    for image in &images {
        match engine.inspect_image(image).await {
            Ok(_) => {}
            Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => {
                return Err(DockerError::EngineImage { image: (*image).to_owned() });
            }
            Err(error) => return Err(DockerError::request(format!("look for the image {image}"), error)),
        }
    }
    tracing::info!("saving {} from the Docker Engine", images.join(", "));
    let unwritable = |source| DockerError::Archive { path: directory.to_owned(), source };
    let mut file = tempfile::Builder::new().suffix(".tar").tempfile_in(directory).map_err(unwritable)?;
    let mut chunks = std::pin::pin!(engine.export_images(&images));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| DockerError::request(format!("save {}", images.join(", ")), error))?;
        file.write_all(&chunk).map_err(unwritable)?;
    }
    Ok(Some(file))
}

/// Uploads archives into the data volume by way of a container that never runs: testcontainers copies files only
/// into the container it starts, and through memory, and these may be of gigabytes.
async fn upload(
    engine: &Docker,
    run: &Run,
    spec: &ClusterSpec,
    names: &Names,
    archives: Vec<Archive>,
) -> Result<(), DockerError> {
    let (volume, path) = DATA;
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(names.volume(volume)),
        // The same path as in the K3s container: Docker fills an empty volume with what the image has there.
        target: Some(path.to_owned()),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(spec.k3s().to_string()),
        labels: Some(run.labels(&spec.digest()).into()),
        host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let name = format!("{}-preload", names.container);
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    engine
        .create_container(Some(options), body)
        .await
        .map_err(|error| DockerError::request(format!("make the container {name}"), error))?;

    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Vec<u8>>>(4);
    let packed = tokio::task::spawn_blocking(move || pack(archives, sender));
    let chunks =
        unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk.map(Into::into), receiver)) });
    let options = UploadToContainerOptionsBuilder::default().path(path).build();
    let uploaded = engine.upload_to_container(&name, Some(options), body_try_stream(chunks)).await;
    // An archive that could not be read is the cause of an upload that broke off.
    match packed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(panic) => return Err(DockerError::refused("pack the image archives", panic.into())),
    }
    uploaded.map_err(|error| DockerError::request("put image archives on the node's volume", error))?;

    // With the anonymous volumes that Docker made for the image's other `VOLUME`s; the data volume has a name, and stays.
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    engine
        .remove_container(&name, Some(options))
        .await
        .map_err(|error| DockerError::request(format!("remove the container {name}"), error))
}

/// Writes archives as one tar into the channel, chunk by chunk.
fn pack(archives: Vec<Archive>, sender: tokio::sync::mpsc::Sender<io::Result<Vec<u8>>>) -> Result<(), DockerError> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 * 1024, Chunks(sender)));
    for archive in archives {
        let (path, packed) = match archive {
            Archive::Bytes(name, bytes) => {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                (PathBuf::from(name), tar.append_data(&mut header, Path::new(IMAGES).join(name), bytes.as_slice()))
            }
            Archive::File(path) => {
                let name = path.file_name().map(PathBuf::from).unwrap_or_default();
                let packed = File::open(&path).and_then(|mut file| tar.append_file(Path::new(IMAGES).join(name), &mut file));
                (path, packed)
            }
        };
        packed.map_err(|source| DockerError::Archive { path, source })?;
    }
    let end = |source| DockerError::Archive { path: PathBuf::from(IMAGES), source };
    tar.into_inner().map_err(end)?.flush().map_err(end)
}

struct Chunks(tokio::sync::mpsc::Sender<io::Result<Vec<u8>>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(bytes.to_vec())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The image archives of a directory, in order of name.
pub(crate) fn archives_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_archive = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What K3s imports: pkg/agent/containerd, isFileSupported.
        [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.lz4", ".tar.bz2", ".tbz"].iter().any(|suffix| name.ends_with(suffix))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.retain(is_archive);
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_archives_are_taken_from_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.tar.zst", "a.tar", "readme.md", "images.txt"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            archives_in(directory.path()).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.tar", "b.tar.zst"]);
    }

    #[tokio::test]
    async fn archives_are_packed_whole_and_one_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("big.tar");
        std::fs::write(&file, vec![7; 700_000]).unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        let archives = vec![Archive::File(file), Archive::Bytes("small.tar", vec![1; 10])];
        let packed = tokio::task::spawn_blocking(move || pack(archives, sender));
        let mut bytes = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            bytes.extend(chunk.unwrap());
        }
        packed.await.unwrap().unwrap();
        let mut tar = tar::Archive::new(bytes.as_slice());
        let sizes: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.map(|entry| (entry.path().unwrap().display().to_string(), entry.size())).unwrap())
            .collect();
        assert_eq!(sizes, [("agent/images/big.tar".to_owned(), 700_000), ("agent/images/small.tar".to_owned(), 10)]);

        let (sender, _receiver) = tokio::sync::mpsc::channel(4);
        let missing = vec![Archive::File("/no/such/archive.tar".into())];
        let error = tokio::task::spawn_blocking(move || pack(missing, sender)).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the image archive /no/such/archive.tar could not be read");
    }
}
