//! Schedules of CronJobs, with the errors of `github.com/robfig/cron`'s `ParseStandard`.

use super::super::field::quote;

/// The least and the greatest value of a field, and its names from the least on.
struct Bounds {
    least: u64,
    most: u64,
    names: &'static [&'static str],
}

const FIELDS: [Bounds; 5] = [
    Bounds { least: 0, most: 59, names: &[] },
    Bounds { least: 0, most: 23, names: &[] },
    Bounds { least: 1, most: 31, names: &[] },
    Bounds { least: 1, most: 12, names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] },
    Bounds { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// What is wrong with a schedule, if anything is.
pub(super) fn error(schedule: &str) -> Option<String> {
    parse(schedule).err()
}

fn parse(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let mut rest = schedule;
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        let Some((zone, after)) = schedule.split_once(' ') else {
            return Err("expected exactly 5 fields, found 0: []".to_owned());
        };
        let zone = zone.split_once('=').map_or("", |(_, zone)| zone);
        if !is_time_zone(zone) {
            return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return match rest {
            "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
            _ => match rest.strip_prefix("@every ") {
                Some(duration) => {
                    duration_error(duration).map_or(Ok(()), |why| Err(format!("failed to parse duration {rest}: {why}")))
                }
                None => Err(format!("unrecognized descriptor: {rest}")),
            },
        };
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        for range in field.split(',').filter(|range| !range.is_empty()) {
            check_range(range, bounds)?;
        }
    }
    Ok(())
}

fn check_range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let (least, most) = (bounds.least, bounds.most);
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (least, most)
    } else {
        let start = value(ends[0], bounds)?;
        match ends[..] {
            [_] => (start, start),
            [_, end] => (start, value(end, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            let step = integer(step)?;
            // `n/step` means from n on.
            if ends.len() == 1 {
                end = most;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {text}"));
    }
    if end > most {
        return Err(format!("end of range ({end}) above maximum ({most}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn value(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().zip(bounds.least..).find(|(name, _)| **name == lower) {
        Some((_, value)) => Ok(value),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}")),
        Err(why) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = match why.kind() {
                NegOverflow | PosOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {}: {why}", quote(text)))
        }
    }
}

/// What Go's `time.ParseDuration` says of a text.
fn duration_error(text: &str) -> Option<String> {
    let invalid = || Some(format!("time: invalid duration {}", quote(text)));
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return None;
    }
    if rest.is_empty() {
        return invalid();
    }
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let digits = &rest[..number];
        if digits.matches('.').count() > 1 || !digits.bytes().any(|c| c.is_ascii_digit()) {
            return invalid();
        }
        rest = &rest[number..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len())];
        match unit {
            "" => return Some(format!("time: missing unit in duration {}", quote(text))),
            "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h" => rest = &rest[unit.len()..],
            _ => return Some(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        }
    }
    None
}

/// Whether there is a time zone of exactly that name: those of the database that Go brings along are in `zones.txt`.
pub(super) fn is_time_zone(name: &str) -> bool {
    matches!(name, "" | "UTC") || include_str!("zones.txt").lines().any(|zone| zone == name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*/5 * * * *", None)]
    #[case("0 0 1 jan mon-fri", None)]
    #[case("@hourly", None)]
    #[case("@every 1h30m", None)]
    #[case("@every x", Some("failed to parse duration @every x: time: invalid duration \"x\""))]
    #[case("@foo", Some("unrecognized descriptor: @foo"))]
    #[case("bogus", Some("expected exactly 5 fields, found 1: [bogus]"))]
    #[case("60 * * * *", Some("end of range (60) above maximum (59): 60"))]
    #[case("a * * * *", Some("failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"))]
    #[case("5-3 * * * *", Some("beginning of range (5) beyond end of range (3): 5-3"))]
    #[case("*/0 * * * *", Some("step of range should be a positive number: */0"))]
    #[case("* * 0 * *", Some("beginning of range (0) below minimum (1): 0"))]
    fn schedules(#[case] schedule: &str, #[case] expected: Option<&str>) {
        assert_eq!(error(schedule).as_deref(), expected);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(schedule in "[@a-z0-9*/,?é -]{0,30}") {
            let _ = error(&schedule);
        }
    }
}
