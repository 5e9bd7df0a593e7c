//! Processes: what a program is started with.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Container, Input, Output, Signals};

/// A process about to run.
#[derive(Debug)]
pub struct Process {
    /// Its arguments; the first is what it was called by.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory, an absolute path within the container.
    pub cwd: PathBuf,
    /// What it reads.
    pub stdin: Input,
    /// What it prints.
    pub stdout: Output,
    /// What it complains.
    pub stderr: Output,
    /// The signals that reach it.
    pub signals: Signals,
    /// Where it runs.
    pub container: Arc<Container>,
}

impl Process {
    /// This very process, as the operating system started it.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn native() -> io::Result<Self> {
        use std::io::Write as _;
        Ok(Self {
            args: std::env::args().collect(),
            env: std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            // None of our programs reads it.
            stdin: Input::empty(),
            stdout: Output::new(|bytes| {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }),
            stderr: Output::new(|bytes| io::stderr().lock().write_all(bytes)),
            signals: Signals::native()?,
            container: Arc::new(Container::native()),
        })
    }

    /// A variable of its environment.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// A path as it means it: from its working directory on.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }
}
