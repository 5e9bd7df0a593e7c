//! CustomResourceDefinitions themselves: their defaults, strategy, validation and the status that controllers write
//! (`pkg/apis/apiextensions/validation/validation.go`, `pkg/registry/customresourcedefinition`, `pkg/controller`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::openapi::{self, Strictness};
use super::schema::Schema;
use super::{formats, internal, rules, structural};
use crate::field::{Errors, Kind, Path, quote};
use crate::kinds::{Rules, meta, names};

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What the API server does to definitions.
pub(crate) const RULES: Rules = Rules {
    default,
    prepare_create,
    validate: |definition, errors| {
        name_errors(definition, errors);
        validate(definition, errors);
    },
    prepare_update,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_update(old, new, errors);
    },
    prepare_status,
    validate_status: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_status(new, errors);
    },
    warnings,
    allow_unconditional_update: false,
    ..Rules::PLAIN
};

const APPROVED: &str = "api-approved.kubernetes.io";

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `SetDefaults_CustomResourceDefinition`
fn default(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").filter(|s| s.is_object()) else { return };
    let kind = text(&spec["names"], "kind").to_owned();
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let unset = |names: &Map<String, Value>, key: &str| names.get(key).is_none_or(|v| v == "" || v.is_null());
        if unset(names, "singular") && !kind.is_empty() {
            names.insert("singular".to_owned(), kind.to_lowercase().into());
        }
        if unset(names, "listKind") && !kind.is_empty() {
            names.insert("listKind".to_owned(), format!("{kind}List").into());
        }
    }
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let service = &mut spec["conversion"]["webhook"]["clientConfig"]["service"];
    if service.is_object() && service.get("port").is_none() {
        service["port"] = 443.into();
    } else {
        // Indexing has made what was not there.
        forget_nulls(&mut spec["conversion"]);
    }
    let stored = list(&definition["status"], "storedVersions").is_empty();
    if stored
        && definition.get("status").is_some_and(Value::is_object)
        && let Some(version) = storage_version(definition)
    {
        definition["status"]["storedVersions"] = json!([version]);
    }
}

fn forget_nulls(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.values_mut().for_each(forget_nulls);
        map.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|m| !m.is_empty()));
    }
}

fn storage_version(definition: &Value) -> Option<String> {
    let versions = list(&definition["spec"], "versions");
    versions.iter().find(|v| v["storage"] == true).map(|v| text(v, "name").to_owned())
}

fn empty_status() -> Value {
    json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": null})
}

/// Status and generation start afresh.
fn prepare_create(definition: &mut Value) {
    definition["status"] = empty_status();
    definition["metadata"]["generation"] = 1.into();
    add_stored_version(definition);
}

/// The status stays; the generation grows with the spec.
fn prepare_update(old: &Value, new: &mut Value) {
    new["status"] = old.get("status").cloned().unwrap_or_else(empty_status);
    let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
    let grown = if old["spec"] == new["spec"] { generation } else { generation + 1 };
    new["metadata"]["generation"] = grown.into();
    add_stored_version(new);
}

/// Through `…/status` the spec stays, and metadata but for the managed fields.
fn prepare_status(old: &Value, new: &mut Value) {
    new["spec"] = old["spec"].clone();
}

fn add_stored_version(definition: &mut Value) {
    let Some(version) = storage_version(definition) else { return };
    let stored = &mut definition["status"]["storedVersions"];
    match stored.as_array_mut() {
        Some(list) if list.iter().any(|v| *v == version.as_str()) => {}
        Some(list) => list.push(version.into()),
        None => *stored = json!([version]),
    }
}

/// What the name's validator adds to the general one: it is made of the names in the spec.
fn name_errors(definition: &Value, errors: &mut Errors) {
    let (name, spec) = (text(&definition["metadata"], "name"), &definition["spec"]);
    if name != format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group")) {
        errors.invalid(&Path::new("metadata").child("name"), name, r#"must be spec.names.plural+"."+spec.group"#);
    }
}

/// `ValidateCustomResourceDefinition` without metadata, whose errors come first and are the caller's.
fn validate(definition: &Value, errors: &mut Errors) {
    let strict =
        Strictness { valid_types: true, structural: true, pruned_defaults: true, atomic_sets: true, map_keys: true, cost: true };
    let spec = internal::spec(&definition["spec"]);
    validate_spec(&spec, strict, true, true, errors);
    validate_status_part(definition, errors);
    validate_approval(definition, None, errors);
    validate_preserve(&spec, None, errors);
}

/// `ValidateCustomResourceDefinitionUpdate` without metadata.
fn validate_update(old: &Value, definition: &Value, errors: &mut Errors) {
    let (before, spec) = (internal::spec(&old["spec"]), internal::spec(&definition["spec"]));
    let had = |what: fn(&Value) -> bool| schemas(&old["spec"]).any(|s| openapi::any(s, what));
    let all_have_schemas = list(&old["spec"], "versions").iter().all(|v| v["schema"]["openAPIV3Schema"].is_object());
    let sound = |schema: &Value| {
        let mut errors = Errors::new();
        structural::unsupported(schema).is_none() && {
            structural::validate(schema, &Path::root(), &mut errors);
            errors.is_empty()
        }
    };
    let same_schemas = old["spec"]["versions"] == definition["spec"]["versions"];
    let strict = Strictness {
        valid_types: !had(openapi::has_invalid_type),
        structural: schemas(&old["spec"]).all(sound),
        pruned_defaults: true,
        atomic_sets: !had(openapi::has_non_atomic_set),
        map_keys: !had(openapi::has_loose_map_keys),
        cost: !same_schemas,
    };
    let reviews = list(&old["spec"]["conversion"]["webhook"], "conversionReviewVersions");
    let recognized = reviews.is_empty() || reviews.iter().any(|v| v == "v1" || v == "v1beta1");
    validate_spec(&spec, strict, all_have_schemas, recognized, errors);
    let mut immutable = |path: &Path, new: &Value, old: &Value| {
        if new != old {
            errors.invalid(path, new.clone(), "field is immutable");
        }
    };
    let at = Path::new("spec");
    if condition(old, "Established").is_some_and(|c| c["status"] == "True") {
        immutable(&at.child("scope"), &spec["scope"], &before["scope"]);
        immutable(&at.child("names").child("kind"), &spec["names"]["kind"], &before["names"]["kind"]);
    }
    immutable(&at.child("group"), &spec["group"], &before["group"]);
    immutable(&at.child("names").child("plural"), &spec["names"]["plural"], &before["names"]["plural"]);
    validate_status_part(definition, errors);
    validate_approval(definition, Some(old), errors);
    validate_preserve(&spec, Some(&before), errors);
}

/// `ValidateUpdateCustomResourceDefinitionStatus` without metadata.
fn validate_status(definition: &Value, errors: &mut Errors) {
    validate_names(&definition["status"]["acceptedNames"], &Path::new("status").child("acceptedNames"), errors);
}

fn schemas(spec: &Value) -> impl Iterator<Item = &Value> {
    list(spec, "versions").iter().map(|v| &v["schema"]["openAPIV3Schema"]).filter(|s| s.is_object())
}

fn all_schemas(spec: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(&spec["validation"]["openAPIV3Schema"]).filter(|s| s.is_object()).chain(schemas(spec))
}

fn validate_spec(spec: &Value, mut strict: Strictness, need_schemas: bool, recognized: bool, errors: &mut Errors) {
    let at = Path::new("spec");
    let group = text(spec, "group");
    if group.is_empty() {
        errors.required(&at.child("group"), "");
    } else if let messages @ [_, ..] = names::subdomain(group).as_slice() {
        errors.invalid(&at.child("group"), group, &messages.join(","));
    } else if !group.contains('.') {
        errors.invalid(&at.child("group"), group, "should be a domain with at least one dot");
    }
    check_enum(&at.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"], errors);
    let preserve = spec["preserveUnknownFields"] == true;
    strict.structural |= !preserve;
    let versions = list(spec, "versions");
    if !spec["validation"]["openAPIV3Schema"].is_object() {
        for (i, version) in versions.iter().enumerate() {
            if version["schema"]["openAPIV3Schema"].is_object() {
                continue;
            }
            let path = at.child("versions").index(i).child("schema").child("openAPIV3Schema");
            if need_schemas {
                errors.required(&path, "");
            } else if !preserve && version["served"] == true {
                errors.required(&path, "because otherwise all fields are pruned");
            }
        }
    }
    let anywhere = |has: fn(&Value) -> bool| all_schemas(spec).any(|s| openapi::any(s, has));
    if anywhere(|s| s.get("default").is_some_and(|d| !d.is_null())) {
        strict.structural = true;
        if preserve {
            errors.invalid(&at.child("preserveUnknownFields"), true, "must be false in order to use defaults in the schema");
        }
    }
    strict.structural |= anywhere(|s| s.as_object().is_some_and(|s| s.keys().any(|k| k.starts_with("x-kubernetes-"))));

    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        let path = at.child("versions").index(i);
        let name = text(version, "name");
        seen.insert(name);
        if let messages @ [_, ..] = names::dns1035(name).as_slice() {
            errors.invalid(&path.child("name"), name, &messages.join(","));
        }
        let subresources = if versions.iter().any(|v| v["subresources"].is_object()) { version } else { spec };
        validate_version(version, subresources["subresources"]["status"].is_object(), strict, &path, errors);
    }
    let printed = |why: &str, errors: &mut Errors| {
        let body = format!("Invalid value: {}: {why}", internal::print_versions(&spec["versions"]));
        errors.other(Kind::Invalid, "spec.versions", body);
    };
    if seen.len() != versions.len() {
        printed("must contain unique version names", errors);
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        printed("must have exactly one version marked as storage version", errors);
    }
    if let Some(name) = versions.first().map(|v| text(v, "name")).filter(|n| !n.is_empty())
        && let messages @ [_, ..] = names::dns1035(name).as_slice()
    {
        errors.invalid(&at.child("version"), name, &messages.join(","));
    }
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], key).is_empty() {
            errors.required(&at.child("names").child(key), "");
        }
    }
    validate_names(&spec["names"], &at.child("names"), errors);
    if spec["validation"]["openAPIV3Schema"].is_object() {
        let status = std::iter::once(spec).chain(versions).any(|s| s["subresources"]["status"].is_object());
        openapi::validate_schema(&spec["validation"]["openAPIV3Schema"], status, strict, &at.child("validation"), errors);
    }
    validate_subresources(&spec["subresources"], &at.child("subresources"), errors);
    for (i, column) in list(spec, "additionalPrinterColumns").iter().enumerate() {
        validate_column(column, &at.child("additionalPrinterColumns").index(i), errors);
    }
    let selectable = list(spec, "selectableFields");
    if !selectable.is_empty() {
        let path = at.child("selectableFields");
        if spec["validation"].is_object() {
            validate_selectable(selectable, &spec["validation"]["openAPIV3Schema"], &path, errors);
        } else {
            errors.invalid(&path, "", "may only be set when validations.schema is included");
        }
    }
    let conversion = &spec["conversion"];
    if conversion.is_object() && conversion["strategy"] != "None" && preserve {
        errors.invalid(
            &at.child("conversion").child("strategy"),
            conversion["strategy"].clone(),
            "must be None if spec.preserveUnknownFields is true",
        );
    }
    validate_conversion(conversion, recognized, &at.child("conversion"), errors);
}

fn check_enum(path: &Path, value: &str, accepted: &[&str], errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    } else if !accepted.contains(&value) {
        errors.not_supported(path, value, accepted);
    }
}

fn validate_version(version: &Value, status: bool, strict: Strictness, path: &Path, errors: &mut Errors) {
    for message in deprecation_errors(version) {
        errors.invalid(&path.child("deprecationWarning"), version["deprecationWarning"].clone(), &message);
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_object() {
        openapi::validate_schema(schema, status, strict, &path.child("schema"), errors);
    }
    validate_subresources(&version["subresources"], &path.child("subresources"), errors);
    for (i, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        validate_column(column, &path.child("additionalPrinterColumns").index(i), errors);
    }
    let selectable = list(version, "selectableFields");
    if !selectable.is_empty() {
        let path = path.child("selectableFields");
        if schema.is_object() {
            validate_selectable(selectable, schema, &path, errors);
        } else {
            errors.invalid(&path, "", "may only be set when `version.schema.openAPIV3Schema` is not included");
        }
    }
}

fn deprecation_errors(version: &Value) -> Vec<String> {
    let Some(warning) = version["deprecationWarning"].as_str() else { return Vec::new() };
    if version["deprecated"] != true {
        return vec!["can only be set for deprecated versions".to_owned()];
    }
    let mut messages = Vec::new();
    if warning.len() > 256 {
        messages.push("must be <= 256 characters long".to_owned());
    }
    if warning.is_empty() {
        messages.push("must not be an empty string".to_owned());
    }
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        messages.push(format!("must only contain printable UTF-8 characters; non-printable character found at index {i}"));
    }
    messages
}

fn validate_names(given: &Value, path: &Path, errors: &mut Errors) {
    let mut check = |path: Path, value: &str, lower: bool| {
        if value.is_empty() {
            return;
        }
        let messages = if lower { names::dns1035(&value.to_lowercase()) } else { names::dns1035(value) };
        if !messages.is_empty() {
            let how = if lower { "may have mixed case, but should otherwise match: " } else { "" };
            errors.invalid(&path, value, &format!("{how}{}", messages.join(",")));
        }
    };
    check(path.child("plural"), text(given, "plural"), false);
    check(path.child("singular"), text(given, "singular"), false);
    check(path.child("kind"), text(given, "kind"), true);
    check(path.child("listKind"), text(given, "listKind"), true);
    let each = |key: &str, errors: &mut Errors| {
        for (i, name) in list(given, key).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            if let messages @ [_, ..] = names::dns1035(name).as_slice() {
                errors.invalid(&path.child(key).index(i), name, &messages.join(","));
            }
        }
    };
    each("shortNames", errors);
    let (kind, list_kind) = (text(given, "kind"), text(given, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        errors.invalid(&path.child("listKind"), list_kind, "kind and listKind may not be the same");
    }
    each("categories", errors);
}

fn validate_column(column: &Value, path: &Path, errors: &mut Errors) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    if text(column, "name").is_empty() {
        errors.required(&path.child("name"), "");
    }
    let kind = text(column, "type");
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    if kind.is_empty() {
        errors.required(&path.child("type"), &one_of(&TYPES));
    } else if !TYPES.contains(&kind) {
        errors.invalid(&path.child("type"), kind, &one_of(&TYPES));
    }
    let format = text(column, "format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        errors.invalid(&path.child("format"), format, &one_of(&FORMATS));
    }
    let json_path = text(column, "jsonPath");
    if json_path.is_empty() {
        errors.required(&path.child("JSONPath"), "");
    } else {
        check_simple_path(json_path, &path.child("JSONPath"), errors);
    }
}

fn check_simple_path(json_path: &str, path: &Path, errors: &mut Errors) -> bool {
    let good = json_path.starts_with('.');
    if !good {
        errors.invalid(path, json_path, "must be a simple json path starting with .");
    }
    good
}

fn validate_selectable(fields: &[Value], schema: &Value, path: &Path, errors: &mut Errors) {
    let parsed = Schema::parse(schema);
    let mut unique = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let at = path.index(i).child("jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.required(&at, "");
            continue;
        }
        let (found, below) = match rules::field_path(json_path, &parsed, false) {
            Ok(found) => found,
            Err(why) => {
                errors.invalid(&at, json_path, &format!("is an invalid path: {why}"));
                continue;
            }
        };
        if found.split(['.', '[']).next() == Some("metadata") {
            errors.invalid(&at, json_path, "must not point to fields in metadata");
        }
        if !matches!(below.kind.name(), "string" | "boolean" | "integer") {
            errors.invalid(&at, json_path, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.");
        }
        if !unique.insert(found) {
            errors.duplicate(&at, json_path);
        }
    }
    if unique.len() > 8 {
        errors.too_many(path, unique.len(), 8);
    }
}

fn validate_subresources(subresources: &Value, path: &Path, errors: &mut Errors) {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return;
    }
    let mut check = |key: &str, roots: &[&str], why: &str, required: bool| {
        let (at, value) = (path.child(&format!("scale.{key}")), text(scale, key));
        if value.is_empty() {
            if required {
                errors.required(&at, "");
            }
        } else if check_simple_path(value, &at, errors) && !roots.iter().any(|root| value.starts_with(root)) {
            errors.invalid(&at, value, why);
        }
    };
    check("specReplicasPath", &[".spec."], "should be a json path under .spec", true);
    check("statusReplicasPath", &[".status."], "should be a json path under .status", true);
    check("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status", false);
}

fn validate_conversion(conversion: &Value, recognized: bool, path: &Path, errors: &mut Errors) {
    if !conversion.is_object() {
        return;
    }
    check_enum(&path.child("strategy"), text(conversion, "strategy"), &["None", "Webhook"], errors);
    let (client, reviews) = (&conversion["webhook"]["clientConfig"], list(&conversion["webhook"], "conversionReviewVersions"));
    let (client_at, reviews_at) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if conversion["strategy"] != "Webhook" {
        if client.is_object() {
            errors.forbidden(&client_at, "should not be set when strategy is not set to Webhook");
        }
        if !reviews.is_empty() {
            errors.forbidden(&reviews_at, "should not be set when strategy is not set to Webhook");
        }
        return;
    }
    if !client.is_object() {
        errors.required(&client_at, "required when strategy is set to Webhook");
    } else if client["url"].is_string() == client["service"].is_object() {
        errors.required(&client_at, "exactly one of url or service is required");
    } else if client["service"].is_object() {
        let (service, at) = (&client["service"], client_at.child("service"));
        // The API server takes the one for the other.
        for (key, shown) in [("name", "namespace"), ("namespace", "name")] {
            if text(service, key).is_empty() {
                errors.required(&at.child(shown), "");
            }
        }
    }
    if reviews.is_empty() {
        errors.required(&reviews_at, "");
        return;
    }
    for (i, version) in reviews.iter().enumerate() {
        let name = version.as_str().unwrap_or_default();
        if reviews[..i].contains(version) {
            errors.invalid(&reviews_at.index(i), name, "duplicate version");
            continue;
        }
        for message in names::dns1035(name) {
            errors.invalid(&reviews_at.index(i), name, &message);
        }
    }
    if recognized && !reviews.iter().any(|v| v == "v1" || v == "v1beta1") {
        errors.invalid(&reviews_at, json!(reviews), "must include at least one of v1, v1beta1");
    }
}

fn validate_status_part(definition: &Value, errors: &mut Errors) {
    validate_status(definition, errors);
    let at = Path::new("status").child("storedVersions");
    let stored = &definition["status"]["storedVersions"];
    let all = list(&definition["status"], "storedVersions");
    if all.is_empty() {
        let shown = if stored.is_array() { json!([]) } else { Value::Null };
        errors.invalid(&at, shown, "must have at least one stored version");
        return;
    }
    let versions = list(&definition["spec"], "versions");
    for version in versions.iter().filter(|v| v["storage"] == true && !all.contains(&v["name"])) {
        errors.invalid(&at, stored.clone(), &format!("must have the storage version {}", text(version, "name")));
    }
    for (i, name) in all.iter().enumerate() {
        if versions.iter().all(|v| v["name"] != *name) {
            let v = name.as_str().unwrap_or_default();
            errors.invalid(&at.index(i), v, &format!(
                "missing from spec.versions; {v} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {v} and removes {v} from status.storedVersions"
            ));
        }
    }
}

/// Whether the community of Kubernetes has approved of an API in its groups.
#[derive(Clone, Copy, PartialEq)]
enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

fn approval(definition: &Value) -> (Approval, String) {
    let given = definition["metadata"]["annotations"][APPROVED].as_str().unwrap_or_default();
    let needed = |how: &str| {
        format!(
            "protected groups must have approval annotation \"{APPROVED}\"{how}, see https://github.com/kubernetes/enhancements/pull/1111"
        )
    };
    if given.is_empty() {
        (Approval::Missing, needed(""))
    } else if given.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {}", quote(given)))
    } else if given
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.starts_with('/') && !rest.is_empty())
    {
        (Approval::Approved, format!("approved in {given}"))
    } else {
        (Approval::Invalid, needed(" with either a URL or a reason starting with \"unapproved\""))
    }
}

fn is_protected(definition: &Value) -> bool {
    let group = text(&definition["spec"], "group");
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn validate_approval(definition: &Value, old: Option<&Value>, errors: &mut Errors) {
    let (state, reason) = approval(definition);
    if !is_protected(definition) || old.is_some_and(|old| approval(old).0 == state) {
        return;
    }
    let at = Path::new("metadata").child("annotations").key(APPROVED);
    match state {
        Approval::Missing => errors.required(&at, &reason),
        Approval::Invalid => errors.invalid(&at, definition["metadata"]["annotations"][APPROVED].clone(), &reason),
        Approval::Approved | Approval::Bypassed => {}
    }
}

fn validate_preserve(spec: &Value, old: Option<&Value>, errors: &mut Errors) {
    let on = |spec: &Value| spec["preserveUnknownFields"] == true;
    if on(spec) && !old.is_some_and(on) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid(&Path::new("spec").child("preserveUnknownFields"), true, why);
    }
}

/// Warnings about formats that constrain nothing, but for those that were there before.
fn warnings(definition: &Value, old: Option<&Value>) -> Vec<String> {
    let unknown = |definition: &Value| {
        let mut found = Vec::new();
        // What all versions have in common counts once.
        let spec = internal::spec(&definition["spec"]);
        for root in all_schemas(&spec) {
            let mut open = vec![root];
            while let Some(schema) = open.pop() {
                let format = text(schema, "format");
                if !format.is_empty() && schema["type"] == "string" && !formats::is_known(format) {
                    found.push(format.to_owned());
                }
                open.extend(structural::children(schema));
            }
        }
        found
    };
    let before = old.map(unknown).unwrap_or_default();
    let new = unknown(definition).into_iter().filter(|format| !before.contains(format));
    new.map(|format| format!("unrecognized format {}", quote(&format))).collect()
}

fn condition<'a>(definition: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&definition["status"], "conditions").iter().find(|c| c["type"] == kind)
}

fn set_condition(definition: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    let new = json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now});
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => {
            let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { now.into() };
            *old = new;
            old["lastTransitionTime"] = since;
        }
        None => conditions.push(new),
    }
}

fn remove_condition(definition: &mut Value, kind: &str) {
    if let Some(conditions) = definition["status"]["conditions"].as_array_mut() {
        conditions.retain(|c| c["type"] != kind);
    }
}

/// The definition with the status that the controllers would write, or nothing if they would leave it as it is. Run it after
/// each write of a definition, and for all others of its group when one was written or deleted: names may have become free.
pub(crate) fn settle(definition: &Value, others: &[Arc<Value>], now: &str) -> Option<Value> {
    let mut out = definition.clone();
    if !out["status"].is_object() {
        out["status"] = empty_status();
    }
    settle_names(&mut out, others, now);
    settle_structure(&mut out, now);
    settle_approval(&mut out, now);
    let accepted = condition(&out, "NamesAccepted").is_some_and(|c| c["status"] == "True");
    let established = condition(&out, "Established").is_some_and(|c| c["status"] == "True");
    if accepted && !established {
        set_condition(&mut out, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now);
    }
    (out != *definition).then_some(out)
}

fn settle_names(definition: &mut Value, others: &[Arc<Value>], now: &str) {
    let wanted = definition["spec"]["names"].clone();
    let accepted = definition["status"]["acceptedNames"].clone();
    if wanted == accepted {
        return;
    }
    let (group, own) = (text(&definition["spec"], "group"), text(&definition["metadata"], "name"));
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in others {
        if text(&other["spec"], "group") != group || text(&other["metadata"], "name") == own {
            continue;
        }
        let names = &other["status"]["acceptedNames"];
        resources.extend([text(names, "plural"), text(names, "singular")]);
        resources.extend(list(names, "shortNames").iter().filter_map(Value::as_str));
        kinds.extend([text(names, "kind"), text(names, "listKind")]);
    }
    let taken = |key: &str, used: &BTreeSet<&str>| {
        let name = text(&wanted, key);
        (name != text(&accepted, key) && used.contains(name)).then(|| format!("{} is already in use", quote(name)))
    };
    let mut names = accepted.clone();
    let mut conflict: Option<(&str, String)> = None;
    let mut keep = |key: &str, why: Option<String>, reason: &'static str| match why {
        Some(why) => conflict = Some((reason, why)),
        None => match wanted.get(key) {
            Some(value) => names[key] = value.clone(),
            None => {
                names.as_object_mut().map(|names| names.remove(key));
            }
        },
    };
    keep("plural", taken("plural", &resources), "PluralConflict");
    keep("singular", taken("singular", &resources), "SingularConflict");
    let short: Vec<_> = list(&wanted, "shortNames")
        .iter()
        .filter(|name| !list(&accepted, "shortNames").contains(name))
        .filter_map(Value::as_str)
        .filter(|name| resources.contains(name))
        .map(|name| format!("{} is already in use", quote(name)))
        .collect();
    let short = match short.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    };
    keep("shortNames", short, "ShortNamesConflict");
    keep("kind", taken("kind", &kinds), "KindConflict");
    keep("listKind", taken("listKind", &kinds), "ListKindConflict");
    keep("categories", None, "");
    let installing = |definition: &mut Value| {
        set_condition(definition, "Established", "False", "Installing", "the initial names have been accepted", now);
    };
    let established = condition(definition, "Established").is_some_and(|c| c["status"] == "True");
    let known = condition(definition, "Established").is_some();
    let (status, reason, message) = match &conflict {
        Some((reason, why)) => ("False", *reason, why.as_str()),
        None => ("True", "NoConflicts", "no conflicts found"),
    };
    set_condition(definition, "NamesAccepted", status, reason, message, now);
    if conflict.is_none() && !established {
        installing(definition);
    } else if !known {
        set_condition(definition, "Established", "False", "NotAccepted", "not all names are accepted", now);
    }
    definition["status"]["acceptedNames"] = names;
}

fn settle_structure(definition: &mut Value, now: &str) {
    let mut errors = Errors::new();
    let spec = &definition["spec"];
    if spec["preserveUnknownFields"] == true {
        errors.invalid(&Path::new("spec").child("preserveUnknownFields"), true, "must be false");
    }
    for (i, version) in list(spec, "versions").iter().enumerate() {
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_object() {
            let path = Path::new("spec").child("versions").index(i).child("schema").child("openAPIV3Schema");
            structural::validate(schema, &path, &mut errors);
        }
    }
    match errors.aggregate() {
        Some(all) => set_condition(definition, "NonStructuralSchema", "True", "Violations", &all, now),
        None => remove_condition(definition, "NonStructuralSchema"),
    }
}

fn settle_approval(definition: &mut Value, now: &str) {
    const KIND: &str = "KubernetesAPIApprovalPolicyConformant";
    if !is_protected(definition) {
        remove_condition(definition, KIND);
        return;
    }
    let (state, message) = approval(definition);
    let (status, reason) = match state {
        Approval::Invalid => ("False", "InvalidAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
    };
    set_condition(definition, KIND, status, reason, &message, now);
}

/// The first step of a deletion: the definition stays, marked, until its objects are gone.
pub(crate) fn begin_deletion(definition: &Value, now: &str) -> Value {
    let mut out = definition.clone();
    let metadata = &mut out["metadata"];
    if metadata["deletionTimestamp"].is_null() {
        metadata["deletionTimestamp"] = now.into();
    }
    match metadata["finalizers"].as_array_mut() {
        Some(list) if list.iter().any(|f| f == CLEANUP) => {}
        Some(list) => list.push(CLEANUP.into()),
        None => metadata["finalizers"] = json!([CLEANUP]),
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(&mut out, "Terminating", "True", "InstanceDeletionPending", message, now);
    out
}

/// While its objects are being deleted.
pub(crate) fn deleting(definition: &Value, now: &str) -> Value {
    let mut out = definition.clone();
    let message = "CustomResource deletion is in progress";
    set_condition(&mut out, "Terminating", "True", "InstanceDeletionInProgress", message, now);
    out
}

/// When they are gone: without the finalizer, so that nothing keeps the definition if there is no other.
pub(crate) fn deleted(definition: &Value, now: &str) -> Value {
    let mut out = definition.clone();
    set_condition(&mut out, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances", now);
    if let Some(list) = out["metadata"]["finalizers"].as_array_mut() {
        list.retain(|f| f != CLEANUP);
    }
    out
}

/// Whether clients may use its resources: the names were accepted once.
pub(crate) fn is_established(definition: &Value) -> bool {
    condition(definition, "Established").is_some_and(|c| c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Definitions, and the causes for which an API server of 1.34.1 refuses them, if it does.
    const RECORDED: &str = include_str!("testdata/definitions.json");

    #[test]
    fn definitions_are_refused_as_the_api_server_does() {
        let cases: Vec<(Value, Vec<Value>, Vec<String>)> = serde_json::from_str(RECORDED).unwrap();
        let mut wrong = Vec::new();
        for (mut definition, expected, warned) in cases {
            default(&mut definition);
            prepare_create(&mut definition);
            let mut errors = Errors::new();
            let name = text(&definition["metadata"], "name");
            for message in names::subdomain(name) {
                errors.invalid(&Path::new("metadata").child("name"), name, &message);
            }
            (RULES.validate)(&definition, &mut errors);
            let sorted = |causes: &Value| {
                let mut all: Vec<_> = causes.as_array().unwrap().iter().map(ToString::to_string).collect();
                all.sort();
                all
            };
            let (expected, actual) = (sorted(&json!(expected)), sorted(&errors.causes()));
            if expected != actual {
                let lines = |all: &[String], other: &[String]| {
                    all.iter().filter(|l| !other.contains(l)).cloned().collect::<Vec<_>>().join("\n")
                };
                wrong.push(format!(
                    "{}\n--- missing\n{}\n--- too many\n{}\n",
                    definition["spec"],
                    lines(&expected, &actual),
                    lines(&actual, &expected)
                ));
            }
            if expected.is_empty() {
                assert_eq!(warnings(&definition, None), warned);
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn plain(plural: &str, kind: &str) -> Value {
        let mut definition = json!({"metadata": {"name": format!("{plural}.g.test")}, "spec": {"group": "g.test", "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        default(&mut definition);
        prepare_create(&mut definition);
        definition
    }

    #[test]
    fn names_are_accepted_once() {
        let now = "2024-01-01T00:00:00Z";
        let first = plain("tests", "Test");
        let first = Arc::new(settle(&first, &[], now).unwrap());
        assert_eq!(settle(&first, &[Arc::clone(&first)], now), None);
        assert!(is_established(&first));
        assert_eq!(
            first["status"],
            json!({
            "acceptedNames": {"kind": "Test", "listKind": "TestList", "plural": "tests", "singular": "test"},
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": now},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted", "lastTransitionTime": now},
            ],
            "storedVersions": ["v1"]})
        );
        let second = settle(&plain("others", "Test"), &[first], now).unwrap();
        assert!(!is_established(&second));
        assert_eq!(second["status"]["conditions"][0]["message"], "\"TestList\" is already in use");
        assert_eq!(second["status"]["acceptedNames"], json!({"kind": "", "plural": "others"}));
    }
}
