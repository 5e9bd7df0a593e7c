//! Deleting what was applied, the way `kubectl delete -k` does.

use std::{fmt::Write, time::Duration};

use k3s_arc_standin::kubernetes::is_not_found;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::DynamicObject,
};
use tokio::time::Instant;

use super::{Launch, LaunchError, job::is_job};
use crate::{
    launcher::overlay::title,
    wait::{self, WaitError},
};

/// Deletes every object, then waits until each is gone.
pub(super) async fn all(launch: &Launch) -> Result<(), LaunchError> {
    let ends = Instant::now() + launch.deletion;
    let mut going = Vec::new();
    for object in &launch.objects {
        let refused = |error: &kube::Error| launch.refused(format!("delete {}", title(object)), error);
        let api = match launch.api_of(object).await {
            Ok(api) => api,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(refused(&error)),
        };
        match api.get_opt(&object.name_any()).await.map_err(|error| refused(&error))? {
            Some(existing) if launch.is_ours(&existing) => {
                request(launch, &api, &existing, DeleteParams::background()).await?;
                going.push((api, existing));
            }
            Some(_) => tracing::warn!("{} is not ours and stays", title(object)),
            None => {}
        }
    }
    for (api, object) in going {
        gone(launch, &api, &object, ends.saturating_duration_since(Instant::now())).await?;
    }
    Ok(())
}

/// Deletes one object with what depends on it, and waits until it is gone.
pub(super) async fn one(
    launch: &Launch,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    deadline: Duration,
) -> Result<(), LaunchError> {
    // A Job's pods are to be gone, too: an earlier launcher may be working still.
    let parameters = if is_job(object) { DeleteParams::foreground() } else { DeleteParams::background() };
    request(launch, api, object, parameters).await?;
    gone(launch, api, object, deadline).await
}

async fn request(
    launch: &Launch,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    parameters: DeleteParams,
) -> Result<(), LaunchError> {
    // Never another that has come to stand in its place.
    let parameters = parameters.preconditions(Preconditions { uid: object.uid(), resource_version: None });
    match api.delete(&object.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(launch.refused(format!("delete {}", title(object)), &error)),
    }
}

async fn gone(launch: &Launch, api: &Api<DynamicObject>, object: &DynamicObject, deadline: Duration) -> Result<(), LaunchError> {
    let uid = object.uid();
    let what = format!("{} is gone", title(object));
    let waited = wait::until(api.clone(), wait::named(&object.name_any()), &what, deadline, |left: &[DynamicObject]| {
        if left.iter().any(|left| left.uid() == uid) {
            wait::Seen::NotYet("still there".to_owned())
        } else {
            wait::Seen::Done(())
        }
    });
    match waited.await {
        Ok(()) => Ok(()),
        Err(WaitError::Deadline { .. } | WaitError::Never { .. }) => {
            let left = api
                .get_opt(&object.name_any())
                .await
                .map_err(|error| launch.refused(format!("look at {}", title(object)), &error))?;
            match left.filter(|left| left.uid() == uid) {
                Some(left) => Err(stuck(&left, launch.deletion)),
                None => Ok(()),
            }
        }
    }
}

/// A kind that is not served has no objects.
fn is_absent(error: &kube::Error) -> bool {
    is_not_found(error) || matches!(error, kube::Error::Discovery(_))
}

/// What holds an object that is to be deleted.
fn stuck(object: &DynamicObject, after: Duration) -> LaunchError {
    let mut why = match &object.metadata.deletion_timestamp {
        Some(since) => format!("being deleted since {}", since.0),
        None => "not even marked for deletion".to_owned(),
    };
    if !object.finalizers().is_empty() {
        let _ = write!(why, "; finalizers: {}", object.finalizers().join(", "));
    }
    // What a namespace's controller says of its content: everything that is true of it and not good.
    let conditions = object.data.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    let is_namespace = object.types.as_ref().is_some_and(|types| types.kind == "Namespace");
    for condition in conditions.into_iter().flatten().filter(|condition| is_namespace && condition["status"] == "True") {
        let _ = write!(why, "; {}", condition["message"].as_str().unwrap_or_default());
    }
    let remedy = if why.contains("Discovery failed") || why.contains("DiscoveryFailed") {
        "an API service does not answer, and no namespace goes while that is so: `kubectl get apiservice`"
    } else if why.contains("finalizer") {
        "what set the finalizers has to remove them; if it is gone for good, `kubectl patch ... -p '{\"metadata\":{\"finalizers\":null}}' --type=merge`"
    } else {
        "see what is left: `kubectl get all,pvc,secret,configmap` in its namespace, and the node's kubelet for pods that do not end"
    };
    LaunchError::Stuck { object: title(object), after, why, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::launcher::input::rendered;

    #[test]
    fn a_stuck_namespace_is_explained() {
        let namespace: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "arc-ci-launcher", "deletionTimestamp": "2026-11-01T10:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Terminating", "conditions": [
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources successfully discovered"},
                {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: datacontrollers.arcdata.microsoft.com has 1 resource instances"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: arcdata.microsoft.com/x in 1 resource instances"},
            ]},
        }))
        .unwrap();
        insta::assert_snapshot!(rendered(&stuck(&namespace, Duration::from_secs(180))));
    }

    #[test]
    fn an_object_held_by_finalizers_is_explained() {
        let job: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "arc-ci-launcher", "deletionTimestamp": "2026-11-01T10:00:00Z", "finalizers": ["foregroundDeletion"]},
        }))
        .unwrap();
        let error = stuck(&job, Duration::from_secs(90)).to_string();
        assert!(error.contains("job.batch/arc-ci-launcher") && error.contains("finalizers: foregroundDeletion"), "{error}");
    }
}
