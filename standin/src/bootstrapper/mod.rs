//! The bootstrapper: reconciles a DataController into the components of the control plane.
//!
//! The launcher deploys it; from then on it makes the other seven components of
//! [`COMPONENTS`](crate::arc::COMPONENTS), mends what is deleted or changed, and keeps the DataController's status.

mod answers;
mod desired;
mod live;
mod reconcile;
mod service;
mod status;
pub(crate) mod workload;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k3s_arc_container::Container;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, ReplicaSet, StatefulSet},
    core::v1::{PersistentVolumeClaim, Service},
};
use kube::{
    Api, Client,
    runtime::{Config, Controller, watcher},
};

use self::reconcile::{Context, again, reconcile};
pub(crate) use self::{service::cluster_ip, workload::deployment};
use crate::{arc::DataController, log::Log, shutdown::Shutdown};

/// How long changes are gathered before they are looked at: while the components start, each reports several.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// What the bootstrapper is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace it works in.
    pub namespace: String,
    /// The image that the components run: its own.
    pub image: String,
}

/// Reconciles the namespace's DataControllers until it is told to stop.
pub async fn run(client: Client, options: Options, container: Arc<Container>, log: Log, shutdown: Shutdown) {
    let Options { namespace, image } = options;
    let all = watcher::Config::default;
    let controller = Controller::new(Api::<DataController>::namespaced(client.clone(), &namespace), all())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(1))
        .owns(Api::<ReplicaSet>::namespaced(client.clone(), &namespace), all())
        .owns(Api::<StatefulSet>::namespaced(client.clone(), &namespace), all())
        .owns(Api::<DaemonSet>::namespaced(client.clone(), &namespace), all())
        .owns(Api::<Service>::namespaced(client.clone(), &namespace), all())
        .owns(Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace), all())
        .graceful_shutdown_on(async move { shutdown.requested().await });
    log.info(format_args!("bootstrapper reconciles the DataControllers of namespace {namespace}"));
    let context = Arc::new(Context { client, image, container, log: log.clone() });
    controller.run(reconcile, again, context).for_each(async |_| {}).await;
    log.info("bootstrapper stops");
}
