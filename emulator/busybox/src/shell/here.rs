//! Here-documents: announced on one line, read after it.

use std::sync::{Arc, OnceLock};

use super::ast::{Part, RedirectKind, Word};
use super::lexer::Within;
use super::parse::{Fault, Parser};

/// A here-document whose text is still to come.
pub(super) struct Pending {
    end: String,
    literal: bool,
    strip_tabs: bool,
    text: Arc<OnceLock<Word>>,
}

impl Parser {
    /// What a redirection operator makes of its target.
    pub(super) fn redirect_kind(&mut self, operator: &'static str, target: Word) -> RedirectKind {
        match operator {
            "<" => RedirectKind::Read(target),
            ">>" => RedirectKind::Append(target),
            "<>" => RedirectKind::ReadWrite(target),
            "<&" | ">&" => RedirectKind::Duplicate(target),
            "&>" => RedirectKind::Both(target),
            "<<" | "<<-" => {
                let text = Arc::new(OnceLock::new());
                let literal = target.is_quoted();
                let end =
                    target.0.iter().map(|part| if let Part::Text(text) | Part::Quoted(text) = part { text.as_str() } else { "" });
                self.pending.push(Pending { end: end.collect(), literal, strip_tabs: operator == "<<-", text: text.clone() });
                RedirectKind::Here(text)
            }
            _ => RedirectKind::Write { file: target, clobber: operator == ">|" },
        }
    }

    /// Reads the here-documents that the line before has announced.
    pub(super) fn read_here_documents(&mut self) -> Result<(), Fault> {
        for pending in std::mem::take(&mut self.pending) {
            let mut text = Vec::new();
            let mut ended = false;
            while self.peek_char().is_some() {
                let mut line = Vec::new();
                let mut whole = false;
                while let Some(next) = self.next_char() {
                    if next == '\n' {
                        whole = true;
                        break;
                    }
                    line.push(next);
                }
                let start = if pending.strip_tabs { line.iter().take_while(|next| **next == '\t').count() } else { 0 };
                if line[start..].iter().copied().eq(pending.end.chars()) {
                    ended = true;
                    break;
                }
                text.extend(&line[start..]);
                if whole {
                    text.push('\n');
                }
            }
            if !ended {
                self.here_unfinished = true;
            }
            let word = if pending.literal {
                Word::quoted(text.into_iter().collect::<String>())
            } else {
                let mut inner = Parser::nested(text, self.line, self.depth + 1);
                let mut word = Word::default();
                inner.quoted(&mut word, Within::Here, |_| false)?;
                word
            };
            // It is set once: each document is pending once.
            let _ = pending.text.set(word);
        }
        Ok(())
    }
}
