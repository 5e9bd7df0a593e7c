//! What can be done with files, seen from inside a pod.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use k3s_arc_container::{Container, Files, files::Open};
use serde::{Deserialize, Serialize};

/// Things to do, one after the other; one that fails does not keep the next from being tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    pub acts: Vec<Act>,
}

/// One thing to do with a file or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Writes a text to a file, made anew, and onto the disk.
    Write {
        /// Which file.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Writes a file of so many bytes, and onto the disk.
    Fill {
        /// Which file.
        path: PathBuf,
        /// How many bytes.
        bytes: u64,
    },
    /// Reads a file as text.
    Read(PathBuf),
    /// Looks at a file's or directory's owner and mode.
    Stat(PathBuf),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The user that the probe ran as.
    pub uid: u32,
    /// The group that the probe ran as.
    pub gid: u32,
    /// What each act did, or why it did not.
    pub done: Vec<Result<Done, String>>,
}

/// What an act did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Wrote so many bytes.
    Wrote(u64),
    /// Read this text.
    Read(String),
    /// Saw this.
    Stat(Stat),
}

/// A file's or directory's owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The permission bits, such as `0o777`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
}

/// Does them all.
///
/// # Errors
/// If the probe cannot tell which user it is.
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    let files = &container.files;
    let (uid, gid) = user(files)?;
    let done = request.acts.iter().map(|act| act.carry_out(files).map_err(|error| error.to_string())).collect();
    Ok(Answer { uid, gid, done })
}

fn user(files: &Files) -> Result<(u32, u32), String> {
    if !files.is_native() {
        return Ok((files.user().uid, files.user().gid));
    }
    // The owner of a process's own directory there is its effective user.
    let own = files.metadata("/proc/self").map_err(|error| format!("/proc/self: {error}"))?;
    Ok((own.uid, own.gid))
}

impl Act {
    fn carry_out(&self, files: &Files) -> io::Result<Done> {
        match self {
            Act::Write { path, text } => {
                let mut file = files.open(path, Open::CREATE)?;
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                Ok(Done::Wrote(text.len() as u64))
            }
            Act::Fill { path, bytes } => fill(files, path, *bytes),
            Act::Read(path) => files.read_to_string(path).map(Done::Read),
            Act::Stat(path) => {
                let stat = files.metadata(path)?;
                Ok(Done::Stat(Stat { mode: stat.mode, uid: stat.uid, gid: stat.gid, size: stat.size }))
            }
        }
    }
}

fn fill(files: &Files, path: &Path, bytes: u64) -> io::Result<Done> {
    // Not zeros: some file systems store none.
    let block = [0xA5; 64 * 1024];
    let mut file = files.open(path, Open::CREATE)?;
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..part])?;
        left -= part as u64;
    }
    file.sync_all()?;
    Ok(Done::Wrote(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contained;

    async fn act(container: &Container, directory: &Path) -> Answer {
        let path = directory.join("a");
        let acts = vec![
            Act::Read(path.clone()),
            Act::Write { path: path.clone(), text: "kept".into() },
            Act::Read(path.clone()),
            Act::Fill { path: path.clone(), bytes: 100_000 },
            Act::Stat(path),
        ];
        answer(Request { acts }, container).await.unwrap()
    }

    #[tokio::test]
    async fn acts_are_done_in_order_and_one_that_fails_stops_none() {
        let directory = tempfile::tempdir().unwrap();
        let answer = act(&Container::native(), directory.path()).await;
        let [missing, wrote, read, filled, Ok(Done::Stat(stat))] = answer.done.as_slice() else { panic!("{:?}", answer.done) };
        assert!(missing.as_ref().unwrap_err().contains("No such file"), "{missing:?}");
        assert_eq!(wrote, &Ok(Done::Wrote(4)));
        assert_eq!(read, &Ok(Done::Read("kept".into())));
        assert_eq!(filled, &Ok(Done::Wrote(100_000)));
        assert_eq!((stat.size, stat.uid), (100_000, answer.uid));
    }

    #[tokio::test]
    async fn in_an_emulated_container_they_are_done_below_its_root_and_by_its_user() {
        let root = tempfile::tempdir().unwrap();
        let container = contained(root.path());
        let denied = act(&container, Path::new("/")).await;
        assert_eq!((denied.uid, denied.gid), (1000, 2000));
        assert_eq!(denied.done[1], Err("Permission denied (os error 13)".to_owned()));

        container.files.as_user(k3s_arc_container::User::default()).set_mode("/", 0o777).unwrap();
        let done = act(&container, Path::new("/")).await.done;
        assert_eq!(done[4], Ok(Done::Stat(Stat { mode: 0o644, uid: 1000, gid: 2000, size: 100_000 })));
        assert_eq!(std::fs::metadata(root.path().join("a")).unwrap().len(), 100_000);
    }
}
