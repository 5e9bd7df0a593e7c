//! What is below a container's root: a folder of its own, and its image's files behind it, which its node keeps once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use k3s_arc_container::Image;
use k3s_arc_container::files::Mount;

/// The directories that every container finds, and their modes: runc mounts something at most of them.
const DIRECTORIES: [(&str, u32); 6] =
    [("dev", 0o755), ("etc", 0o755), ("proc", 0o555), ("sys", 0o555), ("tmp", 0o1777), ("var", 0o755)];

/// What a file of an executable holds here: the program itself is in this process.
const EXECUTABLE: &[u8] = b"\x7fELF";

/// The images that a node has unpacked.
#[derive(Debug, Default)]
pub(super) struct Unpacked(Mutex<BTreeMap<String, (Arc<Image>, PathBuf)>>);

impl Unpacked {
    /// The folder of an image's files, made where it is not there yet.
    pub(super) fn folder(&self, below: &Path, id: &str, image: &Arc<Image>) -> io::Result<PathBuf> {
        let mut unpacked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, folder)) = unpacked.get(id)
            && Arc::ptr_eq(same, image)
        {
            return Ok(folder.clone());
        }
        let folder = below.join(id.trim_start_matches("sha256:"));
        unpack(&folder, image)?;
        unpacked.insert(id.to_owned(), (image.clone(), folder.clone()));
        Ok(folder)
    }
}

fn unpack(folder: &Path, image: &Image) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, mode) in DIRECTORIES {
        let directory = folder.join(name);
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
    }
    let programs = image.programs.paths().map(|path| (path, EXECUTABLE, 0o755));
    let files = image.files.iter().map(|(path, content, mode)| (path.as_str(), content.as_slice(), *mode));
    for (path, content, mode) in programs.chain(files) {
        let file = folder.join(path.trim_start_matches('/'));
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Makes a container's root.
pub(super) fn make(folder: &Path, image: PathBuf, read_only: bool) -> io::Result<Mount> {
    fs::create_dir_all(folder)?;
    Ok(Mount { at: "/".into(), source: folder.to_owned(), lower: Some(image), read_only })
}
