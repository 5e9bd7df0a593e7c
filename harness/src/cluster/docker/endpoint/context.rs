//! Docker contexts, as the docker command line keeps them: <https://docs.docker.com/engine/manage-resources/contexts/>.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Chosen, Endpoint, EndpointError, Environment, USUAL};
use crate::digest;

/// The context that means none: the usual socket.
const NONE: &str = "default";

/// What Docker's configuration says of contexts.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

/// What is kept of a context.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Endpoints {
    docker: Kept,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Kept {
    host: String,
    #[serde(rename = "SkipTLSVerify")]
    unverified: bool,
}

/// The engine of the context that is chosen; none, where none is.
pub(super) fn chosen(environment: &Environment<'_>) -> Result<Option<Endpoint>, EndpointError> {
    let Some(directory) = environment.config() else { return Ok(None) };
    let named = match environment.text("DOCKER_CONTEXT") {
        Some(name) => Some((name, "DOCKER_CONTEXT".to_owned())),
        None => {
            let path = directory.join("config.json");
            let config: Config = read(&path)?.unwrap_or_default();
            config.current.filter(|name| !name.is_empty()).map(|name| (name, path.display().to_string()))
        }
    };
    match named {
        Some((name, by)) if name != NONE => find(&directory, name, by).map(Some),
        _ => Ok(None),
    }
}

fn find(directory: &Path, name: String, by: String) -> Result<Endpoint, EndpointError> {
    let id = digest::full(name.as_bytes());
    let contexts = directory.join("contexts");
    let Some(meta) = read::<Meta>(&contexts.join("meta").join(&id).join("meta.json"))? else {
        return Err(EndpointError::NoContext { name, by });
    };
    let Kept { host, unverified } = meta.endpoints.docker;
    if unverified {
        return Err(EndpointError::Unverified { address: host, by: format!("the Docker context {name}") });
    }
    // A context that was made for something else means the usual socket.
    let address = if host.is_empty() { format!("unix://{USUAL}") } else { host };
    let tls = contexts.join("tls").join(&id).join("docker");
    let tls = std::path::absolute(&tls).unwrap_or(tls);
    Ok(Endpoint { address, tls: has_any(&tls).then_some(tls), chosen: Chosen::Context { name, by } })
}

/// Whether there is anything to be encrypted with.
fn has_any(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut files| files.next().is_some())
}

/// A file of JSON; nothing, if there is none.
fn read<T: serde::de::DeserializeOwned>(path: &PathBuf) -> Result<Option<T>, EndpointError> {
    let unreadable = |source| EndpointError::File { path: path.clone(), source };
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}
