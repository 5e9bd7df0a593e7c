//! A cluster that exists already: used as it is, asked what applies to it, and left as it was.
//!
//! It is somebody else's. So nobody's context is taken for granted, nothing is made on it but in namespaces of the run's and what a
//! launch needs for the whole cluster, all of it with the run's label, and just that is removed. What a check needs and the cluster
//! has not got is *not applicable*.

mod clean;
mod detect;
mod error;
mod node;
mod rights;
mod source;
mod standin;

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kube::{Client, config::Kubeconfig};
use tokio::time::timeout;

pub(super) use self::clean::clean;
pub(crate) use self::clean::note;
pub use self::{clean::Uncleaned, error::ExistingError};
use self::{detect::Observed, source::Source};
use super::{
    Boot, Capability, Cluster, ClusterRecord, ClusterSpec, K3sImage, Provider, ProviderError, Run, client, run::write_private,
};
use crate::{config::Config, image::Standin, namespace::Namespace, probe};

/// The name of this provider.
const NAME: &str = "kubeconfig";

/// For how long an API may not answer at all.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The cluster behind a context of a kubeconfig.
#[derive(Debug)]
pub struct Existing {
    source: Source,
    standin: Standin,
    deadline: Duration,
}

impl Existing {
    /// The cluster that the configuration names; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ExistingError`], if it names none, or one that looks like production.
    pub fn new(config: &Config) -> Result<Self, ExistingError> {
        let source = Source::choose(config)?;
        if config.k3s != K3sImage::default() {
            return Err(ExistingError::Impossible { what: format!("{}: it is what it is", config.k3s) });
        }
        if config.images_dir.is_some() {
            return Err(ExistingError::Impossible { what: "the images in K3S_ARC_IMAGES_DIR".to_owned() });
        }
        let standin = Standin::new(config.standin_image.as_deref())?;
        Ok(Self { source, standin, deadline: config.boot_timeout })
    }

    /// What of what a check needs the cluster cannot do, as far as seen without making anything on it.
    ///
    /// # Errors
    /// [`ExistingError`].
    pub async fn lacks(&self) -> Result<std::collections::BTreeMap<Capability, String>, ExistingError> {
        let client = self.first_client().await?;
        // No run has this id: all that is there of Arc is somebody else's.
        Ok(self.observe(&client, "").await?.judge().1)
    }

    async fn prepare(&self, run: &str, spec: &ClusterSpec, kubeconfig: &Path) -> Result<ClusterRecord, ExistingError> {
        possible(spec)?;
        let write = |path: &Path, content: &[u8]| {
            write_private(path, content).map_err(|source| ExistingError::Write { path: path.to_owned(), source })
        };
        let yaml = serde_saphyr::to_string(&self.source.kubeconfig)
            .map_err(|error| ExistingError::Login { context: self.source.context.clone(), source: error.into() })?;
        write(kubeconfig, yaml.as_bytes())?;
        let client = self.first_client().await?;

        let answers = format!("an API that answers, at {}", self.source.server);
        tracing::info!("waiting for {answers}");
        let observed = self.observe(&client, run).await?;
        let missing = rights::missing(&client).await.map_err(|error| self.refused("say what one may do", &error))?;
        if !missing.is_empty() {
            return Err(ExistingError::Rights { context: self.source.context.clone(), missing });
        }
        self.runs_here(&observed)?;
        if observed.schedulable().next().is_none() {
            return Err(ExistingError::NoNode { nodes: observed.closed() });
        }

        let (capabilities, lacks) = observed.judge();
        let record = ClusterRecord {
            provider: NAME.to_owned(),
            boot: Boot::default(),
            run: run.to_owned(),
            version: observed.version.clone(),
            standin_image: self.standin.reference().to_owned(),
            capabilities,
            lacks,
            storage_class: observed.storage_class(),
            emulated: observed.emulated,
            place: String::new(),
            handle: self.source.context.clone(),
            commands: vec![
                format!("kubectl --kubeconfig {} get namespaces -l {}={run}", kubeconfig.display(), super::RUN_LABEL),
                format!("k3s-arc down {run}"),
            ],
        };
        // From here on there may be something to remove.
        clean::mark(kubeconfig, run, &self.source).map_err(|(path, source)| ExistingError::Write { path, source })?;
        let cluster = self.cluster(&record, kubeconfig, self.client(kubeconfig).await?);
        self.serves(&cluster, &observed).await?;
        Ok(record)
    }

    /// Whether something new works on the cluster.
    async fn serves(&self, cluster: &Cluster, observed: &Observed) -> Result<(), ExistingError> {
        let namespace = Namespace::create(cluster, "served").await?;
        tracing::info!("waiting for the stand-in's image on every node");
        let client = cluster.client();
        standin::runs_on_each(&client, namespace.name(), observed.schedulable(), &self.standin, self.deadline).await?;
        if cluster.can(Capability::DefaultClass) {
            tracing::info!("waiting for a new pod with a new claim, and a name that resolves");
            let served = probe::served(client, namespace.name(), self.standin.reference(), self.deadline).await;
            served.map_err(|source| ExistingError::NotServed { source })?;
        }
        Ok(())
    }

    async fn observe(&self, client: &Client, run: &str) -> Result<Observed, ExistingError> {
        match timeout(ANSWERS_WITHIN, Observed::of(client, run)).await {
            Ok(observed) => observed.map_err(|error| self.refused("say what the cluster is", &error)),
            Err(_) => Err(ExistingError::Api {
                context: self.source.context.clone(),
                server: self.source.server.clone(),
                attempted: "answer",
                cause: format!("nothing came back in {} s", ANSWERS_WITHIN.as_secs()),
                remedy: UNREACHABLE,
            }),
        }
    }

    /// The stand-in that is built in is a program for this host's architecture alone.
    fn runs_here(&self, observed: &Observed) -> Result<(), ExistingError> {
        let ours = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let theirs = observed.architectures();
        match self.standin {
            Standin::BuiltIn { .. } if theirs.iter().any(|theirs| *theirs != ours) => {
                Err(ExistingError::Architecture { ours, theirs: theirs.into_iter().collect::<Vec<_>>().join(" and ") })
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, attempted: &'static str, error: &kube::Error) -> ExistingError {
        let remedy = match error {
            kube::Error::Api(status) if status.code == 401 => "its user is not known there, or no longer: log in again",
            kube::Error::Api(status) if status.code == 403 => "its user may not even look: use one who may, best a cluster-admin",
            kube::Error::Auth(_) => "the log-in plug-in of its user fails: `kubectl get nodes` by this context shows how",
            _ => UNREACHABLE,
        };
        ExistingError::Api {
            context: self.source.context.clone(),
            server: self.source.server.clone(),
            attempted,
            cause: crate::chain(error),
            remedy,
        }
    }

    async fn client(&self, kubeconfig: &Path) -> Result<Client, ExistingError> {
        let read = Kubeconfig::read_from(kubeconfig);
        let read = read.map_err(|error| ExistingError::Kubeconfig { path: kubeconfig.to_owned(), source: Box::new(error) })?;
        let client = client::client_of(read).await;
        client.map_err(|source| ExistingError::Login { context: self.source.context.clone(), source })
    }

    /// A client that says at once what is the matter with the way to the cluster.
    async fn first_client(&self) -> Result<Client, ExistingError> {
        let client = client::plain_of(self.source.kubeconfig.clone()).await;
        client.map_err(|source| ExistingError::Login { context: self.source.context.clone(), source })
    }

    fn cluster(&self, record: &ClusterRecord, kubeconfig: &Path, client: Client) -> Cluster {
        Cluster::new(NAME, record, kubeconfig, client, Arc::new(node::Closed))
    }
}

/// Refuses a launch where Arc data services are that others put there: a launcher removes what it finds.
pub(crate) async fn nobodys_arc(cluster: &Cluster) -> Result<(), ExistingError> {
    if cluster.can(Capability::Own) {
        return Ok(());
    }
    match detect::arc_of_others(&cluster.client(), cluster.run()).await {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(ExistingError::ArcIsThere { found }),
        Err(error) => Err(ExistingError::Look { source: Box::new(error) }),
    }
}

const UNREACHABLE: &str = "see that the address is reached from here, and that the kubeconfig is not of a cluster that is gone";

/// Refuses what only a cluster of our own can be made to be.
fn possible(spec: &ClusterSpec) -> Result<(), ExistingError> {
    if *spec == ClusterSpec::new(K3sImage::default()) {
        return Ok(());
    }
    let argument = spec.server_arguments().next().map(|argument| format!("the argument {argument} of `k3s server`"));
    let image = spec.engine_images().next().map(|image| format!("the image {image}"));
    let what = argument.or(image).unwrap_or_else(|| "another K3s, or other components, than it has".to_owned());
    Err(ExistingError::Impossible { what })
}

impl Provider for Existing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn standin_image(&self) -> &str {
        self.standin.reference()
    }

    /// None was made, so that none is kept, either: each run looks anew, and labels its own things.
    fn made(&self, _record: &ClusterRecord) -> bool {
        false
    }

    fn make<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<ClusterRecord, ProviderError>> {
        self.prepare(run.id(), spec, kubeconfig).map(|made| made.map_err(ProviderError::from)).boxed()
    }

    fn attach<'a>(&'a self, record: &'a ClusterRecord, kubeconfig: &'a Path) -> BoxFuture<'a, Result<Cluster, ProviderError>> {
        async move {
            let client = self.client(kubeconfig).await?;
            Ok(self.cluster(record, kubeconfig, client))
        }
        .boxed()
    }

    fn discard<'a>(
        &'a self,
        _run: &'a Run,
        _spec: &'a ClusterSpec,
        _kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        // The namespace that it was tried in has gone with the attempt.
        std::future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests;
