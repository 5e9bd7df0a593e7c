//! `sed`: the commands that scripts of test pods use (`s p d q = a i c n y { }`), without hold space and labels.

use k3s_arc_container::files::Open;
use regex::bytes::Regex;

use super::grep::Lines;
use crate::applet::{Applet, Ended, Stop};
use crate::expression::{Syntax, compile};
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

struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    extended: bool,
    depth: u32,
    applet: &'a Applet,
}

impl Parser<'_> {
    fn fault(&self, what: &str) -> Stop {
        self.applet.fail(what)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&what) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Option<u64> {
        let from = self.at;
        self.skip(|next| next.is_ascii_digit());
        self.text[from..self.at].iter().collect::<String>().parse().ok()
    }

    /// Up to a delimiter, which may be escaped.
    fn delimited(&mut self, delimiter: char) -> Result<String, Stop> {
        let mut text = String::new();
        let mut in_bracket = false;
        loop {
            let Some(next) = self.peek() else { return Err(self.fault(&format!("unmatched '{delimiter}'"))) };
            self.at += 1;
            match next {
                _ if next == delimiter && !in_bracket => return Ok(text),
                '\\' => match self.peek() {
                    Some(escaped) if escaped == delimiter => {
                        self.at += 1;
                        text.push(delimiter);
                    }
                    Some(escaped) => {
                        self.at += 1;
                        text.push('\\');
                        text.push(escaped);
                    }
                    None => text.push('\\'),
                },
                other => {
                    in_bracket = match other {
                        '[' => true,
                        ']' => false,
                        _ => in_bracket,
                    };
                    text.push(other);
                }
            }
        }
    }

    fn expression(&self, text: &str, ignore_case: bool) -> Result<Regex, Stop> {
        let syntax = Syntax { extended: self.extended, ignore_case, ..Syntax::default() };
        compile(text, syntax).map_err(|why| self.fault(&format!("bad regex '{text}': {why}")))
    }

    fn address(&mut self) -> Result<Option<Address>, Stop> {
        match self.peek() {
            Some('$') => {
                self.at += 1;
                Ok(Some(Address::Last))
            }
            Some('/' | '\\') => {
                if self.peek() == Some('\\') {
                    self.at += 1;
                }
                let delimiter = self.peek().unwrap_or('/');
                self.at += 1;
                let text = self.delimited(delimiter)?;
                let ignore_case = self.peek() == Some('I');
                self.at += usize::from(ignore_case);
                Ok(Some(Address::Matching(self.expression(&text, ignore_case)?)))
            }
            Some('+') => {
                self.at += 1;
                Ok(Some(Address::More(self.number().unwrap_or(0))))
            }
            Some('0'..='9') => {
                let line = self.number().unwrap_or(0);
                if self.peek() == Some('~') {
                    self.at += 1;
                    return Ok(Some(Address::Every(line, self.number().unwrap_or(0))));
                }
                Ok(Some(Address::Line(line)))
            }
            _ => Ok(None),
        }
    }

    fn commands(&mut self) -> Result<Vec<Command>, Stop> {
        let mut commands = Vec::new();
        loop {
            self.skip(|next| next.is_whitespace() || next == ';');
            match self.peek() {
                None if self.depth > 0 => return Err(self.fault("unmatched '{'")),
                None => return Ok(commands),
                Some('}') if self.depth > 0 => {
                    self.at += 1;
                    return Ok(commands);
                }
                Some('#') => self.skip(|next| next != '\n'),
                Some(_) => commands.push(self.command()?),
            }
        }
    }

    fn command(&mut self) -> Result<Command, Stop> {
        let from = self.address()?;
        let mut to = None;
        self.skip(|next| next == ' ');
        if from.is_some() && self.peek() == Some(',') {
            self.at += 1;
            self.skip(|next| next == ' ');
            to = Some(self.address()?.ok_or_else(|| self.fault("no address after comma"))?);
        }
        self.skip(|next| next == ' ');
        let negated = self.peek() == Some('!');
        if negated {
            self.at += 1;
            self.skip(|next| next == ' ');
        }
        let Some(letter) = self.peek() else { return Err(self.fault("missing command")) };
        self.at += 1;
        let action = match letter {
            's' => self.substitute()?,
            'p' => Action::Print,
            'd' => Action::Delete,
            'q' => {
                self.skip(|next| next == ' ');
                Action::Quit(self.number().and_then(|code| i32::try_from(code).ok()).unwrap_or(0))
            }
            '=' => Action::Number,
            'n' => Action::Next,
            'a' => Action::Append(self.line()),
            'i' => Action::Insert(self.line()),
            'c' => Action::Change(self.line()),
            'y' => self.translate()?,
            '{' => {
                if self.depth > 20 {
                    return Err(self.fault("nested too deeply"));
                }
                self.depth += 1;
                let commands = self.commands()?;
                self.depth -= 1;
                return Ok(Command { from, to, negated, action: Action::Group(commands), begun: None });
            }
            other => return Err(self.fault(&format!("unsupported command {other}"))),
        };
        self.skip(|next| next == ' ');
        match self.peek() {
            None | Some(';' | '\n' | '}' | '#') => Ok(Command { from, to, negated, action, begun: None }),
            Some(_) => Err(self.fault("unknown option to s command")),
        }
    }

    /// The text of `a`, `i` and `c`: the rest of the line, or the next one after a backslash.
    fn line(&mut self) -> String {
        self.skip(|next| next == ' ');
        if self.peek() == Some('\\') {
            self.at += 1;
            self.skip(|next| next == ' ');
            self.at += usize::from(self.peek() == Some('\n'));
        }
        let mut text = String::new();
        while let Some(next) = self.peek().filter(|next| *next != '\n') {
            self.at += 1;
            match next {
                '\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                other => text.push(other),
            }
        }
        text
    }

    fn substitute(&mut self) -> Result<Action, Stop> {
        let Some(delimiter) = self.peek() else { return Err(self.fault("unterminated match")) };
        self.at += 1;
        let pattern = self.delimited(delimiter)?;
        let with = self.replacement(delimiter)?;
        let (mut all, mut which, mut print, mut ignore_case) = (false, 1, false, false);
        loop {
            match self.peek() {
                Some('g') => all = true,
                Some('p') => print = true,
                Some('i' | 'I') => ignore_case = true,
                Some('0'..='9') => {
                    which = self.number().and_then(|which| usize::try_from(which).ok()).unwrap_or(1).max(1);
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
        Ok(Action::Substitute { pattern: self.expression(&pattern, ignore_case)?, with, all, which, print })
    }

    fn replacement(&mut self, delimiter: char) -> Result<Vec<Piece>, Stop> {
        let mut pieces = vec![Piece::Text(Vec::new())];
        let text = |pieces: &mut Vec<Piece>, character: char| {
            if !matches!(pieces.last(), Some(Piece::Text(_))) {
                pieces.push(Piece::Text(Vec::new()));
            }
            if let Some(Piece::Text(text)) = pieces.last_mut() {
                text.extend(character.to_string().as_bytes());
            }
        };
        loop {
            let Some(next) = self.peek() else { return Err(self.fault(&format!("unmatched '{delimiter}'"))) };
            self.at += 1;
            match next {
                _ if next == delimiter => return Ok(pieces),
                '&' => pieces.push(Piece::Group(0)),
                '\\' => {
                    let Some(escaped) = self.peek() else { continue };
                    self.at += 1;
                    match escaped {
                        '0'..='9' => pieces.push(Piece::Group(escaped.to_digit(10).unwrap_or(0) as usize)),
                        'n' => text(&mut pieces, '\n'),
                        't' => text(&mut pieces, '\t'),
                        other => text(&mut pieces, other),
                    }
                }
                other => text(&mut pieces, other),
            }
        }
    }

    fn translate(&mut self) -> Result<Action, Stop> {
        let Some(delimiter) = self.peek() else { return Err(self.fault("unterminated match")) };
        self.at += 1;
        let (from, to) = (self.delimited(delimiter)?, self.delimited(delimiter)?);
        if from.chars().count() != to.chars().count() {
            return Err(self.fault("y command strings have different lengths"));
        }
        Ok(Action::Translate(from.chars().zip(to.chars()).collect()))
    }
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
            Address::Every(first, step) => space.number >= *first && (space.number - first) % step == 0,
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
    let mut commands = Parser { text: text.chars().collect(), at: 0, extended, depth: 0, applet: &applet }.commands()?;
    let quiet = options.has('n');
    let in_place = options.has('i');
    if words.is_empty() {
        words.push("-".to_owned());
    }
    let mut status = 0;
    let mut number = 0;
    let count = words.len();
    for (index, path) in words.iter().enumerate() {
        let mut input = match applet.open(path) {
            Ok(input) => input,
            Err(error) => {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                status = 1;
                continue;
            }
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
