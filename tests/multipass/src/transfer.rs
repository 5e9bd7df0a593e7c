//! `transfer`: files into a machine and out of it, as its user, with the modes they have.

use std::{io::Write as _, path::Path, process::Stdio};

use crate::{
    docker,
    exec::{self, USER},
    failure::Failure,
    faults::Faults,
    lifecycle,
};

/// One side of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// `-`.
    Stream,
    /// On this host.
    Local(String),
    /// In the machine of this name.
    Remote(String, String),
}

impl End {
    /// Of `name:path`; a Windows path's drive is no machine.
    fn read(text: &str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        let mut start = text.chars();
        let is_windows = start.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && start.as_str().starts_with(":\\");
        match text.split_once(':') {
            Some((name, path)) if !is_windows => {
                Self::Remote(name.to_owned(), if path.is_empty() { "." } else { path }.to_owned())
            }
            _ => Self::Local(text.to_owned()),
        }
    }
}

/// Copies what all paths but the last name to the last.
pub(crate) fn transfer(paths: &[String], recursive: bool, parents: bool) -> Result<(), Failure> {
    let mut ends: Vec<End> = paths.iter().map(|path| End::read(path)).collect();
    let wrong = |text: &str| Err(Failure::CommandLine(text.to_owned()));
    let Some(target) = ends.pop() else { return wrong("Not enough arguments given") };
    let streams = ends.iter().filter(|end| **end == End::Stream).count() + usize::from(target == End::Stream);
    if streams > 1 {
        return wrong("Only one '-' allowed");
    }
    if streams == 1 && ends.len() > 1 {
        return wrong("Only two arguments allowed when using '-'");
    }
    for source in ends {
        match (source, &target) {
            (End::Remote(..), End::Remote(..)) => {
                return wrong("Cannot specify an instance name for both source and destination");
            }
            (End::Remote(name, path), End::Local(to)) => pull(&Side::of(&name)?, &path, Path::new(to), recursive)?,
            (End::Remote(name, path), End::Stream) => {
                let contents = Side::of(&name)?.read(&path)?;
                std::io::stdout()
                    .write_all(&contents)
                    .map_err(|error| failed(format!("cannot write to standard output: {error}")))?;
            }
            (End::Local(path), End::Remote(name, to)) => push(&Side::of(name)?, Path::new(&path), to, recursive, parents)?,
            (End::Stream, End::Remote(name, to)) => {
                // By this process's own standard input: what is transferred so may be larger than memory.
                Side::of(name)?.write(to, Stdio::inherit(), 0o664, parents)?;
            }
            (End::Stream, _) => return wrong("Target must be inside an instance"),
            (End::Local(_), End::Stream) => return wrong("Source must be from inside an instance"),
            (End::Local(_), End::Local(_)) => return wrong("An instance name is needed for either source or destination"),
        }
    }
    Ok(())
}

/// As `src/ssh/sftp_client.cpp` logs it.
fn failed(text: String) -> Failure {
    Failure::Client { text: format!("[error] [sftp] {text}"), code: 2 }
}

fn push(side: &Side, source: &Path, target: &str, recursive: bool, parents: bool) -> Result<(), Failure> {
    let shown = source.display();
    let name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let metadata = source.metadata().map_err(|_| failed(format!("cannot access \"{shown}\": No such file or directory")))?;
    let target = if side.is_directory(target) { format!("{}/{name}", target.trim_end_matches('/')) } else { target.to_owned() };
    if !metadata.is_dir() {
        let contents =
            std::fs::File::open(source).map_err(|error| failed(format!("cannot open local file \"{shown}\": {error}")))?;
        return side.write(&target, contents.into(), mode(&metadata), parents);
    }
    if !recursive {
        return Err(failed(format!("omitting local directory \"{shown}\": recursive mode not specified")));
    }
    side.run(&["mkdir", if parents { "-p" } else { "--" }, &target], &format!("cannot create remote directory \"{target}\""))?;
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    let archive = archive.append_dir_all(".", source).and_then(|()| archive.into_inner());
    let archive = archive.map_err(|error| failed(format!("cannot read from local directory \"{shown}\": {error}")))?;
    let arguments = ["exec", "-i", "--user", USER, "--workdir", "/home/ubuntu", &side.container, "tar", "-x", "-C", &target];
    docker::feed(arguments, &archive)
        .map(drop)
        .map_err(|error| failed(format!("cannot write to remote file \"{target}\": {error}")))
}

fn pull(side: &Side, source: &str, target: &Path, recursive: bool) -> Result<(), Failure> {
    let name = Path::new(source).file_name().map(ToOwned::to_owned).unwrap_or_default();
    let target = if target.is_dir() { target.join(&name) } else { target.to_owned() };
    let shown = target.display();
    if !side.is_directory(source) {
        let contents = side.read(source)?;
        return std::fs::write(&target, contents).map_err(|error| failed(format!("cannot open local file \"{shown}\": {error}")));
    }
    if !recursive {
        return Err(failed(format!("omitting remote directory \"{source}\": recursive mode not specified")));
    }
    let archive =
        side.output(&["tar", "-c", "-C", source, "."]).map_err(|text| failed(format!("cannot read \"{source}\": {text}")))?;
    tar::Archive::new(archive.as_slice())
        .unpack(&target)
        .map_err(|error| failed(format!("cannot create local directory \"{shown}\": {error}")))
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o644
}

/// The machine's side.
struct Side {
    container: String,
}

impl Side {
    fn of(name: &str) -> Result<Self, Failure> {
        let machine = lifecycle::operative(name, &Faults::asked()?)?;
        exec::reach(&machine)?;
        Ok(Self { container: machine.container })
    }

    fn arguments<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["exec", "--user", USER, "--workdir", "/home/ubuntu", &self.container];
        arguments.extend(command);
        arguments
    }

    /// What a command prints, or what it says went wrong.
    fn output(&self, command: &[&str]) -> Result<Vec<u8>, String> {
        let output = docker::command(self.arguments(command)).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(said) }
    }

    fn run(&self, command: &[&str], attempted: &str) -> Result<(), Failure> {
        self.output(command).map(drop).map_err(|said| failed(format!("{attempted}: {}", reason(&said))))
    }

    fn is_directory(&self, path: &str) -> bool {
        self.output(&["test", "-d", path]).is_ok()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.output(&["cat", "--", path]).map_err(|said| failed(format!("cannot open remote file \"{path}\": {}", reason(&said))))
    }

    fn write(&self, path: &str, contents: Stdio, mode: u32, parents: bool) -> Result<(), Failure> {
        if parents && let Some(parent) = Path::new(path).parent().and_then(Path::to_str).filter(|parent| !parent.is_empty()) {
            self.run(&["mkdir", "-p", parent], &format!("cannot create remote directory \"{parent}\""))?;
        }
        let script = format!("cat >\"$0\" && chmod {mode:o} \"$0\"");
        let mut arguments = self.arguments(&["sh", "-c", &script, path]);
        arguments.insert(1, "-i");
        let output = docker::command(arguments).stdin(contents).stderr(Stdio::piped()).output();
        let output = output.map_err(|error| Failure::Fake(format!("docker cannot be run: {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        output
            .status
            .success()
            .then_some(())
            .ok_or_else(|| failed(format!("cannot open remote file \"{path}\": {}", reason(&said))))
    }
}

/// What SFTP makes of an operating system's error.
fn reason(said: &str) -> &'static str {
    match said {
        said if said.contains("Permission denied") => "Permission denied",
        said if said.contains("No space left") => "Failure",
        _ => "No such file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_where_it_is() {
        assert_eq!(End::read("-"), End::Stream);
        assert_eq!(End::read("box:/tmp/a:b"), End::Remote("box".to_owned(), "/tmp/a:b".to_owned()));
        assert_eq!(End::read("box:"), End::Remote("box".to_owned(), ".".to_owned()));
        assert_eq!(End::read("./k3s"), End::Local("./k3s".to_owned()));
        assert_eq!(End::read("C:\\k3s"), End::Local("C:\\k3s".to_owned()));
    }

    #[test]
    fn a_transfer_of_nothing_into_nothing_is_a_wrong_command_line() {
        let told = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
            transfer(&paths, false, false).unwrap_err().told_by("transfer")
        };
        assert_eq!(told(&["-", "-"]), "Only one '-' allowed\n");
        assert_eq!(told(&["a", "b"]), "An instance name is needed for either source or destination\n");
        assert_eq!(told(&["-", "b"]), "Target must be inside an instance\n");
        assert_eq!(told(&["a:x", "b:y"]), "Cannot specify an instance name for both source and destination\n");
    }
}
