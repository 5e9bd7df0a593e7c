//! Clusters emulated in this process: no Docker, no root, served within a second.
//!
//! They are for the harness and the stand-in to be tried on, not a verdict on K3s. What only K3s itself could do (its arguments, other
//! versions, real images) is refused here.

mod controls;
mod error;
mod node;
mod running;
mod serving;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k3s_arc_emulator::NodeSpec;
use tokio::time::timeout;

pub(crate) use self::running::end_all;
pub use self::{
    controls::Controls,
    error::EmulatorError,
    serving::{Serving, ServingError},
};
use super::{
    Boot, Capability, Cluster, ClusterRecord, ClusterSpec, K3sImage, Packaged, Provider, ProviderError, Run, client, ready,
    run::write_private,
};
use crate::image;

/// The name of this provider.
const NAME: &str = "emulator";

/// Beside a cluster's kubeconfig: the root folders of its nodes.
const NODES: &str = "nodes";

/// What every cluster of the emulator has of K3s's packaged components; the others are not emulated.
const PACKAGED: [Packaged; 2] = [Packaged::Coredns, Packaged::LocalStorage];

/// Makes clusters in this process.
#[derive(Debug)]
pub struct Emulator {
    standin_image: String,
    boot_timeout: Duration,
}

impl Emulator {
    /// Puts the stand-in, under this image's name, on every cluster it makes, and gives each `boot_timeout` from start to served.
    pub fn new(standin_image: String, boot_timeout: Duration) -> Self {
        Self { standin_image, boot_timeout }
    }

    /// Whether it can play this K3s.
    pub(crate) fn plays(k3s: &K3sImage) -> bool {
        *k3s == K3sImage::default()
    }

    async fn boot(&self, spec: &ClusterSpec, run: &Run, kubeconfig: &Path) -> Result<ClusterRecord, EmulatorError> {
        possible(spec)?;
        let handle = handle(kubeconfig);
        running::end(&handle).await;
        let nodes = kubeconfig.with_file_name(NODES);
        let builder = k3s_arc_emulator::Emulator::builder()
            .node(NodeSpec::new(spec.name_of_node()))
            .root(&nodes)
            .image(&self.standin_image, image::emulated());
        let cluster = running::start(&handle, spec.name_of_node(), builder).await?;
        write_private(kubeconfig, cluster.emulator.kubeconfig().as_bytes())
            .map_err(|source| EmulatorError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
        let client = client(kubeconfig).await.map_err(EmulatorError::Client)?;
        let stage = ready::Stage::default();
        let served = ready::until_served(&client, spec, &self.standin_image, self.boot_timeout, &stage);
        let version = match timeout(self.boot_timeout, served).await {
            Ok(served) => served.map_err(|source| EmulatorError::NotServed { source })?,
            Err(_) => return Err(EmulatorError::Deadline { after: self.boot_timeout, missing: stage.now() }),
        };
        let mut capabilities = Capability::of_our_own(spec);
        capabilities.extend([Capability::NodeExec, Capability::Cgroups]);
        Ok(ClusterRecord {
            provider: self.name().to_owned(),
            run: run.id().to_owned(),
            version,
            standin_image: self.standin_image.clone(),
            capabilities,
            lacks: BTreeMap::new(),
            storage_class: None,
            emulated: true,
            place: String::new(),
            handle,
            // It ends with this process; what is left of it are files.
            commands: vec![format!("ls {}", nodes.display()), format!("k3s-arc down {}", run.id())],
            boot: Boot::FromNothing,
        })
    }

    async fn find(&self, record: &ClusterRecord, kubeconfig: &Path) -> Result<Cluster, EmulatorError> {
        let found = running::find(&record.handle);
        let cluster = found.ok_or_else(|| EmulatorError::Gone { kubeconfig: kubeconfig.to_owned() })?;
        let client = client(kubeconfig).await.map_err(EmulatorError::Client)?;
        Ok(Cluster::new(self.name(), record, kubeconfig, client, Arc::new(node::EmulatedNode::of(cluster))))
    }
}

/// What a cluster is found by in this process: nothing else has a kubeconfig there.
fn handle(kubeconfig: &Path) -> String {
    kubeconfig.display().to_string()
}

/// Refuses what the emulator would have to pretend.
fn possible(spec: &ClusterSpec) -> Result<(), EmulatorError> {
    let refused = |what: String| Err(EmulatorError::Impossible { what });
    if !Emulator::plays(spec.k3s()) {
        return refused(format!("{}: it plays {} alone", spec.k3s(), K3sImage::default()));
    }
    if let Some(argument) = spec.server_arguments().next() {
        return refused(format!("the argument {argument} of `k3s server`"));
    }
    if let Some(image) = spec.engine_images().next() {
        return refused(format!("the image {image}: its pods run no programs but those that are compiled in"));
    }
    if let Some(archive) = spec.image_archives().next() {
        let archive = archive.display();
        return refused(format!("the image archive {archive}: its pods run no programs but those that are compiled in"));
    }
    match Packaged::ALL.into_iter().find(|component| spec.has(*component) != PACKAGED.contains(component)) {
        Some(component) if spec.has(component) => refused(format!("the packaged component {}", component.name())),
        Some(component) => refused(format!("a cluster without the packaged component {}", component.name())),
        None => Ok(()),
    }
}

impl Provider for Emulator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_in_process(&self) -> bool {
        true
    }

    fn standin_image(&self) -> &str {
        &self.standin_image
    }

    fn make<'a>(
        &'a self,
        run: &'a Run,
        spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<ClusterRecord, ProviderError>> {
        self.boot(spec, run, kubeconfig).map(|made| made.map_err(ProviderError::from)).boxed()
    }

    fn attach<'a>(&'a self, record: &'a ClusterRecord, kubeconfig: &'a Path) -> BoxFuture<'a, Result<Cluster, ProviderError>> {
        self.find(record, kubeconfig).map(|found| found.map_err(ProviderError::from)).boxed()
    }

    fn discard<'a>(
        &'a self,
        _run: &'a Run,
        _spec: &'a ClusterSpec,
        kubeconfig: &'a Path,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            running::end(&handle(kubeconfig)).await;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn spec() -> ClusterSpec {
        ClusterSpec::new(K3sImage::default())
    }

    #[test]
    fn the_usual_cluster_is_possible() {
        assert!(possible(&spec().node_name("other").private("mine")).is_ok());
    }

    #[rstest]
    #[case::version(ClusterSpec::new("v1.33.5+k3s1".parse().unwrap()), "rancher/k3s:v1.33.5-k3s1: it plays rancher/k3s:v1.34.1-k3s1 alone")]
    #[case::argument(spec().server_argument("--debug"), "the argument --debug of `k3s server`")]
    #[case::image(spec().engine_image("nginx"), "the image nginx: ")]
    #[case::archive(spec().image_archive("a.tar"), "the image archive a.tar: ")]
    #[case::more(spec().packaged(Packaged::Traefik, true), "the packaged component traefik")]
    #[case::less(spec().packaged(Packaged::Coredns, false), "a cluster without the packaged component coredns")]
    fn what_would_have_to_be_pretended_is_refused(#[case] spec: ClusterSpec, #[case] says: &str) {
        let error = possible(&spec).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
