//! Permission bits, as `chmod`, `mkdir -m` and `umask` are told them.

/// The bits that a mode, octal or symbolic, makes of those that are there; none if it is no mode.
pub(crate) fn change(text: &str, now: u32, is_directory: bool, umask: u32) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    }
    text.split(',').try_fold(now, |mode, clause| apply(clause, mode, is_directory, umask))
}

/// `ugoa*[+-=][rwxXstugo]*`, the latter two perhaps several times.
fn apply(clause: &str, mut mode: u32, is_directory: bool, umask: u32) -> Option<u32> {
    let who_end = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(who_end);
    let mut affected = 0;
    for letter in who.chars() {
        affected |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    // For nobody in particular, the mask stays what it is.
    let masked = if who.is_empty() { !umask } else { u32::MAX };
    let affected = if who.is_empty() { 0o7777 } else { affected };
    while let Some(operator) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, after) = rest.split_at(end);
        rest = after;
        let mut bits = 0;
        for letter in letters.chars() {
            bits |= match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_directory || mode & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                'u' => (mode >> 6 & 7) * 0o111,
                'g' => (mode >> 3 & 7) * 0o111,
                'o' => (mode & 7) * 0o111,
                _ => return None,
            };
        }
        let bits = bits & affected & masked;
        mode = match operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            '=' => (mode & !(affected & 0o777)) | bits,
            _ => return None,
        };
    }
    Some(mode)
}

/// As `ls -l` shows it, without the kind.
pub(crate) fn letters(mode: u32) -> String {
    let mut text = String::new();
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("644", 0, Some(0o644))]
    #[case("1777", 0, Some(0o1777))]
    #[case("u+x", 0o644, Some(0o744))]
    #[case("go-rwx", 0o755, Some(0o700))]
    #[case("a=r,u+w", 0o777, Some(0o644))]
    #[case("+x", 0o644, Some(0o755))]
    #[case("g=u", 0o740, Some(0o770))]
    #[case("g+s", 0o755, Some(0o2755))]
    #[case("+t", 0o755, Some(0o1755))]
    #[case("a+X", 0o644, Some(0o644))]
    #[case("z+x", 0o644, None)]
    #[case("", 0o644, None)]
    #[case("77777", 0, None)]
    fn modes(#[case] text: &str, #[case] now: u32, #[case] expected: Option<u32>) {
        assert_eq!(change(text, now, false, 0o022), expected);
    }

    #[test]
    fn modes_have_letters() {
        assert_eq!(letters(0o644), "rw-r--r--");
        assert_eq!(letters(0o1777), "rwxrwxrwt");
        assert_eq!(letters(0o2745), "rwxr-Sr-x");
    }
}
