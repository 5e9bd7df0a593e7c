//! The name of a field manager.

use crate::field::{Errors, Path};

const LONGEST: usize = 128;

/// The manager of a request: as it says, else the first part of its User-Agent.
#[must_use]
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut out = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| is_print(*c)) {
        if out.len() + c.len_utf8() > LONGEST {
            break;
        }
        out.push(c);
    }
    out
}

/// What is wrong with a field manager that a request names.
pub fn check_field_manager(name: &str, path: &Path, errors: &mut Errors) {
    if name.len() > LONGEST {
        errors.too_long(path, LONGEST);
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        // `%#U` shows a character only if it is printable.
        errors.invalid(path, name, &format!("invalid character U+{:04X} (at position {at})", c as u32));
    }
}

/// Roughly Go's `unicode.IsPrint`: no control and format characters, no spaces but the plain one.
fn is_print(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb)
            || matches!(c as u32, 0xe000..=0xf8ff | 0xf0000..))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // apiserver/pkg/endpoints/handlers/create_test.go
    #[rstest]
    #[case("", "userAgent/1.0", "userAgent")]
    #[case("manager", "userAgent", "manager")]
    #[case("", "cel/shading\n", "cel")]
    #[case("", "us\u{0}er", "user")]
    #[case("", "", "")]
    fn names(#[case] manager: &str, #[case] agent: &str, #[case] expected: &str) {
        assert_eq!(manager_name(manager, agent), expected);
        assert_eq!(manager_name("", &"🐱".repeat(40)).len(), 128);
    }

    #[test]
    fn checks() {
        let mut errors = Errors::new();
        check_field_manager("a\nb", &Path::new("fieldManager"), &mut errors);
        assert_eq!(
            errors.aggregate().unwrap(),
            r#"fieldManager: Invalid value: "a\nb": invalid character U+000A (at position 1)"#
        );
    }
}
