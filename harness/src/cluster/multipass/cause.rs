//! By what a failed call prints, what is the matter.

use std::{io, time::Duration};

use super::{MultipassError, command::CallError, size::Size};

/// What a VM was to have, for the errors of a launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) release: &'a str,
    pub(super) memory: Size,
    pub(super) disk: Size,
    pub(super) within: Duration,
}

/// The texts of canonical/multipass by which a failure is known: `include/multipass/cli/dispatch_rpc.h`, `src/daemon/daemon.cpp`,
/// `src/daemon/daemon_rpc.cpp`, `src/platform/backends`; and those of QEMU.
mod said {
    pub(super) const NO_DAEMON: [&str; 1] = ["cannot connect to the multipass socket"];
    pub(super) const NOT_PERMITTED: [&str; 2] =
        ["multipass socket access denied", "not authenticated with the Multipass service"];
    pub(super) const NO_VIRTUALIZATION: [&str; 4] =
        ["KVM support is not enabled", "CPU does not support KVM", "Snap KVM interface", "Could not access KVM kernel module"];
    pub(super) const TAKEN: [&str; 2] = ["already exists", "is already in use"];
    pub(super) const LATE: [&str; 3] =
        ["Timed out waiting for instance launch", "timed out waiting for", "Timed out waiting for"];
    pub(super) const NO_SPACE: [&str; 3] = ["No space left on device", "below minimum for this image", "Not enough space"];
    pub(super) const NO_MEMORY: [&str; 3] = ["cannot set up guest memory", "Cannot allocate memory", "Not enough memory"];
    pub(super) const NO_IMAGE: [&str; 5] = [
        "Unable to find an image matching",
        "failed to download",
        "Failed to download",
        "cannot connect to the image servers",
        "Remote \"",
    ];
    pub(super) const NONE: [&str; 2] = ["does not exist", "No such instance"];
}

impl MultipassError {
    /// A call that failed, told apart where the cause is known.
    pub(super) fn of(attempted: impl Into<String>, source: CallError) -> Self {
        let attempted = attempted.into();
        match source {
            CallError::NotStarted { source: ref error, .. } if error.kind() == io::ErrorKind::NotFound => Self::NotInstalled,
            CallError::NotStarted { source: ref error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::NotPermitted { source }
            }
            CallError::Silent { .. } => Self::Silent { attempted, source },
            _ if source.says(&said::NO_DAEMON) => Self::NoDaemon { source },
            _ if source.says(&said::NOT_PERMITTED) => Self::NotPermitted { source },
            _ => Self::Request { attempted, source },
        }
    }

    /// The same of a launch.
    pub(super) fn of_launch(asked: Asked<'_>, source: CallError) -> Self {
        match source {
            _ if source.says(&said::TAKEN) && source.says(&[asked.name]) => Self::NameTaken { name: asked.name.to_owned() },
            _ if source.says(&said::NO_VIRTUALIZATION) => Self::NoVirtualization { source },
            _ if source.says(&said::NO_SPACE) => Self::NoSpace { disk: asked.disk, source },
            _ if source.says(&said::NO_MEMORY) => Self::NoMemory { memory: asked.memory, source },
            _ if source.says(&said::NO_IMAGE) => Self::NoImage { release: asked.release.to_owned(), source },
            _ if source.says(&said::LATE) || matches!(source, CallError::Silent { .. }) => {
                Self::LaunchTimeout { name: asked.name.to_owned(), after: asked.within, source }
            }
            other => Self::of(format!("launch the VM {}", asked.name), other),
        }
    }
}

/// Whether a call failed because there is no such VM.
pub(super) fn is_of_no_vm(error: &CallError) -> bool {
    error.says(&said::NONE)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ASKED: Asked<'_> = Asked {
        name: "k3s-arc-1",
        release: "24.04",
        memory: Size::gib(20),
        disk: Size::gib(50),
        within: Duration::from_secs(600),
    };

    fn failed(code: i32, output: &str) -> CallError {
        CallError::Failed { command: "multipass launch".to_owned(), code: Some(code), output: output.to_owned() }
    }

    #[rstest]
    #[case::no_daemon(
        2,
        "launch failed: cannot connect to the multipass socket\nPlease ensure multipassd is running and '/var/snap/multipass/common/multipass_socket' is accessible",
        "NoDaemon"
    )]
    #[case::group(
        2,
        "launch failed: multipass socket access denied\nPlease check that you have read/write permissions to '/var/run/multipass_socket'",
        "NotPermitted"
    )]
    #[case::passphrase(
        2,
        "launch failed: The user is not authenticated with the Multipass service.\n\nPlease authenticate",
        "NotPermitted"
    )]
    #[case::taken(2, "launch failed: instance \"k3s-arc-1\" already exists", "NameTaken")]
    #[case::client(5, "Timed out waiting for instance launch.", "LaunchTimeout")]
    #[case::daemon(
        2,
        "launch failed: The following errors occurred:\ntimed out waiting for initialization to complete",
        "LaunchTimeout"
    )]
    #[case::image_does_not_fit(
        2,
        "launch failed: Available disk (1000000 bytes) below minimum for this image (3758096384 bytes)",
        "NoSpace"
    )]
    #[case::disk_full(2, "launch failed: qemu-img failed: No space left on device", "NoSpace")]
    #[case::memory(2, "launch failed: cannot set up guest memory 'pc.ram': Cannot allocate memory", "NoMemory")]
    #[case::image(2, "launch failed: Unable to find an image matching \"99.04\" in remote \"\".", "NoImage")]
    #[case::download(
        2,
        "launch failed: failed to download from 'https://cloud-images.ubuntu.com/releases/streams/v1/index.json': Host not found",
        "NoImage"
    )]
    #[case::kvm(2, "launch failed: KVM support is not enabled on this machine.", "NoVirtualization")]
    #[case::other(1, "Error: Unknown option 'memory'.", "Request")]
    fn what_a_launch_fails_of_is_told_apart(#[case] code: i32, #[case] output: &str, #[case] variant: &str) {
        let error = MultipassError::of_launch(ASKED, failed(code, output));
        assert!(format!("{error:?}").starts_with(variant), "{error:?}");
        let report = crate::report_of(&error);
        let first = output.lines().next().unwrap();
        assert!(variant == "NameTaken" || report.contains(first), "what came back is told: {report}");
    }

    #[test]
    fn a_daemon_that_is_stuck_is_told_with_what_was_attempted() {
        let silent = || CallError::Silent { command: "multipass info x".to_owned(), after: Duration::from_secs(30) };
        let error = MultipassError::of("tell how the VM x is", silent());
        assert!(crate::report_of(&error).contains("Multipass did not tell how the VM x is"), "{}", crate::report_of(&error));
        assert!(matches!(MultipassError::of_launch(ASKED, silent()), MultipassError::LaunchTimeout { .. }));
    }

    #[test]
    fn a_vm_that_is_not_there_is_known_as_such() {
        assert!(is_of_no_vm(&failed(2, "info failed: instance \"k3s-arc-1\" does not exist")));
        assert!(!is_of_no_vm(&failed(2, "info failed: cannot connect to the multipass socket")));
    }
}
