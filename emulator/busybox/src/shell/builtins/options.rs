//! `set`.

use super::super::{Options, Outcome, Shell};

/// The options that have a letter, or a name.
const KNOWN: [(char, &str); 12] = [
    ('e', "errexit"),
    ('f', "noglob"),
    ('i', "interactive"),
    ('n', "noexec"),
    ('s', "stdin"),
    ('c', ""),
    ('x', "xtrace"),
    ('v', "verbose"),
    ('C', "noclobber"),
    ('a', "allexport"),
    ('u', "nounset"),
    ('\0', "pipefail"),
];

impl Options {
    fn flag(&mut self, letter: char, name: &str) -> Option<&mut bool> {
        Some(match (letter, name) {
            ('e', _) | (_, "errexit") => &mut self.errexit,
            ('f', _) | (_, "noglob") => &mut self.noglob,
            ('i', _) | (_, "interactive") => &mut self.interactive,
            ('n', _) | (_, "noexec") => &mut self.noexec,
            ('s', _) | (_, "stdin") => &mut self.stdin,
            ('x', _) | (_, "xtrace") => &mut self.xtrace,
            ('v', _) | (_, "verbose") => &mut self.verbose,
            ('C', _) | (_, "noclobber") => &mut self.noclobber,
            ('a', _) | (_, "allexport") => &mut self.allexport,
            ('u', _) | (_, "nounset") => &mut self.nounset,
            ('c', _) => &mut self.command,
            (_, "pipefail") => &mut self.pipefail,
            _ => return None,
        })
    }

    /// Sets the one that has this letter; whether there is one.
    pub(in crate::shell) fn set_letter(&mut self, letter: char, on: bool) -> bool {
        self.flag(letter, "").map(|flag| *flag = on).is_some()
    }

    /// Sets the one that has this name; whether there is one.
    pub(in crate::shell) fn set_name(&mut self, name: &str, on: bool) -> bool {
        !name.is_empty() && self.flag('\0', name).map(|flag| *flag = on).is_some()
    }
}

impl Shell {
    /// `$-`
    pub(in crate::shell) fn flags(&self) -> String {
        let mut options = self.options;
        KNOWN
            .iter()
            .rev()
            .filter(|(letter, _)| *letter != '\0' && options.flag(*letter, "").is_some_and(|on| *on))
            .map(|(letter, _)| letter)
            .collect()
    }
}

pub(super) async fn set(shell: &mut Shell, args: &[String]) -> Outcome {
    if args.is_empty() {
        let lines: String = shell
            .variables
            .iter()
            .filter_map(|(name, variable)| Some(format!("{name}={}\n", quoted(variable.value.as_ref()?))))
            .collect();
        return shell.put(1, lines).await;
    }
    let mut left = args.iter();
    while let Some(arg) = left.next() {
        let (on, letters) = match (arg.strip_prefix('-'), arg.strip_prefix('+')) {
            (Some("-"), _) => {
                shell.positional = left.cloned().collect();
                return Ok(0);
            }
            (Some(letters), _) if !letters.is_empty() => (true, letters),
            (_, Some(letters)) if !letters.is_empty() => (false, letters),
            _ => {
                shell.positional = std::iter::once(arg).chain(left).cloned().collect();
                return Ok(0);
            }
        };
        for letter in letters.chars() {
            if letter == 'o' {
                match left.next() {
                    Some(name) if shell.options.set_name(name, on) => {}
                    Some(name) => {
                        shell.complain(format!("illegal option {}o {name}", if on { '-' } else { '+' })).await;
                        return Ok(1);
                    }
                    None => list(shell).await?,
                }
            } else if !shell.options.set_letter(letter, on) {
                return Err(shell.fail(format!("illegal option -{letter}")).await);
            }
        }
    }
    Ok(0)
}

async fn list(shell: &mut Shell) -> Result<(), super::Leave> {
    let mut options = shell.options;
    let named = KNOWN.iter().filter(|(_, name)| !name.is_empty());
    let lines: String = named
        .map(|(letter, name)| {
            let on = options.flag(*letter, name).is_some_and(|on| *on);
            format!("{name:<16}{}\n", if on { "on" } else { "off" })
        })
        .collect();
    shell.put(1, format!("Current option settings\n{lines}")).await.map(drop)
}

/// A value as it could be typed in again.
pub(super) fn quoted(value: &str) -> String {
    if value.is_empty() {
        return "''".to_owned();
    }
    let mut text = String::new();
    for (index, piece) in value.split('\'').enumerate() {
        if index > 0 {
            text.push_str("\"'\"");
        }
        if !piece.is_empty() {
            text.push('\'');
            text.push_str(piece);
            text.push('\'');
        }
    }
    text
}

/// The same, where it must be (`set -x`).
pub(in crate::shell) fn quoted_if_needed(value: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:=,@%+".contains(character);
    if !value.is_empty() && value.chars().all(plain) { value.to_owned() } else { quoted(value) }
}
