//! What a run notes before it first makes something in Docker: that there will be something to remove, and on which engine. Who removes it may
//! have been started with another `DOCKER_HOST` or Docker context.

use std::{fs, path::Path};

use super::{DockerError, endpoint::Endpoint};

/// In a run's directory.
const MARK: &str = "docker";

/// Notes it, in a run's directory.
pub(super) fn mark(directory: &Path, endpoint: &Endpoint) -> Result<(), DockerError> {
    let path = directory.join(MARK);
    let written = serde_json::to_vec(endpoint).map_err(Into::into).and_then(|json| fs::write(&path, json));
    written.map_err(|source| DockerError::Mark { path, source })
}

/// Whether the run in a directory may have made something in Docker.
pub(in crate::cluster) fn is_marked(directory: &Path) -> bool {
    directory.join(MARK).exists()
}

/// The engine that the run in a directory has made it on; where the note does not tell, the one that this process is to use.
pub(super) fn endpoint(directory: &Path) -> Result<Endpoint, DockerError> {
    let noted = fs::read(directory.join(MARK)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    noted.map_or_else(|| Endpoint::choose().map_err(Into::into), Ok)
}

#[cfg(test)]
mod tests {
    use super::{super::endpoint::Chosen, *};

    #[test]
    fn a_run_remembers_its_engine() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_marked(directory.path()));
        let elsewhere = Endpoint {
            address: "tcp://edge:2376".to_owned(),
            tls: Some("/certs".into()),
            chosen: Chosen::Context { name: "edge".to_owned(), by: "DOCKER_CONTEXT".to_owned() },
        };
        mark(directory.path(), &elsewhere).unwrap();
        assert!(is_marked(directory.path()));
        assert_eq!(endpoint(directory.path()).unwrap(), elsewhere);
        // As runs have left it that knew one engine alone.
        fs::write(directory.path().join(MARK), "").unwrap();
        assert_ne!(endpoint(directory.path()).ok(), Some(elsewhere));
    }
}
