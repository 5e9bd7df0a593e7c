//! Requests for a service account's token (`pkg/registry/core/serviceaccount/storage/token.go`), but for the signing.

use serde_json::Value;

use super::storage::validate_expiration;
use super::view::{fill, int, object, text};
use crate::admission::Objects;
use crate::field::{Errors, Path, quote};
use crate::status::Refusal;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

/// What a token lives and dies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Of a pod: its node's name and uid, "" when there is no such node.
    pub(crate) node: Option<(String, String)>,
}

fn invalid(name: &str, path: &Path, value: &str, detail: &str) -> Refusal {
    let mut errors = Errors::new();
    errors.invalid(path, value, detail);
    Refusal::invalid(GROUP, KIND, name, &errors)
}

/// Defaults a request for a token.
pub(crate) fn default(request: &mut Value) {
    object(request, "spec");
    if let Some(spec) = request.get_mut("spec") {
        fill(spec, "expirationSeconds", 3600);
    }
}

/// Completes and checks a request for a token of the account; what the token is to be bound to.
pub(crate) fn prepare(request: &mut Value, account: &Value, objects: &dyn Objects) -> Result<Option<Bound>, Refusal> {
    let [name, namespace, uid] = ["name", "namespace", "uid"].map(|field| text(&account["metadata"][field]));
    for (field, expected) in [("name", name), ("namespace", namespace)] {
        let given = text(&request["metadata"][field]);
        if !given.is_empty() && given != expected {
            let detail = format!("must match the service account {field} if specified");
            return Err(invalid(name, &Path::new("metadata").child(field), given, &detail));
        }
    }
    let given = text(&request["metadata"]["uid"]);
    if !given.is_empty() && given != uid {
        let why = format!("the UID in the token request ({given}) does not match the UID of the service account ({uid})");
        return Err(Refusal::conflict(GROUP, KIND, name, &why));
    }
    if let Some(metadata) = object(request, "metadata") {
        for (field, value) in [("name", name), ("namespace", namespace), ("uid", uid)] {
            metadata.insert(field.to_owned(), value.into());
        }
    }
    let mut errors = Errors::new();
    let seconds = int(&request["spec"]["expirationSeconds"]);
    validate_expiration(seconds, &Path::new("spec").child("expirationSeconds"), &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::invalid(GROUP, KIND, "", &errors));
    }
    let reference = &request["spec"]["boundObjectRef"];
    if reference.is_null() { Ok(None) } else { bind(reference, name, namespace, objects).map(Some) }
}

fn bind(reference: &Value, account: &str, namespace: &str, objects: &dyn Objects) -> Result<Bound, Refusal> {
    let [api_version, kind, name] = ["apiVersion", "kind", "name"].map(|field| text(&reference[field]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let (resource, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", namespace),
        ("", "Secret") => ("secrets", namespace),
        ("", "Node") => ("nodes", ""),
        _ => {
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Refusal::bad_request(why));
        }
    };
    let object = objects.get("", resource, namespace, name).ok_or_else(|| Refusal::not_found("", resource, name))?;
    if kind == "Pod" && text(&object["spec"]["serviceAccountName"]) != account {
        return Err(Refusal::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            quote(account)
        )));
    }
    let (uid, given) = (text(&object["metadata"]["uid"]), text(&reference["uid"]));
    if !given.is_empty() && given != uid {
        let why = format!(
            "the UID in the bound object reference ({given}) does not match the UID in record. The object might have been deleted \
             and then recreated"
        );
        return Err(Refusal::conflict(group, kind, name, &why));
    }
    let node = Some(text(&object["spec"]["nodeName"])).filter(|node| kind == "Pod" && !node.is_empty()).map(|node| {
        let object = objects.get("", "nodes", "", node);
        (node.to_owned(), object.map(|object| text(&object["metadata"]["uid"]).to_owned()).unwrap_or_default())
    });
    Ok(Bound { kind: kind.to_owned(), name: name.to_owned(), uid: uid.to_owned(), node })
}
