//! Regular expressions as POSIX writes them, basic and extended, in the words of the `regex` crate.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// How an expression is to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// `grep -E`, `sed -E`.
    pub(crate) extended: bool,
    pub(crate) ignore_case: bool,
    /// `grep -w`
    pub(crate) words: bool,
    /// `grep -x`
    pub(crate) lines: bool,
}

/// An expression, or what is wrong with it.
pub(crate) fn compile(text: &str, syntax: Syntax) -> Result<Regex, String> {
    let mut pattern = translate(text, syntax.extended)?;
    if syntax.lines {
        pattern = format!("^(?:{pattern})$");
    } else if syntax.words {
        pattern = format!(r"(?:^|\b{{start-half}})(?:{pattern})(?:\b{{end-half}}|$)");
    }
    build(&pattern, syntax.ignore_case)
}

/// The expression for a text that means itself.
pub(crate) fn fixed(text: &str, syntax: Syntax) -> Result<Regex, String> {
    let escaped = regex::escape(text);
    let pattern = match syntax {
        Syntax { lines: true, .. } => format!("^(?:{escaped})$"),
        Syntax { words: true, .. } => format!(r"(?:^|\b{{start-half}})(?:{escaped})(?:\b{{end-half}}|$)"),
        _ => escaped,
    };
    build(&pattern, syntax.ignore_case)
}

fn build(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern).case_insensitive(ignore_case).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "Regular expression too big".to_owned(),
        _ => "Invalid regular expression".to_owned(),
    })
}

fn translate(text: &str, extended: bool) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    // At the start of the expression, of a group or of an alternative, `*` means itself.
    let mut start = true;
    while let Some(character) = characters.next() {
        let was_start = std::mem::replace(&mut start, false);
        match character {
            '\\' => match characters.next() {
                None => return Err("Trailing backslash".to_owned()),
                Some('1'..='9') => return Err("back-references are not emulated".to_owned()),
                Some(operator @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) if !extended => {
                    out.push(operator);
                    start = matches!(operator, '(' | '|');
                }
                Some(class @ ('w' | 'W' | 's' | 'S' | 'b' | 'B' | '<' | '>')) => {
                    out.push('\\');
                    out.push(class);
                }
                Some('n') => out.push_str("\\n"),
                Some('t') => out.push_str("\\t"),
                Some(other) => out.push_str(&regex::escape(&other.to_string())),
            },
            '[' => bracket(&mut characters, &mut out)?,
            '*' if was_start => out.push_str("\\*"),
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if !extended => {
                out.push('\\');
                out.push(character);
            }
            '{' if !characters.peek().is_some_and(char::is_ascii_digit) => out.push_str("\\{"),
            '(' | '|' => {
                out.push(character);
                start = true;
            }
            '^' if !extended && !was_start => out.push_str("\\^"),
            '^' => {
                out.push('^');
                start = true;
            }
            '$' if !extended && !ends_here(&characters) => out.push_str("\\$"),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Whether a `$` in a basic expression is at the end of something.
fn ends_here(rest: &Peekable<Chars<'_>>) -> bool {
    let rest: String = rest.clone().take(2).collect();
    rest.is_empty() || rest == "\\)" || rest == "\\|"
}

/// `[...]`, in which a backslash means itself.
fn bracket(characters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let unmatched = || "Invalid regular expression".to_owned();
    out.push('[');
    if characters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match characters.next().ok_or_else(unmatched)? {
            ']' if !first => break,
            '[' if characters.peek() == Some(&':') => {
                characters.next();
                let mut name = String::new();
                loop {
                    match characters.next().ok_or_else(unmatched)? {
                        ':' if characters.next_if_eq(&']').is_some() => break,
                        other => name.push(other),
                    }
                }
                out.push_str(&format!("[:{name}:]"));
            }
            // What is special to the crate alone.
            special @ ('\\' | '[' | ']' | '&' | '~' | '^') => {
                out.push('\\');
                out.push(special);
            }
            '-' if first || characters.peek() == Some(&']') => out.push_str("\\-"),
            other => out.push(other),
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(false, r"a\(b\|c\)*", "abcb", true)]
    #[case(false, "a+", "a+", true)]
    #[case(false, "a+", "aa", false)]
    #[case(true, "^a+$", "aa", true)]
    #[case(false, "*a", "*a", true)]
    #[case(false, "a^b$c", "a^b$c", true)]
    #[case(false, r"x\{2\}", "xx", true)]
    #[case(true, "x{2}", "x", false)]
    #[case(true, "[[:digit:]]{3}", "a123", true)]
    #[case(false, r"[\.]", r"\", true)]
    #[case(false, "[]a]", "]", true)]
    #[case(false, "[^]a]", "]", false)]
    #[case(false, r"\<cat\>", "a cat", true)]
    #[case(false, r"\<cat\>", "concat", false)]
    #[case(false, r"a\.b", "axb", false)]
    #[case(true, "a{", "a{", true)]
    fn expressions(#[case] extended: bool, #[case] pattern: &str, #[case] text: &str, #[case] expected: bool) {
        let found = compile(pattern, Syntax { extended, ..Syntax::default() }).unwrap();
        assert_eq!(found.is_match(text.as_bytes()), expected, "{found}");
    }

    #[test]
    fn words_and_lines() {
        let matches = |syntax, text: &str| compile("a.", syntax).unwrap().is_match(text.as_bytes());
        assert!(matches(Syntax { words: true, ..Syntax::default() }, "x ab y"));
        assert!(!matches(Syntax { words: true, ..Syntax::default() }, "xab"));
        assert!(!matches(Syntax { lines: true, ..Syntax::default() }, "abc"));
        assert!(matches(Syntax { ignore_case: true, ..Syntax::default() }, "AB"));
        assert!(compile("[a", Syntax::default()).is_err());
    }
}
