//! Clusters in VMs that Multipass makes: one VM per node, with K3s installed as its users install it.
//!
//! Everything is asked of the `multipass` command, whose command line is documented and whose daemon's protocol is not:
//! <https://canonical.com/multipass/docs/stable/reference/command-line-interface/>.

mod cause;
mod command;
mod error;
mod info;
mod install;
mod launch;
mod moved;
mod node;
#[cfg(test)]
mod recorded;
mod remove;
mod size;
pub mod warm;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use kube::Client;
use tokio::time::timeout;

pub(super) use self::remove::{has_vms, ownerless, remove_orphans, remove_run};
use self::{
    command::Multipass as Command,
    install::{Assets, Installation},
    node::VmNode,
    remove::Notes,
    warm::{Cache, Claim, Entry},
};
pub use self::{
    error::MultipassError,
    launch::Shape,
    size::{NoSize, Size},
};
pub(crate) use self::{info::Version, launch::Host};
use super::{
    Boot, Capability, Cluster, ClusterRecord, ClusterSpec, K3sImage, LogTail, Machine, Provider, ProviderError, Run, client,
    lost, orphan, ready,
};
use crate::{config::Config, diagnosis, image::Standin, versions::K3sVersion};

/// The name of this provider.
const NAME: &str = "multipass";

/// Makes clusters of one VM each.
#[derive(Debug)]
pub struct Multipass {
    standin: Standin,
    shape: Shape,
    airgap: Option<PathBuf>,
    boot_timeout: Duration,
    warm: bool,
}

/// Which Multipass this host has; nothing, if it has none.
pub(crate) async fn look() -> Option<Result<Version, MultipassError>> {
    let multipass = Command::find()?;
    Some(launch::version(&multipass).await)
}

/// Whether a directory has the assets of a version.
pub(crate) fn has_assets(directory: &Path, version: &K3sVersion) -> Result<(), MultipassError> {
    Assets::of(directory, &version.to_string()).map(drop)
}

impl Multipass {
    /// Puts `standin` on every cluster it makes, in VMs as the configuration has them.
    ///
    /// # Errors
    /// [`MultipassError::Impossible`] and [`MultipassError::Airgap`], of the K3s that the configuration asks for.
    pub fn new(standin: Standin, config: &Config) -> Result<Self, MultipassError> {
        let (shape, airgap, boot_timeout) = (config.vm.clone(), config.airgap_dir.clone(), config.boot_timeout);
        let provider = Self { standin, shape, airgap, boot_timeout, warm: config.cache_vms };
        provider.assets(&release(&config.k3s)?)?;
        Ok(provider)
    }

    /// The files to install a version from; none, where it comes from the network.
    fn assets(&self, version: &str) -> Result<Option<Assets>, MultipassError> {
        self.airgap.as_deref().map(|directory| Assets::of(directory, version)).transpose()
    }

    /// What its clusters cannot do.
    pub(crate) fn lacks() -> BTreeMap<Capability, String> {
        [(Capability::Container, "its node is a VM, and no container".to_owned())].into()
    }

    async fn boot(&self, run: &Run, spec: &ClusterSpec, kubeconfig: &Path) -> Result<ClusterRecord, MultipassError> {
        // What can be known to be impossible is, before anything is made.
        let version = release(spec.k3s())?;
        let assets = self.assets(&version)?;
        self.shape.fits(&Host::look())?;
        let multipass = Command::find().ok_or(MultipassError::NotInstalled)?;
        orphan::tell(remove_orphans().await);

        let notes = Notes::of(run.directory());
        remove::remove_spec(&notes, &spec.digest()).await?;
        let making =
            Making { multipass: &multipass, notes: &notes, run, spec, version: &version, assets: assets.as_ref(), kubeconfig };
        let cache = if self.warm { Cache::of_user() } else { None };
        let Some(cache) = cache else { return self.boot_from_nothing(&making, None).await };
        let claim = cache.claim(&multipass, run, spec, &self.shape, self.standin.reference()).await?;
        match claim {
            Claim::None => self.boot_from_nothing(&making, None).await,
            Claim::Empty(entry) => self.boot_from_nothing(&making, Some((&cache, &entry))).await,
            Claim::Warm(entry) => {
                let error = match self.boot_from(&making, &entry).await {
                    Ok(record) => return Ok(record),
                    Err(error) => error,
                };
                if error.is_of_multipass() {
                    return Err(error);
                }
                let why = crate::chain(&error);
                tracing::warn!("the kept VM {} is of no use: {why}; it is discarded, and K3s boots from nothing", entry.vm);
                cache.discard(&entry).await?;
                notes.forget(&entry.vm);
                let claim = cache.claim(&multipass, run, spec, &self.shape, self.standin.reference()).await?;
                let kept = if let Claim::Empty(entry) = &claim { Some((&cache, entry)) } else { None };
                let record = self.boot_from_nothing(&making, kept).await?;
                Ok(ClusterRecord { boot: Boot::Rebuilt(why), ..record })
            }
        }
    }

    /// Launches a VM and installs K3s in it; keeps it for the next, if it is to be.
    async fn boot_from_nothing(
        &self,
        making: &Making<'_>,
        kept: Option<(&Cache, &Entry)>,
    ) -> Result<ClusterRecord, MultipassError> {
        let Making { multipass, notes, run, spec, .. } = *making;
        let name = kept.map_or_else(|| launch::name(run, spec), |(_, entry)| entry.vm.clone());
        if launch::all_names(multipass).await?.contains(&name) {
            return Err(MultipassError::NameTaken { name });
        }
        let note = notes.add(&name, multipass, run, &spec.digest(), kept.map(|(_, entry)| entry.key().to_owned()))?;
        if let Err(error) = launch::launch(multipass, &name, &self.shape, &run.labels(&spec.digest())).await {
            if matches!(error, MultipassError::NameTaken { .. }) {
                // Somebody was faster, and it is his.
                notes.forget(&name);
            }
            return Err(error);
        }
        notes.confirm(note)?;
        let address = launch::address(multipass, &name).await?;
        let node = VmNode::new(multipass.clone(), name.clone());
        let installation = self.installation(making, address);
        installation.install(&node).await?;
        let mut version = self.until_served(&installation, &node, making.kubeconfig, false).await?;
        if let Some((cache, entry)) = kept {
            tracing::info!("keeping the VM for the next boot of its kind: it is stopped, and starts again");
            if let Err(error) = cache.fill(multipass, entry).await {
                tracing::warn!("this boot is not kept in the cache: {}", crate::chain(&error));
            }
            launch::start(multipass, &name).await?;
            let installation = self.installation(making, launch::address(multipass, &name).await?);
            version = self.until_served(&installation, &node, making.kubeconfig, address != installation.address).await?;
        }
        Ok(self.record(run, spec, name, version, making.kubeconfig))
    }

    /// Restores a VM that is kept.
    async fn boot_from(&self, making: &Making<'_>, entry: &Entry) -> Result<ClusterRecord, MultipassError> {
        let Making { multipass, notes, run, spec, .. } = *making;
        let note = notes.add(&entry.vm, multipass, run, &spec.digest(), Some(entry.key().to_owned()))?;
        notes.confirm(note)?;
        tracing::info!("restoring the VM {}", entry.vm);
        entry.restore(multipass).await?;
        let installation = self.installation(making, launch::address(multipass, &entry.vm).await?);
        let node = VmNode::new(multipass.clone(), entry.vm.clone());
        // Where it was when it was kept is nobody's to know: an address is lent.
        let version = self.until_served(&installation, &node, making.kubeconfig, true).await?;
        let record = self.record(run, spec, entry.vm.clone(), version, making.kubeconfig);
        Ok(ClusterRecord { boot: Boot::FromCache, ..record })
    }

    fn installation<'a>(&'a self, making: &Making<'a>, address: Ipv4Addr) -> Installation<'a> {
        let Making { run, spec, version, assets, .. } = *making;
        Installation { run, spec, version, assets, standin: &self.standin, address }
    }

    /// Starts K3s, waits until it serves, and gives its version. Its kubeconfig is then at `kubeconfig`.
    async fn until_served(
        &self,
        installation: &Installation<'_>,
        node: &VmNode,
        kubeconfig: &Path,
        may_have_moved: bool,
    ) -> Result<String, MultipassError> {
        let stage = ready::Stage::default();
        let serve = async {
            stage.enter("K3s in the VM");
            // One that is not up in this time has not served in it, either.
            if installation.start(node, self.boot_timeout).await?.is_none() {
                return std::future::pending().await;
            }
            installation.fetch_kubeconfig(node, kubeconfig).await?;
            let client = client_by(kubeconfig).await?;
            if may_have_moved {
                moved::settled(&client, installation.spec, installation.address, self.boot_timeout, &stage).await?;
            }
            let served = ready::until_served(&client, installation.spec, self.standin.reference(), self.boot_timeout, &stage);
            served.await.map_err(|source| MultipassError::NotServed { source })
        };
        let outcome = tokio::select! {
            served = timeout(self.boot_timeout, serve) => served,
            machine = lost(node) => Ok(Err(gone(machine))),
        };
        let error = match outcome {
            Ok(Ok(version)) => return Ok(version),
            Ok(Err(error)) => error,
            Err(_) => {
                let last_lines = LogTail::new(&install::log(node).await, None);
                MultipassError::Deadline { after: self.boot_timeout, missing: stage.now().to_owned(), last_lines }
            }
        };
        Err(explained(error, node, kubeconfig).await)
    }

    fn record(&self, run: &Run, spec: &ClusterSpec, vm: String, version: String, kubeconfig: &Path) -> ClusterRecord {
        let mut capabilities = Capability::of_our_own(spec);
        capabilities.extend([Capability::NodeExec, Capability::NodeKubectl, Capability::Cgroups]);
        ClusterRecord {
            provider: NAME.to_owned(),
            run: run.id().to_owned(),
            version,
            standin_image: self.standin.reference().to_owned(),
            capabilities,
            lacks: Self::lacks(),
            storage_class: None,
            emulated: false,
            place: String::new(),
            commands: vec![
                format!("kubectl --kubeconfig {} get pods -A", kubeconfig.display()),
                format!("multipass shell {vm}"),
                format!("k3s-arc down {}", run.id()),
            ],
            handle: vm,
            boot: Boot::FromNothing,
        }
    }
}

/// What a boot is about.
#[derive(Clone, Copy)]
struct Making<'a> {
    multipass: &'a Command,
    notes: &'a Notes,
    run: &'a Run,
    spec: &'a ClusterSpec,
    version: &'a str,
    assets: Option<&'a Assets>,
    kubeconfig: &'a Path,
}

/// The release that an image is of, as K3s's install script and its API name it: there are no images in a VM.
fn release(k3s: &K3sImage) -> Result<String, MultipassError> {
    let version = K3sVersion::of(k3s).filter(|version| *k3s == version.image());
    version.map(|version| version.to_string()).ok_or_else(|| MultipassError::Impossible { what: format!("the image {k3s}") })
}

/// A client by a kubeconfig of ours.
async fn client_by(kubeconfig: &Path) -> Result<Client, MultipassError> {
    client(kubeconfig).await.map_err(|source| MultipassError::Kubeconfig { path: kubeconfig.to_owned(), source })
}

fn gone(machine: Machine) -> MultipassError {
    MultipassError::Gone { name: machine.name, state: machine.state }
}

/// The same error, with what the cluster itself says of a boot that came to no end; as it is, where nothing is recognised.
async fn explained(error: MultipassError, node: &VmNode, kubeconfig: &Path) -> MultipassError {
    let is_up = matches!(error, MultipassError::NotServed { .. } | MultipassError::Deadline { .. }) && kubeconfig.exists();
    let diagnoses = if is_up { diagnosis::of_boot(kubeconfig, node).await } else { Vec::new() };
    if diagnoses.is_empty() { error } else { MultipassError::Explained { error: Box::new(error), diagnoses } }
}

impl Provider for Multipass {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standin_image(&self) -> &str {
        self.standin.reference()
    }

    fn make<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<ClusterRecord, ProviderError>> {
        self.boot(run, spec, kubeconfig).map(|made| made.map_err(ProviderError::from)).boxed()
    }

    fn attach<'a>(&'a self, record: &'a ClusterRecord, kubeconfig: &'a Path) -> BoxFuture<'a, Result<Cluster, ProviderError>> {
        async move {
            let multipass = Command::find().ok_or(MultipassError::NotInstalled)?;
            let node = VmNode::running(multipass, record.handle.clone()).await?;
            let client = client_by(kubeconfig).await?;
            Ok(Cluster::new(NAME, record, kubeconfig, client, Arc::new(node)))
        }
        .boxed()
    }

    fn discard<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        _kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            remove::remove_spec(&Notes::of(run.directory()), &spec.digest()).await?;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("v1.34.1+k3s1", Some("v1.34.1+k3s1"))]
    #[case("1.33.2", Some("v1.33.2+k3s1"))]
    #[case("localhost:5000/edge/k3s:v1.34.1-k3s1", None)]
    #[case("rancher/k3s:dev", None)]
    fn a_vm_gets_a_release_and_no_image(#[case] k3s: &str, #[case] version: Option<&str>) {
        let released = release(&k3s.parse().unwrap());
        assert_eq!(released.as_deref().ok(), version);
        assert!(version.is_some() || released.unwrap_err().is_input());
    }

    #[test]
    fn what_cannot_be_installed_is_refused_before_there_is_a_vm() {
        let directory = tempfile::tempdir().unwrap();
        let made = |name: &str, value: std::ffi::OsString| {
            let config = Config::read(|asked| (asked == name).then(|| value.clone())).unwrap();
            let standin = Standin::Published { reference: "standin".to_owned() };
            Multipass::new(standin, &config).map(drop)
        };
        let report = crate::report_of(&made("K3S_ARC_K3S", "edge/k3s:dev".into()).unwrap_err());
        assert!(report.contains("a VM cannot be given the image edge/k3s:dev"), "{report}");
        let error = made("K3S_ARC_AIRGAP_DIR", directory.path().into()).unwrap_err();
        assert!(matches!(error, MultipassError::Airgap { .. }), "{error:?}");
        made("K3S_ARC_K3S", "v1.33.2".into()).unwrap();
    }
}
