//! Words to what they mean: parameters, substitutions, arithmetic, fields, file names.
//!
//! What has been expanded so far is kept as a pattern in which all that was quoted is escaped, so that it can still become a list of
//! files, the pattern of a `case`, or plain text.

use futures::FutureExt;
use futures::future::BoxFuture;
use k3s_arc_container::Output;
use tokio::io::AsyncReadExt;

use super::ast::{Change, List, Part, Unset, Word};
use super::pattern::{escape, is_special, unescape};
use super::{Fd, Leave, Shell, arithmetic, matches};
use crate::held::Held;
use crate::streams::CHUNK;

/// The fields that words become.
#[derive(Debug, Default)]
struct Fields {
    done: Vec<String>,
    current: Option<String>,
}

/// How a word is to be expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
struct How {
    /// What it expands to is split at the characters of `$IFS`.
    split: bool,
    /// Its own text is, too: it is itself part of an expansion.
    text_too: bool,
    /// A `~` is a home after a `:`, too.
    assignment: bool,
}

const FIELDS: How = How { split: true, text_too: false, assignment: false };
const WHOLE: How = How { split: false, text_too: false, assignment: false };

impl Fields {
    fn current(&mut self) -> &mut String {
        self.current.get_or_insert_default()
    }

    fn end(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Adds text that is split where it has one of those characters.
    fn split(&mut self, text: &str, separators: &str) {
        let mut after_blank = false;
        for character in text.chars() {
            let separates = separators.contains(character);
            if separates && character.is_ascii_whitespace() {
                after_blank |= self.current.is_some();
                self.end();
            } else if separates {
                if !after_blank {
                    self.current();
                }
                self.end();
                after_blank = false;
            } else {
                after_blank = false;
                if character == '\\' {
                    self.current().push('\\');
                }
                self.current().push(character);
            }
        }
    }
}

/// Text that is not quoted, as a pattern: its backslashes mean themselves.
fn unquoted(text: &str) -> String {
    text.replace('\\', "\\\\")
}

impl Shell {
    /// The words of a command: fields, and the files that they describe.
    pub(super) async fn words(&mut self, words: &[Word]) -> Result<Vec<String>, Leave> {
        let mut all = Vec::new();
        for word in words {
            let mut fields = Fields::default();
            self.expand(word, FIELDS, &mut fields).await?;
            fields.end();
            for field in fields.done {
                let found = if !self.options.noglob && is_special(&field) { self.view().glob(&field) } else { Vec::new() };
                if found.is_empty() { all.push(unescape(&field)) } else { all.extend(found) }
            }
        }
        Ok(all)
    }

    async fn whole(&mut self, word: &Word, how: How) -> Result<String, Leave> {
        let mut fields = Fields::default();
        self.expand(word, how, &mut fields).await?;
        Ok(fields.current.unwrap_or_default())
    }

    /// A word as one text.
    pub(super) async fn single(&mut self, word: &Word) -> Result<String, Leave> {
        self.whole(word, WHOLE).await.map(|pattern| unescape(&pattern))
    }

    /// The value of an assignment.
    pub(super) async fn value(&mut self, word: &Word) -> Result<String, Leave> {
        self.whole(word, How { assignment: true, ..WHOLE }).await.map(|pattern| unescape(&pattern))
    }

    /// A word as a pattern.
    pub(super) async fn pattern(&mut self, word: &Word) -> Result<String, Leave> {
        self.whole(word, WHOLE).await
    }

    fn expand<'a>(&'a mut self, word: &'a Word, how: How, fields: &'a mut Fields) -> BoxFuture<'a, Result<(), Leave>> {
        async move {
            // Nothing is what "$@" becomes without parameters, and not an empty field.
            let vanishes = self.positional.is_empty()
                && word.0.iter().any(|part| matches!(part, Part::Parameter { name, quoted: true, .. } if name == "@"));
            for (index, part) in word.0.iter().enumerate() {
                match part {
                    Part::Text(text) => {
                        let text = self.home(text, index == 0, index + 1 == word.0.len(), how);
                        if how.text_too && how.split {
                            let separators = self.separators();
                            fields.split(&text, &separators);
                        } else {
                            fields.current().push_str(&text);
                        }
                    }
                    Part::Quoted(text) if text.is_empty() && vanishes => {}
                    Part::Quoted(text) => fields.current().push_str(&escape(text)),
                    Part::Parameter { name, change, quoted } => {
                        self.parameter(name, change, *quoted, how, fields).boxed().await?
                    }
                    Part::Command { list, quoted } => {
                        let text = self.substitute(list).boxed().await?;
                        self.add(&text, *quoted, how, fields);
                    }
                    Part::Arithmetic { expression, quoted } => {
                        let text = self.single(expression).await?;
                        let value = self.calculate(&text).await?;
                        self.add(&value.to_string(), *quoted, how, fields);
                    }
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn separators(&self) -> String {
        self.variables.get("IFS").unwrap_or(" \t\n").to_owned()
    }

    /// Adds what something expanded to.
    fn add(&self, text: &str, quoted: bool, how: How, fields: &mut Fields) {
        if quoted {
            fields.current().push_str(&escape(text));
        } else if how.split {
            fields.split(text, &self.separators());
        } else {
            fields.current().push_str(&unquoted(text));
        }
    }

    /// Text with its `~`s replaced, as a pattern.
    fn home(&self, text: &str, first: bool, last: bool, how: How) -> String {
        let home = |rest: &str, last: bool| -> Option<String> {
            let (user, after) = match rest.split_once('/') {
                Some((user, _)) => (user, &rest[user.len()..]),
                None if last => (rest, ""),
                None => return None,
            };
            let home = match user {
                "" => self.variables.get("HOME")?.to_owned(),
                user => crate::users::User::named(&self.view(), user)?.home,
            };
            Some(escape(&home) + after)
        };
        if !text.contains('~') || how.text_too {
            return text.to_owned();
        }
        let mut pieces = Vec::new();
        let all: Vec<&str> = if how.assignment { text.split(':').collect() } else { vec![text] };
        for (index, piece) in all.iter().enumerate() {
            let start = index > 0 || first;
            let end = index + 1 < all.len() || last;
            let replaced = piece.strip_prefix('~').filter(|_| start).and_then(|rest| home(rest, end));
            pieces.push(replaced.unwrap_or_else(|| (*piece).to_owned()));
        }
        pieces.join(":")
    }

    /// A parameter's value.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(self.pid.to_string()),
            "#" => Some(self.positional.len().to_string()),
            "!" => self.last_background.map(|pid| pid.to_string()),
            "-" => Some(self.flags()),
            "0" => Some(self.name.clone()),
            "@" | "*" => (!self.positional.is_empty()).then(|| self.joined()),
            "LINENO" if self.variables.get(name).is_none() => Some(self.place.line.to_string()),
            "RANDOM" => Some(random().to_string()),
            _ => match name.parse::<usize>() {
                Ok(number) => self.positional.get(number.checked_sub(1)?).cloned(),
                Err(_) => self.variables.get(name).map(str::to_owned),
            },
        }
    }

    /// The positional parameters as one text.
    fn joined(&self) -> String {
        let separator: String = self.separators().chars().take(1).collect();
        self.positional.join(&separator)
    }

    async fn parameter(&mut self, name: &str, change: &Change, quoted: bool, how: How, fields: &mut Fields) -> Result<(), Leave> {
        if name.is_empty() {
            return Err(self.fail("syntax error: bad substitution").await);
        }
        let mut value = self.lookup(name);
        if let Change::Unset { what, colon, word } = change {
            let missing = value.as_ref().is_none_or(|value| *colon && value.is_empty());
            let inner = How { text_too: !quoted, assignment: false, ..how };
            match what {
                Unset::Alternative if missing => return Ok(()),
                Unset::Alternative => return self.expand(word, inner, fields).await,
                _ if !missing => {}
                Unset::Default => return self.expand(word, inner, fields).await,
                Unset::Assign => {
                    let new = self.single(word).await?;
                    self.assign(name, new.clone()).await?;
                    value = Some(new);
                }
                Unset::Complain => {
                    let message = match word.0.is_empty() {
                        true if *colon => "parameter not set or null".to_owned(),
                        true => "parameter not set".to_owned(),
                        false => self.single(word).await?,
                    };
                    return Err(self.fail(format!("{name}: {message}")).await);
                }
            }
        } else if value.is_none() && self.options.nounset && !matches!(name, "@" | "*") {
            return Err(self.fail(format!("{name}: parameter not set")).await);
        }
        if matches!(name, "@" | "*") && matches!(change, Change::None | Change::Unset { .. }) {
            self.add_positional(name, quoted, how, fields);
            return Ok(());
        }
        let value = self.changed(value.unwrap_or_default(), name, change).await?;
        self.add(&value, quoted, how, fields);
        Ok(())
    }

    /// Adds `$@` or `$*`.
    fn add_positional(&self, name: &str, quoted: bool, how: How, fields: &mut Fields) {
        if !how.split || (quoted && name == "*") {
            let text = if name == "@" { self.positional.join(" ") } else { self.joined() };
            return self.add(&text, quoted, How { split: false, ..how }, fields);
        }
        for (index, value) in self.positional.iter().enumerate() {
            if index > 0 {
                fields.end();
            }
            self.add(value, quoted, how, fields);
        }
    }

    async fn changed(&mut self, value: String, name: &str, change: &Change) -> Result<String, Leave> {
        let characters = || value.chars().collect::<Vec<_>>();
        let text = |characters: &[char]| characters.iter().collect::<String>();
        Ok(match change {
            Change::None | Change::Unset { .. } => value,
            Change::Length if matches!(name, "@" | "*") => self.positional.len().to_string(),
            Change::Length => value.chars().count().to_string(),
            Change::Prefix { pattern, longest } => {
                let pattern: Vec<char> = self.pattern(pattern).await?.chars().collect();
                let value = characters();
                let mut ends: Box<dyn Iterator<Item = usize> + Send> = Box::new(0..=value.len());
                if *longest {
                    ends = Box::new((0..=value.len()).rev());
                }
                let cut = ends.into_iter().find(|end| matches(&pattern, &value[..*end])).unwrap_or(0);
                text(&value[cut..])
            }
            Change::Suffix { pattern, longest } => {
                let pattern: Vec<char> = self.pattern(pattern).await?.chars().collect();
                let value = characters();
                let mut starts: Box<dyn Iterator<Item = usize> + Send> = Box::new((0..=value.len()).rev());
                if *longest {
                    starts = Box::new(0..=value.len());
                }
                let cut = starts.into_iter().find(|start| matches(&pattern, &value[*start..])).unwrap_or(value.len());
                text(&value[..cut])
            }
            Change::Replace { pattern, with, all } => {
                let pattern: Vec<char> = self.pattern(pattern).await?.chars().collect();
                let with = self.single(with).await?;
                replace(&characters(), &pattern, &with, *all)
            }
            Change::Slice { offset, length } => {
                let value = characters();
                let count = i64::try_from(value.len()).unwrap_or(i64::MAX);
                let offset = self.single(offset).await?;
                let offset = self.calculate(&offset).await?;
                let from = if offset < 0 { (count + offset).max(0) } else { offset.min(count) };
                if offset < -count {
                    return Ok(String::new());
                }
                let to = match length {
                    None => count,
                    Some(length) => {
                        let length = self.single(length).await?;
                        let length = self.calculate(&length).await?;
                        if length < 0 { count + length } else { from.saturating_add(length).min(count) }
                    }
                };
                let index = |at: i64| usize::try_from(at).unwrap_or(0);
                if to > from { text(&value[index(from)..index(to)]) } else { String::new() }
            }
        })
    }

    /// The value of an arithmetic expression.
    pub(super) async fn calculate(&mut self, text: &str) -> Result<i64, Leave> {
        match arithmetic::evaluate(text, self) {
            Ok(value) => Ok(value),
            Err(fault) => Err(self.fail(fault).await),
        }
    }

    /// What commands print, without the newlines at its end.
    async fn substitute(&mut self, list: &List) -> Result<String, Leave> {
        let (writer, mut reader) = Output::pipe();
        let mut child = self.try_fork().await?;
        child.fds.insert(1, Fd { source: None, sink: Some(writer) });
        let running = async move {
            let ended = child.list(list).await;
            child.finish(ended).await
        };
        let mut held = Held::new(&self.container.memory);
        let reading = async {
            let mut text = Vec::new();
            let mut buffer = vec![0; CHUNK];
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                text.extend_from_slice(&buffer[..read]);
                held.cover(text.len()).await.map_err(|_| ())?;
            }
            Ok(text)
        };
        let (status, text) = self.during(futures::future::join(running, reading)).await;
        self.substituted = Some(status);
        let Ok(text): Result<Vec<u8>, ()> = text else { return Err(self.fail("out of memory").await) };
        let text = String::from_utf8_lossy(&text).replace('\0', "");
        Ok(text.trim_end_matches('\n').to_owned())
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() % 32768
}

/// A text in which what a pattern describes is replaced: as long a match as there is, from the left.
fn replace(value: &[char], pattern: &[char], with: &str, all: bool) -> String {
    let (anchor, pattern) = match pattern.first() {
        Some('#') => (Some('#'), &pattern[1..]),
        Some('%') => (Some('%'), &pattern[1..]),
        _ => (None, pattern),
    };
    let mut out = String::new();
    let mut at = 0;
    while at <= value.len() {
        let longest = (at + 1..=value.len()).rev().find(|end| {
            let anchored = match anchor {
                Some('#') => at == 0,
                Some(_) => *end == value.len(),
                None => true,
            };
            anchored && matches(pattern, &value[at..*end])
        });
        match longest {
            Some(end) if !pattern.is_empty() => {
                out.push_str(with);
                at = end;
                if !all {
                    break;
                }
            }
            _ => {
                out.extend(value.get(at));
                at += 1;
            }
        }
    }
    out.extend(value.get(at..).unwrap_or_default());
    out
}

impl arithmetic::Variables for Shell {
    fn get(&self, name: &str) -> Option<String> {
        self.lookup(name)
    }

    fn set(&mut self, name: &str, value: i64) -> Result<(), String> {
        Shell::set(self, name, value.to_string()).map_err(|error| format!("{}: is read only", error.0))
    }
}
