//! What a booted K3s depends on: clusters of equal keys boot to the same state.

use std::{io, os::unix::fs::MetadataExt, path::PathBuf};

use serde::Serialize;
use testcontainers::bollard::{Docker, errors::Error as BollardError};

use super::super::DockerError;
use crate::{cluster::ClusterSpec, digest, image::Standin};

/// Arguments by which K3s keeps its state elsewhere, or is one of several servers.
const ELSEWHERE: [&str; 9] =
    ["--data-dir", "-d", "--datastore-endpoint", "--cluster-init", "--server", "-s", "--config", "-c", "--token-file"];

/// The key of a spec's entries, as parts that are told apart.
#[derive(Debug, Serialize)]
struct Parts {
    /// By id, not by tag: a tag can move.
    k3s: String,
    command: Vec<String>,
    /// Its tag is its content.
    standin: String,
    engine_images: Vec<String>,
    archives: Vec<ArchiveFile>,
}

/// An image archive, told by what changes when it is written. Its digest would cost more than importing it.
#[derive(Debug, Serialize)]
struct ArchiveFile {
    path: PathBuf,
    bytes: u64,
    modified: (i64, i64),
}

/// The key of a spec's entries, or none if its boot cannot be kept.
pub(super) async fn of(engine: &Docker, spec: &ClusterSpec, standin: &Standin) -> Result<Option<String>, DockerError> {
    if !can_be_kept(spec) {
        return Ok(None);
    }
    let mut engine_images = Vec::new();
    for image in spec.engine_images() {
        // One that is missing is named by the boot.
        let Some(id) = image_id(engine, image).await? else { return Ok(None) };
        engine_images.push(format!("{image}={id}"));
    }
    let mut archives = Vec::new();
    for path in spec.image_archives() {
        let unreadable = |source| DockerError::Archive { path: path.clone(), source };
        archives.push(ArchiveFile::of(path.clone()).map_err(unreadable)?);
    }
    let Some(k3s) = image_id(engine, &spec.k3s().to_string()).await? else { return Ok(None) };
    Ok(Some(Parts { k3s, command: spec.command(), standin: standin.reference().to_owned(), engine_images, archives }.digest()))
}

fn can_be_kept(spec: &ClusterSpec) -> bool {
    let moves = |argument: &str| {
        let name = argument.split_once('=').map_or(argument, |(name, _)| name);
        ELSEWHERE.contains(&name)
    };
    !spec.server_arguments().any(moves)
}

async fn image_id(engine: &Docker, image: &str) -> Result<Option<String>, DockerError> {
    match engine.inspect_image(image).await {
        Ok(found) => Ok(found.id),
        Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(DockerError::request(format!("look for the image {image}"), error)),
    }
}

impl ArchiveFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let metadata = path.metadata()?;
        Ok(Self { bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()), path })
    }
}

impl Parts {
    /// Twelve hexadecimal digits.
    fn digest(&self) -> String {
        // Plain data, so that serialising it cannot fail.
        digest::short(&serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cluster::K3sImage;

    fn parts(archives: Vec<ArchiveFile>) -> Parts {
        let spec = ClusterSpec::new(K3sImage::default());
        Parts {
            k3s: "sha256:1".to_owned(),
            command: spec.command(),
            standin: "standin:2".to_owned(),
            engine_images: vec!["busybox=sha256:3".to_owned()],
            archives,
        }
    }

    #[test]
    fn whatever_changes_what_is_booted_changes_the_key() {
        let digest = parts(Vec::new()).digest();
        assert_eq!((digest.len(), &digest), (12, &parts(Vec::new()).digest()));
        let others = [
            Parts { k3s: "sha256:other".to_owned(), ..parts(Vec::new()) },
            Parts { command: vec!["server".to_owned()], ..parts(Vec::new()) },
            Parts { standin: "standin:other".to_owned(), ..parts(Vec::new()) },
            Parts { engine_images: vec!["busybox=sha256:other".to_owned()], ..parts(Vec::new()) },
        ];
        for other in others {
            assert_ne!(other.digest(), digest, "{other:?}");
        }
    }

    #[test]
    fn an_archive_that_is_written_anew_changes_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        std::fs::write(&path, "1").unwrap();
        let key = || parts(vec![ArchiveFile::of(path.clone()).unwrap()]).digest();
        let before = key();
        assert_eq!(key(), before);
        std::fs::write(&path, "12").unwrap();
        assert_ne!(key(), before);
        assert!(ArchiveFile::of("/no/such/archive.tar".into()).is_err());
    }

    #[rstest]
    #[case::plain("--kubelet-arg=max-pods=20", true)]
    #[case::debug("--debug", true)]
    #[case::elsewhere("--data-dir=/data", false)]
    #[case::several("--cluster-init", false)]
    #[case::external("--datastore-endpoint=postgres://db", false)]
    #[case::short("-d", false)]
    fn what_keeps_its_state_elsewhere_is_not_kept(#[case] argument: &str, #[case] kept: bool) {
        assert_eq!(can_be_kept(&ClusterSpec::new(K3sImage::default()).server_argument(argument)), kept);
    }

    #[test]
    fn a_cluster_of_ones_own_has_the_key_of_all() {
        let spec = ClusterSpec::new(K3sImage::default());
        assert_eq!(spec.clone().private("me").command(), spec.command(), "the command is all of a spec that the key takes");
    }
}
