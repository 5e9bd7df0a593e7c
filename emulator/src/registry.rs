//! What the cluster serves: built-in resources, and those that definitions add while it runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::discovery::Discovery;
use crate::api::openapi::Documents;
use crate::cluster::Cluster;
use crate::custom::CustomVersion;
use crate::field::Errors;
use crate::kinds::meta::{self, Part};
use crate::kinds::{self, Rules};
use crate::merge::apply::{self, Manager, Versions};
use crate::schema::codec;
use crate::schema::table::{Resource, builtin};
use crate::schema::{Type, Types};
use crate::selector::fields;
use crate::status::Refusal;
use crate::store::{Key, Stored};
use crate::verbs::Call;

/// What can be done to a subresource.
#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    pub(crate) verbs: Vec<String>,
}

enum Form {
    BuiltIn {
        ty: Option<Type<'static>>,
        rules: &'static Rules,
    },
    Custom {
        version: Arc<CustomVersion>,
        /// The version that its objects are stored in.
        storage: Arc<CustomVersion>,
    },
}

/// One resource in one version.
pub(crate) struct Served {
    pub(crate) group: String,
    pub(crate) version: String,
    /// The plural.
    pub(crate) resource: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    verbs: Vec<String>,
    pub(crate) subresources: BTreeMap<String, Subresource>,
    /// Where its objects are stored, whatever the version: `deployments.apps`.
    pub(crate) table: Arc<str>,
    api_version: String,
    /// An object of which nothing is set, as the server would write it.
    empty: Value,
    /// The `apiVersion` in which objects are stored.
    storage: String,
    /// The versions of a custom resource, with their types.
    versions: Arc<[(String, Arc<Types>)]>,
    /// Its definition is being deleted: nothing is added any more.
    pub(crate) terminating: bool,
    form: Form,
}

/// `group/version`, or the version alone in the core group.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn table(group: &str, resource: &str) -> Arc<str> {
    // Events have two groups and one home.
    let group = if resource == "events" { "" } else { group };
    if group.is_empty() { resource.into() } else { format!("{resource}.{group}").into() }
}

impl Served {
    fn built_in(resource: &Resource) -> Self {
        let subresources = resource.subresources.iter().map(|sub| (sub.name.clone(), Subresource { verbs: sub.verbs.clone() }));
        let rules = kinds::rules(&resource.group, &resource.plural);
        let ty = builtin().type_of(&resource.group, &resource.version, &resource.kind);
        let storage = match (resource.group.as_str(), resource.plural.as_str()) {
            ("autoscaling", "horizontalpodautoscalers") => "autoscaling/v2".to_owned(),
            (_, "events") => "v1".to_owned(),
            _ => api_version(&resource.group, &resource.version),
        };
        Self {
            group: resource.group.clone(),
            version: resource.version.clone(),
            resource: resource.plural.clone(),
            kind: resource.kind.clone(),
            list_kind: format!("{}List", resource.kind),
            namespaced: resource.namespaced,
            verbs: resource.verbs.clone(),
            subresources: subresources.collect(),
            table: table(&resource.group, &resource.plural),
            api_version: api_version(&resource.group, &resource.version),
            empty: ty.and_then(|ty| codec::decode(ty, json!({})).ok()).map(|d| d.value).unwrap_or_default(),
            storage,
            versions: Arc::new([]),
            terminating: false,
            form: Form::BuiltIn { ty, rules },
        }
    }

    fn custom_version(
        custom: &Arc<CustomVersion>,
        storage: &Arc<CustomVersion>,
        versions: Arc<[(String, Arc<Types>)]>,
        terminating: bool,
    ) -> Self {
        let verbs = |all: &[&str]| all.iter().map(|&v| v.to_owned()).collect::<Vec<_>>();
        let mut subresources = BTreeMap::new();
        let has = [("status", custom.status), ("scale", custom.scale.is_some())];
        for (name, _) in has.into_iter().filter(|(_, has)| *has) {
            subresources.insert(name.to_owned(), Subresource { verbs: verbs(&["get", "patch", "update"]) });
        }
        Self {
            group: custom.group.clone(),
            version: custom.version.clone(),
            resource: custom.plural.clone(),
            kind: custom.kind.clone(),
            list_kind: custom.list_kind.clone(),
            namespaced: custom.namespaced,
            verbs: verbs(&["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]),
            subresources,
            table: table(&custom.group, &custom.plural),
            api_version: api_version(&custom.group, &custom.version),
            empty: json!({"apiVersion": api_version(&custom.group, &custom.version), "kind": custom.kind}),
            storage: api_version(&custom.group, &storage.version),
            versions,
            terminating,
            form: Form::Custom { version: custom.clone(), storage: storage.clone() },
        }
    }

    /// Whether it is that resource.
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource
    }

    pub(crate) fn api_version(&self) -> &str {
        &self.api_version
    }

    pub(crate) fn custom(&self) -> Option<&CustomVersion> {
        match &self.form {
            Form::Custom { version, .. } => Some(version),
            Form::BuiltIn { .. } => None,
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom().is_some()
    }

    /// The type of its objects; of a custom resource, what its schema says of them.
    pub(crate) fn ty(&self) -> Option<Type<'_>> {
        match &self.form {
            Form::BuiltIn { ty, .. } => *ty,
            Form::Custom { version: custom, .. } => custom.types.get(""),
        }
    }

    fn rules(&self) -> Option<&'static Rules> {
        match &self.form {
            Form::BuiltIn { rules, .. } => Some(rules),
            Form::Custom { .. } => None,
        }
    }

    /// Whether it has the verb, of the resource itself or of a subresource.
    pub(crate) fn allows(&self, subresource: &str, verb: &str) -> bool {
        let verbs = match self.subresources.get(subresource) {
            Some(sub) => &sub.verbs,
            None => &self.verbs,
        };
        verbs.iter().any(|v| v == verb)
    }

    /// What every answer about it warns of.
    pub(crate) fn deprecation(&self) -> Option<String> {
        match &self.form {
            Form::Custom { version: custom, .. } => custom.deprecation.clone(),
            Form::BuiltIn { .. } if self.is("", "endpoints") => {
                Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into())
            }
            Form::BuiltIn { .. } if self.is("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+".into()),
            Form::BuiltIn { .. } => None,
        }
    }

    /// 404. What is computed rather than stored words it in its own way.
    pub(crate) fn not_found(&self, name: &str) -> Refusal {
        match (self.group.as_str(), self.resource.as_str()) {
            ("", "componentstatuses") => Refusal::not_found("", "componentstatus", name),
            ("metrics.k8s.io", resource) => Refusal::not_found("", resource.trim_end_matches('s'), name),
            (group, resource) => Refusal::not_found(group, resource, name),
        }
    }

    /// 409: an update names another object of the same name. The error is the storage's own.
    pub(crate) fn other_uid(&self, namespace: &str, name: &str, given: &str, present: &str) -> Refusal {
        let key = self.etcd_key(namespace, name);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
             precondition: {given}, UID in object meta: {present}"
        );
        Refusal::conflict(&self.group, &self.resource, name, &why)
    }

    /// The key of an object in etcd, which some errors show.
    fn etcd_key(&self, namespace: &str, name: &str) -> String {
        let own = ["apiextensions.k8s.io", "apiregistration.k8s.io"].contains(&self.group.as_str());
        let resource = match self.resource.as_str() {
            resource if self.is_custom() || own => format!("{}/{resource}", self.group),
            "services" => "services/specs".to_owned(),
            "endpoints" => "services/endpoints".to_owned(),
            "nodes" => "minions".to_owned(),
            "ingresses" => "ingress".to_owned(),
            "replicationcontrollers" => "controllers".to_owned(),
            resource => resource.to_owned(),
        };
        if self.namespaced { format!("/registry/{resource}/{namespace}/{name}") } else { format!("/registry/{resource}/{name}") }
    }

    /// A stored object in this version, with kind and apiVersion.
    pub(crate) fn live(&self, stored: &Stored) -> Value {
        let mut object = self.item(stored);
        object["kind"] = self.kind.clone().into();
        object["apiVersion"] = self.api_version.clone().into();
        object
    }

    /// The same as an item of a list: those of built-in types do not say what they are.
    pub(crate) fn item(&self, stored: &Stored) -> Value {
        let object = stored.value();
        match &self.form {
            Form::Custom { version, storage } => {
                // What was stored may be from before the schema was what it is: it is read by it, then shown as the version has
                // it. Only the schema by which it is stored fills in defaults.
                let mut object = storage.shape(object).object;
                storage.default(&mut object);
                version.adopt(&mut object);
                if !Arc::ptr_eq(version, storage) {
                    object = version.shape(object).object;
                }
                object
            }
            Form::BuiltIn { .. } if self.storage != self.api_version() => kinds::outward(&self.group, &self.resource, object),
            Form::BuiltIn { .. } => object,
        }
    }

    /// The item's JSON, when that is what is stored.
    pub(crate) fn stored_form<'s>(&self, stored: &'s Stored) -> Option<&'s [u8]> {
        (!self.is_custom() && self.storage == self.api_version()).then_some(&stored.json)
    }

    /// The JSON of [`Served::live`].
    pub(crate) fn json(&self, stored: &Stored) -> Bytes {
        match self.stored_form(stored) {
            Some(json) => {
                let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", self.kind, self.api_version());
                [head.as_bytes(), &json[1..]].concat().into()
            }
            None => self.live(stored).to_string().into(),
        }
    }

    /// An object as it is stored.
    pub(crate) fn to_stored(&self, mut object: Value) -> Value {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("selfLink");
        }
        match &self.form {
            Form::Custom { .. } => object["apiVersion"] = self.storage.clone().into(),
            Form::BuiltIn { ty, .. } => {
                if self.storage != self.api_version() {
                    object = kinds::inward(&self.group, &self.resource, object);
                } else if let Some(ty) = ty {
                    object = codec::stored(*ty, object);
                }
                if let Some(fields) = object.as_object_mut() {
                    fields.remove("kind");
                    fields.remove("apiVersion");
                }
            }
        }
        object
    }

    /// A list of items.
    pub(crate) fn list_of(&self, items: Vec<Value>, metadata: Value) -> Value {
        json!({"kind": self.list_kind, "apiVersion": self.api_version(), "metadata": metadata, "items": items})
    }

    /// One object by its name.
    pub(crate) fn fetch(&self, cluster: &Cluster, namespace: &str, name: &str) -> Option<Value> {
        let namespace = if self.namespaced { namespace } else { "" };
        let stored = cluster.store.get(&Key::new(&self.table, namespace, name))?;
        Some(self.live(&stored))
    }

    /// Gives an object the defaults of its type.
    pub(crate) fn default(&self, object: &mut Value) {
        match &self.form {
            Form::BuiltIn { rules, .. } => (rules.default)(object),
            Form::Custom { version: custom, .. } => custom.default(object),
        }
    }

    /// Prepares and validates a new object.
    pub(crate) fn before_create(&self, object: &mut Value) -> Result<(), Errors> {
        match &self.form {
            Form::BuiltIn { rules, ty } => {
                meta::before_create(rules, object, self.namespaced)?;
                if let Some(ty) = ty {
                    *object = codec::encode(*ty, std::mem::take(object));
                }
                Ok(())
            }
            Form::Custom { version: custom, .. } => {
                custom.prepare_create(object);
                let mut errors = Errors::new();
                meta::validate_plain(object, self.namespaced, kinds::names::dns1123_subdomain, &mut errors);
                into_result(custom.validate(object, errors))
            }
        }
    }

    /// Prepares and validates an update.
    pub(crate) fn before_update(&self, part: Part, old: &Value, new: &mut Value) -> Result<(), Errors> {
        match &self.form {
            Form::BuiltIn { rules, ty } => {
                meta::before_update(rules, part, old, new, self.namespaced)?;
                if let Some(ty) = ty {
                    *new = codec::encode(*ty, std::mem::take(new));
                }
                Ok(())
            }
            Form::Custom { version: custom, .. } => {
                meta::keep_generation(old, new);
                match part {
                    Part::Whole => custom.prepare_update(old, new),
                    _ => custom.prepare_status(old, new),
                }
                meta::keep_system_fields(old, new);
                let mut errors = Errors::new();
                meta::validate_plain(new, self.namespaced, kinds::names::path_segment, &mut errors);
                meta::validate_plain_update(old, new, &mut errors);
                into_result(match part {
                    Part::Whole => custom.validate_update(old, new, errors),
                    _ => custom.validate_status(old, new, errors),
                })
            }
        }
    }

    /// What the client is warned of.
    pub(crate) fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match &self.form {
            Form::BuiltIn { rules, .. } => (rules.warnings)(object, old),
            Form::Custom { version: custom, .. } => custom.warnings(object, old),
        }
    }

    /// The fields that a write of the resource, or of one of its subresources, does not own.
    pub(crate) fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        match &self.form {
            Form::BuiltIn { .. } => apply::reset_fields(&self.group, &self.resource, subresource),
            Form::Custom { version: custom, .. } => apply::custom_reset_fields(custom.status, subresource),
        }
    }

    /// Who keeps the managed fields of a write through a (sub)resource.
    pub(crate) fn managed<'a>(&'a self, subresource: &'a str) -> Manager<'a> {
        let object_meta = || builtin().types().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        Manager {
            ty: self.ty(),
            metadata: if self.is_custom() { object_meta() } else { None },
            api_version: &self.api_version,
            kind: &self.kind,
            subresource,
            empty: &self.empty,
            reset: self.reset_fields(subresource),
            versions: Some(self),
        }
    }

    /// Records who wrote what of an object.
    pub(crate) fn own(&self, live: &Value, object: Value, call: &Call<'_>) -> Value {
        let manager = apply::manager_name(&call.options.manager, call.agent);
        self.managed(call.subresource).update(live, object, &manager, &call.cluster.now())
    }

    /// Where its replicas are, if it can be scaled: path by path.
    pub(crate) fn replicas(&self) -> Option<String> {
        match &self.form {
            Form::BuiltIn { .. } => self.subresources.contains_key("scale").then(|| "spec.replicas".to_owned()),
            Form::Custom { version: custom, .. } => custom.scale_mapping().map(|path| path.join(".")),
        }
    }

    /// What field selectors can see, beside name and namespace.
    pub(crate) fn fields(&self, object: &Value) -> Vec<(String, String)> {
        match &self.form {
            Form::BuiltIn { rules, .. } => (rules.fields)(object).into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            Form::Custom { version: custom, .. } => custom.fields(object),
        }
    }

    /// Refuses selectors of fields that objects cannot be selected by.
    pub(crate) fn selectable(&self, selector: fields::Selector) -> Result<fields::Selector, String> {
        match &self.form {
            Form::BuiltIn { .. } => selector.for_kind(self.api_version(), &self.kind),
            Form::Custom { version: custom, .. } => {
                let known = |field: &str| {
                    ["metadata.name", "metadata.namespace"].contains(&field) || custom.selectable_fields().any(|f| f == field)
                };
                match selector.terms().iter().find(|t| !known(&t.field)) {
                    Some(term) => Err(format!("field label not supported: {}", term.field)),
                    None => Ok(selector),
                }
            }
        }
    }

    pub(crate) fn allows_create_on_update(&self) -> bool {
        self.rules().is_some_and(|r| r.allow_create_on_update)
    }

    pub(crate) fn allows_unconditional_update(&self) -> bool {
        self.rules().is_some_and(|r| r.allow_unconditional_update)
    }

    /// The seconds of grace that a deletion gives when it does not say; `None` when the kind knows no grace.
    pub(crate) fn grace_period(&self, object: &Value) -> Option<i64> {
        self.rules().and_then(|r| (r.grace_period)(object))
    }

    /// What of a period of grace an object gets: a pod that runs nowhere needs none.
    pub(crate) fn clamp_grace(&self, object: &Value, period: i64) -> i64 {
        if !self.is("", "pods") {
            return period;
        }
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let over = ["Succeeded", "Failed"].contains(&text("/status/phase"));
        if text("/spec/nodeName").is_empty() || over { 0 } else { period }
    }

    /// Jobs leave their pods behind unless told otherwise (`job/strategy.go`).
    pub(crate) fn orphans_by_default(&self) -> bool {
        self.is("batch", "jobs") || self.is("", "replicationcontrollers")
    }

    /// Events have no dependents.
    pub(crate) fn is_garbage_collected(&self) -> bool {
        self.resource != "events"
    }

    /// The group of the kind that errors about an object name.
    pub(crate) fn error_group(&self) -> &str {
        kinds::error_group(&self.group, &self.resource)
    }

    /// Whether a deletion answers with the object rather than with a Status (`ReturnDeletedObject`).
    pub(crate) fn returns_deleted(&self) -> bool {
        const THOSE: [(&str, &str); 12] = [
            ("", "pods"),
            ("", "services"),
            ("", "persistentvolumes"),
            ("", "persistentvolumeclaims"),
            ("", "serviceaccounts"),
            ("", "podtemplates"),
            ("", "resourcequotas"),
            ("storage.k8s.io", "storageclasses"),
            ("storage.k8s.io", "csidrivers"),
            ("storage.k8s.io", "csinodes"),
            ("storage.k8s.io", "volumeattachments"),
            ("storage.k8s.io", "volumeattributesclasses"),
        ];
        self.group == "resource.k8s.io" || THOSE.iter().any(|(group, resource)| self.is(group, resource))
    }
}

impl Versions for Served {
    fn at(&self, object: &Value, version: &str) -> Option<(Value, Option<Type<'_>>)> {
        let mut object = object.clone();
        let ty = match &self.form {
            Form::Custom { .. } => self.versions.iter().find(|(other, _)| other == version)?.1.get(""),
            Form::BuiltIn { .. } => {
                let (group, number) = version.split_once('/').unwrap_or(("", version));
                let ty = builtin().type_of(group, number, &self.kind)?;
                let other =
                    builtin().resources().iter().find(|r| r.group == group && r.version == number && r.kind == self.kind)?;
                if table(&other.group, &other.plural) != self.table {
                    return None;
                }
                object = if version == self.storage {
                    kinds::inward(&self.group, &self.resource, object)
                } else {
                    kinds::outward(group, &self.resource, object)
                };
                Some(ty)
            }
        };
        object["kind"] = self.kind.clone().into();
        object["apiVersion"] = version.into();
        Some((object, ty))
    }
}

fn into_result(errors: Errors) -> Result<(), Errors> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Everything that is served at one time.
pub(crate) struct Registry {
    resources: HashMap<(String, String, String), Arc<Served>>,
    /// The same, as clients learn it.
    pub(crate) discovery: Discovery,
    pub(crate) documents: Documents,
}

impl Registry {
    /// What Kubernetes has built in.
    pub(crate) fn builtin() -> Self {
        let mut registry = Self { resources: HashMap::new(), discovery: Discovery::new([]), documents: Documents::default() };
        for resource in builtin().resources() {
            registry.add(Served::built_in(resource));
        }
        registry
    }

    /// The same with the resources of definitions.
    pub(crate) fn with(definitions: Vec<Arc<Value>>) -> Self {
        let mut registry = Self::builtin();
        for definition in &definitions {
            let versions: Vec<_> = CustomVersion::all(definition).into_iter().map(Arc::new).collect();
            let terminating = !definition["metadata"]["deletionTimestamp"].is_null();
            let Some(storage) = versions.iter().find(|v| v.storage).cloned() else { continue };
            let types: Arc<[_]> = versions.iter().map(|v| (api_version(&v.group, &v.version), v.types.clone())).collect();
            for version in versions.iter().filter(|v| v.served) {
                registry.add(Served::custom_version(version, &storage, types.clone(), terminating));
            }
        }
        registry.discovery = Discovery::new(definitions.iter().map(AsRef::as_ref));
        registry.documents = Documents::new(definitions);
        registry
    }

    fn add(&mut self, served: Served) {
        let key = (served.group.clone(), served.version.clone(), served.resource.clone());
        self.resources.insert(key, Arc::new(served));
    }

    /// A resource by what its path says.
    pub(crate) fn get(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), resource.to_owned()))
    }

    /// A resource by the kind of its objects.
    pub(crate) fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Served>> {
        self.resources.values().find(|s| s.group == group && s.version == version && s.kind == kind && s.allows("", "create"))
    }

    /// A resource in the version in which it is stored, or in any.
    pub(crate) fn any_version(&self, group: &str, resource: &str) -> Option<Arc<Served>> {
        let mut versions = self.resources.values().filter(|s| s.is(group, resource));
        let first = versions.next()?;
        let stored = std::iter::once(first).chain(versions).find(|s| s.storage == s.api_version());
        Some(stored.unwrap_or(first).clone())
    }

    /// Everything that is stored, each resource once: in the version in which it is stored, if that is served.
    pub(crate) fn stored(&self) -> Vec<Arc<Served>> {
        let mut by_table: HashMap<&str, &Arc<Served>> = HashMap::new();
        for served in self.resources.values().filter(|s| s.allows("", "list")) {
            let held = by_table.entry(&served.table).or_insert(served);
            if served.storage == served.api_version() {
                *held = served;
            }
        }
        by_table.into_values().cloned().collect()
    }

    /// Whether a resource that the group has not is answered for by the API itself, with a Status.
    #[allow(clippy::unused_self)]
    pub(crate) fn answers_for(&self, group: &str) -> bool {
        builtin().groups().iter().any(|g| g.name == group)
    }
}
