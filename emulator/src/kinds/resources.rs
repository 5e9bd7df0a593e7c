//! Names and amounts of compute resources (`pkg/apis/core/helper/helpers.go` and the parts of `validation.go` about them).

use serde_json::Value;

use super::names;
use super::quantity::Quantity;
use super::view::entries;
use crate::field::{Errors, Path};

const REQUESTS: &str = "requests.";
const NATIVE_DOMAIN: &str = "kubernetes.io/";

const QUOTA_RESOURCES: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

const INTEGERS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains(NATIVE_DOMAIN)
}

/// IsExtendedResourceName.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with(REQUESTS) && names::qualified(&format!("{REQUESTS}{name}")).is_empty()
}

pub(crate) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

pub(crate) fn is_standard_quota(name: &str) -> bool {
    QUOTA_RESOURCES.contains(&name) || is_quota_huge_page(name)
}

pub(crate) fn is_integer(name: &str) -> bool {
    INTEGERS.contains(&name) || is_extended(name)
}

/// validateResourceName.
pub(crate) fn validate_name(name: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::qualified(name);
    for wrong in &wrong {
        errors.invalid(path, name, wrong);
    }
    if wrong.is_empty() && !name.contains('/') && !is_standard_quota(name) && name != "storage" {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
}

/// validateContainerResourceName.
pub(crate) fn validate_container_name(name: &str, path: &Path, errors: &mut Errors) {
    validate_name(name, path, errors);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// ValidateResourceQuotaResourceName.
pub(crate) fn validate_quota_name(name: &str, path: &Path, errors: &mut Errors) {
    validate_name(name, path, errors);
    if !name.contains('/') && !is_standard_quota(name) {
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

/// ValidateNonnegativeQuantity.
pub(crate) fn nonnegative(value: &Value, path: &Path, errors: &mut Errors) {
    let quantity = Quantity::of(value);
    if quantity.is_negative() {
        errors.invalid(path, quantity.to_string(), "must be greater than or equal to 0");
    }
}

/// ValidateResourceQuantityValue.
pub(crate) fn validate_quantity(name: &str, value: &Value, path: &Path, errors: &mut Errors) {
    nonnegative(value, path, errors);
    let quantity = Quantity::of(value);
    if is_integer(name) && quantity.milli_value() % 1000 != 0 {
        errors.invalid(path, quantity.to_string(), "must be an integer");
    }
}

/// SetDefaults_ResourceList: nothing is finer than a thousandth.
pub(crate) fn round(list: Option<&mut Value>) {
    let Some(Value::Object(list)) = list else { return };
    for value in list.values_mut() {
        let mut quantity = Quantity::of(value);
        if quantity.round_up_to_milli() {
            *value = quantity.to_string().into();
        }
    }
}

/// Adds the amounts of one list to another's.
pub(crate) fn add(sum: &mut std::collections::BTreeMap<String, Quantity>, list: &Value) {
    for (name, value) in entries(list) {
        sum.entry(name.to_owned()).or_insert(Quantity::ZERO).add(&Quantity::of(value));
    }
}
