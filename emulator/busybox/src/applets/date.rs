//! Points in time, and `date`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::applet::{Applet, Ended};

fn at(seconds: i64) -> jiff::Zoned {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC)
}

/// As `stat` shows it.
pub(super) fn full(seconds: i64) -> String {
    strtime::format("%Y-%m-%d %H:%M:%S.000000000 +0000", &at(seconds)).unwrap_or_default()
}

/// As `ls -l` shows it: with the year where that is half a year ago, or to come.
pub(super) fn short(seconds: i64) -> String {
    const HALF_A_YEAR: i64 = 3600 * 24 * 365 / 2;
    let age = Timestamp::now().as_second() - seconds;
    let format = if (-15 * 60..=HALF_A_YEAR).contains(&age) { "%b %e %H:%M" } else { "%b %e  %Y" };
    strtime::format(format, &at(seconds)).unwrap_or_default()
}

/// The time of day.
pub(super) fn clock() -> String {
    strtime::format("%H:%M:%S", &at(Timestamp::now().as_second())).unwrap_or_default()
}

/// As HTTP has it.
pub(super) fn http(seconds: i64) -> String {
    strtime::format("%a, %d %b %Y %H:%M:%S GMT", &at(seconds)).unwrap_or_default()
}

/// Seconds since 1970, of a date as `date -d` and `touch -d` take it.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok();
    }
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y%m%d%H%M.%S", "%Y%m%d%H%M"];
    let time = formats.iter().find_map(|format| DateTime::strptime(format, text).ok());
    let time = time.or_else(|| Some(jiff::civil::Date::strptime("%Y-%m-%d", text).ok()?.at(0, 0, 0, 0)))?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

pub(super) async fn date(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("uRId:r:D:s:", &[("utc", 'u'), ("date", 'd')])?;
    if options.has('s') {
        return Err(applet.fail("can't set date: Operation not permitted"));
    }
    let seconds = match (options.value('d'), options.value('r')) {
        (Some(text), _) => parse(text).ok_or_else(|| applet.fail(format_args!("invalid date '{text}'")))?,
        (None, Some(path)) => {
            let found = applet.view.metadata(path, true);
            found.map_err(|error| applet.fail(format_args!("{path}: {}", crate::reason::reason(&error))))?.modified
        }
        (None, None) => Timestamp::now().as_second(),
    };
    let format = match words.first() {
        Some(word) => word.strip_prefix('+').ok_or_else(|| applet.fail(format_args!("invalid date '{word}'")))?,
        None if options.has('R') => "%a, %d %b %Y %H:%M:%S %z",
        None if options.has('I') => "%Y-%m-%d",
        None => "%a %b %e %H:%M:%S %Z %Y",
    };
    let text = strtime::format(format, &at(seconds)).map_err(|_| applet.fail(format_args!("invalid format '{format}'")))?;
    applet.line(text).await?;
    applet.end(0).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_understood() {
        assert_eq!(parse("@7"), Some(7));
        assert_eq!(parse("1970-01-02"), Some(86400));
        assert_eq!(parse("1970-01-01 00:01:00"), Some(60));
        assert_eq!(parse("197001010002.03"), Some(123));
        assert_eq!(parse("tomorrow"), None);
        assert_eq!(short(0), "Jan  1  1970");
    }
}
