//! What a process has from its parent and no [`Process`](k3s_arc_container::Process) tells.

use std::future::Future;

use crate::view::UMASK;

tokio::task_local! {
    static MASK: u32;
}

/// What this process's new files may not be.
pub(crate) fn umask() -> u32 {
    MASK.try_with(|mask| *mask).unwrap_or(UMASK)
}

/// Runs a process that inherits this mask.
pub(crate) fn with_umask<T>(mask: u32, process: impl Future<Output = T>) -> impl Future<Output = T> {
    MASK.scope(mask, process)
}
