//! What the suite needs of a host, by who makes the cluster and who plays Arc.
//!
//! The sizing is that of "Sizing guidance" in the Azure Arc documentation: the control plane's pods request 1320m of CPU and 9544Mi of memory.
//! The stand-in's pods request the same, so that the scheduler must find as much whoever plays, though they use little of it.

use std::path::PathBuf;

use crate::{
    cluster::{K3sImage, multipass::Shape},
    config::{Config, LauncherImage, ProviderChoice},
    versions::{K3sVersion, Wanted},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Who makes the cluster, as far as it makes a difference to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// K3s in a container of this host's Docker Engine, or of another's.
    Docker,
    /// K3s in a VM of this host.
    Vm,
    /// A cluster that exists already, wherever it is: this host only asks it.
    Elsewhere,
    /// Emulated, in a process.
    Emulator,
}

/// What a suite needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) place: Place,
    /// Whether Microsoft's own images run.
    pub(super) microsofts: bool,
    /// Cores, at least, and for it not to be slow.
    pub(super) cores: (u64, u64),
    /// Memory that the host must have, in bytes, for the scheduler to place all pods.
    pub(super) memory: u64,
    /// Memory that must be free, in bytes.
    pub(super) free_memory: u64,
    /// Room on the disk, in bytes: at least, and with what grows.
    pub(super) disk: (u64, u64),
    /// The K3s that are asked for.
    pub(super) k3s: Vec<K3sImage>,
    /// Whether K3s's channel server is asked.
    pub(super) channels: bool,
    /// Whether images come in a directory.
    pub(super) images_dir: bool,
    /// Whether K3s's API may be published on a network by an engine that is not guarded by TLS.
    pub(super) open: bool,
    /// What a VM is to have.
    pub(super) vm: Shape,
    /// The directory that K3s is installed from in it, if not from the network.
    pub(super) airgap: Option<PathBuf>,
}

impl Needs {
    /// What the configuration's suite needs. Left open, it is taken to be about K3s itself: the emulator runs anywhere.
    pub(super) fn of(config: &Config) -> Self {
        let images = config.wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Image(image) => Some(image.clone()),
            Wanted::Channel(_) => None,
        });
        let common = Self {
            place: Place::Docker,
            microsofts: config.launcher_image == LauncherImage::Tree,
            cores: (2, 2),
            // Arc's requests, CoreDNS's, and K3s's control plane: 1 GB.
            memory: (9544 + 70 + 1024) * MIB,
            // Seen with the stand-in.
            free_memory: 4 * GIB,
            disk: (2 * GIB, 5 * GIB),
            k3s: images.collect(),
            channels: config.wanted.iter().any(|wanted| matches!(wanted, Wanted::Channel(_))),
            images_dir: config.images_dir.is_some(),
            open: config.yes,
            vm: config.vm.clone(),
            airgap: config.airgap_dir.clone(),
        };
        let place = match config.provider {
            ProviderChoice::Multipass => Place::Vm,
            ProviderChoice::Kubeconfig => Place::Elsewhere,
            ProviderChoice::Emulator => Place::Emulator,
            ProviderChoice::Auto | ProviderChoice::Docker => Place::Docker,
        };
        let common = Self { place, ..common };
        match (place, config.launcher_image) {
            // Which K3s, and what it has, is not this host's to say.
            (Place::Elsewhere, _) => {
                Self { cores: (1, 1), memory: GIB / 2, free_memory: GIB / 4, k3s: Vec::new(), channels: false, ..common }
            }
            (Place::Emulator, _) => {
                Self { cores: (1, 2), memory: GIB, free_memory: GIB / 2, disk: (GIB / 10, GIB / 10), ..common }
            }
            (_, LauncherImage::Standin) => common,
            // Ten images of 2.5 GB each; 8 cores, 20 GB and 50 GB are what the first deployment on K3s was given.
            (_, LauncherImage::Tree) => {
                Self { cores: (2, 8), memory: common.memory, free_memory: common.memory, disk: (25 * GIB, 50 * GIB), ..common }
            }
        }
    }

    /// The versions that are asked for by number.
    pub(super) fn versions(&self) -> impl Iterator<Item = K3sVersion> {
        self.k3s.iter().filter_map(K3sVersion::of)
    }
}

/// Bytes as people write them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..GIB => format!("{} MiB", bytes / MIB),
        _ => format!("{:.1} GiB", bytes as f64 / GIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(name: &str, value: &str) -> Needs {
        Needs::of(&Config::read(|asked| (asked == name).then(|| value.into())).unwrap())
    }

    #[test]
    fn what_is_left_open_is_about_k3s_and_the_emulator_needs_little() {
        let (open, emulated) = (needs("K3S_ARC_PROVIDER", "auto"), needs("K3S_ARC_PROVIDER", "emulator"));
        assert_eq!((open.place, emulated.place), (Place::Docker, Place::Emulator));
        assert!(emulated.memory < open.memory);
        assert_eq!(size(open.memory), "10.4 GiB");
        let place = |provider| needs("K3S_ARC_PROVIDER", provider).place;
        assert_eq!((place("multipass"), place("kubeconfig")), (Place::Vm, Place::Elsewhere));
        assert!(needs("K3S_ARC_PROVIDER", "kubeconfig").k3s.is_empty(), "it is what it is");
    }

    #[test]
    fn microsofts_images_need_more_room_than_the_standin() {
        let (standin, tree) = (needs("K3S_ARC_LAUNCHER_IMAGE", "standin"), needs("K3S_ARC_LAUNCHER_IMAGE", "tree"));
        assert!(tree.microsofts && tree.disk > standin.disk && tree.cores.1 > standin.cores.1);
    }
}
