//! The Docker Engine: reaching it, and having the K3s image in it.

use std::io;

use futures::StreamExt;
use testcontainers::bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as BollardError,
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder},
};

use super::{
    DockerError,
    endpoint::{Endpoint, Way},
    kind::Kind,
    ssh,
};
use crate::cluster::K3sImage;

/// How long an answer may take to begin, in seconds, as testcontainers has it.
const PATIENCE: u64 = 120;

/// A client of the engine that clusters are made with, wherever it is.
///
/// # Errors
/// [`DockerError`], if it is not known which one is meant, or nobody answers there.
pub async fn client() -> Result<Docker, DockerError> {
    connect().await
}

/// Connects to the engine that this process is to use, and makes sure somebody answers.
pub(super) async fn connect() -> Result<Docker, DockerError> {
    connect_to(&Endpoint::choose()?).await
}

/// Connects to an engine, and makes sure somebody answers.
pub(super) async fn connect_to(endpoint: &Endpoint) -> Result<Docker, DockerError> {
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| {
        let (host, chosen) = (endpoint.address.clone(), endpoint.chosen.to_string());
        if is_denied(&*source) {
            DockerError::NotPermitted { host, source }
        } else {
            DockerError::NoEngine { host, chosen, source }
        }
    };
    let (engine, heard) = match endpoint.way()? {
        Way::Socket(path) => (Docker::connect_with_unix(&path.to_string_lossy(), PATIENCE, API_DEFAULT_VERSION), None),
        Way::Tcp { host, port } => (tcp(endpoint, &super::route::authority(&host, port)), None),
        Way::Ssh(destination) => match ssh::connect(&destination) {
            Ok((engine, heard)) => (Ok(engine), Some(heard)),
            Err(error) => (Err(error), None),
        },
    };
    let engine = engine.map_err(|error| unreachable(error.into()))?;
    let Err(error) = engine.ping().await else { return Ok(engine) };
    // What ssh says is the cause; that the connection broke is what came of it.
    let said = match heard {
        Some(heard) => heard.words().await,
        None => None,
    };
    Err(unreachable(said.map_or_else(|| error.into(), Into::into)))
}

fn tcp(endpoint: &Endpoint, authority: &str) -> Result<Docker, BollardError> {
    let address = format!("tcp://{authority}");
    let Some(tls) = &endpoint.tls else { return Docker::connect_with_http(&address, PATIENCE, API_DEFAULT_VERSION) };
    let file = |name: &str| tls.join(name);
    let (key, certificate, authority) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
    Docker::connect_with_ssl(&address, &key, &certificate, &authority, PATIENCE, API_DEFAULT_VERSION)
}

fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        if error.downcast_ref::<io::Error>().is_some_and(denied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What is missing for this K3s to be started without a pull; nothing, if it is all there.
pub(in crate::cluster) async fn lacks(k3s: &K3sImage) -> Option<String> {
    let engine = match connect().await {
        Ok(engine) => engine,
        Err(error) => return Some(error.to_string()),
    };
    if let Err(error) = Kind::of(&engine).await.and_then(|kind| kind.can_run_k3s().map_err(DockerError::from)) {
        return Some(error.to_string());
    }
    let image = k3s.to_string();
    engine.inspect_image(&image).await.err().map(|_| format!("the Docker Engine does not have {image}"))
}

/// Sees to it that the image is there. One that is at hand is never pulled again.
pub(super) async fn ensure_image(engine: &Docker, image: &str) -> Result<(), DockerError> {
    match engine.inspect_image(image).await {
        Ok(_) => return Ok(()),
        Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(DockerError::request(format!("look for the image {image}"), error)),
    }
    tracing::info!("pulling {image}");
    let options = CreateImageOptionsBuilder::default().from_image(image).build();
    let mut layers = engine.create_image(Some(options), None, None);
    let mut shown = (0, 0);
    let mut sizes = std::collections::BTreeMap::new();
    while let Some(event) = layers.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Err(not_pulled(engine, image, &error).await),
        };
        if let (Some(layer), Some(progress)) = (event.id, event.progress_detail) {
            sizes.insert(layer, (progress.current.unwrap_or_default(), progress.total.unwrap_or_default()));
            let megabytes = |bytes: i64| bytes / 1_000_000;
            let sum = sizes.values().fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
            let now = (megabytes(sum.0), megabytes(sum.1));
            if now != shown && now.1 > 0 {
                tracing::info!("pulling {image}: {} of {} MB", now.0, now.1);
                shown = now;
            }
        }
    }
    Ok(())
}

async fn not_pulled(engine: &Docker, image: &str, error: &BollardError) -> DockerError {
    let answer = crate::chain(error);
    let at_hand = at_hand(engine).await;
    let absent = ["manifest unknown", "not found", "does not exist", "repository name not known"];
    // "server misbehaving ... no such host" is a way that is closed, not an image that is missing.
    if absent.iter().any(|sign| answer.contains(sign)) && !answer.contains("dial tcp") {
        DockerError::ImageNotFound { image: image.to_owned(), answer, at_hand }
    } else if answer.contains("no space left on device") {
        DockerError::NoSpace { answer }
    } else {
        DockerError::Pull { image: image.to_owned(), answer, at_hand }
    }
}

/// The K3s images that the engine has, by the names that people give them: Podman's begin with their registry's.
pub(super) async fn at_hand(engine: &Docker) -> Vec<String> {
    let images = engine.list_images(Some(ListImagesOptionsBuilder::default().build())).await.unwrap_or_default();
    let tags = images.into_iter().flat_map(|image| image.repo_tags).filter(|tag| tag.contains("k3s:"));
    let mut tags: Vec<String> = tags.map(|tag| tag.strip_prefix("docker.io/").map_or(tag.clone(), str::to_owned)).collect();
    tags.sort();
    tags
}
