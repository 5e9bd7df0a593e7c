//! Calls of the `multipass` command: each has a time limit, and what a failed one printed is in its error.
//!
//! What goes in, goes through a pipe: Multipass from the Snap Store is confined to the user's home and cannot read files in `/tmp`
//! (<https://canonical.com/multipass/docs/stable/how-to-guides/troubleshoot/>), and its commands take `-` for standard input.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    fs::File,
    io::{AsyncWriteExt, copy},
    process::{ChildStdin, Command},
    time::timeout,
};

/// The command's name.
const NAME: &str = "multipass";

/// Where its packages put it, for who has another `PATH` than the user: the process that removes what a run made, or a service.
const PLACES: [&str; 5] = [
    "/snap/bin/multipass",
    "/usr/local/bin/multipass",
    "/opt/homebrew/bin/multipass",
    "/Library/Application Support/com.canonical.multipass/bin/multipass",
    "/var/lib/snapd/snap/bin/multipass",
];

/// How a command that lost its connection to a VM ends, as that of OpenSSH does; Multipass, `include/multipass/cli/return_codes.h`.
const CONNECTION_LOST: i32 = 255;
/// How a command ends that Multipass refused.
const REFUSED: [i32; 3] = [1, 2, 3];

/// The `multipass` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Multipass {
    program: PathBuf,
}

/// What is written to a command's standard input.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// A file's content, which may be of gigabytes.
    File(&'a Path),
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// Nothing, if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It could not be started.
    #[error("`{command}` could not be started")]
    NotStarted {
        /// The whole command line.
        command: String,
        /// What came back.
        source: io::Error,
    },
    /// What it was to be given could not be read, or it did not take it.
    #[error("`{command}` was not given its input")]
    Input {
        /// The whole command line.
        command: String,
        /// What came back.
        source: io::Error,
    },
    /// It did not end in time, and was ended.
    #[error("`{command}` had no end after {} s", .after.as_secs())]
    Silent {
        /// The whole command line.
        command: String,
        /// How long it was given.
        after: Duration,
    },
    /// It failed.
    #[error("`{command}` ended with {}: {output}", .code.map_or_else(|| "a signal".to_owned(), |code| code.to_string()))]
    Failed {
        /// The whole command line.
        command: String,
        /// Its exit code.
        code: Option<i32>,
        /// What it printed.
        output: String,
    },
}

impl CallError {
    /// Whether what it printed has one of these texts.
    pub(super) fn says(&self, texts: &[&str]) -> bool {
        matches!(self, Self::Failed { output, .. } if texts.iter().any(|text| output.contains(text)))
    }
}

impl Multipass {
    /// The one that this process finds: by `PATH`, else where packages put it.
    pub(super) fn find() -> Option<Self> {
        Self::find_by(std::env::var_os("PATH"))
    }

    fn find_by(path: Option<OsString>) -> Option<Self> {
        let on_path = path.iter().flat_map(std::env::split_paths).map(|directory| directory.join(NAME));
        let mut programs = on_path.chain(PLACES.map(PathBuf::from));
        programs.find(|program| program.is_absolute() && program.is_file()).map(Self::at)
    }

    /// The one in this place.
    pub(super) fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Where it is.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// What a call prints, which must succeed.
    pub(super) async fn run(&self, arguments: &[&str], input: Input<'_>, limit: Duration) -> Result<Vec<u8>, CallError> {
        let output = self.call(arguments, input, limit).await?;
        match output.code {
            Some(0) => Ok(output.stdout),
            code => Err(CallError::Failed { command: written(arguments), code, output: output.all() }),
        }
    }

    /// A call, however it ends.
    pub(super) async fn call(&self, arguments: &[&str], input: Input<'_>, limit: Duration) -> Result<Output, CallError> {
        let command = || written(arguments);
        let mut child = Command::new(&self.program)
            .args(arguments)
            // A directory that is mounted in a VM, or gone, would change what commands do in it.
            .current_dir("/")
            // Ctrl-C is for this process, which then has calls of its own to make.
            .process_group(0)
            .kill_on_drop(true)
            .stdin(if matches!(input, Input::Nothing) { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| CallError::NotStarted { command: command(), source })?;
        let stdin = child.stdin.take();
        let work = async { tokio::join!(feed(input, stdin), child.wait_with_output()) };
        let Ok((fed, ended)) = timeout(limit, work).await else {
            return Err(CallError::Silent { command: command(), after: limit });
        };
        let ended = ended.map_err(|source| CallError::NotStarted { command: command(), source })?;
        match fed {
            // One that failed did not read to the end, and says why itself.
            Err(source) if ended.status.success() || source.kind() != io::ErrorKind::BrokenPipe => {
                return Err(CallError::Input { command: command(), source });
            }
            _ => {}
        }
        let stderr = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        Ok(Output { code: ended.status.code(), stdout: ended.stdout, stderr })
    }
}

async fn feed(input: Input<'_>, stdin: Option<ChildStdin>) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match input {
        Input::Nothing => {}
        Input::Bytes(bytes) => stdin.write_all(bytes).await?,
        Input::File(path) => {
            copy(&mut File::open(path).await?, &mut stdin).await?;
        }
    }
    stdin.shutdown().await
}

impl Output {
    /// All that it printed; what is there for eyes alone (a spinner and its backspaces) left out.
    pub(super) fn all(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let lines = [stdout.as_ref(), self.stderr.as_str()];
        let lines = lines.map(without_escapes);
        let lines = lines.iter().flat_map(|text| text.split(['\n', '\r', '\u{8}'])).map(str::trim);
        lines.filter(|line| line.chars().any(char::is_alphanumeric)).collect::<Vec<_>>().join("\n")
    }

    /// Whether it is Multipass that failed in an `exec`, and not the command in the VM, whose exit codes it passes on.
    pub(super) fn is_multipasss_own(&self) -> bool {
        let by_code = self.code.is_some_and(|code| code == CONNECTION_LOST || REFUSED.contains(&code));
        // `exec` starts a VM that is stopped, and may fail in that.
        by_code && ["exec failed: ", "start failed: ", "info failed: "].iter().any(|own| self.stderr.contains(own))
    }
}

/// A text without what moves a terminal's cursor: <https://en.wikipedia.org/wiki/ANSI_escape_code#CSI>.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    // A sequence ends with its first letter.
    let rests = parts.map(|part| part.split_once(|end: char| end.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    rests.fold(first, |text, rest| text + "\n" + rest)
}

/// A command line, for people.
fn written(arguments: &[&str]) -> String {
    // Arguments in which there is a whole script would hide what the command is.
    let short = arguments.iter().map(|argument| argument.lines().next().unwrap_or_default());
    [NAME].into_iter().chain(short).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A `multipass` that is this shell script.
    pub(in crate::cluster::multipass) fn scripted(directory: &Path, script: &str) -> Multipass {
        let program = directory.join(NAME);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap_or_default();
        let _ = std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755));
        Multipass::at(program)
    }

    #[tokio::test]
    async fn what_a_failed_call_printed_is_in_its_error() {
        let directory = tempfile::tempdir().unwrap();
        let multipass = scripted(
            directory.path(),
            r"printf 'Starting a \b\bWaiting |\b\b\033[2K\033[0A\033[0E'; echo 'launch failed: no' >&2; exit 2",
        );
        let error = multipass.run(&["launch", "24.04"], Input::Nothing, LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), "`multipass launch 24.04` ended with 2: Starting a\nWaiting |\nlaunch failed: no");
        assert!(error.says(&["launch failed"]) && !error.says(&["exec failed"]));
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let multipass = scripted(directory.path(), &format!("echo $$ >{}; exec sleep 600", pid.display()));
        let error = multipass.run(&["info"], Input::Nothing, Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.to_string(), "`multipass info` had no end after 0 s");
        let pid = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        while crate::cluster::process::Process::of(pid).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_goes_in_goes_through_a_pipe_whole() {
        let directory = tempfile::tempdir().unwrap();
        let multipass = scripted(directory.path(), "[ -p /dev/stdin ] && wc -c");
        let file = directory.path().join("file");
        std::fs::write(&file, vec![7; 300_000]).unwrap();
        let count = multipass.run(&["transfer"], Input::File(&file), LIMIT).await.unwrap();
        assert_eq!(String::from_utf8(count).unwrap().trim(), "300000");
        let count = multipass.run(&["transfer"], Input::Bytes(b"four"), LIMIT).await.unwrap();
        assert_eq!(String::from_utf8(count).unwrap().trim(), "4");

        let deaf = scripted(directory.path(), "exec <&-; echo 'transfer failed: no space' >&2; exit 2");
        let error = deaf.run(&["transfer"], Input::File(&file), LIMIT).await.unwrap_err();
        assert!(error.says(&["no space"]), "{error}");
        let missing = scripted(directory.path(), "cat").run(&["transfer"], Input::File(Path::new("/no/such")), LIMIT).await;
        assert!(matches!(missing.unwrap_err(), CallError::Input { .. }));
    }

    #[test]
    fn what_failed_in_an_exec_is_told_apart() {
        let output = |code, stderr: &str| Output { code: Some(code), stdout: Vec::new(), stderr: stderr.to_owned() };
        assert!(output(2, "exec failed: instance \"x\" does not exist").is_multipasss_own());
        assert!(output(255, "exec failed: ssh connection failed").is_multipasss_own());
        assert!(!output(2, "ls: cannot access").is_multipasss_own());
        assert!(!output(7, "exec failed: that is what the command prints").is_multipasss_own());
    }

    #[test]
    fn it_is_found_on_the_path_and_no_relative_path_is_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let multipass = scripted(directory.path(), "");
        assert_eq!(Multipass::find_by(Some(directory.path().into())), Some(multipass));
        assert_ne!(Multipass::find_by(Some(".".into())), Some(Multipass::at("./multipass")));
    }
}
