//! What the processes of one container share.

use std::sync::Arc;

use crate::{Cpu, Files, HostNet, Memory, Net, Processes, Programs};

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user's id; 0: root.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// A container: a root folder, a network, limits. Its processes share them.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its files, as this user may see and change them.
    pub files: Files,
    /// Its pod's network.
    pub net: Arc<dyn Net>,
    /// Its memory.
    pub memory: Arc<Memory>,
    /// Its CPU time.
    pub cpu: Arc<Cpu>,
    /// What it can execute.
    pub programs: Programs,
    /// Its processes.
    pub processes: Arc<Processes>,
    /// The name of the machine that it takes itself for.
    pub hostname: String,
}

impl Container {
    /// The operating system's own: its files, its network, and the limits that the kernel watches over.
    #[must_use]
    pub fn native() -> Self {
        Self {
            files: Files::native(),
            net: Arc::new(HostNet),
            memory: Arc::new(Memory::unlimited()),
            cpu: Arc::new(Cpu::unlimited()),
            programs: Programs::default(),
            processes: Arc::default(),
            hostname: std::env::var("HOSTNAME").unwrap_or_default(),
        }
    }
}
