//! The Docker Engine: reaching it, and having the K3s image in it.

use std::io;

use futures::StreamExt;
use testcontainers::bollard::{
    Docker,
    errors::Error as BollardError,
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder},
};
use testcontainers::core::client::docker_client_instance;

use super::DockerError;
use crate::cluster::K3sImage;

/// Connects the way testcontainers does (`DOCKER_HOST`, its properties file, the usual sockets), and makes sure somebody answers.
pub(super) async fn connect() -> Result<Docker, DockerError> {
    let host = address();
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| {
        if is_denied(&*source) {
            DockerError::NotPermitted { host: host.clone(), source }
        } else {
            DockerError::NoEngine { host: host.clone(), source }
        }
    };
    let engine = docker_client_instance().await.map_err(|error| unreachable(error.into()))?;
    engine.ping().await.map_err(|error| unreachable(error.into()))?;
    Ok(engine)
}

/// Where the engine is looked for.
pub(super) fn address() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
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

/// The K3s images that the engine has.
pub(super) async fn at_hand(engine: &Docker) -> Vec<String> {
    let images = engine.list_images(Some(ListImagesOptionsBuilder::default().build())).await.unwrap_or_default();
    let mut tags: Vec<String> = images.into_iter().flat_map(|image| image.repo_tags).filter(|tag| tag.contains("k3s:")).collect();
    tags.sort();
    tags
}
