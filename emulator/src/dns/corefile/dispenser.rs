//! Reads words one after the other, by lines and blocks (`caddyfile.Dispenser`).

use super::Token;

/// The words of a directive, and how far they were read.
#[derive(Debug)]
pub(in crate::dns) struct Dispenser<'a> {
    /// The Corefile's own name.
    pub(super) filename: &'a str,
    pub(super) tokens: Vec<Token>,
    /// One more than the index of the word that was read last.
    pub(super) read: usize,
    nesting: usize,
}

impl<'a> Dispenser<'a> {
    pub(in crate::dns) fn new(filename: &'a str, tokens: Vec<Token>) -> Self {
        Self { filename, tokens, read: 0, nesting: 0 }
    }

    fn at(&self) -> Option<&Token> {
        self.tokens.get(self.read.checked_sub(1)?)
    }

    /// The word that was read last.
    pub(in crate::dns) fn word(&self) -> &str {
        self.at().map_or("", |token| &token.text)
    }

    /// Reads a word.
    pub(in crate::dns) fn next(&mut self) -> bool {
        let more = self.read < self.tokens.len();
        self.read += usize::from(more);
        more
    }

    /// Whether the word at an index begins a line.
    fn begins_line(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1).and_then(|before| self.tokens.get(before)) else { return true };
        let Some(token) = self.tokens.get(index) else { return false };
        before.file != token.file || before.line + before.text.matches('\n').count() < token.line
    }

    pub(super) fn is_new_line(&self) -> bool {
        self.read < 2 || self.begins_line(self.read - 1)
    }

    /// Reads a word of the same line.
    pub(in crate::dns) fn next_argument(&mut self) -> bool {
        if self.read >= self.tokens.len() || (self.read > 0 && self.begins_line(self.read)) {
            return false;
        }
        self.next()
    }

    /// Reads a word of a block, if one opens here or is open.
    pub(in crate::dns) fn next_in_block(&mut self) -> bool {
        if self.nesting > 0 {
            if !self.next() {
                return false;
            }
            if self.word() == "}" {
                self.nesting -= 1;
                return false;
            }
            return true;
        }
        if !self.next_argument() {
            return false;
        }
        if self.word() != "{" {
            self.read -= 1;
            return false;
        }
        if !self.next() || self.word() == "}" {
            return false;
        }
        self.nesting += 1;
        true
    }

    /// The rest of the line, up to a block.
    pub(in crate::dns) fn arguments(&mut self) -> Vec<String> {
        let mut arguments = Vec::new();
        while self.next_argument() {
            if self.word() == "{" {
                self.read -= 1;
                break;
            }
            arguments.push(self.word().to_owned());
        }
        arguments
    }

    pub(super) fn file(&self) -> &str {
        self.at().map(|token| token.file.as_str()).filter(|file| !file.is_empty()).unwrap_or(self.filename)
    }

    fn line(&self) -> usize {
        self.at().map_or(0, |token| token.line)
    }

    pub(in crate::dns) fn error(&self, message: &str) -> String {
        format!("{}:{} - Error during parsing: {message}", self.file(), self.line())
    }

    /// An argument is missing, or one too many is there.
    pub(in crate::dns) fn argument_error(&self) -> String {
        if self.word() == "{" {
            return self.error("Unexpected token '{', expecting argument");
        }
        self.error(&format!("Wrong argument count or unexpected line ending after '{}'", self.word()))
    }

    pub(in crate::dns) fn unknown_property(&self) -> String {
        self.error(&format!("unknown property '{}'", self.word()))
    }

    /// What CoreDNS knows, and this one does not.
    pub(in crate::dns) fn not_emulated(&self) -> String {
        self.error(&format!("'{}' is not emulated", self.word()))
    }

    pub(in crate::dns) fn syntax_error(&self, expected: &str) -> String {
        let (file, line, word) = (self.file(), self.line(), self.word());
        format!("{file}:{line} - Syntax error: Unexpected token '{word}', expecting '{expected}'")
    }
}
