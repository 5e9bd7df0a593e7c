//! Folders and files of the node itself as volumes (`pkg/volume/hostpath`).

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use k3s_arc_container::files::{Files, Open};
use serde_json::Value;

use super::super::Node;
use super::{path_error, real};
use crate::kinds::view::text;

/// What is there.
enum Found {
    Nothing,
    Directory,
    File,
    Socket,
    CharacterDevice,
    BlockDevice,
    Else,
}

/// Checks that a path of the node is what `type` says, and makes it where that is asked for.
pub(super) fn prepare(node: &Node, source: &Value) -> Result<(), String> {
    let at = text(&source["path"]);
    let path = Path::new(at);
    if at.split('/').any(|step| step == "..") {
        return Err(format!("invalid HostPath `{at}`: must not contain '..'"));
    }
    let files = node.files();
    let found = found(node, &files, path);
    let (fits, what) = match (text(&source["type"]), &found) {
        ("", _) => return Ok(()),
        ("DirectoryOrCreate", Found::Nothing) => {
            return files.create_dir_all(path).map_err(|error| path_error("mkdir", path, &error));
        }
        ("FileOrCreate", Found::Nothing) => {
            let how = Open { write: true, create: true, ..Open::default() };
            return files.open(path, how).map(drop).map_err(|error| path_error("open", path, &error));
        }
        ("Directory" | "DirectoryOrCreate", found) => (matches!(found, Found::Directory), "directory"),
        ("File" | "FileOrCreate", found) => (matches!(found, Found::File), "file"),
        ("Socket", found) => (matches!(found, Found::Socket), "socket file"),
        ("CharDevice", found) => (matches!(found, Found::CharacterDevice), "character device"),
        ("BlockDevice", found) => (matches!(found, Found::BlockDevice), "block device"),
        (other, _) => return Err(format!("{other} is an invalid volume type")),
    };
    if fits { Ok(()) } else { Err(format!("hostPath type check failed: {at} is not a {what}")) }
}

fn found(node: &Node, files: &Files, path: &Path) -> Found {
    let canonical = files.canonicalize(path);
    let Some(found) = canonical.ok().and_then(|path| fs::symlink_metadata(real(node, &path)).ok()) else {
        return Found::Nothing;
    };
    match found.file_type() {
        kind if kind.is_dir() => Found::Directory,
        kind if kind.is_file() => Found::File,
        kind if kind.is_socket() => Found::Socket,
        kind if kind.is_char_device() => Found::CharacterDevice,
        kind if kind.is_block_device() => Found::BlockDevice,
        _ => Found::Else,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::testing::World;
    use super::*;

    #[rstest]
    #[case("/dir", "", Ok(()))]
    #[case("/none", "", Ok(()))]
    #[case("/dir", "Directory", Ok(()))]
    #[case("/link", "Directory", Ok(()))]
    #[case("/file", "File", Ok(()))]
    #[case("/new/dir", "DirectoryOrCreate", Ok(()))]
    #[case("/new-file", "FileOrCreate", Ok(()))]
    #[case("/socket", "Socket", Ok(()))]
    #[case("/file", "Directory", Err("hostPath type check failed: /file is not a directory"))]
    #[case("/none", "Directory", Err("hostPath type check failed: /none is not a directory"))]
    #[case("/file", "DirectoryOrCreate", Err("hostPath type check failed: /file is not a directory"))]
    #[case("/dir", "File", Err("hostPath type check failed: /dir is not a file"))]
    #[case("/dir", "FileOrCreate", Err("hostPath type check failed: /dir is not a file"))]
    #[case("/dir", "Socket", Err("hostPath type check failed: /dir is not a socket file"))]
    #[case("/dir", "CharDevice", Err("hostPath type check failed: /dir is not a character device"))]
    #[case("/dir", "BlockDevice", Err("hostPath type check failed: /dir is not a block device"))]
    #[case("/no/file", "FileOrCreate", Err("open /no/file: no such file or directory"))]
    #[case("/dir", "Else", Err("Else is an invalid volume type"))]
    #[case("/a/../b", "", Err("invalid HostPath `/a/../b`: must not contain '..'"))]
    // Links of the node lead to where the node has it, not to this machine's.
    #[case("/outside", "Directory", Err("hostPath type check failed: /outside is not a directory"))]
    fn what_a_path_must_be(#[case] path: &str, #[case] kind: &str, #[case] expected: Result<(), &str>) {
        let world = World::new();
        let files = world.node.files();
        files.create_dir_all("/dir").unwrap();
        files.write("/file", "").unwrap();
        files.symlink("/dir", "/link").unwrap();
        files.symlink("/usr", "/outside").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(world.node.root.join("socket")).unwrap();
        let done = prepare(&world.node, &json!({"path": path, "type": kind}));
        assert_eq!(done, expected.map_err(str::to_owned));
        if kind.ends_with("OrCreate") && done.is_ok() {
            assert!(files.metadata(path).is_ok());
        }
    }
}
