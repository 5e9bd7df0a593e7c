//! What a kustomization does to all of its objects: namespace, prefix and suffix, labels, annotations, images, replicas.
//! Ported from `api/filters` and `api/internal/builtins`.

use regex::Regex;

use super::{
    file::{Image, Label, Pairs, Replica},
    node::{Kind, Node, Tag, Twin},
    path::{Leaf, Spec, set_scalar},
    resource::{Gvk, Resource},
    specs,
};

/// Puts the objects into a namespace, but for those that can be in none.
pub(super) fn set_namespace(resources: &mut [Resource], namespace: &str) -> Result<(), String> {
    let specs = specs::namespaces();
    let set = &mut |node: &mut Node| set_scalar(node, namespace, Tag::String);
    for index in 0..resources.len() {
        let resource = &mut resources[index];
        resource.remember();
        let id = resource.id();
        if !id.is_cluster_scoped() {
            let everywhere = Spec { group: "", version: "", kind: "", path: "metadata/namespace".to_owned(), create: true };
            everywhere.visit(&mut resource.node, Leaf::Scalar(Tag::Unset), set)?;
        }
        if matches!(resource.kind(), "RoleBinding" | "ClusterRoleBinding") {
            set_subjects(&mut resource.node, namespace)?;
        }
        for spec in specs.iter().filter(|spec| spec.matches(&id.gvk)) {
            spec.visit(&mut resource.node, Leaf::Scalar(Tag::String), set)?;
        }
        let id = resource.id();
        if resources.iter().filter(|resource| resource.id() == id).count() > 1 {
            return Err(format!("two objects become the same by the namespace: {id}"));
        }
    }
    Ok(())
}

/// Of the subjects of a binding, it is the account `default` alone that comes along.
fn set_subjects(binding: &mut Node, namespace: &str) -> Result<(), String> {
    let Some(subjects) = binding.get_mut("subjects").filter(|subjects| !subjects.is_null()) else { return Ok(()) };
    let Kind::List(subjects) = &mut subjects.kind else { return Err("the subjects are no list".to_owned()) };
    for subject in subjects.iter_mut().filter(|subject| subject.get("name").is_some_and(|name| name.text() == "default")) {
        if let Some(field) = subject.get_or_insert("namespace", || Node::scalar("", false, Tag::Unset)) {
            set_scalar(field, namespace, Tag::String)?;
        }
    }
    Ok(())
}

/// Kinds whose names mean something to Kubernetes.
fn keeps_its_name(gvk: &Gvk) -> bool {
    match gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => gvk.group == "apiregistration.k8s.io",
        _ => false,
    }
}

pub(super) fn add_prefix(resources: &mut [Resource], prefix: &str) -> Result<(), String> {
    rename(resources, |resource| resource.note_prefix(prefix), |name| format!("{prefix}{name}"))
}

pub(super) fn add_suffix(resources: &mut [Resource], suffix: &str) -> Result<(), String> {
    rename(resources, |resource| resource.note_suffix(suffix), |name| format!("{name}{suffix}"))
}

fn rename(resources: &mut [Resource], note: impl Fn(&mut Resource), name: impl Fn(&str) -> String) -> Result<(), String> {
    let spec = Spec { group: "", version: "", kind: "", path: "metadata/name".to_owned(), create: false };
    for resource in resources.iter_mut().filter(|resource| !keeps_its_name(&resource.original().gvk)) {
        note(resource);
        resource.remember();
        spec.visit(&mut resource.node, Leaf::Nothing, &mut |node| {
            let name = name(node.text());
            set_scalar(node, &name, Tag::Unset)
        })?;
    }
    Ok(())
}

pub(super) fn add_labels(resources: &mut [Resource], label: &Label) -> Result<(), String> {
    let specs = match (label.include_selectors, label.include_templates) {
        (true, _) => specs::selector_labels(),
        (false, true) => specs::template_labels(),
        (false, false) => specs::metadata_labels(),
    };
    add_pairs(resources, &label.pairs, &specs)
}

pub(super) fn add_annotations(resources: &mut [Resource], annotations: &Pairs) -> Result<(), String> {
    add_pairs(resources, annotations, &specs::annotations())
}

fn add_pairs(resources: &mut [Resource], pairs: &Pairs, specs: &[Spec]) -> Result<(), String> {
    for resource in resources {
        let gvk = resource.gvk();
        for (key, value) in pairs {
            let twin = Twin::new();
            for spec in specs.iter().filter(|spec| spec.matches(&gvk)) {
                spec.visit(&mut resource.node, Leaf::Map, &mut |node| match node.kind {
                    Kind::Map(_) => {
                        node.set(key, Node::scalar(value.as_str(), false, Tag::String).with_twin(twin));
                        Ok(())
                    }
                    _ if node.is_null() => Ok(()),
                    _ => Err("there is no map".to_owned()),
                })?;
            }
            resource.node.settle();
        }
    }
    Ok(())
}

pub(super) fn set_replicas(resources: &mut [Resource], replica: &Replica) -> Result<(), String> {
    let mut found = false;
    for spec in specs::replicas() {
        for resource in resources.iter_mut() {
            let ids = resource.previous().into_iter().chain([resource.id()]);
            if ids.into_iter().any(|id| id.name == replica.name && spec.matches(&id.gvk)) {
                found = true;
                if spec.matches(&resource.gvk()) {
                    let count = replica.count.to_string();
                    let set = &mut |node: &mut Node| set_scalar(node, &count, Tag::Other);
                    spec.visit(&mut resource.node, Leaf::Scalar(Tag::Other), set)?;
                }
            }
        }
    }
    if found { Ok(()) } else { Err(format!("there is nothing named `{}` that has replicas", replica.name)) }
}

/// Changes the names, tags and digests of an image wherever there are containers.
pub(super) fn set_image(resources: &mut [Resource], image: &Image) -> Result<(), String> {
    // Kustomize takes the name for an expression, too.
    let pattern = Regex::new(&format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name))
        .map_err(|error| format!("the image's name is no regular expression: {error}"))?;
    let specs = specs::images();
    let mut set = |node: &mut Node| match node.kind {
        Kind::Scalar(_) if pattern.is_match(node.text()) => {
            let changed = changed(node.text(), image);
            set_scalar(node, &changed, Tag::Unset)
        }
        Kind::Scalar(_) => Ok(()),
        _ => Err("an image is no string".to_owned()),
    };
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        in_containers(&mut resource.node, &mut set)?;
        let gvk = resource.gvk();
        for spec in specs.iter().filter(|spec| spec.matches(&gvk)) {
            spec.visit(&mut resource.node, Leaf::Nothing, &mut set)?;
        }
    }
    Ok(())
}

/// Every list that is called `containers` or `initContainers`, wherever it is.
fn in_containers(node: &mut Node, set: &mut dyn FnMut(&mut Node) -> Result<(), String>) -> Result<(), String> {
    match &mut node.kind {
        Kind::Map(fields) => {
            for field in fields {
                in_containers(&mut field.value, set)?;
                if let ("containers" | "initContainers", Kind::List(items)) = (field.name.as_str(), &mut field.value.kind) {
                    for item in items {
                        match &item.kind {
                            Kind::Map(_) => item.get_mut("image").map_or(Ok(()), &mut *set)?,
                            _ if item.is_null() => {}
                            _ => return Err("a container is no map".to_owned()),
                        }
                    }
                }
            }
            Ok(())
        }
        Kind::List(items) => items.iter_mut().try_for_each(|item| in_containers(item, set)),
        Kind::Scalar(_) => Ok(()),
    }
}

fn changed(current: &str, image: &Image) -> String {
    let (name, tag, digest) = split(current);
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    let (tag, digest) = match (image.new_tag.as_str(), image.digest.as_str()) {
        ("", "") => (tag, digest),
        given => given,
    };
    let mut changed = name.to_owned();
    for (separator, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            changed.push(separator);
            changed.push_str(part);
        }
    }
    changed
}

/// Name, tag and digest; a registry's port is no tag.
fn split(image: &str) -> (&str, &str, &str) {
    let path = image.find('/').filter(|at| *at > 0).unwrap_or(0);
    let find = |separator: char| image[path..].find(separator).map(|at| at + path);
    match (find(':'), find('@')) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", "a", "", "")]
    #[case("a:1", "a", "1", "")]
    #[case("localhost:5000/a", "localhost:5000/a", "", "")]
    #[case("localhost:5000/a:1", "localhost:5000/a", "1", "")]
    #[case("b/a@sha256:0", "b/a", "", "sha256:0")]
    #[case("b/a:1@sha256:0", "b/a", "1", "sha256:0")]
    fn an_image_has_parts(#[case] image: &str, #[case] name: &str, #[case] tag: &str, #[case] digest: &str) {
        assert_eq!(split(image), (name, tag, digest));
    }
}
