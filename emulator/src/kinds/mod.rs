//! The rules of the built-in kinds: defaults, validation and what their registry strategies do around a write.
//!
//! What holds for every kind alike (its metadata) is in [`meta`]; what needs other objects is in [`crate::admission`] or takes
//! a `&dyn Objects`.

use serde_json::Value;

use crate::field::Errors;

mod admission_registration;
mod api_registration;
mod apps;
mod autoscaling;
mod batch;
pub(crate) mod certificates;
mod coordination;
pub(crate) mod core;
mod cron;
pub(crate) mod diff;
mod discovery;
pub(crate) mod eviction;
mod flowcontrol;
pub(crate) mod internal;
pub(crate) mod ip;
pub(crate) mod meta;
pub(crate) mod names;
mod networking;
mod node_api;
pub(crate) mod pod;
pub(crate) mod pod_resources;
mod policy;
pub(crate) mod quantity;
pub(crate) mod rbac;
#[cfg(test)]
mod recorded;
mod replication;
pub(crate) mod resources;
pub(crate) mod scale;
mod scheduling;
pub(crate) mod selector;
pub(crate) mod selector_terms;
pub(crate) mod storage;
pub(crate) mod token;
pub(crate) mod view;

/// What the API server's strategy of a resource does. A function that has nothing to do is [`Rules::PLAIN`]'s.
///
/// The order in a create: decode, `default`, mutating admission, metadata and `prepare_create`, metadata's validation,
/// `validate`, validating admission, managed fields.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Defaults of the versioned object (`SetObjectDefaults_*`), after decoding.
    pub(crate) default: fn(&mut Value),
    /// Drops what a client may not set on a create: status mostly.
    pub(crate) prepare_create: fn(&mut Value),
    /// Validates a new object, but for the parts of its metadata that all kinds share.
    pub(crate) validate: fn(&Value, &mut Errors),
    /// What is wrong with a name (or, when true, with `generateName`).
    pub(crate) name: fn(&str, bool) -> Vec<String>,
    /// Keeps of the old object what an update may not change (status) and maintains `metadata.generation`.
    pub(crate) prepare_update: fn(&Value, &mut Value),
    /// Validates an update. What `BeforeUpdate` checks of the metadata is checked before, for all kinds; whatever the strategy
    /// checks of it *again* (`ValidateObjectMetaUpdate` mostly, and `ValidateObjectMeta` where it validates the new object
    /// whole) this function calls, since each adds causes of its own: see `meta::validate_update` and `meta::validate`.
    pub(crate) validate_update: fn(&Value, &Value, &mut Errors),
    /// The same for the subresource `status`.
    pub(crate) prepare_status: fn(&Value, &mut Value),
    /// The same for the subresource `status`.
    pub(crate) validate_status: fn(&Value, &Value, &mut Errors),
    /// The form that is stored, after validation.
    pub(crate) canonicalize: fn(&mut Value),
    /// The texts of `Warning` headers; the second object is the old one of an update.
    pub(crate) warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    /// Fields that field selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub(crate) fields: fn(&Value) -> Vec<(&'static str, String)>,
    /// Whether a PUT of an absent object creates it.
    pub(crate) allow_create_on_update: bool,
    /// Whether a PUT without a resourceVersion is accepted.
    pub(crate) allow_unconditional_update: bool,
    /// The seconds that a deleted object lingers; None: it goes at once.
    pub(crate) grace_period: fn(&Value) -> Option<i64>,
}

impl Rules {
    /// No defaults, no validation, a DNS subdomain as the name.
    pub(crate) const PLAIN: Self = Self {
        default: |_| {},
        prepare_create: |_| {},
        validate: |_, _| {},
        name: names::dns1123_subdomain,
        prepare_update: |_, _| {},
        validate_update: meta::validate_update,
        prepare_status: |_, _| {},
        validate_status: |_, _, _| {},
        canonicalize: |_| {},
        warnings: |_, _| Vec::new(),
        fields: |_| Vec::new(),
        allow_create_on_update: false,
        allow_unconditional_update: true,
        grace_period: |_| None,
    };
}

/// The rules of a built-in resource; [`Rules::PLAIN`] for one that has none of its own.
pub(crate) fn rules(group: &str, resource: &str) -> &'static Rules {
    match (group, resource) {
        ("", "pods" | "podtemplates" | "replicationcontrollers") => pod::rules(resource),
        ("", _) => core::rules(resource),
        ("apps", _) => apps::rules(resource),
        ("batch", _) => batch::rules(resource),
        ("autoscaling", _) => autoscaling::rules(resource),
        ("events.k8s.io", "events") => &core::event::STRICT_EVENT,
        ("discovery.k8s.io", _) => discovery::rules(resource),
        ("storage.k8s.io", _) => storage::rules(resource),
        ("rbac.authorization.k8s.io", _) => rbac::rules(resource),
        ("policy", _) => policy::rules(resource),
        ("networking.k8s.io", _) => networking::rules(resource),
        ("scheduling.k8s.io", _) => scheduling::rules(resource),
        ("coordination.k8s.io", _) => coordination::rules(resource),
        ("node.k8s.io", _) => node_api::rules(resource),
        ("certificates.k8s.io", _) => certificates::rules(resource),
        ("admissionregistration.k8s.io", _) => admission_registration::rules(resource),
        ("apiextensions.k8s.io", _) => &crate::custom::definition::RULES,
        ("apiregistration.k8s.io", _) => api_registration::rules(resource),
        ("flowcontrol.apiserver.k8s.io", _) => flowcontrol::rules(resource),
        ("resource.k8s.io", "deviceclasses") => &DEVICE_CLASSES,
        _ => &Rules::PLAIN,
    }
}

/// `pkg/registry/resource/deviceclass/strategy.go`, but for the validation.
static DEVICE_CLASSES: Rules =
    Rules { prepare_create: |class| view::set_generation(class, 1), prepare_update: view::bump_generation, ..Rules::PLAIN };

/// The group of the kind that errors about an object name: that of the form in which it is stored.
pub(crate) fn error_group<'a>(group: &'a str, resource: &str) -> &'a str {
    if (group, resource) == ("events.k8s.io", "events") { "" } else { group }
}

/// A stored object in another version of its resource, for what has several.
pub(crate) fn outward(group: &str, resource: &str, object: Value) -> Value {
    match (group, resource) {
        ("autoscaling", "horizontalpodautoscalers") => autoscaling::to_v1(object),
        ("events.k8s.io", "events") => core::event::from_core(&object),
        _ => object,
    }
}

/// The way back.
pub(crate) fn inward(group: &str, resource: &str, object: Value) -> Value {
    match (group, resource) {
        ("autoscaling", "horizontalpodautoscalers") => autoscaling::to_v2(object),
        ("events.k8s.io", "events") => core::event::to_core(&object),
        _ => object,
    }
}
