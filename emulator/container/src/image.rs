//! Images: executables, files and defaults under a name that pods use.

use std::sync::Arc;

use crate::{Program, Programs};

/// What a node has under an image's name.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Its executables.
    pub programs: Programs,
    /// Its other files: absolute path, content, mode.
    pub files: Vec<(String, Vec<u8>, u32)>,
    /// What a container runs unless its `command` says otherwise.
    pub entrypoint: Vec<String>,
    /// The arguments unless its `args` (or `command`) say otherwise.
    pub command: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// The user and group it runs as: `65532:65532`; none: root.
    pub user: Option<(u32, u32)>,
    /// Its size in bytes, as the node tells it.
    pub size: u64,
}

impl Image {
    /// An image of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 1_000_000, ..Self::default() }
    }

    /// Adds an executable at an absolute path.
    #[must_use]
    pub fn program(mut self, path: impl Into<String>, program: impl Program) -> Self {
        self.programs.insert(path.into(), Arc::new(program));
        self
    }

    /// Adds a file at an absolute path.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((path.into(), content.into(), mode));
        self
    }

    /// What a container runs.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Its arguments.
    #[must_use]
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The user and group it runs as.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }
}
