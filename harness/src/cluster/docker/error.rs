//! What goes wrong between here and a K3s that serves, with its cause and its remedy.

use std::{path::PathBuf, time::Duration};

use testcontainers::bollard::errors::Error as BollardError;

use super::{endpoint::EndpointError, kind::Unsuitable, route::RouteError};
use crate::{
    cluster::{ExitCause, LogTail, MachineState},
    diagnosis::{self, Diagnosis},
};

/// Why Docker gave no cluster.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DockerError {
    /// Nobody answers.
    #[error("no Docker Engine answers at {host}")]
    #[diagnostic(
        code(k3s_arc::docker::no_engine),
        help(
            "start Docker, or name another engine in DOCKER_HOST or DOCKER_CONTEXT; this one was chosen so: {chosen}.{}",
            if .host.starts_with("ssh:") { " `ssh` to it must need neither a password nor an answer (BatchMode)" } else { "" }
        )
    )]
    NoEngine {
        /// Where it was looked for.
        host: String,
        /// Who said that it is there.
        chosen: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The socket is there, and this user may not use it.
    #[error("this user may not use the Docker Engine at {host}")]
    #[diagnostic(
        code(k3s_arc::docker::not_permitted),
        help("add the user to the group that owns the socket (`sudo usermod -aG docker $USER`, then log in again)")
    )]
    NotPermitted {
        /// Where the engine is.
        host: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not known which engine is meant.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Endpoint(#[from] EndpointError),
    /// An engine that K3s does not run on.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// K3s's API would be where it must not be, or cannot be reached where it is.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Route(#[from] RouteError),
    /// The image is neither here nor in its registry.
    #[error("there is no image {image}: its registry says `{answer}`")]
    #[diagnostic(
        code(k3s_arc::docker::image_not_found),
        help("name another K3s in K3S_ARC_K3S; at hand: {}", list(.at_hand))
    )]
    ImageNotFound {
        /// The image asked for.
        image: String,
        /// What the registry said.
        answer: String,
        /// The K3s images that the engine has.
        at_hand: Vec<String>,
    },
    /// The image is not here and could not be fetched.
    #[error("the image {image} is not here, and pulling it failed: {answer}")]
    #[diagnostic(
        code(k3s_arc::docker::pull),
        help("check the way to the registry, or name a K3s that is at hand in K3S_ARC_K3S: {}", list(.at_hand))
    )]
    Pull {
        /// The image asked for.
        image: String,
        /// What came back.
        answer: String,
        /// The K3s images that the engine has.
        at_hand: Vec<String>,
    },
    /// The engine does not run privileged containers.
    #[error("the Docker Engine refuses to run K3s privileged: {answer}")]
    #[diagnostic(
        code(k3s_arc::docker::privileged),
        help(
            "K3s needs a privileged container; use an engine without user-namespace remapping, rootless mode or a policy against it"
        )
    )]
    Privileged {
        /// What the engine said.
        answer: String,
    },
    /// No room for images, volumes or layers.
    #[error("the Docker Engine has no space left: {answer}")]
    #[diagnostic(code(k3s_arc::docker::no_space), help("`docker system df` shows what takes it; a K3s needs about 2 GB"))]
    NoSpace {
        /// What the engine said.
        answer: String,
    },
    /// The port on the host could not be bound.
    #[error("the Docker Engine could not publish K3s's API: {answer}")]
    #[diagnostic(
        code(k3s_arc::docker::port),
        help(
            "another process took the port in that moment, or none is free: `ss -ltn` lists them; run again. An engine behind another address than \
             its host has cannot publish there: reach it by ssh (DOCKER_HOST=ssh://...)"
        )
    )]
    Port {
        /// What the engine said.
        answer: String,
    },
    /// Anything else that Docker refused.
    #[error("Docker refused to {attempted}")]
    #[diagnostic(
        code(k3s_arc::docker::request),
        help(
            "the engine's log says more (`journalctl -u docker`), and `k3s-arc doctor` what is missing; if it was busy, run again"
        )
    )]
    Request {
        /// What was attempted.
        attempted: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run could not note that there will be something to remove.
    #[error("{} could not be written", .path.display())]
    #[diagnostic(code(k3s_arc::docker::mark), help("name another place in K3S_ARC_RUN_DIR"))]
    Mark {
        /// The note.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// An image archive could not be read.
    #[error("the image archive {} could not be read", .path.display())]
    #[diagnostic(code(k3s_arc::docker::archive), help("archives are what `docker save` or an OCI layout's tar gives"))]
    Archive {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// An image asked for by `engine_image` is not in the engine.
    #[error("the Docker Engine has no image {image} to put on the node")]
    #[diagnostic(code(k3s_arc::docker::engine_image), help("`docker pull {image}` or build it first"))]
    EngineImage {
        /// Which.
        image: String,
    },
    /// There is no stand-in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Standin(#[from] crate::image::StandinError),
    /// K3s ended while it booted.
    #[error("K3s ended with exit code {exit_code} while it booted{}", .cause.as_ref().map_or(String::new(), |cause| format!(": {}", cause.name())))]
    #[diagnostic(code(k3s_arc::docker::exited), help("{}", remedy(*.cause)))]
    Exited {
        /// The container's exit code.
        exit_code: i64,
        /// The cause, if it is one of those known.
        cause: Option<ExitCause>,
        /// What it said last.
        #[source]
        last_lines: LogTail,
    },
    /// The deadline passed.
    #[error("K3s did not serve within {} s; still missing: {missing}", .after.as_secs())]
    #[diagnostic(
        code(k3s_arc::docker::deadline),
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
    #[diagnostic(
        code(k3s_arc::docker::not_served),
        help("run again with K3S_ARC_KEEP=always, and look at the pods of the cluster that is kept")
    )]
    NotServed {
        /// What was tried and what came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One of the others, and what explains it.
    #[error("{}\n{}", crate::report_of(&**.error), diagnosis::told(.diagnoses))]
    #[diagnostic(code(k3s_arc::docker::explained))]
    Explained {
        /// The error.
        error: Box<DockerError>,
        /// What explains it.
        diagnoses: Vec<Diagnosis>,
    },
    /// The kubeconfig that K3s wrote is of no use, or could not be kept.
    #[error("the kubeconfig at {} cannot be used", .path.display())]
    #[diagnostic(
        code(k3s_arc::docker::kubeconfig),
        help("if it could not be written, name another place in K3S_ARC_RUN_DIR; else run again")
    )]
    Kubeconfig {
        /// Where it is, or was to be.
        path: PathBuf,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cluster of this run ended.
    #[error("the K3s container {id} of this run {state}")]
    #[diagnostic(
        code(k3s_arc::docker::gone),
        help(
            "something outside the run removed, stopped or killed it (a restart of the Docker Engine ends all containers), or the host \
             ran out of memory; `docker logs {id}` may say"
        )
    )]
    Gone {
        /// The container's id.
        id: String,
        /// How it ended.
        state: MachineState,
    },
}

fn remedy(cause: Option<ExitCause>) -> &'static str {
    match cause {
        Some(ExitCause::CgroupV1) => {
            "boot the host with cgroup v2 (systemd.unified_cgroup_hierarchy=1), take a K3s before v1.35, \
             or add --kubelet-arg=fail-cgroupv1=false to the spec"
        }
        Some(ExitCause::PortTaken) => "end what listens there, or take the conflicting argument out of the spec",
        Some(ExitCause::NoSpace) => "`docker system df` shows what takes it; a K3s needs about 2 GB",
        Some(ExitCause::BadArgument) => "`docker run --rm <image> server --help` lists what this version takes",
        Some(ExitCause::Overlayfs) => "add --snapshotter=native to the spec",
        Some(ExitCause::TooManyFiles) => {
            "raise the limit (`sudo sysctl fs.inotify.max_user_instances=512`), or end other clusters; `k3s-arc doctor` tells how many are used"
        }
        Some(ExitCause::NotPrivileged) => "K3s needs a privileged container on an engine that is not rootless",
        None => "K3s's last lines name the cause; arguments of the spec are the likeliest",
    }
}

fn list(images: &[String]) -> String {
    if images.is_empty() { "none".to_owned() } else { images.join(", ") }
}

impl DockerError {
    /// What Docker refused, told apart where the cause is known.
    pub(super) fn request(attempted: impl Into<String>, error: BollardError) -> Self {
        Self::refused(attempted, Box::new(error))
    }

    /// The same, of an error with its cause somewhere inside.
    pub(super) fn refused(attempted: impl Into<String>, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        let answer = crate::chain(&*source);
        let says = |texts: &[&str]| texts.iter().any(|text| answer.contains(text));
        if says(&["no space left on device"]) {
            Self::NoSpace { answer }
        } else if says(&["privileged mode is incompatible", "privileged containers are not allowed", "rivileged mode is not"]) {
            Self::Privileged { answer }
        } else if says(&["port is already allocated", "address already in use", "cannot assign requested address"]) {
            Self::Port { answer }
        } else {
            Self::Request { attempted: attempted.into(), source }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already allocated", "Port")]
    #[case("write /var/lib/docker/x: no space left on device", "NoSpace")]
    #[case(
        "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace",
        "Privileged"
    )]
    #[case("something else", "Request")]
    fn what_docker_refuses_is_told_apart(#[case] message: &str, #[case] variant: &str) {
        let error = BollardError::DockerResponseServerError { status_code: 500, message: message.to_owned() };
        assert!(format!("{:?}", DockerError::request("start it", error)).starts_with(variant));
    }
}
