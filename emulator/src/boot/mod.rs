//! The objects that a new cluster has: taken from a running K3s, as `xtask schema` takes its types.

use serde_json::Value;

use crate::access::User;
use crate::cluster::Cluster;
use crate::controllers::events::{Events, Note, Source};
use crate::field::quote;
use crate::kinds::view::text;
use crate::status::Refusal;
use crate::store::Key;

/// One object a line: what K3s v1.34.1 puts into a new cluster, without what differs from one cluster to the next.
const OBJECTS: &str = include_str!("v1.34.1.jsonl");

/// Gives an empty store the objects of a new cluster, whose server is that node.
pub(crate) fn boot(cluster: &Cluster, server: &str) -> Result<(), Refusal> {
    if cluster.store.count("namespaces") > 0 {
        return Ok(());
    }
    let now = cluster.now();
    let mut addons = Vec::new();
    for line in OBJECTS.lines() {
        let mut object: Value = serde_json::from_str(line).map_err(|e| Refusal::internal(&e.to_string()))?;
        let [api_version, kind] = ["apiVersion", "kind"].map(|key| text(&object[key]).to_owned());
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let registry = cluster.registry();
        let Some(served) = registry.of_kind(group, version, &kind) else {
            return Err(Refusal::internal(&format!("{api_version} {kind} is not served")));
        };
        let metadata = &mut object["metadata"];
        metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
        metadata["creationTimestamp"] = now.clone().into();
        for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            entry["time"] = now.clone().into();
            if let Some(who) = entry["manager"].as_str().and_then(|manager| manager.strip_suffix("@k3s")) {
                entry["manager"] = format!("{who}@{server}").into();
            }
        }
        let name = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let key = Key::new(&served.table, &name("namespace"), &name("name"));
        let stored = cluster.store.create(&key, served.to_stored(object));
        if let Ok(stored) = stored {
            cluster.committed(served, &stored);
            if kind == "Addon" {
                addons.push(served.live(&stored));
            }
        }
    }
    tell_of(cluster, server, &addons);
    Ok(())
}

/// K3s's manifests have been applied, says who does that.
fn tell_of(cluster: &Cluster, server: &str, addons: &[Value]) {
    let (mut events, user) = (Events::default(), User::system());
    let source = Source { component: "deploy", host: server };
    for addon in addons {
        let at = quote(text(&addon["spec"]["source"]));
        for (reason, doing) in [("ApplyingManifest", "Applying"), ("AppliedManifest", "Applied")] {
            let message = format!("{doing} manifest at {at}");
            let note = Note { about: addon, part: "", source, warning: false, reason, message: &message };
            events.record(cluster, &user, &note);
        }
    }
}
