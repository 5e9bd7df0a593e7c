//! Files as a program sees them: the container's own, and what a kernel adds to them (`/dev`, `/proc`), as far as test pods look at it.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use k3s_arc_container::files::{Kind, Metadata, Open};
use k3s_arc_container::{Container, Files, Input, Output, Process};

use crate::proc;

/// The files, from where a process is.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) container: Arc<Container>,
    pub(crate) cwd: PathBuf,
    /// What new files and directories may not be (`man 2 umask`).
    pub(crate) umask: u32,
    pub(crate) pid: u32,
}

/// The usual mask, which [`Files`] heeds by itself.
pub(crate) const UMASK: u32 = 0o022;

/// Links that one path may go through (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

/// What is no file of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Null,
    Zero,
    Full,
    Random,
    /// One of the process's own open files.
    Own(u32),
    /// Text that the kernel makes up.
    Text(Vec<u8>),
    /// One of the image's programs.
    Program,
    Directory(Vec<String>),
}

/// What was opened.
pub(crate) enum Opened {
    File(Arc<File>),
    Input(Input),
    Output(Output),
    /// One of the process's own open files.
    Own(u32),
}

/// A path without `.` and `..`, which are taken as they are written.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal
}

/// Bytes that nobody can foresee.
struct Random;

impl io::Read for Random {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::hash::{BuildHasher, Hasher, RandomState};
        for chunk in buffer.chunks_mut(8) {
            let word = RandomState::new().build_hasher().finish().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(buffer.len())
    }
}

impl tokio::io::AsyncRead for Random {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let read = io::Read::read(&mut *self, buffer.initialize_unfilled())?;
        buffer.advance(read);
        std::task::Poll::Ready(Ok(()))
    }
}

impl View {
    pub(crate) fn of(process: &Process) -> Self {
        let container = process.container.clone();
        let pid = container.processes.pid_of(&process.signals).unwrap_or(1);
        Self { container, cwd: process.cwd.clone(), umask: crate::inherited::umask(), pid }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.container.files
    }

    /// A path as it means it.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }

    /// What is at a path that is no file of the container.
    pub(crate) fn node(&self, path: impl AsRef<Path>, follow: bool) -> Option<Node> {
        let mut at = normal(&self.path(path));
        for _ in 0..8 {
            if let Some(node) = self.node_at(&at) {
                return Some(node);
            }
            let target = self.files().read_link(&at).ok().filter(|_| follow)?;
            at = normal(&at.parent()?.join(target));
        }
        None
    }

    fn node_at(&self, at: &Path) -> Option<Node> {
        let text = at.to_str()?;
        let own = |number: &str| number.parse().ok().map(Node::Own);
        match text {
            "/dev/null" => return Some(Node::Null),
            "/dev/zero" => return Some(Node::Zero),
            "/dev/full" => return Some(Node::Full),
            "/dev/random" | "/dev/urandom" => return Some(Node::Random),
            "/dev/stdin" => return Some(Node::Own(0)),
            "/dev/stdout" => return Some(Node::Own(1)),
            "/dev/stderr" => return Some(Node::Own(2)),
            "/dev/fd" => return Some(Node::Directory(["0", "1", "2"].map(str::to_owned).to_vec())),
            _ => {}
        }
        if let Some(number) = text.strip_prefix("/dev/fd/").or_else(|| text.strip_prefix("/proc/self/fd/")) {
            return own(number);
        }
        if let Some(rest) = text.strip_prefix("/proc")
            && !self.files().exists(at)
        {
            return proc::node(self, rest.trim_start_matches('/'));
        }
        if let Some(rest) = text.strip_prefix("/sys/fs/cgroup")
            && !self.files().exists(at)
        {
            return proc::cgroup(self, rest.trim_start_matches('/'));
        }
        let names = self.added_names(at);
        let is_program = names.is_empty() && self.container.programs.paths().any(|path| path == text);
        // What the container has there itself comes first.
        if names.is_empty() && !is_program || self.files().symlink_metadata(at).is_ok() {
            return None;
        }
        Some(if is_program { Node::Program } else { Node::Directory(names) })
    }

    /// The names that a directory has beside the container's files.
    fn added_names(&self, directory: &Path) -> Vec<String> {
        const DEVICES: [&str; 8] = ["fd", "full", "null", "random", "stdin", "stdout", "urandom", "zero"];
        let mut names: Vec<String> = Vec::new();
        if directory == Path::new("/dev") {
            names.extend(DEVICES.map(str::to_owned));
            names.push("stderr".to_owned());
        }
        if directory == Path::new("/") {
            names.extend(["dev".to_owned(), "proc".to_owned()]);
        }
        let below = self.container.programs.paths().filter_map(|path| Path::new(path).strip_prefix(directory).ok());
        names.extend(below.filter_map(|path| Some(path.components().next()?.as_os_str().to_str()?.to_owned())));
        names.sort();
        names.dedup();
        names
    }

    /// A path without links, of which the last name need not be there.
    pub(crate) fn real(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let mut at = self.path(path);
        for _ in 0..MOST_LINKS {
            match self.files().canonicalize(&at) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
            let parent = at.parent().unwrap_or(Path::new("/")).to_owned();
            match self.files().read_link(&at) {
                Ok(target) => at = parent.join(target),
                Err(_) => {
                    let name = at.file_name().unwrap_or_default();
                    return Ok(self.files().canonicalize(parent)?.join(name));
                }
            }
        }
        Err(io::Error::other("Too many levels of symbolic links"))
    }

    /// Opens a file.
    pub(crate) fn open(&self, path: impl AsRef<Path>, how: Open) -> io::Result<Opened> {
        let path = self.path(path);
        let writes = how.write || how.append;
        let Some(node) = self.node(&path, true) else {
            let new = self.umask != UMASK && how.create && !self.files().exists(&path);
            let file = self.files().open(&path, how)?;
            if new {
                self.files().set_mode(&path, 0o666 & !self.umask)?;
            }
            return Ok(Opened::File(Arc::new(file)));
        };
        match node {
            Node::Own(number) => Ok(Opened::Own(number)),
            Node::Directory(_) if writes => Err(io::ErrorKind::IsADirectory.into()),
            Node::Text(_) | Node::Program if writes => Err(io::ErrorKind::PermissionDenied.into()),
            Node::Full if writes => Ok(Opened::Output(Output::new(|_| Err(io::ErrorKind::StorageFull.into())))),
            _ if writes => Ok(Opened::Output(Output::null())),
            Node::Null => Ok(Opened::Input(Input::empty())),
            Node::Zero | Node::Full => Ok(Opened::Input(Input::new(tokio::io::repeat(0)))),
            Node::Random => Ok(Opened::Input(Input::new(Random))),
            Node::Text(text) => Ok(Opened::Input(Input::new(io::Cursor::new(text)))),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
            // It is code of this process; there are no bytes of it that could be run elsewhere.
            Node::Program => Err(io::Error::new(io::ErrorKind::Unsupported, "Operation not supported")),
        }
    }

    /// What is known of what a path leads to, or of the link that it is.
    pub(crate) fn metadata(&self, path: impl AsRef<Path>, follow: bool) -> io::Result<Metadata> {
        let path = self.path(path);
        let Some(node) = self.node(&path, follow) else {
            return if follow { self.files().metadata(&path) } else { self.files().symlink_metadata(&path) };
        };
        let (kind, mode, size) = match node {
            Node::Directory(_) => (Kind::Directory, 0o755, 0),
            Node::Program => (Kind::File, 0o755, 0),
            Node::Text(text) => {
                (Kind::File, 0o444, if path.starts_with("/proc") || path.starts_with("/sys") { 0 } else { text.len() as u64 })
            }
            _ => (Kind::Other, 0o666, 0),
        };
        Ok(Metadata { kind, mode, uid: 0, gid: 0, size, modified: 0, links: 1, inode: 1 })
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.metadata(path, true).is_ok()
    }

    /// The names in a directory, in order.
    pub(crate) fn read_dir(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let path = self.path(path);
        match self.node(&path, true) {
            Some(Node::Directory(names)) => return Ok(names),
            Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            None => {}
        }
        let mut names = self.files().read_dir(&path)?;
        names.extend(self.added_names(&normal(&path)));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Makes a directory.
    pub(crate) fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = self.path(path);
        if self.node(&path, false).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files().create_dir(&path)?;
        if self.umask == UMASK { Ok(()) } else { self.files().set_mode(&path, 0o777 & !self.umask) }
    }

    /// Whether this process may do that: `r`, `w` or `x`.
    pub(crate) fn may(&self, path: impl AsRef<Path>, what: char) -> bool {
        let path = self.path(path);
        match (self.node(&path, true), what) {
            (Some(Node::Program | Node::Directory(_)), 'w') => self.files().user().uid == 0,
            (Some(Node::Text(_)), 'w') => false,
            (Some(Node::Program | Node::Directory(_)), _) => true,
            (Some(_), _) => what != 'x',
            (None, 'r') => self.files().may_read(&path),
            (None, 'w') => self.files().may_write(&path),
            (None, _) => self.files().may_execute(&path),
        }
    }
}
