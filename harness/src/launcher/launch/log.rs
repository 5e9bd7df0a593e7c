//! The launcher's log, followed while it is written, whole and without repetition.
//!
//! A stream of it can break (a restarting API server, a proxy's idle timeout) long before the launcher is done.
//! It is then taken up again from the second of the last line seen; what comes twice is told by its timestamp.

use std::{fmt::Debug, time::Duration};

use futures::{AsyncBufRead, AsyncBufReadExt, pin_mut};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};
use tokio::time::timeout;

use super::{
    LaunchError,
    pod::{self, Ended, State},
};
use crate::{
    launcher::Masker,
    wait::{self, Seen, WaitError},
};

/// How long a stream that ended before its container is left alone before it is taken up again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the log.
pub(super) struct Log<'a, F> {
    masker: &'a Masker,
    on_line: F,
    text: String,
    resume: Resume,
}

impl<'a, F: FnMut(&str)> Log<'a, F> {
    /// An empty log; `on_line` is shown each line.
    pub(super) fn new(masker: &'a Masker, on_line: F) -> Self {
        Self { masker, on_line, text: String::new(), resume: Resume::default() }
    }

    /// All of it so far, without secrets.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its last line that says anything.
    pub(super) fn last_line(&self) -> Option<String> {
        self.text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    }

    /// Takes a line as the API sends it: a timestamp, a blank, the text.
    fn take(&mut self, raw: &str) {
        if let Some(line) = self.resume.new_text(raw) {
            let line = self.masker.mask(line);
            (self.on_line)(&line);
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }
}

/// Follows the log of a pod's container until the container has ended.
pub(super) async fn follow(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    deadline: Duration,
    log: &mut Log<'_, impl FnMut(&str) + Send>,
) -> Result<Ended, LaunchError> {
    let ended = wait::until(pods.clone(), wait::named(pod), "the launcher exits", deadline, |pods: &[Pod]| match pods {
        [] => Seen::Never("it was deleted".to_owned()),
        [pod, ..] => match pod::state(pod, container) {
            State::Ended(ended) => Seen::Done(ended),
            State::Lost(reason) if pod.metadata.deletion_timestamp.is_none() => Seen::Never(reason),
            _ => Seen::NotYet("it runs".to_owned()),
        },
    });
    pin_mut!(ended);
    let ended = loop {
        let parameters = LogParams { follow: true, ..parameters(container, log) };
        match pods.log_stream(pod, &parameters).await {
            Ok(stream) => {
                tokio::select! {
                    outcome = &mut ended => break outcome,
                    read = drain(stream, log, Tail::Again) => if let Err(error) = read {
                        tracing::debug!("the launcher's log broke off: {error}");
                    }
                }
            }
            Err(error) => tracing::debug!("the launcher's log cannot be had now: {}", crate::chain(&error)),
        }
        if let Ok(outcome) = timeout(PAUSE, &mut ended).await {
            break outcome;
        }
    };
    let ended = ended.map_err(|error| match error {
        WaitError::Never { reason, .. } => LaunchError::PodLost {
            reason,
            namespace: pods.namespace().unwrap_or_default().to_owned(),
            last_line: log.last_line(),
        },
        WaitError::Deadline { after, .. } => {
            LaunchError::Deadline { after, step: super::Step::FollowLog, last_line: log.last_line() }
        }
    })?;
    // The container's end and its last lines come by different ways; what was not streamed is fetched.
    let rest = async {
        let stream = pods.log_stream(pod, &parameters(container, log)).await.map_err(|error| crate::chain(&error))?;
        drain(stream, log, Tail::Last).await.map_err(|error| error.to_string())
    };
    match rest.await {
        Ok(()) => Ok(ended),
        Err(cause) => Err(LaunchError::LogLost {
            exit_code: ended.exit_code,
            cause: log.masker.mask(&cause).into_owned(),
            last_line: log.last_line(),
        }),
    }
}

fn parameters<F: FnMut(&str)>(container: &str, log: &mut Log<'_, F>) -> LogParams {
    LogParams { container: Some(container.to_owned()), timestamps: true, since_time: log.resume.again(), ..LogParams::default() }
}

/// What the bytes behind a stream's last line end are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// A line that broke off and will come again.
    Again,
    /// The container's last words.
    Last,
}

/// Reads a stream to its end.
async fn drain(stream: impl AsyncBufRead, log: &mut Log<'_, impl FnMut(&str) + Send>, tail: Tail) -> Result<(), std::io::Error> {
    pin_mut!(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
        let whole = line.last() == Some(&b'\n');
        if whole {
            line.pop();
        }
        if whole || tail == Tail::Last {
            log.take(&String::from_utf8_lossy(&line));
        }
        line.clear();
    }
    Ok(())
}

/// Where a log was left, to take it up again without loss or repetition.
#[derive(Debug, Default)]
struct Resume {
    /// The second of the newest line.
    second: Option<Timestamp>,
    /// The lines of that second, as they came: they will come again.
    of_second: Vec<String>,
    /// Those of them that have not come again yet.
    repeated: Vec<String>,
}

impl Resume {
    /// Since when the log is to be had again. The API takes whole seconds.
    fn again(&mut self) -> Option<Timestamp> {
        self.repeated.clone_from(&self.of_second);
        self.second
    }

    /// A line's text, unless it is one that came before.
    fn new_text<'a>(&mut self, raw: &'a str) -> Option<&'a str> {
        if let Some(at) = self.repeated.iter().position(|repeated| repeated == raw) {
            self.repeated.remove(at);
            return None;
        }
        let Some((Ok(stamp), text)) = raw.split_once(' ').map(|(stamp, text)| (stamp.parse::<Timestamp>(), text)) else {
            return Some(raw);
        };
        let second = Timestamp::from_second(stamp.as_second()).ok();
        if second > self.second {
            self.second = second;
            self.of_second.clear();
        }
        if second == self.second {
            self.of_second.push(raw.to_owned());
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::Secret;

    const FIRST: &str = "2026-11-01T10:00:00.100000000Z a\n2026-11-01T10:00:01.100000000Z b\n2026-11-01T10:00:01.100000000Z b\n2026-11-01T10:00:01.9Z c\n";

    async fn read(streams: &[&str]) -> (String, Vec<Option<String>>) {
        let masker = Masker::new(&[Secret::new("hunter2")]);
        let mut lines = Vec::new();
        let mut log = Log::new(&masker, |line: &str| lines.push(line.to_owned()));
        let mut since = Vec::new();
        for stream in streams {
            since.push(log.resume.again().map(|since| since.to_string()));
            drain(stream.as_bytes(), &mut log, Tail::Again).await.unwrap();
        }
        let text = log.text().to_owned();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "what is shown and what is kept are the same");
        (text, since)
    }

    #[tokio::test]
    async fn a_stream_taken_up_again_repeats_nothing_and_loses_nothing() {
        let again = "2026-11-01T10:00:01.100000000Z b\n2026-11-01T10:00:01.100000000Z b\n2026-11-01T10:00:01.9Z c\n2026-11-01T10:00:01.9Z c\n2026-11-01T10:00:02Z d\n";
        let (text, since) = read(&[FIRST, again, "2026-11-01T10:00:02Z d\n"]).await;
        assert_eq!(text, "a\nb\nb\nc\nc\nd\n");
        assert_eq!(since, [None, Some("2026-11-01T10:00:01Z".to_owned()), Some("2026-11-01T10:00:02Z".to_owned())]);
    }

    #[tokio::test]
    async fn a_line_that_broke_off_is_read_when_it_comes_whole() {
        let (text, _) =
            read(&["2026-11-01T10:00:00Z a\n2026-11-01T10:00:01Z bro", "2026-11-01T10:00:00Z a\n2026-11-01T10:00:01Z broken\n"])
                .await;
        assert_eq!(text, "a\nbroken\n");
    }

    #[tokio::test]
    async fn lines_of_two_streams_that_changed_places_are_both_kept() {
        let (text, _) = read(&["2026-11-01T10:00:01.0Z out\n2026-11-01T10:00:00.9Z err\n"]).await;
        assert_eq!(text, "out\nerr\n");
    }

    #[tokio::test]
    async fn secrets_and_odd_bytes_are_replaced() {
        let (text, _) = read(&["2026-11-01T10:00:01+02:00 password hunter2\nno timestamp\n"]).await;
        assert_eq!(text, "password ***\nno timestamp\n");
        let masker = Masker::default();
        let mut log = Log::new(&masker, |_: &str| ());
        drain(b"2026-11-01T10:00:01Z \xff".as_slice(), &mut log, Tail::Last).await.unwrap();
        assert_eq!(log.last_line().as_deref(), Some("\u{fffd}"));
    }
}
