//! Words.

use super::Token;

/// Takes a text apart. A word that begins with a quote goes to the next one; `#` begins a comment, wherever it stands.
pub(super) fn tokens(text: &str, file: &str) -> Vec<Token> {
    let mut lexer = Lexer { tokens: Vec::new(), word: String::new(), begun: 1, line: 1, file };
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
    let mut comment = false;
    while let Some(character) = characters.next() {
        if character.is_whitespace() {
            if character == '\r' {
                continue;
            }
            if character == '\n' {
                lexer.line += 1;
                comment = false;
            }
            if !lexer.word.is_empty() {
                lexer.end();
            }
            continue;
        }
        comment |= character == '#';
        if comment {
            continue;
        }
        if lexer.word.is_empty() {
            lexer.begun = lexer.line;
            if character == '"' {
                if !lexer.quoted(&mut characters) && lexer.word.is_empty() {
                    break;
                }
                lexer.end();
                continue;
            }
        }
        lexer.word.push(character);
    }
    if !lexer.word.is_empty() {
        lexer.end();
    }
    lexer.tokens
}

struct Lexer<'a> {
    tokens: Vec<Token>,
    word: String,
    begun: usize,
    line: usize,
    file: &'a str,
}

impl Lexer<'_> {
    fn end(&mut self) {
        let text = std::mem::take(&mut self.word);
        self.tokens.push(Token { file: self.file.to_owned(), line: self.begun, text });
    }

    /// Reads up to the closing quote. False when there is none.
    fn quoted(&mut self, characters: &mut std::str::Chars<'_>) -> bool {
        let mut escaped = false;
        for character in characters {
            if !escaped {
                match character {
                    '\\' => {
                        escaped = true;
                        continue;
                    }
                    '"' => return true,
                    _ => {}
                }
            }
            if character == '\n' {
                self.line += 1;
            }
            // Only quotes can be escaped.
            if escaped && character != '"' {
                self.word.push('\\');
            }
            self.word.push(character);
            escaped = false;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, String)> {
        tokens(text, "").into_iter().map(|token| (token.line, token.text)).collect()
    }

    #[test]
    fn words_are_told_apart() {
        let word = |line, text: &str| (line, text.to_owned());
        assert_eq!(words(".:53 {\n  errors # all\n}\n"), [word(1, ".:53"), word(1, "{"), word(2, "errors"), word(3, "}")]);
        assert_eq!(words(r#"answer "{{ .Name }} \"x\" \d""#), [word(1, "answer"), word(1, r#"{{ .Name }} "x" \d"#)]);
        assert_eq!(words("a \"\" b"), [word(1, "a"), word(1, ""), word(1, "b")]);
        assert_eq!(words("\"two\nlines\"\nend"), [word(1, "two\nlines"), word(3, "end")]);
    }
}
