//! What holds a namespace that is to go: objects in it, and the finalizers they wait for.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Client, ResourceExt};
use serde_json::Value;

/// An object that waits for its finalizers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// Its resource and name: `configmaps/held`.
    pub object: String,
    /// The finalizers that nobody has carried out so far.
    pub finalizers: Vec<String>,
}

impl Held {
    /// Whether a finalizer is not one of Kubernetes's own, which are carried out as soon as nobody uses the object.
    pub(super) fn is_by_others(&self) -> bool {
        let own = ["foregroundDeletion", "orphan"];
        let is_own = |name: &String| {
            own.contains(&name.as_str()) || name.split_once('/').is_some_and(|(domain, _)| domain.ends_with("kubernetes.io"))
        };
        !self.finalizers.iter().all(is_own)
    }
}

/// As many as show what the trouble is.
const MOST: usize = 5;

/// The objects in a namespace that wait for finalizers; none, if it is not to go.
pub(super) async fn objects(client: &Client, namespace: &Namespace) -> Vec<Held> {
    let mut held = Vec::new();
    for resource in remaining(namespace) {
        held.extend(of_resource(client, &namespace.name_any(), &resource).await.unwrap_or_default());
    }
    held.truncate(MOST);
    held
}

/// A resource of which objects are left: its plural and its group.
#[derive(Debug, PartialEq, Eq)]
struct Resource {
    plural: String,
    group: String,
}

/// The namespace's controller tells them in a condition:
/// `Some resources are remaining: configmaps. has 1 resource instances, datacontrollers.arcdata.microsoft.com has 2 resource instances`.
fn remaining(namespace: &Namespace) -> Vec<Resource> {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut told = conditions
        .filter(|condition| condition.type_ == "NamespaceContentRemaining" && condition.status == "True")
        .filter_map(|condition| Some(condition.message.as_deref()?.split_once("remaining: ")?.1));
    let resource = |part: &str| {
        let (plural, group) = part.split_once(" has ")?.0.split_once('.')?;
        Some(Resource { plural: plural.to_owned(), group: group.to_owned() })
    };
    told.next().map(|resources| resources.split(", ").filter_map(resource).collect()).unwrap_or_default()
}

async fn of_resource(client: &Client, namespace: &str, resource: &Resource) -> Option<Vec<Held>> {
    let get = async |path: String| client.request::<Value>(http::Request::get(path).body(Vec::new()).ok()?).await.ok();
    let Resource { plural, group } = resource;
    let root = if group.is_empty() {
        "/api/v1".to_owned()
    } else {
        let served = get(format!("/apis/{group}")).await?;
        format!("/apis/{}", served.pointer("/preferredVersion/groupVersion")?.as_str()?)
    };
    let listed = get(format!("{root}/namespaces/{namespace}/{plural}?limit={MOST}")).await?;
    let object = |item: &Value| {
        let finalizers = item.pointer("/metadata/finalizers")?.as_array()?;
        let finalizers = finalizers.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Held { object: format!("{plural}/{}", item.pointer("/metadata/name")?.as_str()?), finalizers })
    };
    Some(listed.get("items")?.as_array()?.iter().filter_map(object).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_read_from_the_condition() {
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {"name": "n"},
            "status": {"conditions": [
                {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content successfully deleted"},
                {"type": "NamespaceContentRemaining", "status": "True", "message":
                    "Some resources are remaining: configmaps. has 1 resource instances, datacontrollers.arcdata.microsoft.com has 2 resource instances"},
            ]},
        }))
        .unwrap();
        let resource = |plural: &str, group: &str| Resource { plural: plural.to_owned(), group: group.to_owned() };
        assert_eq!(remaining(&namespace), [resource("configmaps", ""), resource("datacontrollers", "arcdata.microsoft.com")]);
    }

    #[rstest]
    #[case(&["kubernetes.io/pvc-protection"], false)]
    #[case(&["batch.kubernetes.io/job-tracking", "foregroundDeletion"], false)]
    #[case(&["kubernetes.io/pvc-protection", "arcdata.microsoft.com/guard"], true)]
    fn kubernetess_own_finalizers_are_carried_out_by_themselves(#[case] finalizers: &[&str], #[case] by_others: bool) {
        let finalizers = finalizers.iter().map(|&finalizer| finalizer.to_owned()).collect();
        assert_eq!(Held { object: "x/y".to_owned(), finalizers }.is_by_others(), by_others);
    }
}
