//! A custom resource's schema, read once: `apiextensions.k8s.io/v1` `JSONSchemaProps` in the form in which objects are checked
//! against it.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::rules::Rule;

/// How deep schemas may nest. Everything that walks a schema or an object along it recurses no deeper.
pub(crate) const DEEPEST: usize = 100;

/// `type`, which a schema may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Unspecified,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    fn parse(name: &str) -> Self {
        match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Unspecified,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `additionalProperties`.
#[derive(Debug)]
pub(crate) enum Additional {
    /// `true`
    Any,
    /// `false`
    None,
    Of(Box<Schema>),
}

/// One node of a schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) additional: Option<Additional>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) required: Vec<String>,

    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    /// `x-kubernetes-list-type`: `atomic`, `set`, `map`.
    pub(crate) list_type: Option<String>,
    pub(crate) map_keys: Vec<String>,
    pub(crate) map_type: Option<String>,
    pub(crate) rules: Vec<Rule>,

    pub(crate) format: String,
    pub(crate) enumeration: Vec<Value>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) max_properties: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// A `pattern` with its text; one that does not compile matches nothing.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) compiled: Result<Regex, String>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let compiled = regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|e| e.to_string());
        Self { text: text.to_owned(), compiled }
    }
}

impl Schema {
    /// From `openAPIV3Schema`; what lies deeper than [`DEEPEST`] is as if it were not there.
    pub(crate) fn parse(schema: &Value) -> Self {
        Self::at(schema, 0)
    }

    fn at(schema: &Value, depth: usize) -> Self {
        let mut out = Self::default();
        let Some(fields) = schema.as_object() else { return out };
        if depth > DEEPEST {
            return out;
        }
        let below = |value: &Value| Self::at(value, depth + 1);
        let all = |value: &Value| value.as_array().into_iter().flatten().map(below).collect::<Vec<_>>();
        let on = |value: &Value| value == &Value::Bool(true);
        for (key, value) in fields {
            match key.as_str() {
                "type" => out.kind = Kind::parse(value.as_str().unwrap_or_default()),
                "nullable" => out.nullable = on(value),
                "default" => out.default = Some(value.clone()).filter(|v| !v.is_null()),
                "properties" => {
                    let each = value.as_object().into_iter().flatten();
                    out.properties = each.map(|(name, schema)| (name.clone(), below(schema))).collect();
                }
                "additionalProperties" => {
                    out.additional = match value {
                        Value::Bool(true) => Some(Additional::Any),
                        Value::Bool(false) => Some(Additional::None),
                        Value::Object(_) => Some(Additional::Of(Box::new(below(value)))),
                        _ => None,
                    }
                }
                "items" if value.is_object() => out.items = Some(Box::new(below(value))),
                "required" => out.required = strings(value),
                "x-kubernetes-preserve-unknown-fields" => out.preserve_unknown = on(value),
                "x-kubernetes-embedded-resource" => out.embedded = on(value),
                "x-kubernetes-int-or-string" => out.int_or_string = on(value),
                "x-kubernetes-list-type" => out.list_type = value.as_str().map(str::to_owned),
                "x-kubernetes-list-map-keys" => out.map_keys = strings(value),
                "x-kubernetes-map-type" => out.map_type = value.as_str().map(str::to_owned),
                "x-kubernetes-validations" => {
                    out.rules = value.as_array().into_iter().flatten().map(Rule::parse).collect();
                }
                "format" => out.format = value.as_str().unwrap_or_default().to_owned(),
                "enum" => out.enumeration = value.as_array().cloned().unwrap_or_default(),
                "maximum" => out.maximum = value.as_f64(),
                "exclusiveMaximum" => out.exclusive_maximum = on(value),
                "minimum" => out.minimum = value.as_f64(),
                "exclusiveMinimum" => out.exclusive_minimum = on(value),
                "multipleOf" => out.multiple_of = value.as_f64(),
                "maxLength" => out.max_length = value.as_u64(),
                "minLength" => out.min_length = value.as_u64(),
                "pattern" => out.pattern = value.as_str().filter(|p| !p.is_empty()).map(Pattern::new),
                "maxItems" => out.max_items = value.as_u64(),
                "minItems" => out.min_items = value.as_u64(),
                "uniqueItems" => out.unique_items = on(value),
                "maxProperties" => out.max_properties = value.as_u64(),
                "minProperties" => out.min_properties = value.as_u64(),
                "allOf" => out.all_of = all(value),
                "anyOf" => out.any_of = all(value),
                "oneOf" => out.one_of = all(value),
                "not" if value.is_object() => out.not = Some(Box::new(below(value))),
                _ => {}
            }
        }
        out
    }

    /// The schema of a map's values, or of an object's further fields.
    pub(crate) fn values(&self) -> Option<&Self> {
        match &self.additional {
            Some(Additional::Of(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema below a key.
    pub(crate) fn below(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or_else(|| self.values())
    }

    /// The item of an older list that is the same as `item` of this `map` list.
    pub(crate) fn counterpart<'a>(&self, older: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
        if self.list_type.as_deref() != Some("map") || self.map_keys.is_empty() || !item.is_object() {
            return None;
        }
        let same = |other: &&Value| other.is_object() && self.map_keys.iter().all(|key| other.get(key) == item.get(key));
        older?.as_array()?.iter().find(same)
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
