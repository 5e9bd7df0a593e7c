//! Starting and stopping: what a user of the crate holds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k3s_arc_container::Image;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::access::authority::{Authority, AuthorityError};
use crate::api::server;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::faults::ServerControl;
use crate::kinds::names;
use crate::net::Network;
use crate::node::command::NodeOutput;
use crate::node::control::NodeControl;
use crate::node::images::{Images, PullFault};
use crate::node::{Node, NodeSpec, kubelet};
use crate::store::Store;
use crate::{boot, controllers, packaged, passing};

/// The node that there is when nobody asks for others.
const DEFAULT_NODE: &str = "k3s";

/// As many have an address of their own.
const MOST_NODES: usize = 254;

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It serves this machine only: what it emulates has no more protection than a test needs.
    #[error("{0} is not a loopback address; the emulator listens on 127.0.0.0/8 or ::1 only")]
    NotLoopback(IpAddr),
    /// The port is taken, most likely.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The state directory cannot be used, or what is in it cannot be read.
    #[error("the state in {0}: {1}")]
    State(PathBuf, #[source] io::Error),
    /// No certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The folder of a node's files cannot be made.
    #[error("the files of a node in {0}: {1}")]
    Root(PathBuf, #[source] io::Error),
    /// Nodes are numbered by a byte of their addresses.
    #[error("more nodes than {MOST_NODES}")]
    TooManyNodes,
    /// Two nodes of one name, or a name that no node can have.
    #[error("a node {0:?}: {1}")]
    Node(String, String),
    /// The objects of a new cluster could not be made.
    #[error("the objects of a new cluster: {0}")]
    Boot(String),
}

/// Why there is no client of an emulator.
#[cfg(feature = "client")]
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// kube-rs does not understand the kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// kube-rs could not make a client.
    #[error(transparent)]
    Client(#[from] kube::Error),
}

/// How an emulator is to be; see [`Emulator::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    address: SocketAddr,
    state: Option<PathBuf>,
    /// None: the one that there is by default.
    nodes: Option<Vec<NodeSpec>>,
    images: Vec<(String, Image)>,
    speed: f64,
    /// None: a temporary folder.
    root: Option<PathBuf>,
}

impl Builder {
    /// Where to listen; a loopback address. Default: a free port of 127.0.0.1.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Keeps objects and certificates in a directory, so that a second start goes on where the first ended. Default: in memory.
    #[must_use]
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state = Some(directory.into());
        self
    }

    /// Adds a node. Without any, there is one of the name `k3s`; see [`Builder::no_nodes`] for none.
    #[must_use]
    pub fn node(mut self, node: NodeSpec) -> Self {
        self.nodes.get_or_insert_default().push(node);
        self
    }

    /// Where nodes have their root folders, a folder of its name for each. Default: a temporary folder, gone with the emulator.
    #[must_use]
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root = Some(folder.into());
        self
    }

    /// No nodes at all: the API and the controllers, and pods stay Pending.
    #[must_use]
    pub fn no_nodes(mut self) -> Self {
        self.nodes = Some(Vec::new());
        self
    }

    /// An image that nodes have: what pods run that name it. `busybox` and K3s's own are there anyway.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>, image: Image) -> Self {
        self.images.push((name.into(), image));
        self
    }

    /// Lets the cluster's time pass that many times faster than time does (1 to 100,000): back-offs, probes, grace periods, deadlines,
    /// schedules. What programs do takes as long as it takes.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// Starts it, on the Tokio runtime of the caller. Once this returns, it serves.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(self) -> Result<Emulator, StartError> {
        if !self.address.ip().is_loopback() {
            return Err(StartError::NotLoopback(self.address.ip()));
        }
        let listener = TcpListener::bind(self.address).await.map_err(|e| StartError::Listen(self.address, e))?;
        let address = listener.local_addr().map_err(|e| StartError::Listen(self.address, e))?;
        let directory = self.state.as_deref();
        let state = |error| StartError::State(directory.unwrap_or(Path::new("")).to_owned(), error);
        if let Some(directory) = directory {
            private_directory(directory).map_err(state)?;
        }
        let store = Store::open(directory).map_err(state)?;
        let authority = Authority::open(directory)?;
        let tls = TlsAcceptor::from(Arc::new(authority.tls(address.ip())?));
        let kubeconfig = kubeconfig(&authority, address)?;
        let cluster = Arc::new(Cluster::new(store, authority, Arc::new(Network::new(address)), Clock::new(self.speed)));
        cluster.network.serve(&cluster);
        let nodes = self.nodes.clone().unwrap_or_else(|| vec![NodeSpec::new(DEFAULT_NODE)]);
        check(&nodes)?;
        let server = nodes.first().map_or(DEFAULT_NODE, |node| node.name.as_str());
        boot::boot(&cluster, server).map_err(|refusal| StartError::Boot(refusal.message))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        controllers::start(&cluster, &mut tasks);
        let images = Arc::new(Images::default());
        for (name, image) in packaged::images(&Arc::downgrade(&cluster)) {
            images.register(name, image);
        }
        for (name, image) in self.images {
            images.register(&name, image);
        }
        let folder = match self.root.or_else(|| directory.map(|directory| directory.join("nodes"))) {
            Some(root) => Folder::Kept(root),
            None => Folder::passing()?,
        };
        for (number, spec) in (0..).zip(nodes) {
            let root = folder.path().join(&spec.name);
            // Its mounts are only what they are as long as no link is on the way to them.
            let made = private_directory(&root).and_then(|()| root.canonicalize());
            let root = made.map_err(|error| StartError::Root(root, error))?;
            let node = Node {
                root,
                spec,
                number,
                disk: Arc::default(),
                images: images.clone(),
                network: cluster.network.clone(),
                cluster: cluster.clone(),
            };
            kubelet::start(node, &mut tasks);
        }
        tasks.spawn(server::serve(listener, tls, cluster.clone(), stopped));
        Ok(Emulator { address, kubeconfig, cluster, stop, tasks, images, _folder: folder })
    }
}

/// Whether there can be such nodes.
fn check(nodes: &[NodeSpec]) -> Result<(), StartError> {
    if nodes.len() > MOST_NODES {
        return Err(StartError::TooManyNodes);
    }
    for (at, NodeSpec { name, .. }) in nodes.iter().enumerate() {
        if let Some(wrong) = names::subdomain(name).first() {
            return Err(StartError::Node(name.clone(), wrong.to_string()));
        }
        if nodes[..at].iter().any(|other| other.name == *name) {
            return Err(StartError::Node(name.clone(), "there is another one of that name".into()));
        }
    }
    Ok(())
}

/// Where the nodes have their files.
#[derive(Debug)]
enum Folder {
    /// Where its user wants them.
    Kept(PathBuf),
    /// Nowhere for long.
    Passing(passing::Folder),
}

impl Folder {
    fn passing() -> Result<Self, StartError> {
        let parent = std::env::temp_dir();
        let made = passing::Folder::make(&parent).map(Self::Passing);
        made.map_err(|error| StartError::Root(parent, error))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

fn private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// How clients get to it, as its administrator.
fn kubeconfig(authority: &Authority, address: SocketAddr) -> Result<String, AuthorityError> {
    let admin = authority.identify("system:admin", "system:masters")?;
    let encode = |pem: &str| STANDARD.encode(pem);
    Ok(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: default\npreferences: {{}}\n\
         clusters:\n- name: default\n  cluster:\n    server: https://{address}\n    certificate-authority-data: {}\n\
         contexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n\
         users:\n- name: default\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        encode(authority.server_ca()),
        encode(&admin.certificate),
        encode(&admin.key),
    ))
}

/// A running cluster. It ends when this is dropped, with every connection to it.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    kubeconfig: String,
    cluster: Arc<Cluster>,
    images: Arc<Images>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Removed when all of the above is gone.
    _folder: Folder,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Connections that became WebSockets are nobody's tasks.
        self.server().down();
    }
}

impl Emulator {
    /// An emulator in memory, on a free port of 127.0.0.1.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { address: (Ipv4Addr::LOCALHOST, 0).into(), state: None, nodes: None, images: Vec::new(), speed: 1.0, root: None }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL: `https://127.0.0.1:41234`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A kubeconfig of its administrator, as YAML. It holds a private key.
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// A client of its administrator.
    ///
    /// # Errors
    ///
    /// When kube-rs makes no client of the kubeconfig.
    #[cfg(feature = "client")]
    pub async fn client(&self) -> Result<kube::Client, ClientError> {
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&self.kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
        // It is in this process: what `HTTPS_PROXY` names does not stand between.
        config.proxy_url = None;
        Ok(kube::Client::try_from(config)?)
    }

    /// Lets its server fail on demand.
    #[must_use]
    pub fn server(&self) -> ServerControl {
        ServerControl(self.cluster.clone())
    }

    /// A node, to run commands on and to let fail. None: it has none of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<NodeControl> {
        self.cluster.nodes.get(name).map(NodeControl)
    }

    /// Runs a command as root in a node's own files and network, by the busybox there. None: it has no node of that name.
    pub async fn node_exec(&self, node: &str, command: &[String]) -> Option<NodeOutput> {
        Some(self.node(node)?.exec(command).await)
    }

    /// Lets every pull of an image go wrong, or slowly; none: as it is registered. An image that a node has already is not pulled.
    pub fn fail_pulls(&self, image: &str, fault: Option<PullFault>) {
        self.images.set_fault(image, fault);
    }

    /// Ends it and waits until nothing of it runs.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
    }
}
