//! The clock: certificates are valid from a time on, and Azure takes tokens within five minutes.

use k8s_openapi::jiff::{SignedDuration, Timestamp, Unit, fmt::rfc2822};

use super::{Finding, Verdict};
use crate::versions::table_date;

/// The most that a clock may be off, in seconds.
const TOLERATED: i64 = 300;

/// Two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// This host's.
    pub(super) here: Timestamp,
    /// A server's.
    pub(super) there: Option<Timestamp>,
}

/// This host's clock, and a server's, by the `Date` it answered with.
pub(super) fn gather(date: Option<&str>) -> Facts {
    let there = date.and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
    Facts { here: Timestamp::now(), there }
}

pub(super) fn judge(facts: Facts) -> Finding {
    let found = facts.here.round(Unit::Second).unwrap_or(facts.here).to_string();
    let finding = Finding::ok("clock", found, "the time, within 5 min");
    let remedy = "set it: `timedatectl set-ntp true`; certificates and tokens are not valid at another time";
    match facts.there {
        Some(there) => {
            let off = facts.here.duration_since(there);
            let told = Finding { found: format!("{}, {} s from a server's", finding.found, off.abs().as_secs()), ..finding };
            told.unless(off.abs() <= SignedDuration::from_secs(TOLERATED), Verdict::Missing, remedy)
        }
        // The releases that this program knows of have been made.
        None if finding.found < table_date() => finding.but(Verdict::Missing, remedy),
        None => finding.but(Verdict::NotSeen, "no server answered to compare it with; it is not in the past, at least"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alike("2026-11-26T10:00:10Z", Some("2026-11-26T10:00:00Z"), Verdict::Ok)]
    #[case::behind("2026-11-26T09:50:00Z", Some("2026-11-26T10:00:00Z"), Verdict::Missing)]
    #[case::ahead("2026-11-26T10:10:00Z", Some("2026-11-26T10:00:00Z"), Verdict::Missing)]
    #[case::in_the_past("1970-01-01T00:01:00Z", None, Verdict::Missing)]
    #[case::with_nobody_to_ask("2099-11-26T10:00:00Z", None, Verdict::NotSeen)]
    fn a_clock_is_compared_with_whatever_there_is(#[case] here: &str, #[case] there: Option<&str>, #[case] verdict: Verdict) {
        let facts = Facts { here: here.parse().unwrap(), there: there.map(|there| there.parse().unwrap()) };
        assert_eq!(judge(facts).verdict, verdict);
    }

    #[test]
    fn a_servers_date_is_read() {
        let facts = gather(Some("Thu, 26 Nov 2026 10:00:00 GMT"));
        assert_eq!(facts.there.unwrap().to_string(), "2026-11-26T10:00:00Z");
        assert_eq!(gather(Some("soon")).there, None);
    }
}
