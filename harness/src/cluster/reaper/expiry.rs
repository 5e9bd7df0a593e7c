//! What is kept is not kept for ever: a cluster that nobody has used for a while goes, though no run comes again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{RECORD, USERS};
use crate::cluster::{lock, run::Record};

/// Between two looks at the clock. A host that slept has not counted the time, and a cluster may be used meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// When a kept run is to go.
#[derive(Debug)]
pub(in crate::cluster) struct Expiry {
    directory: PathBuf,
    keep_for: Duration,
}

impl Expiry {
    /// Of the run in a directory.
    pub(in crate::cluster) fn of(directory: &Path, record: &Record) -> Self {
        Self { directory: directory.to_owned(), keep_for: Duration::from_secs(record.keep_seconds) }
    }

    /// Starts the time anew: somebody uses the cluster.
    pub(in crate::cluster) fn postpone(&self) -> io::Result<()> {
        fs::File::options().write(true).open(self.directory.join(RECORD))?.set_modified(SystemTime::now())
    }

    /// How long it still is; nothing when the time has come.
    pub(in crate::cluster) fn left(&self) -> Option<Duration> {
        let used = fs::metadata(self.directory.join(RECORD)).and_then(|record| record.modified()).ok()?;
        // A clock that was set back makes what was used last seem to be of the future.
        let idle = SystemTime::now().duration_since(used).unwrap_or_default();
        self.keep_for.checked_sub(idle).filter(|left| !left.is_zero())
    }

    /// If the time has come and nobody uses it; as long as what is returned is held, nobody begins to.
    pub(in crate::cluster) fn past(&self) -> Option<lock::Held> {
        if self.left().is_some() { None } else { self.unused().ok().flatten() }
    }

    fn unused(&self) -> io::Result<Option<lock::Held>> {
        lock::try_exclusive(&self.directory.join(USERS))
    }

    /// Returns when the time has come and nobody uses it; as long as what is returned is held, nobody begins to.
    pub(in crate::cluster) async fn reached(&self) -> io::Result<lock::Held> {
        loop {
            match self.left() {
                Some(left) => tokio::time::sleep(left.min(LOOK)).await,
                None => match self.unused()? {
                    Some(unused) => return Ok(unused),
                    None => tokio::time::sleep(LOOK).await,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::process::Process, config::Keep};

    fn kept(directory: &Path, idle: u64, keep_seconds: u64) -> Expiry {
        let path = directory.join(RECORD);
        fs::write(&path, "").unwrap();
        let used = SystemTime::now() - Duration::from_secs(idle);
        fs::File::options().write(true).open(path).unwrap().set_modified(used).unwrap();
        let record = Record { keep_seconds, ..Record::new("run", Process::current(), Keep::Always) };
        Expiry::of(directory, &record)
    }

    #[tokio::test]
    async fn what_nobody_uses_goes_when_its_time_has_come() {
        let directory = tempfile::tempdir().unwrap();
        let expiry = kept(directory.path(), 100, 1000);
        assert!(expiry.left().is_some_and(|left| left.as_secs() <= 900) && expiry.past().is_none());

        let expiry = kept(directory.path(), 1001, 1000);
        let user = lock::shared(&directory.path().join(USERS), "").await.unwrap();
        assert!(expiry.left().is_none() && expiry.past().is_none(), "it is used");
        drop(user);
        assert!(expiry.past().is_some());
        expiry.reached().await.unwrap();
        expiry.postpone().unwrap();
        assert!(expiry.past().is_none(), "it has been used again");
    }
}
