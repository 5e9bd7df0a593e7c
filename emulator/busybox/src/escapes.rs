//! Backslash escapes, as `printf`, `echo -e` and `$'...'` know them.

/// What an escape means.
enum Meaning {
    Byte(u8),
    /// Nothing that is known: both characters stand.
    Itself,
    /// `\c`: nothing more is printed.
    Stop,
}

/// Text with its escapes replaced, and whether it was cut off by `\c`.
pub(crate) fn unescape(text: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' || after.is_empty() {
            out.push(*first);
            rest = after;
            continue;
        }
        let (meaning, used) = meaning(after);
        match meaning {
            Meaning::Byte(byte) => out.push(byte),
            Meaning::Itself => out.extend_from_slice(&rest[..2]),
            Meaning::Stop => return (out, true),
        }
        rest = &after[used..];
    }
    (out, false)
}

/// What follows a backslash means, and how long that is.
fn meaning(after: &[u8]) -> (Meaning, usize) {
    let simple = |byte| (Meaning::Byte(byte), 1);
    match after[0] {
        b'a' => simple(7),
        b'b' => simple(8),
        b'e' => simple(27),
        b'f' => simple(12),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'v' => simple(11),
        b'\\' => simple(b'\\'),
        b'c' => (Meaning::Stop, 1),
        b'x' => match number(&after[1..], 2, 16) {
            (_, 0) => (Meaning::Itself, 1),
            (byte, digits) => (Meaning::Byte(byte), 1 + digits),
        },
        b'0'..=b'7' => {
            let (byte, digits) = number(after, 3, 8);
            (Meaning::Byte(byte), digits)
        }
        _ => (Meaning::Itself, 1),
    }
}

fn number(text: &[u8], most: usize, radix: u32) -> (u8, usize) {
    let mut value = 0_u32;
    let mut digits = 0;
    for digit in text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix)) {
        if value * radix + digit > 255 {
            break;
        }
        value = value * radix + digit;
        digits += 1;
    }
    (u8::try_from(value).unwrap_or(u8::MAX), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(unescape(br"a\tb\x41\101\q\\").0, b"a\tbAA\\q\\");
        assert_eq!(unescape(br"a\cb"), (b"a".to_vec(), true));
        assert_eq!(unescape(b"\\").0, b"\\");
        assert_eq!(unescape(br"\xzz\777").0, b"\\xzz\x3f7");
    }
}
