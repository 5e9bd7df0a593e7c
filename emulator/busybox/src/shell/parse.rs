//! Tokens to commands. The grammar is that of ash (`shell/ash.c`), and so are the complaints.

use std::sync::Arc;

use super::ast::{AndOr, Arm, Command, Connector, Item, Kind, List, Part, Pipeline, Redirect, Word};
use super::here::Pending;
use super::lexer::Token;

/// Why a script cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// As ash words it after `syntax error: `.
    pub(super) message: String,
    /// More text could mend it.
    pub(super) unfinished: bool,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), unfinished: false }
    }

    pub(super) fn unfinished(message: impl Into<String>) -> Self {
        Self { message: message.into(), unfinished: true }
    }
}

/// How deep commands and expansions may be nested.
const DEEPEST: u32 = 60;

pub(super) const KEYWORDS: [&str; 16] =
    ["!", "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "then", "until", "while", "{"];
/// Where a list of commands ends.
const ENDS: [&str; 9] = ["do", "done", "elif", "else", "esac", "fi", "then", "}", ")"];
/// Builtins that POSIX calls special: no function has their name.
pub(super) const SPECIAL: [&str; 17] = [
    ".", ":", "break", "continue", "eval", "exec", "exit", "export", "local", "readonly", "return", "set", "shift", "source",
    "times", "trap", "unset",
];

/// A script that is parsed, command by command.
pub(super) struct Parser {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) line: u32,
    pub(super) depth: u32,
    pub(super) pending: Vec<Pending>,
    /// A here-document lacked its end.
    pub(super) here_unfinished: bool,
    peeked: Option<Token>,
}

/// Whether keywords are looked for, and newlines passed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Word,
    Keyword,
    PastNewlines,
}

/// A token, keywords told from words.
#[derive(Debug, Clone)]
enum Seen {
    Keyword(&'static str),
    Token(Token),
}

impl Seen {
    fn is(&self, what: &str) -> bool {
        matches!(self, Self::Keyword(word) | Self::Token(Token::Operator(word)) if *word == what)
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first == '_' || first.is_ascii_alphabetic())
        && characters.all(|next| next == '_' || next.is_ascii_alphanumeric())
}

impl Parser {
    /// Parses a script, whose first line has this number.
    pub(super) fn new(text: &str, line: u32) -> Self {
        Self::nested(text.chars().collect(), line, 0)
    }

    pub(super) fn nested(text: Vec<char>, line: u32, depth: u32) -> Self {
        Self { text, at: 0, line, depth, pending: Vec::new(), here_unfinished: false, peeked: None }
    }

    /// Parses something that is nested one deeper.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= DEEPEST {
            return Err(Fault::new("nested too deeply"));
        }
        self.depth += 1;
        let parsed = crate::deep::with_stack(|| parse(self));
        self.depth -= 1;
        parsed
    }

    /// The commands up to the end of a line; none at the end of the text.
    pub(super) fn next_line(&mut self) -> Result<Option<List>, Fault> {
        let mut list = List::default();
        loop {
            match self.peek(Look::Keyword)? {
                Seen::Token(Token::Newline) => {
                    self.peeked = None;
                    return Ok(Some(list));
                }
                Seen::Token(Token::End) => {
                    self.read_here_documents()?;
                    return Ok((!list.0.is_empty()).then_some(list));
                }
                _ => {}
            }
            let what = Arc::new(self.and_or()?);
            let next = self.peek(Look::Word)?;
            let background = next.is("&");
            list.0.push(Item { what, background });
            match next {
                _ if background || next.is(";") => self.peeked = None,
                Seen::Token(Token::Newline | Token::End) => {}
                _ => return Err(self.unexpected(None)),
            }
        }
    }

    /// All commands of the text.
    pub(super) fn whole(&mut self) -> Result<List, Fault> {
        let mut all = List::default();
        while let Some(list) = self.next_line()? {
            all.0.extend(list.0);
        }
        Ok(all)
    }

    /// The inside of `$( )`, up to and with its end.
    pub(super) fn substitution(&mut self) -> Result<List, Fault> {
        // The word around it has not been handed out yet, so nothing is peeked at.
        let pending = std::mem::take(&mut self.pending);
        let list = self.list()?;
        self.expect(")", Look::Keyword)?;
        self.pending.extend(pending);
        Ok(list)
    }

    fn token(&mut self) -> Result<Token, Fault> {
        if self.peeked.is_none() {
            self.peeked = Some(self.lex()?);
        }
        Ok(self.peeked.clone().unwrap_or(Token::End))
    }

    fn peek(&mut self, look: Look) -> Result<Seen, Fault> {
        let mut token = self.token()?;
        while look == Look::PastNewlines && matches!(token, Token::Newline) {
            self.peeked = None;
            token = self.token()?;
        }
        if look != Look::Word
            && let Token::Word(word) = &token
            && let Some(keyword) = keyword(word)
        {
            return Ok(Seen::Keyword(keyword));
        }
        Ok(Seen::Token(token))
    }

    fn expect(&mut self, what: &'static str, look: Look) -> Result<(), Fault> {
        if self.peek(look)?.is(what) {
            self.peeked = None;
            return Ok(());
        }
        Err(self.unexpected(Some(what)))
    }

    /// The complaint about the next token.
    fn unexpected(&mut self, expected: Option<&str>) -> Fault {
        let token = match self.token() {
            Ok(token) => token,
            Err(fault) => return fault,
        };
        let seen = match &token {
            Token::End => "end of file".to_owned(),
            Token::Newline => "newline".to_owned(),
            Token::Redirect(..) => "redirection".to_owned(),
            Token::Operator(operator) => format!("\"{operator}\""),
            Token::Word(word) => keyword(word).map_or("word".to_owned(), |keyword| format!("\"{keyword}\"")),
        };
        let expecting = match expected {
            Some("word") => " (expecting word)".to_owned(),
            Some(what) => format!(" (expecting \"{what}\")"),
            None => String::new(),
        };
        Fault { message: format!("unexpected {seen}{expecting}"), unfinished: matches!(token, Token::End) }
    }

    /// Commands up to one of the words that end them.
    fn list(&mut self) -> Result<List, Fault> {
        let mut list = List::default();
        loop {
            let next = self.peek(Look::PastNewlines)?;
            let ends = match &next {
                Seen::Token(Token::End) => true,
                Seen::Keyword(word) | Seen::Token(Token::Operator(word)) => {
                    (!list.0.is_empty() && ENDS.contains(word)) || *word == ";;" && !list.0.is_empty()
                }
                Seen::Token(_) => false,
            };
            if ends {
                return Ok(list);
            }
            let what = Arc::new(self.and_or()?);
            let next = self.peek(Look::Word)?;
            let background = next.is("&");
            list.0.push(Item { what, background });
            if background || next.is(";") {
                self.peeked = None;
            } else if !matches!(next, Seen::Token(Token::Newline)) {
                return Ok(list);
            }
        }
    }

    /// Commands, perhaps none, up to one of the words that end them.
    fn list_or_none(&mut self) -> Result<List, Fault> {
        match self.peek(Look::PastNewlines)? {
            Seen::Keyword(word) | Seen::Token(Token::Operator(word)) if ENDS.contains(&word) || word == ";;" => {
                Ok(List::default())
            }
            _ => self.list(),
        }
    }

    fn and_or(&mut self) -> Result<AndOr, Fault> {
        let first = self.pipeline(Look::Keyword)?;
        let mut rest = Vec::new();
        loop {
            let next = self.peek(Look::Word)?;
            let connector = match () {
                () if next.is("&&") => Connector::And,
                () if next.is("||") => Connector::Or,
                () => return Ok(AndOr { first, rest }),
            };
            self.peeked = None;
            rest.push((connector, self.pipeline(Look::PastNewlines)?));
        }
    }

    fn pipeline(&mut self, look: Look) -> Result<Pipeline, Fault> {
        let negated = self.peek(look)?.is("!");
        if negated {
            self.peeked = None;
        }
        let mut commands = vec![self.command(Look::Keyword)?];
        while self.peek(Look::Word)?.is("|") {
            self.peeked = None;
            commands.push(self.command(Look::PastNewlines)?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self, look: Look) -> Result<Command, Fault> {
        let next = self.peek(look)?;
        let line = self.line;
        let keyword = match next {
            Seen::Keyword(word) => word,
            Seen::Token(Token::Operator("(")) => "(",
            Seen::Token(Token::Word(_) | Token::Redirect(..)) => return self.simple(),
            Seen::Token(_) => return Err(self.unexpected(None)),
        };
        let kind = self.deeper(|parser| parser.compound(keyword))?;
        let mut redirects = Vec::new();
        if !matches!(kind, Kind::Function { .. }) {
            while let Seen::Token(Token::Redirect(fd, operator)) = self.peek(Look::Word)? {
                redirects.push(self.redirect(fd, operator)?);
            }
        }
        Ok(Command { kind, redirects, line })
    }

    fn compound(&mut self, keyword: &str) -> Result<Kind, Fault> {
        if !matches!(keyword, "if" | "while" | "until" | "for" | "case" | "(" | "{" | "function") {
            return Err(self.unexpected(None));
        }
        self.peeked = None;
        match keyword {
            "if" => self.condition(),
            "while" | "until" => {
                let condition = self.list()?;
                Ok(Kind::Loop { until: keyword == "until", condition, body: self.body()? })
            }
            "for" => self.for_loop(),
            "case" => self.case(),
            "(" => {
                let list = self.list()?;
                self.expect(")", Look::PastNewlines)?;
                Ok(Kind::Subshell(list))
            }
            "function" => {
                let Seen::Token(Token::Word(word)) = self.peek(Look::Word)? else { return Err(self.unexpected(Some("word"))) };
                self.peeked = None;
                if self.peek(Look::Word)?.is("(") {
                    self.peeked = None;
                    self.expect(")", Look::Word)?;
                }
                self.function(&word)
            }
            _ => {
                let list = self.list()?;
                self.expect("}", Look::PastNewlines)?;
                Ok(Kind::Group(list))
            }
        }
    }

    fn body(&mut self) -> Result<List, Fault> {
        self.expect("do", Look::PastNewlines)?;
        let body = self.list()?;
        self.expect("done", Look::PastNewlines)?;
        Ok(body)
    }

    fn condition(&mut self) -> Result<Kind, Fault> {
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.expect("then", Look::PastNewlines)?;
            branches.push((condition, self.list()?));
            let next = self.peek(Look::PastNewlines)?;
            if !next.is("elif") {
                break;
            }
            self.peeked = None;
        }
        let mut otherwise = None;
        if self.peek(Look::PastNewlines)?.is("else") {
            self.peeked = None;
            otherwise = Some(self.list()?);
        }
        self.expect("fi", Look::PastNewlines)?;
        Ok(Kind::If { branches, otherwise })
    }

    fn for_loop(&mut self) -> Result<Kind, Fault> {
        let name = match self.peek(Look::Word)? {
            Seen::Token(Token::Word(word)) if word.plain().is_some_and(is_name) => word.plain().unwrap_or_default().to_owned(),
            _ => return Err(Fault { unfinished: matches!(self.token()?, Token::End), ..Fault::new("bad for loop variable") }),
        };
        self.peeked = None;
        let mut words = None;
        if self.peek(Look::PastNewlines)?.is("in") {
            self.peeked = None;
            let mut listed = Vec::new();
            while let Seen::Token(Token::Word(word)) = self.peek(Look::Word)? {
                self.peeked = None;
                listed.push(word);
            }
            match self.peek(Look::Word)? {
                Seen::Token(Token::Newline | Token::Operator(";")) => self.peeked = None,
                _ => return Err(self.unexpected(None)),
            }
            words = Some(listed);
        } else if self.peek(Look::Word)?.is(";") {
            self.peeked = None;
        }
        Ok(Kind::For { name, words, body: self.body()? })
    }

    fn case(&mut self) -> Result<Kind, Fault> {
        let Seen::Token(Token::Word(word)) = self.peek(Look::Word)? else { return Err(self.unexpected(Some("word"))) };
        self.peeked = None;
        self.expect("in", Look::PastNewlines)?;
        let mut arms = Vec::new();
        loop {
            if self.peek(Look::PastNewlines)?.is("esac") {
                self.peeked = None;
                return Ok(Kind::Case { word, arms });
            }
            if self.peek(Look::Word)?.is("(") {
                self.peeked = None;
            }
            let mut patterns = Vec::new();
            loop {
                let Seen::Token(Token::Word(pattern)) = self.peek(Look::Word)? else { return Err(self.unexpected(Some(")"))) };
                self.peeked = None;
                patterns.push(pattern);
                if !self.peek(Look::Word)?.is("|") {
                    break;
                }
                self.peeked = None;
            }
            self.expect(")", Look::Word)?;
            let body = self.list_or_none()?;
            arms.push(Arm { patterns, body });
            if self.peek(Look::PastNewlines)?.is("esac") {
                continue;
            }
            self.expect(";;", Look::PastNewlines)?;
        }
    }

    fn function(&mut self, name: &Word) -> Result<Kind, Fault> {
        let name = name.plain().filter(|name| is_name(name) && !SPECIAL.contains(name));
        let Some(name) = name.map(str::to_owned) else { return Err(Fault::new("bad function name")) };
        let body = self.command(Look::PastNewlines)?;
        Ok(Kind::Function { name, body: Arc::new(body) })
    }

    fn redirect(&mut self, fd: Option<u32>, operator: &'static str) -> Result<Redirect, Fault> {
        self.peeked = None;
        let Seen::Token(Token::Word(target)) = self.peek(Look::Word)? else { return Err(self.unexpected(None)) };
        self.peeked = None;
        let fd = fd.or(Some(u32::from(!operator.starts_with('<'))));
        Ok(Redirect { fd, kind: self.redirect_kind(operator, target) })
    }

    fn simple(&mut self) -> Result<Command, Fault> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::<Word>::new(), Vec::new());
        let mut in_brackets = false;
        let line = self.line;
        loop {
            match self.peek(Look::Word)? {
                Seen::Token(Token::Word(word)) => {
                    self.peeked = None;
                    match word.plain() {
                        Some("[[") => in_brackets = true,
                        Some("]]") => in_brackets = false,
                        _ => {}
                    }
                    match assignment(&word) {
                        Some(assignment) if words.is_empty() => assignments.push(assignment),
                        _ => words.push(word),
                    }
                }
                Seen::Token(Token::Operator(operator @ ("&&" | "||"))) if in_brackets => {
                    self.peeked = None;
                    words.push(Word::quoted(operator));
                }
                Seen::Token(Token::Redirect(fd, operator)) => redirects.push(self.redirect(fd, operator)?),
                Seen::Token(Token::Operator("(")) if words.len() == 1 && assignments.is_empty() && redirects.is_empty() => {
                    self.peeked = None;
                    self.expect(")", Look::Word)?;
                    let name = words.swap_remove(0);
                    let kind = self.deeper(|parser| parser.function(&name))?;
                    return Ok(Command { kind, redirects, line });
                }
                _ => return Ok(Command { kind: Kind::Simple { assignments, words }, redirects, line }),
            }
        }
    }
}

/// The keyword that a word is.
fn keyword(word: &Word) -> Option<&'static str> {
    let text = word.plain()?;
    KEYWORDS.into_iter().chain(["}"]).find(|keyword| *keyword == text)
}

/// The assignment that a word is.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Text(first)) = word.0.first() else { return None };
    let (name, value) = first.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let mut rest = Word::default();
    if !value.is_empty() {
        rest.0.push(Part::Text(value.to_owned()));
    }
    rest.0.extend_from_slice(&word.0[1..]);
    Some((name.to_owned(), rest))
}
