//! A namespace of a test's own, gone after it however it ends.

use std::time::Duration;

use k3s_arc_standin::kubernetes::is_not_found;
use k8s_openapi::api::core::v1::{Namespace as Object, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use crate::{
    cluster::{self, Cluster, existing},
    wait::{self, Seen, WaitError},
};

/// The label of everything we make on a cluster, and by which alone it is removed:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "k3s-arc");

/// Within this, the API must have accepted the deletion; what the namespace holds then goes by itself.
const DELETION_DEADLINE: Duration = Duration::from_secs(10);
/// Within this, a new namespace must have its service account, without which no pod can be created in it.
const ACCOUNT_DEADLINE: Duration = Duration::from_secs(30);

/// A namespace that is deleted when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kubeconfig: std::path::PathBuf,
}

/// Why there is no namespace.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum NamespaceError {
    /// The API refused it.
    #[error("the API refused a namespace for {purpose}")]
    Refused {
        /// What it was for.
        purpose: String,
        /// What came back.
        source: kube::Error,
    },
    /// It came without a service account.
    #[error("the new namespace {name} is of no use")]
    Unusable {
        /// Its name.
        name: String,
        /// What was missing.
        source: WaitError,
    },
}

impl Namespace {
    /// Makes one named after its purpose, and waits until pods can be created in it.
    ///
    /// # Errors
    /// [`NamespaceError`].
    pub async fn create(cluster: &Cluster, purpose: &str) -> Result<Self, NamespaceError> {
        let metadata = ObjectMeta {
            generate_name: Some(format!("{}-", dns_label(purpose))),
            labels: Some(cluster.labels()),
            ..ObjectMeta::default()
        };
        let object = Object { metadata, ..Object::default() };
        let created = Api::all(cluster.client()).create(&PostParams::default(), &object).await;
        let created = created.map_err(|source| NamespaceError::Refused { purpose: purpose.to_owned(), source })?;
        let namespace = Self { name: created.name_any(), kubeconfig: cluster.kubeconfig().to_owned() };
        existing::note(cluster, &namespace.name);
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), &namespace.name);
        let what = format!("namespace {} has a service account", namespace.name);
        let found = wait::until(accounts, wait::named("default"), what, ACCOUNT_DEADLINE, |accounts| match accounts {
            [] => Seen::NotYet("none".to_owned()),
            _ => Seen::Done(()),
        });
        found.await.map_err(|source| NamespaceError::Unusable { name: namespace.name.clone(), source })?;
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves it on the cluster, for someone who wants to look.
    pub fn keep(mut self) {
        self.name.clear();
    }
}

impl Drop for Namespace {
    /// Deletes the namespace and waits for the API to accept that, not for its end.
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let (name, kubeconfig) = (std::mem::take(&mut self.name), self.kubeconfig.clone());
        // A thread, runtime and client of its own: those of a test that panicked may be in any state, and a drop inside a
        // runtime cannot block on it.
        let deletion = std::thread::spawn(move || -> Result<(), String> {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
            let delete = async {
                let client = cluster::client(&kubeconfig).await.map_err(|error| crate::chain(&*error))?;
                match Api::<Object>::all(client).delete(&name, &DeleteParams::background()).await {
                    Ok(_) => Ok(()),
                    Err(error) if is_not_found(&error) => Ok(()),
                    Err(error) => Err(crate::chain(&error)),
                }
            };
            runtime.block_on(async {
                tokio::time::timeout(DELETION_DEADLINE, delete)
                    .await
                    .unwrap_or_else(|_| Err("the API did not answer in 10 s".to_owned()))
            })
        });
        match deletion.join() {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => tracing::warn!("a namespace is left on the cluster: {problem}"),
            Err(_) => tracing::warn!("a namespace is left on the cluster: its deletion panicked"),
        }
    }
}

/// A purpose (`dns::node_names`) as a label of RFC 1123, short enough for the five letters the API adds.
fn dns_label(purpose: &str) -> String {
    let plain: String =
        purpose.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let mut parts = plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    parts.truncate(50);
    match parts.trim_matches('-') {
        "" => "k3s-arc".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_namespace_is_named_after_its_purpose() {
        assert_eq!(dns_label("dns::node_names_resolve"), "dns-node-names-resolve");
        assert_eq!(dns_label("::"), "k3s-arc");
    }

    proptest! {
        #[test]
        fn every_purpose_gives_a_label_with_room_for_five_letters(purpose in "\\PC{0,80}") {
            let label = dns_label(&purpose);
            prop_assert!(!label.is_empty() && label.len() <= 57);
            prop_assert!(label.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-'));
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        }
    }
}
