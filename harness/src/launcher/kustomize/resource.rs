//! One object of a tree, and what Kustomize notes about it on the way. The notes are annotations of the object, as they
//! are Kustomize's: a patch that reads or removes the annotations sees them. They are removed in the end. Ported from
//! `api/resource/resource.go`.

use std::collections::BTreeMap;

use super::{
    file::Behavior,
    node::{Kind, Node, Tag},
    schema,
};

const PREVIOUS_NAMES: &str = "internal.config.kubernetes.io/previousNames";
const PREVIOUS_NAMESPACES: &str = "internal.config.kubernetes.io/previousNamespaces";
const PREVIOUS_KINDS: &str = "internal.config.kubernetes.io/previousKinds";
const PREFIXES: &str = "internal.config.kubernetes.io/prefixes";
const SUFFIXES: &str = "internal.config.kubernetes.io/suffixes";
const BEHAVIOR: &str = "internal.config.kubernetes.io/generatorBehavior";
const NEEDS_HASH: &str = "internal.config.kubernetes.io/needsHashSuffix";

/// What else of its own Kustomize does not leave in an object.
const REMOVED: [&str; 10] = [
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
];
const LEGACY_ID: &str = "config.k8s.io/id";
const NOTES: [&str; 7] = [PREVIOUS_NAMES, PREVIOUS_NAMESPACES, PREVIOUS_KINDS, PREFIXES, SUFFIXES, BEHAVIOR, NEEDS_HASH];
const ORIGINS: [&str; 2] = ["config.kubernetes.io/origin", "alpha.config.kubernetes.io/transformations"];
const LOCAL: &str = "config.kubernetes.io/local-config";

/// What stands for the namespace of an object that is in none.
const CLUSTER: &str = "_non_namespaceable_";

/// Which kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Gvk {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

impl Gvk {
    pub(super) fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it is of these; what is empty is of any.
    pub(super) fn is(&self, group: &str, version: &str, kind: &str) -> bool {
        let fits = |have: &str, wanted: &str| wanted.is_empty() || have == wanted;
        fits(&self.group, group) && fits(&self.version, version) && fits(&self.kind, kind)
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) gvk: Gvk,
    pub(super) name: String,
    /// `default` where it has none, and [`CLUSTER`] for an object that is in no namespace.
    pub(super) namespace: String,
}

impl Id {
    pub(super) fn is_cluster_scoped(&self) -> bool {
        self.namespace == CLUSTER
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.gvk.kind, self.name)?;
        if self.is_cluster_scoped() { Ok(()) } else { write!(f, " in {}", self.namespace) }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) node: Node,
}

impl Resource {
    pub(super) fn new(node: Node) -> Self {
        Self { node }
    }

    fn field(&self, name: &str) -> &str {
        self.node.get(name).map(Node::text).unwrap_or_default()
    }

    fn metadata(&self, name: &str) -> &str {
        self.node
            .get("metadata")
            .and_then(|metadata| metadata.get(name))
            .filter(|node| !node.is_null())
            .map(Node::text)
            .unwrap_or_default()
    }

    pub(super) fn gvk(&self) -> Gvk {
        Gvk::new(self.field("apiVersion"), self.field("kind"))
    }

    pub(super) fn kind(&self) -> &str {
        self.field("kind")
    }

    pub(super) fn name(&self) -> &str {
        self.metadata("name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    /// What it is now.
    pub(super) fn id(&self) -> Id {
        let gvk = self.gvk();
        let namespace = match self.namespace() {
            _ if schema::is_cluster_scoped(&gvk) => CLUSTER,
            "" => "default",
            namespace => namespace,
        };
        Id { name: self.name().to_owned(), namespace: namespace.to_owned(), gvk }
    }

    /// What it was before transformations, the oldest first.
    pub(super) fn previous(&self) -> Vec<Id> {
        let gvk = self.gvk();
        self.noted(PREVIOUS_NAMES)
            .into_iter()
            .zip(self.noted(PREVIOUS_NAMESPACES))
            .zip(self.noted(PREVIOUS_KINDS))
            .map(|((name, namespace), kind)| Id { gvk: Gvk { kind, ..gvk.clone() }, name, namespace })
            .collect()
    }

    /// What it was in its file.
    pub(super) fn original(&self) -> Id {
        self.previous().into_iter().next().unwrap_or_else(|| self.id())
    }

    /// Whether it is, or was, this one.
    pub(super) fn was(&self, id: &Id) -> bool {
        self.previous().contains(id) || self.id() == *id
    }

    pub(super) fn remember(&mut self) {
        let id = self.id();
        self.note(PREVIOUS_NAMES, &id.name);
        self.note(PREVIOUS_NAMESPACES, &id.namespace);
        self.note(PREVIOUS_KINDS, &id.gvk.kind);
    }

    pub(super) fn note_prefix(&mut self, prefix: &str) {
        self.note(PREFIXES, prefix);
    }

    pub(super) fn note_suffix(&mut self, suffix: &str) {
        self.note(SUFFIXES, suffix);
    }

    pub(super) fn prefixes(&self) -> Vec<String> {
        self.noted(PREFIXES)
    }

    pub(super) fn suffixes(&self) -> Vec<String> {
        self.noted(SUFFIXES)
    }

    /// Marks it as made by a generator.
    pub(super) fn note_generator(&mut self, behavior: Behavior, needs_hash: bool) {
        let mut annotations = self.annotations();
        if needs_hash {
            annotations.insert(NEEDS_HASH.to_owned(), "enabled".to_owned());
        }
        let behavior = match behavior {
            Behavior::Create => "create",
            Behavior::Merge => "merge",
            Behavior::Replace => "replace",
        };
        annotations.insert(BEHAVIOR.to_owned(), behavior.to_owned());
        self.set_annotations(&annotations);
    }

    pub(super) fn needs_hash(&self) -> bool {
        self.annotations().get(NEEDS_HASH).is_some_and(|value| value == "enabled")
    }

    /// Whether it is meant for tools only, and not for the cluster.
    pub(super) fn is_local(&self) -> bool {
        self.annotations().get(LOCAL).is_some_and(|value| value != "false")
    }

    fn noted(&self, name: &str) -> Vec<String> {
        let value = self.node.get("metadata").and_then(|metadata| metadata.get("annotations")).and_then(|all| all.get(name));
        value.map(|value| value.text().split(',').map(str::to_owned).collect()).unwrap_or_default()
    }

    fn note(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let mut all = self.noted(name);
        all.push(value.to_owned());
        let annotations =
            self.node.get_or_insert("metadata", Node::map).and_then(|node| node.get_or_insert("annotations", Node::map));
        if let Some(annotations) = annotations {
            if annotations.is_null() {
                *annotations = Node::map();
            }
            annotations.set(name, Node::string(all.join(",")));
        }
    }

    /// The texts of the annotations, whatever their type.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        self.texts("annotations")
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.texts("labels")
    }

    fn texts(&self, of: &str) -> BTreeMap<String, String> {
        let all = self.node.get("metadata").and_then(|metadata| metadata.get(of)).map(Node::fields).unwrap_or_default();
        all.iter().map(|field| (field.name.clone(), field.value.text().to_owned())).collect()
    }

    /// Sets the annotations, all of them strings.
    pub(super) fn set_annotations(&mut self, all: &BTreeMap<String, String>) {
        self.set_texts("annotations", all);
    }

    fn set_texts(&mut self, of: &str, all: &BTreeMap<String, String>) {
        let Some(metadata) = self.node.get_or_insert("metadata", Node::map) else { return };
        metadata.remove(of);
        if !all.is_empty() {
            let mut texts = Node::map();
            for (name, value) in all {
                texts.set(name, Node::string(value.as_str()));
            }
            metadata.set(of, texts);
        }
    }

    pub(super) fn set_name(&mut self, name: &str) {
        self.set_metadata("name", name);
    }

    /// Sets the namespace; an empty one removes it.
    pub(super) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            if let Some(metadata) = self.node.get_mut("metadata") {
                metadata.remove("namespace");
            }
        } else {
            self.set_metadata("namespace", namespace);
        }
    }

    fn set_metadata(&mut self, name: &str, text: &str) {
        if let Some(metadata) = self.node.get_or_insert("metadata", Node::map) {
            metadata.set(name, Node::scalar(text, false, Tag::Unset));
        }
    }

    pub(super) fn set_gvk(&mut self, gvk: &Gvk) {
        self.node.set("kind", Node::scalar(gvk.kind.as_str(), false, Tag::Unset));
        self.node.set("apiVersion", Node::scalar(gvk.api_version(), false, Tag::Unset));
    }

    pub(super) fn set_kind(&mut self, kind: &str) {
        self.node.set("kind", Node::scalar(kind, false, Tag::Unset));
    }

    /// Takes on the labels, annotations, name and namespace of the object that it is merged into or replaces; where
    /// both have one, its own label or annotation stays.
    pub(super) fn take_metadata_of(&mut self, other: &Self) {
        let mut labels = other.labels();
        labels.extend(self.labels());
        self.set_texts("labels", &labels);
        let (own, others) = (self.annotations(), other.annotations());
        let mut merged = others.clone();
        merged.extend(own.clone());
        for note in NOTES.iter().chain(&REMOVED).chain([&LEGACY_ID]) {
            match others.get(*note) {
                Some(value) => merged.insert((*note).to_owned(), value.clone()),
                None => merged.remove(*note),
            };
        }
        if !own.contains_key(NEEDS_HASH) {
            merged.remove(NEEDS_HASH);
        }
        self.set_annotations(&merged);
        let (name, namespace) = (other.name().to_owned(), other.namespace().to_owned());
        self.set_name(&name);
        self.set_namespace(&namespace);
    }

    /// The notes, which a patch must not lose.
    pub(super) fn notes(&self) -> BTreeMap<String, String> {
        let is_note = |name: &str| name.starts_with("internal.config.kubernetes.io/");
        self.annotations().into_iter().filter(|(name, _)| is_note(name)).collect()
    }

    /// Removes the notes.
    pub(super) fn finish(&mut self) {
        let mut annotations = self.annotations();
        for note in NOTES.iter().chain(&REMOVED).chain(&ORIGINS).chain([&LEGACY_ID]) {
            annotations.remove(*note);
        }
        self.set_annotations(&annotations);
    }

    /// Whether a patch has left nothing of it.
    pub(super) fn is_gone(&self) -> bool {
        self.node.is_empty()
    }
}

/// The objects of a file, lists of objects taken apart; an error says which document is none.
pub(super) fn parse(text: &str) -> Result<Vec<Resource>, String> {
    let documents = super::load::documents(text).map_err(|error| format!("line {}: {}", error.line, error.message))?;
    // A file that is one `List` is taken apart as it is, any other list by way of JSON.
    let is_one = documents.len() == 1;
    let mut pending: std::collections::VecDeque<Node> = documents.into();
    let mut resources = Vec::new();
    while let Some(node) = pending.pop_front() {
        if node.is_empty() {
            continue;
        }
        let resource = Resource::new(node);
        let is_list = resource.kind().ends_with("List");
        if resource.kind().is_empty() {
            return Err("an object in it has no kind".to_owned());
        }
        if resource.name().is_empty() && !is_list {
            return Err(format!("a {} in it has no metadata.name", resource.kind()));
        }
        match resource.node.get("items").filter(|_| is_list) {
            Some(items) if matches!(items.kind, Kind::List(_)) => {
                let raw = is_one && resource.kind() == "List";
                let item = |item: &Node| if raw { Ok(item.clone()) } else { item.to_json().map(|json| Node::from_item(&json)) };
                pending.extend(items.items().iter().map(item).collect::<Result<Vec<_>, _>>()?);
            }
            Some(items) if items.is_null() => {}
            Some(_) => return Err(format!("the items of a {} in it are no list", resource.kind())),
            None => resources.push(resource),
        }
    }
    Ok(resources)
}
