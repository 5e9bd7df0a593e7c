//! What each message holds and how the same is JSON. The table is generated (`cargo run -p k3s-arc-xtask -- proto`); a line of
//! it is one of
//!
//! ```text
//! package k8s.io.api.core.v1 v1       a protobuf package, and the apiVersion of its kinds if it has any
//! message PodSpec                     of that package
//! kind Pod                            the same, one with kind and apiVersion in JSON
//! 2 containers []Container            a field of that message: number, name in JSON, type
//! ```
//!
//! The type is `string`, `bytes`, `bool`, `int32`, `int64`, `double` or a message's name (from the root, with a leading dot,
//! when in another package), after `[]` for a list, `{}` for a map from strings, `*` where Go has a pointer and so can tell an
//! absent value from a zero one. After the name, `?` stands for `omitempty` and `!` for `omitzero`. A field named `-` is
//! inlined: in JSON, what it holds is its parent's.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::special::Special;

/// How a Go struct has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Plain,
    Pointer,
    List,
    Map,
}

/// What JSON leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Omit {
    Never,
    /// `omitempty`: of anything but a struct, the zero value.
    Empty,
    /// `omitzero`: of a struct too.
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
    Special(Special),
    Message(usize),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) inline: bool,
    pub(super) omit: Omit,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    /// By number.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    messages: Vec<Message>,
    /// By apiVersion and kind.
    kinds: HashMap<(&'static str, &'static str), usize>,
    schema: usize,
}

const META: &str = "meta.k8s.io/v1";

/// Kinds of `meta.k8s.io` that every group has too (`metav1.AddToGroupVersion`).
const EVERYWHERE: [&str; 6] = ["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions"];

/// Kinds of `meta.k8s.io` that are written as `v1`, or without any version.
const UNVERSIONED: [&str; 6] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status", "WatchEvent"];

impl Table {
    pub(super) fn get() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("messages.txt")));
        &TABLE
    }

    pub(super) fn message(&self, id: usize) -> &Message {
        &self.messages[id]
    }

    /// The message of a kind.
    pub(super) fn find(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let api_version = match kind {
            _ if EVERYWHERE.contains(&kind) => META,
            _ if matches!(api_version, "" | "v1") && UNVERSIONED.contains(&kind) => META,
            _ => api_version,
        };
        self.kinds.get(&(api_version, kind)).map(|&id| self.message(id))
    }

    /// `JSONSchemaProps`.
    pub(super) fn schema(&self) -> &Message {
        self.message(self.schema)
    }

    /// Lines that make no sense are left out; a test sees to it that there are none.
    fn parse(text: &'static str) -> Self {
        let ids = message_ids(text);
        let schema = ids.get("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").copied();
        let mut table = Self { schema: schema.unwrap_or_default(), ..Self::default() };
        let (mut package, mut api_version) = ("", "");
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("package", rest)) => (package, api_version) = rest.split_once(' ').unwrap_or((rest, "")),
                Some((what @ ("kind" | "message"), name)) => {
                    if what == "kind" || name == "WatchEvent" {
                        table.kinds.insert((api_version, name), table.messages.len());
                    }
                    table.messages.push(Message { name, fields: Vec::new() });
                }
                Some((number, rest)) => {
                    let field = number.parse().ok().and_then(|number| parse_field(number, rest, package, &ids));
                    if let (Some(field), Some(message)) = (field, table.messages.last_mut()) {
                        message.fields.push(field);
                    }
                }
                None => {}
            }
        }
        for message in &mut table.messages {
            message.fields.sort_by_key(|field| field.number);
        }
        table
    }
}

/// Full names, without the leading dot, to places in the table.
fn message_ids(text: &str) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    let mut package = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("package ") {
            package = rest.split(' ').next().unwrap_or(rest);
        } else if let Some(name) = line.strip_prefix("message ").or_else(|| line.strip_prefix("kind ")) {
            ids.insert(format!("{package}.{name}"), ids.len());
        }
    }
    ids
}

fn parse_field(number: u32, rest: &'static str, package: &str, ids: &HashMap<String, usize>) -> Option<Field> {
    let (name, kind) = rest.split_once(' ')?;
    let (shape, kind) = if let Some(kind) = kind.strip_prefix("[]") {
        (Shape::List, kind)
    } else if let Some(kind) = kind.strip_prefix("{}") {
        (Shape::Map, kind)
    } else if let Some(kind) = kind.strip_prefix('*') {
        (Shape::Pointer, kind)
    } else {
        (Shape::Plain, kind)
    };
    let kind = match kind {
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "bool" => Kind::Bool,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "double" => Kind::Double,
        message => {
            let full = message.strip_prefix('.').map_or_else(|| format!("{package}.{message}"), str::to_owned);
            match Special::named(&full) {
                Some(special) => Kind::Special(special),
                None => Kind::Message(*ids.get(&full)?),
            }
        }
    };
    let (name, omit) = if let Some(name) = name.strip_suffix('?') {
        (name, Omit::Empty)
    } else if let Some(name) = name.strip_suffix('!') {
        (name, Omit::Zero)
    } else {
        (name, Omit::Never)
    };
    Some(Field { number, name, inline: name == "-", omit, shape, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_makes_sense() {
        let text = include_str!("messages.txt");
        let ids = message_ids(text);
        let mut package = "";
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (first, rest) = line.split_once(' ').unwrap();
            match first {
                "package" => package = rest.split(' ').next().unwrap(),
                "kind" | "message" => {}
                number => assert!(parse_field(number.parse().unwrap(), rest, package, &ids).is_some(), "{package}: {line}"),
            }
        }
    }

    #[test]
    fn kinds_are_found() {
        let table = Table::get();
        assert_eq!(table.find("v1", "Pod").unwrap().name, "Pod");
        assert_eq!(table.find("apps/v1", "DeleteOptions").unwrap().name, "DeleteOptions");
        assert_eq!(table.find("v1", "Status").unwrap().name, "Status");
        assert!(table.find("v1", "PodSpec").is_none());
        assert!(table.find("example.com/v1", "Pod").is_none());
    }
}
