//! What a CustomResourceDefinition may say in its schemas: `ValidateCustomResourceDefinitionOpenAPISchema` and the validation
//! of defaults (`pkg/apiserver/schema/defaulting/validation.go`).

use serde_json::{Value, json};

use super::schema::{DEEPEST, Schema};
use super::structural::{self, children};
use super::{internal, rules, shape, validate};
use crate::field::{Errors, Kind, Path};

/// What an older definition was allowed stays allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strictness {
    pub(crate) valid_types: bool,
    pub(crate) structural: bool,
    pub(crate) pruned_defaults: bool,
    pub(crate) atomic_sets: bool,
    pub(crate) map_keys: bool,
    /// Whether the cost of CEL rules counts.
    pub(crate) cost: bool,
}

/// `validateCustomResourceDefinitionValidation`; `path` is that of the object with `openAPIV3Schema`.
pub(crate) fn validate_schema(schema: &Value, status: bool, strict: Strictness, path: &Path, errors: &mut Errors) {
    let at = path.child("openAPIV3Schema");
    let before = errors.iter().count();
    if status {
        check_root(schema, path, errors);
    }
    if schema["nullable"] == true {
        errors.forbidden(&path.child("openAPIV3Schema.nullable"), "nullable cannot be true at the root");
    }
    let mut unreadable = None;
    let mut sound = false;
    if strict.structural {
        let mut found = Errors::new();
        match structural::unsupported(schema) {
            Some(why) => unreadable = Some(why),
            None => {
                structural::validate(schema, &at, &mut found);
                if found.is_empty() {
                    validate_defaults(schema, &at, strict.pruned_defaults, &mut found);
                }
                sound = found.is_empty();
                errors.extend(found);
            }
        }
    }
    let parsed = sound.then(|| Schema::parse(schema));
    let mut walk = Walk { strict, rules: sound.then(rules::Compiler::default), cel: Errors::new() };
    let mut found = Errors::new();
    walk.schema(
        schema,
        &at,
        &Context { allow_defaults: true, root: true, occurrences: Some(1), ..Context::default() },
        parsed.as_ref(),
        &mut found,
    );
    errors.extend(found);
    errors.extend(std::mem::take(&mut walk.cel));
    if let Some(why) = unreadable.filter(|_| errors.iter().count() == before) {
        errors.invalid(&at, "", &why);
    }
    if let Some(compiler) = walk.rules {
        compiler.total(&at, errors);
    }
}

/// With a status subresource the root may hold only what is not lost when the status is validated alone.
fn check_root(schema: &Value, path: &Path, errors: &mut Errors) {
    const ALLOWED: [&str; 22] = [
        "Description",
        "Type",
        "Format",
        "Title",
        "Maximum",
        "ExclusiveMaximum",
        "Minimum",
        "ExclusiveMinimum",
        "MaxLength",
        "MinLength",
        "Pattern",
        "MaxItems",
        "MinItems",
        "UniqueItems",
        "MultipleOf",
        "Required",
        "Items",
        "Properties",
        "ExternalDocs",
        "Example",
        "XPreserveUnknownFields",
        "XValidations",
    ];
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && kind != "object" {
        let why = r#"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#;
        errors.invalid(&path.child("openAPIV3Schema.type"), kind, why);
        return;
    }
    let set = |key: &&String| !matches!(&schema[key.as_str()], Value::Null | Value::Bool(false)) && schema[key.as_str()] != "";
    let known = |key: &String| {
        let name = match key.as_str() {
            "x-kubernetes-preserve-unknown-fields" => "XPreserveUnknownFields".to_owned(),
            "x-kubernetes-validations" => "XValidations".to_owned(),
            other => other[..1].to_uppercase() + &other[1..],
        };
        ALLOWED.contains(&name.as_str())
    };
    let keys = schema.as_object().into_iter().flat_map(serde_json::Map::keys);
    if keys.filter(set).any(|key| !key.is_empty() && key.is_char_boundary(1) && !known(key)) {
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            ALLOWED.join(" ")
        );
        let body = format!("Invalid value: {}: {why}", internal::print_schema(schema));
        errors.other(Kind::Invalid, &path.child("openAPIV3Schema").to_string(), body);
    }
}

#[derive(Clone, Default)]
struct Context {
    allow_defaults: bool,
    no_defaults_because: String,
    inside_meta: bool,
    root: bool,
    /// The first ancestor whose parts have no counterparts in an older object.
    uncorrelatable: Option<Path>,
    /// How often it can occur in an object, if its ancestors bound that.
    occurrences: Option<u64>,
    depth: usize,
}

struct Walk {
    strict: Strictness,
    rules: Option<rules::Compiler>,
    cel: Errors,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

impl Walk {
    /// Whether nothing was wrong with the schema itself, here and below, decides whether its rules are compiled.
    fn schema(&mut self, schema: &Value, path: &Path, context: &Context, parsed: Option<&Schema>, errors: &mut Errors) {
        if context.depth > DEEPEST {
            return;
        }
        let mut found = Errors::new();
        self.standard(schema, path, context, &mut found);
        if schema["uniqueItems"] == true {
            found.forbidden(
                &path.child("uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        let own = match text(schema, "type") {
            "object" if schema.get("additionalProperties").is_some() => schema["maxProperties"].as_u64(),
            "array" => schema["maxItems"].as_u64(),
            _ => Some(1),
        };
        let occurrences = context.occurrences.zip(own).map(|(all, own)| all.saturating_mul(own));
        let inner = Context { root: false, depth: context.depth + 1, occurrences, ..context.clone() };
        let properties = schema["properties"].as_object().filter(|p| !p.is_empty());
        if let Some(additional) = schema.get("additionalProperties") {
            let at = path.child("additionalProperties");
            if properties.is_some() && *additional != true {
                found.forbidden(&at, "additionalProperties and properties are mutual exclusive");
            }
            if additional.is_object() {
                let mut inner = inner.clone();
                if inner.inside_meta {
                    inner.forbid_defaults("inside additionalProperties applying to object metadata");
                }
                self.schema(additional, &at, &inner, parsed.and_then(Schema::values), &mut found);
            }
        }
        for (name, below) in properties.into_iter().flatten() {
            let mut inner = inner.clone();
            if !matches!(text(schema, "x-kubernetes-map-type"), "" | "granular" | "atomic") {
                inner.uncorrelatable.get_or_insert_with(|| path.clone());
            }
            let meta = matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
            if meta && (context.root || schema["x-kubernetes-embedded-resource"] == true) {
                inner.inside_meta = true;
                if context.root {
                    inner.forbid_defaults(&format!("in top-level {name}"));
                }
            }
            let below_parsed = parsed.and_then(|p| p.properties.get(name));
            self.schema(below, &path.child("properties").key(name), &inner, below_parsed, &mut found);
        }
        if schema["not"].is_object() {
            self.schema(&schema["not"], &path.child("not"), &inner, None, &mut found);
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            for (i, below) in schema[key].as_array().into_iter().flatten().enumerate() {
                self.schema(below, &path.child(key).index(i), &inner, None, &mut found);
            }
        }
        let list_type = schema["x-kubernetes-list-type"].as_str();
        if schema["items"].is_object() {
            let mut inner = inner.clone();
            if list_type != Some("map") {
                inner.uncorrelatable.get_or_insert_with(|| path.clone());
            }
            self.schema(&schema["items"], &path.child("items"), &inner, parsed.and_then(|p| p.items.as_deref()), &mut found);
        }
        self.extensions(schema, path, &mut found);
        self.rule_texts(schema, path, parsed, &mut found);
        if found.is_empty() && parsed.is_some() {
            self.compile(schema, path, context, parsed);
        }
        errors.extend(found);
    }

    fn standard(&self, schema: &Value, path: &Path, context: &Context, errors: &mut Errors) {
        let kind = text(schema, "type");
        if self.strict.valid_types && !kind.is_empty() && !TYPES.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &TYPES);
        }
        if schema.get("default").is_some() && !context.allow_defaults {
            let why = format!("must not be set {}", context.no_defaults_because);
            errors.forbidden(&path.child("default"), why.trim_end());
        }
        for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            let set = match schema.get(key) {
                None => false,
                Some(Value::String(s)) => !s.is_empty() || key == "$ref",
                Some(Value::Object(map)) => !map.is_empty() || matches!(key, "additionalItems" | "dependencies"),
                Some(_) => true,
            };
            if set {
                errors.forbidden(&path.child(key), &format!("{key} is not supported"));
            }
        }
        if kind == "null" {
            errors.forbidden(&path.child("type"), "type cannot be set to null, use nullable as an alternative");
        }
        if schema["items"].is_array() {
            errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
        }
        if context.inside_meta && schema["x-kubernetes-embedded-resource"] == true {
            errors.forbidden(&path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
        }
    }

    fn extensions(&self, schema: &Value, path: &Path, errors: &mut Errors) {
        let kind = text(schema, "type");
        let wrong_type = |wanted: &str, key: &str, errors: &mut Errors| {
            let why = format!("must be {wanted} if {key} is specified");
            let at = path.child("type");
            if kind.is_empty() { errors.required(&at, &why) } else { errors.invalid(&at, kind, &why) }
        };
        if schema["x-kubernetes-preserve-unknown-fields"] == false {
            errors.invalid(&path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
        }
        if let Some(map_type) = schema["x-kubernetes-map-type"].as_str() {
            if kind != "object" {
                wrong_type("object", "x-kubernetes-map-type", errors);
            }
            if !["atomic", "granular"].contains(&map_type) {
                errors.not_supported(&path.child("x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
            }
        }
        let list_type = schema["x-kubernetes-list-type"].as_str();
        let items = Some(&schema["items"]).filter(|i| i.is_object());
        if let Some(list_type) = list_type {
            if kind != "array" {
                wrong_type("array", "x-kubernetes-list-type", errors);
            } else if let Some(items) = items.filter(|_| self.strict.atomic_sets && list_type == "set")
                && let Some(key) = non_atomic(items)
            {
                // The API server shows the list type in either case.
                let shown = items["x-kubernetes-list-type"].clone();
                let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
                errors.invalid(&path.child("items").child(key), shown, why);
            }
            if !["atomic", "set", "map"].contains(&list_type) {
                errors.not_supported(&path.child("x-kubernetes-list-type"), list_type, &["atomic", "set", "map"]);
            }
        }
        let keys = schema["x-kubernetes-list-map-keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !keys.is_empty() {
            let at = path.child("x-kubernetes-list-type");
            match list_type {
                None => errors.required(&at, "must be map if x-kubernetes-list-map-keys is non-empty"),
                Some("map") => {}
                Some(other) => errors.invalid(&at, other, "must be map if x-kubernetes-list-map-keys is non-empty"),
            }
        }
        if list_type == Some("map") {
            map_list(schema, items, keys, path, errors);
        }
        if self.strict.map_keys {
            map_keys(schema, path, errors);
        }
    }

    fn rule_texts(&self, schema: &Value, path: &Path, parsed: Option<&Schema>, errors: &mut Errors) {
        const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        let lines = |text: &str| text.contains(['\n', '\r']);
        for (i, rule) in schema["x-kubernetes-validations"].as_array().into_iter().flatten().enumerate() {
            let at = path.child("x-kubernetes-validations").index(i);
            let (expression, message) = (text(rule, "rule"), text(rule, "message"));
            if expression.trim().is_empty() {
                errors.required(&at.child("rule"), "rule is not specified");
            } else if !message.is_empty() && message.trim().is_empty() {
                errors.invalid(&at.child("message"), message, "must be non-empty if specified");
            } else if lines(message.trim()) {
                errors.invalid(&at.child("message"), message, "must not contain line breaks");
            } else if lines(expression.trim()) && message.trim().is_empty() {
                errors.required(&at.child("message"), "message must be specified if rule contains line breaks");
            }
            let computed = text(rule, "messageExpression");
            if !computed.is_empty() && computed.trim().is_empty() {
                errors.required(&at.child("messageExpression"), "messageExpression must be non-empty if specified");
            }
            if let Some(reason) = rule["reason"].as_str().filter(|r| !REASONS.contains(r)) {
                errors.not_supported(&at.child("reason"), reason, &REASONS);
            }
            let field = text(rule, "fieldPath");
            if !field.is_empty() {
                let at = at.child("fieldPath");
                if field.trim().is_empty() {
                    errors.invalid(&at, field, "must be non-empty if specified");
                }
                if lines(field) {
                    errors.invalid(&at, field, "must not contain line breaks");
                }
                if parsed.is_some_and(|p| rules::field_path(field, p, true).is_err()) {
                    errors.invalid(&at, field, "must be a valid path");
                }
            }
        }
    }

    fn compile(&mut self, schema: &Value, path: &Path, context: &Context, parsed: Option<&Schema>) {
        let (Some(compiler), Some(parsed)) = (&mut self.rules, parsed) else { return };
        let given = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !given.is_empty() {
            let place = rules::Place {
                path,
                root: context.root,
                uncorrelatable: context.uncorrelatable.as_ref(),
                occurrences: context.occurrences,
                costs: self.strict.cost,
            };
            compiler.check(parsed, given, &place, &mut self.cel);
        }
    }
}

impl Context {
    fn forbid_defaults(&mut self, why: &str) {
        self.allow_defaults = false;
        why.clone_into(&mut self.no_defaults_because);
    }
}

fn non_atomic(items: &Value) -> Option<&'static str> {
    let not = |key: &str| items[key].as_str().is_some_and(|t| t != "atomic");
    match text(items, "type") {
        "array" if not("x-kubernetes-list-type") => Some("x-kubernetes-list-type"),
        "object" if items["x-kubernetes-map-type"] != "atomic" => Some("x-kubernetes-map-type"),
        _ => None,
    }
}

fn map_list(schema: &Value, items: Option<&Value>, keys: &[Value], path: &Path, errors: &mut Errors) {
    let keys_at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.required(&keys_at, "must not be empty if x-kubernetes-list-type is map");
    }
    let Some(items) = items else {
        if schema.get("items").is_none() {
            errors.required(&path.child("items"), "must have a schema if x-kubernetes-list-type is map");
        }
        return;
    };
    let kind = text(items, "type");
    if kind != "object" {
        errors.invalid(
            &path.child("items").child("type"),
            kind,
            "must be object if parent array's x-kubernetes-list-type is map",
        );
        return;
    }
    for (i, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        match items["properties"].get(name) {
            Some(property) if matches!(text(property, "type"), "array" | "object") => {
                let at = path.child("items").child("properties").key(name).child("type");
                errors.invalid(&at, kind, "must be a scalar type if parent array's x-kubernetes-list-type is map");
            }
            Some(_) => {}
            None => errors.invalid(&keys_at, json!(keys), "entries must all be names of item properties"),
        }
        if keys[..i].contains(key) {
            errors.invalid(&keys_at, json!(keys), "must not contain duplicate entries");
        }
    }
}

/// `validateMapListKeysMapSet`
fn map_keys(schema: &Value, path: &Path, errors: &mut Errors) {
    let items = &schema["items"];
    let Some(list_type) = schema["x-kubernetes-list-type"].as_str().filter(|t| matches!(*t, "set" | "map")) else { return };
    if !items.is_object() {
        return;
    }
    let at = path.child("items");
    if items["nullable"] == true {
        errors.forbidden(&at.child("nullable"), &format!("cannot be nullable when x-kubernetes-list-type is {list_type}"));
    }
    if list_type != "map" {
        return;
    }
    for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(property) = items["properties"].get(key) else { continue };
        let at = at.child("properties").key(key);
        let required = items["required"].as_array().is_some_and(|r| r.iter().any(|r| r == key));
        if !required && property.get("default").is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&at.child("default"), why);
        }
        if property["nullable"] == true {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&at.child("nullable"), why);
        }
    }
}

/// Defaults must be what their schemas want.
fn validate_defaults(schema: &Value, path: &Path, pruned: bool, errors: &mut Errors) {
    let mut open = vec![(schema, path.clone(), true)];
    while let Some((schema, path, root)) = open.pop() {
        if let Some(given) = schema.get("default").filter(|d| !d.is_null()) {
            let parsed = Schema::parse(schema);
            let at = path.child("default");
            let mut kept = given.clone();
            if pruned && !shape::prune(&mut kept, &parsed, parsed.embedded).is_empty() {
                errors.invalid(&at, given.clone(), "must not have unknown fields");
            }
            let mut found = Errors::new();
            validate::validate(&parsed, given, None, &at, &mut found);
            if found.is_empty() {
                let mut budget = rules::BUDGET;
                if let Some(rules) = rules::Validator::new(&parsed, root) {
                    let mut warnings = Vec::new();
                    let mut out = rules::Findings { errors: &mut found, warnings: &mut warnings };
                    // Once as if it had been there, once as if it were new.
                    rules.validate(&parsed, given, Some(given), &at, &mut budget, &mut out);
                    if out.errors.is_empty() {
                        rules.validate(&parsed, given, None, &at, &mut budget, &mut out);
                    }
                }
            }
            errors.extend(found);
        }
        // Deepest last, so that the order is that of the walk.
        for (name, below) in schema["properties"].as_object().into_iter().flatten().rev() {
            open.push((below, path.child("properties").key(name), false));
        }
        if schema["items"].is_object() {
            open.push((&schema["items"], path.child("items"), false));
        }
    }
}

/// Whether any schema in it has what `has` looks for.
pub(crate) fn any(schema: &Value, has: impl Fn(&Value) -> bool) -> bool {
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if has(schema) {
            return true;
        }
        open.extend(children(schema));
    }
    false
}

/// A set whose items are not atomic.
pub(crate) fn has_non_atomic_set(schema: &Value) -> bool {
    schema["x-kubernetes-list-type"] == "set" && schema["items"].is_object() && non_atomic(&schema["items"]).is_some()
}

/// A list whose keys may be missing.
pub(crate) fn has_loose_map_keys(schema: &Value) -> bool {
    let mut errors = Errors::new();
    map_keys(schema, &Path::root(), &mut errors);
    !errors.is_empty()
}

/// A type that OpenAPI does not know.
pub(crate) fn has_invalid_type(schema: &Value) -> bool {
    let kind = text(schema, "type");
    !kind.is_empty() && !TYPES.contains(&kind)
}
