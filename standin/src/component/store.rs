//! Values on a volume, each in a file of its key's name, on disk before it is acknowledged.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use k3s_arc_container::{Files, files::Open};

/// Values on a volume.
#[derive(Debug)]
pub(super) struct Store {
    files: Files,
    directory: PathBuf,
    writes: AtomicU64,
}

/// The name of a value: letters, digits, `.`, `_` and `-`, at most [`Key::MAX`] of them, no dot in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {max} letters, digits, '.', '_' and '-', and no '.' in front", max = Key::MAX)]
pub(super) struct KeyError;

impl Key {
    /// Leaves room in a file's name (255 bytes) for what a temporary one needs.
    pub(super) const MAX: usize = 128;

    /// A key of this text. What could lead out of the store's directory is none.
    pub(super) fn new(text: &str) -> Result<Self, KeyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.');
        if fits { Ok(Self(text.to_owned())) } else { Err(KeyError) }
    }
}

impl Store {
    pub(super) fn new(files: Files, directory: PathBuf) -> Self {
        Self { files, directory, writes: AtomicU64::new(0) }
    }

    /// Keeps a value; it survives the loss of the machine's power once this returns.
    pub(super) fn put(&self, key: &Key, value: &[u8]) -> io::Result<()> {
        // Names with a dot in front are no keys.
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!(".{}.{number}", key.0));
        let written = write_synced(&self.files, &temporary, value)
            .and_then(|()| self.files.rename(&temporary, self.directory.join(&key.0)))
            .and_then(|()| self.files.open(&self.directory, Open::READ)?.sync_all());
        if written.is_err() {
            // On a full disk the half-written file is what must go first.
            let _ = self.files.remove_file(&temporary);
        }
        written
    }

    /// A value, if it is kept.
    pub(super) fn get(&self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        match self.files.read(self.directory.join(&key.0)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes to a directory and reads back what it wrote.
pub(super) fn write_and_read_back(files: &Files, directory: &Path, text: &str) -> io::Result<()> {
    let file = directory.join(".written-and-read-back");
    write_synced(files, &file, text.as_bytes())?;
    let read = files.read_to_string(&file)?;
    if read == text { Ok(()) } else { Err(io::Error::other("what was read back is not what was written")) }
}

fn write_synced(files: &Files, path: &Path, value: &[u8]) -> io::Result<()> {
    let mut file = files.open(path, Open::CREATE)?;
    file.write_all(value)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a")]
    #[case("usage-2024.10_08")]
    #[case(&"k".repeat(Key::MAX))]
    fn a_key_is_a_plain_name(#[case] text: &str) {
        assert_eq!(Key::new(text), Ok(Key(text.to_owned())));
    }

    #[rstest]
    #[case::empty("")]
    #[case::up("..")]
    #[case::hidden(".written-and-read-back")]
    #[case::path("a/b")]
    #[case::backslash("a\\b")]
    #[case::nul("a\0b")]
    #[case::not_ascii("ä")]
    #[case::too_long(&"k".repeat(Key::MAX + 1))]
    fn what_leads_elsewhere_is_no_key(#[case] text: &str) {
        assert_eq!(Key::new(text), Err(KeyError));
    }

    #[test]
    fn a_value_outlives_its_store() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key::new("k").unwrap();
        Store::new(Files::native(), directory.path().into()).put(&key, b"first").unwrap();
        Store::new(Files::native(), directory.path().into()).put(&key, b"second").unwrap();
        let store = Store::new(Files::native(), directory.path().into());
        assert_eq!(store.get(&key).unwrap().unwrap(), b"second");
        assert_eq!(store.get(&Key::new("other").unwrap()).unwrap(), None);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_missing_volume_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        assert!(write_and_read_back(&Files::native(), &gone, "x").is_err());
        assert!(write_and_read_back(&Files::native(), directory.path(), "x").is_ok());
    }
}
