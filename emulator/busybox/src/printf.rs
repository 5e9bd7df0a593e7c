//! `printf`.

use crate::escapes::unescape;

/// What `printf` prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) text: Vec<u8>,
    /// What is wrong, in order.
    pub(crate) complaints: Vec<String>,
    pub(crate) status: i32,
}

/// A `%` and what follows it.
#[derive(Debug, Default)]
struct Directive {
    flags: String,
    width: Option<usize>,
    precision: Option<usize>,
    conversion: char,
    /// What follows the flags, to be told when it is no conversion.
    rest: String,
}

struct Arguments<'a> {
    left: &'a [String],
    used: bool,
}

impl Arguments<'_> {
    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        self.used = true;
        Some(first)
    }
}

/// Formats the arguments, again and again until all are used.
pub(crate) fn printf(format: &str, args: &[String]) -> Printed {
    let mut printed = Printed::default();
    let mut arguments = Arguments { left: args, used: false };
    loop {
        arguments.used = false;
        if !once(format, &mut arguments, &mut printed) || arguments.left.is_empty() || !arguments.used {
            return printed;
        }
    }
}

/// Returns whether it goes on.
fn once(format: &str, arguments: &mut Arguments<'_>, printed: &mut Printed) -> bool {
    let bytes = format.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' if bytes.get(at + 1) == Some(&b'%') => {
                printed.text.push(b'%');
                at += 2;
            }
            b'%' => {
                let (directive, length) = directive(&format[at + 1..], arguments);
                if !convert(&directive, arguments, printed) {
                    return false;
                }
                at += 1 + length;
            }
            b'\\' => {
                let end = bytes[at + 1..].iter().position(|byte| matches!(byte, b'%')).map_or(bytes.len(), |next| at + 1 + next);
                let (text, stopped) = unescape(&bytes[at..end]);
                printed.text.extend(text);
                if stopped {
                    return false;
                }
                at = end;
            }
            other => {
                printed.text.push(other);
                at += 1;
            }
        }
    }
    true
}

fn directive(text: &str, arguments: &mut Arguments<'_>) -> (Directive, usize) {
    let mut directive = Directive::default();
    let mut characters = text.char_indices().peekable();
    while let Some((_, flag)) = characters.next_if(|(_, next)| "-+ #0".contains(*next)) {
        directive.flags.push(flag);
    }
    let mut number = |characters: &mut std::iter::Peekable<std::str::CharIndices<'_>>, flags: &mut String| {
        if characters.next_if(|(_, next)| *next == '*').is_some() {
            let value = arguments.next().and_then(|arg| arg.parse::<i64>().ok()).unwrap_or(0);
            if value < 0 {
                flags.push('-');
            }
            return usize::try_from(value.unsigned_abs()).ok();
        }
        let mut digits = String::new();
        while let Some((_, digit)) = characters.next_if(|(_, next)| next.is_ascii_digit()) {
            digits.push(digit);
        }
        digits.parse().ok()
    };
    // A field is not allowed to be a way to use up memory.
    directive.width = number(&mut characters, &mut directive.flags).map(|width| width.min(65536));
    if characters.next_if(|(_, next)| *next == '.').is_some() {
        directive.precision = Some(number(&mut characters, &mut String::new()).unwrap_or(0).min(65536));
    }
    while characters.next_if(|(_, next)| "hlLqjzt".contains(*next)).is_some() {}
    directive.rest = characters.peek().map_or("", |(index, _)| &text[*index..]).to_owned();
    match characters.next() {
        Some((index, conversion)) => {
            directive.conversion = conversion;
            (directive, index + conversion.len_utf8())
        }
        None => (directive, text.len()),
    }
}

/// Returns whether it goes on.
fn convert(directive: &Directive, arguments: &mut Arguments<'_>, printed: &mut Printed) -> bool {
    match directive.conversion {
        's' => {
            let text = arguments.next().unwrap_or("").as_bytes().to_vec();
            let text = directive.precision.map_or(&text[..], |most| &text[..most.min(text.len())]);
            pad(directive, text.to_vec(), &mut printed.text);
        }
        'b' => {
            let argument = arguments.next().unwrap_or("").to_owned();
            let (text, stopped) = unescape(argument.as_bytes());
            pad(directive, text, &mut printed.text);
            return !stopped;
        }
        'c' => {
            let text = arguments.next().unwrap_or("").as_bytes().iter().take(1).copied().collect();
            pad(directive, text, &mut printed.text);
        }
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
            let argument = arguments.next().unwrap_or("").to_owned();
            let value = integer(&argument, printed);
            let text = whole(directive, value);
            pad(directive, text.into_bytes(), &mut printed.text);
        }
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let argument = arguments.next().unwrap_or("").to_owned();
            let value =
                if argument.is_empty() { 0.0 } else { argument.trim().parse().unwrap_or_else(|_| invalid(&argument, printed)) };
            let text = fraction(directive, value);
            pad(directive, text.into_bytes(), &mut printed.text);
        }
        _ => {
            printed.complaints.push(format!("%{}: invalid format", directive.rest));
            printed.status = 1;
            return false;
        }
    }
    true
}

fn invalid<T: Default>(argument: &str, printed: &mut Printed) -> T {
    printed.complaints.push(format!("invalid number '{argument}'"));
    printed.status = 1;
    T::default()
}

fn integer(argument: &str, printed: &mut Printed) -> i64 {
    if let Some(quoted) = argument.strip_prefix(['\'', '"']) {
        return quoted.bytes().next().map_or(0, i64::from);
    }
    if argument.is_empty() {
        return 0;
    }
    let text = argument.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(&digits[1..], 8),
        None => digits.parse(),
    };
    match value {
        Ok(value) if negative => value.cast_signed().wrapping_neg(),
        Ok(value) => value.cast_signed(),
        Err(_) => invalid(argument, printed),
    }
}

fn whole(directive: &Directive, value: i64) -> String {
    let unsigned = value.cast_unsigned();
    let alternative = directive.flags.contains('#') && value != 0;
    let (sign, mut digits) = match directive.conversion {
        'u' => ("", unsigned.to_string()),
        'o' => (if alternative { "0" } else { "" }, format!("{unsigned:o}")),
        'x' => (if alternative { "0x" } else { "" }, format!("{unsigned:x}")),
        'X' => (if alternative { "0X" } else { "" }, format!("{unsigned:X}")),
        _ if value < 0 => ("-", value.unsigned_abs().to_string()),
        _ if directive.flags.contains('+') => ("+", value.to_string()),
        _ if directive.flags.contains(' ') => (" ", value.to_string()),
        _ => ("", value.to_string()),
    };
    let least = match (directive.precision, directive.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if zero_padded(directive) => width.saturating_sub(sign.len()),
        _ => 0,
    };
    while digits.len() < least {
        digits.insert(0, '0');
    }
    sign.to_owned() + &digits
}

fn zero_padded(directive: &Directive) -> bool {
    directive.flags.contains('0') && !directive.flags.contains('-')
}

fn fraction(directive: &Directive, value: f64) -> String {
    let precision = directive.precision.unwrap_or(6);
    let mut text = match directive.conversion {
        'e' | 'E' => exponential(value, precision),
        'g' | 'G' => general(value, precision.max(1)),
        _ => format!("{value:.precision$}"),
    };
    if directive.conversion.is_ascii_uppercase() {
        text = text.to_uppercase();
    }
    if value >= 0.0 && directive.flags.contains('+') {
        text.insert(0, '+');
    }
    if zero_padded(directive) {
        let at = usize::from(text.starts_with(['-', '+']));
        while text.len() < directive.width.unwrap_or(0) {
            text.insert(at, '0');
        }
    }
    text
}

fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

fn general(value: f64, precision: usize) -> String {
    let scientific = exponential(value, precision - 1);
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if exponent < -4 || exponent >= i32::try_from(precision).unwrap_or(i32::MAX) {
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        return format!("{}e{exponent}", trim(digits));
    }
    let decimals = usize::try_from(i32::try_from(precision).unwrap_or(0) - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

fn pad(directive: &Directive, text: Vec<u8>, out: &mut Vec<u8>) {
    let blanks = vec![b' '; directive.width.unwrap_or(0).saturating_sub(text.len())];
    if directive.flags.contains('-') {
        out.extend(text);
        out.extend(blanks);
    } else {
        out.extend(blanks);
        out.extend(text);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("%s-%s\\n", &["a", "b", "c"], "a-b\nc-\n")]
    #[case("%5d|%-5d|%05d", &["42", "42", "42"], "   42|42   |00042")]
    #[case("%x %o %X %#x", &["255", "8", "255", "16"], "ff 10 FF 0x10")]
    #[case("%.2f %e %g", &["3.14159", "12345.678", "0.0001"], "3.14 1.234568e+04 0.0001")]
    #[case("%b|", &[r"a\tb"], "a\tb|")]
    #[case("%c%%", &["xyz"], "x%")]
    #[case("%d", &["'A"], "65")]
    #[case("%*d", &["4", "7"], "   7")]
    #[case("none\\n", &["a", "b"], "none\n")]
    #[case("%.2s", &["abc"], "ab")]
    #[case("%d %d", &["-5", "0x10"], "-5 16")]
    fn formats(#[case] format: &str, #[case] args: &[&str], #[case] expected: &str) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(String::from_utf8(printf(format, &args).text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_number_is_told() {
        let printed = printf("%d", &["x".to_owned()]);
        assert_eq!((printed.text.as_slice(), printed.status), (&b"0"[..], 1));
        assert_eq!(printed.complaints, ["invalid number 'x'"]);
    }
}
