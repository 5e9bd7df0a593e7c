//! What the channel server said last, kept beside the runs.
//!
//! An answer is good for a day: K3s releases once a month. That the server did not answer is kept too, for minutes: nextest gives each
//! test a process, and eighty of them must not each wait for a server that is not there. What cannot be read or written is no cache,
//! and no failure either.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    K3sVersion,
    channels::{Channels, Source},
    table,
};
use crate::{
    cluster::{private_directory, run_base, write_private},
    config::Config,
};

/// How long an answer is taken for today's.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// How long a server that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(300);

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Kept {
    /// Who was asked.
    url: String,
    /// The last answer, if there ever was one.
    answer: Option<Answer>,
    /// The last failure, if one came after the answer.
    failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Answer {
    /// Seconds since the Unix epoch.
    at: u64,
    newest: BTreeMap<String, K3sVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Failure {
    /// Seconds since the Unix epoch.
    at: u64,
    problem: String,
}

impl Kept {
    /// What need not be asked again: a fresh answer, or what there is instead of one while the server is left alone.
    pub(super) fn fresh(&self, now: SystemTime) -> Option<Channels> {
        let answer = self.answer.as_ref().map(|answer| (answer, age(answer.at, now)));
        if let Some((answer, age)) = answer.filter(|(_, age)| *age < FRESH) {
            return Some(Channels::new(answer.newest.clone(), Source::Kept { age, because: None }));
        }
        let failure = self.failure.as_ref().filter(|failure| age(failure.at, now) < LEFT_ALONE)?;
        Some(self.stale(now, &failure.problem).unwrap_or_else(|| table::channels(failure.problem.clone())))
    }

    /// The last answer, though it is old, if it is younger than the table that is built in.
    pub(super) fn stale(&self, now: SystemTime, because: &str) -> Option<Channels> {
        let answer = self.answer.as_ref().filter(|answer| day(answer.at) > table::table().date)?;
        let source = Source::Kept { age: age(answer.at, now), because: Some(because.to_owned()) };
        Some(Channels::new(answer.newest.clone(), source))
    }
}

/// How long ago that was; for a time to come, never: a clock that was put right must not keep an answer for years.
fn age(at: u64, now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).unwrap_or(Duration::MAX)
}

/// A time's day, as `2026-09-30`.
fn day(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| k8s_openapi::jiff::Timestamp::from_second(at).ok());
    at.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn path(config: &Config) -> PathBuf {
    run_base(config).join("channels.json")
}

/// What was kept of this server.
pub(super) fn read(config: &Config, url: &str) -> Option<Kept> {
    // What others may have put there is not to be believed.
    private_directory(&run_base(config)).ok()?;
    let kept: Kept = serde_json::from_slice(&fs::read(path(config)).ok()?).ok()?;
    (kept.url == url).then_some(kept)
}

/// Keeps an answer.
pub(super) fn keep(config: &Config, url: &str, now: SystemTime, newest: BTreeMap<String, K3sVersion>) {
    write(config, &Kept { url: url.to_owned(), answer: Some(Answer { at: seconds(now), newest }), failure: None });
}

/// Keeps that there was no answer, beside the last one there was.
pub(super) fn keep_failure(config: &Config, url: &str, now: SystemTime, kept: Option<Kept>, problem: &str) {
    let failure = Failure { at: seconds(now), problem: problem.to_owned() };
    write(config, &Kept { url: url.to_owned(), answer: kept.and_then(|kept| kept.answer), failure: Some(failure) });
}

fn write(config: &Config, kept: &Kept) {
    let private = private_directory(&run_base(config)).is_ok();
    let written = serde_json::to_vec(kept).ok().filter(|_| private).map(|json| write_private(&path(config), &json));
    if !matches!(written, Some(Ok(()))) {
        tracing::debug!("the channels could not be kept in {}", path(config).display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn kept(answered: Option<u64>, failed: Option<u64>) -> Kept {
        let newest: BTreeMap<_, _> = [("latest".to_owned(), "v1.50.1+k3s1".parse().unwrap())].into();
        Kept {
            url: "x".to_owned(),
            answer: answered.map(|at| Answer { at, newest }),
            failure: failed.map(|at| Failure { at, problem: "nobody is there".to_owned() }),
        }
    }

    #[test]
    fn an_answer_is_good_for_a_day_and_never_from_the_future() {
        assert!(kept(Some(NOW - 86_399), None).fresh(at(NOW)).is_some());
        assert!(kept(Some(NOW - 86_400), None).fresh(at(NOW)).is_none());
        assert!(kept(Some(NOW + 60), None).fresh(at(NOW)).is_none());
    }

    #[test]
    fn a_server_that_did_not_answer_is_left_alone_for_five_minutes() {
        let old = NOW - 10 * 86_400;
        let instead = kept(Some(old), Some(NOW - 299)).fresh(at(NOW)).unwrap();
        assert_eq!(instead.source().to_string(), "by K3s's channel server, asked 240 h ago; today nobody is there");
        assert!(kept(Some(old), Some(NOW - 300)).fresh(at(NOW)).is_none());
        let instead = kept(None, Some(NOW)).fresh(at(NOW)).unwrap();
        assert!(instead.source().to_string().starts_with("by the table"), "{}", instead.source());
    }

    #[test]
    fn an_answer_older_than_the_table_gives_way_to_it() {
        let before_the_table = 1_700_000_000;
        assert!(kept(Some(before_the_table), None).stale(at(NOW), "why").is_none());
        assert!(kept(Some(NOW - 2 * 86_400), None).stale(at(NOW), "why").is_some());
    }
}
