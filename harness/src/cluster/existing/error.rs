//! What goes wrong between here and a cluster that exists.

use std::{io, path::PathBuf};

use kube::config::KubeconfigError;

use crate::namespace::NamespaceError;

/// Why a cluster that exists cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ExistingError {
    /// There is no kubeconfig, or it is none.
    #[error("the kubeconfig {} cannot be read", .path.display())]
    #[diagnostic(
        code(k3s_arc::existing::kubeconfig),
        help("name another in K3S_ARC_KUBECONFIG, or in KUBECONFIG as for kubectl")
    )]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: Box<KubeconfigError>,
    },
    /// Nobody said which cluster.
    #[error("which cluster is to be used is not taken for granted: no context is named")]
    #[diagnostic(code(k3s_arc::existing::no_context), help("name one in K3S_ARC_CONTEXT (`--context`); there are {}", list(.contexts)))]
    NoContext {
        /// Those of the kubeconfig.
        contexts: Vec<String>,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context {context}")]
    #[diagnostic(code(k3s_arc::existing::unknown_context), help("K3S_ARC_CONTEXT names it; there are {}", list(.contexts)))]
    UnknownContext {
        /// The one asked for.
        context: String,
        /// Those of the kubeconfig.
        contexts: Vec<String>,
    },
    /// The context leads nowhere.
    #[error("the kubeconfig has the context {context}, but not {what}")]
    #[diagnostic(code(k3s_arc::existing::incomplete), help("`kubectl config get-contexts` shows what contexts name"))]
    Incomplete {
        /// The context.
        context: String,
        /// What it names that is not there.
        what: String,
    },
    /// It may be one that people depend on.
    #[error("the context {context} looks like production: its {what} is {name}")]
    #[diagnostic(
        code(k3s_arc::existing::production),
        help("if pods, namespaces and Arc's own definitions may come and go on it, say so with `--yes` (K3S_ARC_YES=1)")
    )]
    Production {
        /// The context.
        context: String,
        /// `context`, `cluster` or `server`.
        what: &'static str,
        /// The name that says so.
        name: String,
    },
    /// Something that only a cluster of our own can be asked for.
    #[error("a cluster that exists cannot be given {what}")]
    #[diagnostic(code(k3s_arc::existing::impossible), help("a K3s of our own can: `--provider docker`, K3S_ARC_PROVIDER=docker"))]
    Impossible {
        /// What was asked for.
        what: String,
    },
    /// What is kept for the run's other processes could not be.
    #[error("{} could not be written", .path.display())]
    #[diagnostic(code(k3s_arc::existing::write), help("name another place in K3S_ARC_RUN_DIR"))]
    Write {
        /// Which file.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The credentials that the kubeconfig names are not to be had.
    #[error("there is no way to log in by the context {context}")]
    #[diagnostic(
        code(k3s_arc::existing::login),
        help("`kubectl --context {context} get nodes` tries the same; a log-in plug-in must be on PATH, and logged in")
    )]
    Login {
        /// The context.
        context: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API did not answer, or not as it should.
    #[error("the API of the context {context} at {server} did not {attempted}: {cause}")]
    #[diagnostic(code(k3s_arc::existing::api), help("{remedy}"))]
    Api {
        /// The context.
        context: String,
        /// Its address.
        server: String,
        /// What was asked of it.
        attempted: &'static str,
        /// What came back.
        cause: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Not even the checks could be asked.
    #[error("by the context {context} one may not {}", .missing.join(", "))]
    #[diagnostic(
        code(k3s_arc::existing::rights),
        help("every check makes a namespace with pods in it: use a user who may, best a cluster-admin")
    )]
    Rights {
        /// The context.
        context: String,
        /// What is not allowed: `create namespaces`, ...
        missing: Vec<String>,
    },
    /// No node takes pods.
    #[error("no node of the cluster takes pods: {}", .nodes.join("; "))]
    #[diagnostic(code(k3s_arc::existing::no_node), help("`kubectl describe nodes` shows their conditions and taints"))]
    NoNode {
        /// Each node, and what keeps pods away.
        nodes: Vec<String>,
    },
    /// The stand-in is no program of the nodes'.
    #[error("the stand-in that is built in is for {ours}, and the cluster has nodes of {theirs}")]
    #[diagnostic(
        code(k3s_arc::existing::architecture),
        help("name an image of it that its nodes can pull and run in K3S_ARC_STANDIN_IMAGE")
    )]
    Architecture {
        /// The architecture of this program.
        ours: &'static str,
        /// Those of the nodes.
        theirs: String,
    },
    /// A node has not got the stand-in.
    #[error("node {node} does not run the stand-in's image {image}: {cause}")]
    #[diagnostic(code(k3s_arc::existing::standin), help("{remedy}"))]
    Standin {
        /// Which node.
        node: String,
        /// The image.
        image: String,
        /// What the kubelet says.
        cause: String,
        /// What to do about it.
        remedy: String,
    },
    /// There is no stand-in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoStandin(#[from] crate::image::StandinError),
    /// There is no namespace to try things in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Namespace(#[from] NamespaceError),
    /// It answers, and does no new work.
    #[error("the cluster does not serve")]
    #[diagnostic(
        code(k3s_arc::existing::not_served),
        help("see the cluster's nodes, StorageClass and DNS: nothing of ours is on it yet")
    )]
    NotServed {
        /// What was tried and what came back.
        source: crate::probe::ProbeError,
    },
    /// Whether it has Arc data services could not be seen.
    #[error("whether the cluster has Arc data services could not be seen")]
    #[diagnostic(code(k3s_arc::existing::arc_is_there), help("nothing is launched over what may be there"))]
    Look {
        /// What came back.
        source: Box<kube::Error>,
    },
    /// Arc data services came to be on the cluster that are not this run's.
    #[error("Arc data services are on the cluster that are not this run's, and a launcher would remove them: {}", .found.join(", "))]
    #[diagnostic(code(k3s_arc::existing::arc_is_there), help("another run may use the cluster: wait for its end"))]
    ArcIsThere {
        /// Their definitions.
        found: Vec<String>,
    },
}

impl ExistingError {
    /// Whether what the user gave is the cause, rather than the cluster.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Kubeconfig { .. }
                | Self::NoContext { .. }
                | Self::UnknownContext { .. }
                | Self::Incomplete { .. }
                | Self::Production { .. }
                | Self::Impossible { .. }
        )
    }
}

fn list(contexts: &[String]) -> String {
    if contexts.is_empty() { "none".to_owned() } else { contexts.join(", ") }
}
