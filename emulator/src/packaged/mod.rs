//! What K3s brings along: the images of its packaged components, as programs that play them.
//!
//! Their objects (Deployments, ConfigMaps, Services ...) are among those of a new cluster; see [`crate::boot`]. They run as pods like any
//! other, so that scaling CoreDNS to zero, or breaking its ConfigMap, does here what it does on K3s.

mod client;
mod local_path;

use std::sync::Weak;

use k3s_arc_container::{Image, Process};

use crate::cluster::Cluster;
use crate::dns;

/// The images that K3s has, by the names that it gives them.
pub(crate) fn images(cluster: &Weak<Cluster>) -> Vec<(&'static str, Image)> {
    vec![
        ("rancher/mirrored-pause:3.6", pause()),
        ("registry.k8s.io/pause:3.10", pause()),
        ("rancher/mirrored-library-busybox:1.36.1", k3s_arc_busybox::image()),
        ("busybox:1.36", k3s_arc_busybox::image()),
        ("busybox", k3s_arc_busybox::image()),
        (dns::IMAGE, dns::image(cluster.clone())),
        ("rancher/local-path-provisioner:v0.0.32", local_path::image(cluster.clone())),
    ]
}

/// Does nothing until it is told to end.
fn pause() -> Image {
    let pause = |process: Process| async move {
        process.signals.terminated().await;
        0
    };
    Image::new().program("/pause", pause).entrypoint(["/pause"]).user(65535, 65535)
}
