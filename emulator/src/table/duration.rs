//! Ages as `kubectl get` shows them (apimachinery's `util/duration`).

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// `HumanDuration`: two or three significant figures.
pub(super) fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / MINUTE, seconds / HOUR);
    let days = hours / 24;
    match seconds {
        // Clocks may differ by so much.
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % MINUTE, "s"),
        _ if minutes < 60 * 3 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

/// A time of an object; absent and null are none.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How long ago that was: `translateTimestampSince`.
pub(super) fn since(value: &Value, now: Timestamp) -> String {
    time(value).map_or_else(|| "<unknown>".into(), |then| human(now.duration_since(then)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(-2, "<invalid>")]
    #[case(-1, "0s")]
    #[case(0, "0s")]
    #[case(70, "70s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(5 * 60 + 30, "5m30s")]
    #[case(10 * 60 + 30, "10m")]
    #[case(60 * 60, "60m")]
    #[case(179 * 60 + 59, "179m")]
    #[case(3 * 3600, "3h")]
    #[case(3 * 3600 + 61, "3h1m")]
    #[case(7 * 3600 + 59 * 60, "7h59m")]
    #[case(8 * 3600 + 59 * 60, "8h")]
    #[case(47 * 3600, "47h")]
    #[case(48 * 3600, "2d")]
    #[case(49 * 3600, "2d1h")]
    #[case(7 * 86400 + 23 * 3600, "7d23h")]
    #[case(8 * 86400 + 1, "8d")]
    #[case(730 * 86400 - 1, "729d")]
    #[case(730 * 86400, "2y")]
    #[case(731 * 86400, "2y1d")]
    #[case(8 * 365 * 86400, "8y")]
    #[case(100 * 365 * 86400, "100y")]
    fn shortens(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(human(SignedDuration::from_secs(seconds)), expected);
    }
}
