//! From a claim to a bound volume.

use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::{ResourceExt, api::ListParams};

use super::{LOCAL_PATH, STORAGE_DIRECTORY, claims};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::files::Act,
};

/// See its question.
pub const A_CLAIM_WAITS_THEN_BINDS: Check = Check {
    area: Area::Storage,
    name: "a_claim_waits_then_binds",
    question: "Does a claim wait for a pod that wants it, and then become the volume that local-path documents?",
    needs: &[Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const CLAIM: &str = "waits";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let claim = claims::create(cx, &claims::claim(CLAIM)).await?;

    // The event says that the claim was looked at and left alone; a phase alone would also be that of a claim not seen yet.
    let event = claims::event(cx, CLAIM, "WaitForFirstConsumer").await?;
    let before = claims::phase(cx, CLAIM).await?;
    evidence.saw("event before a pod wants it", event.message.unwrap_or_default()).saw("phase before a pod wants it", &before);
    evidence.require(before == "Pending", "the claim is Pending until a pod wants it", before)?;

    let acts = vec![Act::Write { path: claims::on_volume("used"), text: "used".to_owned() }];
    let used = claims::act(cx, CLAIM, acts).await?;
    evidence.require(used.done.iter().all(Result::is_ok), "a pod can write to the volume", format!("{:?}", used.done))?;
    let volume = claims::volume(cx, CLAIM).await?;
    evidence.saw("phase after a pod used it", "Bound").saw("volume", volume.name_any());

    // pvc-<uid of the claim>_<namespace>_<name>
    let expected = format!("{STORAGE_DIRECTORY}/pvc-{}_{}_{CLAIM}", claim.uid().unwrap_or_default(), cx.namespace());
    let directory = claims::directory(&volume)?;
    evidence.saw("directory", directory);
    evidence.require(directory == expected, format!("its directory is {expected}"), directory)?;

    let spec = volume.spec.as_ref();
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or("none");
    let reclaim = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("none");
    let modes = spec.and_then(|spec| spec.access_modes.clone()).unwrap_or_default().join(", ");
    let node = bound_to_node(&volume).unwrap_or_else(|| "none".to_owned());
    evidence.saw("class", class).saw("reclaim policy", reclaim).saw("access modes", &modes).saw("node affinity", &node);
    evidence.require(class == LOCAL_PATH, format!("its class is {LOCAL_PATH}"), class)?;
    evidence.require(reclaim == "Delete", "it is deleted with its claim", reclaim)?;
    evidence.require(modes == "ReadWriteOnce", "its access mode is the one asked for", &modes)?;
    let hostnames = hostnames(cx).await?;
    evidence.require(
        hostnames.contains(&node),
        "its node affinity names the one node that has the directory",
        format!("{node}; the nodes are {}", hostnames.join(", ")),
    )?;
    Ok(())
}

/// The one host name to which a volume's node affinity holds its pods; nothing, if it is of another form.
fn bound_to_node(volume: &PersistentVolume) -> Option<String> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let [term] = required.node_selector_terms.as_slice() else { return None };
    let [expression] = term.match_expressions.as_deref()? else { return None };
    let [value] = expression.values.as_deref()? else { return None };
    (expression.key == HOSTNAME && expression.operator == "In").then(|| value.clone())
}

/// The label by which the provisioner names a node.
const HOSTNAME: &str = "kubernetes.io/hostname";

async fn hostnames(cx: &Context) -> Result<Vec<String>, kube::Error> {
    let nodes = cx.api_all::<Node>().list(&ListParams::default()).await?;
    Ok(nodes.items.iter().filter_map(|node| node.labels().get(HOSTNAME).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::one(json!([{"key": HOSTNAME, "operator": "In", "values": ["a"]}]), Some("a"))]
    #[case::two_nodes(json!([{"key": HOSTNAME, "operator": "In", "values": ["a", "b"]}]), None)]
    #[case::all_but_one(json!([{"key": HOSTNAME, "operator": "NotIn", "values": ["a"]}]), None)]
    #[case::nothing(json!([]), None)]
    fn an_affinity_holds_to_one_node_or_to_none(#[case] expressions: serde_json::Value, #[case] node: Option<&str>) {
        let volume = serde_json::from_value(json!({"spec": {"nodeAffinity": {"required": {
            "nodeSelectorTerms": [{"matchExpressions": expressions}],
        }}}}))
        .unwrap();
        assert_eq!(bound_to_node(&volume).as_deref(), node);
    }
}
