//! The busybox of emulated containers: a shell and the commands that test pods and probes run.

use k3s_arc_container::Image;

/// The image.
#[must_use]
pub fn image() -> Image {
    Image::new().command(["sh"])
}
