//! Characters to tokens, as `man 1 ash` tells it: what is a word and where it ends, quotes, expansions, here-documents.
//!
//! The grammar and its complaints are busybox's own, so that a script which the real one refuses is refused here, in the same words
//! and after the same commands. What is nested too deeply is refused too: a script must not be able to use up the stack of a thread
//! that others share.

use std::sync::Arc;

use super::ast::{Change, Part, Unset, Word};
use super::parse::{Fault, Parser};

#[derive(Debug, Clone)]
pub(super) enum Token {
    /// A word, and how it was written.
    Word(Word),
    /// `&&`, `||`, `;;`, `;`, `&`, `|`, `(`, `)`.
    Operator(&'static str),
    /// A redirection, but for its target.
    Redirect(Option<u32>, &'static str),
    Newline,
    End,
}

/// The operators that are not redirections, the longest first.
const OPERATORS: [&str; 8] = ["&&", "||", ";;", ";", "&", "|", "(", ")"];
/// The redirections, the longest first.
const REDIRECTIONS: [&str; 9] = ["<<-", "<<", ">>", "<&", ">&", "<>", ">|", "<", ">"];

/// Where text stands, which says what is special in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// Between `"`s, or in `$(( ))`: `\` quotes few characters.
    Quotes,
    /// In a here-document: the same, but `"` means itself.
    Here,
}

impl Parser {
    pub(super) fn peek_char(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn next_char(&mut self) -> Option<char> {
        let next = self.peek_char()?;
        self.at += 1;
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    fn looking_at(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(index, wanted)| self.text.get(self.at + index) == Some(&wanted))
    }

    fn skip(&mut self, what: &str) -> bool {
        let here = self.looking_at(what);
        if here {
            self.at += what.chars().count();
        }
        here
    }

    /// Goes past lines that are continued.
    fn join_lines(&mut self) {
        while self.looking_at("\\\n") {
            self.at += 2;
            self.line += 1;
        }
    }

    /// The next token.
    pub(super) fn lex(&mut self) -> Result<Token, Fault> {
        loop {
            self.join_lines();
            match self.peek_char() {
                Some(' ' | '\t') => self.at += 1,
                Some('#') => {
                    while self.peek_char().is_some_and(|next| next != '\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        let Some(next) = self.peek_char() else { return Ok(Token::End) };
        if next == '\n' {
            self.next_char();
            self.read_here_documents()?;
            return Ok(Token::Newline);
        }
        if self.skip("&>") {
            return Ok(Token::Redirect(None, "&>"));
        }
        let digits = self.text[self.at..].iter().take_while(|next| next.is_ascii_digit()).count();
        if (1..3).contains(&digits) && matches!(self.text.get(self.at + digits), Some('<' | '>')) {
            let number: String = self.text[self.at..self.at + digits].iter().collect();
            self.at += digits;
            return Ok(Token::Redirect(number.parse().ok(), self.redirection()));
        }
        if matches!(next, '<' | '>') {
            return Ok(Token::Redirect(None, self.redirection()));
        }
        if let Some(operator) = OPERATORS.into_iter().find(|operator| self.skip(operator)) {
            return Ok(Token::Operator(operator));
        }
        self.word().map(Token::Word)
    }

    fn redirection(&mut self) -> &'static str {
        REDIRECTIONS.into_iter().find(|operator| self.skip(operator)).unwrap_or("<")
    }

    /// A word, up to what cannot be part of one.
    fn word(&mut self) -> Result<Word, Fault> {
        let mut word = Word::default();
        loop {
            self.join_lines();
            match self.peek_char() {
                None | Some(' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => return Ok(word),
                Some(_) => self.word_part(&mut word)?,
            }
        }
    }

    /// The next part of a word outside of quotes.
    fn word_part(&mut self, word: &mut Word) -> Result<(), Fault> {
        match self.next_char() {
            Some('\\') => match self.next_char() {
                Some(escaped) => word.push_quoted(escaped),
                None => word.push_quoted('\\'),
            },
            Some('\'') => self.single_quoted(word)?,
            Some('"') => {
                word.mark_quoted();
                self.quoted(word, Within::Quotes, |next| next == '"')?;
            }
            Some('$') if self.peek_char() == Some('\'') => {
                self.at += 1;
                self.escaped(word)?;
            }
            Some('$') => self.dollar(word, false)?,
            Some('`') => self.backquoted(word, false)?,
            Some(other) => word.push_text(other),
            None => {}
        }
        Ok(())
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<(), Fault> {
        word.mark_quoted();
        loop {
            match self.next_char() {
                Some('\'') => return Ok(()),
                Some(other) => word.push_quoted(other),
                None => return Err(Fault::unfinished("unterminated quoted string")),
            }
        }
    }

    /// `$'...'`.
    fn escaped(&mut self, word: &mut Word) -> Result<(), Fault> {
        word.mark_quoted();
        let mut text = String::new();
        loop {
            match self.next_char() {
                Some('\'') => break,
                Some('\\') => {
                    let Some(next) = self.next_char() else { continue };
                    if !matches!(next, '\'' | '"') {
                        text.push('\\');
                    }
                    if next == '\\' {
                        text.push('\\');
                    } else {
                        text.push(next);
                    }
                }
                Some(other) => text.push(other),
                None => return Err(Fault::unfinished("unterminated quoted string")),
            }
        }
        for character in String::from_utf8_lossy(&crate::escapes::unescape(text.as_bytes()).0).chars() {
            word.push_quoted(character);
        }
        Ok(())
    }

    /// Text in which `$`, `` ` `` and `\` are special, up to and with the character that ends it.
    pub(super) fn quoted(&mut self, word: &mut Word, within: Within, ends: impl Fn(char) -> bool) -> Result<(), Fault> {
        loop {
            match self.next_char() {
                None if within == Within::Here => return Ok(()),
                None => return Err(Fault::unfinished("unterminated quoted string")),
                Some(next) if ends(next) => return Ok(()),
                Some('\\') => match self.peek_char() {
                    Some('\n') => {
                        self.next_char();
                    }
                    Some(next @ ('$' | '`' | '\\')) => {
                        self.at += 1;
                        word.push_quoted(next);
                    }
                    Some('"') if within == Within::Quotes => {
                        self.at += 1;
                        word.push_quoted('"');
                    }
                    _ => word.push_quoted('\\'),
                },
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.backquoted(word, true)?,
                Some(other) => word.push_quoted(other),
            }
        }
    }

    /// What follows a `$`.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), Fault> {
        let literal = |word: &mut Word| if quoted { word.push_quoted('$') } else { word.push_text('$') };
        self.join_lines();
        match self.peek_char() {
            Some('(') if self.looking_at("((") => {
                self.at += 2;
                let expression = self.deeper(Self::arithmetic)?;
                word.0.push(Part::Arithmetic { expression, quoted });
            }
            Some('(') => {
                self.at += 1;
                let list = self.deeper(Self::substitution)?;
                word.0.push(Part::Command { list: Arc::new(list), quoted });
            }
            Some('{') => {
                self.at += 1;
                let part = self.deeper(|parser| parser.braced(quoted))?;
                word.0.push(part);
            }
            Some(next) if next == '_' || next.is_ascii_alphabetic() => {
                let name = self.name();
                word.0.push(Part::Parameter { name, change: Change::None, quoted });
            }
            Some(next) if next.is_ascii_digit() || "@*#?-$!".contains(next) => {
                self.at += 1;
                word.0.push(Part::Parameter { name: next.into(), change: Change::None, quoted });
            }
            _ => literal(word),
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let from = self.at;
        while self.peek_char().is_some_and(|next| next == '_' || next.is_ascii_alphanumeric()) {
            self.at += 1;
        }
        self.text[from..self.at].iter().collect()
    }

    /// The inside of `$(( ))`, up to and with its end.
    fn arithmetic(&mut self) -> Result<Word, Fault> {
        let mut word = Word::default();
        let mut open = 0_u32;
        loop {
            match self.peek_char() {
                None => return Err(Fault::unfinished("missing '))'")),
                Some(')') if open == 0 && self.looking_at("))") => {
                    self.at += 2;
                    return Ok(word);
                }
                Some(next @ ('(' | ')')) => {
                    self.at += 1;
                    open = if next == '(' { open + 1 } else { open.saturating_sub(1) };
                    word.push_quoted(next);
                }
                Some('"') => self.at += 1,
                Some('$') => {
                    self.at += 1;
                    self.dollar(&mut word, true)?;
                }
                Some('`') => {
                    self.at += 1;
                    self.backquoted(&mut word, true)?;
                }
                Some('\\') if self.looking_at("\\\n") => self.join_lines(),
                Some(other) => {
                    self.next_char();
                    word.push_quoted(other);
                }
            }
        }
    }

    /// The inside of `${ }`, up to and with its end.
    fn braced(&mut self, quoted: bool) -> Result<Part, Fault> {
        let length = self.peek_char() == Some('#')
            && !matches!(self.text.get(self.at + 1), None | Some('}' | ':' | '-' | '=' | '?' | '+' | '%' | '#'));
        if length {
            self.at += 1;
        }
        let name = match self.peek_char() {
            Some(next) if next == '_' || next.is_ascii_alphabetic() => self.name(),
            Some(next) if next.is_ascii_digit() => {
                let from = self.at;
                while self.peek_char().is_some_and(|next| next.is_ascii_digit()) {
                    self.at += 1;
                }
                self.text[from..self.at].iter().collect()
            }
            Some(next) if "@*#?-$!".contains(next) => {
                self.at += 1;
                next.into()
            }
            None => return Err(Fault::unfinished("missing '}'")),
            // What is wrong with it is said when it is expanded.
            Some(_) => String::new(),
        };
        let change = if length { Change::Length } else { self.change(quoted)? };
        if self.peek_char() == Some('}') {
            self.at += 1;
            return Ok(Part::Parameter { name, change, quoted });
        }
        let mut rest = Word::default();
        self.up_to_brace(&mut rest, quoted, false)?;
        Ok(Part::Parameter { name: String::new(), change: Change::None, quoted })
    }

    /// What is done to the parameter; leaves the `}` to be read.
    fn change(&mut self, quoted: bool) -> Result<Change, Fault> {
        let colon = self.looking_at(":") && matches!(self.text.get(self.at + 1), Some('-' | '=' | '?' | '+'));
        if colon {
            self.at += 1;
        }
        let Some(operator) = self.peek_char() else { return Err(Fault::unfinished("missing '}'")) };
        let what = match operator {
            '-' => Unset::Default,
            '=' => Unset::Assign,
            '?' => Unset::Complain,
            '+' => Unset::Alternative,
            '#' | '%' => {
                self.at += 1;
                let longest = self.skip(&operator.to_string());
                let pattern = self.operand(false)?;
                return Ok(if operator == '#' {
                    Change::Prefix { pattern, longest }
                } else {
                    Change::Suffix { pattern, longest }
                });
            }
            '/' => {
                self.at += 1;
                let all = self.skip("/");
                let pattern = self.operand(true)?;
                let with = if self.skip("/") { self.operand(false)? } else { Word::default() };
                return Ok(Change::Replace { pattern, with, all });
            }
            ':' => {
                self.at += 1;
                return self.slice();
            }
            _ => return Ok(Change::None),
        };
        self.at += 1;
        let mut word = Word::default();
        self.up_to_brace(&mut word, quoted, false)?;
        self.at -= 1;
        Ok(Change::Unset { what, colon, word })
    }

    /// A pattern or its replacement: quotes mean in it what they mean outside of others.
    fn operand(&mut self, until_slash: bool) -> Result<Word, Fault> {
        let mut word = Word::default();
        self.up_to_brace(&mut word, false, until_slash)?;
        self.at -= 1;
        Ok(word)
    }

    /// `offset` and `:length`.
    fn slice(&mut self) -> Result<Change, Fault> {
        let mut parts = vec![Word::default()];
        loop {
            match self.peek_char() {
                None => return Err(Fault::unfinished("missing '}'")),
                Some('}') => break,
                Some(':') if parts.len() == 1 => {
                    self.at += 1;
                    parts.push(Word::default());
                }
                Some(next) => {
                    self.next_char();
                    let Some(word) = parts.last_mut() else { break };
                    if next == '$' { self.dollar(word, true)? } else { word.push_quoted(next) }
                }
            }
        }
        let length = if parts.len() > 1 { parts.pop() } else { None };
        Ok(Change::Slice { offset: parts.pop().unwrap_or_default(), length })
    }

    /// The word in `${x-word}`, up to and with the `}`, or the `/`.
    fn up_to_brace(&mut self, word: &mut Word, quoted: bool, until_slash: bool) -> Result<(), Fault> {
        loop {
            match self.peek_char() {
                None => return Err(Fault::unfinished("missing '}'")),
                Some('}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('/') if until_slash => {
                    self.at += 1;
                    return Ok(());
                }
                Some('"') if quoted => {
                    self.at += 1;
                    word.mark_quoted();
                    self.quoted(word, Within::Quotes, |next| next == '"')?;
                }
                Some(_) if quoted => self.one_quoted(word)?,
                Some('\\') if self.looking_at("\\\n") => self.join_lines(),
                Some(_) => self.word_part(word)?,
            }
        }
    }

    /// One character, or expansion, as between quotes.
    fn one_quoted(&mut self, word: &mut Word) -> Result<(), Fault> {
        match self.next_char() {
            Some('\\') => match self.peek_char() {
                Some('\n') => {
                    self.next_char();
                }
                Some(next @ ('$' | '`' | '\\' | '"' | '}')) => {
                    self.at += 1;
                    word.push_quoted(next);
                }
                _ => word.push_quoted('\\'),
            },
            Some('$') => self.dollar(word, true)?,
            Some('`') => self.backquoted(word, true)?,
            Some(other) => word.push_quoted(other),
            None => {}
        }
        Ok(())
    }

    /// `` `command` ``: its text is unescaped once before it is parsed.
    fn backquoted(&mut self, word: &mut Word, quoted: bool) -> Result<(), Fault> {
        let mut text = Vec::new();
        loop {
            match self.next_char() {
                None => return Err(Fault::unfinished("EOF in backquote substitution")),
                Some('`') => break,
                Some('\\') => match self.peek_char() {
                    Some('\n') => {
                        self.next_char();
                    }
                    Some(next) if matches!(next, '\\' | '`' | '$') || (quoted && next == '"') => {
                        self.at += 1;
                        text.push(next);
                    }
                    _ => text.push('\\'),
                },
                Some(other) => text.push(other),
            }
        }
        let (line, depth) = (self.line, self.depth);
        let list = self.deeper(|_| Parser::nested(text, line, depth + 1).whole())?;
        word.0.push(Part::Command { list: Arc::new(list), quoted });
        Ok(())
    }
}
