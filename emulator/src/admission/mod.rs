//! Admission: what the API server changes in an object, or refuses, for reasons beyond the object itself.

mod certificates;
mod ingress_class;
mod lifecycle;
mod limits;
mod nodes;
mod pod_security;
pub(crate) mod policy;
mod priority;
pub(crate) mod quota;
mod runtime_class;
mod service_account;
mod storage;

use std::sync::Arc;

use serde_json::Value;

use crate::access::User;
use crate::kinds::view::text;
use crate::status::Refusal;

/// The objects of the cluster, as admission and allocation look them up.
pub(crate) trait Objects {
    /// One object; namespace "" for cluster-scoped resources.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a resource, of one namespace or of all.
    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>>;
}

/// What a request does to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    /// `exec`, `attach`, `portforward`, `proxy`.
    Connect,
}

impl Operation {
    /// As in AdmissionReviews: `CREATE`.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A request as admission sees it.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    pub(crate) group: String,
    pub(crate) version: String,
    /// The plural.
    pub(crate) resource: String,
    /// Empty for the main resource.
    pub(crate) subresource: String,
    /// Of `object`.
    pub(crate) kind: String,
    /// Empty for cluster-scoped resources.
    pub(crate) namespace: String,
    /// Empty in a create with `generateName` until the name is made.
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) user: User,
    /// The new object, which mutating plugins change; null in a delete.
    pub(crate) object: Value,
    /// The present object; null in a create.
    pub(crate) old: Arc<Value>,
    pub(crate) dry_run: bool,
}

impl Attributes {
    /// Whether the request is about that main resource.
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource && self.subresource.is_empty()
    }
}

impl Attributes {
    fn is_kind(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    fn is_write(&self) -> bool {
        matches!(self.operation, Operation::Create | Operation::Update)
    }

    /// `admission.NewForbidden`.
    pub(crate) fn forbidden(&self, why: &str) -> Refusal {
        let metadata = &self.object["metadata"];
        let known = [self.name.as_str(), text(&metadata["name"]), text(&metadata["generateName"])];
        let name = known.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown");
        Refusal::forbidden(&self.group, &self.resource, name, why)
    }
}

/// The mutating plugins that K3s has on, in the API server's order; on creates and updates. The first that refuses ends it.
pub(crate) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    lifecycle::admit(attributes, objects)?;
    if attributes.operation == Operation::Delete || attributes.operation == Operation::Connect {
        return Ok(());
    }
    limits::mutate(attributes, objects)?;
    service_account::mutate(attributes, objects)?;
    nodes::taint_new(attributes);
    priority::mutate(attributes, objects)?;
    nodes::default_tolerations(attributes);
    storage::default_class(attributes, objects);
    storage::protect(attributes);
    runtime_class::mutate(attributes, objects)?;
    ingress_class::mutate(attributes, objects);
    Ok(())
}

/// The validating plugins that K3s has on, in the API server's order up to admission policies; the texts are warnings.
/// [`quota::charge`] comes after the policies.
pub(crate) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<String>, Refusal> {
    if matches!(attributes.operation, Operation::Delete | Operation::Connect) {
        return policy::validate(attributes, objects);
    }
    limits::validate(attributes, objects)?;
    service_account::validate(attributes, objects)?;
    let mut warnings = pod_security::validate(attributes, objects)?;
    priority::validate(attributes, objects)?;
    storage::validate_resize(attributes, objects)?;
    runtime_class::validate(attributes, objects)?;
    certificates::validate(attributes)?;
    warnings.extend(policy::validate(attributes, objects)?);
    Ok(warnings)
}

/// Several reasons as one (`utilerrors.NewAggregate`); None when there is none.
fn aggregate(reasons: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for reason in reasons {
        if !distinct.contains(&reason) {
            distinct.push(reason);
        }
    }
    match distinct.len() {
        0 => None,
        1 => distinct.pop(),
        _ => Some(format!("[{}]", distinct.join(", "))),
    }
}
