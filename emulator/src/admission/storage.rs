//! DefaultStorageClass, StorageObjectInUseProtection and PersistentVolumeClaimResize.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{Attributes, Objects, Operation};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::{flag, object, text};
use crate::status::Refusal;

const GROUP: &str = "storage.k8s.io";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// A claim without a class gets the default one, the newest if there are several.
pub(super) fn default_class(attributes: &mut Attributes, objects: &dyn Objects) {
    if !attributes.is("", "persistentvolumeclaims") || attributes.operation != Operation::Create {
        return;
    }
    let claim = &attributes.object;
    if claim["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some() || !claim["spec"]["storageClassName"].is_null() {
        return;
    }
    let is_default = |class: &Value| {
        let annotations = &class["metadata"]["annotations"];
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|key| annotations[*key] == "true")
    };
    let classes = objects.list(GROUP, "storageclasses", None).into_iter().filter(|class| is_default(class));
    let newest = classes.min_by_key(|class| {
        let metadata = &class["metadata"];
        (Reverse(text(&metadata["creationTimestamp"]).to_owned()), text(&metadata["name"]).to_owned())
    });
    if let Some(class) = newest
        && let Some(spec) = object(&mut attributes.object, "spec")
    {
        spec.insert("storageClassName".into(), class["metadata"]["name"].clone());
    }
}

/// What is in use is not to vanish.
pub(super) fn protect(attributes: &mut Attributes) {
    if attributes.operation != Operation::Create || !attributes.subresource.is_empty() {
        return;
    }
    let finalizer = match (attributes.group.as_str(), attributes.resource.as_str()) {
        ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
        ("", "persistentvolumes") => "kubernetes.io/pv-protection",
        (GROUP, "volumeattributesclasses") => "kubernetes.io/vac-protection",
        _ => return,
    };
    let Some(metadata) = object(&mut attributes.object, "metadata") else { return };
    if let Value::Array(finalizers) = metadata.entry("finalizers").or_insert_with(|| json!([]))
        && !finalizers.iter().any(|one| one == finalizer)
    {
        finalizers.push(finalizer.into());
    }
}

/// The class of a claim (`GetPersistentVolumeClaimClass`).
pub(super) fn class_of(claim: &Value) -> &str {
    let annotation = &claim["metadata"]["annotations"][CLASS_ANNOTATION];
    text(if annotation.is_string() { annotation } else { &claim["spec"]["storageClassName"] })
}

pub(super) fn validate_resize(attributes: &Attributes, objects: &dyn Objects) -> Result<(), Refusal> {
    if !attributes.is("", "persistentvolumeclaims") || attributes.operation != Operation::Update {
        return Ok(());
    }
    let (old, new) = (&attributes.old, &attributes.object);
    let size = |claim: &Value| Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    if size(new) <= size(old) {
        return Ok(());
    }
    if text(&old["status"]["phase"]) != "Bound" {
        return Err(attributes.forbidden("only bound persistent volume claims can be expanded"));
    }
    let (class, was) = (class_of(new), class_of(old));
    let expandable = !class.is_empty()
        && class == was
        && objects.get(GROUP, "storageclasses", "", class).is_some_and(|class| flag(&class["allowVolumeExpansion"]));
    if expandable {
        return Ok(());
    }
    Err(attributes.forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    ))
}
