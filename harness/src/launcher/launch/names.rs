//! What the launcher deployed: the names it made of the moment of the launch.

use kube::{Api, Client, ResourceExt, core::DynamicObject, discovery};

/// The API group of the DataController (reference of Arc data services' custom resources).
const GROUP: &str = "arcdata.microsoft.com";

/// The names of a launch; each is empty where nothing tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// `ns<epoch>`
    pub(super) namespace: String,
    /// `dc<epoch>`
    pub(super) data_controller: String,
}

/// The names of what was not there before, from the DataController in the cluster or, where that is gone already,
/// from the log.
pub(super) async fn find(client: &Client, log: &str, before: &[DynamicObject]) -> Names {
    chosen(log, before, &data_controllers(client).await)
}

/// The cluster's DataControllers; none where it does not know the kind.
pub(super) async fn data_controllers(client: &Client) -> Vec<DynamicObject> {
    listed(client).await.unwrap_or_else(|error| {
        tracing::debug!("no DataControllers: {}", crate::chain(&error));
        Vec::new()
    })
}

async fn listed(client: &Client) -> Result<Vec<DynamicObject>, kube::Error> {
    let group = discovery::group(client, GROUP).await?;
    let Some((resource, _)) = group.recommended_kind("DataController") else { return Ok(Vec::new()) };
    Ok(Api::<DynamicObject>::all_with(client.clone(), &resource).list(&Default::default()).await?.items)
}

/// The new DataController that the log names, or the newest, before what the log says.
fn chosen(log: &str, before: &[DynamicObject], found: &[DynamicObject]) -> Names {
    let known: Vec<String> = before.iter().flat_map(|object| [Some(object.name_any()), object.namespace()]).flatten().collect();
    let logged = Names { namespace: last_of(log, "ns", &known), data_controller: last_of(log, "dc", &known) };
    let new = || found.iter().filter(|object| before.iter().all(|old| old.uid() != object.uid()));
    let named = new().find(|object| object.name_any() == logged.data_controller);
    match named.or_else(|| new().max_by_key(|object| object.creation_timestamp())) {
        Some(object) => Names { namespace: object.namespace().unwrap_or(logged.namespace), data_controller: object.name_any() },
        None => logged,
    }
}

/// The last word of the log that is `prefix` and seconds since 1970, and is not known from before: the launcher also
/// names what it finds and removes.
fn last_of(log: &str, prefix: &str, known: &[String]) -> String {
    let is_epoch = |text: &str| text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    log.rsplit(|character: char| !character.is_ascii_alphanumeric())
        .find(|word| word.strip_prefix(prefix).is_some_and(is_epoch) && !known.iter().any(|known| known == word))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::slice;

    use super::*;

    const LOG: &str = "10:00:00 | INFO | found datacontroller dc1600000000 in ns1600000000\n\
        10:00:01 | INFO | NAMESPACE=\"ns1700000000\", controller (dc1700000000), ns2020, xns1700000001\n";

    fn data_controller(name: &str, namespace: &str, created: &str) -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "arcdata.microsoft.com/v5", "kind": "DataController",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created, "uid": name}}))
        .unwrap()
    }

    fn names(namespace: &str, data_controller: &str) -> Names {
        Names { namespace: namespace.to_owned(), data_controller: data_controller.to_owned() }
    }

    #[test]
    fn the_logs_last_names_are_the_launchs() {
        assert_eq!(chosen(LOG, &[], &[]), names("ns1700000000", "dc1700000000"));
        assert_eq!(chosen("nothing", &[], &[]), Names::default());
    }

    #[test]
    fn the_cluster_knows_better() {
        let old = data_controller("dc1", "a", "2026-01-01T00:00:00Z");
        let new = data_controller("dc2", "b", "2026-01-02T00:00:00Z");
        let own = data_controller("dc1700000000", "c", "2026-01-01T00:00:00Z");
        assert_eq!(chosen(LOG, &[], &[new.clone(), own]), names("c", "dc1700000000"));
        assert_eq!(chosen("nothing", &[], &[new, old]), names("b", "dc2"));
    }

    #[test]
    fn what_was_there_before_is_not_the_launchs() {
        let old = data_controller("dc1700000000", "ns1700000000", "2026-01-01T00:00:00Z");
        assert_eq!(
            chosen("removed dc1700000000 of ns1700000000", slice::from_ref(&old), slice::from_ref(&old)),
            Names::default()
        );
        assert_eq!(chosen(LOG, slice::from_ref(&old), slice::from_ref(&old)), names("ns1600000000", "dc1600000000"));
    }
}
