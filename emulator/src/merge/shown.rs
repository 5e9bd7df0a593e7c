//! How the API server shows a patched object that it cannot decode: its patch library keeps what it did not touch as it was
//! written, in the order of the Go structs, and sorts what it did.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::go;
use crate::schema::golang::{self, Id, Kind};
use crate::schema::json::Node;

/// A value as its Go type is written.
pub(crate) fn written(id: Option<Id>, value: &Value) -> String {
    let types = golang::table();
    let kind = id.map(|id| &types.get(id).kind);
    match (kind, value) {
        (Some(Kind::Pointer(inner)), value) => written(Some(*inner), value),
        (Some(Kind::Slice(item)), Value::Array(items)) => list(items.iter().map(|one| written(Some(*item), one))),
        (Some(Kind::Map(item)), Value::Object(fields)) => {
            object(fields.iter().map(|(name, field)| (name.as_str(), written(Some(*item), field))))
        }
        (Some(Kind::Struct(declared)), Value::Object(fields)) => {
            let known = declared.iter().filter_map(|field| Some((field.name, written(Some(field.ty), fields.get(field.name)?))));
            let other = fields.iter().filter(|(name, _)| !declared.iter().any(|field| field.name == **name));
            object(known.chain(other.map(|(name, field)| (name.as_str(), go::json(field)))))
        }
        _ => go::json(value),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.map(|(name, value)| format!("{}:{value}", go::json(&name.into()))).collect();
    format!("{{{}}}", fields.join(","))
}

fn below(id: Option<Id>, name: &str) -> Option<Id> {
    let types = golang::table();
    match &types.get(id?).kind {
        Kind::Pointer(inner) => below(Some(*inner), name),
        Kind::Slice(item) | Kind::Map(item) => Some(*item),
        kind @ Kind::Struct(_) => kind.field(name).map(|field| field.ty),
        _ => None,
    }
}

/// After a merge patch: objects that are in both are sorted, as is all that comes from the patch.
pub(crate) fn merged(id: Option<Id>, current: &Value, patch: &Value, result: &Value) -> String {
    let (Value::Object(current), Value::Object(patch), Value::Object(result)) = (current, patch, result) else {
        return go::json(result);
    };
    object(result.iter().map(|(name, value)| {
        let inner = below(id, name);
        let shown = match (current.get(name), patch.get(name)) {
            (_, None) => written(inner, value),
            (Some(current), Some(patch)) => merged(inner, current, patch, value),
            (None, Some(_)) => go::json(value),
        };
        (name.as_str(), shown)
    }))
}

/// What the operations of a JSON patch have touched.
#[derive(Default)]
pub(crate) struct Touched {
    /// The pointers of containers that were looked into.
    opened: BTreeSet<Vec<String>>,
    /// What was put in, as it was written.
    placed: BTreeMap<Vec<String>, Node>,
}

impl Touched {
    pub(crate) fn new(operations: &Node) -> Self {
        let mut touched = Self::default();
        let Node::List(operations) = operations else { return touched };
        for operation in operations {
            let text = |name: &str| match operation.get(name) {
                Some(Node::String(text)) => Some(text.as_str()),
                _ => None,
            };
            for path in [text("from"), text("path")].into_iter().flatten() {
                let tokens = tokens(path);
                for length in 0..tokens.len() {
                    touched.opened.insert(tokens[..length].to_vec());
                }
            }
            if let (Some("add" | "replace"), Some(path), Some(value)) = (text("op"), text("path"), operation.get("value")) {
                touched.placed.insert(tokens(path), value.clone());
            }
        }
        touched
    }

    /// The object after the operations.
    pub(crate) fn show(&self, id: Option<Id>, value: &Value) -> String {
        self.at(&mut Vec::new(), id, value)
    }

    fn at(&self, pointer: &mut Vec<String>, id: Option<Id>, value: &Value) -> String {
        if !self.opened.contains(pointer) {
            return match self.placed.get(pointer) {
                Some(node) if node.to_value().as_ref() == Ok(value) => as_given(node),
                _ => written(id, value),
            };
        }
        let mut inner = |name: &str, value: &Value| {
            pointer.push(name.to_owned());
            let shown = self.at(pointer, below(id, name), value);
            pointer.pop();
            shown
        };
        match value {
            Value::Object(fields) => object(fields.iter().map(|(name, field)| (name.as_str(), inner(name, field)))),
            Value::Array(items) => list(items.iter().enumerate().map(|(index, one)| inner(&index.to_string(), one))),
            other => go::json(other),
        }
    }
}

fn tokens(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

fn as_given(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Bool(flag) => flag.to_string(),
        Node::Number(text) => text.clone(),
        Node::String(text) => go::json(&text.as_str().into()),
        Node::List(items) => list(items.iter().map(as_given)),
        Node::Object(fields) => object(fields.iter().map(|(name, value)| (name.as_str(), as_given(value)))),
    }
}
