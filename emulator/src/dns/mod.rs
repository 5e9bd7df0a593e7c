//! Cluster DNS: CoreDNS as K3s runs it, a program that answers from the cluster's live objects.
//!
//! It reads the Corefile that it is given, and what it imports, with CoreDNS's own errors. The plugins are those that K3s's Corefile and
//! its users' additions have (`kubernetes`, `hosts`, `forward`, `cache`, `rewrite name` ...); another plugin of CoreDNS, or a property of
//! one that is not emulated, is refused with an error that says so. What it answers is compared with the answers of a CoreDNS on K3s
//! ([`plugin::kubernetes`]'s tests).

mod corefile;
mod instance;
mod message;
mod names;
mod output;
mod pages;
mod plugin;
mod program;
mod server;
mod setup;
mod sockets;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Weak;

use k3s_arc_container::{Image, Process};

use crate::cluster::Cluster;

/// The image that K3s's manifest names.
pub(crate) const IMAGE: &str = "rancher/mirrored-coredns-coredns:1.13.1";
const VERSION: &str = "1.13.1";
const GO: &str = "go1.24.6";
const COMMIT: &str = "1db4568df";

/// The image, with a CoreDNS that looks at a cluster's objects.
pub(crate) fn image(cluster: Weak<Cluster>) -> Image {
    let program = move |process: Process| program::run(process, cluster.clone());
    let users = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n\
                 nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
    Image::new().program("/coredns", program).file("/etc/passwd", users, 0o644).entrypoint(["/coredns"]).user(65532, 65532)
}
