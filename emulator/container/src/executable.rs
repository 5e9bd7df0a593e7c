//! What a command means in a container: one of its image's programs, or a script that names one (`man 2 execve`).

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use crate::files::{Kind, Open};
use crate::{Container, DEFAULT_PATH, NotFound, Program};

/// What is to be run.
#[derive(Clone)]
pub struct Executable {
    /// The program.
    pub program: Arc<dyn Program>,
    /// Where the command was found.
    pub path: String,
    /// The arguments that go before those of the command, its name included; none: it is called by that name.
    pub args: Vec<String>,
}

/// Links and interpreters that are followed before it is one too many.
const MOST_INTERPRETERS: usize = 4;
/// What is read of a script to find its interpreter (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;

impl Executable {
    /// The whole command of the program's process: of a script, it begins with the interpreter's.
    #[must_use]
    pub fn command(&self, mut command: Vec<String>) -> Vec<String> {
        if !self.args.is_empty() {
            command.splice(..1.min(command.len()), self.args.iter().cloned());
            // The script takes the place of the name, as it was found.
            command[self.args.len() - 1].clone_from(&self.path);
        }
        command
    }
}

impl Container {
    /// What a command's first word means to a process that is in `cwd` and has this `$PATH`: a path, or a name to be found.
    ///
    /// # Errors
    /// When it is none, or none that can be executed.
    pub fn executable(&self, command: &str, cwd: &Path, path: Option<&str>) -> Result<Executable, NotFound> {
        if command.contains('/') {
            return self.executable_at(command, cwd, 0);
        }
        for directory in path.unwrap_or(DEFAULT_PATH).split(':') {
            let directory = if directory.is_empty() { "." } else { directory.trim_end_matches('/') };
            match self.executable_at(&format!("{directory}/{command}"), cwd, 0) {
                Err(NotFound::NoFile(_) | NotFound::NotExecutable(_) | NotFound::Directory(_)) => {}
                found => return found,
            }
        }
        Err(NotFound::InPath(command.to_owned()))
    }

    fn executable_at(&self, path: &str, cwd: &Path, depth: usize) -> Result<Executable, NotFound> {
        let missing = || NotFound::NoFile(path.to_owned());
        let denied = || NotFound::NotExecutable(path.to_owned());
        let at = cwd.join(path);
        let program = |at: &Path| self.programs.find(at.to_str()?, None).ok();
        if let Some((_, program)) = program(&at) {
            return Ok(Executable { program, path: path.to_owned(), args: Vec::new() });
        }
        // The programs are not among the files, so a link to one leads nowhere there.
        if let (Ok(target), true) = (self.files.read_link(&at), depth < MOST_INTERPRETERS) {
            let target = at.parent().unwrap_or(cwd).join(target);
            return match self.executable_at(&target.to_string_lossy(), cwd, depth + 1) {
                Ok(found) => Ok(Executable { path: path.to_owned(), ..found }),
                Err(NotFound::NoFile(_)) => Err(missing()),
                Err(NotFound::NotExecutable(_)) => Err(denied()),
                Err(NotFound::Directory(_)) => Err(NotFound::Directory(path.to_owned())),
                Err(_) => Err(NotFound::WrongFormat(path.to_owned())),
            };
        }
        let real = self.files.canonicalize(&at).map_err(|_| missing())?;
        if let Some((_, program)) = program(&real) {
            return Ok(Executable { program, path: path.to_owned(), args: Vec::new() });
        }
        let found = self.files.metadata(&real).map_err(|_| missing())?;
        if found.kind == Kind::Directory {
            return Err(NotFound::Directory(path.to_owned()));
        }
        if found.kind != Kind::File || !self.files.may_execute(&real) {
            return Err(denied());
        }
        let mut start = Vec::new();
        let file = self.files.open(&real, Open::READ).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => denied(),
            _ => missing(),
        })?;
        file.take(FIRST_LINE).read_to_end(&mut start).map_err(|_| denied())?;
        let line = start.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
        let line = line.and_then(|line| std::str::from_utf8(line).ok()).map_or("", str::trim);
        if line.is_empty() || depth == MOST_INTERPRETERS {
            return Err(NotFound::WrongFormat(path.to_owned()));
        }
        let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let mut found = self.executable_at(interpreter, cwd, depth + 1).map_err(|_| missing())?;
        if found.args.is_empty() {
            found.args.push(interpreter.to_owned());
        }
        let argument = argument.trim();
        found.args.extend((!argument.is_empty()).then(|| argument.to_owned()));
        found.args.push(path.to_owned());
        Ok(Executable { path: path.to_owned(), ..found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Disk, Mount};
    use crate::{Files, Image, Process, User};

    #[test]
    fn a_script_is_run_by_who_its_first_line_says() {
        let root = tempfile::tempdir().unwrap();
        let mount = Mount { at: "/".into(), source: root.path().into(), lower: None, read_only: false };
        let files = Files::new(vec![mount], User::default(), Arc::new(Disk::default()));
        let image = Image::new().program("/bin/sh", |_: Process| async { 0 });
        let container = Container { files, programs: image.programs, ..Container::native() };
        let files = &container.files;
        for (name, content, mode) in [
            ("/run", "#!/bin/sh -e\nexit 1\n", 0o755),
            ("/again", "#! /run\n", 0o755),
            ("/plain", "#!/bin/sh\n", 0o644),
            ("/lost", "#!/bin/bash\n", 0o755),
            ("/text", "exit 1\n", 0o755),
        ] {
            files.write(name, content).unwrap();
            files.set_mode(name, mode).unwrap();
        }
        files.symlink("/bin/sh", "/link").unwrap();
        let root = Path::new("/");
        let args =
            |command: &str| container.executable(command, root, None).map(|found| found.args).map_err(|error| error.to_string());
        assert_eq!(args("sh").unwrap(), [] as [&str; 0]);
        assert_eq!(args("./link").unwrap(), [] as [&str; 0]);
        assert_eq!(args("./run").unwrap(), ["/bin/sh", "-e", "./run"]);
        assert_eq!(args("/again").unwrap(), ["/bin/sh", "-e", "/run", "/again"]);
        assert_eq!(args("/plain").unwrap_err(), r#"exec: "/plain": permission denied"#);
        assert_eq!(args("/lost").unwrap_err(), r#"exec: "/lost": stat /lost: no such file or directory"#);
        assert_eq!(args("/text").unwrap_err(), "exec /text: exec format error");
        let script = container.executable("./run", root, None).unwrap();
        assert_eq!(script.command(vec!["./run".to_owned(), "x".to_owned()]), ["/bin/sh", "-e", "./run", "x"]);
        let program = container.executable("sh", root, None).unwrap();
        assert_eq!(program.command(vec!["sh".to_owned(), "x".to_owned()]), ["sh", "x"]);
        assert_eq!(args("text").unwrap_err(), r#"exec: "text": executable file not found in $PATH"#);
    }
}
