//! Faults, asked for by variables, in the words of the real one's sources.
//!
//! - `FAKE_MULTIPASS_FAULTS`: names of [`Fault`]s, separated by commas.
//! - `FAKE_MULTIPASS_EXEC_HANGS`, `FAKE_MULTIPASS_EXEC_LOST`: an `exec` whose command line has this text in it never returns, or loses its
//!   connection.
//! - `FAKE_MULTIPASS_ADDRESS_AFTER`: a machine has no address for so many seconds after it was started.

use clap::ValueEnum;

use crate::failure::Failure;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// `multipassd` does not run: `include/multipass/cli/dispatch_rpc.h`.
    NoDaemon,
    /// Its socket may not be opened: the same file.
    NoPermission,
    /// The user is not known to it: `src/daemon/daemon_rpc.cpp`.
    NotAuthenticated,
    /// The host has no hardware virtualisation for it: `src/platform/backends/shared/linux/backend_utils.cpp`.
    NoKvm,
    /// The volume of its images is full: `compute_final_image_size` in `src/daemon/daemon.cpp`.
    NoSpace,
    /// The image cannot be had: `src/daemon/default_vm_image_vault.cpp`.
    NoImage,
    /// Somebody was faster, and has a machine of that name by now: `src/daemon/daemon.cpp`.
    NameTaken,
    /// A machine is made and does not get ready in time; it stays: `src/platform/backends/shared/base_virtual_machine.cpp`.
    LaunchTimeout,
    /// A machine is made that ssh never reaches; it stays, too: the same file.
    LaunchNoResponse,
    /// A machine that is on does not get ready in time when it is started again.
    StartTimeout,
    /// Machines that are on have no address.
    NoAddress,
    /// Machines that are on are said to be starting.
    Starting,
    /// Nobody knows the state of machines that are on: `Unknown`.
    UnknownState,
}

/// All that goes wrong in this call.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    exec_hangs: Option<String>,
    exec_lost: Option<String>,
    address_after: Option<u64>,
}

/// The socket of a daemon that was installed as a snap.
const SOCKET: &str = "/var/snap/multipass/common/multipass_socket";

impl Faults {
    /// The environment's.
    pub(crate) fn asked() -> Result<Self, Failure> {
        let value = |name: &str| std::env::var(format!("FAKE_MULTIPASS_{name}")).ok().filter(|value| !value.is_empty());
        let address_after = value("ADDRESS_AFTER").map(|seconds| seconds.parse());
        let address_after =
            address_after.transpose().map_err(|error| Failure::Fake(format!("FAKE_MULTIPASS_ADDRESS_AFTER: {error}")))?;
        Ok(Self {
            faults: named(&value("FAULTS").unwrap_or_default())?,
            exec_hangs: value("EXEC_HANGS"),
            exec_lost: value("EXEC_LOST"),
            address_after,
        })
    }

    /// Whether this goes wrong.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether a machine that has been on for so many seconds, which is asked only where it matters, has no address.
    pub(crate) fn hides_address(&self, on_for: impl Fn() -> u64) -> bool {
        self.has(Fault::NoAddress) || self.address_after.is_some_and(|seconds| on_for() < seconds)
    }

    /// Whether an `exec` of this command line never returns.
    pub(crate) fn exec_hangs(&self, command: &str) -> bool {
        self.exec_hangs.as_ref().is_some_and(|text| command.contains(text))
    }

    /// Whether an `exec` of this command line loses its connection.
    pub(crate) fn exec_lost(&self, command: &str) -> bool {
        self.exec_lost.as_ref().is_some_and(|text| command.contains(text))
    }

    /// What keeps the client from being served at all.
    pub(crate) fn of_the_daemon(&self) -> Result<(), Failure> {
        let refused = |message: &str, details: String| Err(Failure::Refused { message: message.to_owned(), details });
        if self.has(Fault::NoDaemon) {
            return refused(
                "cannot connect to the multipass socket",
                format!("Please ensure multipassd is running and '{SOCKET}' is accessible"),
            );
        }
        if self.has(Fault::NoPermission) {
            return refused(
                "multipass socket access denied",
                format!("Please check that you have read/write permissions to '{SOCKET}'"),
            );
        }
        if self.has(Fault::NotAuthenticated) {
            return Err(Failure::refused(
                "The user is not authenticated with the Multipass service.\n\nPlease authenticate before proceeding \
                 (e.g. via 'multipass authenticate'). Note that you first need an authenticated user to set and provide you with \
                 a trusted passphrase (e.g. via 'multipass set local.passphrase').",
            ));
        }
        Ok(())
    }

    /// What keeps a machine from being made. `image` is the smallest disk that the image asks for, in bytes.
    pub(crate) fn of_a_launch(&self, image: u64) -> Result<(), Failure> {
        if self.has(Fault::NoKvm) {
            return Err(Failure::refused(
                "KVM support is not enabled on this machine.\nPlease ensure the following:\n1. The system's CPU supports \
                 virtualization.\n2. Virtualization is enabled in the system BIOS.\n3. The KVM kernel modules are loaded.",
            ));
        }
        if self.has(Fault::NoImage) {
            return Err(Failure::refused(
                "failed to download from 'http://cloud-images.ubuntu.com/releases/server/releases/noble/\
                 release/ubuntu-24.04-server-cloudimg-amd64.img': Network timeout",
            ));
        }
        if self.has(Fault::NoSpace) {
            return Err(Failure::refused(format!(
                "Available disk (1073741824 bytes) below minimum for this image ({image} bytes)"
            )));
        }
        Ok(())
    }
}

fn named(names: &str) -> Result<Vec<Fault>, Failure> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let known = |name| Fault::from_str(name, true).map_err(|error| Failure::Fake(format!("FAKE_MULTIPASS_FAULTS: {error}")));
    names.map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_and_a_wrong_name_is_no_fault_that_passes_unseen() {
        assert_eq!(named("no-daemon, launch-timeout").unwrap(), [Fault::NoDaemon, Fault::LaunchTimeout]);
        assert_eq!(named("").unwrap(), []);
        assert!(named("no-such").is_err());
    }

    #[test]
    fn faults_are_told_in_the_real_ones_words() {
        let recorded = |name: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/multipass/1.16.1").join(name);
            std::fs::read_to_string(path).unwrap()
        };
        let faults = |fault| Faults { faults: vec![fault], ..Faults::default() };
        for (fault, name) in [
            (Fault::NoDaemon, "no-daemon.txt"),
            (Fault::NoPermission, "no-permission.txt"),
            (Fault::NotAuthenticated, "not-authenticated.txt"),
        ] {
            assert_eq!(faults(fault).of_the_daemon().unwrap_err().told_by("list"), recorded(name));
        }
        for (fault, name) in [(Fault::NoKvm, "launch-no-kvm.txt"), (Fault::NoSpace, "launch-no-space.txt")] {
            assert_eq!(faults(fault).of_a_launch(3_758_096_384).unwrap_err().told_by("launch"), recorded(name));
        }
    }

    #[test]
    fn an_address_comes_after_its_time() {
        let faults = Faults { address_after: Some(3), ..Faults::default() };
        assert_eq!([2, 3].map(|seconds| faults.hides_address(|| seconds)), [true, false]);
    }
}
