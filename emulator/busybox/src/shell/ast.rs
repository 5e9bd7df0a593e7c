//! What a script says.

use std::sync::{Arc, OnceLock};

/// Commands one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct List(pub(super) Vec<Item>);

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) what: Arc<AndOr>,
    pub(super) background: bool,
}

/// Pipelines, each of which depends on how the one before it ended.
#[derive(Debug)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Connector, Pipeline)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    And,
    Or,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) kind: Kind,
    pub(super) redirects: Vec<Redirect>,
    pub(super) line: u32,
}

#[derive(Debug)]
pub(super) enum Kind {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    Loop { until: bool, condition: List, body: List },
    For { name: String, words: Option<Vec<Word>>, body: List },
    Case { word: Word, arms: Vec<Arm> },
    Function { name: String, body: Arc<Command> },
}

/// One `pattern | pattern) commands ;;`.
#[derive(Debug)]
pub(super) struct Arm {
    pub(super) patterns: Vec<Word>,
    pub(super) body: List,
}

#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub(super) fd: Option<u32>,
    pub(super) kind: RedirectKind,
}

#[derive(Debug, Clone)]
pub(super) enum RedirectKind {
    /// `<`
    Read(Word),
    /// `>`, and `>|` when `clobber`
    Write { file: Word, clobber: bool },
    /// `>>`
    Append(Word),
    /// `<>`
    ReadWrite(Word),
    /// `<&` and `>&`
    Duplicate(Word),
    /// `&>`
    Both(Word),
    /// `<<`: its text is read after the line that it is on.
    Here(Arc<OnceLock<Word>>),
}

/// A word, as far as it can be known before it is expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) Vec<Part>);

#[derive(Debug, Clone)]
pub(super) enum Part {
    /// As it stands there, open to globs and tildes.
    Text(String),
    /// As it was quoted.
    Quoted(String),
    Parameter {
        name: String,
        change: Change,
        quoted: bool,
    },
    Command {
        list: Arc<List>,
        quoted: bool,
    },
    Arithmetic {
        expression: Word,
        quoted: bool,
    },
}

/// Trees of commands are not compared.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) | (Self::Quoted(one), Self::Quoted(two)) => one == two,
            _ => false,
        }
    }
}

impl Eq for Part {}

/// What is done to a parameter's value.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// `$x`
    None,
    /// `${#x}`
    Length,
    /// `${x:-word}` and its kin; without the colon an empty value is one.
    Unset { what: Unset, colon: bool, word: Word },
    /// `${x#pattern}`
    Prefix { pattern: Word, longest: bool },
    /// `${x%pattern}`
    Suffix { pattern: Word, longest: bool },
    /// `${x/pattern/with}`
    Replace { pattern: Word, with: Word, all: bool },
    /// `${x:offset:length}`
    Slice { offset: Word, length: Option<Word> },
}

/// What is done where there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unset {
    /// `-`
    Default,
    /// `=`
    Assign,
    /// `?`
    Complain,
    /// `+`: what is done where there is one.
    Alternative,
}

impl Word {
    /// A word that means itself.
    pub(super) fn quoted(text: impl Into<String>) -> Self {
        Self(vec![Part::Quoted(text.into())])
    }

    /// Its text, if it is nothing but unquoted text.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether nothing of it is quoted, so that it can be a keyword or a name.
    pub(super) fn is_quoted(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Quoted(_)))
    }

    pub(super) fn push_text(&mut self, character: char) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.push(character),
            _ => self.0.push(Part::Text(character.into())),
        }
    }

    pub(super) fn push_quoted(&mut self, character: char) {
        match self.0.last_mut() {
            Some(Part::Quoted(text)) => text.push(character),
            _ => self.0.push(Part::Quoted(character.into())),
        }
    }

    /// Something was quoted, if only nothing.
    pub(super) fn mark_quoted(&mut self) {
        if !matches!(self.0.last(), Some(Part::Quoted(_))) {
            self.0.push(Part::Quoted(String::new()));
        }
    }
}
