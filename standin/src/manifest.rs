//! An object to be applied, of whatever type.

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use serde::Serialize;

use crate::kubernetes::{ApiError, Attempted, FIELD_MANAGER};

/// An object that is to be as it is written here.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// Its type.
    pub(crate) resource: ApiResource,
    /// The object.
    pub(crate) object: DynamicObject,
}

impl Manifest {
    /// The manifest of a typed object.
    pub(crate) fn of<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> serde_json::Result<Self> {
        let object = serde_json::from_value(serde_json::to_value(object)?)?;
        Ok(Self { resource: ApiResource::erase::<K>(&()), object })
    }

    /// Where objects of its type and namespace are.
    pub(crate) fn api(&self, client: &Client) -> Api<DynamicObject> {
        match &self.object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    /// Makes the object be as it is written, whether it is there or not (server-side apply).
    pub(crate) async fn apply(&self, client: &Client) -> Result<DynamicObject, ApiError> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api(client).patch(&self.object.name_any(), &parameters, &Patch::Apply(&self.object)).await;
        applied.attempted(|| format!("applying {}", self.title()))
    }

    /// Kind and name.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.resource.kind, self.object.name_any())
    }
}
