//! The probe: looks from inside a pod and reports as JSON.
//!
//! A pod runs it as `k3s-arc-standin probe '<request>'`. It answers one [`Request`] with one line on standard
//! output, `{"answer": ...}` or `{"error": "..."}`, and ends. What it saw is for the caller to judge: a name
//! that does not resolve is an answer, only a question that could not be asked is an error.

pub mod cgroup;
pub mod dns;
pub mod files;
pub mod http;
pub mod load;
pub mod served;
pub mod stay;

use std::io::Write as _;

use k3s_arc_container::{Container, Process, Signals};
use serde::{Deserialize, Serialize};

/// What a probe is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Which limits the kernel holds the container to. Answered by a [`cgroup::Answer`].
    Cgroup(cgroup::Request),
    /// What names resolve to. Answered by a [`dns::Answer`].
    Dns(dns::Request),
    /// What can be done with files. Answered by a [`files::Answer`].
    Files(files::Request),
    /// What servers reply. Answered by an [`http::Answer`].
    Http(http::Request),
    /// What happens at the limits. Answered by a [`load::Answer`], unless the container is killed over it.
    Load(load::Request),
    /// Whether a volume takes data and a name resolves. Answered by a [`served::Answer`].
    Served(served::Request),
    /// Nothing but to be there until it is told to stop. Answered by a [`stay::Answer`].
    Stay,
}

/// What a probe prints: the answer `A`, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report<A> {
    /// What it saw.
    Answer(A),
    /// Why it could not look.
    Error(String),
}

/// Answers `request` (JSON of a [`Request`]) with one line of JSON on standard output.
///
/// The exit code is 0 with an answer, 1 with an error.
pub async fn run(request: &str, mut process: Process) -> u8 {
    let report = match answer(request, &process.container, process.signals.clone()).await {
        Ok(answer) => Report::Answer(answer),
        Err(error) => Report::Error(error),
    };
    let line = serde_json::to_string(&report).unwrap_or_else(|error| format!("the report cannot be put into JSON: {error}"));
    // The one line that the caller reads from the pod's log. Where nobody reads there is nobody to tell.
    let _ = process.stdout.write_all(format!("{line}\n").as_bytes());
    u8::from(matches!(report, Report::Error(_)))
}

async fn answer(request: &str, container: &Container, signals: Signals) -> Result<serde_json::Value, String> {
    let request = serde_json::from_str(request).map_err(|error| format!("the request is not one: {error}"))?;
    match request {
        Request::Cgroup(request) => json(cgroup::answer(request, container).await?),
        Request::Dns(request) => json(dns::answer(request, container).await?),
        Request::Files(request) => json(files::answer(request, container).await?),
        Request::Http(request) => json(http::answer(request, container).await?),
        Request::Load(request) => json(load::answer(request, container).await?),
        Request::Served(request) => json(served::answer(request, container).await?),
        Request::Stay => json(stay::answer(signals).await?),
    }
}

fn json(answer: impl Serialize) -> Result<serde_json::Value, String> {
    serde_json::to_value(answer).map_err(|error| format!("the answer cannot be put into JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::process;

    #[test]
    fn a_request_names_its_kind() {
        let request =
            Request::Served(served::Request { directory: "/data".into(), name: "kubernetes.default".into(), patience_ms: 0 });
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(json, r#"{"ask":"served","directory":"/data","name":"kubernetes.default","patience_ms":0}"#);
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request);
    }

    #[tokio::test]
    async fn a_request_that_is_none_is_an_error_and_says_why() {
        let (process, printed) = process(&[]);
        assert_eq!(run(r#"{"ask":"weather"}"#, process).await, 1);
        let report: Report<()> = serde_json::from_str(&printed.stdout()).unwrap();
        assert!(matches!(report, Report::Error(error) if error.contains("unknown variant `weather`")));
    }

    #[tokio::test]
    async fn an_answer_is_one_line() {
        let (process, printed) = process(&[]);
        assert_eq!(run(r#"{"ask":"files","acts":[]}"#, process).await, 0);
        assert_eq!(printed.stdout().lines().count(), 1);
        let report: Report<files::Answer> = serde_json::from_str(&printed.stdout()).unwrap();
        assert!(matches!(report, Report::Answer(answer) if answer.done.is_empty()));
    }
}
