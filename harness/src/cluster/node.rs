//! The node itself: commands and files, and the machine it is, which the API cannot show.

use std::{
    fmt::{self, Debug, Display},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use super::client::ANSWER;

/// Runs commands on a node and puts files there.
pub trait NodeAccess: Debug + Send + Sync {
    /// Runs a command as root on the node and gives what it printed; a non-zero exit code is not an error.
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>>;

    /// Unpacks a tar archive (uncompressed) into an existing directory of the node.
    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>>;

    /// The machine that the node is, as its host sees it: who is left to be asked when the API says nothing.
    /// Nothing, where nobody can be asked: of a cluster that is somebody else's.
    fn machine(&self) -> BoxFuture<'_, Result<Option<Machine>, NodeError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// The machine that a node is, as its host sees it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// What it is to its host: `container`, `VM`, ...
    pub kind: String,
    /// Its name there.
    pub name: String,
    /// Whether it runs.
    pub state: MachineState,
    /// Since when (RFC 3339), if it was started again after this process had come to the cluster.
    pub restarted: Option<String>,
    /// Where its host publishes the API: `127.0.0.1:32768`.
    pub api: Option<String>,
}

/// Whether a machine runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MachineState {
    /// It does.
    Running,
    /// It is frozen: its memory is there, and nothing on it moves.
    Paused,
    /// It runs, and whoever asks does not reach it: it has lost its address, or answers nothing.
    Unreachable,
    /// It was shut down, and can be started again.
    Stopped,
    /// It has ended.
    Ended {
        /// The exit code of its first process; 137 is SIGKILL.
        exit_code: i64,
        /// Whether it was killed for want of memory.
        out_of_memory: bool,
        /// When (RFC 3339).
        at: String,
    },
    /// It does not exist any more.
    Gone,
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.name, self.state)
    }
}

impl MachineState {
    /// Whether nothing that is asked of its node can be answered any more.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Ended { .. } | Self::Gone)
    }
}

impl Display for MachineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("runs"),
            Self::Paused => f.write_str("is paused"),
            Self::Unreachable => f.write_str("runs, and is not reached"),
            Self::Stopped => f.write_str("is stopped"),
            Self::Ended { out_of_memory: true, exit_code, .. } => {
                write!(f, "ended with exit code {exit_code}: it was killed for want of memory")
            }
            Self::Ended { exit_code: 137, .. } => f.write_str("ended with exit code 137: it was killed (SIGKILL)"),
            Self::Ended { exit_code: 143, .. } => f.write_str("ended with exit code 143: it was asked to end (SIGTERM)"),
            Self::Ended { exit_code, .. } => write!(f, "ended with exit code {exit_code}"),
            Self::Gone => f.write_str("does not exist any more"),
        }
    }
}

/// Between two looks at a machine.
const LOOK: Duration = Duration::from_secs(2);

/// Resolves once the machine of a node has ended and is not started again, or has been out of reach for as long as an answer may take:
/// nothing asked of the cluster will be answered.
pub(crate) async fn lost(node: &dyn NodeAccess) -> Machine {
    lost_looking_every(LOOK, ANSWER, node).await
}

async fn lost_looking_every(pause: Duration, patience: Duration, node: &dyn NodeAccess) -> Machine {
    let mut over = false;
    let mut unreachable: Option<Instant> = None;
    loop {
        tokio::time::sleep(pause).await;
        // A host that does not tell is no proof; the deadline of whoever waits decides then.
        match node.machine().await {
            Ok(Some(machine)) if machine.state == MachineState::Unreachable => {
                over = false;
                if unreachable.get_or_insert_with(Instant::now).elapsed() > patience {
                    return machine;
                }
            }
            // While it is restarted it has ended for a moment.
            Ok(Some(machine)) if machine.state.is_over() && over => return machine,
            Ok(Some(machine)) => {
                over = machine.state.is_over();
                unreachable = None;
            }
            Ok(None) => return std::future::pending().await,
            Err(error) => tracing::debug!("a look at the node's machine failed: {}", crate::chain(&error)),
        }
    }
}

/// What a command on a node printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOutput {
    /// Its exit code.
    pub exit_code: i64,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl NodeOutput {
    /// Its standard output, if it ended with 0.
    ///
    /// # Errors
    /// [`NodeError::Exit`].
    pub fn success(self, command: &[&str]) -> Result<String, NodeError> {
        match self.exit_code {
            0 => Ok(self.stdout),
            exit_code => Err(NodeError::Exit { command: command.join(" "), exit_code, stderr: self.stderr.trim().to_owned() }),
        }
    }
}

/// Why a command could not be run on a node, or did not succeed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum NodeError {
    /// The node could not be reached.
    #[error("on the node, `{command}` could not be run")]
    Unreachable {
        /// What was to run.
        command: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Who runs the node's machine does not say how it is.
    #[error("{host} does not say how the node's machine is")]
    Host {
        /// Who was asked.
        host: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The node, or what leads to it, was silent.
    #[error("on the node, {attempted} had no end after {} s", .after.as_secs())]
    Silent {
        /// What was attempted.
        attempted: String,
        /// How long.
        after: Duration,
    },
    /// The command ran and failed.
    #[error("on the node, `{command}` ended with {exit_code}: {stderr}")]
    Exit {
        /// What ran.
        command: String,
        /// How it ended.
        exit_code: i64,
        /// What it printed on standard error.
        stderr: String,
    },
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A node whose machine is found like this, look after look.
    #[derive(Debug)]
    struct Looks(Mutex<Vec<Result<MachineState, ()>>>);

    impl NodeAccess for Looks {
        fn exec<'a>(&'a self, _: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
            std::future::pending().boxed()
        }

        fn unpack<'a>(&'a self, _: Vec<u8>, _: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
            std::future::pending().boxed()
        }

        fn machine(&self) -> BoxFuture<'_, Result<Option<Machine>, NodeError>> {
            let look = self.0.lock().unwrap().remove(0);
            let machine =
                |state| Some(Machine { kind: "container".to_owned(), name: "c".to_owned(), state, restarted: None, api: None });
            let silent = |()| NodeError::Host { host: "the engine".to_owned(), source: "no answer".into() };
            std::future::ready(look.map(machine).map_err(silent)).boxed()
        }
    }

    #[tokio::test]
    async fn a_machine_is_lost_once_it_stays_ended() {
        let ended = || Ok(MachineState::Ended { exit_code: 137, out_of_memory: false, at: String::new() });
        // Restarted, paused, not told of: none of these is a loss.
        let looks = vec![
            Ok(MachineState::Running),
            ended(),
            Ok(MachineState::Running),
            Ok(MachineState::Paused),
            Err(()),
            ended(),
            ended(),
        ];
        let node = Looks(Mutex::new(looks));
        let machine = lost_looking_every(Duration::from_millis(1), ANSWER, &node).await;
        assert_eq!(machine.to_string(), "container c ended with exit code 137: it was killed (SIGKILL)");
        assert!(node.0.lock().unwrap().is_empty(), "it was looked at seven times");
    }

    #[tokio::test]
    async fn a_machine_is_lost_once_it_stays_out_of_reach() {
        let away = || Ok(MachineState::Unreachable);
        let looks = vec![away(), Ok(MachineState::Running), away(), Err(()), away()];
        let node = Looks(Mutex::new(looks));
        // Between two looks that find it away without one that finds it there, this patience has passed.
        let machine = lost_looking_every(Duration::from_millis(5), Duration::from_millis(9), &node).await;
        assert_eq!(machine.to_string(), "container c runs, and is not reached");
        assert!(node.0.lock().unwrap().is_empty(), "one look in between that found it running counts");
    }
}
