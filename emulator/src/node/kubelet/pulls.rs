//! Getting the image of a container (`pkg/kubelet/images/image_manager.go`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k3s_arc_container::Image;
use serde_json::Value;

use super::backoff::Backoff;
use super::events::Recorder;
use crate::kinds::pod::image_tag;
use crate::kinds::view::text;
use crate::node::images::{self, Images};

/// Why there is no image: the reason and the message of a container that waits for it.
pub(super) type Missing = (&'static str, String);

/// An image that is there.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) image: Arc<Image>,
    /// Its name in full.
    pub(super) name: String,
    pub(super) id: String,
}

/// The pulls of one pod that have failed.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    backoff: Backoff,
    /// By image: how the last pull failed.
    failures: HashMap<String, String>,
}

impl Pulls {
    /// Until when nothing is pulled after a failure.
    pub(super) fn waits_until(&self, image: &str, now: Timestamp) -> Option<Timestamp> {
        self.backoff.since_update(&with_tag(image).unwrap_or_default(), now)
    }

    /// The image of a container, pulled where its policy wants it (`EnsureImageExists`).
    pub(super) async fn ensure(
        &mut self,
        images: &Images,
        recorder: &Recorder,
        (pod, part, container): (&Arc<Value>, &str, &Value),
        clock: impl Fn() -> Timestamp,
    ) -> Result<Pulled, Missing> {
        let requested = text(&container["image"]);
        let image = with_tag(requested).map_err(|why| {
            let message = format!("Failed to apply default image tag \"{requested}\": {why}");
            recorder.warning(pod, part, "InspectFailed", &message);
            ("InvalidImageName", message)
        })?;
        let policy = text(&container["imagePullPolicy"]);
        if policy != "Always" {
            if let Some(present) = images.present(&image) {
                let message = format!("Container image \"{requested}\" already present on machine");
                recorder.normal(pod, part, "Pulled", message);
                return Ok(Pulled { image: present, name: images::normal(&image), id: images::id(&image) });
            }
            if policy == "Never" {
                let message = format!("Container image \"{requested}\" is not present with pull policy of Never");
                recorder.warning(pod, part, "ErrImageNeverPull", &message);
                return Err(("ErrImageNeverPull", message));
            }
        }
        self.pull(images, recorder, (pod, part, &image), clock).await
    }

    async fn pull(
        &mut self,
        images: &Images,
        recorder: &Recorder,
        (pod, part, image): (&Arc<Value>, &str, &str),
        clock: impl Fn() -> Timestamp,
    ) -> Result<Pulled, Missing> {
        if self.backoff.since_update(image, clock()).is_some() {
            let mut message = format!("Back-off pulling image \"{image}\"");
            recorder.normal(pod, part, "BackOff", &message);
            if let Some(failure) = self.failures.get(image) {
                message = format!("{message}: ErrImagePull: {failure}");
            }
            return Err(("ImagePullBackOff", message));
        }
        recorder.normal(pod, part, "Pulling", format!("Pulling image \"{image}\""));
        let began = Instant::now();
        match images.pull(image).await {
            Ok(pulled) => {
                let took = go_milliseconds(began.elapsed());
                let size = pulled.size;
                let message = format!(
                    "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {size} bytes."
                );
                recorder.normal(pod, part, "Pulled", message);
                Ok(Pulled { image: pulled, name: images::normal(image), id: images::id(image) })
            }
            Err(why) => {
                recorder.warning(pod, part, "Failed", format!("Failed to pull image \"{image}\": {why}"));
                let now = clock();
                self.backoff.next(image, now, now);
                self.failures.insert(image.to_owned(), why.clone());
                Err(("ErrImagePull", why))
            }
        }
    }
}

/// A duration as Go prints it that was cut to milliseconds.
fn go_milliseconds(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        millis @ ..1000 => format!("{millis}ms"),
        millis => {
            let (minutes, seconds) = (millis / 60_000, millis % 60_000);
            let fraction = format!("{}.{:03}", seconds / 1000, seconds % 1000);
            let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
            if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
        }
    }
}

/// The name with a tag (`applyDefaultImageTag`), or why it is no name of an image (`distribution/reference`).
fn with_tag(image: &str) -> Result<String, String> {
    let tag = image_tag(image);
    if !tag.is_empty() {
        return Ok(if image.ends_with(&format!(":{tag}")) { image.to_owned() } else { format!("{image}:{tag}") });
    }
    if image.contains('@') {
        return Ok(image.to_owned());
    }
    let is_id = image.len() == 64 && image.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'));
    let path = match image.split_once('/') {
        // What has capitals is a host, too (`splitDockerDomain`).
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" || host.chars().any(char::is_uppercase) => {
            path.to_owned()
        }
        Some(_) => image.to_owned(),
        None => format!("library/{image}"),
    };
    let name = path.split(':').next().unwrap_or_default();
    let why = if is_id {
        format!("invalid repository name ({image}), cannot specify 64-byte hexadecimal strings")
    } else if name.chars().any(char::is_uppercase) {
        format!("invalid reference format: repository name ({name}) must be lowercase")
    } else {
        "invalid reference format".to_owned()
    };
    Err(format!("couldn't parse image name \"{image}\": {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag_or_are_refused() {
        assert_eq!(with_tag("nginx").unwrap(), "nginx:latest");
        assert_eq!(with_tag("a.b/c:d").unwrap(), "a.b/c:d");
        // As recorded on a real K3s.
        let expected = "couldn't parse image name \"Not An Image\": invalid reference format: repository name (library/Not An Image) \
                        must be lowercase";
        assert_eq!(with_tag("Not An Image").unwrap_err(), expected);
        assert!(with_tag("UPPER/Case").unwrap_err().ends_with("repository name (Case) must be lowercase"));
        assert_eq!(with_tag("a..b").unwrap_err(), "couldn't parse image name \"a..b\": invalid reference format");
    }

    #[test]
    fn durations_are_told_as_go_does() {
        let told = |millis| go_milliseconds(Duration::from_millis(millis));
        assert_eq!([told(0), told(12), told(1200), told(62_005)], ["0s", "12ms", "1.2s", "1m2.005s"]);
    }
}
