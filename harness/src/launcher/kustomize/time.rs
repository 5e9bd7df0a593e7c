//! Times, which YAML knows and JSON does not: Kustomize prints an unquoted one in the form of RFC 3339.

use std::ops::RangeInclusive;

/// The text of a time, should this be one (`parseTimestamp` of `go.yaml.in/yaml/v3`): a date, or a date and a time of day.
pub(super) fn normalized(text: &str) -> Option<String> {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year = number(year, 4..=4)?;
    let (month, day) = (number(month, 1..=2)?, number(day, 1..=2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let Some((separator, time)) = time else { return Some(format!("{date}T00:00:00Z")) };
    // A time after a blank is without a zone, one after a `T` has to have one.
    let (time, zone) = if separator == " " { (time, "Z") } else { time.split_at(time.find(['Z', '+', '-'])?) };
    Some(format!("{date}T{}{}", time_of_day(time)?, self::zone(zone)?))
}

fn number(digits: &str, length: RangeInclusive<usize>) -> Option<u32> {
    (length.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn time_of_day(text: &str) -> Option<String> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (second, fraction) = match second.find(['.', ',']) {
        Some(at) => (&second[..at], Some(&second[at + 1..])),
        None => (second, None),
    };
    let (hour, minute, second) = (number(hour, 1..=2)?, number(minute, 1..=2)?, number(second, 1..=2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match fraction {
        Some(digits) => {
            number(digits, 1..=9)?;
            digits.trim_end_matches('0')
        }
        None => "",
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!("{hour:02}:{minute:02}:{second:02}{dot}{fraction}"))
}

fn zone(text: &str) -> Option<String> {
    if text == "Z" {
        return Some("Z".to_owned());
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
    match (hours, minutes) {
        (0, 0) => Some("Z".to_owned()),
        (0..=24, 0..=59) => Some(text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2001-1-2", Some("2001-01-02T00:00:00Z"))]
    #[case("2001-12-14t21:59:43.10-05:00", Some("2001-12-14T21:59:43.1-05:00"))]
    #[case("2001-12-14 21:59:43", Some("2001-12-14T21:59:43Z"))]
    #[case("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z"))]
    #[case("2023-02-29", None)]
    #[case("2001-12-14T21:59:43", None)]
    #[case("1.2.3", None)]
    #[case("2001-12-14-1", None)]
    fn reads_what_go_reads(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(normalized(text).as_deref(), expected);
    }
}
