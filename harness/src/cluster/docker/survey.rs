//! What there is to know of a Docker Engine and its host before anything is asked of it.

use std::time::Duration;

use super::{DockerError, engine};

/// An engine that does not answer a question within this time is as good as none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A Docker Engine that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Where it was reached: `unix:///var/run/docker.sock`, ...
    pub(crate) address: String,
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
    /// Whether it runs without root, or maps the users of its containers: either keeps K3s from being privileged.
    pub(crate) restricted: Option<&'static str>,
    /// The K3s images it has, by reference.
    pub(crate) k3s_images: Vec<String>,
}

impl Engine {
    /// Looks at the engine that clusters would be made with.
    pub(crate) async fn look() -> Result<Self, DockerError> {
        let silent = || DockerError::NoEngine { host: engine::address(), source: "it does not answer within 2 s".into() };
        tokio::time::timeout(PATIENCE, Self::ask()).await.map_err(|_| silent())?
    }

    /// Whether the engine is looked for at a socket of this host.
    pub(crate) fn is_local() -> bool {
        ["unix:", "npipe:"].iter().any(|scheme| engine::address().starts_with(scheme))
    }

    async fn ask() -> Result<Self, DockerError> {
        let docker = engine::connect().await?;
        let (info, k3s_images) = futures::join!(docker.info(), engine::at_hand(&docker));
        let info = info.map_err(|error| DockerError::request("tell about itself", error))?;
        let options = info.security_options.unwrap_or_default();
        let has = |option: &str| options.iter().any(|found| found.contains(option));
        let restricted = match () {
            () if has("name=rootless") => Some("rootless"),
            () if has("name=userns") => Some("with user-namespace remapping"),
            () => None,
        };
        let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
        Ok(Self {
            address: engine::address(),
            version: info.server_version,
            system: info.operating_system,
            cgroups: info.cgroup_version.and_then(|version| version.to_string().parse().ok()),
            architecture: info.architecture,
            kernel: info.kernel_version,
            cores: positive(info.ncpu),
            memory: positive(info.mem_total),
            driver: info.driver,
            data_root: info.docker_root_dir,
            restricted,
            k3s_images,
        })
    }
}
