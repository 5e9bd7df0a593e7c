//! Giving a volume to the group of its pod (`fsGroup`, `pkg/volume/volume_linux.go`).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k3s_arc_container::files::Disk;
use serde_json::Value;

use super::id;
use crate::kinds::view::text;

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const EXECUTE: u32 = 0o110;
const SET_GROUP_ID: u32 = 0o2000;

/// The group that volumes of a pod are given to.
pub(super) fn group(pod: &Value) -> Option<u32> {
    id(&pod["spec"]["securityContext"]["fsGroup"])
}

/// Whether everything is to be left as it is when the volume's root is as it should be.
pub(super) fn only_on_mismatch(pod: &Value) -> bool {
    text(&pod["spec"]["securityContext"]["fsGroupChangePolicy"]) == "OnRootMismatch"
}

fn mask(read_only: bool) -> u32 {
    if read_only { READ_ONLY } else { READ_WRITE }
}

/// Gives a folder of this machine, and all in it, to a group, which may then read and write it. As the kubelet does, it goes on
/// where one file cannot be changed.
pub(super) fn give(disk: &Disk, real: &Path, group: u32, read_only: bool) {
    if let Err(error) = give_all(disk, real, group, mask(read_only)) {
        tracing::warn!(path = %real.display(), %error, "a volume could not be given to its pod's group");
    }
}

fn give_all(disk: &Disk, real: &Path, group: u32, mask: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(real)?;
    if found.is_dir() {
        for entry in fs::read_dir(real)? {
            give_all(disk, &entry?.path(), group, mask)?;
        }
    }
    disk.set_owner(real, disk.owner(real).0, group);
    // A link's mode says nothing, and changing it would change that of what it leads to.
    if !found.is_symlink() {
        let more = if found.is_dir() { SET_GROUP_ID | EXECUTE } else { 0 };
        let _ = fs::set_permissions(real, Permissions::from_mode(found.permissions().mode() | mask | more));
    }
    Ok(())
}

/// Whether a folder of this machine is not the group's yet (`requiresPermissionChange`).
pub(super) fn is_needed(disk: &Disk, real: &Path, group: u32, read_only: bool) -> bool {
    let Ok(found) = fs::metadata(real) else { return true };
    let wanted = mask(read_only) | EXECUTE | SET_GROUP_ID;
    disk.owner(real).1 != group || !found.is_dir() || found.permissions().mode() & wanted != wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_becomes_its_groups() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, root) = (Disk::default(), folder.path());
        let make = |name: &str, mode: u32| {
            fs::write(root.join(name), "").unwrap();
            fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(root.join("d")).unwrap();
        fs::set_permissions(root.join("d"), Permissions::from_mode(0o700)).unwrap();
        make("d/secret", 0o600);
        make("target", 0o400);
        std::os::unix::fs::symlink("target", root.join("link")).unwrap();
        disk.set_owner(&root.join("d/secret"), 7, 7);
        assert!(is_needed(&disk, root, 2000, false));
        give(&disk, root, 2000, false);
        let seen = |name: &str| {
            let mode = fs::symlink_metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
            (disk.owner(&root.join(name)), mode)
        };
        assert_eq!(seen("d"), ((0, 2000), 0o2770));
        assert_eq!(seen("d/secret"), ((7, 2000), 0o660));
        assert_eq!(seen("target"), ((0, 2000), 0o660));
        assert_eq!(disk.owner(&root.join("link")), (0, 2000));
        assert!(!is_needed(&disk, root, 2000, false) && is_needed(&disk, root, 2001, false));
        make("target", 0o400);
        give(&disk, root, 2000, true);
        assert_eq!(seen("target").1, 0o440);
    }
}
