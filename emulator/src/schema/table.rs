//! What the emulated Kubernetes has built in: its types and its resources, from files that `cargo run -p k3s-arc-xtask --
//! schema` takes from a running K3s.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Type, Types};

/// A resource, as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Pod`.
    pub kind: String,
    /// `pods`.
    pub plural: String,
    /// `pod`.
    pub singular: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// In discovery's order.
    pub verbs: Vec<String>,
    /// `po`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// By name.
    pub subresources: Vec<Subresource>,
    /// What discovery tells of how it is stored; empty for what is not stored.
    pub storage_hash: String,
}

/// A subresource; its kind may be of another group than its resource's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `status`, `scale`, `proxy`, ...
    pub name: String,
    /// Of the kind.
    pub group: String,
    /// Of the kind.
    pub version: String,
    /// What it takes and answers with: `Scale`.
    pub kind: String,
    /// In discovery's order.
    pub verbs: Vec<String>,
}

/// An API group and its versions, in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Empty for the core group.
    pub name: String,
    /// `v2` before `v1`.
    pub versions: Vec<String>,
}

/// The schemas as the OpenAPI documents have them: `components.schemas` of all, without prose.
pub(crate) const SCHEMAS: &str = include_str!("v1.34.1/schemas.json");

/// Everything that is built in.
#[derive(Debug)]
pub struct Builtin {
    types: Types,
    names: HashMap<(String, String, String), String>,
    groups: Vec<Group>,
    resources: Vec<Resource>,
    version: Value,
}

/// The table of the Kubernetes version that is emulated; read on first use.
pub fn builtin() -> &'static Builtin {
    static TABLE: OnceLock<Builtin> = OnceLock::new();
    TABLE.get_or_init(Builtin::read)
}

impl Builtin {
    /// The files are part of the program; one that cannot be read leaves the table empty, which the tests would notice.
    fn read() -> Self {
        let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap_or_default();
        let discovery: Vec<RawGroup> = serde_json::from_str(include_str!("v1.34.1/discovery.json")).unwrap_or_default();
        let version = serde_json::from_str(include_str!("v1.34.1/version.json")).unwrap_or_default();
        let (groups, resources) = resources(discovery);
        Self { types: Types::from_components(&schemas), names: kinds(&schemas), groups, resources, version }
    }

    /// All types, by OpenAPI name.
    #[must_use]
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// The OpenAPI name of a kind: `io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn name_of(&self, group: &str, version: &str, kind: &str) -> Option<&str> {
        self.names.get(&(group.to_owned(), version.to_owned(), kind.to_owned())).map(String::as_str)
    }

    /// The type of a kind.
    #[must_use]
    pub fn type_of(&self, group: &str, version: &str, kind: &str) -> Option<Type<'_>> {
        self.types.get(self.name_of(group, version, kind)?)
    }

    /// The groups, in discovery's order; the core group is the first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The resources of all versions, in discovery's order.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// What `/version` answers.
    #[must_use]
    pub fn version(&self) -> &Value {
        &self.version
    }
}

/// Which schema a kind has. Kinds that every group has (`DeleteOptions`) are found under each.
fn kinds(schemas: &Map<String, Value>) -> HashMap<(String, String, String), String> {
    let mut names = HashMap::new();
    for (name, schema) in schemas {
        for gvk in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let part = |key: &str| gvk[key].as_str().unwrap_or_default().to_owned();
            names.insert((part("group"), part("version"), part("kind")), name.clone());
        }
    }
    names
}

#[derive(Deserialize)]
struct RawGroup {
    metadata: RawMetadata,
    versions: Vec<RawVersion>,
}

#[derive(Deserialize)]
struct RawMetadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct RawVersion {
    version: String,
    #[serde(default)]
    resources: Vec<RawResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawResource {
    resource: String,
    response_kind: RawKind,
    scope: String,
    singular_resource: String,
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    subresources: Vec<RawSubresource>,
    #[serde(default)]
    storage_version_hash: String,
}

#[derive(Deserialize)]
struct RawKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSubresource {
    subresource: String,
    response_kind: RawKind,
    verbs: Vec<String>,
}

fn resources(discovery: Vec<RawGroup>) -> (Vec<Group>, Vec<Resource>) {
    let mut groups = Vec::new();
    let mut resources = Vec::new();
    for group in discovery {
        let name = group.metadata.name;
        groups
            .push(Group { name: name.clone(), versions: group.versions.iter().map(|version| version.version.clone()).collect() });
        for version in group.versions {
            let of = |raw: RawResource| Resource {
                group: name.clone(),
                version: version.version.clone(),
                kind: raw.response_kind.kind,
                plural: raw.resource,
                singular: raw.singular_resource,
                namespaced: raw.scope == "Namespaced",
                verbs: raw.verbs,
                short_names: raw.short_names,
                categories: raw.categories,
                subresources: raw.subresources.into_iter().map(|raw| subresource(raw, &name, &version.version)).collect(),
                storage_hash: raw.storage_version_hash,
            };
            resources.extend(version.resources.into_iter().map(of));
        }
    }
    (groups, resources)
}

/// Discovery leaves the group and version out where they are the resource's own.
fn subresource(raw: RawSubresource, group: &str, version: &str) -> Subresource {
    let own = raw.response_kind.version.is_empty();
    Subresource {
        name: raw.subresource,
        group: if own { group.to_owned() } else { raw.response_kind.group },
        version: if own { version.to_owned() } else { raw.response_kind.version },
        kind: raw.response_kind.kind,
        verbs: raw.verbs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_types_and_resources() {
        let table = builtin();
        let pod = table.type_of("", "v1", "Pod").unwrap();
        assert_eq!(pod.name(), Some("io.k8s.api.core.v1.Pod"));
        let containers = pod.field("spec").unwrap().field("containers").unwrap();
        assert_eq!(containers.patch_merge_key(), Some("name"));
        let deployments = table.resources().iter().find(|resource| resource.plural == "deployments").unwrap();
        assert_eq!((deployments.group.as_str(), deployments.kind.as_str(), deployments.namespaced), ("apps", "Deployment", true));
        let scale = deployments.subresources.iter().find(|sub| sub.name == "scale").unwrap();
        assert_eq!((scale.group.as_str(), scale.version.as_str(), scale.kind.as_str()), ("autoscaling", "v1", "Scale"));
    }

    #[test]
    fn every_resource_has_a_type() {
        let table = builtin();
        for resource in table.resources() {
            assert!(table.type_of(&resource.group, &resource.version, &resource.kind).is_some(), "{resource:?}");
        }
    }
}
