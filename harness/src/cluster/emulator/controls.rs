//! What goes wrong with an emulated cluster on demand, as it does with a container.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k3s_arc_emulator::NodeControl;

use super::running::{self, Running};
use crate::cluster::{Cluster, MachineState};

/// Lets the machine of an emulated cluster fail, or what leads to it.
#[derive(Debug)]
pub struct Controls(Arc<Running>);

impl Controls {
    /// Those of a cluster that runs in this process; nothing, if it is not an emulated one.
    pub fn of(cluster: &Cluster) -> Option<Self> {
        running::find(&super::handle(cluster.kubeconfig())).map(Self)
    }

    /// Kills its machine, as `docker kill` does: connections break, and none is accepted.
    pub fn kill(&self) {
        self.0.emulator.server().down();
        self.0.machine.set(MachineState::Ended { exit_code: 137, out_of_memory: false, at: "just now".to_owned() });
    }

    /// Starts the machine that was killed again, with all that its datastore has.
    pub fn start(&self) {
        self.0.emulator.server().up();
        self.0.machine.set(MachineState::Running);
    }

    /// Freezes its machine, as `docker pause` does: connections are accepted, and nothing is answered.
    pub fn pause(&self) {
        self.0.emulator.server().pause();
        self.node_control(NodeControl::pause);
        self.0.machine.set(MachineState::Paused);
    }

    /// Lets the machine that was frozen go on.
    pub fn resume(&self) {
        self.0.emulator.server().resume();
        self.node_control(NodeControl::resume);
        self.0.machine.set(MachineState::Running);
    }

    /// Lets its API refuse connections though its machine runs (`true`), or not any more.
    pub fn refuse(&self, refuses: bool) {
        let server = self.0.emulator.server();
        if refuses { server.down() } else { server.up() }
    }

    /// Lets every request wait that long, as an overloaded API does; nothing ends that.
    pub fn slow(&self, delay: Duration) {
        self.0.emulator.server().slow(delay);
    }

    /// Ends every watch that is open.
    pub fn cut_watches(&self) {
        self.0.emulator.server().cut_watches();
    }

    /// Lets every write to its node's disk fail for lack of space (`true`), or not any more.
    pub fn fill_disk(&self, full: bool) {
        self.node_control(|node| node.fill_disk(full));
    }

    fn node_control(&self, act: impl FnOnce(&NodeControl)) {
        if let Some(node) = self.0.emulator.node(&self.0.node) {
            act(&node);
        }
    }
}

/// How the machine is that an emulated node plays.
#[derive(Debug)]
pub(super) struct Machine(Mutex<MachineState>);

impl Default for Machine {
    fn default() -> Self {
        Self(Mutex::new(MachineState::Running))
    }
}

impl Machine {
    pub(super) fn state(&self) -> MachineState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: MachineState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
