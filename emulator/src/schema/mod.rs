//! What types know about themselves: fields, list types, merge keys, defaults, enums. Built-in types and custom resources
//! share the form, since both come from OpenAPI v3 schemas.

pub mod codec;
pub(crate) mod duration;
pub(crate) mod golang;
pub mod json;
pub mod table;
pub(crate) mod time;
pub mod yaml;
mod yaml_text;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

pub use yaml_text::{float, to_yaml};

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shape {
    /// Named fields ([`Type::field`]), further ones of [`Type::values`].
    Object,
    /// Any keys, one type of value ([`Type::values`]).
    Map,
    /// A list of [`Type::items`].
    List,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    /// Anything: no schema is known.
    Any,
}

/// How the items of a list are told apart when it is merged (`x-kubernetes-list-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ListType {
    Atomic,
    Set,
    /// By [`Type::keys`].
    Map,
}

/// Many types that may refer to each other.
#[derive(Debug, Default)]
pub struct Types {
    nodes: Vec<Node>,
    named: HashMap<String, u32>,
}

#[derive(Debug, Default)]
struct Node {
    /// The schema itself, without the parts that have nodes of their own.
    own: serde_json::Map<String, Value>,
    /// The name in `components.schemas`, for a named type.
    name: Option<String>,
    /// Where `$ref` (alone or in `allOf`) leads; this node adds `default` and the like.
    target: Option<u32>,
    properties: BTreeMap<String, u32>,
    items: Option<u32>,
    additional: Option<u32>,
}

/// One type in its [`Types`]: cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    types: &'a Types,
    id: u32,
}

const PREFIX: &str = "#/components/schemas/";

impl Types {
    /// From the `components.schemas` of OpenAPI v3 documents: name to schema.
    #[must_use]
    pub fn from_components(schemas: &serde_json::Map<String, Value>) -> Self {
        let mut types = Self::default();
        for name in schemas.keys() {
            types.reserve(name);
        }
        for (name, schema) in schemas {
            let id = types.reserve(name);
            let mut node = types.parse(schema);
            node.name = Some(name.clone());
            types.nodes[id as usize] = node;
        }
        types
    }

    /// A single schema, such as a custom resource's; it is named "".
    #[must_use]
    pub fn from_schema(schema: &Value) -> Self {
        let mut types = Self::default();
        let id = types.reserve("");
        let node = types.parse(schema);
        types.nodes[id as usize] = node;
        types
    }

    fn reserve(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.named.get(name) {
            return id;
        }
        let id = self.add(Node::default());
        self.named.insert(name.to_owned(), id);
        id
    }

    #[allow(clippy::cast_possible_truncation)] // A document has far fewer than 2^32 nodes.
    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn child(&mut self, schema: &Value) -> u32 {
        let node = self.parse(schema);
        self.add(node)
    }

    fn parse(&mut self, schema: &Value) -> Node {
        let mut node = Node::default();
        let Some(schema) = schema.as_object() else { return node };
        for (key, value) in schema {
            match (key.as_str(), value) {
                ("$ref", Value::String(to)) => {
                    node.target = Some(self.reserve(to.strip_prefix(PREFIX).unwrap_or(to)));
                }
                // Kubernetes writes a reference with siblings this way.
                ("allOf", Value::Array(all)) if all.len() == 1 && all[0].get("$ref").is_some() => {
                    if let Some(to) = all[0]["$ref"].as_str() {
                        node.target = Some(self.reserve(to.strip_prefix(PREFIX).unwrap_or(to)));
                    }
                }
                ("properties", Value::Object(fields)) => {
                    for (field, schema) in fields {
                        let id = self.child(schema);
                        node.properties.insert(field.clone(), id);
                    }
                }
                ("items", Value::Object(_)) => node.items = Some(self.child(value)),
                ("additionalProperties", Value::Object(_)) => node.additional = Some(self.child(value)),
                ("description", _) => {}
                _ => {
                    node.own.insert(key.clone(), value.clone());
                }
            }
        }
        node
    }

    /// The type of that name: `io.k8s.api.core.v1.Pod`; "" for [`Types::from_schema`]'s.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Type<'_>> {
        self.named.get(name).map(|&id| Type { types: self, id })
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

impl<'a> Type<'a> {
    fn here(self) -> &'a Node {
        &self.types.nodes[self.id as usize]
    }

    /// The node that a chain of references ends in.
    fn resolved(self) -> &'a Node {
        let mut node = self.here();
        while let Some(target) = node.target {
            node = &self.types.nodes[target as usize];
        }
        node
    }

    fn at(self, id: u32) -> Self {
        Self { types: self.types, id }
    }

    /// A keyword of the schema; one beside a reference hides the same one behind it.
    #[must_use]
    pub fn keyword(self, name: &str) -> Option<&'a Value> {
        let mut node = self.here();
        loop {
            if let Some(value) = node.own.get(name) {
                return Some(value);
            }
            node = &self.types.nodes[node.target? as usize];
        }
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.keyword(name).and_then(Value::as_str)
    }

    fn flag(self, name: &str) -> bool {
        self.keyword(name) == Some(&Value::Bool(true))
    }

    /// The name in the table: `io.k8s.api.core.v1.PodSpec`. None for a type written in place.
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        self.resolved().name.as_deref()
    }

    /// The shape of its values.
    #[must_use]
    pub fn shape(self) -> Shape {
        if self.flag("x-kubernetes-int-or-string") || self.text("format") == Some("int-or-string") {
            return Shape::IntOrString;
        }
        let node = self.resolved();
        match self.text("type") {
            Some("object") if node.additional.is_some() && node.properties.is_empty() => Shape::Map,
            Some("object") => Shape::Object,
            Some("array") => Shape::List,
            Some("string") => Shape::String,
            Some("integer") => Shape::Integer,
            Some("number") => Shape::Number,
            Some("boolean") => Shape::Boolean,
            _ if !node.properties.is_empty() => Shape::Object,
            _ => Shape::Any,
        }
    }

    /// `int32`, `int64`, `byte`, `date-time`, ...
    #[must_use]
    pub fn format(self) -> Option<&'a str> {
        self.text("format")
    }

    /// A named field of an object.
    #[must_use]
    pub fn field(self, name: &str) -> Option<Self> {
        self.resolved().properties.get(name).map(|&id| self.at(id))
    }

    /// The named fields of an object, by name.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.resolved().properties.iter().map(move |(name, &id)| (name.as_str(), self.at(id)))
    }

    /// The type of an object's further fields, or of a map's values.
    #[must_use]
    pub fn values(self) -> Option<Self> {
        self.resolved().additional.map(|id| self.at(id))
    }

    /// The type below a key, whether a field or a map's value.
    #[must_use]
    pub fn below(self, key: &str) -> Option<Self> {
        self.field(key).or_else(|| self.values())
    }

    /// The type of a list's items.
    #[must_use]
    pub fn items(self) -> Option<Self> {
        self.resolved().items.map(|id| self.at(id))
    }

    /// How a list's items are told apart; atomic unless the schema says otherwise.
    #[must_use]
    pub fn list_type(self) -> ListType {
        match self.text("x-kubernetes-list-type") {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map,
            _ => ListType::Atomic,
        }
    }

    /// The keys of a list of [`ListType::Map`].
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        let keys = self.keyword("x-kubernetes-list-map-keys").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether an object or a map is replaced as a whole (`x-kubernetes-map-type: atomic`).
    #[must_use]
    pub fn is_atomic_map(self) -> bool {
        self.text("x-kubernetes-map-type") == Some("atomic")
    }

    /// The key by which a strategic merge patch tells list items apart.
    #[must_use]
    pub fn patch_merge_key(self) -> Option<&'a str> {
        self.text("x-kubernetes-patch-merge-key")
    }

    /// Whether a strategic merge patch has that strategy (`merge`, `retainKeys`, `replace`) for it.
    #[must_use]
    pub fn patch_strategy(self, strategy: &str) -> bool {
        self.text("x-kubernetes-patch-strategy").is_some_and(|all| all.split(',').any(|one| one == strategy))
    }

    /// The default, if the schema gives one.
    #[must_use]
    pub fn default(self) -> Option<&'a Value> {
        self.keyword("default")
    }

    /// The permitted values, if the schema lists them.
    #[must_use]
    pub fn enumeration(self) -> Option<&'a Vec<Value>> {
        self.keyword("enum").and_then(Value::as_array)
    }

    /// The fields that must be there.
    pub fn required(self) -> impl Iterator<Item = &'a str> {
        let names = self.keyword("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    #[must_use]
    pub fn preserves_unknown(self) -> bool {
        self.flag("x-kubernetes-preserve-unknown-fields")
    }

    /// Whether it is an object with kind, apiVersion and metadata (`x-kubernetes-embedded-resource`).
    #[must_use]
    pub fn is_embedded_resource(self) -> bool {
        self.flag("x-kubernetes-embedded-resource")
    }

    /// Whether null is a value of it.
    #[must_use]
    pub fn is_nullable(self) -> bool {
        self.flag("nullable")
    }
}
