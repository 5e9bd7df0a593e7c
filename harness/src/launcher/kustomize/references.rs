//! Names that refer to objects whose own names have changed. Ported from `api/filters/nameref/nameref.go` and
//! `api/internal/accumulator/namereferencetransformer.go`.

use std::collections::BTreeSet;

use super::{
    node::{Kind, Node, Tag},
    path::{Leaf, Spec},
    resource::{Id, Resource},
    specs::{self, Referred},
};

/// What is asked of an object that may be referred to.
struct Candidate {
    id: Id,
    name: String,
    namespace: String,
    previous: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// The object that refers.
struct Referrer<'a> {
    id: Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// Group and kind in `roleRef`.
    role: Option<(String, String)>,
    /// The objects that it could refer to.
    candidates: Vec<&'a Candidate>,
}

/// Changes every reference to what is named otherwise now.
pub(super) fn update(resources: &mut [Resource]) -> Result<(), String> {
    let all: Vec<Candidate> = resources.iter().map(Candidate::new).collect();
    let references = specs::references();
    for resource in resources {
        let original = resource.original().gvk;
        let referrer = Referrer::new(resource, &all);
        for referred in &references {
            for spec in referred.by.iter().filter(|spec| spec.matches(&original)) {
                spec.visit(&mut resource.node, Leaf::Nothing, &mut |node| referrer.update(node, spec, referred))
                    .map_err(|error| format!("{}: {error}", referrer.id))?;
            }
        }
    }
    Ok(())
}

impl Candidate {
    fn new(resource: &Resource) -> Self {
        Self {
            id: resource.id(),
            name: resource.name().to_owned(),
            namespace: resource.namespace().to_owned(),
            previous: resource.previous(),
            prefixes: resource.prefixes(),
            suffixes: resource.suffixes(),
        }
    }
}

impl<'a> Referrer<'a> {
    fn new(resource: &Resource, all: &'a [Candidate]) -> Self {
        let id = resource.id();
        let namespaces = accounts_namespaces(resource);
        let reachable = |candidate: &&Candidate| {
            id.is_cluster_scoped()
                || candidate.id.is_cluster_scoped()
                || candidate.id.namespace == id.namespace
                || namespaces.contains(&candidate.namespace)
        };
        let role = resource
            .node
            .get("roleRef")
            .and_then(|role| Some((role.get("apiGroup")?.text().to_owned(), role.get("kind")?.text().to_owned())));
        let candidates = all.iter().filter(reachable).collect();
        Self { id, prefixes: resource.prefixes(), suffixes: resource.suffixes(), role, candidates }
    }

    fn update(&self, node: &mut Node, spec: &Spec, to: &Referred) -> Result<(), String> {
        if node.is_null() {
            return Ok(());
        }
        match &mut node.kind {
            Kind::List(items) => items.iter_mut().try_for_each(|item| match item.kind {
                Kind::List(_) => Err("there is a list in the list".to_owned()),
                _ => self.update(item, spec, to),
            }),
            Kind::Map(_) => self.update_map(node, spec, to),
            Kind::Scalar(_) => {
                if let Some(found) = self.select(node.text(), &self.candidates, spec, to, |a, b| a.name == b.name)?
                    && found.name != node.text()
                {
                    node.replace(Node::scalar(found.name.as_str(), false, Tag::Unset));
                }
                Ok(())
            }
        }
    }

    /// A reference of a name and a namespace.
    fn update_map(&self, node: &mut Node, spec: &Spec, to: &Referred) -> Result<(), String> {
        let Some(name) = node.get("name").map(|name| name.text().to_owned()) else {
            return Err("there is no `name`".to_owned());
        };
        let candidates = match node.get("namespace") {
            None => self.candidates.clone(),
            Some(namespace) => self.in_namespace(namespace.text()),
        };
        let same = |a: &Candidate, b: &Candidate| a.name == b.name && a.namespace == b.namespace;
        let Some(found) = self.select(&name, &candidates, spec, to, same)? else { return Ok(()) };
        if found.name == name && found.namespace.is_empty() {
            return Ok(());
        }
        node.set("name", Node::scalar(found.name.as_str(), false, Tag::Unset));
        if !found.namespace.is_empty() {
            node.set("namespace", Node::scalar(found.namespace.as_str(), false, Tag::Unset));
        }
        Ok(())
    }

    /// Those that were in a namespace at first, or else those that are in it now.
    fn in_namespace(&self, namespace: &str) -> Vec<&'a Candidate> {
        let original = |candidate: &&&Candidate| {
            let id = candidate.previous.first().unwrap_or(&candidate.id);
            !id.is_cluster_scoped() && id.namespace == namespace
        };
        let before: Vec<_> = self.candidates.iter().filter(original).copied().collect();
        if !before.is_empty() {
            return before;
        }
        let current = |candidate: &&&Candidate| !candidate.id.is_cluster_scoped() && candidate.id.namespace == namespace;
        self.candidates.iter().filter(current).copied().collect()
    }

    /// The one object that is meant by a name.
    fn select(
        &self,
        name: &str,
        candidates: &[&'a Candidate],
        spec: &Spec,
        to: &Referred,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>, String> {
        let is_meant = |candidate: &Candidate| {
            candidate.previous.iter().any(|id| id.name == name)
                && candidate.previous.iter().any(|id| id.gvk.is(to.group, to.version, to.kind))
                && self.has_role(candidate, spec)
                && self.can_see(candidate)
        };
        let mut found: Vec<&Candidate> = candidates.iter().filter(|candidate| is_meant(candidate)).copied().collect();
        if found.len() != 1 {
            found.retain(|candidate| self.is_named_alike(candidate, true));
        }
        if found.len() > 1 {
            found.retain(|candidate| self.is_named_alike(candidate, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, others @ ..] if others.iter().all(|other| same(first, other)) => Ok(Some(first)),
            several => {
                let names: Vec<String> = several.iter().map(|candidate| candidate.id.to_string()).collect();
                Err(format!("`{name}` may refer to any of {}", names.join(", ")))
            }
        }
    }

    /// A `roleRef` tells the kind of what it refers to.
    fn has_role(&self, candidate: &Candidate, spec: &Spec) -> bool {
        match &self.role {
            Some((group, kind)) if spec.path.ends_with("roleRef/name") => {
                candidate.previous.iter().any(|id| id.gvk.is(group, "", kind))
            }
            _ => true,
        }
    }

    fn can_see(&self, candidate: &Candidate) -> bool {
        self.id.is_cluster_scoped()
            || candidate.id.is_cluster_scoped()
            || candidate.id.gvk.kind == "ServiceAccount"
            || candidate.id.namespace == self.id.namespace
    }

    /// Whether the prefixes and suffixes that were added last are the same.
    fn is_named_alike(&self, other: &Candidate, none_is_any: bool) -> bool {
        let alike = |ours: &[String], theirs: &[String]| {
            (none_is_any && (ours.is_empty() || theirs.is_empty())) || have_same_end(ours, theirs)
        };
        alike(&self.prefixes, &other.prefixes) && alike(&self.suffixes, &other.suffixes)
    }
}

fn have_same_end(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}

/// The namespaces of the accounts that a RoleBinding binds.
fn accounts_namespaces(resource: &Resource) -> BTreeSet<String> {
    if resource.kind() != "RoleBinding" {
        return BTreeSet::new();
    }
    let subjects = resource.node.get("subjects").map(Node::items).unwrap_or_default();
    let accounts = subjects.iter().filter(|subject| subject.get("kind").is_some_and(|kind| kind.text() == "ServiceAccount"));
    accounts.filter_map(|account| account.get("namespace")).map(|namespace| namespace.text().to_owned()).collect()
}
