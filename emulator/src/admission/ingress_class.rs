//! DefaultIngressClass: an Ingress without a class gets the default one.

use std::cmp::Reverse;

use super::{Attributes, Objects, Operation};
use crate::kinds::view::{object, text};

const GROUP: &str = "networking.k8s.io";

pub(super) fn mutate(attributes: &mut Attributes, objects: &dyn Objects) {
    if !attributes.is(GROUP, "ingresses") || attributes.operation != Operation::Create {
        return;
    }
    let ingress = &attributes.object;
    if !ingress["spec"]["ingressClassName"].is_null()
        || ingress["metadata"]["annotations"].get("kubernetes.io/ingress.class").is_some()
    {
        return;
    }
    let classes = objects.list(GROUP, "ingressclasses", None).into_iter();
    let defaults =
        classes.filter(|class| class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true");
    let newest = defaults.min_by_key(|class| {
        let metadata = &class["metadata"];
        (Reverse(text(&metadata["creationTimestamp"]).to_owned()), text(&metadata["name"]).to_owned())
    });
    if let Some(class) = newest
        && let Some(spec) = object(&mut attributes.object, "spec")
    {
        spec.insert("ingressClassName".into(), class["metadata"]["name"].clone());
    }
}
