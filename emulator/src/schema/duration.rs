//! Durations as Go's `time.ParseDuration` reads and `time.Duration` writes them: `1h30m0s`.

use crate::field::quote;

/// Go's message for what is no duration.
pub(crate) fn invalid(text: &str) -> String {
    format!("time: invalid duration {}", quote(text))
}

/// The form that Go writes.
///
/// # Errors
///
/// Go's message.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    nanoseconds(text).map(show)
}

/// `time.ParseDuration`.
///
/// # Errors
///
/// Go's message.
pub(crate) fn nanoseconds(text: &str) -> Result<i64, String> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid(text));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, after) = rest.split_at(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid(text));
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let size: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        // Eighteen digits of a fraction are more than an hour has of nanoseconds.
        let fraction = &fraction[..fraction.len().min(18)];
        let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().map_err(|_| invalid(text))? };
        let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().map_err(|_| invalid(text))? };
        let power = 10i128.pow(u32::try_from(fraction.len()).unwrap_or(18));
        let value = whole.checked_mul(size).ok_or_else(|| invalid(text))? + part * size / power;
        total = total.checked_add(value).ok_or_else(|| invalid(text))?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid(text))
}

/// `time.Duration.String`.
fn show(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let decimal = |unit: u64| {
        let (whole, rest) = (total / unit, total % unit);
        if rest == 0 {
            return whole.to_string();
        }
        let width = unit.ilog10() as usize;
        format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
    };
    match total {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}\u{b5}s", decimal(1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(1_000_000)),
        _ => {
            let seconds = total / 1_000_000_000;
            let rest = total % 60_000_000_000;
            let tail = if rest.is_multiple_of(1_000_000_000) {
                (rest / 1_000_000_000).to_string()
            } else {
                let fraction = format!("{:09}", rest % 1_000_000_000);
                format!("{}.{}", rest / 1_000_000_000, fraction.trim_end_matches('0'))
            };
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{sign}{tail}s"),
                (0, minutes) => format!("{sign}{minutes}m{tail}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{tail}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("90m", "1h30m0s")]
    #[case("1.5s", "1.5s")]
    #[case("0", "0s")]
    #[case("1500us", "1.5ms")]
    #[case("-1m0.25s", "-1m0.25s")]
    #[case("20ns", "20ns")]
    fn writes(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(canonical(text).unwrap(), expected);
    }

    #[rstest]
    #[case("", "time: invalid duration \"\"")]
    #[case("1", "time: missing unit in duration \"1\"")]
    #[case("1x", "time: unknown unit \"x\" in duration \"1x\"")]
    #[case("x", "time: invalid duration \"x\"")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(canonical(text).unwrap_err(), message);
    }
}
