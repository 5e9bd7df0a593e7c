//! A CustomResourceDefinition in the form in which the API server validates it: `apiextensions`' internal types. What all
//! versions have in common has moved to the top (`pkg/apis/apiextensions/v1/conversion.go`), which shows in the paths of
//! errors, and messages print values under the internal types' names.

use serde_json::{Map, Value, json};

/// The spec with `validation`, `subresources`, `additionalPrinterColumns` and `selectableFields` at the top where all
/// versions agree on them.
pub(crate) fn spec(spec: &Value) -> Value {
    let mut out = spec.clone();
    let Some(versions) = spec["versions"].as_array().filter(|v| !v.is_empty()) else { return out };
    out["version"] = versions[0]["name"].clone();
    for (below, top) in [
        ("subresources", "subresources"),
        ("schema", "validation"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
        ("selectableFields", "selectableFields"),
    ] {
        if versions.iter().any(|v| v[below] != versions[0][below]) {
            continue;
        }
        if let Some(value) = versions[0].get(below) {
            out[top] = value.clone();
        }
        for version in out["versions"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            version.remove(below);
        }
    }
    out
}

/// How a field is printed when it is not set.
#[derive(Clone, Copy)]
enum Unset {
    Text,
    No,
    Null,
}

/// `(name in Go, name in JSON, when unset)`, in the order of the struct.
type Fields = &'static [(&'static str, &'static str, Unset)];

const VERSION: Fields = &[
    ("Name", "name", Unset::Text),
    ("Served", "served", Unset::No),
    ("Storage", "storage", Unset::No),
    ("Deprecated", "deprecated", Unset::No),
    ("DeprecationWarning", "deprecationWarning", Unset::Null),
    ("Schema", "schema", Unset::Null),
    ("Subresources", "subresources", Unset::Null),
    ("AdditionalPrinterColumns", "additionalPrinterColumns", Unset::Null),
    ("SelectableFields", "selectableFields", Unset::Null),
];

const RULE: Fields = &[
    ("Rule", "rule", Unset::Text),
    ("Message", "message", Unset::Text),
    ("MessageExpression", "messageExpression", Unset::Text),
    ("Reason", "reason", Unset::Null),
    ("FieldPath", "fieldPath", Unset::Text),
    ("OptionalOldSelf", "optionalOldSelf", Unset::Null),
];

const COLUMN: Fields = &[
    ("Name", "name", Unset::Text),
    ("Type", "type", Unset::Text),
    ("Format", "format", Unset::Text),
    ("Description", "description", Unset::Text),
    ("Priority", "priority", Unset::No),
    ("JSONPath", "jsonPath", Unset::Text),
];

const SCALE: Fields = &[
    ("SpecReplicasPath", "specReplicasPath", Unset::Text),
    ("StatusReplicasPath", "statusReplicasPath", Unset::Text),
    ("LabelSelectorPath", "labelSelectorPath", Unset::Null),
];

const DOCS: Fields = &[("Description", "description", Unset::Text), ("URL", "url", Unset::Text)];

const SCHEMA: Fields = &[
    ("ID", "id", Unset::Text),
    ("Schema", "$schema", Unset::Text),
    ("Ref", "$ref", Unset::Null),
    ("Description", "description", Unset::Text),
    ("Type", "type", Unset::Text),
    ("Nullable", "nullable", Unset::No),
    ("Format", "format", Unset::Text),
    ("Title", "title", Unset::Text),
    ("Default", "default", Unset::Null),
    ("Maximum", "maximum", Unset::Null),
    ("ExclusiveMaximum", "exclusiveMaximum", Unset::No),
    ("Minimum", "minimum", Unset::Null),
    ("ExclusiveMinimum", "exclusiveMinimum", Unset::No),
    ("MaxLength", "maxLength", Unset::Null),
    ("MinLength", "minLength", Unset::Null),
    ("Pattern", "pattern", Unset::Text),
    ("MaxItems", "maxItems", Unset::Null),
    ("MinItems", "minItems", Unset::Null),
    ("UniqueItems", "uniqueItems", Unset::No),
    ("MultipleOf", "multipleOf", Unset::Null),
    ("Enum", "enum", Unset::Null),
    ("MaxProperties", "maxProperties", Unset::Null),
    ("MinProperties", "minProperties", Unset::Null),
    ("Required", "required", Unset::Null),
    ("Items", "items", Unset::Null),
    ("AllOf", "allOf", Unset::Null),
    ("OneOf", "oneOf", Unset::Null),
    ("AnyOf", "anyOf", Unset::Null),
    ("Not", "not", Unset::Null),
    ("Properties", "properties", Unset::Null),
    ("AdditionalProperties", "additionalProperties", Unset::Null),
    ("PatternProperties", "patternProperties", Unset::Null),
    ("Dependencies", "dependencies", Unset::Null),
    ("AdditionalItems", "additionalItems", Unset::Null),
    ("Definitions", "definitions", Unset::Null),
    ("ExternalDocs", "externalDocs", Unset::Null),
    ("Example", "example", Unset::Null),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", Unset::Null),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", Unset::No),
    ("XIntOrString", "x-kubernetes-int-or-string", Unset::No),
    ("XListMapKeys", "x-kubernetes-list-map-keys", Unset::Null),
    ("XListType", "x-kubernetes-list-type", Unset::Null),
    ("XMapType", "x-kubernetes-map-type", Unset::Null),
    ("XValidations", "x-kubernetes-validations", Unset::Null),
];

/// The versions as messages print them.
pub(crate) fn print_versions(versions: &Value) -> String {
    list(versions, &|version| fields(version, VERSION, 0))
}

/// A rule as messages print it.
pub(crate) fn print_rule(rule: &Value) -> String {
    fields(rule, RULE, 0)
}

/// A schema as messages print it.
pub(crate) fn print_schema(schema: &Value) -> String {
    fields(schema, SCHEMA, 0)
}

/// JSON as Go writes it into messages.
pub(crate) fn print_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn list(value: &Value, each: &dyn Fn(&Value) -> String) -> String {
    match value.as_array() {
        None => "null".to_owned(),
        Some(items) => format!("[{}]", items.iter().map(each).collect::<Vec<_>>().join(",")),
    }
}

fn map(value: &Map<String, Value>, each: &dyn Fn(&Value) -> String) -> String {
    let entries = value.iter().map(|(key, value)| format!("{}:{}", print_json(&json!(key)), each(value)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

fn fields(value: &Value, names: Fields, depth: usize) -> String {
    if depth > super::schema::DEEPEST {
        return "null".to_owned();
    }
    let each = names.iter().map(|(go, json, unset)| {
        let printed = match value.get(*json) {
            None => match unset {
                Unset::Text => "\"\"".to_owned(),
                Unset::No => if *go == "Priority" { "0" } else { "false" }.to_owned(),
                Unset::Null => "null".to_owned(),
            },
            Some(given) => field(json, given, depth + 1),
        };
        format!("\"{go}\":{printed}")
    });
    format!("{{{}}}", each.collect::<Vec<_>>().join(","))
}

fn field(name: &str, value: &Value, depth: usize) -> String {
    let schema = |value: &Value| fields(value, SCHEMA, depth);
    match (name, value) {
        ("schema", Value::Object(_)) => format!(
            "{{\"OpenAPIV3Schema\":{}}}",
            match value.get("openAPIV3Schema") {
                Some(inner) => schema(inner),
                None => "null".to_owned(),
            }
        ),
        ("subresources", Value::Object(_)) => {
            let status = if value.get("status").is_some() { "{}" } else { "null" };
            let scale = value.get("scale").map_or_else(|| "null".to_owned(), |s| fields(s, SCALE, depth));
            format!("{{\"Status\":{status},\"Scale\":{scale}}}")
        }
        ("additionalPrinterColumns", _) => list(value, &|column| fields(column, COLUMN, depth)),
        ("selectableFields", _) => {
            list(value, &|f| format!("{{\"JSONPath\":{}}}", print_json(f.get("jsonPath").unwrap_or(&json!("")))))
        }
        ("x-kubernetes-validations", _) => list(value, &|rule| fields(rule, RULE, depth)),
        ("externalDocs", Value::Object(_)) => fields(value, DOCS, depth),
        ("not", Value::Object(_)) => schema(value),
        ("items", Value::Object(_)) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", schema(value)),
        ("additionalProperties", Value::Object(_)) => format!("{{\"Allows\":true,\"Schema\":{}}}", schema(value)),
        ("additionalProperties", Value::Bool(allows)) => format!("{{\"Allows\":{allows},\"Schema\":null}}"),
        ("allOf" | "anyOf" | "oneOf", _) => list(value, &schema),
        ("properties", Value::Object(properties)) => map(properties, &schema),
        _ => print_json(value),
    }
}
