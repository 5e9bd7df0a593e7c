//! What is there of what a DataController asks for.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};

use super::workload::RESOURCE_LABEL;
use crate::manifest::Manifest;

/// The objects of a DataController that are there.
#[derive(Debug, Clone, Default)]
pub(super) struct Live(Vec<(String, DynamicObject)>);

impl Live {
    /// Lists the objects of a DataController's label, of the types that `desired` has.
    pub(super) async fn list(
        client: &Client,
        namespace: &str,
        data_controller: &str,
        desired: &[Manifest],
    ) -> kube::Result<Self> {
        let types: BTreeMap<&str, &ApiResource> =
            desired.iter().map(|desired| (desired.resource.kind.as_str(), &desired.resource)).collect();
        // What the server has in its cache is good enough: what was missed brings an event of its own.
        let of_ours = &ListParams::default().labels(&format!("{RESOURCE_LABEL}={data_controller}")).match_any();
        let lists = types.into_iter().map(|(kind, resource)| {
            let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
            async move { Ok::<_, kube::Error>((kind.to_owned(), api.list(of_ours).await?.items)) }
        });
        let lists = try_join_all(lists).await?;
        let named = lists.into_iter().flat_map(|(kind, objects)| objects.into_iter().map(move |object| (kind.clone(), object)));
        Ok(Self(named.collect()))
    }

    /// The object of this kind and name.
    pub(super) fn find(&self, kind: &str, name: &str) -> Option<&DynamicObject> {
        self.0.iter().find(|(of_kind, object)| of_kind == kind && object.name_any() == name).map(|(_, object)| object)
    }
}

#[cfg(test)]
impl Live {
    pub(super) fn of(objects: Vec<serde_json::Value>) -> Self {
        let named = objects
            .into_iter()
            .map(|object| (object["kind"].as_str().unwrap().to_owned(), serde_json::from_value(object).unwrap()));
        Self(named.collect())
    }
}
