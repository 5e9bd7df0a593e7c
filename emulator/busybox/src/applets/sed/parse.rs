//! `sed`'s scripts.

use regex::bytes::Regex;

use super::{Action, Address, Command, Piece};
use crate::applet::{Applet, Stop};
use crate::expression::{Syntax, compile};

/// The commands of a script, one after the other.
pub(super) struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    extended: bool,
    depth: u32,
    applet: &'a Applet,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &str, extended: bool, applet: &'a Applet) -> Self {
        Self { text: text.chars().collect(), at: 0, extended, depth: 0, applet }
    }

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

    pub(super) fn commands(&mut self) -> Result<Vec<Command>, Stop> {
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
