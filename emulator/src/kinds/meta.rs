//! What holds for the metadata of every kind, built in or custom (apimachinery's `api/validation/objectmeta.go`, the API server's
//! `registry/rest/{create,update,meta}.go`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Rules;
use super::names;
use super::view::{flag, go_strings, immutable, int, list, object, put, text};
use crate::field::{Errors, Path, quote};
use crate::status::Refusal;

/// The bytes that annotations may take, keys included.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
/// The fields of an owner reference in the order in which Go prints them.
const OWNER_FIELDS: [&str; 6] = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];

/// The part of an object that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Status,
    /// Of a pod.
    EphemeralContainers,
    /// Of a pod.
    Resize,
    /// Of a pod: the node that it runs on.
    Binding,
    /// Of a certificate request.
    Approval,
    /// Of a namespace: its own finalizers.
    Finalize,
}

/// Drops what only the server sets (`WipeObjectMetaSystemFields`): done to a new object before anything else.
pub(crate) fn wipe(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
    }
}

/// The present time as `metav1.Time` is written.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Gives a new object its identity (`FillObjectMetaSystemFields`) and, where it asks for one, a name.
pub(crate) fn fill(value: &mut Value, now: &str) {
    let Some(metadata) = object(value, "metadata") else { return };
    metadata.insert("creationTimestamp".into(), now.into());
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    let base = metadata.get("generateName").map_or("", text);
    if !base.is_empty() && metadata.get("name").map_or("", text).is_empty() {
        let name = generate_name(base);
        metadata.insert("name".into(), name.into());
    }
}

/// A name with a random ending (`names.SimpleNameGenerator`).
pub(crate) fn generate_name(base: &str) -> String {
    let end = base.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|&end| end <= 58).last().unwrap_or(0);
    format!("{}{}", &base[..end], random_suffix(5))
}

/// Characters of which no words are made, as names end in them.
pub(crate) fn random_suffix(length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    let bytes = random.as_bytes().iter().cycle().take(length);
    bytes.map(|&b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// A number below the bound.
pub(crate) fn random_number(below: u32) -> u32 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The first 48 bits of such a UUID are random.
    u32::try_from((high >> 16) % u64::from(below.max(1))).unwrap_or_default()
}

/// The object lands in the namespace of the request, "" for cluster-scoped kinds (`EnsureObjectNamespaceMatchesRequestNamespace`).
pub(crate) fn ensure_namespace(value: &mut Value, namespace: &str) -> Result<(), Refusal> {
    let present = text(&value["metadata"]["namespace"]);
    if present == namespace {
        return Ok(());
    }
    if !present.is_empty() && !namespace.is_empty() {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if let Some(metadata) = object(value, "metadata") {
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".into(), namespace.into());
        }
    }
    Ok(())
}

/// `BeforeCreate`: prepares and validates a new object that has its identity and namespace.
pub(crate) fn before_create(rules: &Rules, value: &mut Value, namespaced: bool) -> Result<(), Errors> {
    (rules.prepare_create)(value);
    let mut errors = Errors::new();
    validate(value, namespaced, rules.name, &mut errors);
    (rules.validate)(value, &mut errors);
    if errors.is_empty() {
        validate_plain(value, namespaced, names::path_segment, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    (rules.canonicalize)(value);
    Ok(())
}

/// `BeforeUpdate`: prepares and validates an update of an object or of its status.
pub(crate) fn before_update(rules: &Rules, part: Part, old: &Value, new: &mut Value, namespaced: bool) -> Result<(), Errors> {
    let (prepare, check) = match part {
        Part::Whole => (rules.prepare_update, rules.validate_update),
        Part::Status => (rules.prepare_status, rules.validate_status),
        Part::EphemeralContainers => (
            super::pod::prepare_ephemeral_containers as fn(&Value, &mut Value),
            super::pod::validate_ephemeral_containers_update as fn(&Value, &Value, &mut Errors),
        ),
        Part::Resize => {
            (super::pod::prepare_resize as fn(&Value, &mut Value), super::pod::validate_resize as fn(&Value, &Value, &mut Errors))
        }
        // What changes these has made sure of what they may change.
        Part::Binding | Part::Finalize => (Rules::PLAIN.prepare_update, (|_, _, _| {}) as fn(&Value, &Value, &mut Errors)),
        Part::Approval => (super::certificates::APPROVAL.prepare_update, super::certificates::APPROVAL.validate_update),
    };
    keep_generation(old, new);
    prepare(old, new);
    keep_system_fields(old, new);
    let mut errors = Errors::new();
    validate_plain(new, namespaced, names::path_segment, &mut errors);
    validate_plain_update(old, new, &mut errors);
    check(old, new, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    (rules.canonicalize)(new);
    Ok(())
}

/// An update starts from the generation that was; its strategy raises it.
pub(crate) fn keep_generation(old: &Value, new: &mut Value) {
    let Some(metadata) = object(new, "metadata") else { return };
    match old["metadata"].get("generation") {
        Some(generation) => metadata.insert("generation".into(), generation.clone()),
        None => metadata.remove("generation"),
    };
}

/// What the server alone sets stays as it is, whatever an update says.
pub(crate) fn keep_system_fields(old: &Value, new: &mut Value) {
    let was = &old["metadata"];
    let keep = |new: &mut Value, fields: &[&str], always: bool| {
        let Some(metadata) = object(new, "metadata") else { return };
        for &field in fields {
            match was.get(field) {
                Some(value) if always || metadata.get(field).is_none_or(|v| v.is_null() || text(v).is_empty()) => {
                    metadata.insert(field.to_owned(), value.clone());
                }
                Some(_) | None => {}
            }
        }
    };
    keep(new, &["creationTimestamp", "deletionTimestamp"], true);
    keep(new, &["uid"], false);
    if new["metadata"]["deletionGracePeriodSeconds"].is_null()
        && let Some(metadata) = new.get_mut("metadata")
    {
        put(metadata, "deletionGracePeriodSeconds", was["deletionGracePeriodSeconds"].clone());
    }
}

/// `ValidateObjectMeta` of most built-in kinds (`pkg/apis/core/validation`), where finalizers are known or have a domain: of a new
/// object, or of one that is validated whole.
pub(crate) fn validate(object: &Value, namespaced: bool, name: fn(&str, bool) -> Vec<String>, errors: &mut Errors) {
    validate_plain(object, namespaced, name, errors);
    known_finalizers(object, errors);
}

/// The same of any kind (apimachinery's).
pub(crate) fn validate_plain(object: &Value, namespaced: bool, name: fn(&str, bool) -> Vec<String>, errors: &mut Errors) {
    validate_at(&object["metadata"], namespaced, name, &Path::new("metadata"), errors);
}

fn known_finalizers(object: &Value, errors: &mut Errors) {
    let path = Path::new("metadata").child("finalizers");
    for (i, finalizer) in list(&object["metadata"]["finalizers"]).iter().map(text).enumerate() {
        validate_known_finalizer(finalizer, &path.index(i), errors);
    }
}

/// validateKubeFinalizerName.
pub(crate) fn validate_known_finalizer(name: &str, path: &Path, errors: &mut Errors) {
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// The same of any metadata.
pub(crate) fn validate_at(
    metadata: &Value,
    namespaced: bool,
    name: fn(&str, bool) -> Vec<String>,
    path: &Path,
    errors: &mut Errors,
) {
    let base = text(&metadata["generateName"]);
    if !base.is_empty() {
        for wrong in name(base, true) {
            errors.invalid(&path.child("generateName"), base, &wrong);
        }
    }
    match text(&metadata["name"]) {
        "" => errors.required(&path.child("name"), "name or generateName is required"),
        given => {
            for wrong in name(given, false) {
                errors.invalid(&path.child("name"), given, &wrong);
            }
        }
    }
    match (namespaced, text(&metadata["namespace"])) {
        (true, "") => errors.required(&path.child("namespace"), ""),
        (true, namespace) => {
            for wrong in names::label(namespace) {
                errors.invalid(&path.child("namespace"), namespace, &wrong);
            }
        }
        (false, "") => {}
        (false, _) => errors.forbidden(&path.child("namespace"), "not allowed on this type"),
    }
    let generation = int(&metadata["generation"]);
    if generation < 0 {
        errors.invalid(&path.child("generation"), generation, "must be greater than or equal to 0");
    }
    labels_to_owners(metadata, path, errors);
    finalizers(&metadata["finalizers"], &path.child("finalizers"), errors);
    managed_fields(&metadata["managedFields"], &path.child("managedFields"), errors);
}

/// `ValidateObjectMetaUpdate` of most built-in kinds, which look at the finalizers' names.
pub(crate) fn validate_update(old: &Value, new: &Value, errors: &mut Errors) {
    validate_plain_update(old, new, errors);
    known_finalizers(new, errors);
}

/// The same of any kind.
pub(crate) fn validate_plain_update(old: &Value, new: &Value, errors: &mut Errors) {
    let (old, new, path) = (&old["metadata"], &new["metadata"], Path::new("metadata"));
    if !old["deletionTimestamp"].is_null() {
        let had: BTreeSet<_> = list(&old["finalizers"]).iter().map(text).collect();
        let extra: BTreeSet<_> = list(&new["finalizers"]).iter().map(text).filter(|f| !had.contains(f)).collect();
        if !extra.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                go_strings(extra.into_iter())
            );
            errors.forbidden(&path.child("finalizers"), &detail);
        }
    }
    if text(&new["resourceVersion"]).is_empty() {
        errors.invalid(&path.child("resourceVersion"), "", "must be specified for an update");
    }
    let generation = int(&new["generation"]);
    if generation < int(&old["generation"]) {
        errors.invalid(&path.child("generation"), generation, "must not be decremented");
    }
    for field in ["name", "namespace", "uid"] {
        if text(&old[field]) != text(&new[field]) {
            errors.invalid(&path.child(field), text(&new[field]), "field is immutable");
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(&old[field], &new[field], &path.child(field), errors);
    }
    labels_to_owners(new, &path, errors);
    managed_fields(&new["managedFields"], &path.child("managedFields"), errors);
}

fn labels_to_owners(metadata: &Value, path: &Path, errors: &mut Errors) {
    names::validate_labels(&metadata["labels"], &path.child("labels"), errors);
    annotations(&metadata["annotations"], &path.child("annotations"), errors);
    owners(&metadata["ownerReferences"], &path.child("ownerReferences"), errors);
}

/// ValidateAnnotations.
pub(crate) fn annotations(annotations: &Value, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        for wrong in names::qualified(&key.to_lowercase()) {
            errors.invalid(path, key.as_str(), &wrong);
        }
        size += key.len() + text(value).len();
    }
    if size > ANNOTATIONS_LIMIT {
        errors.too_long(path, ANNOTATIONS_LIMIT);
    }
}

fn owners(owners: &Value, path: &Path, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for owner in list(owners) {
        let [api_version, kind, name, uid] = ["apiVersion", "kind", "name", "uid"].map(|field| text(&owner[field]));
        // ParseGroupVersion: what does not parse has no version.
        let version = match api_version.split('/').collect::<Vec<_>>()[..] {
            [version] | [_, version] => version,
            _ => "",
        };
        if version.is_empty() {
            errors.invalid(&path.child("apiVersion"), api_version, "version must not be empty");
        }
        for (field, value) in [("kind", kind), ("name", name), ("uid", uid)] {
            if value.is_empty() {
                errors.invalid(&path.child(field), value, "must not be empty");
            }
        }
        if (api_version, kind) == ("v1", "Event") {
            super::view::invalid_shown(errors, path, &owner_text(owner), "/v1, Kind=Event is disallowed from being an owner");
        }
        if flag(&owner["controller"]) {
            let this = format!("{kind}/{name}");
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let shown: Vec<_> = list(owners).iter().map(owner_text).collect();
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    super::view::invalid_shown(errors, path, &format!("[{}]", shown.join(",")), &detail);
                }
            }
        }
    }
}

fn owner_text(owner: &Value) -> String {
    let empty = Map::new();
    let owner = owner.as_object().unwrap_or(&empty);
    let fields = OWNER_FIELDS.iter().filter_map(|&f| Some(format!("{}:{}", quote(f), owner.get(f)?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn finalizers(finalizers: &Value, path: &Path, errors: &mut Errors) {
    let all: Vec<_> = list(finalizers).iter().map(text).collect();
    for finalizer in &all {
        for wrong in names::qualified(finalizer) {
            errors.invalid(path, *finalizer, &wrong);
        }
    }
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, finalizers.clone(), detail);
    }
}

/// ValidateManagedFields.
fn managed_fields(entries: &Value, path: &Path, errors: &mut Errors) {
    for (i, entry) in list(entries).iter().enumerate() {
        let path = path.index(i);
        let operation = text(&entry["operation"]);
        if !matches!(operation, "Apply" | "Update") {
            errors.invalid(&path.child("operation"), operation, "must be `Apply` or `Update`");
        }
        let kind = text(&entry["fieldsType"]);
        if !matches!(kind, "" | "FieldsV1") {
            errors.invalid(&path.child("fieldsType"), kind, "must be `FieldsV1`");
        }
        field_manager(text(&entry["manager"]), &path.child("manager"), errors);
        if text(&entry["subresource"]).len() > 256 {
            errors.too_long(&path.child("subresource"), 256);
        }
    }
}

/// ValidateFieldManager, for the query parameter too.
pub(crate) fn field_manager(manager: &str, path: &Path, errors: &mut Errors) {
    if manager.len() > 128 {
        errors.too_long(path, 128);
    }
    for (at, c) in manager.char_indices() {
        if c.is_control() || (c.is_whitespace() && c != ' ') || c == char::REPLACEMENT_CHARACTER {
            let shown = if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) };
            errors.invalid(path, manager, &format!("invalid character {shown} (at position {at})"));
        }
    }
}

/// ValidateConditions of `metav1.Condition`s.
pub(crate) fn conditions(conditions: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, condition) in list(conditions).iter().enumerate() {
        let path = path.index(i);
        let kind = text(&condition["type"]);
        if !seen.insert(kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        names::validate_label_name(kind, &path.child("type"), errors);
        let status = text(&condition["status"]);
        if !matches!(status, "True" | "False" | "Unknown") {
            errors.not_supported(&path.child("status"), status, &["False", "True", "Unknown"]);
        }
        let generation = int(&condition["observedGeneration"]);
        if generation < 0 {
            errors.invalid(&path.child("observedGeneration"), generation, "must be greater than or equal to zero");
        }
        if text(&condition["lastTransitionTime"]).is_empty() {
            errors.required(&path.child("lastTransitionTime"), "");
        }
        let reason = text(&condition["reason"]);
        if reason.is_empty() {
            errors.required(&path.child("reason"), "");
        } else {
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
            let good = reason.starts_with(|c: char| c.is_ascii_alphabetic())
                && reason.chars().all(inner)
                && reason.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if !good {
                let wrong = names::regex_error(
                    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                     characters or '_,:', and must end with an alphanumeric character or '_'",
                    "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
                    &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
                );
                errors.invalid(&path.child("reason"), reason, &wrong);
            }
            if reason.len() > 1024 {
                errors.too_long(&path.child("reason"), 1024);
            }
        }
        if text(&condition["message"]).len() > 32 * 1024 {
            errors.too_long(&path.child("message"), 32 * 1024);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(metadata: Value) -> String {
        let mut errors = Errors::new();
        validate(&json!({"metadata": metadata}), true, names::dns1123_subdomain, &mut errors);
        errors.aggregate().unwrap_or_default()
    }

    #[test]
    fn a_name_is_required() {
        assert_eq!(messages(json!({"namespace": "d"})), "metadata.name: Required value: name or generateName is required");
    }

    #[test]
    fn owners_are_complete() {
        let owners = json!([{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "u"}]);
        assert_eq!(
            messages(json!({"namespace": "d", "name": "a", "ownerReferences": owners})),
            "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"a\",\"uid\":\"u\"}: \
             /v1, Kind=Event is disallowed from being an owner"
        );
    }

    #[test]
    fn an_update_keeps_what_the_server_set() {
        let old = json!({"metadata": {"name": "a", "namespace": "d", "uid": "u", "creationTimestamp": "t", "resourceVersion": "1",
                                      "generation": 2}});
        let mut new = json!({"metadata": {"name": "a", "namespace": "d", "resourceVersion": "1", "generation": 7}});
        before_update(&Rules::PLAIN, Part::Whole, &old, &mut new, true).unwrap();
        assert_eq!(old, new);
    }

    #[test]
    fn names_are_generated() {
        let name = generate_name(&"a".repeat(80));
        assert_eq!(name.len(), 63);
    }
}
