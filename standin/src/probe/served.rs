//! Whether a cluster serves: a volume takes data and gives it back, and a name resolves.

use std::{
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use k3s_arc_container::{Container, Files, files::Open};
use serde::{Deserialize, Serialize};

use super::dns::{Resolver, again};

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// A directory, on a volume, to write to.
    pub directory: PathBuf,
    /// A name to resolve.
    pub name: String,
    /// For how many milliseconds the name is asked for again: a cluster's first pods are there before its DNS is.
    #[serde(default)]
    pub patience_ms: u64,
}

/// Both worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What the name resolved to.
    pub addresses: Vec<IpAddr>,
}

/// Tries both.
///
/// # Errors
/// What did not work.
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    write(&container.files, &request.directory)
        .map_err(|error| format!("{}: a file cannot be written and read: {error}", request.directory.display()))?;
    let resolver = Resolver::of(container)?;
    let found = again(Duration::from_millis(request.patience_ms), || resolver.find(&request.name), Result::is_ok).await?;
    Ok(Answer { addresses: found.addresses })
}

fn write(files: &Files, directory: &Path) -> io::Result<()> {
    const DATA: &str = "served";
    let path = directory.join(".k3s-arc-probe");
    let mut file = files.open(&path, Open::CREATE)?;
    file.write_all(DATA.as_bytes())?;
    file.sync_all()?;
    let read = files.read_to_string(&path)?;
    files.remove_file(&path)?;
    if read == DATA { Ok(()) } else { Err(io::Error::other(format!("what came back is not what was written: {read:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_takes_no_file() {
        assert_eq!(write(&Files::native(), Path::new("/none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_written_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        write(&Files::native(), directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
