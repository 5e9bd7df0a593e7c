//! What all applets have: options, files to read, something to print to, and complaints in their name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;

use futures::future::BoxFuture;
use k3s_arc_container::files::Open;
use k3s_arc_container::{Input, Output, Process, Signals};

use crate::reason::reason;
use crate::streams::{Source, file_output};
use crate::view::{Opened, View};

/// An applet that ends before its end, with this exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop(pub(crate) i32);

/// How an applet ended.
pub(crate) type Ended = Result<i32, Stop>;

/// What an applet does.
pub(crate) type Run = fn(Applet) -> BoxFuture<'static, Ended>;

/// An applet, and how it is called.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) run: Run,
}

/// What is printed at a time.
const BUFFER: usize = 16 * 1024;

/// An applet that runs.
pub(crate) struct Applet {
    pub(crate) known: Known,
    /// Without its name.
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) view: View,
    pub(crate) stdin: Source,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) signals: Signals,
    buffer: Vec<u8>,
}

/// Options that were given, in their order, with their values.
pub(crate) struct Options(Vec<(char, String)>);

impl Options {
    pub(crate) fn has(&self, letter: char) -> bool {
        self.0.iter().any(|(known, _)| *known == letter)
    }

    /// The last value that was given.
    pub(crate) fn value(&self, letter: char) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| *known == letter).map(|(_, value)| value.as_str())
    }

    pub(crate) fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == letter).map(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = char> {
        self.0.iter().map(|(letter, _)| *letter)
    }
}

/// The version whose messages these are.
pub(crate) const VERSION: &str = "BusyBox v1.36.1 (emulated) multi-call binary.";

impl Applet {
    pub(crate) fn new(known: Known, args: Vec<String>, process: Process) -> Self {
        let view = View::of(&process);
        Self {
            known,
            args,
            env: process.env,
            view,
            stdin: Source::stream(process.stdin),
            stdout: process.stdout,
            stderr: process.stderr,
            signals: process.signals,
            buffer: Vec::new(),
        }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> i32 {
        match (self.known.run)(self).await {
            Ok(status) | Err(Stop(status)) => status,
        }
    }

    /// Prints something, though perhaps not yet.
    pub(crate) async fn put(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Stop> {
        self.buffer.extend_from_slice(bytes.as_ref());
        if self.buffer.len() >= BUFFER { self.flush().await } else { Ok(()) }
    }

    /// Prints a line.
    pub(crate) async fn line(&mut self, text: impl Display) -> Result<(), Stop> {
        self.put(format!("{text}\n")).await
    }

    /// Prints what was not printed yet.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        let bytes = std::mem::take(&mut self.buffer);
        if bytes.is_empty() {
            return Ok(());
        }
        match self.stdout.put(&bytes).await {
            Ok(()) => Ok(()),
            // SIGPIPE
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop(128 + 13)),
            Err(error) => Err(self.fail(format_args!("write error: {}", reason(&error)))),
        }
    }

    /// Prints the rest and ends.
    pub(crate) async fn end(&mut self, status: i32) -> Ended {
        self.flush().await?;
        Ok(status)
    }

    pub(crate) fn complain(&self, what: impl Display) {
        // There is nowhere left to complain about it.
        let _ = self.stderr.clone().write_all(format!("{}: {what}\n", self.known.name).as_bytes());
    }

    /// Complains, and ends.
    pub(crate) fn fail(&self, what: impl Display) -> Stop {
        self.complain(what);
        Stop(1)
    }

    /// Says how it is called, and ends.
    pub(crate) fn misused(&self) -> Stop {
        let text = format!("{VERSION}\n\nUsage: {} {}\n", self.known.name, self.known.usage);
        let _ = self.stderr.clone().write_all(text.as_bytes());
        Stop(1)
    }

    /// The options among the arguments, and the other arguments. Letters with a `:` take a value; a `+` in front says that options come
    /// before all else. Long options are given as pairs of name and letter.
    pub(crate) fn options(&self, known: &str, long: &[(&str, char)]) -> Result<(Options, Vec<String>), Stop> {
        let (first_only, known) = known.strip_prefix('+').map_or((false, known), |known| (true, known));
        let takes_value = |letter: char| known.find(letter).is_some_and(|at| known[at + letter.len_utf8()..].starts_with(':'));
        let (mut found, mut operands) = (Vec::new(), Vec::new());
        let mut left = self.args.iter();
        while let Some(arg) = left.next() {
            if arg == "--" {
                break;
            }
            if let Some(name) = arg.strip_prefix("--") {
                let (name, given) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
                let Some((_, letter)) = long.iter().find(|(known, _)| *known == name) else {
                    self.complain(format_args!("unrecognized option '--{name}'"));
                    return Err(self.misused());
                };
                let value = match given {
                    Some(value) => Some(value),
                    None if takes_value(*letter) => left.next().cloned(),
                    None => Some(String::new()),
                };
                let Some(value) = value else {
                    self.complain(format_args!("option '--{name}' requires an argument"));
                    return Err(self.misused());
                };
                found.push((*letter, value));
                continue;
            }
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                operands.push(arg.clone());
                if first_only {
                    break;
                }
                continue;
            };
            let mut characters = letters.chars();
            while let Some(letter) = characters.next() {
                if letter == ':' || !known.contains(letter) {
                    self.complain(format_args!("invalid option -- '{letter}'"));
                    return Err(self.misused());
                }
                if !takes_value(letter) {
                    found.push((letter, String::new()));
                    continue;
                }
                let rest = characters.as_str();
                let value = if rest.is_empty() { left.next().cloned() } else { Some(rest.to_owned()) };
                let Some(value) = value else {
                    self.complain(format_args!("option requires an argument -- '{letter}'"));
                    return Err(self.misused());
                };
                found.push((letter, value));
                break;
            }
        }
        operands.extend(left.cloned());
        Ok((Options(found), operands))
    }

    /// Opens a file to be read; `-` is standard input.
    pub(crate) fn open(&self, path: &str) -> std::io::Result<Input> {
        if path == "-" {
            return Ok(self.stdin.input());
        }
        match self.view.open(path, Open::READ)? {
            Opened::File(file) => Ok(Source::file(file).input()),
            Opened::Input(input) => Ok(Source::stream(input).input()),
            Opened::Own(0) => Ok(self.stdin.input()),
            Opened::Own(_) | Opened::Output(_) => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    /// The same; what is wrong is told as `x: ...`.
    pub(crate) fn open_or_warn(&self, path: &str) -> Option<Input> {
        self.open(path).inspect_err(|error| self.complain(format_args!("{path}: {}", reason(error)))).ok()
    }

    /// The same; what is wrong is told as `can't open 'x': ...`.
    pub(crate) fn open_or_complain(&self, path: &str) -> Option<Input> {
        self.open(path).inspect_err(|error| self.complain(format_args!("can't open '{path}': {}", reason(error)))).ok()
    }

    /// Opens something to be written.
    pub(crate) fn create(&self, path: &str, how: Open) -> std::io::Result<Output> {
        match self.view.open(path, how)? {
            Opened::File(file) => Ok(file_output(file)),
            Opened::Output(output) => Ok(output),
            Opened::Own(1) => Ok(self.stdout.clone()),
            Opened::Own(2) => Ok(self.stderr.clone()),
            Opened::Own(_) | Opened::Input(_) => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    /// A whole number, or the end.
    pub(crate) fn number<T: std::str::FromStr>(&self, text: &str) -> Result<T, Stop> {
        text.parse().map_err(|_| self.fail(format_args!("invalid number '{text}'")))
    }

    /// A number of bytes, with a suffix: `4k`, `1M`.
    pub(crate) fn size(&self, text: &str) -> Result<u64, Stop> {
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let factor = match &text[digits.len()..] {
            "" | "c" => 1,
            "w" => 2,
            "b" => 512,
            "kD" | "kB" | "KB" => 1000,
            "k" | "K" | "KiB" => 1024,
            "MD" | "MB" => 1_000_000,
            "m" | "M" | "MiB" => 1 << 20,
            "GD" | "GB" => 1_000_000_000,
            "g" | "G" | "GiB" => 1 << 30,
            _ => return Err(self.fail(format_args!("invalid number '{text}'"))),
        };
        let number: u64 = self.number(digits)?;
        number.checked_mul(factor).ok_or_else(|| self.fail(format_args!("invalid number '{text}'")))
    }
}
