//! The folders of a tree and the files in them, which a kustomization may read from its own folder alone. Ported from
//! `api/internal/loader/fileloader.go`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file names that Kustomize takes.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A kustomization's folder, and those of the kustomizations that led to it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    visited: Vec<PathBuf>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Result<Self, String> {
        let root = path.canonicalize().map_err(|error| format!("there is no folder {}: {error}", path.display()))?;
        if root.is_dir() { Ok(Self { root, visited: Vec::new() }) } else { Err(format!("{} is no folder", path.display())) }
    }

    /// The folder at a path from here.
    pub(super) fn below(&self, path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("the path is empty".to_owned());
        }
        if is_remote(path) {
            return Err(format!("`{path}` is on another machine: only what is in the tree can be rendered"));
        }
        if Path::new(path).is_absolute() {
            return Err(format!("`{path}` is absolute"));
        }
        let joined = self.root.join(path);
        let root = joined.canonicalize().map_err(|error| format!("`{path}` cannot be found: {error}"))?;
        if !root.is_dir() {
            return Err(format!("`{path}` is no folder"));
        }
        let mut visited = self.visited.clone();
        visited.push(self.root.clone());
        if visited.iter().any(|before| before.starts_with(&root)) {
            return Err(format!("`{path}` leads back to a folder that builds on this one"));
        }
        Ok(Self { root, visited })
    }

    /// The one kustomization of the folder.
    pub(super) fn kustomization(&self) -> Result<PathBuf, String> {
        let mut found = NAMES.iter().filter(|name| self.resolve(name).is_ok()).map(|name| self.root.join(name));
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(file),
            (None, _) => Err(format!("there is no {} in it", NAMES.join(", "))),
            (Some(_), Some(_)) => Err(format!("there are several of {} in it", NAMES.join(", "))),
        }
    }

    /// Whether a path from here leads to a file; it may still be out of bounds.
    pub(super) fn has_file(&self, path: &str) -> bool {
        self.root.join(path).is_file()
    }

    /// Where a file is, for a message.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Reads a file in or below the folder.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if is_remote(path) {
            return Err(format!("`{path}` is on another machine: only what is in the tree can be rendered"));
        }
        let file = self.resolve(path)?;
        fs::read(file).map_err(|error| format!("`{path}` cannot be read: {error}"))
    }

    pub(super) fn read_text(&self, path: &str) -> Result<String, String> {
        String::from_utf8(self.read(path)?).map_err(|_| format!("`{path}` is no UTF-8"))
    }

    /// Links are followed first: what counts is where they lead.
    fn resolve(&self, path: &str) -> Result<PathBuf, String> {
        let file = self.root.join(path).canonicalize().map_err(|error| format!("`{path}` cannot be found: {error}"))?;
        if !file.is_file() {
            return Err(format!("`{path}` is no file"));
        }
        if file.starts_with(&self.root) {
            Ok(file)
        } else {
            Err(format!("`{path}` is not in or below the kustomization's folder"))
        }
    }
}

/// Whether Kustomize would fetch it: a URL, or what git clones.
fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.contains("?ref=")
        || path.contains(".git/")
        || path.ends_with(".git")
        || ["git@", "git::", "github.com/", "github.com:"].iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_elsewhere_is_told() {
        for remote in ["https://example.com/a.yaml", "github.com/a/b?ref=v1", "git@example.com:a/b", "ssh://a/b", "a/b.git"] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in ["a.yaml", "../base", "./github.com", ".github/a.yaml"] {
            assert!(!is_remote(local), "{local}");
        }
    }
}
