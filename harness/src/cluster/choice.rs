//! Who makes the cluster when nobody says: Docker where a K3s can be had from it at once, else the emulator.

use super::{Emulator, docker};
use crate::config::{Config, LauncherImage, ProviderChoice};

/// A provider, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Docker or the emulator.
    pub provider: ProviderChoice,
    /// Why, for whoever left it open: it makes all the difference to what a report says.
    pub why: Option<String>,
}

/// The provider that a configuration asks for, or the best there is on this host.
pub async fn choose(config: &Config) -> Choice {
    if config.provider != ProviderChoice::Auto {
        return Choice { provider: config.provider, why: None };
    }
    let (provider, why) = match only_docker(config) {
        Some(reason) => (ProviderChoice::Docker, format!("Docker, because {reason}")),
        None => match docker::lacks(&config.k3s).await {
            None => (ProviderChoice::Docker, format!("Docker, which has {} at hand", config.k3s)),
            Some(lack) => (ProviderChoice::Emulator, format!("the emulator, because {lack}")),
        },
    };
    let why = format!("nobody said who is to make the cluster (K3S_ARC_PROVIDER): {why}");
    Choice { provider, why: Some(why) }
}

/// Why the emulator is out of the question.
fn only_docker(config: &Config) -> Option<String> {
    if !Emulator::plays(&config.k3s) {
        return Some(format!("the emulator cannot play {}", config.k3s));
    }
    if config.launcher_image == LauncherImage::Tree {
        return Some("the emulator cannot run the launcher's own image".to_owned());
    }
    config.images_dir.as_ref().map(|_| "the emulator cannot run what is in K3S_ARC_IMAGES_DIR".to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn config(name: &str, value: &str) -> Config {
        Config::read(|asked| (asked == name).then(|| value.into())).unwrap()
    }

    #[rstest]
    #[case("docker", ProviderChoice::Docker)]
    #[case("emulator", ProviderChoice::Emulator)]
    #[tokio::test]
    async fn what_is_asked_for_needs_no_reason(#[case] asked: &str, #[case] provider: ProviderChoice) {
        assert_eq!(choose(&config("K3S_ARC_PROVIDER", asked)).await, Choice { provider, why: None });
    }

    #[rstest]
    #[case("K3S_ARC_K3S", "v1.33.5+k3s1", "the emulator cannot play rancher/k3s:v1.33.5-k3s1")]
    #[case("K3S_ARC_LAUNCHER_IMAGE", "tree", "the emulator cannot run the launcher's own image")]
    #[case("K3S_ARC_IMAGES_DIR", "/", "the emulator cannot run what is in K3S_ARC_IMAGES_DIR")]
    #[tokio::test]
    async fn what_the_emulator_cannot_do_is_left_to_docker(#[case] name: &str, #[case] value: &str, #[case] reason: &str) {
        let choice = choose(&config(name, value)).await;
        assert_eq!(choice.provider, ProviderChoice::Docker);
        assert!(choice.why.unwrap().ends_with(&format!("Docker, because {reason}")));
    }

    #[tokio::test]
    async fn an_image_that_no_engine_has_is_emulated() {
        let mut config = config("K3S_ARC_KEEP", "never");
        assert_eq!(only_docker(&config), None);
        config.k3s = "localhost:1/rancher/k3s:v0.0.0-k3s1".parse().unwrap();
        let lack = docker::lacks(&config.k3s).await.unwrap();
        assert!(lack.contains("Docker"), "{lack}");
    }
}
