//! What a check is given: a cluster, a namespace of its own on it, and Arc if it asked for that.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use super::{Check, Evidence, Failure};
use crate::{
    cluster::{Cluster, lost},
    diagnosis,
    launcher::{LaunchOptions, Outcome},
    namespace::Namespace,
};

/// What a check is given.
#[derive(Debug)]
pub struct Context {
    cluster: Arc<Cluster>,
    namespace: Namespace,
    launch: Option<Outcome>,
    launch_options: LaunchOptions,
}

impl Context {
    /// A context on a cluster; `launch` is the launch that put Arc on it, if one did, and `launch_options` are those
    /// of a launch as the configuration asks for it.
    pub fn new(cluster: Arc<Cluster>, namespace: Namespace, launch: Option<Outcome>, launch_options: LaunchOptions) -> Self {
        Self { cluster, namespace, launch, launch_options }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A client of the cluster's API.
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The name of the check's own namespace. It is deleted after the check.
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// The objects of a kind in the check's own namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), self.namespace())
    }

    /// The objects of a kind in another namespace.
    pub fn api_in<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// The cluster-wide objects of a kind.
    pub fn api_all<K>(&self) -> Api<K>
    where
        K: Resource,
        K::DynamicType: Default,
    {
        Api::all(self.client())
    }

    /// The launch that put Arc data services on the cluster.
    ///
    /// # Errors
    /// A failure, if there was none: the check did not ask for one with `on_arc`.
    pub fn launch(&self) -> Result<&Outcome, Failure> {
        self.launch.as_ref().ok_or_else(|| Failure::new("Arc data services were launched before this check", "they were not"))
    }

    /// How Arc is launched here, for a check that launches.
    pub fn launch_options(&self) -> &LaunchOptions {
        &self.launch_options
    }

    /// Ends without deleting the namespace: its cluster is kept for someone to look at what failed.
    pub(crate) fn keep_namespace(self) {
        self.namespace.keep();
    }

    /// Asks `check`, and on failure adds what explains it: the cluster's state, and the namespace's events, statuses and logs.
    ///
    /// A check whose node has ended fails at once: what it waits for cannot come.
    ///
    /// # Errors
    /// The check's failure, diagnosed.
    pub async fn ask(&self, check: &Check) -> Result<Evidence, Failure> {
        let mut evidence = Evidence::new();
        let answer = tokio::select! {
            answer = (check.ask)(self, &mut evidence) => answer,
            machine = lost(self.cluster.node()) => {
                Err(Failure::new("the cluster's node runs while the check is asked", machine))
            }
        };
        match answer {
            Ok(()) => Ok(evidence),
            Err(failure) => {
                let mut failure = failure.with_evidence(evidence);
                failure.diagnoses.extend(diagnosis::of_cluster(&self.cluster, Some(self.namespace())).await);
                Err(failure)
            }
        }
    }
}
