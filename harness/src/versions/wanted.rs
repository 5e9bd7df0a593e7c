//! What `K3S_ARC_K3S` asks for: one K3s or several, each as a version, an image or a channel.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use super::{Channel, ChannelError, Channels};
use crate::{
    cluster::{K3sImage, K3sImageError},
    config::Config,
};

/// One K3s, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Image(K3sImage),
    /// The newest of a channel.
    Channel(Channel),
}

impl FromStr for Wanted {
    type Err = K3sImageError;

    fn from_str(text: &str) -> Result<Self, K3sImageError> {
        match Channel::named(text) {
            Some(channel) => Ok(Self::Channel(channel)),
            None => text.parse().map(Self::Image),
        }
    }
}

impl Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => image.fmt(f),
            Self::Channel(channel) => channel.fmt(f),
        }
    }
}

impl Wanted {
    /// Reads a list, separated by commas.
    ///
    /// # Errors
    /// The first that means nothing.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, K3sImageError> {
        text.split(',').map(str::parse).collect()
    }
}

/// The images that a configuration asks for, each once, in its order. Channels are looked up, which takes seconds at most, and blocks; where
/// no channel is asked for, nothing is.
///
/// # Errors
/// A channel that does not exist.
pub fn resolve(config: &Config) -> Result<Vec<K3sImage>, ChannelError> {
    let mut channels = None;
    let mut images = Vec::new();
    for wanted in &config.wanted {
        let image = match wanted {
            Wanted::Image(image) => image.clone(),
            Wanted::Channel(channel) => {
                let channels = channels.get_or_insert_with(|| Channels::look_up_blocking(config));
                let version = channels.newest(channel)?;
                tracing::info!("channel {channel} is {version}, {}", channels.source());
                version.image()
            }
        };
        if !images.contains(&image) {
            images.push(image);
        }
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_versions_images_and_channels() {
        let list = Wanted::list("1.33.2, stable,v1.34 ,edge/k3s:dev").unwrap();
        let texts: Vec<String> = list.iter().map(Wanted::to_string).collect();
        assert_eq!(texts, ["rancher/k3s:v1.33.2-k3s1", "stable", "v1.34", "edge/k3s:dev"]);
        assert!(matches!(list[..], [Wanted::Image(_), Wanted::Channel(_), Wanted::Channel(_), Wanted::Image(_)]));
        assert!(Wanted::list("v1.34.1,").is_err(), "a comma with nothing after it is a slip");
    }
}
