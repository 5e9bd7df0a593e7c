//! Whether a cluster serves: a volume takes data and gives it back, and a name resolves.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

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
pub async fn answer(request: Request) -> Result<Answer, String> {
    write(&request.directory)
        .map_err(|error| format!("{}: a file cannot be written and read: {error}", request.directory.display()))?;
    let resolver = Resolver::of_this_pod()?;
    let found = again(Duration::from_millis(request.patience_ms), || resolver.find(&request.name), Result::is_ok).await?;
    Ok(Answer { addresses: found.addresses })
}

fn write(directory: &Path) -> io::Result<()> {
    const DATA: &str = "served";
    let path = directory.join(".k3s-arc-probe");
    let mut file = File::create(&path)?;
    file.write_all(DATA.as_bytes())?;
    file.sync_all()?;
    let read = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    if read == DATA { Ok(()) } else { Err(io::Error::other(format!("what came back is not what was written: {read:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_takes_no_file() {
        assert_eq!(write(Path::new("/none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_written_and_removed() {
        let directory = std::env::temp_dir().join(format!("k3s-arc-served-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        write(&directory).unwrap();
        // Fails unless it is empty again.
        fs::remove_dir(&directory).unwrap();
    }
}
