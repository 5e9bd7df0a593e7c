//! A node from outside: commands on it, and what goes wrong with it on demand.

use std::sync::Arc;

use k3s_arc_container::Files;

use super::command::{self, NodeOutput};
use super::kubelet::{Kubelet, Pressure};

/// A node of a running emulator; see [`crate::Emulator::node`].
#[derive(Debug, Clone)]
pub struct NodeControl(pub(crate) Arc<Kubelet>);

impl NodeControl {
    /// Runs a command as root in the node's own files and network, by the busybox there.
    pub async fn exec(&self, command: &[String]) -> NodeOutput {
        command::run(self.0.node(), command).await
    }

    /// The node's own files, as its root sees them.
    #[must_use]
    pub fn files(&self) -> Files {
        self.0.node().files()
    }

    /// Silences it: its kubelet tells nothing and hears nothing, and its containers go on. After 50 s (of the cluster's time) the node
    /// is taken for lost.
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Ends the silence.
    pub fn resume(&self) {
        self.0.resume();
    }

    /// Starts its kubelet anew; its containers go on.
    pub fn restart_kubelet(&self) {
        self.0.restart();
    }

    /// Starts the whole machine anew: nothing of what ran does any more, and what should is started again.
    pub fn reboot(&self) {
        self.0.reboot();
    }

    /// Lets it be short of memory, disk or process numbers, or not any more: it says so, and takes no pods that do not tolerate that.
    pub fn set_pressure(&self, pressure: Pressure, holds: bool) {
        self.0.set_pressure(pressure, holds);
    }

    /// Lets every write to its disk fail for lack of space, or not any more.
    pub fn fill_disk(&self, full: bool) {
        self.0.node().disk.set_full(full);
    }
}
