//! Applying the overlay's objects, in order.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::{DynamicObject, GroupVersionKind},
    discovery::{self, Scope},
};

use super::{FIELD_MANAGER, Launch, LaunchError, delete, job::is_job};
use crate::launcher::overlay::title;

impl Launch {
    /// Applies everything; gives the uid of the launcher's Job.
    pub(super) async fn apply(&self) -> Result<String, LaunchError> {
        let mut job = None;
        for object in &self.objects {
            let applied = self.apply_one(object).await?;
            if is_job(&applied) && applied.name_any() == self.job.name {
                job = applied.uid();
            }
        }
        // The Job is among the objects, or there were no launch.
        Ok(job.unwrap_or_default())
    }

    async fn apply_one(&self, object: &DynamicObject) -> Result<DynamicObject, LaunchError> {
        let title = title(object);
        let name = object.name_any();
        let refused = |error: &kube::Error| self.refused(format!("apply {title}"), error);
        let api = self.api_of(object).await.map_err(|error| refused(&error))?;
        if let Some(existing) = api.get_opt(&name).await.map_err(|error| refused(&error))? {
            if !self.is_ours(&existing) {
                return Err(LaunchError::Taken { object: title });
            }
            // A Job cannot be changed, and what is being deleted takes no changes with it.
            if is_job(object) || existing.metadata.deletion_timestamp.is_some() {
                delete::one(self, &api, &existing, self.deletion).await?;
            }
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await.map_err(|error| refused(&error))?;
        tracing::debug!("{title} applied");
        Ok(applied)
    }

    /// Whether this run made it. Another run's launch, on a cluster that several use, is as foreign as anybody's.
    pub(super) fn is_ours(&self, object: &DynamicObject) -> bool {
        self.labels.iter().all(|(key, value)| object.labels().get(key) == Some(value))
    }

    /// The API for an object's kind, in its namespace if the kind has one.
    pub(super) async fn api_of(&self, object: &DynamicObject) -> Result<Api<DynamicObject>, kube::Error> {
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types).map_err(|_| {
            kube::Error::Api(Box::new(
                kube::core::Status::failure(&format!("`{}` is no apiVersion", types.api_version), "BadRequest").with_code(400),
            ))
        })?;
        let (resource, capabilities) = discovery::pinned_kind(&self.client, &kind).await?;
        Ok(match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
                Api::namespaced_with(self.client.clone(), &namespace, &resource)
            }
        })
    }
}
