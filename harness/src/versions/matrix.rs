//! The versions that a matrix of tests should run, and the others that are at hand.

use std::collections::BTreeMap;

use super::{
    Channels, Host, K3sVersion,
    channels::{LATEST, STABLE},
};
use crate::cluster::K3sImage;

/// How many minor versions are taken for supported: as many as Kubernetes maintains at any time
/// (<https://kubernetes.io/releases/patch-releases/>), and K3s with it.
pub const DEFAULT_MINORS: u8 = 3;

/// One K3s, and what there is to know of it before it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version.
    pub version: K3sVersion,
    /// Its image: the one at hand, or K3s's own.
    pub image: K3sImage,
    /// The channels whose newest it is.
    pub channels: Vec<String>,
    /// Whether a matrix should run it.
    pub wanted: bool,
    /// Whether the Docker Engine has its image.
    pub at_hand: bool,
    /// Why this host cannot run it, if it cannot.
    pub refused: Option<String>,
}

/// The versions, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Each once.
    pub entries: Vec<Entry>,
}

impl Matrix {
    /// What a matrix should run: the newest release of each of the newest `minors` lines, and what `latest` and `stable` name. With it, what the
    /// host has beyond that.
    pub fn new(channels: &Channels, host: &Host, minors: usize) -> Self {
        let mut entries: BTreeMap<K3sVersion, Entry> = BTreeMap::new();
        let named = channels.all().filter(|(name, _)| [LATEST, STABLE].contains(name)).map(|(_, version)| version);
        for version in channels.lines(minors).into_iter().chain(named) {
            let names = channels.all().filter(|(_, newest)| *newest == version).map(|(name, _)| name.to_owned()).collect();
            entries.insert(
                version,
                Entry {
                    version,
                    image: version.image(),
                    channels: names,
                    wanted: true,
                    at_hand: false,
                    refused: host.refuses(version),
                },
            );
        }
        for image in host.images.iter().filter_map(|reference| reference.parse::<K3sImage>().ok()) {
            // An image under a tag that names no version can be asked for, but not be placed among versions.
            let Some(version) = K3sVersion::of(&image) else { continue };
            let entry = entries.entry(version).or_insert_with(|| Entry {
                version,
                image: image.clone(),
                channels: Vec::new(),
                wanted: false,
                at_hand: true,
                refused: host.refuses(version),
            });
            entry.at_hand |= entry.image == image;
        }
        Self { entries: entries.into_values().rev().collect() }
    }

    /// Those that a matrix should run.
    pub fn wanted(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::Source;

    fn host(images: &[&str]) -> Host {
        let images = images.iter().map(|image| (*image).to_owned()).collect();
        Host { no_engine: None, cgroups: Some(1), architecture: None, images }
    }

    fn matrix(host: &Host, minors: usize) -> Matrix {
        let newest = [
            ("latest", "v1.37.1+k3s1"),
            ("stable", "v1.35.9+k3s1"),
            ("testing", "v1.38.0-rc1+k3s1"),
            ("v1.33", "v1.33.13+k3s2"),
            ("v1.34", "v1.34.12+k3s1"),
            ("v1.35", "v1.35.9+k3s1"),
            ("v1.36", "v1.36.5+k3s1"),
            ("v1.37", "v1.37.1+k3s1"),
        ];
        let newest = newest.map(|(name, version)| (name.to_owned(), version.parse().unwrap()));
        Matrix::new(&Channels::new(newest.into(), Source::Server), host, minors)
    }

    #[test]
    fn a_matrix_runs_each_supported_line_once_and_what_the_channels_name() {
        let told = |matrix: &Matrix| -> Vec<String> {
            matrix.wanted().map(|entry| format!("{} {}", entry.version, entry.channels.join(" "))).collect()
        };
        let nothing = host(&[]);
        assert_eq!(told(&matrix(&nothing, 2)), ["v1.37.1+k3s1 latest v1.37", "v1.36.5+k3s1 v1.36", "v1.35.9+k3s1 stable v1.35"]);
        assert_eq!(told(&matrix(&nothing, 4)).len(), 4);
    }

    #[test]
    fn what_is_at_hand_is_listed_and_does_not_widen_the_matrix() {
        let host = host(&["rancher/k3s:v1.36.5-k3s1", "rancher/k3s:v1.33.2-k3s1", "localhost:5000/edge/k3s:dev"]);
        let matrix = matrix(&host, 3);
        let entry = |version: &str| matrix.entries.iter().find(|entry| entry.version.to_string() == version).unwrap();
        assert!(entry("v1.36.5+k3s1").at_hand && entry("v1.36.5+k3s1").wanted && entry("v1.36.5+k3s1").refused.is_some());
        assert!(entry("v1.33.2+k3s1").at_hand && !entry("v1.33.2+k3s1").wanted && entry("v1.33.2+k3s1").refused.is_none());
        assert_eq!((matrix.wanted().count(), matrix.entries.len()), (3, 4));
    }
}
