//! When a schedule is next due (`github.com/robfig/cron`); that it can be read was checked before it was stored.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::schema::duration;

/// A schedule as it was read.
pub(super) enum Schedule {
    /// Always after that many seconds.
    Every(i64),
    /// Minutes, hours, days, months and weekdays as sets of bits.
    At { fields: [u64; 5], any_day: bool, any_weekday: bool, zone: TimeZone },
}

const NAMES: [&str; 19] = [
    "sun", "mon", "tue", "wed", "thu", "fri", "sat", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov",
    "dec",
];
const BOUNDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
/// Days after which a schedule that has not come never comes: the 30th of February.
const GIVE_UP: i32 = 5 * 366;

impl Schedule {
    /// None when it cannot be read.
    pub(super) fn parse(text: &str, zone: &str) -> Option<Self> {
        let (zone, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            Some(rest) => rest.split_once(' ')?,
            None => (zone, text),
        };
        let zone = if zone.is_empty() { TimeZone::UTC } else { TimeZone::get(zone).ok()? };
        let text = text.trim();
        if let Some(every) = text.strip_prefix("@every ") {
            let seconds = duration::nanoseconds(every).ok()? / 1_000_000_000;
            return Some(Self::Every(seconds.max(1)));
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        if parts.len() != BOUNDS.len() {
            return None;
        }
        let mut fields = [0; 5];
        for ((part, bounds), field) in parts.iter().zip(BOUNDS).zip(&mut fields) {
            *field = bits(part, bounds)?;
        }
        let any = |part: &str| part.split(',').any(|range| range.starts_with(['*', '?']) && !range.contains('/'));
        Some(Self::At { fields, any_day: any(parts[2]), any_weekday: any(parts[4]), zone })
    }

    /// The first time after `from`.
    pub(super) fn after(&self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => {
                Timestamp::from_second(from.as_second()).ok()?.checked_add(SignedDuration::from_secs(*seconds)).ok()
            }
            Self::At { fields, any_day, any_weekday, zone } => {
                let start = from.to_zoned(zone.clone()).datetime();
                let has = |field: usize, value: i8| u32::try_from(value).is_ok_and(|value| fields[field] >> value & 1 == 1);
                let on = |date: Date| {
                    let (day, weekday) = (has(2, date.day()), has(4, date.weekday().to_sunday_zero_offset()));
                    has(3, date.month()) && if *any_day || *any_weekday { day && weekday } else { day || weekday }
                };
                let mut date = start.date();
                for _ in 0..GIVE_UP {
                    if on(date) {
                        for hour in (0..24).filter(|hour| has(1, *hour)) {
                            for minute in (0..60).filter(|minute| has(0, *minute)) {
                                let at = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
                                // A time that a clock skips does not come.
                                let found = zone.to_ambiguous_timestamp(at).compatible().ok();
                                if let Some(found) = found.filter(|found| *found > from) {
                                    return Some(found);
                                }
                            }
                        }
                    }
                    date = date.checked_add(1.day()).ok()?;
                }
                None
            }
        }
    }
}

fn bits(field: &str, (least, most): (u32, u32)) -> Option<u64> {
    let mut all = 0;
    for range in field.split(',').filter(|range| !range.is_empty()) {
        let (ends, step) = range.split_once('/').map_or((range, None), |(ends, step)| (ends, Some(step)));
        let (first, last) = match ends.split_once('-') {
            _ if ends == "*" || ends == "?" => (least, most),
            Some((first, last)) => (value(first, least)?, value(last, least)?),
            None => (value(ends, least)?, if step.is_some() { most } else { value(ends, least)? }),
        };
        let step: usize = step.map_or(Some(1), |step| step.parse().ok()).filter(|step| *step > 0)?;
        if last > most {
            return None;
        }
        all |= (first..=last).step_by(step).map(|bit| 1 << bit).sum::<u64>();
    }
    Some(all)
}

/// A number or a name; weekdays count from 0, months from 1.
fn value(text: &str, least: u32) -> Option<u32> {
    let lower = text.to_lowercase();
    match NAMES.iter().position(|name| *name == lower) {
        Some(at) if at < 7 => u32::try_from(at).ok(),
        Some(at) if least == 1 => u32::try_from(at - 6).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("* * * * *", "", "2026-11-23T19:31:00Z")]
    #[case("*/5 * * * *", "", "2026-11-23T19:35:00Z")]
    #[case("0 0 1 jan *", "", "2027-01-01T00:00:00Z")]
    #[case("30 4 * * mon-fri", "", "2026-11-24T04:30:00Z")]
    #[case("0 0 13 * fri", "", "2026-11-27T00:00:00Z")]
    #[case("@hourly", "", "2026-11-23T20:00:00Z")]
    #[case("@every 90s", "", "2026-11-23T19:31:40Z")]
    #[case("0 9 * * *", "Europe/Berlin", "2026-11-24T08:00:00Z")]
    fn next(#[case] schedule: &str, #[case] zone: &str, #[case] expected: &str) {
        let from: Timestamp = "2026-11-23T19:30:10Z".parse().unwrap();
        assert_eq!(Schedule::parse(schedule, zone).unwrap().after(from).unwrap().to_string(), expected);
    }

    #[test]
    fn some_never_come() {
        assert!(Schedule::parse("0 0 30 2 *", "").unwrap().after(Timestamp::UNIX_EPOCH).is_none());
    }
}
