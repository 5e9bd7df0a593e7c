//! Channels: names for the newest release of a line.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::{Duration, SystemTime},
};

use super::{K3sVersion, cache, fetch, table};
use crate::config::Config;

/// K3s's channel server: what `K3S_ARC_CHANNELS_URL` names when it is unset.
pub(crate) const SERVER: &str = "https://update.k3s.io/v1-release/channels";

/// The channel of whatever is newest, candidates aside.
pub(super) const LATEST: &str = "latest";
/// The channel of what K3s's own project calls ready for production.
pub(super) const STABLE: &str = "stable";

/// A channel's name, as K3s writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(String);

impl Channel {
    /// The channel that a text names: `stable`, `latest`, `testing`, or a line, with or without its `v`.
    pub fn named(text: &str) -> Option<Self> {
        let text = text.trim();
        if [STABLE, LATEST, "testing"].contains(&text) {
            return Some(Self(text.to_owned()));
        }
        let line = text.strip_prefix('v').unwrap_or(text);
        let is_number = |part: &str| !part.is_empty() && part.len() < 6 && part.bytes().all(|digit| digit.is_ascii_digit());
        let (major, minor) = line.split_once('.')?;
        (is_number(major) && is_number(minor)).then(|| Self(format!("v{line}")))
    }
}

impl Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the channels were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The channel server, just now.
    Server,
    /// The channel server, some time ago.
    Kept {
        /// How long ago.
        age: Duration,
        /// Why that is not fresh, where it ought to be.
        because: Option<String>,
    },
    /// The table that is built in.
    Table {
        /// What it was true of: a day, as `2026-09-30`.
        date: String,
        /// Why nobody was asked, or who did not answer.
        because: String,
    },
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |age: &Duration| age.as_secs() / 3600;
        match self {
            Self::Server => f.write_str("by K3s's channel server"),
            Self::Kept { age, because: None } => write!(f, "by K3s's channel server, asked {} h ago", hours(age)),
            Self::Kept { age, because: Some(because) } => {
                write!(f, "by K3s's channel server, asked {} h ago; today {because}", hours(age))
            }
            Self::Table { date, because } => write!(f, "by the table that is built in, of {date}: {because}"),
        }
    }
}

/// A channel that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("K3s has no channel {channel}, {source_of_it}")]
#[diagnostic(code(k3s_arc::versions::channel), help("there are: {}", known.join(", ")))]
pub struct ChannelError {
    channel: String,
    source_of_it: Source,
    known: Vec<String>,
}

/// What each channel's newest release is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    newest: BTreeMap<String, K3sVersion>,
    source: Source,
}

impl Channels {
    pub(super) fn new(newest: BTreeMap<String, K3sVersion>, source: Source) -> Self {
        Self { newest, source }
    }

    /// Looks the channels up: what was kept of less than a day ago, else the server, else what was kept longer, else the table
    /// that is built in. It takes no longer than the server is given to answer, and always ends with an answer.
    pub async fn look_up(config: &Config) -> Self {
        let url = config.channels_url.as_deref().unwrap_or(SERVER);
        let now = SystemTime::now();
        let kept = cache::read(config, url);
        if let Some(fresh) = kept.as_ref().and_then(|kept| kept.fresh(now)) {
            return fresh;
        }
        match fetch::channels(url).await {
            Ok(newest) => {
                cache::keep(config, url, now, newest.clone());
                Self::new(newest, Source::Server)
            }
            Err(problem) => {
                let because = problem.to_string();
                cache::keep_failure(config, url, now, kept.clone(), &because);
                kept.and_then(|kept| kept.stale(now, &because)).unwrap_or_else(|| table::channels(because))
            }
        }
    }

    /// The same where nothing can be awaited: on a thread of its own.
    pub(super) fn look_up_blocking(config: &Config) -> Self {
        let asked = std::thread::scope(|scope| scope.spawn(|| Self::on_a_runtime_of_its_own(config)).join());
        let failed = |problem: &str| table::channels(problem.to_owned());
        match asked {
            Ok(Ok(channels)) => channels,
            Ok(Err(error)) => failed(&format!("no runtime to ask with: {error}")),
            Err(_) => failed("asking the channel server panicked"),
        }
    }

    fn on_a_runtime_of_its_own(config: &Config) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let channels = runtime.block_on(Self::look_up(config));
        // A name server that does not answer keeps its thread for longer than anybody waits here.
        runtime.shutdown_background();
        Ok(channels)
    }

    /// The newest release of a channel.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn newest(&self, channel: &Channel) -> Result<K3sVersion, ChannelError> {
        self.newest.get(&channel.0).copied().ok_or_else(|| ChannelError {
            channel: channel.to_string(),
            source_of_it: self.source.clone(),
            known: self.newest.keys().cloned().collect(),
        })
    }

    /// Where they were read.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Each channel's name, with its newest release.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, K3sVersion)> {
        self.newest.iter().map(|(name, version)| (name.as_str(), *version))
    }

    /// The newest release of each of the newest lines, as many as asked for, the newest first.
    pub(super) fn lines(&self, count: usize) -> Vec<K3sVersion> {
        let mut newest = BTreeMap::new();
        for version in self.newest.values().filter(|version| version.is_released()) {
            let known = newest.entry(version.line()).or_insert(*version);
            *known = (*known).max(*version);
        }
        newest.into_values().rev().take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn channels(newest: &[(&str, &str)]) -> Channels {
        let newest = newest.iter().map(|(name, version)| ((*name).to_owned(), version.parse().unwrap())).collect();
        Channels::new(newest, Source::Server)
    }

    #[rstest]
    #[case("stable", Some("stable"))]
    #[case(" 1.34 ", Some("v1.34"))]
    #[case("v1.34", Some("v1.34"))]
    #[case("v1.34.1", None)]
    #[case("v1.", None)]
    #[case("edge", None)]
    fn a_line_is_a_channel_and_a_version_is_none(#[case] text: &str, #[case] name: Option<&str>) {
        assert_eq!(Channel::named(text).map(|channel| channel.to_string()).as_deref(), name);
    }

    #[test]
    fn the_newest_lines_are_those_of_the_newest_releases() {
        let channels = channels(&[
            ("stable", "v1.36.5+k3s1"),
            ("latest", "v1.37.1+k3s1"),
            ("testing", "v1.38.0-rc1+k3s1"),
            ("v1.9", "v1.9.9+k3s1"),
            ("v1.36", "v1.36.6+k3s1"),
            ("v1.37", "v1.37.1+k3s1"),
        ]);
        let lines: Vec<String> = channels.lines(3).iter().map(K3sVersion::to_string).collect();
        assert_eq!(lines, ["v1.37.1+k3s1", "v1.36.6+k3s1", "v1.9.9+k3s1"]);
    }

    #[test]
    fn a_channel_that_does_not_exist_is_told_with_those_that_do() {
        let error = channels(&[("v1.37", "v1.37.1+k3s1")]).newest(&Channel::named("1.99").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "K3s has no channel v1.99, by K3s's channel server");
        assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "there are: v1.37");
    }
}
