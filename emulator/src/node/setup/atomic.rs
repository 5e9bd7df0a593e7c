//! Volumes whose files change all at once (`pkg/volume/util/atomic_writer.go`).
//!
//! What is read are links: `name` leads to `..data/name`, and `..data` to a folder named after the time of its writing. A new content
//! is a new folder, and becomes visible when `..data` is renamed over the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k3s_arc_container::Files;
use k3s_arc_container::files::Kind;

use super::path_error;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4096;

/// A file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Projection {
    pub(super) data: Vec<u8>,
    pub(super) mode: u32,
    /// Its owner; none: root.
    pub(super) owner: Option<u32>,
}

/// Files by their paths within a volume.
pub(super) type Payload = BTreeMap<String, Projection>;

/// Makes a folder show exactly these files. `set_permissions` is called before they become visible. Returns whether anything was
/// written: where the content is the same, nothing is.
pub(super) fn write(
    files: &Files,
    directory: &Path,
    payload: &Payload,
    now: Timestamp,
    set_permissions: &dyn Fn(),
) -> Result<bool, String> {
    let mut clean = BTreeMap::new();
    for (path, projection) in payload {
        validate(path)?;
        clean.insert(Path::new(path).components().collect::<PathBuf>().to_string_lossy().into_owned(), projection);
    }
    let old = match files.read_link(directory.join(DATA)) {
        Ok(old) => Some(directory.join(old)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(path_error("readlink", &directory.join(DATA), &error)),
    };
    let gone = match &old {
        Some(old) => gone(files, old, &clean).map_err(|error| path_error("lstat", old, &error))?,
        None => BTreeSet::new(),
    };
    let same = |old: &Path| clean.iter().all(|(path, new)| files.read(old.join(path)).is_ok_and(|present| present == new.data));
    let write = match &old {
        Some(old) if gone.is_empty() => !same(old),
        _ => true,
    };
    if write {
        publish(files, directory, &clean, now, set_permissions).map_err(|error| path_error("write", directory, &error))?;
    }
    link(files, directory, &clean).map_err(|error| path_error("symlink", directory, &error))?;
    for path in gone.iter().filter(|path| !path.contains('/')) {
        files.remove_file(directory.join(path)).map_err(|error| path_error("remove", &directory.join(path), &error))?;
    }
    if let (true, Some(old)) = (write, old) {
        files.remove_dir_all(&old).map_err(|error| path_error("unlinkat", &old, &error))?;
    }
    Ok(write)
}

/// `validatePath`.
fn validate(path: &str) -> Result<(), String> {
    let wrong = if path.is_empty() {
        "must not be empty: \"\"".to_owned()
    } else if path.starts_with('/') {
        format!("must be relative path: {path}")
    } else if path.len() > LONGEST_PATH {
        format!("must be less than or equal to {LONGEST_PATH} characters")
    } else if path.split('/').any(|name| name == "..") {
        format!("must not contain '..': {path}")
    } else if path.split('/').any(|name| name.len() > LONGEST_NAME) {
        format!("filenames must be less than or equal to {LONGEST_NAME} characters")
    } else if path.starts_with("..") {
        format!("must not start with '..': {path}")
    } else {
        return Ok(());
    };
    Err(format!("invalid path: {wrong}"))
}

/// The paths below the old folder that the new one will not have.
fn gone(files: &Files, old: &Path, payload: &BTreeMap<String, &Projection>) -> io::Result<BTreeSet<String>> {
    let mut present = BTreeSet::new();
    collect(files, old, "", &mut present)?;
    for path in payload.keys() {
        let mut path = path.as_str();
        present.remove(path);
        while let Some((parent, _)) = path.rsplit_once('/') {
            path = parent;
            present.remove(path);
        }
    }
    Ok(present)
}

fn collect(files: &Files, directory: &Path, prefix: &str, all: &mut BTreeSet<String>) -> io::Result<()> {
    for name in files.read_dir(directory)? {
        let (path, below) = (directory.join(&name), format!("{prefix}{name}"));
        if files.symlink_metadata(&path)?.kind == Kind::Directory {
            collect(files, &path, &format!("{below}/"), all)?;
        }
        all.insert(below);
    }
    Ok(())
}

fn publish(
    files: &Files,
    directory: &Path,
    payload: &BTreeMap<String, &Projection>,
    now: Timestamp,
    set_permissions: &dyn Fn(),
) -> io::Result<()> {
    let name = new_folder(files, directory, now)?;
    let folder = directory.join(&name);
    for (path, projection) in payload {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            files.create_dir_all(parent)?;
        }
        files.write(&path, &projection.data)?;
        files.set_mode(&path, projection.mode)?;
        if let Some(owner) = projection.owner {
            files.set_owner(&path, owner, 0)?;
        }
    }
    set_permissions();
    let new = directory.join(NEW_DATA);
    files.symlink(&name, &new)?;
    files.rename(&new, directory.join(DATA))
}

/// A folder of this second, with a number that nobody has.
fn new_folder(files: &Files, directory: &Path, now: Timestamp) -> io::Result<String> {
    loop {
        let number = uuid::Uuid::new_v4().as_fields().0;
        let name = format!("{}.{number}", now.strftime("..%Y_%m_%d_%H_%M_%S"));
        match files.create_dir(directory.join(&name)) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// The links that are seen.
fn link(files: &Files, directory: &Path, payload: &BTreeMap<String, &Projection>) -> io::Result<()> {
    let names: BTreeSet<_> = payload.keys().map(|path| path.split_once('/').map_or(path.as_str(), |(first, _)| first)).collect();
    for name in names {
        let link = directory.join(name);
        if files.symlink_metadata(&link).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            files.symlink(Path::new(DATA).join(name), link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::testing::World;
    use super::*;

    fn payload(all: &[(&str, &str)]) -> Payload {
        let projection = |data: &str| Projection { data: data.into(), mode: 0o640, owner: None };
        all.iter().map(|(path, data)| ((*path).to_owned(), projection(data))).collect()
    }

    #[test]
    fn contents_change_all_at_once() {
        let world = World::new();
        let files = world.node.files();
        files.create_dir_all("/v").unwrap();
        let at = Path::new("/v");
        let write = |all: &[(&str, &str)]| write(&files, at, &payload(all), "2026-02-01T15:04:05Z".parse().unwrap(), &|| {});
        assert_eq!(write(&[("a", "1"), ("d/b", "2"), ("d/e/c", "3")]), Ok(true));
        let data = files.read_link("/v/..data").unwrap();
        assert!(data.to_string_lossy().starts_with("..2026_02_01_15_04_05."), "{}", data.display());
        assert_eq!(files.read_link("/v/a").unwrap(), Path::new("..data/a"));
        assert_eq!(files.read_link("/v/d").unwrap(), Path::new("..data/d"));
        assert_eq!(files.read_to_string("/v/d/e/c").unwrap(), "3");
        assert_eq!(files.metadata("/v/a").unwrap().mode, 0o640);

        assert_eq!(write(&[("a", "1"), ("d/b", "2"), ("d/e/c", "3")]), Ok(false));
        assert_eq!(files.read_link("/v/..data").unwrap(), data);

        assert_eq!(write(&[("a", "1"), ("n", "4")]), Ok(true));
        let names = files.read_dir("/v").unwrap();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(!names.contains(&data.to_string_lossy().into_owned()) && !names.contains(&"d".to_owned()));
        assert_eq!(files.read_to_string("/v/n").unwrap(), "4");
    }

    #[rstest]
    #[case("", "invalid path: must not be empty: \"\"")]
    #[case("/a", "invalid path: must be relative path: /a")]
    #[case("a/../b", "invalid path: must not contain '..': a/../b")]
    #[case("..a", "invalid path: must not start with '..': ..a")]
    fn paths_stay_inside(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(validate(path).unwrap_err(), expected);
        assert_eq!(validate("a/..b"), Ok(()));
    }
}
