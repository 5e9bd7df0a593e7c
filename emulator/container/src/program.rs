//! Programs: what an executable of an image is.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::Process;

/// An executable. Any `async fn(Process) -> i32` is one.
pub trait Program: Send + Sync + 'static {
    /// Runs to its end; returns the exit code (0 to 255). A process that is killed is dropped at its next `await`, so a program
    /// must not keep a thread busy without one.
    fn run(&self, process: Process) -> BoxFuture<'static, i32>;
}

impl<F, Running> Program for F
where
    F: Fn(Process) -> Running + Send + Sync + 'static,
    Running: Future<Output = i32> + Send + 'static,
{
    fn run(&self, process: Process) -> BoxFuture<'static, i32> {
        self(process).boxed()
    }
}

/// There is no such executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// A name without a slash, which no directory of `$PATH` has.
    InPath(String),
    /// A path at which there is nothing.
    NoFile(String),
    /// A path of something that cannot be executed.
    NotExecutable(String),
    /// A path of a directory.
    Directory(String),
    /// A path of a file that is neither one of the image's programs nor a script that names its interpreter.
    WrongFormat(String),
}

/// As runc says it (`exec: "x": executable file not found in $PATH`).
impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InPath(name) => write!(f, "exec: \"{name}\": executable file not found in $PATH"),
            Self::NoFile(path) => write!(f, "exec: \"{path}\": stat {path}: no such file or directory"),
            Self::NotExecutable(path) => write!(f, "exec: \"{path}\": permission denied"),
            Self::Directory(path) => write!(f, "exec: \"{path}\": is a directory"),
            Self::WrongFormat(path) => write!(f, "exec {path}: exec format error"),
        }
    }
}

impl std::error::Error for NotFound {}

/// The executables of an image, by their absolute paths.
#[derive(Clone, Default)]
pub struct Programs(Arc<BTreeMap<String, Arc<dyn Program>>>);

/// Where executables are looked for when the environment does not say (runc's default).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Programs {
    /// Adds one.
    pub(crate) fn insert(&mut self, path: String, program: Arc<dyn Program>) {
        Arc::make_mut(&mut self.0).insert(path, program);
    }

    /// The absolute paths of all, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The executable that a command's first word means: a path, or a name to be found in the directories of `path` (`$PATH`).
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, command: &str, path: Option<&str>) -> Result<(String, Arc<dyn Program>), NotFound> {
        if command.contains('/') {
            let found = self.0.get(command).ok_or_else(|| NotFound::NoFile(command.to_owned()))?;
            return Ok((command.to_owned(), found.clone()));
        }
        for directory in path.unwrap_or(DEFAULT_PATH).split(':') {
            let candidate = format!("{}/{command}", directory.trim_end_matches('/'));
            if let Some(found) = self.0.get(&candidate) {
                return Ok((candidate, found.clone()));
            }
        }
        Err(NotFound::InPath(command.to_owned()))
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_by_path_and_by_name() {
        let mut programs = Programs::default();
        programs.insert("/bin/true".into(), Arc::new(|_: Process| async { 0 }));
        assert_eq!(programs.find("true", None).unwrap().0, "/bin/true");
        assert_eq!(programs.find("/bin/true", None).unwrap().0, "/bin/true");
        let refusal = |command, path| programs.find(command, path).err().unwrap().to_string();
        assert_eq!(refusal("true", Some("/usr/bin")), r#"exec: "true": executable file not found in $PATH"#);
        assert_eq!(refusal("/no", None), r#"exec: "/no": stat /no: no such file or directory"#);
    }
}
