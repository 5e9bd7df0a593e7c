//! `sed`: the commands that scripts of test pods use (`s p d q = a i c n y { }`), without hold space and labels.

mod parse;

use k3s_arc_container::files::Open;
use parse::Parser;
use regex::bytes::Regex;

use super::grep::Lines;
use crate::applet::{Applet, Ended, Stop};
use crate::reason::reason;

/// Which lines a command is for.
#[derive(Debug)]
enum Address {
    Line(u64),
    Last,
    Matching(Regex),
    /// So many lines from the start of the range on.
    More(u64),
    /// `first~step`
    Every(u64, u64),
}

#[derive(Debug)]
struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    /// Whether the range has begun, and where it ends if that is known.
    begun: Option<u64>,
}

#[derive(Debug)]
enum Action {
    Substitute { pattern: Regex, with: Vec<Piece>, all: bool, which: usize, print: bool },
    Print,
    Delete,
    Quit(i32),
    Number,
    Append(String),
    Insert(String),
    Change(String),
    Next,
    Translate(Vec<(char, char)>),
    Group(Vec<Command>),
}

/// A piece of a replacement.
#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    /// `&` and `\1`.
    Group(usize),
}

/// What becomes of a line.
#[derive(PartialEq, Eq)]
enum Fate {
    GoesOn,
    Deleted,
    Quits(i32),
    WantsNext,
}

/// A line that is edited.
struct Space {
    line: Vec<u8>,
    number: u64,
    is_last: bool,
    /// What is printed after it.
    after: Vec<String>,
}

impl Command {
    fn applies(&mut self, space: &Space) -> bool {
        let matches = |address: &Address| match address {
            Address::Line(line) => *line == space.number,
            Address::Last => space.is_last,
            Address::Matching(pattern) => pattern.is_match(&space.line),
            Address::Every(first, 0) => *first == space.number,
            Address::Every(first, step) => space.number >= *first && (space.number - first).is_multiple_of(*step),
            Address::More(_) => false,
        };
        let applies = match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => matches(from),
            (Some(from), Some(to)) => match self.begun {
                None if matches(from) => {
                    self.begun = match to {
                        Address::Line(line) if *line <= space.number => None,
                        Address::Line(line) => Some(*line),
                        Address::More(0) => None,
                        Address::More(more) => Some(space.number + more),
                        Address::Last if space.is_last => None,
                        _ => Some(u64::MAX),
                    };
                    true
                }
                None => false,
                Some(end) => {
                    if space.number >= end || (end == u64::MAX && matches(to)) {
                        self.begun = None;
                    }
                    true
                }
            },
        };
        applies != self.negated
    }
}

impl Action {
    fn run(&mut self, space: &mut Space, out: &mut Vec<u8>) -> Fate {
        match self {
            Self::Substitute { pattern, with, all, which, print } => {
                if substitute(pattern, with, *all, *which, &mut space.line) && *print {
                    out.extend_from_slice(&space.line);
                    out.push(b'\n');
                }
            }
            Self::Print => {
                out.extend_from_slice(&space.line);
                out.push(b'\n');
            }
            Self::Delete => return Fate::Deleted,
            Self::Quit(code) => return Fate::Quits(*code),
            Self::Number => out.extend(format!("{}\n", space.number).as_bytes()),
            Self::Append(text) => space.after.push(text.clone()),
            Self::Insert(text) => out.extend(format!("{text}\n").as_bytes()),
            Self::Change(text) => {
                out.extend(format!("{text}\n").as_bytes());
                return Fate::Deleted;
            }
            Self::Next => return Fate::WantsNext,
            Self::Translate(pairs) => {
                let line = String::from_utf8_lossy(&space.line).into_owned();
                let translated = |character| pairs.iter().find(|(from, _)| *from == character).map_or(character, |(_, to)| *to);
                space.line = line.chars().map(translated).collect::<String>().into_bytes();
            }
            Self::Group(_) => {}
        }
        Fate::GoesOn
    }
}

fn substitute(pattern: &Regex, with: &[Piece], all: bool, which: usize, line: &mut Vec<u8>) -> bool {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut replaced = false;
    for (index, found) in pattern.captures_iter(line).enumerate() {
        let Some(whole) = found.get(0) else { continue };
        if index + 1 < which {
            continue;
        }
        out.extend_from_slice(&line[copied..whole.start()]);
        for piece in with {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(number) => out.extend_from_slice(found.get(*number).map_or(b"", |group| group.as_bytes())),
            }
        }
        copied = whole.end();
        replaced = true;
        if !all {
            break;
        }
    }
    if replaced {
        out.extend_from_slice(&line[copied..]);
        *line = out;
    }
    replaced
}

/// Runs commands on a line; `next` is where to go on after `n`.
fn run(commands: &mut [Command], space: &mut Space, out: &mut Vec<u8>) -> Fate {
    for command in commands {
        if !command.applies(space) {
            continue;
        }
        let fate = match &mut command.action {
            Action::Group(commands) => run(commands, space, out),
            action => action.run(space, out),
        };
        if fate != Fate::GoesOn {
            return fate;
        }
    }
    Fate::GoesOn
}

pub(super) async fn sed(mut applet: Applet) -> Ended {
    let (options, mut words) =
        applet.options("nrEie:f:sz", &[("expression", 'e'), ("regexp-extended", 'E'), ("in-place", 'i')])?;
    let mut scripts: Vec<String> = options.values('e').map(str::to_owned).collect();
    for path in options.values('f') {
        let script = applet.view.files().read_to_string(applet.view.path(path));
        scripts.push(script.map_err(|error| applet.fail(format_args!("{path}: {}", reason(&error))))?);
    }
    if scripts.is_empty() {
        if words.is_empty() {
            return Err(applet.misused());
        }
        scripts.push(words.remove(0));
    }
    let text = scripts.join("\n");
    let extended = options.has('r') || options.has('E');
    let mut commands = Parser::new(&text, extended, &applet).commands()?;
    let quiet = options.has('n');
    let in_place = options.has('i');
    if words.is_empty() {
        words.push("-".to_owned());
    }
    let mut status = 0;
    let mut number = 0;
    let count = words.len();
    for (index, path) in words.iter().enumerate() {
        let Some(mut input) = applet.open_or_warn(path) else {
            status = 1;
            continue;
        };
        if in_place {
            number = 0;
        }
        let mut edit =
            Edit { quiet, number: &mut number, last_file: in_place || index + 1 == count, edited: in_place.then(Vec::new) };
        let quits = edit.file(&mut applet, &mut commands, &mut input).await?;
        if let Some(edited) = edit.edited {
            let written = applet.create(path, Open::CREATE);
            let written = match written {
                Ok(output) => output.put(&edited).await,
                Err(error) => Err(error),
            };
            written.map_err(|error| applet.fail(format_args!("{path}: {}", reason(&error))))?;
        }
        if let Some(code) = quits {
            return applet.end(code).await;
        }
    }
    applet.end(status).await
}

/// The editing of one file.
struct Edit<'a> {
    quiet: bool,
    number: &'a mut u64,
    last_file: bool,
    /// With `-i`: what the file becomes.
    edited: Option<Vec<u8>>,
}

impl Edit<'_> {
    async fn put(&mut self, applet: &mut Applet, bytes: &[u8]) -> Result<(), Stop> {
        match &mut self.edited {
            Some(edited) => {
                edited.extend_from_slice(bytes);
                Ok(())
            }
            None => applet.put(bytes).await,
        }
    }

    /// Returns the exit code if it quits.
    async fn file(
        &mut self,
        applet: &mut Applet,
        commands: &mut [Command],
        input: &mut k3s_arc_container::Input,
    ) -> Result<Option<i32>, Stop> {
        let failed = |applet: &Applet, error: std::io::Error| applet.fail(format_args!("read error: {}", reason(&error)));
        let mut lines = Lines::default();
        let mut next = lines.next_with_end(input).await.map_err(|error| failed(applet, error))?;
        // After `n`, the commands behind it are for the next line.
        let mut resume: Option<usize> = None;
        while let Some((line, whole)) = next {
            next = lines.next_with_end(input).await.map_err(|error| failed(applet, error))?;
            *self.number += 1;
            let is_last = next.is_none() && self.last_file;
            let mut space = Space { line, number: *self.number, is_last, after: Vec::new() };
            let mut out = Vec::new();
            let start = resume.take().unwrap_or(0);
            let mut fate = Fate::GoesOn;
            for (index, command) in commands.iter_mut().enumerate().skip(start) {
                fate = run(std::slice::from_mut(command), &mut space, &mut out);
                if fate == Fate::WantsNext {
                    resume = Some(index + 1);
                }
                if fate != Fate::GoesOn {
                    break;
                }
            }
            if !self.quiet && fate != Fate::Deleted {
                out.extend_from_slice(&space.line);
                if whole || next.is_some() {
                    out.push(b'\n');
                }
            }
            for text in space.after {
                out.extend(format!("{text}\n").as_bytes());
            }
            self.put(applet, &out).await?;
            if let Fate::Quits(code) = fate {
                return Ok(Some(code));
            }
        }
        Ok(None)
    }
}
