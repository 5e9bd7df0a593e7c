//! How a command fails: texts and exit codes as the client's `return_codes.h` and `client_common.cpp` have them.

use thiserror::Error;

/// A command that failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line is wrong: what to print.
    #[error("{0}")]
    CommandLine(String),
    /// The daemon refused: its message, and details in lines of their own.
    #[error("{message}")]
    Refused { message: String, details: String },
    /// The client gave up or failed by itself: what it prints, and its code.
    #[error("{text}")]
    Client { text: String, code: u8 },
    /// This program cannot do what the real one would: a fault of the test's environment.
    #[error("{0}")]
    Fake(String),
}

impl Failure {
    /// The daemon's refusal, without details.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), details: String::new() }
    }

    /// What the daemon says of one or more machines, as its `grpc_status_for` writes it.
    pub(crate) fn errors(errors: &[String]) -> Self {
        Self::refused(format!("The following errors occurred:\n{}", errors.join("\n")))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::CommandLine(_) => 1,
            Self::Refused { .. } => 2,
            Self::Client { code, .. } => *code,
            Self::Fake(_) => 125,
        }
    }

    /// What is printed when this command fails so.
    pub(crate) fn told_by(&self, command: &str) -> String {
        match self {
            Self::CommandLine(text) | Self::Client { text, .. } => format!("{text}\n"),
            Self::Refused { message, details } if details.is_empty() => format!("{command} failed: {message}\n"),
            Self::Refused { message, details } => format!("{command} failed: {message}\n{details}\n"),
            Self::Fake(text) => format!("the multipass of the tests: {text}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_as_the_real_client_tells_it() {
        let missing = Failure::errors(&["instance \"box\" does not exist".to_owned()]);
        assert_eq!(missing.told_by("info"), "info failed: The following errors occurred:\ninstance \"box\" does not exist\n");
        assert_eq!((missing.code(), Failure::CommandLine("x".to_owned()).code()), (2, 1));
    }
}
