//! What goes wrong between here and an emulated cluster that serves.

use std::{io, path::PathBuf, time::Duration};

use k3s_arc_emulator::StartError;

/// Why there is no emulated cluster.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EmulatorError {
    /// Something only K3s itself can do.
    #[error("the emulator cannot give {what}")]
    #[diagnostic(code(k3s_arc::emulator::impossible), help("use a real K3s: `--provider docker`, K3S_ARC_PROVIDER=docker"))]
    Impossible {
        /// What was asked for.
        what: String,
    },
    /// It has nothing to run on.
    #[error("there is no runtime for the emulator")]
    #[diagnostic(code(k3s_arc::emulator::runtime))]
    Runtime(#[source] io::Error),
    /// It did not start.
    #[error("the emulator did not start")]
    #[diagnostic(code(k3s_arc::emulator::start))]
    Start(#[from] StartError),
    /// The task that was to start it ended.
    #[error("the emulator ended while it started")]
    #[diagnostic(code(k3s_arc::emulator::start))]
    Ended(#[source] tokio::task::JoinError),
    /// Its kubeconfig could not be written.
    #[error("the kubeconfig {} could not be written", .path.display())]
    #[diagnostic(code(k3s_arc::emulator::kubeconfig), help("name another place in K3S_ARC_RUN_DIR"))]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// No client can be made of its kubeconfig.
    #[error("no client can be made of the emulator's kubeconfig")]
    #[diagnostic(code(k3s_arc::emulator::client))]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The deadline passed.
    #[error("the emulator did not serve within {} s; still missing: {missing}", .after.as_secs())]
    #[diagnostic(code(k3s_arc::emulator::deadline), help("on a slow host, give it more seconds in K3S_ARC_BOOT_TIMEOUT"))]
    Deadline {
        /// The deadline.
        after: Duration,
        /// What was waited for.
        missing: &'static str,
    },
    /// The cluster came up, and then did not do new work.
    #[error("the emulator is up, but does not serve")]
    #[diagnostic(code(k3s_arc::emulator::not_served))]
    NotServed {
        /// What was tried and what came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cluster of this process has ended.
    #[error("the emulated cluster of {} does not run in this process", .kubeconfig.display())]
    #[diagnostic(code(k3s_arc::emulator::gone))]
    Gone {
        /// Its kubeconfig.
        kubeconfig: PathBuf,
    },
}
