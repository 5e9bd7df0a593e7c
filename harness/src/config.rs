//! Configuration: `K3S_ARC_*` environment variables, and the command line's flags of the same names. Nothing else.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use jiff::SignedDuration;

use crate::{
    cluster::{
        K3sImage, K3sImageError,
        multipass::{Shape, Size},
    },
    versions::{ChannelError, Wanted},
};

/// What a run was asked for, by environment or flags.
#[derive(Debug, Clone)]
pub struct Config {
    /// `K3S_ARC_PROVIDER`: who makes the cluster.
    pub provider: ProviderChoice,
    /// `K3S_ARC_K3S`: which K3s, one or several, each as a version, a channel or a whole image reference.
    pub wanted: Vec<Wanted>,
    /// The one of them that is meant. Until [`resolved`](Self::resolved), a channel is an image that does not exist.
    pub k3s: K3sImage,
    /// `K3S_ARC_KUBECONFIG`: the kubeconfig of a cluster that exists; as for kubectl `KUBECONFIG` or `~/.kube/config`, where it is unset.
    pub kubeconfig: Option<PathBuf>,
    /// `K3S_ARC_CONTEXT`: which context of it.
    pub context: Option<String>,
    /// `K3S_ARC_YES`: whether that cluster may be one whose name looks like production, and a Docker Engine one that a network may use
    /// without TLS.
    pub yes: bool,
    /// `K3S_ARC_KEEP`: whether the cluster outlives the run.
    pub keep: Keep,
    /// `K3S_ARC_KEEP_FOR`: how long a cluster that outlives its run is kept after its last use.
    pub keep_for: Duration,
    /// `K3S_ARC_IMAGES_DIR`: a directory of image archives (docker-save or OCI layout) to import into the node.
    pub images_dir: Option<PathBuf>,
    /// `K3S_ARC_AIRGAP_DIR`: a directory with the assets of a K3s release, to install it from in a VM without network.
    pub airgap_dir: Option<PathBuf>,
    /// `K3S_ARC_MULTIPASS_*`: what a VM is to have.
    pub vm: Shape,
    /// `K3S_ARC_TEST_ENV`: the `.test.env` to launch with, in place of the tree's own.
    pub test_env: Option<PathBuf>,
    /// `K3S_ARC_LAUNCHER_DIR`: a launcher tree to deploy in place of the built-in one.
    pub launcher_dir: Option<PathBuf>,
    /// `K3S_ARC_LAUNCHER_IMAGE`: who plays the launcher.
    pub launcher_image: LauncherImage,
    /// `K3S_ARC_STANDIN_IMAGE`: a published image of the stand-in, in place of the one built in.
    pub standin_image: Option<String>,
    /// `K3S_ARC_BOOT_TIMEOUT`: seconds from the start of K3s to served.
    pub boot_timeout: Duration,
    /// `K3S_ARC_CACHE`: whether boots begin with what an earlier one left.
    pub cache: CacheUse,
    /// Whether VMs are kept in it too: only where `K3S_ARC_CACHE` says so itself, since each takes some gigabytes.
    pub cache_vms: bool,
    /// `K3S_ARC_RUN_DIR`: where runs keep their state and locks.
    pub run_dir: Option<PathBuf>,
    /// `K3S_ARC_CHANNELS_URL`: who is asked what the newest K3s of a channel is, in place of K3s's channel server.
    pub channels_url: Option<String>,
}

/// Who makes the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderChoice {
    /// Docker where it has the wanted K3s, else the emulator.
    Auto,
    /// K3s in a Docker container.
    Docker,
    /// K3s installed in a VM that Multipass launches.
    Multipass,
    /// Nobody: it exists already, and a kubeconfig leads to it.
    Kubeconfig,
    /// K3s emulated in process: to try things on, no verdict on K3s itself.
    Emulator,
}

/// Whether a cluster outlives the run that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// It never does.
    Never,
    /// It does if a test or check failed on it.
    Failed,
    /// It always does.
    Always,
}

/// Whether K3s boots from the warm cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheUse {
    /// It does where there is an entry; where there is none, its boot becomes one.
    Use,
    /// It boots from nothing, and its boot is not kept.
    Never,
}

/// Who plays the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LauncherImage {
    /// The stand-in: no credentials and no pulls of 2.5 GB, and Microsoft's logic left out.
    Standin,
    /// The image that the tree itself names: Microsoft's, with the user's credentials.
    Tree,
}

/// A configuration value that means nothing.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ConfigError {
    /// A value outside the few there are.
    #[error("{name}={value}: expected {expected}")]
    #[diagnostic(code(k3s_arc::config), help("unset {name} for the default, {default}"))]
    Value {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
        /// What holds when it is unset.
        default: &'static str,
    },
    /// `K3S_ARC_K3S` names no K3s.
    #[error("K3S_ARC_K3S names no K3s")]
    #[diagnostic(code(k3s_arc::config))]
    K3s(
        #[source]
        #[diagnostic_source]
        K3sImageError,
    ),
    /// `K3S_ARC_K3S` names a channel that K3s does not have.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Channel(#[from] ChannelError),
    /// `K3S_ARC_K3S` names several, where one is meant.
    #[error("K3S_ARC_K3S names {count} versions of K3s, and this runs on one")]
    #[diagnostic(
        code(k3s_arc::config),
        help("`k3s-arc validate` takes several; run anything else once for each, with one of them in K3S_ARC_K3S")
    )]
    SeveralK3s {
        /// How many.
        count: usize,
    },
    /// A directory or file that is not there.
    #[error("{name}={}: there is no such {kind}", .path.display())]
    #[diagnostic(code(k3s_arc::config), help("give the path of an existing {kind}, or unset {name}"))]
    Missing {
        /// The variable.
        name: &'static str,
        /// The path it holds.
        path: PathBuf,
        /// `directory` or `file`.
        kind: &'static str,
    },
}

/// How long a kept cluster is kept, when nobody says: a working day, no night.
pub const DEFAULT_KEEP_FOR: Duration = Duration::from_secs(8 * 3600);

/// The longest boot deadline accepted, in seconds: an hour is a typing error, not a slow host.
const LONGEST_BOOT: u64 = 3600;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// The first value that means nothing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Reads from `lookup`, which gives the value of a `K3S_ARC_*` name; empty values count as unset.
    ///
    /// # Errors
    /// The first value that means nothing.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = |name: &str| value(name).map(|value| value.to_string_lossy().into_owned());
        let choice = |name, choices: &[&'static str], expected, default: usize| match text(name) {
            None => Ok(default),
            Some(value) => match choices.iter().position(|choice| *choice == value) {
                Some(index) => Ok(index),
                None => Err(ConfigError::Value { name, value, expected, default: choices[default] }),
            },
        };
        let path = |name, kind: &'static str| match value(name).map(PathBuf::from) {
            Some(path) if (kind == "directory" && path.is_dir()) || (kind == "file" && path.is_file()) => Ok(Some(path)),
            Some(path) => Err(ConfigError::Missing { name, path, kind }),
            None => Ok(None),
        };
        let providers = &["auto", "docker", "multipass", "kubeconfig", "emulator"];
        let provider = choice("K3S_ARC_PROVIDER", providers, "`auto`, `docker`, `multipass`, `kubeconfig` or `emulator`", 0)?;
        let yes = choice("K3S_ARC_YES", &["0", "1"], "`1` or `0`", 0)?;
        let keep = choice("K3S_ARC_KEEP", &["never", "failed", "always"], "`never`, `failed` or `always`", 0)?;
        let cache = choice("K3S_ARC_CACHE", &["use", "never"], "`use` or `never`", 0)?;
        let launcher_image = choice("K3S_ARC_LAUNCHER_IMAGE", &["standin", "tree"], "`standin` or `tree`", 0)?;
        let boot_timeout = match text("K3S_ARC_BOOT_TIMEOUT") {
            None => crate::cluster::DEFAULT_BOOT_TIMEOUT,
            Some(value) => match value.parse() {
                Ok(seconds @ 1..=LONGEST_BOOT) => Duration::from_secs(seconds),
                _ => {
                    let expected = "whole seconds from 1 to 3600";
                    return Err(ConfigError::Value { name: "K3S_ARC_BOOT_TIMEOUT", value, expected, default: "180" });
                }
            },
        };
        let keep_for = match text("K3S_ARC_KEEP_FOR") {
            None => DEFAULT_KEEP_FOR,
            Some(value) => match value.parse::<SignedDuration>().ok().and_then(|duration| duration.try_into().ok()) {
                Some(duration) => duration,
                None => {
                    let expected = "a duration such as 8h, 90m or 30s";
                    return Err(ConfigError::Value { name: "K3S_ARC_KEEP_FOR", value, expected, default: "8h" });
                }
            },
        };
        let size = |name, default: Size, shown| match text(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| {
                let expected = "a whole number followed by G or M, such as 20G";
                ConfigError::Value { name, value, expected, default: shown }
            }),
        };
        let shape = Shape::default();
        let cpus = match text("K3S_ARC_MULTIPASS_CPUS") {
            None => shape.cpus,
            Some(value) => value.parse().ok().filter(|cpus| *cpus > 0).ok_or(ConfigError::Value {
                name: "K3S_ARC_MULTIPASS_CPUS",
                value,
                expected: "a number of cores",
                default: "8",
            })?,
        };
        let vm = Shape {
            cpus,
            memory: size("K3S_ARC_MULTIPASS_MEMORY", shape.memory, "20G")?,
            disk: size("K3S_ARC_MULTIPASS_DISK", shape.disk, "50G")?,
            release: text("K3S_ARC_MULTIPASS_RELEASE").unwrap_or(shape.release),
        };
        let wanted = match text("K3S_ARC_K3S") {
            None => vec![Wanted::Image(K3sImage::default())],
            Some(value) => Wanted::list(&value).map_err(ConfigError::K3s)?,
        };
        Ok(Self {
            provider: [
                ProviderChoice::Auto,
                ProviderChoice::Docker,
                ProviderChoice::Multipass,
                ProviderChoice::Kubeconfig,
                ProviderChoice::Emulator,
            ][provider],
            kubeconfig: path("K3S_ARC_KUBECONFIG", "file")?,
            context: text("K3S_ARC_CONTEXT"),
            yes: yes == 1,
            k3s: match wanted.first() {
                Some(Wanted::Image(image)) => image.clone(),
                Some(Wanted::Channel(channel)) => K3sImage::released(&format!("channel-{channel}")),
                None => K3sImage::default(),
            },
            wanted,
            keep: [Keep::Never, Keep::Failed, Keep::Always][keep],
            keep_for,
            images_dir: path("K3S_ARC_IMAGES_DIR", "directory")?,
            airgap_dir: path("K3S_ARC_AIRGAP_DIR", "directory")?,
            vm,
            test_env: path("K3S_ARC_TEST_ENV", "file")?,
            launcher_dir: path("K3S_ARC_LAUNCHER_DIR", "directory")?,
            launcher_image: [LauncherImage::Standin, LauncherImage::Tree][launcher_image],
            standin_image: text("K3S_ARC_STANDIN_IMAGE"),
            boot_timeout,
            cache: [CacheUse::Use, CacheUse::Never][cache],
            cache_vms: text("K3S_ARC_CACHE").as_deref() == Some("use"),
            run_dir: value("K3S_ARC_RUN_DIR").map(PathBuf::from),
            channels_url: text("K3S_ARC_CHANNELS_URL"),
        })
    }

    /// One configuration for each K3s that is asked for, in their order, with channels looked up.
    ///
    /// # Errors
    /// A channel that does not exist.
    pub fn resolved(self) -> Result<Vec<Self>, ConfigError> {
        let images = crate::versions::resolve(&self)?;
        Ok(images.into_iter().map(|k3s| Self { k3s, ..self.clone() }).collect())
    }

    /// The configuration, with the one K3s that it asks for.
    ///
    /// # Errors
    /// A channel that does not exist, or several versions of K3s.
    pub fn resolved_to_one(self) -> Result<Self, ConfigError> {
        let mut all = self.resolved()?;
        match (all.pop(), all.len()) {
            (Some(one), 0) => Ok(one),
            (_, others) => Err(ConfigError::SeveralK3s { count: others + 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<Config, ConfigError> {
        Config::read(|asked| (asked == name).then(|| value.into()))
    }

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let config = Config::read(|_| None).unwrap();
        assert_eq!(config.provider, ProviderChoice::Auto);
        assert_eq!(config.keep, Keep::Never);
        assert_eq!(config.launcher_image, LauncherImage::Standin);
        assert_eq!(config.k3s, K3sImage::default());
        assert_eq!(config.boot_timeout, Duration::from_secs(180));
        assert_eq!((config.cache, config.cache_vms), (CacheUse::Use, false));
        assert!(read("K3S_ARC_CACHE", "use").unwrap().cache_vms);
        assert_eq!(config.keep_for, Duration::from_secs(8 * 60 * 60));
        let vm = Shape { cpus: 8, memory: Size::gib(20), disk: Size::gib(50), release: "24.04".to_owned() };
        assert_eq!((config.vm, config.airgap_dir), (vm, None));
    }

    #[rstest]
    #[case("90m", 90 * 60)]
    #[case("1h 30s", 3630)]
    #[case("0s", 0)]
    fn a_duration_has_a_unit(#[case] value: &'static str, #[case] seconds: u64) {
        assert_eq!(read("K3S_ARC_KEEP_FOR", value).unwrap().keep_for, Duration::from_secs(seconds));
        assert!(read("K3S_ARC_KEEP_FOR", "8").is_err());
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        assert_eq!(read("K3S_ARC_KEEP", "").unwrap().keep, Keep::Never);
    }

    #[test]
    fn several_k3s_are_several_configurations_each_once() {
        let config = read("K3S_ARC_K3S", "v1.33.2+k3s1,v1.34.1,v1.33.2-k3s1").unwrap();
        let images: Vec<String> = config.clone().resolved().unwrap().iter().map(|config| config.k3s.to_string()).collect();
        assert_eq!(images, ["rancher/k3s:v1.33.2-k3s1", "rancher/k3s:v1.34.1-k3s1"]);
        assert!(matches!(config.resolved_to_one().unwrap_err(), ConfigError::SeveralK3s { count: 2 }));
        let one = read("K3S_ARC_K3S", "v1.33.2+k3s1").unwrap().resolved_to_one().unwrap();
        assert_eq!(one.k3s.to_string(), "rancher/k3s:v1.33.2-k3s1");
    }

    #[test]
    fn a_channel_is_no_image_until_it_is_looked_up() {
        let config = read("K3S_ARC_K3S", "stable").unwrap();
        assert_eq!(config.k3s.to_string(), "rancher/k3s:channel-stable");
    }

    #[rstest]
    #[case::provider(
        "K3S_ARC_PROVIDER",
        "vagrant",
        "K3S_ARC_PROVIDER=vagrant: expected `auto`, `docker`, `multipass`, `kubeconfig` or `emulator`"
    )]
    #[case::keep("K3S_ARC_KEEP", "yes", "K3S_ARC_KEEP=yes: expected `never`, `failed` or `always`")]
    #[case::keep_for("K3S_ARC_KEEP_FOR", "-1h", "K3S_ARC_KEEP_FOR=-1h: expected a duration such as 8h, 90m or 30s")]
    #[case::cache("K3S_ARC_CACHE", "always", "K3S_ARC_CACHE=always: expected `use` or `never`")]
    #[case::cores("K3S_ARC_MULTIPASS_CPUS", "0", "K3S_ARC_MULTIPASS_CPUS=0: expected a number of cores")]
    #[case::memory(
        "K3S_ARC_MULTIPASS_MEMORY",
        "20",
        "K3S_ARC_MULTIPASS_MEMORY=20: expected a whole number followed by G or M, such as 20G"
    )]
    #[case::timeout("K3S_ARC_BOOT_TIMEOUT", "0", "K3S_ARC_BOOT_TIMEOUT=0: expected whole seconds from 1 to 3600")]
    #[case::directory(
        "K3S_ARC_IMAGES_DIR",
        "/no/such/directory",
        "K3S_ARC_IMAGES_DIR=/no/such/directory: there is no such directory"
    )]
    #[case::file("K3S_ARC_TEST_ENV", "/", "K3S_ARC_TEST_ENV=/: there is no such file")]
    fn a_value_that_means_nothing_is_refused_by_name(
        #[case] name: &'static str,
        #[case] value: &'static str,
        #[case] message: &str,
    ) {
        assert_eq!(read(name, value).unwrap_err().to_string(), message);
    }
}
