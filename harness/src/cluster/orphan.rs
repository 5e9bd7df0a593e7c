//! Whose a thing is that a run of this or another host made, told by its labels: the sweep removes only what is nobody's.

use std::path::Path;

use super::{
    Removed,
    process::Process,
    run::{DIRECTORY_LABEL, HOST_LABEL, OWNER_LABEL},
};

/// Whether the process that began a thing's run, on this `host`, is gone. `label` gives the thing's labels.
pub(super) fn is_ownerless<'a>(label: impl Fn(&str) -> Option<&'a str>, host: &str) -> bool {
    // An engine may serve several hosts, and a process is known by its own alone.
    !host.is_empty()
        && label(HOST_LABEL) == Some(host)
        && label(OWNER_LABEL).and_then(Process::read).is_some_and(|owner| !owner.runs())
}

/// Whether nobody knows of its run any more: its directory is gone, too (a temporary one, and the host was started anew).
pub(super) fn is_orphan<'a>(label: impl Fn(&str) -> Option<&'a str>, host: &str) -> bool {
    is_ownerless(&label, host) && label(DIRECTORY_LABEL).is_some_and(|directory| !Path::new(directory).exists())
}

/// Says what became of what earlier runs left. What is stuck is in nobody's way, and what another run removes at this moment may be refused to
/// this one: neither is a reason not to boot.
pub(super) fn tell<E: std::error::Error>(removed: Result<Vec<Removed>, E>) {
    match removed {
        Ok(orphans) => orphans.iter().for_each(|orphan| tracing::info!("removed {orphan}, which an earlier run left")),
        Err(error) => tracing::warn!("what an earlier run left is still there: {}", crate::chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_of_this_host_and_has_neither_directory_nor_owner() {
        let directory = tempfile::tempdir().unwrap();
        let (there, gone) = (directory.path().display().to_string(), directory.path().join("gone").display().to_string());
        let this = Process::current();
        let (lives, lived) = (this.label(), Process { started: 1, ..this }.label());
        let is_orphan = |host: &str, directory: &str, owner: &str| {
            let labels = [(HOST_LABEL, host), (DIRECTORY_LABEL, directory), (OWNER_LABEL, owner)];
            is_orphan(|name| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value), "here")
        };
        assert!(is_orphan("here", &gone, &lived));
        assert!(!is_orphan("elsewhere", &gone, &lived));
        let of_no_host = |name: &str| Some(if name == OWNER_LABEL { lived.as_str() } else { "" });
        assert!(!is_ownerless(of_no_host, ""), "it is not known whose it is");
        assert!(!is_orphan("here", &there, &lived), "it is kept");
        assert!(!is_orphan("here", &gone, &lives), "it goes on");
        assert!(!is_orphan("here", &gone, "no process"));
    }
}
