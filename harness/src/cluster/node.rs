//! Commands and files on the node itself: what the API cannot show.

use std::fmt::Debug;

use futures::future::BoxFuture;

/// Runs commands on a node and puts files there.
pub trait NodeAccess: Debug + Send + Sync {
    /// Runs a command as root on the node and gives what it printed; a non-zero exit code is not an error.
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>>;

    /// Unpacks a tar archive (uncompressed) into an existing directory of the node.
    fn unpack<'a>(&'a self, archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>>;
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
