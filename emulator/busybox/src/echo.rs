//! `echo`.

use crate::escapes::unescape;

/// What `echo` prints.
pub(crate) fn echo(args: &[String]) -> Vec<u8> {
    let is_option = |arg: &&String| {
        arg.strip_prefix('-').is_some_and(|letters| !letters.is_empty() && letters.chars().all(|letter| "neE".contains(letter)))
    };
    let options: String = args.iter().take_while(is_option).map(|arg| &arg[1..]).collect();
    let words = &args[args.iter().take_while(is_option).count()..];
    let newline = !options.contains('n');
    let escapes = options.chars().rev().find(|letter| *letter != 'n') == Some('e');
    let mut text = words.join(" ").into_bytes();
    if escapes {
        let (unescaped, stopped) = unescape(&octal(&text));
        text = unescaped;
        if stopped {
            return text;
        }
    }
    if newline {
        text.push(b'\n');
    }
    text
}

/// Its octal numbers begin with an additional 0: `\0101` is what is `\101` elsewhere, and `\101` is that here, too.
fn octal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        out.push(text[at]);
        if text[at] == b'\\' {
            match (text.get(at + 1), text.get(at + 2)) {
                (Some(b'0'), Some(b'0'..=b'7')) => at += 1,
                (Some(other), _) => {
                    out.push(*other);
                    at += 1;
                }
                (None, _) => {}
            }
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_first() {
        let text =
            |args: &[&str]| String::from_utf8(echo(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())).unwrap();
        assert_eq!(text(&["a", "-n"]), "a -n\n");
        assert_eq!(text(&["-ne", r"a\tb\0101"]), "a\tbA");
        assert_eq!(text(&["-e", r"a\cb", "c"]), "a");
        assert_eq!(text(&["-x", r"\t"]), "-x \\t\n");
        assert_eq!(text(&[]), "\n");
    }
}
