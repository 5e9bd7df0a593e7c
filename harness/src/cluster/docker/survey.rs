//! What there is to know of a Docker Engine and its host before anything is asked of it.

use std::time::Duration;

use super::{DockerError, endpoint::Endpoint, engine, kind::Kind, route::Route};

/// An engine that does not answer a question within this time is as good as none.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same of one that is on another host, where ssh has much to say before.
const PATIENCE_ELSEWHERE: Duration = Duration::from_secs(10);

/// A Docker Engine that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Where it was reached: `unix:///var/run/docker.sock`, ...
    pub(crate) address: String,
    /// Who said that it is this one, in words.
    pub(crate) chosen: String,
    /// What kind it is.
    pub(crate) kind: Kind,
    /// The way to clusters on it, if there is one; over a network it may be open to others.
    pub(crate) route: Option<Route>,
    /// Whether the engine is reached by TLS.
    pub(crate) by_tls: bool,
    /// Its version.
    pub(crate) version: Option<String>,
    /// Its host's operating system, by name.
    pub(crate) system: Option<String>,
    /// The cgroup version of its host.
    pub(crate) cgroups: Option<u32>,
    /// Its host's machine: `x86_64`, ...
    pub(crate) architecture: Option<String>,
    /// Its host's kernel, as `uname -r`.
    pub(crate) kernel: Option<String>,
    /// The cores it sees.
    pub(crate) cores: Option<u64>,
    /// The memory it sees, in bytes.
    pub(crate) memory: Option<u64>,
    /// The storage driver: `overlay2`, ...
    pub(crate) driver: Option<String>,
    /// Where it keeps images and volumes.
    pub(crate) data_root: Option<String>,
    /// The K3s images it has, by reference.
    pub(crate) k3s_images: Vec<String>,
}

impl Engine {
    /// Looks at the engine that clusters would be made with.
    pub(crate) async fn look() -> Result<Self, DockerError> {
        let endpoint = Endpoint::choose()?;
        let patience = if endpoint.is_socket() { PATIENCE } else { PATIENCE_ELSEWHERE };
        let silent = || DockerError::NoEngine {
            host: endpoint.address.clone(),
            chosen: endpoint.chosen.to_string(),
            source: format!("it does not answer within {} s", patience.as_secs()).into(),
        };
        tokio::time::timeout(patience, Self::ask(&endpoint)).await.map_err(|_| silent())?
    }

    /// Whether it is reached on this host.
    pub(crate) fn is_here(&self) -> bool {
        self.route == Some(Route::Here)
    }

    /// Whether the engine is looked for at a socket of this host.
    pub(crate) fn is_local() -> bool {
        Endpoint::choose().is_ok_and(|endpoint| endpoint.is_socket())
    }

    async fn ask(endpoint: &Endpoint) -> Result<Self, DockerError> {
        let docker = engine::connect_to(endpoint).await?;
        let (info, version, k3s_images, route) =
            futures::join!(docker.info(), docker.version(), engine::at_hand(&docker), Route::to(endpoint, true));
        let refused = |error| DockerError::request("tell about itself", error);
        let info = info.map_err(refused)?;
        let kind = Kind::read(&info, &version.map_err(refused)?);
        let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        Ok(Self {
            address: endpoint.address.clone(),
            chosen: endpoint.chosen.to_string(),
            kind,
            route: route.ok(),
            by_tls: endpoint.tls.is_some(),
            version: info.server_version,
            system: info.operating_system,
            cgroups: info.cgroup_version.and_then(|version| version.to_string().parse().ok()),
            architecture: info.architecture,
            kernel: info.kernel_version,
            cores: positive(info.ncpu),
            memory: positive(info.mem_total),
            driver: info.driver,
            data_root: info.docker_root_dir,
            k3s_images,
        })
    }
}
