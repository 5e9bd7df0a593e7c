//! Suite `kube-rbac`: the components' account may do what it needs, and nothing else.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use super::{NamedTest, Target, expect, test};
use crate::{kubernetes::explain, launcher::objects::CONTROLLER_ACCOUNT};

/// Verb, group, resource, namespace (none: the data services'), and whether it is allowed.
const RIGHTS: [(&str, &str, &str, Option<&str>, bool); 7] = [
    ("list", "", "pods", None, true),
    ("get", "arcdata.microsoft.com", "datacontrollers", None, true),
    ("list", "", "nodes", Some(""), true),
    ("delete", "arcdata.microsoft.com", "datacontrollers", None, false),
    ("list", "", "pods", Some("kube-system"), false),
    ("get", "", "secrets", Some("kube-system"), false),
    ("delete", "", "nodes", Some(""), false),
];

pub(super) fn tests(target: &Target) -> Vec<NamedTest> {
    let tests = RIGHTS.iter().map(|&(verb, group, resource, namespace, allowed)| {
        let target = target.clone();
        let (not, place) = (
            if allowed { "may" } else { "may not" },
            match namespace {
                None => "its namespace",
                Some("") => "the cluster",
                Some(other) => other,
            },
        );
        test(format!("{CONTROLLER_ACCOUNT} {not} {verb} {resource} of {place}"), async move {
            let account = format!("system:serviceaccount:{}:{CONTROLLER_ACCOUNT}", target.namespace);
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(account),
                    resource_attributes: Some(ResourceAttributes {
                        verb: Some(verb.into()),
                        group: Some(group.into()),
                        resource: Some(resource.into()),
                        namespace: Some(namespace.map_or_else(|| target.namespace.clone(), str::to_owned)),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            };
            let api = Api::<SubjectAccessReview>::all(target.client.clone());
            let review = api.create(&PostParams::default(), &review).await.map_err(|error| explain(&error))?;
            expect("allowed", review.status.map(|status| status.allowed), Some(allowed))
        })
    });
    tests.collect()
}
