//! What there is of Arc on the cluster, and whose it is.

use futures::future::try_join_all;
use k8s_openapi::{api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::{objects::managed, settings::AzureScope};
use crate::{
    arc::GROUP_SUFFIX,
    kubernetes::{ApiError, Attempted, unless_not_found},
};

/// What there is of Arc on the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Names of the definitions of Arc's custom resources.
    pub(super) definitions: Vec<String>,
    /// Arc's custom resources, in every namespace.
    pub(super) resources: Vec<(ApiResource, DynamicObject)>,
    /// The namespaces that launchers made.
    pub(super) namespaces: Vec<String>,
}

impl Found {
    /// Looks at the whole cluster. What kinds there are is read from the cluster too: they may be another version's.
    pub(super) async fn on(client: &Client) -> Result<Self, ApiError> {
        let api = Api::<CustomResourceDefinition>::all(client.clone());
        let definitions = api.list(&ListParams::default()).await.attempted(|| "listing custom resource definitions".into())?;
        let definitions: Vec<_> = definitions.items.iter().filter(|crd| is_arcs(&crd.spec.group)).collect();
        let mut found = Self { definitions: definitions.iter().map(|crd| crd.name_any()).collect(), ..Self::default() };
        // An API server sets a kind's storage up at the first request for it, which takes it most of a second.
        let lists = definitions.into_iter().filter_map(served).map(async |resource| list(client, resource).await);
        found.resources = try_join_all(lists).await?.into_iter().flatten().collect();
        let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default().labels(&managed())).await;
        let namespaces = namespaces.attempted(|| "listing the launchers' namespaces".into())?;
        found.namespaces = namespaces.iter().map(ResourceExt::name_any).collect();
        Ok(found)
    }

    /// The DataControllers.
    pub(super) fn data_controllers(&self) -> impl Iterator<Item = &DynamicObject> {
        self.resources.iter().filter(|(resource, _)| resource.kind == "DataController").map(|(_, object)| object)
    }

    /// Whether there is anything.
    pub(super) fn is_empty(&self) -> bool {
        self.definitions.is_empty() && self.namespaces.is_empty()
    }

    /// How each DataController that is not of this subscription, resource group and location differs.
    pub(super) fn of_others(&self, scope: &AzureScope) -> Vec<String> {
        self.data_controllers().filter_map(|data_controller| of_another(data_controller, scope)).collect()
    }
}

/// The objects of a kind in every namespace.
async fn list(client: &Client, resource: ApiResource) -> Result<Vec<(ApiResource, DynamicObject)>, ApiError> {
    let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
    // A definition may be on its way out, or not served yet.
    let list = unless_not_found(api.list(&ListParams::default()).await);
    let list = list.attempted(|| format!("listing {}.{}", resource.plural, resource.group))?;
    let objects = list.map(|list| list.items).unwrap_or_default();
    Ok(objects.into_iter().map(|object| (resource.clone(), object)).collect())
}

fn is_arcs(group: &str) -> bool {
    group == GROUP_SUFFIX || group.strip_suffix(GROUP_SUFFIX).is_some_and(|rest| rest.ends_with('.'))
}

/// The type by which the API serves a definition's objects.
fn served(crd: &CustomResourceDefinition) -> Option<ApiResource> {
    let spec = &crd.spec;
    let version = spec.versions.iter().find(|version| version.served && version.storage);
    let version = version.or_else(|| spec.versions.iter().find(|version| version.served))?;
    let kind = GroupVersionKind::gvk(&spec.group, &version.name, &spec.names.kind);
    Some(ApiResource::from_gvk_with_plural(&kind, &spec.names.plural))
}

/// How a DataController's place in Azure differs from `scope`. Azure's names are the same in upper and lower case.
fn of_another(data_controller: &DynamicObject, scope: &AzureScope) -> Option<String> {
    let differences: Vec<String> = [
        ("subscription", "SUBSCRIPTION_ID", &scope.subscription),
        ("resourceGroup", "RESOURCE_GROUP_NAME", &scope.resource_group),
        ("location", "LOCATION", &scope.location),
    ]
    .into_iter()
    .filter_map(|(field, variable, wanted)| {
        let there = data_controller.data.pointer(&format!("/spec/settings/azure/{field}")).and_then(Value::as_str);
        let there = there.unwrap_or_default();
        (!there.eq_ignore_ascii_case(wanted)).then(|| format!("its {field} is `{there}`, {variable} is `{wanted}`"))
    })
    .collect();
    let (namespace, name) = (data_controller.namespace().unwrap_or_default(), data_controller.name_any());
    (!differences.is_empty()).then(|| format!("DataController {namespace}/{name}: {}", differences.join("; ")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn data_controller(azure: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "arcdata.microsoft.com/v5", "kind": "DataController",
            "metadata": {"name": "dc1", "namespace": "ns1"}, "spec": {"settings": {"azure": azure}}
        }))
        .unwrap()
    }

    #[rstest]
    #[case::ours(json!({"subscription": "S", "resourceGroup": "g", "location": "EastUS"}), None)]
    #[case::elsewhere(json!({"subscription": "s", "resourceGroup": "g", "location": "westus"}),
        Some("DataController ns1/dc1: its location is `westus`, LOCATION is `eastus`"))]
    #[case::another_group(json!({"subscription": "s", "resourceGroup": "h", "location": "eastus"}),
        Some("DataController ns1/dc1: its resourceGroup is `h`, RESOURCE_GROUP_NAME is `g`"))]
    #[case::nobodys(json!({"resourceGroup": "g", "location": "eastus"}),
        Some("DataController ns1/dc1: its subscription is ``, SUBSCRIPTION_ID is `s`"))]
    fn anothers_data_controller_is_known(#[case] azure: Value, #[case] expected: Option<&str>) {
        let scope = AzureScope { subscription: "s".into(), resource_group: "g".into(), location: "eastus".into() };
        assert_eq!(of_another(&data_controller(&azure), &scope).as_deref(), expected);
    }

    #[rstest]
    #[case("arcdata.microsoft.com", true)]
    #[case("tasks.sql.arcdata.microsoft.com", true)]
    #[case("notarcdata.microsoft.com", false)]
    #[case("helm.cattle.io", false)]
    fn groups_are_told_apart(#[case] group: &str, #[case] expected: bool) {
        assert_eq!(is_arcs(group), expected);
    }
}
