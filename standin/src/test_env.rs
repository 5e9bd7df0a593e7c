//! `.test.env`: the syntax that bash would accept of it.
//!
//! The launcher runs bash's `source` on the file, whose documented form is lines of `export NAME="value"`
//! (Azure Arc documentation, "Automated validation testing"). Read here is what bash makes of such lines and
//! of no others: comments, blank lines, every kind of quoting, `export` or not, several assignments on a
//! line. What bash would expand or run is refused rather than guessed at, and so are values that go on
//! over a line's end, which in this file are a quote that somebody forgot.

use std::{
    fmt::{self, Display},
    ops::Range,
};

/// Variables whose values are credentials: never printed, logged or kept.
pub const SECRETS: &[&str] =
    &["SPN_CLIENT_SECRET", "WORKSPACE_SHARED_KEY", "LOGS_STORAGE_ACCOUNT_SAS", "AZDATA_PASSWORD", "DOCKER_PASSWORD"];

/// How a variable's name ends where its value is a credential, for variables that nobody told us of.
const SECRET_ENDINGS: &[&str] = &["_PASSWORD", "_SECRET", "_KEY", "_TOKEN", "_SAS"];

/// Whether a variable's value is a credential: one of [`SECRETS`], or one named as credentials are.
pub fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name) || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A variable and the value that bash would give it.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable's name.
    pub name: String,
    /// Its value, quotes and escapes resolved.
    pub value: String,
    /// The line it stands on, from 1.
    pub line: usize,
    /// Where the value stands in the text, in bytes, quotes included.
    pub span: Range<usize>,
}

/// A secret's value prints as asterisks.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("name", &self.name)
            .field("value", if is_secret(&self.name) { &"***" } else { &self.value })
            .field("line", &self.line)
            .field("span", &self.span)
            .finish()
    }
}

/// Something bash would not take, or would not take as a plain assignment. It never quotes the file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Where it stands in the text, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} ({})", self.line, self.message, self.help)
    }
}

impl std::error::Error for SyntaxError {}

/// The assignments of a `.test.env`, in order; a variable may be assigned more than once, and the last counts.
///
/// # Errors
/// The first [`SyntaxError`]; [`parse_all`] gives every one.
pub fn parse(text: &str) -> Result<Vec<Assignment>, SyntaxError> {
    let (assignments, errors) = parse_all(text);
    errors.into_iter().next().map_or(Ok(assignments), Err)
}

/// The assignments of a `.test.env`, and what is wrong with the lines that have none to give.
pub fn parse_all(text: &str) -> (Vec<Assignment>, Vec<SyntaxError>) {
    let mut assignments = Vec::new();
    let mut errors = Vec::new();
    if text.starts_with('\u{feff}') {
        errors.push(SyntaxError {
            line: 1,
            span: 0..'\u{feff}'.len_utf8(),
            message: "the file begins with a byte order mark, which bash takes for part of the first command".to_owned(),
            help: "save it as UTF-8 without a byte order mark".to_owned(),
        });
    }
    let mut crlf_told = false;
    let mut offset = 0;
    for (index, line) in text.split('\n').enumerate() {
        let start = offset;
        offset += line.len() + 1;
        let (line, skipped) = match line.strip_prefix('\u{feff}') {
            Some(rest) if index == 0 => (rest, line.len() - rest.len()),
            _ => (line, 0),
        };
        let content = match line.strip_suffix('\r') {
            // One error for the whole file: its remedy mends every line.
            Some(content) => {
                if !std::mem::replace(&mut crlf_told, true) {
                    errors.push(carriage_return(text, index + 1, start + skipped + content.len()));
                }
                content
            }
            None => line,
        };
        let mut reader = Reader { content, start: start + skipped, line: index + 1, at: 0 };
        match reader.line() {
            Ok(found) => assignments.extend(found),
            Err(error) => errors.push(error),
        }
    }
    errors.sort_by_key(|error| error.span.start);
    (assignments, errors)
}

/// A line that assigns `value`, which may be any text without line ends and other control characters.
pub fn line(name: &str, value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | '"' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    format!("export {name}=\"{quoted}\"")
}

fn carriage_return(text: &str, line: usize, at: usize) -> SyntaxError {
    let lines = text.matches("\r\n").count();
    let more = if lines > 1 { format!(", the first of {lines} such lines") } else { String::new() };
    SyntaxError {
        line,
        span: at..at + 1,
        message: format!("line {line} ends with CRLF{more}; bash takes the CR for part of a command and the launcher dies of it"),
        help: "convert the file to LF line ends: `dos2unix .test.env`, or `sed -i 's/\\r$//' .test.env`".to_owned(),
    }
}

/// Reads one line.
struct Reader<'a> {
    content: &'a str,
    /// Where the line begins in the text.
    start: usize,
    /// Its number.
    line: usize,
    /// What is read of it, in bytes.
    at: usize,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<Vec<Assignment>, SyntaxError> {
        let mut found = Vec::new();
        if let Some(at) = self.content.find(|character: char| character.is_ascii_control() && character != '\t') {
            return Err(self.error(
                at..at + 1,
                "a control character stands here",
                "remove it; retype the line if you cannot see it",
            ));
        }
        loop {
            self.blanks();
            // `export` counts for the words up to the next semicolon.
            let mut exported = false;
            if let Some(rest) = self.rest().strip_prefix("export")
                && rest.starts_with([' ', '\t'])
            {
                exported = true;
                self.at += "export".len();
                self.blanks();
            }
            let mut any = false;
            while let Some(next) = self.peek().filter(|next| *next != '#') {
                if next == ';' {
                    break;
                }
                found.push(self.assignment()?);
                any = true;
                self.blanks();
            }
            match self.peek() {
                Some(';') if any => self.at += 1,
                Some(';') => return Err(self.error(self.at..self.at + 1, "nothing stands before this semicolon", "remove it")),
                _ if exported && !any => {
                    return Err(self.error(0..self.content.len(), "`export` names no variable", "write `export NAME=\"value\"`"));
                }
                _ => return Ok(found),
            }
        }
    }

    fn assignment(&mut self) -> Result<Assignment, SyntaxError> {
        let begins = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let name = &self.content[begins..self.at];
        let word = begins..self.word_end(begins);
        if self.peek() != Some('=') || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.not_an_assignment(word));
        }
        let name = name.to_owned();
        self.at += 1;
        let value_begins = self.at;
        let value = self.value()?;
        Ok(Assignment { name, value, line: self.line, span: self.start + value_begins..self.start + self.at })
    }

    fn value(&mut self) -> Result<String, SyntaxError> {
        let mut value = String::new();
        let begins = self.at;
        // Where a `~` would be a home directory.
        let mut tilde = true;
        while let Some(next) = self.peek() {
            let here = self.at..self.at + next.len_utf8();
            match next {
                ' ' | '\t' | ';' => break,
                '\'' => {
                    let inside = self.at + 1;
                    let Some(length) = self.content[inside..].find('\'') else {
                        return Err(self.unclosed(here, '\''));
                    };
                    value.push_str(&self.content[inside..inside + length]);
                    self.at = inside + length + 1;
                }
                '"' => self.double_quoted(&mut value)?,
                '\\' => {
                    self.at += 1;
                    let Some(escaped) = self.peek() else {
                        return Err(self.error(here, "the line goes on after this backslash", "write the value on one line"));
                    };
                    value.push(escaped);
                    self.at += escaped.len_utf8();
                }
                '$' | '`' => self.dollar_or_backtick(&mut value, false)?,
                '~' if tilde => {
                    return Err(self.error(here, "bash expands this `~` to a home directory", "put the value in single quotes"));
                }
                '{' => return Err(self.error(here, "bash may expand this brace", "put the value in quotes")),
                '(' if self.at == begins => {
                    return Err(self.error(here, "this makes an array, which cannot be exported", "write `NAME=\"value\"`"));
                }
                '&' | '|' | '<' | '>' | '(' | ')' => {
                    return Err(self.error(
                        here,
                        format!("outside quotes, `{next}` ends the value and begins something else"),
                        "put the value in quotes",
                    ));
                }
                other => {
                    value.push(other);
                    self.at += other.len_utf8();
                }
            }
            tilde = next == ':';
        }
        Ok(value)
    }

    fn double_quoted(&mut self, value: &mut String) -> Result<(), SyntaxError> {
        let opened = self.at..self.at + 1;
        self.at += 1;
        while let Some(next) = self.peek() {
            match next {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    self.at += 1;
                    // Before any other character the backslash stands for itself.
                    match self.peek() {
                        Some(escaped @ ('$' | '`' | '"' | '\\')) => {
                            value.push(escaped);
                            self.at += 1;
                        }
                        _ => value.push('\\'),
                    }
                }
                '$' | '`' => self.dollar_or_backtick(value, true)?,
                other => {
                    value.push(other);
                    self.at += other.len_utf8();
                }
            }
        }
        Err(self.unclosed(opened, '"'))
    }

    fn dollar_or_backtick(&mut self, value: &mut String, quoted: bool) -> Result<(), SyntaxError> {
        let here = self.at..self.at + 1;
        if self.peek() == Some('`') {
            return Err(self.error(
                here,
                "bash would run what follows this backtick as a command",
                "write the value itself, or put it in single quotes",
            ));
        }
        self.at += 1;
        let expands = match self.peek() {
            None => false,
            Some('\'' | '"') => !quoted,
            Some(next) => next.is_ascii_alphanumeric() || "_{([@*#?-$!".contains(next),
        };
        if expands {
            return Err(self.error(
                here,
                "bash would expand this `$`",
                "write the value itself, also where a template has a placeholder; for a `$` that is part of it, use single quotes or `\\$`",
            ));
        }
        value.push('$');
        Ok(())
    }

    fn not_an_assignment(&self, word: Range<usize>) -> SyntaxError {
        let text = &self.content[word.clone()];
        let rest = self.content[word.end..].trim_start_matches([' ', '\t']);
        let (message, help) = if text.split_once("+=").is_some_and(|(name, _)| is_name(name)) {
            ("this appends to a variable instead of setting it", "write `NAME=\"value\"`")
        } else if is_name(text) && rest.starts_with('=') {
            ("this is not assigned to: bash takes no blank before or after the `=`", "write `NAME=\"value\"`")
        } else if is_name(text) {
            ("this is given no value", "write `NAME=\"value\"`; quote a value that has blanks in it")
        } else {
            (
                "this is not an assignment, and bash would run it",
                "a line is `export NAME=\"value\"`, a `# comment`, or blank; quote a value that has blanks in it",
            )
        };
        self.error(word, message, help)
    }

    fn unclosed(&self, quote: Range<usize>, mark: char) -> SyntaxError {
        self.error(quote, "this quote does not close on its line", format!("end the value with `{mark}`"))
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> SyntaxError {
        SyntaxError {
            line: self.line,
            span: self.start + span.start..self.start + span.end,
            message: message.into(),
            help: help.into(),
        }
    }

    fn rest(&self) -> &str {
        &self.content[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn word_end(&self, begins: usize) -> usize {
        let word = &self.content[begins..];
        let length = word.find([' ', '\t', ';']).unwrap_or(word.len());
        // Never empty: an error must have a place to point at.
        begins + length.max(word.chars().next().map_or(0, char::len_utf8))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|a| (a.name, a.value)).collect()
    }

    #[rstest]
    #[case::as_documented("export A=\"x y\"\n", &[("A", "x y")])]
    #[case::without_export("A=\"\"", &[("A", "")])]
    #[case::comment_after("export A=\"0\"         # Run cleanup\n", &[("A", "0")])]
    #[case::hash_in_value("A=x#y B='#'", &[("A", "x#y"), ("B", "#")])]
    #[case::quotes_joined("A=\"a\"'b$c'd\\ e", &[("A", "ab$cd e")])]
    #[case::escapes_in_quotes(r#"A="a\qb\\c\"d\$e\`f""#, &[("A", "a\\qb\\c\"d$e`f")])]
    #[case::a_dollar_that_is_one("A=\"a$ b$\" B=$ C=$% D=\"$'x'\"", &[("A", "a$ b$"), ("B", "$"), ("C", "$%"), ("D", "$'x'")])]
    #[case::tilde_that_is_one("A=a~b B=\\~ C=\"~\"", &[("A", "a~b"), ("B", "~"), ("C", "~")])]
    #[case::several("export A=1 B=2; C=3 ;", &[("A", "1"), ("B", "2"), ("C", "3")])]
    #[case::nothing("\n  # export A=\"1\"\n\t\n", &[])]
    #[case::indented("  export\tA=1\n\n\nB=2", &[("A", "1"), ("B", "2")])]
    #[case::named_export("export=1", &[("export", "1")])]
    fn reads_what_bash_reads(#[case] text: &str, #[case] expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(values(text), expected);
    }

    #[rstest]
    #[case::crlf("A=1\nB=2\r\n", 2, "CRLF")]
    #[case::carriage_return("A=1\rB=2\n", 1, "control character")]
    #[case::byte_order_mark("\u{feff}A=1", 1, "byte order mark")]
    #[case::variable("A=\"$HOME\"", 1, "expand this `$`")]
    #[case::substitution("A=$(id)", 1, "expand this `$`")]
    #[case::ansi_quoting("A=$'x'", 1, "expand this `$`")]
    #[case::backtick("A=\"`id`\"", 1, "backtick")]
    #[case::home("A=~/x", 1, "home directory")]
    #[case::home_after_colon("A=x:~", 1, "home directory")]
    #[case::brace("export A={a,b}", 1, "brace")]
    #[case::unquoted_sas("A=?sv=1&ss=b", 1, "`&`")]
    #[case::array("A=(a)", 1, "array")]
    #[case::unclosed("\n\nA=\"x\nB=\"y\"", 3, "does not close")]
    #[case::unclosed_single("A='x", 1, "does not close")]
    #[case::blank_before_equals("export A = \"x\"", 1, "no blank")]
    #[case::blank_in_value("A=x y", 1, "given no value")]
    #[case::append("A+=x", 1, "appends")]
    #[case::no_value("export A", 1, "given no value")]
    #[case::no_name("export ", 1, "names no variable")]
    #[case::digit("1A=x", 1, "not an assignment")]
    #[case::command("echo 1", 1, "no value")]
    #[case::dash("A=1\nMY-VAR=x", 2, "not an assignment")]
    #[case::continued("A=x\\", 1, "goes on")]
    #[case::semicolon("; A=1", 1, "semicolon")]
    fn refuses_what_bash_would_not_take_as_it_stands(#[case] text: &str, #[case] line: usize, #[case] says: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(!error.help.is_empty());
    }

    #[test]
    fn every_bad_line_is_told_and_every_good_one_read() {
        let (assignments, errors) = parse_all("A=1\nB=\"x\nC=3\nD=`x`\nE=5");
        assert_eq!(assignments.iter().map(|a| (a.name.as_str(), a.line)).collect::<Vec<_>>(), [("A", 1), ("C", 3), ("E", 5)]);
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn crlf_is_told_once_for_the_whole_file() {
        let (assignments, errors) = parse_all("A=1\r\nB=2\r\n");
        assert_eq!(assignments.len(), 2);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("the first of 2"), "{}", errors[0]);
    }

    #[test]
    fn a_span_covers_the_value_with_its_quotes() {
        let text = "A=é\nexport B=\"é x\" # y\n";
        let found = parse(text).unwrap();
        assert_eq!(&text[found[1].span.clone()], "\"é x\"");
    }

    #[test]
    fn a_secret_does_not_print() {
        let found = parse("SPN_CLIENT_SECRET=hunter2 MY_TOKEN=hunter2").unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn never_panics_and_spans_lie_in_the_text(text in "(\\PC|[ \t\r\n\"'\\\\$`=;#&~{(]|export |[AB]=){0,40}") {
            let (assignments, errors) = parse_all(&text);
            for span in assignments.iter().map(|a| &a.span).chain(errors.iter().map(|e| &e.span)) {
                prop_assert!(text.get(span.clone()).is_some(), "{:?} in {:?}", span, text);
            }
        }

        #[test]
        fn what_is_written_is_read_back(name in "[A-Za-z_][A-Za-z0-9_]{0,8}", value in "\\PC*") {
            prop_assume!(!value.chars().any(char::is_control));
            let text = line(&name, &value);
            let found = parse(&text).unwrap();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!((&found[0].name, &found[0].value), (&name, &value));
            prop_assert_eq!(&text[found[0].span.start..], &text["export =".len() + name.len()..]);
        }
    }
}
