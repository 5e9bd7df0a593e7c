//! NamespaceLifecycle: nothing is made in a namespace that is absent or going, and some namespaces stay.

use serde_json::json;

use super::{Attributes, Objects, Operation};
use crate::kinds::view::text;
use crate::status::Refusal;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn admit(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    let namespace = attributes.namespace.as_str();
    if attributes.is_kind("", "Namespace") {
        if attributes.operation == Operation::Delete && IMMORTAL.contains(&attributes.name.as_str()) {
            return Err(Refusal::forbidden("", &attributes.resource, &attributes.name, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    // A review is not stored, and whether a namespace exists is not for everyone to know.
    let review = attributes.is("authorization.k8s.io", "localsubjectaccessreviews");
    if namespace.is_empty() || !attributes.is_write() || review {
        return Ok(());
    }
    let Some(object) = objects.get("", "namespaces", "", namespace) else {
        return Err(Refusal::not_found("", "namespaces", namespace));
    };
    if attributes.operation == Operation::Create && text(&object["status"]["phase"]) == "Terminating" {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = attributes.forbidden(&why);
        if let Some(details) = &mut refusal.details {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        return Err(refusal);
    }
    Ok(())
}
