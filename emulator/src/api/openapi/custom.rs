//! The schemas of custom resources as the OpenAPI documents publish them (`apiextensions-apiserver`,
//! `pkg/controller/openapi/builder`): the definition's own, with what every object has added.

use serde_json::{Map, Value, json};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

// What is added to a definition's own schema tells `kubectl explain` what it is, as Kubernetes' conformance tests expect.
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
    recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the \
    endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/// Which document a schema is for. Version 2 cannot say as much, and kubectl trips over some of what it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edition {
    V2,
    V3,
}

impl Edition {
    /// A reference to a schema of that OpenAPI name.
    pub(super) fn reference(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }

    /// A field that refers to another schema. Version 3 puts a reference with siblings into `allOf`.
    fn field(self, name: &str, description: &str) -> Value {
        match self {
            Self::V2 => json!({"description": description, "$ref": self.reference(name)}),
            Self::V3 => json!({"description": description, "allOf": [{"$ref": self.reference(name)}]}),
        }
    }
}

/// `k3s.cattle.io`, `v1`, `Addon` as `io.cattle.k3s.v1.Addon`.
pub(super) fn name(group: &str, version: &str, kind: &str) -> String {
    let parts: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", parts.join("."))
}

/// The schemas of a definition's version by OpenAPI name: that of the kind and that of its list.
pub(super) fn schemas(definition: &Value, version: &Value, edition: Edition) -> Vec<(String, Value)> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, own) = (text(&spec["group"]), text(&version["name"]));
    let (kind, plural) = (text(&spec["names"]["kind"]), text(&spec["names"]["plural"]));
    let list_kind = text(&spec["names"]["listKind"]);
    let gvk = |kind: &str| json!([{"group": group, "version": own, "kind": kind}]);

    let mut schema = published(&version["schema"]["openAPIV3Schema"], spec["preserveUnknownFields"] == true, edition);
    schema.insert("x-kubernetes-group-version-kind".into(), gvk(&kind));
    let mut list = json!({
        "description": format!("{list_kind} is a list of {kind}"),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": edition.field(&format!("{META}ListMeta"), LIST_METADATA),
            "items": {"description": format!("List of {plural}. More info: {CONVENTIONS}"), "type": "array", "items": {"$ref": edition.reference(&name(&group, &own, &kind))}},
        },
        "x-kubernetes-group-version-kind": gvk(&list_kind),
    });
    let selectable: Vec<Value> = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| field["jsonPath"].as_str())
        .map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)}))
        .collect();
    if !selectable.is_empty() {
        schema.insert("x-kubernetes-selectable-fields".into(), selectable.clone().into());
        list["x-kubernetes-selectable-fields"] = selectable.into();
    }
    vec![(name(&group, &own, &kind), Value::Object(schema)), (name(&group, &own, &list_kind), list)]
}

fn flag(schema: &Map<String, Value>, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

/// A definition's schema with kind, apiVersion and metadata.
fn published(schema: &Value, preserves: bool, edition: Edition) -> Map<String, Value> {
    let mut bare = Map::new();
    bare.insert("type".into(), "object".into());
    let Some(given) = schema.as_object() else { return bare };
    // kubectl takes listed fields for all that there are.
    if edition == Edition::V2 && (preserves || flag(given, "x-kubernetes-preserve-unknown-fields")) {
        return bare;
    }
    let mut schema = convert(given, edition);
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        add_object_fields(properties, edition, [API_VERSION, KIND]);
    }
    schema
}

fn add_object_fields(properties: &mut Map<String, Value>, edition: Edition, [api_version, kind]: [&str; 2]) {
    properties.insert("apiVersion".into(), json!({"type": "string", "description": api_version}));
    properties.insert("kind".into(), json!({"type": "string", "description": kind}));
    properties.insert("metadata".into(), edition.field(&format!("{META}ObjectMeta"), METADATA));
}

/// What a published schema may say; version 2 has neither defaults nor alternatives.
const KEPT: [&str; 33] = [
    "type",
    "title",
    "description",
    "format",
    "default",
    "nullable",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "enum",
    "maxProperties",
    "minProperties",
    "required",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "$ref",
];

/// Recursion ends where the definition's nesting does, and that was bounded when it was read.
fn convert(schema: &Map<String, Value>, edition: Edition) -> Map<String, Value> {
    let v2 = edition == Edition::V2;
    let untyped = v2 && flag(schema, "nullable");
    let open = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let mut out = Map::new();
    for (key, value) in schema {
        let dropped = v2 && ["default", "nullable", "allOf", "anyOf", "oneOf", "not"].contains(&key.as_str());
        // A default may be empty; of anything else that says nothing.
        let empty = key != "default" && (value == &Value::Bool(false) || value == "");
        if KEPT.contains(&key.as_str()) && !dropped && !empty {
            out.insert(key.clone(), value.clone());
        }
    }
    let below = |value: &Value| value.as_object().map_or_else(|| value.clone(), |schema| Value::Object(convert(schema, edition)));
    // kubectl's reader of version 2 stumbles over fields and items of what may be something else.
    if !untyped && (!v2 || !open) {
        if let Some(items) = schema.get("items") {
            out.insert("items".into(), below(items));
        }
        if let Some(Value::Object(fields)) = schema.get("properties") {
            out.insert("properties".into(), fields.iter().map(|(name, field)| (name.clone(), below(field))).collect());
        }
    }
    if let Some(additional) = schema.get("additionalProperties") {
        out.insert("additionalProperties".into(), below(additional));
    }
    if v2 {
        let ty = out.get("type").and_then(Value::as_str).unwrap_or_default();
        if untyped || (ty == "array" && !out.contains_key("items")) || (ty == "object" && open) {
            out.remove("type");
        }
        loosen(schema, &mut out);
    } else if flag(schema, "x-kubernetes-int-or-string") {
        say_int_or_string(&mut out);
    }
    if flag(schema, "x-kubernetes-embedded-resource") && !(v2 && open) {
        let properties = out.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            add_object_fields(properties, edition, [EMBEDDED_API_VERSION, EMBEDDED_KIND]);
        }
        if let Some(required) = out.entry("required").or_insert_with(|| json!([])).as_array_mut() {
            for name in ["kind", "apiVersion"] {
                if !required.iter().any(|known| known == name) {
                    required.push(name.into());
                }
            }
        }
    }
    out
}

/// In version 2 nothing is nullable, so nothing that may be null can be required.
fn loosen(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let nullable = |field: Option<&Value>| field.is_some_and(|field| field["nullable"] == true);
    if nullable(schema.get("additionalProperties")) {
        out.remove("required");
        return;
    }
    // Fields that are not published at all no longer say that they may be null.
    let Some(published) = out.get("properties").and_then(Value::as_object).cloned() else { return };
    let fields = schema.get("properties");
    if let Some(required) = out.get_mut("required").and_then(Value::as_array_mut) {
        let may_be_null = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            published.contains_key(name) && nullable(fields.and_then(|fields| fields.get(name)))
        };
        required.retain(|name| !may_be_null(name));
        if required.is_empty() {
            out.remove("required");
        }
    }
}

/// Spells out what the extension means, unless the definition does.
fn say_int_or_string(out: &mut Map<String, Value>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let first = out.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf"));
    if out.get("anyOf") == Some(&either) || first == Some(&either) {
        return;
    }
    if !out.contains_key("anyOf") {
        out.insert("anyOf".into(), either);
        return;
    }
    let mut all = vec![json!({"anyOf": either})];
    all.extend(out.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default());
    out.insert("allOf".into(), all.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published_as(schema: Value, edition: Edition) -> Value {
        let definition = json!({"spec": {"group": "example.com", "names": {"kind": "Foo", "listKind": "FooList"}}});
        let version = json!({"name": "v1", "schema": {"openAPIV3Schema": schema}});
        schemas(&definition, &version, edition).swap_remove(0).1
    }

    #[test]
    fn adds_what_every_object_has() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "nullable": true, "default": {}}}, "required": ["spec"]});
        assert_eq!(
            published_as(schema.clone(), Edition::V3),
            json!({"type": "object", "required": ["spec"], "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": {
                    "description": METADATA,
                    "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],
                },
                "spec": {"type": "object", "nullable": true, "default": {}},
            }, "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Foo"}]})
        );
        let v2 = published_as(schema, Edition::V2);
        assert_eq!(v2["properties"]["spec"], json!({}));
        assert_eq!(v2.get("required"), None);
    }

    #[test]
    fn open_schemas_say_nothing_in_version_2() {
        let schema =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}});
        let v2 = published_as(schema, Edition::V2);
        assert_eq!(v2.get("properties"), None);
    }

    #[test]
    fn spells_out_int_or_string() {
        let schema = json!({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": true, "pattern": "x"}}});
        let v3 = published_as(schema, Edition::V3);
        assert_eq!(
            v3["properties"]["p"],
            json!({"x-kubernetes-int-or-string": true, "pattern": "x", "anyOf": [{"type": "integer"}, {"type": "string"}]})
        );
    }
}
