//! The fields of an object that a transformation changes, found by a path in which lists go without saying. Ported from
//! `api/filters/fieldspec/fieldspec.go`.

use super::{
    node::{Kind, Node, Tag},
    resource::Gvk,
};

/// Fields of objects of some kind; what is empty of group, version and kind is any.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    /// With `/` between the names, and `\/` for one in a name.
    pub(super) path: String,
    /// Whether it is made where it is not there.
    pub(super) create: bool,
}

/// What is made at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Map,
    Scalar(Tag),
    /// Nothing, whatever the field's own `create` says.
    Nothing,
}

type Set<'s> = &'s mut dyn FnMut(&mut Node) -> Result<(), String>;

impl Spec {
    pub(super) fn matches(&self, gvk: &Gvk) -> bool {
        gvk.is(self.group, self.version, self.kind)
    }

    /// Calls `set` on every field that the path leads to.
    pub(super) fn visit(&self, object: &mut Node, leaf: Leaf, set: Set<'_>) -> Result<(), String> {
        let path = split(&self.path);
        let create = self.create && leaf != Leaf::Nothing;
        visit(object, &path, create.then_some(leaf), set).map_err(|error| format!("{}: {error}", self.path))
    }
}

fn split(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push('/');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

fn visit(node: &mut Node, path: &[String], create: Option<Leaf>, set: Set<'_>) -> Result<(), String> {
    let [name, rest @ ..] = path else { return set(node) };
    if node.is_null() {
        return Ok(());
    }
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().try_for_each(|item| visit(item, path, create, set)),
        Kind::Scalar(_) => Err("there is neither a map nor a list".to_owned()),
        Kind::Map(_) => {
            let (name, is_list) = name.strip_suffix("[]").map_or((name.as_str(), false), |name| (name, true));
            let new = match create {
                Some(leaf) if !is_list => Some(if rest.is_empty() { empty(leaf) } else { Node::map() }),
                _ => None,
            };
            let field = match new.clone() {
                Some(new) => node.get_or_insert(name, || new),
                None => node.get_mut(name),
            };
            let Some(field) = field else { return Ok(()) };
            if field.is_null() {
                match new {
                    Some(new) => *field = new,
                    None if is_list => *field = Node::list(Vec::new()),
                    None => {}
                }
            }
            visit(field, rest, create, set)
        }
    }
}

fn empty(leaf: Leaf) -> Node {
    match leaf {
        Leaf::Scalar(tag) => Node::scalar("", false, tag),
        _ => Node::map(),
    }
}

/// Sets a scalar, the quotes of the old one kept.
pub(super) fn set_scalar(node: &mut Node, text: &str, tag: Tag) -> Result<(), String> {
    match node.kind {
        Kind::Scalar(_) => {
            node.replace(Node::scalar(text, false, tag));
            Ok(())
        }
        _ => Err("there is a map or a list where one value was expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_its_slashes_alone() {
        assert_eq!(split(r"metadata/annotations/a.io\/b"), ["metadata", "annotations", "a.io/b"]);
    }
}
