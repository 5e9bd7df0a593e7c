//! What goes wrong between here and a K3s that serves in a VM, with its cause and its remedy.

use std::{io, path::PathBuf, time::Duration};

use super::{command::CallError, info::AnswerError, size::Size};
use crate::{
    cluster::{ExitCause, LogTail, MachineState, docker::DockerError},
    diagnosis::{self, Diagnosis},
};

/// Why Multipass gave no cluster.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MultipassError {
    /// There is no `multipass`.
    #[error("there is no `multipass` command")]
    #[diagnostic(
        code(k3s_arc::multipass::not_installed),
        help(
            "install it (https://canonical.com/multipass/docs/stable/how-to-guides/install-multipass/), or take another provider: `--provider docker`"
        )
    )]
    NotInstalled,
    /// Its daemon does not answer.
    #[error("the Multipass daemon does not answer")]
    #[diagnostic(
        code(k3s_arc::multipass::no_daemon),
        help(
            "start it: `sudo snap start multipass` on Linux, `sudo launchctl kickstart system/com.canonical.multipassd` on macOS"
        )
    )]
    NoDaemon {
        /// What came back.
        source: CallError,
    },
    /// The daemon answers, and not this user.
    #[error("this user may not use Multipass")]
    #[diagnostic(
        code(k3s_arc::multipass::not_permitted),
        help(
            "its socket is for a group (`ls -l` shows which: sudo, admin or wheel) and for who knows its passphrase (`multipass authenticate`)"
        )
    )]
    NotPermitted {
        /// What came back.
        source: CallError,
    },
    /// The host runs no VMs.
    #[error("this host runs no VMs")]
    #[diagnostic(
        code(k3s_arc::multipass::no_virtualization),
        help(
            "switch virtualization on in the firmware, and load KVM (`kvm-ok` tells what is missing); in a VM, nested virtualization. \
              `--provider docker` needs none"
        )
    )]
    NoVirtualization {
        /// What came back.
        source: CallError,
    },
    /// The host has less than the VM is to have.
    #[error("the VM is to have {asked} {what}, and this host has {has}")]
    #[diagnostic(
        code(k3s_arc::multipass::too_big),
        help("ask for less in {variable}; with the stand-in, 2 cores, 12G of memory and 15G of disk do")
    )]
    TooBig {
        /// `of memory`, ...
        what: &'static str,
        /// How much was asked for.
        asked: String,
        /// How much there is.
        has: String,
        /// The variable that says how much.
        variable: &'static str,
    },
    /// What the daemon says of a disk that is full, or too small for the image.
    #[error("there is no space for the VM")]
    #[diagnostic(
        code(k3s_arc::multipass::no_space),
        help(
            "make room where Multipass keeps its VMs (`multipass list` shows them), or ask for another disk in K3S_ARC_MULTIPASS_DISK ({disk} now)"
        )
    )]
    NoSpace {
        /// How much the VM was to have.
        disk: Size,
        /// What came back.
        source: CallError,
    },
    /// What the hypervisor says of memory that is not there.
    #[error("there is no memory for the VM")]
    #[diagnostic(
        code(k3s_arc::multipass::no_memory),
        help("end what uses it, or ask for less in K3S_ARC_MULTIPASS_MEMORY ({memory} now)")
    )]
    NoMemory {
        /// How much the VM was to have.
        memory: Size,
        /// What came back.
        source: CallError,
    },
    /// There is no image for the VM to be made from.
    #[error("there is no image of Ubuntu {release} to be had")]
    #[diagnostic(
        code(k3s_arc::multipass::no_image),
        help(
            "`multipass find` lists what there is; name one in K3S_ARC_MULTIPASS_RELEASE. Without the way to cloud-images.ubuntu.com, \
              only an image that Multipass has fetched before, or a file:// URL, will do"
        )
    )]
    NoImage {
        /// The release asked for.
        release: String,
        /// What came back.
        source: CallError,
    },
    /// A VM of that name is there, and this run did not make it.
    #[error("there is a VM {name} already, which this run did not make")]
    #[diagnostic(
        code(k3s_arc::multipass::name_taken),
        help(
            "`multipass info {name}` shows it; run again, which takes another name, or remove it (`multipass delete --purge {name}`)"
        )
    )]
    NameTaken {
        /// The VM's name.
        name: String,
    },
    /// The VM did not come up in time.
    #[error("the VM {name} did not come up within {} s", .after.as_secs())]
    #[diagnostic(
        code(k3s_arc::multipass::launch_timeout),
        help(
            "a slow host, or the download of its image (`multipass launch` once by hand, and the image is there); with fewer cores and less \
              memory (K3S_ARC_MULTIPASS_CPUS, _MEMORY) a small host is not overloaded"
        )
    )]
    LaunchTimeout {
        /// The VM's name.
        name: String,
        /// How long it was given.
        after: Duration,
        /// What came back.
        source: CallError,
    },
    /// It runs, and has no address to be reached at.
    #[error("the VM {name} has no address, {} s after it came up", .after.as_secs())]
    #[diagnostic(
        code(k3s_arc::multipass::no_address),
        help(
            "Multipass's bridge gives none: a firewall or VPN on the host that stops DHCP, or another DHCP server; \
              https://canonical.com/multipass/docs/stable/how-to-guides/troubleshoot/troubleshoot-networking/"
        )
    )]
    NoAddress {
        /// The VM's name.
        name: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// A VM of this run does not run any more.
    #[error("the VM {name} of this run {state}")]
    #[diagnostic(
        code(k3s_arc::multipass::gone),
        help(
            "something outside the run stopped, suspended or deleted it, or the host was started anew; `multipass info {name}` shows it"
        )
    )]
    Gone {
        /// The VM's name.
        name: String,
        /// How it is.
        state: MachineState,
    },
    /// A call had no end.
    #[error("Multipass did not {attempted}")]
    #[diagnostic(
        code(k3s_arc::multipass::silent),
        help(
            "its daemon, or the VM, is stuck: `multipass list` shows which; the daemon's log (`journalctl -u snap.multipass.multipassd`) may say of what"
        )
    )]
    Silent {
        /// What was attempted.
        attempted: String,
        /// What came back.
        source: CallError,
    },
    /// Anything else that Multipass refused.
    #[error("Multipass refused to {attempted}")]
    #[diagnostic(code(k3s_arc::multipass::request))]
    Request {
        /// What was attempted.
        attempted: String,
        /// What came back.
        source: CallError,
    },
    /// An answer that is not understood.
    #[error("what Multipass answers cannot be used: `{command}`")]
    #[diagnostic(
        code(k3s_arc::multipass::answer),
        help("versions 1.8 to 1.17 are understood; `multipass version` tells which it is")
    )]
    Answer {
        /// The whole command line.
        command: String,
        /// What is wrong with it.
        source: AnswerError,
    },
    /// Something is asked for that only Docker can do.
    #[error("a VM cannot be given {what}")]
    #[diagnostic(
        code(k3s_arc::multipass::impossible),
        help(
            "in a VM K3s is installed as its users install it: name a release, such as v1.34.1+k3s1, or take `--provider docker`"
        )
    )]
    Impossible {
        /// What was asked for.
        what: String,
    },
    /// The directory of K3s's release lacks something.
    #[error("{} has no {missing}", .directory.display())]
    #[diagnostic(
        code(k3s_arc::multipass::airgap),
        help(
            "K3S_ARC_AIRGAP_DIR is a directory with the assets of one release ({version}), or with one directory of such for each: the binary \
              `k3s`, `install.sh` (https://get.k3s.io) and `k3s-airgap-images-{architecture}.tar.zst`; \
              https://docs.k3s.io/installation/airgap"
        )
    )]
    Airgap {
        /// Where it was looked for.
        directory: PathBuf,
        /// What is missing.
        missing: String,
        /// The version that is asked for.
        version: String,
        /// As K3s names it: `amd64`, ...
        architecture: &'static str,
    },
    /// The directory holds another K3s than is asked for.
    #[error("{version} is asked for, and what is installed is {found}")]
    #[diagnostic(
        code(k3s_arc::multipass::version),
        help("put that version's assets in K3S_ARC_AIRGAP_DIR, or ask for this one in K3S_ARC_K3S")
    )]
    Version {
        /// The version that is asked for.
        version: String,
        /// What `k3s --version` says.
        found: String,
    },
    /// K3s could not be installed.
    #[error("K3s {version} could not be installed in the VM: {output}")]
    #[diagnostic(
        code(k3s_arc::multipass::install),
        help(
            "its install script comes from get.k3s.io and K3s from github.com: is the version one that is released, and is the way there open from \
              the VM? Without it, give the release's files in K3S_ARC_AIRGAP_DIR"
        )
    )]
    Install {
        /// The version.
        version: String,
        /// What was printed.
        output: String,
    },
    /// K3s ended while it started.
    #[error("K3s does not start in the VM{}", .cause.as_ref().map_or(String::new(), |cause| format!(": {}", cause.name())))]
    #[diagnostic(code(k3s_arc::multipass::exited), help("{}", remedy(*.cause)))]
    Exited {
        /// The cause, if it is one of those known.
        cause: Option<ExitCause>,
        /// What it said last.
        #[source]
        last_lines: LogTail,
    },
    /// The deadline passed.
    #[error("K3s did not serve within {} s; still missing: {missing}", .after.as_secs())]
    #[diagnostic(
        code(k3s_arc::multipass::deadline),
        help("a slow host, or slow pulls: give it more seconds in K3S_ARC_BOOT_TIMEOUT")
    )]
    Deadline {
        /// The deadline.
        after: Duration,
        /// What was waited for.
        missing: String,
        /// What K3s said last.
        #[source]
        last_lines: LogTail,
    },
    /// The cluster came up, and then did not do new work.
    #[error("K3s is up, but does not serve")]
    #[diagnostic(code(k3s_arc::multipass::not_served))]
    NotServed {
        /// What was tried and what came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One of the others, and what explains it.
    #[error("{}\n{}", crate::report_of(&**.error), diagnosis::told(.diagnoses))]
    #[diagnostic(code(k3s_arc::multipass::explained))]
    Explained {
        /// The error.
        error: Box<MultipassError>,
        /// What explains it.
        diagnoses: Vec<Diagnosis>,
    },
    /// The kubeconfig that K3s wrote is of no use, or could not be kept.
    #[error("the kubeconfig at {} cannot be used", .path.display())]
    #[diagnostic(code(k3s_arc::multipass::kubeconfig))]
    Kubeconfig {
        /// Where it is, or was to be.
        path: PathBuf,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run could not note that there will be something to remove.
    #[error("{} could not be written", .path.display())]
    #[diagnostic(code(k3s_arc::multipass::note), help("name another place in K3S_ARC_RUN_DIR"))]
    Note {
        /// The note.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// There is no stand-in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Standin(#[from] crate::image::StandinError),
    /// An image of the local Docker Engine could not be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Docker(#[from] DockerError),
}

fn remedy(cause: Option<ExitCause>) -> &'static str {
    match cause {
        Some(ExitCause::CgroupV1) => "take a release of Ubuntu since 22.04 in K3S_ARC_MULTIPASS_RELEASE, which have cgroup v2",
        Some(ExitCause::PortTaken) => {
            "take the conflicting argument out of the spec: nothing else of the VM listens where K3s does"
        }
        Some(ExitCause::NoSpace) => "give the VM a larger disk in K3S_ARC_MULTIPASS_DISK",
        Some(ExitCause::BadArgument) => {
            "take the argument out of the spec: `k3s server --help` in the VM lists what this version takes"
        }
        Some(ExitCause::Overlayfs) => "add --snapshotter=native to the spec",
        Some(ExitCause::TooManyFiles) => {
            "raise the limits in the image that K3S_ARC_MULTIPASS_RELEASE names, or take Ubuntu's own"
        }
        Some(ExitCause::NotPrivileged) => {
            "K3s needs a VM that lets root mount, and change kernel settings: take an image of Ubuntu's own"
        }
        None => "K3s's last lines name the cause; arguments of the spec are the likeliest",
    }
}

impl MultipassError {
    /// Whether Multipass itself is the cause, and not what it was asked to do.
    pub(super) fn is_of_multipass(&self) -> bool {
        matches!(self, Self::NotInstalled | Self::NoDaemon { .. } | Self::NotPermitted { .. } | Self::Note { .. })
    }

    /// Whether what the user gave is the cause.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Self::Impossible { .. } | Self::Airgap { .. } | Self::Version { .. })
    }
}
