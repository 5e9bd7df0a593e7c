//! One look at a DataController: what is missing or otherwise is made so, and the status tells what came of it.

use std::{sync::Arc, time::Duration};

use k3s_arc_container::Container;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::controller::Action,
};

use super::{
    answers::unanswered,
    desired,
    live::Live,
    status::{self, Seen},
    workload::RESOURCE_LABEL,
};
use crate::{
    arc::DataController,
    kubernetes::{ApiError, Attempted, FIELD_MANAGER},
    log::Log,
    manifest::Manifest,
    subset,
};

/// How soon to look again at what is not as it should be. Nothing tells the bootstrapper of a pod's reasons.
const AGAIN: Duration = Duration::from_secs(5);

/// How soon to ask again what has only to be put behind its Service, of which nothing tells either.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How soon to look again in any case: a watch can miss a change (see `launcher::wait`).
const ANYWAY: Duration = Duration::from_secs(30);

/// What every look needs.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) image: String,
    /// Where it asks the components from.
    pub(super) container: Arc<Container>,
    pub(super) log: Log,
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the objects cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Makes what the DataController asks for, and writes its status.
pub(super) async fn reconcile(data_controller: Arc<DataController>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    if data_controller.metadata.deletion_timestamp.is_some() {
        // What it owns goes with it, and must not be mended meanwhile.
        return Ok(Action::await_change());
    }
    let (seen, failed) = match mend(&data_controller, &context).await {
        Ok(seen) => (seen, None),
        Err(error) => (Seen::Failed(error.to_string()), Some(error)),
    };
    let next_look = match &seen {
        Seen::Served => Action::requeue(ANYWAY),
        Seen::Unanswered(_) => Action::requeue(ASK_AGAIN),
        Seen::Unavailable(_) | Seen::Failed(_) => Action::requeue(AGAIN),
    };
    if let Some(status) = status::next(&data_controller, &seen) {
        let name = data_controller.name_any();
        let namespace = data_controller.namespace().unwrap_or_default();
        let state = status.state.clone().unwrap_or_default();
        let told = status.conditions.first().map(|ready| ready.message.clone()).unwrap_or_default();
        let api = Api::<DataController>::namespaced(context.client.clone(), &namespace);
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        api.patch_status(&name, &PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() }, &patch)
            .await
            .attempted(|| format!("writing the status of DataController {name}"))?;
        context.log.info(format_args!("DataController {name} is {state}: {told}"));
    }
    failed.map_or(Ok(next_look), Err)
}

/// When to look again after a failure.
pub(super) fn again(_: Arc<DataController>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.log.warn(error);
    Action::requeue(AGAIN)
}

/// Makes what is missing or otherwise than asked for, and looks at the components.
async fn mend(data_controller: &DataController, context: &Context) -> Result<Seen, ReconcileError> {
    let (namespace, name) = (data_controller.namespace().unwrap_or_default(), data_controller.name_any());
    let desired = desired::objects(data_controller, &context.image)?;
    let live = Live::list(&context.client, &namespace, &name, &desired)
        .await
        .attempted(|| format!("listing what DataController {name} owns"))?;
    for desired in &desired {
        if let Some(difference) = differs(desired, &live)? {
            desired.apply(&context.client).await?;
            context.log.info(format_args!("applied {}: {difference}", desired.title()));
        }
    }
    let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let of_ours = ListParams::default().labels(&format!("{RESOURCE_LABEL}={name}")).match_any();
    let pods = pods.list(&of_ours).await.attempted(|| format!("listing the pods of DataController {name}"))?;
    let unavailable = status::unavailable(&live, &pods.items);
    if !unavailable.is_empty() {
        return Ok(Seen::Unavailable(unavailable));
    }
    let unanswered = unanswered(&live, &context.container).await;
    Ok(if unanswered.is_empty() { Seen::Served } else { Seen::Unanswered(unanswered) })
}

/// How what is there differs from what is asked for; none if it does not, or is on its way out.
fn differs(desired: &Manifest, live: &Live) -> Result<Option<String>, ReconcileError> {
    let Some(found) = live.find(&desired.resource.kind, &desired.object.name_any()) else {
        return Ok(Some("it was missing".into()));
    };
    if found.metadata.deletion_timestamp.is_some() {
        // Its end brings an event.
        return Ok(None);
    }
    let found = serde_json::to_value(found)?;
    let mut asked = serde_json::to_value(&desired.object)?;
    if let Some(asked) = asked.as_object_mut() {
        // The items of a list do not say their type.
        asked.remove("apiVersion");
        asked.remove("kind");
    }
    Ok(subset::missing(&asked, &found).map(|path| format!("{path} was not as asked for")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bootstrapper::desired::tests::data_controller;

    #[test]
    fn what_is_missing_or_changed_is_applied_and_nothing_else() {
        let desired = desired::objects(&data_controller(json!("local-path"), "NodePort"), "standin:1").unwrap();
        let controldb = desired
            .iter()
            .find(|desired| desired.resource.kind == "StatefulSet" && desired.object.name_any() == "controldb")
            .unwrap();
        assert_eq!(differs(controldb, &Live::default()).unwrap().as_deref(), Some("it was missing"));

        let mut stored = serde_json::to_value(&controldb.object).unwrap();
        stored["status"] = json!({"readyReplicas": 1});
        stored["spec"]["podManagementPolicy"] = json!("OrderedReady");
        assert_eq!(differs(controldb, &Live::of(vec![stored.clone()])).unwrap(), None);

        let mut scaled = stored.clone();
        scaled["spec"]["replicas"] = json!(0);
        assert_eq!(differs(controldb, &Live::of(vec![scaled])).unwrap().as_deref(), Some("spec.replicas was not as asked for"));

        stored["spec"]["replicas"] = json!(0);
        stored["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(differs(controldb, &Live::of(vec![stored])).unwrap(), None);
    }
}
