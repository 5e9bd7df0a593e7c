//! What happens behind the API by itself.

mod aggregation;
mod api_endpoints;
pub(crate) mod conditions;
mod cron_jobs;
mod daemon_sets;
mod definitions;
mod deployments;
pub(crate) mod desk;
mod disruption;
mod endpoints;
mod ephemeral;
pub(crate) mod events;
mod garbage;
mod hash;
mod jobs;
mod mirroring;
mod namespaces;
mod node_hosts;
mod nodes;
pub(crate) mod pods;
mod policies;
mod protection;
mod quotas;
mod replicas;
mod revisions;
mod schedule;
pub(crate) mod series;
mod service_accounts;
mod stateful_sets;
#[cfg(test)]
mod tests;
pub(crate) mod volumes;

use std::cell::RefCell;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::access::User;
use crate::api::options::WriteOptions;
use crate::cluster::Cluster;
use crate::registry::Served;
use crate::scheduler;
use crate::verbs::Call;

/// Starts every controller.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    tasks.spawn(service_accounts::run(cluster.clone()));
    tasks.spawn(namespaces::run(cluster.clone()));
    tasks.spawn(aggregation::run(cluster.clone()));
    tasks.spawn(definitions::run(cluster.clone()));
    tasks.spawn(garbage::run(cluster.clone()));
    tasks.spawn(policies::run(cluster.clone()));
    tasks.spawn(quotas::run(cluster.clone()));
    tasks.spawn(desk::run(cluster.clone(), &WORKLOADS));
}

/// Those that look at objects of one another.
static WORKLOADS: [desk::Controller; 17] = [
    ephemeral::CONTROLLER,
    volumes::CONTROLLER,
    protection::CONTROLLER,
    deployments::CONTROLLER,
    stateful_sets::CONTROLLER,
    daemon_sets::CONTROLLER,
    cron_jobs::CONTROLLER,
    jobs::CONTROLLER,
    replicas::REPLICA_SET,
    replicas::REPLICATION_CONTROLLER,
    api_endpoints::CONTROLLER,
    endpoints::CONTROLLER,
    mirroring::CONTROLLER,
    disruption::CONTROLLER,
    scheduler::CONTROLLER,
    nodes::CONTROLLER,
    node_hosts::CONTROLLER,
];

/// The manager of what K3s's controllers write: they all run in one process of that name.
const MANAGER: &str = "k3s";

/// A controller's call.
pub(crate) fn call<'a>(
    cluster: &'a Cluster,
    user: &'a User,
    served: &'a Served,
    namespace: &'a str,
    name: &'a str,
    subresource: &'a str,
) -> Call<'a> {
    Call {
        cluster,
        served,
        user,
        namespace,
        name,
        subresource,
        uid_is_condition: false,
        options: WriteOptions { manager: MANAGER.into(), ..WriteOptions::default() },
        agent: "",
        warnings: RefCell::default(),
    }
}
