//! Times as Go's `time.Parse` reads them with the layouts of `metav1.Time` and `metav1.MicroTime`, and what it says of those
//! it cannot read.

use jiff::civil;

/// `time.RFC3339`.
const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// `metav1.RFC3339Micro`.
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// The canonical form of a `metav1.Time`.
///
/// # Errors
///
/// Go's message.
pub(crate) fn seconds(text: &str) -> Result<String, String> {
    Ok(parse(SECONDS, text)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The canonical form of a `metav1.MicroTime`.
///
/// # Errors
///
/// Go's message.
pub(crate) fn micros(text: &str) -> Result<String, String> {
    Ok(parse(MICROS, text)?.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

/// Whether a canonical time is Go's zero time, which stands for none.
pub(crate) fn is_zero(canonical: &str) -> bool {
    matches!(canonical, "0001-01-01T00:00:00Z" | "0001-01-01T00:00:00.000000Z")
}

/// What stands at one place of the layout.
#[derive(Clone, Copy)]
enum Element {
    Text(&'static str),
    /// Of that many digits, at most that, called so when out of range.
    Number(&'static str, usize, u32, u32, &'static str),
    Fraction,
    Zone,
}

/// The layout's elements; the names are what Go calls them in its layouts.
fn elements(layout: &str) -> impl Iterator<Item = Element> {
    let date = [
        Element::Number("2006", 4, 0, 9999, ""),
        Element::Text("-"),
        Element::Number("01", 2, 1, 12, "month"),
        Element::Text("-"),
        Element::Number("02", 2, 0, 99, ""),
        Element::Text("T"),
        Element::Number("15", 1, 0, 23, "hour"),
        Element::Text(":"),
        Element::Number("04", 2, 0, 59, "minute"),
        Element::Text(":"),
        Element::Number("05", 2, 0, 59, "second"),
    ];
    let fraction = (layout == MICROS).then_some(Element::Fraction);
    date.into_iter().chain(fraction).chain([Element::Zone])
}

/// Strings as the package `time` quotes them in its errors.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            0x20..0x80 => out.push(char::from(byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('"');
    out
}

fn parse(layout: &str, text: &str) -> Result<civil::DateTime, String> {
    let cannot = |rest: &str, element: &str| {
        format!("parsing time {} as {}: cannot parse {} as {}", quote(text), quote(layout), quote(rest), quote(element))
    };
    let out_of_range = |what: &str| format!("parsing time {}: {what} out of range", quote(text));

    let mut rest = text;
    let mut numbers = [0u32; 6];
    let mut read = 0;
    let mut nanos = 0;
    let mut offset = 0i64;
    for element in elements(layout) {
        match element {
            Element::Text(fixed) => rest = rest.strip_prefix(fixed).ok_or_else(|| cannot(rest, fixed))?,
            Element::Number(name, least, low, high, what) => {
                let digits = leading_digits(rest).min(least.max(2));
                if digits < least || (name == "2006" && digits < 4) {
                    return Err(cannot(rest, name));
                }
                let value = rest[..digits].parse().unwrap_or(u32::MAX);
                rest = &rest[digits..];
                if value < low || value > high {
                    return Err(out_of_range(what));
                }
                numbers[read] = value;
                read += 1;
                // Go takes a fraction after the seconds though the layout has none.
                if name == "05" && layout == SECONDS && rest.starts_with(['.', ',']) && leading_digits(&rest[1..]) > 0 {
                    let length = 1 + leading_digits(&rest[1..]);
                    nanos = fraction(&rest[1..length]);
                    rest = &rest[length..];
                }
            }
            Element::Fraction => {
                if !rest.starts_with('.') && !rest.starts_with(',') || leading_digits(rest.get(1..).unwrap_or_default()) < 6 {
                    return Err(cannot(rest, ".000000"));
                }
                nanos = fraction(&rest[1..7]);
                rest = &rest[7..];
            }
            Element::Zone => {
                if let Some(after) = rest.strip_prefix('Z') {
                    rest = after;
                } else {
                    let (found, after) = zone(rest).ok_or_else(|| cannot(rest, "Z07:00"))?;
                    offset = found.map_err(out_of_range)?;
                    rest = after;
                }
            }
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quote(text), quote(rest)));
    }
    let [year, month, day, hour, minute, second] = numbers;
    let narrow = |value: u32| i8::try_from(value).unwrap_or(i8::MAX);
    let date =
        civil::Date::new(i16::try_from(year).unwrap_or(i16::MAX), narrow(month), narrow(day)).map_err(|_| out_of_range("day"))?;
    let time = civil::Time::new(narrow(hour), narrow(minute), narrow(second), nanos).map_err(|_| out_of_range("day"))?;
    // Without its zone: a timestamp would end a day before the year 9999 does.
    date.to_datetime(time).checked_sub(jiff::SignedDuration::from_secs(offset)).map_err(|_| out_of_range("year"))
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The first nine digits of a fraction as nanoseconds.
fn fraction(digits: &str) -> i32 {
    let digits = &digits[..digits.len().min(9)];
    #[allow(clippy::cast_possible_truncation)] // Nine digits at most.
    let scale = 10i32.pow(9 - digits.len() as u32);
    digits.parse::<i32>().map_or(0, |value| value * scale)
}

/// `+07:00`: its seconds, or what of it is out of range, and what follows.
#[allow(clippy::type_complexity)]
fn zone(text: &str) -> Option<(Result<i64, &'static str>, &str)> {
    let bytes = text.as_bytes().get(..6)?;
    let sign = match bytes[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let pair = |at: usize| text.get(at..at + 2).filter(|pair| leading_digits(pair) == 2)?.parse::<i64>().ok();
    let (hours, minutes) = (pair(1)?, pair(4)?);
    if bytes[3] != b':' {
        return None;
    }
    let offset = match (hours, minutes) {
        (25.., _) => Err("time zone offset hour"),
        (_, 61..) => Err("time zone offset minute"),
        _ => Ok(sign * (hours * 60 + minutes) * 60),
    };
    Some((offset, text.get(6..)?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z")]
    #[case("2024-01-02T03:04:05.999Z", "2024-01-02T03:04:05Z")]
    #[case("2024-01-02T03:04:05+02:00", "2024-01-02T01:04:05Z")]
    #[case("2024-01-02T3:04:05Z", "2024-01-02T03:04:05Z")]
    fn reads_seconds(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(seconds(text).unwrap(), expected);
    }

    #[rstest]
    #[case(
        "2024-01-02T03:04:05.5Z",
        "parsing time \"2024-01-02T03:04:05.5Z\" as \"2006-01-02T15:04:05.000000Z07:00\": \
            cannot parse \".5Z\" as \".000000\""
    )]
    #[case(
        "2024-01-02T03:04:05Z",
        "parsing time \"2024-01-02T03:04:05Z\" as \"2006-01-02T15:04:05.000000Z07:00\": \
            cannot parse \"Z\" as \".000000\""
    )]
    fn refuses_micros(#[case] text: &str, #[case] message: &str) {
        assert_eq!(micros(text).unwrap_err(), message);
    }

    #[rstest]
    #[case("now", "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"")]
    #[case("", "parsing time \"\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"2006\"")]
    #[case("2024-13-01T00:00:00Z", "parsing time \"2024-13-01T00:00:00Z\": month out of range")]
    #[case("2024-02-30T00:00:00Z", "parsing time \"2024-02-30T00:00:00Z\": day out of range")]
    #[case("2024-02-03T25:00:00Z", "parsing time \"2024-02-03T25:00:00Z\": hour out of range")]
    #[case("2024-02-03", "parsing time \"2024-02-03\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\"")]
    #[case(
        "2024-02-03T01:02:03",
        "parsing time \"2024-02-03T01:02:03\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\""
    )]
    #[case("2024-02-03T01:02:03Zx", "parsing time \"2024-02-03T01:02:03Zx\": extra text: \"x\"")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(seconds(text).unwrap_err(), message);
    }
}
