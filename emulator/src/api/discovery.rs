//! What the API says it serves, in its two forms: a document per group and version (`/api`, `/apis`, `/apis/GROUP`,
//! `/apis/GROUP/VERSION`), and the aggregated one that current clients ask for at `/api` and `/apis` by [`AGGREGATED`].
//!
//! A [`Discovery`] is made anew when a CustomResourceDefinition changes; its methods give the documents.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use crate::schema::table::{Group, Resource, Subresource, builtin};

/// The media type of the aggregated form. K3s v1.34 has no `v2beta1` any more; who accepts nothing else gets 406.
pub(crate) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Everything that is served.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// In the order of the documents.
    groups: Vec<Group>,
    custom: Vec<Resource>,
}

/// `/api`: the versions of the core group, and where clients find the server (`host:port`).
pub(crate) fn core_versions(server: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    })
}

/// The ETag of an aggregated document, with its quotes.
pub(crate) fn etag(document: &Value) -> String {
    let digest = Sha512::digest(document.to_string());
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\"{hex}\"")
}

impl Discovery {
    /// The built-in resources and those of the definitions that are established.
    pub(crate) fn new<'a>(definitions: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut custom: Vec<Resource> = definitions.into_iter().flat_map(resources).collect();
        custom.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)).then_with(|| compare(&b.version, &a.version)));
        let mut added: Vec<Group> = Vec::new();
        for resource in &custom {
            match added.iter_mut().find(|group| group.name == resource.group) {
                Some(group) if group.versions.contains(&resource.version) => {}
                Some(group) => group.versions.push(resource.version.clone()),
                None => added.push(Group { name: resource.group.clone(), versions: vec![resource.version.clone()] }),
            }
        }
        for group in &mut added {
            group.versions.sort_by(|a, b| compare(b, a));
        }
        // Custom groups come after the built-in ones and before what extension servers serve.
        let mut groups = builtin().groups().to_vec();
        let extensions = groups.iter().position(|group| group.name == "metrics.k8s.io").unwrap_or(groups.len());
        groups.splice(extensions..extensions, added);
        Self { groups, custom }
    }

    fn resources(&self, group: &str, version: &str) -> impl Iterator<Item = (&Resource, bool)> {
        let builtin = builtin().resources().iter().map(|resource| (resource, false));
        let custom = self.custom.iter().map(|resource| (resource, true));
        builtin.chain(custom).filter(move |(resource, _)| resource.group == group && resource.version == version)
    }

    /// `/apis`.
    pub(crate) fn groups(&self) -> Value {
        let groups: Vec<Value> = self.named().map(|group| Value::Object(describe(group))).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// All but the core group.
    fn named(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| !group.name.is_empty())
    }

    /// `/apis/GROUP`.
    pub(crate) fn group(&self, name: &str) -> Option<Value> {
        let mut group = describe(self.named().find(|group| group.name == name)?);
        group.insert("kind".into(), "APIGroup".into());
        group.insert("apiVersion".into(), "v1".into());
        Some(Value::Object(group))
    }

    /// `/apis/GROUP/VERSION`, and `/api/v1` for the core group.
    pub(crate) fn version(&self, group: &str, version: &str) -> Option<Value> {
        let known = self.groups.iter().find(|known| known.name == group)?;
        if !known.versions.iter().any(|known| known == version) {
            return None;
        }
        let mut resources = Vec::new();
        for (resource, _) in self.resources(group, version) {
            resources.push(list_entry(resource));
            resources.extend(resource.subresources.iter().map(|sub| list_subentry(resource, sub)));
        }
        let mut list = json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": resources,
        });
        // The list of the core group was there before it had an apiVersion.
        if let (true, Some(map)) = (group.is_empty(), list.as_object_mut()) {
            map.remove("apiVersion");
        }
        Some(list)
    }

    /// The aggregated form of `/api`.
    pub(crate) fn aggregated_core(&self) -> Value {
        self.aggregated(self.groups.iter().filter(|group| group.name.is_empty()))
    }

    /// The aggregated form of `/apis`.
    pub(crate) fn aggregated_groups(&self) -> Value {
        self.aggregated(self.named())
    }

    fn aggregated<'a>(&self, groups: impl Iterator<Item = &'a Group>) -> Value {
        let items: Vec<Value> = groups
            .map(|group| {
                let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
                let versions: Vec<Value> = group
                    .versions
                    .iter()
                    .map(|version| {
                        let resources: Vec<Value> =
                            self.resources(&group.name, version).map(|(resource, custom)| item(resource, custom)).collect();
                        json!({"version": version, "resources": resources, "freshness": "Current"})
                    })
                    .collect();
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn describe(group: &Group) -> Map<String, Value> {
    let entry = |version: &String| json!({"groupVersion": group_version(&group.name, version), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(entry).collect();
    let mut map = Map::new();
    map.insert("name".into(), group.name.clone().into());
    map.insert("preferredVersion".into(), versions.first().cloned().unwrap_or_default());
    map.insert("versions".into(), versions.into());
    map
}

fn set_lists(entry: &mut Value, resource: &Resource) {
    for (key, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry[key] = list.clone().into();
        }
    }
}

fn list_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    set_lists(&mut entry, resource);
    if !resource.storage_hash.is_empty() {
        entry["storageVersionHash"] = resource.storage_hash.clone().into();
    }
    entry
}

fn is_own(resource: &Resource, sub: &Subresource) -> bool {
    sub.group == resource.group && sub.version == resource.version
}

fn list_subentry(resource: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, sub.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if !is_own(resource, sub) {
        entry["group"] = sub.group.clone().into();
        entry["version"] = sub.version.clone().into();
    }
    entry
}

/// Built-in resources leave out the group and version of kinds of their own; custom ones do not.
fn item(resource: &Resource, custom: bool) -> Value {
    let kind = |group: &str, version: &str, kind: &str, own: bool| match own && !custom {
        true => json!({"group": "", "version": "", "kind": kind}),
        false => json!({"group": group, "version": version, "kind": kind}),
    };
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind, true),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    set_lists(&mut entry, resource);
    let subresources = resource.subresources.iter().map(|sub| {
        let response = kind(&sub.group, &sub.version, &sub.kind, is_own(resource, sub));
        json!({"subresource": sub.name, "responseKind": response, "verbs": sub.verbs})
    });
    let subresources: Vec<Value> = subresources.collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

fn holds(definition: &Value, condition: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == condition && one["status"] == "True")
}

/// The resources of a definition, one per served version, as `customresource_discovery_controller.go` lists them.
pub(super) fn resources(definition: &Value) -> Vec<Resource> {
    if !holds(definition, "Established") {
        return Vec::new();
    }
    // A definition that is being deleted no longer lets its objects change.
    let verbs: &[&str] = match holds(definition, "Terminating") {
        true => &["delete", "deletecollection", "get", "list", "watch"],
        false => &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
    };
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let group = text(&spec["group"]);
    let served = || spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    let stored = served().find(|version| version["storage"] == true);
    let hash = stored.map(|version| storage_hash(&group, &text(&version["name"]), &text(&spec["names"]["kind"])));
    let of = |version: &Value| {
        let (name, kind) = (text(&version["name"]), text(&names["kind"]));
        let sub = |name: &str, group: &str, version: &str, kind: &str| Subresource {
            name: name.to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            verbs: ["get", "patch", "update"].map(str::to_owned).to_vec(),
        };
        let mut subresources = Vec::new();
        if version["subresources"]["status"].is_object() {
            subresources.push(sub("status", &group, &name, &kind));
        }
        if version["subresources"]["scale"].is_object() {
            subresources.push(sub("scale", "autoscaling", "v1", "Scale"));
        }
        Resource {
            group: group.clone(),
            version: name,
            kind,
            plural: text(&names["plural"]),
            singular: text(&names["singular"]),
            namespaced: spec["scope"] == "Namespaced",
            verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            subresources,
            storage_hash: hash.clone().unwrap_or_default(),
        }
    };
    served().map(of).collect()
}

/// `StorageVersionHash`: clients compare it, they do not read it.
fn storage_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&digest[..8])
}

/// Kubernetes' order of versions (`CompareKubeAwareVersionStrings`): v10 > v2 > v11beta2 > v1alpha1 > anything else, and of
/// the rest the alphabetically first is the greatest.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// Stability, major and minor of a version such as `v1beta2`.
fn parse(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let split = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = |text: &str| if text.starts_with('0') { None } else { text.parse::<u64>().ok() };
    let (major, rest) = rest.split_at(split(rest));
    let (stability, minor) = match rest {
        "" => return Some((2, number(major)?, 0)),
        _ if rest.starts_with("beta") => (1, &rest[4..]),
        _ if rest.starts_with("alpha") => (0, &rest[5..]),
        _ => return None,
    };
    Some((stability, number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        let names =
            json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]});
        json!({
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [
                {"name": "v1beta1", "served": true, "storage": false},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas"}}},
                {"name": "v2", "served": false, "storage": false},
            ]},
            "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
        })
    }

    #[test]
    fn lists_custom_resources() {
        let discovery = Discovery::new([&definition()]);
        let v1 = json!({"groupVersion": "example.com/v1", "version": "v1"});
        let v1beta1 = json!({"groupVersion": "example.com/v1beta1", "version": "v1beta1"});
        assert_eq!(
            discovery.group("example.com").unwrap(),
            json!({"kind": "APIGroup", "apiVersion": "v1", "name": "example.com", "versions": [v1, v1beta1], "preferredVersion": v1})
        );
        let list = discovery.version("example.com", "v1").unwrap();
        let names: Vec<&Value> = list["resources"].as_array().unwrap().iter().map(|resource| &resource["name"]).collect();
        assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
        assert_eq!(list["resources"][2]["group"], "autoscaling");
        assert_eq!(discovery.version("example.com", "v2"), None);
        let groups = discovery.groups();
        let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().filter_map(|group| group["name"].as_str()).collect();
        assert_eq!(names[names.len() - 2..], ["example.com", "metrics.k8s.io"]);
    }

    #[test]
    fn hashes_like_kubernetes() {
        // Of K3s's own definitions, as a K3s lists them.
        assert_eq!(storage_hash("k3s.cattle.io", "v1", "Addon"), "tPDZYuNRr1o=");
        assert_eq!(storage_hash("helm.cattle.io", "v1", "HelmChart"), "172ywkc2krU=");
    }

    #[test]
    fn orders_versions() {
        let mut versions = vec!["foo1", "v1alpha1", "v2", "v11beta2", "v10", "v1", "v3beta1", "foo10", "v12alpha1", "v10beta3"];
        versions.sort_by(|a, b| compare(b, a));
        assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"]);
    }

    #[test]
    fn core_is_its_own() {
        let discovery = Discovery::new([]);
        assert_eq!(discovery.version("", "v1").unwrap().get("apiVersion"), None);
        assert_eq!(discovery.aggregated_core()["items"][0]["metadata"], json!({}));
        assert_eq!(discovery.aggregated_core()["items"][0]["versions"][0]["resources"][0]["resource"], "bindings");
    }
}
