//! Locks between processes, held by the kernel: a process killed while it holds one blocks nobody.
//!
//! `serial_test`'s `file_parallel` would do the same for tests alone, but it keeps its count of readers in a file;
//! a reader that is killed never counts itself out, and every later `file_serial` waits for ever.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
};

/// A lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// Takes a lock that nobody else then holds; `reason` is told if that means waiting.
pub(crate) async fn exclusive(path: &Path, reason: &str) -> io::Result<Held> {
    take(path, reason, File::try_lock, File::lock).await
}

/// Takes a lock beside others who share it; `reason` is told if that means waiting.
pub(crate) async fn shared(path: &Path, reason: &str) -> io::Result<Held> {
    take(path, reason, File::try_lock_shared, File::lock_shared).await
}

/// Takes a lock that nobody else then holds, or none if somebody does.
pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Held>> {
    attempt(path, File::try_lock)
}

/// Takes a lock beside others who share it, or none if somebody has it alone.
pub(crate) fn try_shared(path: &Path) -> io::Result<Option<Held>> {
    attempt(path, File::try_lock_shared)
}

fn attempt(path: &Path, attempt: fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<Held>> {
    let file = open(path)?;
    match attempt(&file) {
        Ok(()) => Ok(Some(Held { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn take(
    path: &Path,
    reason: &str,
    attempt: fn(&File) -> Result<(), TryLockError>,
    block: fn(&File) -> io::Result<()>,
) -> io::Result<Held> {
    let file = open(path)?;
    match attempt(&file) {
        Ok(()) => return Ok(Held { _file: file }),
        Err(TryLockError::WouldBlock) => tracing::info!("waiting: {reason}"),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let blocked = tokio::task::spawn_blocking(move || block(&file).map(|()| Held { _file: file }));
    blocked.await.map_err(io::Error::other)?
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_share_and_a_writer_is_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = shared(&path, "").await.unwrap();
        let second = shared(&path, "").await.unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        drop((first, second));
        let writer = try_exclusive(&path).unwrap();
        assert!(writer.is_some());
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { shared(&path, "the writer").await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(writer);
        waiting.await.unwrap().unwrap();
    }
}
