//! Patterns with `*`, `?` and `[ ]` (`man 7 glob`), in which a backslash takes the next character for itself.

/// Whether all of a text is what a pattern describes.
pub(crate) fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how far it has been stretched.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        if p < pattern.len()
            && t < text.len()
            && let Some(used) = one(&pattern[p..], text[t])
        {
            p += used;
            t += 1;
            continue;
        }
        match star {
            Some((at, stretched)) if stretched < text.len() => {
                star = Some((at, stretched + 1));
                (p, t) = (at + 1, stretched + 1);
            }
            _ => return false,
        }
    }
}

/// How much of a pattern's start describes a character; none if it does not.
fn one(pattern: &[char], character: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => match class(pattern, character) {
            Some((true, used)) => Some(used),
            Some((false, _)) => None,
            None => (character == '[').then_some(1),
        },
        '\\' if pattern.len() > 1 => (pattern[1] == character).then_some(2),
        literal => (literal == character).then_some(1),
    }
}

/// Whether a `[...]` has a character, and how long it is; none if it has no end.
fn class(pattern: &[char], character: char) -> Option<(bool, usize)> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some('!' | '^'));
    if negated {
        at += 1;
    }
    let first = at;
    let mut found = false;
    loop {
        let mut low = *pattern.get(at)?;
        if low == ']' && at > first {
            return Some((found != negated, at + 1));
        }
        if low == '[' && pattern.get(at + 1) == Some(&':') {
            let length = pattern[at + 2..].windows(2).position(|end| end == [':', ']']);
            if let Some(length) = length {
                let name: String = pattern[at + 2..at + 2 + length].iter().collect();
                found |= is_in(&name, character);
                at += length + 4;
                continue;
            }
        }
        if low == '\\' && at + 1 < pattern.len() {
            at += 1;
            low = pattern[at];
        }
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&'-') && !matches!(pattern.get(at + 1), None | Some(']')) {
            high = pattern[at + 1];
            at += 2;
            if high == '\\' && at < pattern.len() {
                high = pattern[at];
                at += 1;
            }
        }
        found |= (low..=high).contains(&character);
    }
}

/// Whether a character is in a class such as `alpha`.
pub(crate) fn is_in(class: &str, character: char) -> bool {
    match class {
        "alpha" => character.is_alphabetic(),
        "digit" => character.is_ascii_digit(),
        "alnum" => character.is_alphanumeric(),
        "upper" => character.is_uppercase(),
        "lower" => character.is_lowercase(),
        "space" => character.is_ascii_whitespace() || character == '\x0b',
        "blank" => matches!(character, ' ' | '\t'),
        "punct" => character.is_ascii_punctuation(),
        "print" => !character.is_control(),
        "graph" => !character.is_control() && character != ' ',
        "cntrl" => character.is_control(),
        "xdigit" => character.is_ascii_hexdigit(),
        _ => false,
    }
}

/// A pattern that describes this text alone.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '-' | '!' | '^') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The text of a pattern that describes one alone.
pub(crate) fn unescape(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().unwrap_or('\\')),
            other => text.push(other),
        }
    }
    text
}

/// Whether something in a pattern is special.
pub(crate) fn is_special(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*", "", true)]
    #[case("a*c", "abbc", true)]
    #[case("a*c*e", "abcde", true)]
    #[case("a*c", "abcd", false)]
    #[case("?", "", false)]
    #[case("[a-c]x", "bx", true)]
    #[case("[!a-c]x", "bx", false)]
    #[case("[]a]", "]", true)]
    #[case("[[:digit:]_]*", "7z", true)]
    #[case("[a", "[a", true)]
    #[case(r"\*", "*", true)]
    #[case(r"\*", "x", false)]
    #[case("*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false)]
    fn patterns(#[case] pattern: &str, #[case] text: &str, #[case] expected: bool) {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(matches(&characters(pattern), &characters(text)), expected);
    }
}
