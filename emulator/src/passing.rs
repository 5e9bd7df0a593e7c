//! The folder of an emulator whose user names none: gone with the emulator, and, were its process killed, with the next one's start.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::node::setup::volumes;

const PREFIX: &str = "k3s-arc-emulator-";

/// In the folder, and locked for as long as its emulator runs: the kernel frees it whatever ends the process.
const LOCK: &str = ".lock";

/// A folder in use.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    _used: File,
}

impl Folder {
    /// Makes one, and removes those that killed processes have left.
    pub(crate) fn make(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // It gets its name once it is locked: nobody finds it free before.
        let unnamed = folder.path().join(".lock.new");
        let used = File::create(&unnamed)?;
        used.lock()?;
        fs::rename(&unnamed, folder.path().join(LOCK))?;
        Ok(Self { folder, _used: used })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What programs have closed could not be removed.
        volumes::open_up(self.path());
    }
}

/// What cannot be removed now is the next one's to sweep.
fn sweep(parent: &Path) {
    let this_user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == this_user);
        let free = || File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if ours && free() {
            volumes::open_up(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_programs_have_closed_goes_with_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path()).unwrap();
        let path = folder.path().to_owned();
        let closed = path.join("a/b");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("file"), "").unwrap();
        for closed in [&closed, &path.join("a")] {
            fs::set_permissions(closed, fs::Permissions::from_mode(0o0)).unwrap();
        }
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_one_left_goes_with_the_next_and_nothing_else_does() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let left = Folder::make(parent.path()).unwrap();
        let (lock, killed) = (left._used.try_clone().unwrap(), left.path().to_owned());
        // Its end is never noticed: neither is the folder removed nor, for now, the lock given back.
        std::mem::forget(left);
        let used = Folder::make(parent.path()).unwrap();
        fs::create_dir(path("k3s-arc-emulator-being-made")).unwrap();
        fs::create_dir(path("another")).unwrap();
        fs::write(path("another").join(LOCK), "").unwrap();
        assert!(killed.exists());
        lock.unlock().unwrap();
        let _next = Folder::make(parent.path()).unwrap();
        assert!(!killed.exists());
        assert!(used.path().exists() && path("k3s-arc-emulator-being-made").exists() && path("another").exists());
    }
}
