//! Parts of volumes as mounts (`subPath`, `pkg/volume/util/subpath`): made where they are missing, and never outside of the volume,
//! whatever links are in it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use k3s_arc_container::Files;
use serde_json::Value;

use super::super::Node;
use super::volumes::Volume;
use super::{pod_directory, real};
use crate::kinds::view::text;

/// Where a part of a volume is, as a path of the node. `index` is the mount's in its container.
pub(super) fn prepare(
    node: &Node,
    pod: &Value,
    container: &Value,
    (index, mount): (usize, &Value),
    volume: &Volume,
    sub_path: &str,
) -> Result<PathBuf, String> {
    if sub_path.starts_with('/') {
        return Err(format!("error SubPath `{sub_path}` must not be an absolute path"));
    }
    if sub_path.split('/').any(|step| step == "..") {
        return Err(format!("unable to provision SubPath `{sub_path}`: must not contain '..'"));
    }
    let (files, wanted) = (node.files(), volume.path.join(sub_path));
    // What is wrong in detail tells of the node, and is not for who made the pod.
    let place = format!("volumeMount \"{}\" of container \"{}\"", text(&mount["name"]), text(&container["name"]));
    if files.metadata(&wanted).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        make(&files, &volume.path, sub_path).map_err(|_| format!("failed to create subPath directory for {place}"))?;
    }
    let found = inside(&files, &volume.path, &wanted).map_err(|_| format!("failed to prepare subPath for {place}"))?;
    if !volume.is_written {
        return Ok(found);
    }
    let target = pod_directory(pod).join("volume-subpaths").join(text(&mount["name"])).join(text(&container["name"]));
    Ok(keep(node, &files, &found, &target.join(index.to_string())).unwrap_or(found))
}

fn outside() -> io::Error {
    io::Error::other("path is outside of allowed base")
}

/// The path without links; an error where they lead out of the volume.
fn inside(files: &Files, volume: &Path, path: &Path) -> io::Result<PathBuf> {
    let (base, found) = (files.canonicalize(volume)?, files.canonicalize(path)?);
    if found.starts_with(base) { Ok(found) } else { Err(outside()) }
}

/// Makes the folders that are missing, with the volume's mode (`doSafeMakeDir`).
fn make(files: &Files, volume: &Path, sub_path: &str) -> io::Result<()> {
    let mode = files.metadata(volume)?.mode;
    let base = files.canonicalize(volume)?;
    let mut here = base.clone();
    for step in Path::new(sub_path).components() {
        let Component::Normal(step) = step else { continue };
        let next = here.join(step);
        here = match files.canonicalize(&next) {
            Ok(found) if found.starts_with(&base) => found,
            Ok(_) => return Err(outside()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.create_dir(&next)?;
                files.set_mode(&next, mode)?;
                next
            }
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

/// A file that is mounted stays what it was when the kubelet replaces it: a second name keeps it. None where it can have none.
fn keep(node: &Node, files: &Files, found: &Path, target: &Path) -> Option<PathBuf> {
    let (from, to) = (real(node, found), real(node, target));
    if !from.is_file() {
        return None;
    }
    files.create_dir_all(target.parent()?).ok()?;
    if to.exists() {
        fs::remove_file(&to).ok()?;
    }
    fs::hard_link(&from, &to).ok()?;
    let (uid, gid) = node.disk.owner(&from);
    node.disk.set_owner(&to, uid, gid);
    Some(target.to_owned())
}
