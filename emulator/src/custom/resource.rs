//! One version of a custom resource: what happens to its objects on their way in, and how they are shown
//! (`pkg/registry/customresource`).

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::columns::{self, Column};
use super::jsonpath::JsonPath;
use super::rules::{self, Findings};
use super::schema::Schema;
use super::{embedded, shape, validate};
use crate::field::{Errors, Path};
use crate::schema::Types;
use crate::status::Refusal;

/// A version of a CustomResourceDefinition, ready to be served.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    /// The API group.
    pub(crate) group: String,
    /// The version: `v1`.
    pub(crate) version: String,
    /// The kind of its objects.
    pub(crate) kind: String,
    /// The kind of its lists.
    pub(crate) list_kind: String,
    /// The resource's name in paths.
    pub(crate) plural: String,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Whether clients may use this version.
    pub(crate) served: bool,
    /// Whether objects are stored in this version.
    pub(crate) storage: bool,
    /// Why its objects cannot be had: they are stored in another version, and webhooks that convert are not called.
    pub(crate) unconvertible: Option<Refusal>,
    /// What to warn of when it is used, if it is deprecated.
    pub(crate) deprecation: Option<String>,
    /// Whether it has `…/status`.
    pub(crate) status: bool,
    /// Whether it has `…/scale`, and where that takes its numbers from.
    pub(crate) scale: Option<Scale>,
    /// Its types, for merging and for field management.
    pub(crate) types: Arc<Types>,
    schema: Schema,
    rules: Option<rules::Validator>,
    preserve_unknown: bool,
    columns: Vec<Column>,
    selectable: Vec<(String, JsonPath)>,
}

/// Where the scale of an object is, as paths without their leading dots.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    spec: String,
    status: String,
    selector: Option<String>,
}

/// An object as its schema lets it through.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// The object without what the schema does not know.
    pub(crate) object: Value,
    /// The paths that were dropped, in order; with `fieldValidation` they are `unknown field "spec.x"`.
    pub(crate) unknown: Vec<String>,
    /// Why it cannot be handled at all: an embedded object that is none. A bad request.
    pub(crate) malformed: Option<String>,
}

impl CustomVersion {
    /// The versions of a CustomResourceDefinition that was accepted, those not served too, in the definition's order.
    pub(crate) fn all(definition: &Value) -> Vec<Self> {
        let spec = &definition["spec"];
        let versions = spec["versions"].as_array().into_iter().flatten();
        let mut versions: Vec<_> = versions.map(|version| Self::new(spec, version)).collect();
        if spec["conversion"]["strategy"] == "Webhook" {
            for version in versions.iter_mut().filter(|v| !v.storage) {
                let (plural, group, version_name) = (&version.plural, &version.group, &version.version);
                let why = format!("{plural}.{group} in version {version_name} need a conversion webhook, which is not emulated");
                version.unconvertible = Some(Refusal::internal(&why));
            }
        }
        versions
    }

    fn new(spec: &Value, version: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // Names as accepted: they stay those that clients know when a change of them is in conflict.
        let names = &spec["names"];
        let (group, name, kind) = (text(&spec["group"]), text(&version["name"]), text(&names["kind"]));
        let scale = version["subresources"]["scale"].as_object().map(|scale| {
            let path = |key: &str| scale.get(key).and_then(Value::as_str).map(|p| p.strip_prefix('.').unwrap_or(p).to_owned());
            Scale {
                spec: path("specReplicasPath").unwrap_or_default(),
                status: path("statusReplicasPath").unwrap_or_default(),
                selector: path("labelSelectorPath").filter(|p| !p.is_empty()),
            }
        });
        let deprecation = (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
            Some(given) => given.to_owned(),
            None => format!("{group}/{name} {kind} is deprecated"),
        });
        let selectable = version["selectableFields"].as_array().into_iter().flatten().filter_map(|field| {
            let path = field["jsonPath"].as_str()?;
            Some((path.strip_prefix('.').unwrap_or(path).to_owned(), JsonPath::parse(path).ok()?))
        });
        let openapi = &version["schema"]["openAPIV3Schema"];
        let schema = Schema::parse(openapi);
        Self {
            selectable: selectable.collect(),
            list_kind: text(&names["listKind"]),
            plural: text(&names["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            served: version["served"] == true,
            storage: version["storage"] == true,
            unconvertible: None,
            deprecation,
            status: version["subresources"]["status"].is_object(),
            scale,
            types: Arc::new(Types::from_schema(openapi)),
            rules: rules::Validator::new(&schema, true),
            schema,
            preserve_unknown: spec["preserveUnknownFields"] == true,
            columns: columns::columns(version),
            group,
            version: name,
            kind,
        }
    }

    /// What decoding does: drops what the schema does not know (but for kind, apiVersion and metadata, which are the
    /// caller's), and nulls that are no values. Done to what clients send, to the results of patches and to what was stored.
    pub(crate) fn shape(&self, mut object: Value) -> Shaped {
        let mut unknown = Vec::new();
        if !self.preserve_unknown {
            unknown = shape::prune(&mut object, &self.schema, true);
            shape::drop_nulls(&mut object, Some(&self.schema));
        }
        let malformed = embedded::coerce(&mut object, &self.schema, &mut unknown).err();
        whole_numbers(&mut object);
        Shaped { object, unknown, malformed }
    }

    /// Fills in the schema's defaults: after [`Self::shape`], and whenever an object is read.
    pub(crate) fn default(&self, object: &mut Value) {
        shape::default(object, &self.schema);
    }

    /// Before a create is validated.
    pub(crate) fn prepare_create(&self, object: &mut Value) {
        if let Some(map) = object.as_object_mut() {
            if self.status {
                map.remove("status");
            }
            set_generation(map, 1);
        }
    }

    /// Before an update of the main resource is validated.
    pub(crate) fn prepare_update(&self, old: &Value, new: &mut Value) {
        let Some(map) = new.as_object_mut() else { return };
        if self.status {
            match old.get("status") {
                Some(status) => map.insert("status".to_owned(), status.clone()),
                None => map.remove("status"),
            };
        }
        let rest = |key: &String| key != "metadata";
        let same = old.as_object().is_some_and(|old| {
            old.keys().filter(|key| rest(key)).count() == map.keys().filter(|key| rest(key)).count()
                && map.iter().filter(|(key, _)| rest(key)).all(|(key, value)| old.get(key) == Some(value))
        });
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        set_generation(map, if same { generation } else { generation + 1 });
    }

    /// Before an update through `…/status` is validated: nothing but the status and the managed fields may change.
    pub(crate) fn prepare_status(&self, old: &Value, new: &mut Value) {
        let status = new.get_mut("status").map(Value::take);
        let managed = new["metadata"].get_mut("managedFields").map(Value::take);
        let mut kept = old.clone();
        if let Some(map) = kept.as_object_mut() {
            match status {
                Some(status) => map.insert("status".to_owned(), status),
                None => map.remove("status"),
            };
        }
        if let Some(metadata) = kept["metadata"].as_object_mut() {
            match managed {
                Some(managed) => metadata.insert("managedFields".to_owned(), managed),
                None => metadata.remove("managedFields"),
            };
        }
        *new = kept;
    }

    /// Validates a create. `meta` are the errors about its metadata, which come first.
    pub(crate) fn validate(&self, object: &Value, meta: Errors) -> Errors {
        let mut errors = self.type_meta(object);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(meta);
        validate::validate(&self.schema, object, None, &Path::root(), &mut errors);
        self.scale_spec(object, &mut errors);
        self.scale_status(object, &mut errors);
        embedded::validate(object, &self.schema, &Path::root(), &mut errors);
        validate::validate_lists(&self.schema, object, &Path::root(), &mut errors);
        self.rules(object, None, &mut errors, &mut Vec::new());
        errors
    }

    /// Validates an update of the main resource; rules that are broken as they were before only warn.
    pub(crate) fn validate_update(&self, old: &Value, object: &Value, meta: Errors) -> Errors {
        let mut errors = self.type_meta(object);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(meta);
        validate::validate(&self.schema, object, Some(old), &Path::root(), &mut errors);
        self.scale_spec(object, &mut errors);
        self.scale_status(object, &mut errors);
        embedded::validate(object, &self.schema, &Path::root(), &mut errors);
        self.lists_update(old, object, &mut errors);
        self.rules(object, Some(old), &mut errors, &mut Vec::new());
        errors
    }

    /// Validates an update through `…/status`.
    pub(crate) fn validate_status(&self, old: &Value, object: &Value, meta: Errors) -> Errors {
        let mut errors = self.type_meta(object);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(meta);
        if let (Some(status), Some(schema)) = (object.get("status"), self.schema.properties.get("status")) {
            validate::validate(schema, status, old.get("status"), &Path::new("status"), &mut errors);
        }
        self.scale_status(object, &mut errors);
        self.lists_update(old, object, &mut errors);
        self.rules(object, Some(old), &mut errors, &mut Vec::new());
        errors
    }

    /// Lists that were not sets or maps before need not become such.
    fn lists_update(&self, old: &Value, object: &Value, errors: &mut Errors) {
        let mut before = Errors::new();
        validate::validate_lists(&self.schema, old, &Path::root(), &mut before);
        if before.is_empty() {
            validate::validate_lists(&self.schema, object, &Path::root(), errors);
        }
    }

    fn rules(&self, object: &Value, old: Option<&Value>, errors: &mut Errors, warnings: &mut Vec<String>) {
        let Some(rules) = &self.rules else { return };
        if errors.iter().any(|e| validate::is_blocking(e.kind)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.invalid(&Path::root(), Value::Null, why);
            return;
        }
        let mut budget = rules::BUDGET;
        rules.validate(&self.schema, object, old, &Path::root(), &mut budget, &mut Findings { errors, warnings });
    }

    fn type_meta(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let api_version = format!("{}/{}", self.group, self.version);
        for (field, wanted) in [("kind", self.kind.as_str()), ("apiVersion", api_version.as_str())] {
            let given = object[field].as_str().unwrap_or_default();
            if given != wanted {
                errors.invalid(&Path::new(field), given, &format!("must be {wanted}"));
            }
        }
        errors
    }

    fn scale_spec(&self, object: &Value, errors: &mut Errors) {
        if let Some(scale) = &self.scale {
            check_replicas(object, &scale.spec, errors);
        }
    }

    fn scale_status(&self, object: &Value, errors: &mut Errors) {
        let Some(scale) = &self.scale else { return };
        check_replicas(object, &scale.status, errors);
        if let Some(path) = &scale.selector
            && let Err(why) = nested(object, path, "string", Value::as_str)
        {
            errors.invalid(&Path::new(&format!(".{path}")), "", &why);
        }
    }

    /// Warnings about an object's finalizers, those that `old` had already left out, and, in an update, about rules that it
    /// breaks as it did before. Without those for an update through `…/status`, where there are none of the former.
    pub(crate) fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let finalizers = |object: &Value| -> Vec<String> {
            let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let before = old.map(finalizers).unwrap_or_default();
        let mut new: Vec<_> = finalizers(object).into_iter().filter(|name| !before.contains(name)).collect();
        new.sort();
        new.dedup();
        let mut warnings = new.iter().filter_map(|name| finalizer_warning(name)).collect();
        if let Some(old) = old {
            self.rules(object, Some(old), &mut Errors::new(), &mut warnings);
        }
        warnings
    }

    /// The values of `selectableFields`: `("spec.color", "blue")`; missing ones are empty.
    pub(crate) fn fields(&self, object: &Value) -> Vec<(String, String)> {
        let value = |path: &JsonPath| {
            let found = path.find(object).unwrap_or_default();
            found.first().filter(|v| !v.is_null()).map(|v| columns::printed(v)).unwrap_or_default()
        };
        self.selectable.iter().map(|(name, path)| (name.clone(), value(path))).collect()
    }

    /// The names of `selectableFields`: those that a field selector may name beside metadata's.
    pub(crate) fn selectable_fields(&self) -> impl Iterator<Item = &str> {
        self.selectable.iter().map(|(name, _)| name.as_str())
    }

    /// `columnDefinitions` of its tables.
    pub(crate) fn column_definitions(&self) -> Value {
        columns::definitions(&self.columns)
    }

    /// The cells of an object's row.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        columns::cells(&self.columns, object, now)
    }

    /// `…/scale` of an object, without managed fields, and whether the object says how many replicas it wants.
    pub(crate) fn scale_of(&self, object: &Value) -> Result<(Value, bool), Refusal> {
        let Some(scale) = &self.scale else {
            return Err(Refusal::new(404, "NotFound", "the server could not find the requested resource"));
        };
        let failed = |why: String| Refusal::new(500, "", why);
        let wanted = nested(object, &scale.spec, "int64", Value::as_i64).map_err(failed)?;
        let actual = nested(object, &scale.status, "int64", Value::as_i64).map_err(failed)?;
        let selector = match &scale.selector {
            Some(path) => nested(object, path, "string", Value::as_str).map_err(failed)?,
            None => None,
        };
        let mut metadata = Map::new();
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(key) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
        let mut spec = Map::new();
        if let Some(replicas) = wanted.filter(|n| *n != 0) {
            spec.insert("replicas".to_owned(), replicas.into());
        }
        let mut status = Map::from_iter([("replicas".to_owned(), actual.unwrap_or(0).into())]);
        if let Some(selector) = selector.filter(|s| !s.is_empty()) {
            status.insert("selector".to_owned(), selector.into());
        }
        let out = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status});
        Ok((out, wanted.is_some()))
    }

    /// What a GET of `…/scale` answers.
    pub(crate) fn get_scale(&self, object: &Value) -> Result<Value, Refusal> {
        let (scale, found) = self.scale_of(object)?;
        if found {
            return Ok(scale);
        }
        let path = self.scale.as_ref().map(|s| format!(".{}", s.spec)).unwrap_or_default();
        Err(Refusal::internal(&format!("the spec replicas field \"{path}\" does not exist")))
    }

    /// An object with what was written to its `…/scale`.
    pub(crate) fn set_scale(&self, object: &Value, scale: &Value) -> Result<Value, Refusal> {
        let mut object = object.clone();
        let Some(paths) = &self.scale else { return Ok(object) };
        let mut at = &mut object;
        let names: Vec<_> = paths.spec.split('.').collect();
        for (i, name) in names.iter().enumerate() {
            let Some(map) = at.as_object_mut() else {
                let why = format!("value cannot be set because .{} is not a map[string]interface{{}}", names[..i].join("."));
                return Err(Refusal::new(500, "", why));
            };
            at = map.entry((*name).to_owned()).or_insert_with(|| json!({}));
        }
        *at = scale["spec"]["replicas"].as_i64().unwrap_or(0).into();
        if let Some(version) = scale["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty()) {
            object["metadata"]["resourceVersion"] = version.into();
        }
        Ok(object)
    }

    /// The paths that `…/scale` maps to each other, for field management: the object's and the scale's.
    pub(crate) fn scale_mapping(&self) -> Option<Vec<String>> {
        self.scale.as_ref().map(|s| s.spec.split('.').map(str::to_owned).collect())
    }

    /// An object of another version of the same resource as one of this: with the strategy `None` only its apiVersion differs.
    pub(crate) fn adopt(&self, object: &mut Value) {
        object["apiVersion"] = format!("{}/{}", self.group, self.version).into();
    }
}

/// Go writes a float without a fraction as an integer, and reads it back as one.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let whole = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9.0e15);
            #[allow(clippy::cast_possible_truncation)] // It is whole and small enough.
            if let Some(f) = whole {
                *value = (f as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

fn set_generation(object: &mut Map<String, Value>, generation: i64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("generation".to_owned(), generation.into());
    }
}

/// A value at a path of field names; `None` when it is not there.
fn nested<'a, T>(object: &'a Value, path: &str, kind: &str, read: fn(&'a Value) -> Option<T>) -> Result<Option<T>, String> {
    let go = |value: &Value| match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let mut at = object;
    let names: Vec<_> = path.split('.').collect();
    for (i, name) in names.iter().enumerate() {
        match at {
            Value::Null => return Ok(None),
            Value::Object(map) => match map.get(*name) {
                Some(below) => at = below,
                None => return Ok(None),
            },
            other => {
                let (value, kind) = (columns::printed(other), go(other));
                let path = names[..=i].join(".");
                return Err(format!(".{path} accessor error: {value} is of the type {kind}, expected map[string]interface{{}}"));
            }
        }
    }
    match read(at) {
        Some(value) => Ok(Some(value)),
        None => Err(format!(".{path} accessor error: {} is of the type {}, expected {kind}", columns::printed(at), go(at))),
    }
}

fn check_replicas(object: &Value, path: &str, errors: &mut Errors) {
    let at = Path::new(&format!(".{path}"));
    match nested(object, path, "int64", Value::as_i64) {
        Err(why) => errors.invalid(&at, 0, &why),
        Ok(Some(n)) if n < 0 => errors.invalid(&at, n, "should be a non-negative integer"),
        Ok(Some(n)) if n > i64::from(i32::MAX) => {
            errors.invalid(&at, n, &format!("should be less than or equal to {}", i32::MAX));
        }
        Ok(_) => {}
    }
}

fn finalizer_warning(name: &str) -> Option<String> {
    if name.contains('/') || ["orphan", "foregroundDeletion", "kubernetes"].contains(&name) {
        return None;
    }
    let how = if name.contains('.') { " name including a path (/)" } else { " name" };
    Some(format!(
        "metadata.finalizers: \"{name}\": prefer a domain-qualified finalizer{how} to avoid accidental conflicts with other finalizer writers"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A definition; objects, created on an API server of 1.34.1, with the causes for which it refused them or what it made of
    /// them; and updates from one to another.
    const RECORDED: &str = include_str!("testdata/objects.json");

    fn version(recorded: &Value) -> CustomVersion {
        CustomVersion::all(&recorded["definition"]).remove(0)
    }

    fn sorted(causes: &Value) -> Vec<String> {
        let mut all: Vec<_> = causes.as_array().unwrap().iter().map(ToString::to_string).collect();
        all.sort();
        all
    }

    fn difference(what: &Value, expected: &Value, actual: &Value) -> Option<String> {
        let (expected, actual) = (sorted(expected), sorted(actual));
        let lines =
            |all: &[String], other: &[String]| all.iter().filter(|l| !other.contains(l)).cloned().collect::<Vec<_>>().join("\n");
        (expected != actual)
            .then(|| format!("{what}\n--- missing\n{}\n--- too many\n{}\n", lines(&expected, &actual), lines(&actual, &expected)))
    }

    #[test]
    fn objects_are_refused_as_the_api_server_does() {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let version = version(&recorded);
        let mut wrong = Vec::new();
        for case in recorded["creates"].as_array().unwrap() {
            let mut object = version.shape(case[0].clone()).object;
            version.default(&mut object);
            version.prepare_create(&mut object);
            let errors = version.validate(&object, Errors::new());
            wrong.extend(difference(&case[0], &case[1], &errors.causes()));
            if case[1] == json!([]) {
                object.as_object_mut().unwrap().remove("metadata");
                assert_eq!(object, case[2]);
            }
        }
        for case in recorded["updates"].as_array().unwrap() {
            let errors = version.validate_update(&case[0], &case[1], Errors::new());
            wrong.extend(difference(&case[1], &case[2], &errors.causes()));
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}
