//! Whether the nodes run the stand-in's image. Nothing puts it there: either they can pull it, or somebody has imported it.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
};

use super::ExistingError;
use crate::{
    image::Standin,
    probe::{Probe, Request, files},
    wait::{self, Seen, WaitError},
};

/// How many nodes are asked at once.
const AT_ONCE: usize = 8;

/// Why a kubelet's pods wait that have no image.
const NO_IMAGE: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"];

/// Runs a pod of the stand-in on each node.
pub(super) async fn runs_on_each(
    client: &Client,
    namespace: &str,
    nodes: impl Iterator<Item = &Node>,
    standin: &Standin,
    deadline: Duration,
) -> Result<(), ExistingError> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let asked = nodes.map(|node| runs_on(&pods, node.name_any(), standin, deadline));
    stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
}

async fn runs_on(pods: &Api<Pod>, node: String, standin: &Standin, deadline: Duration) -> Result<(), ExistingError> {
    let refused = |cause: String| ExistingError::Standin {
        node: node.clone(),
        image: standin.reference().to_owned(),
        cause,
        remedy: remedy(standin),
    };
    let probe = Probe::new("image").asking(Request::Files(files::Request { acts: Vec::new() }));
    let probe = probe.with_pod(|pod| pod.spec.get_or_insert_default().node_name = Some(node.clone()));
    let created = pods.create(&PostParams::default(), &probe.pod(standin.reference())).await;
    let name = created.map_err(|error| refused(crate::chain(&error)))?.name_any();
    let built_in = matches!(standin, Standin::BuiltIn { .. });
    let what = format!("node {node} runs the stand-in");
    let ran = wait::until(pods.clone(), wait::named(&name), what, deadline, |pods| ran(pods, built_in)).await;
    // With the namespace it would go as well; a node's slot is not held for longer than need be.
    let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
    ran.map_err(|error| match error {
        WaitError::Never { reason, .. } => refused(reason),
        WaitError::Deadline { last, .. } => refused(last),
    })
}

/// Whether the pod has run. No registry has the image that is built in, so the first refusal of that is the last.
fn ran(pods: &[Pod], built_in: bool) -> Seen<()> {
    let Some(status) = pods.first().and_then(|pod| pod.status.as_ref()) else {
        return Seen::NotYet("the pod has no status".to_owned());
    };
    let phase = status.phase.as_deref().unwrap_or("without a phase");
    let told =
        |reason: Option<&str>, message: Option<&str>| [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let state = status.container_statuses.iter().flatten().find_map(|container| container.state.as_ref());
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let told = told(waiting.reason.as_deref(), waiting.message.as_deref());
        let no_image = waiting.reason.as_deref().is_some_and(|reason| NO_IMAGE.contains(&reason));
        return if built_in && no_image { Seen::Never(told) } else { Seen::NotYet(told) };
    }
    match (phase, state.and_then(|state| state.terminated.as_ref())) {
        ("Succeeded", _) => Seen::Done(()),
        ("Failed", Some(end)) => {
            Seen::Never(format!("it ended with {}: {}", end.exit_code, told(end.reason.as_deref(), end.message.as_deref())))
        }
        ("Failed", None) => Seen::Never(told(status.reason.as_deref(), status.message.as_deref())),
        _ => Seen::NotYet(phase.to_owned()),
    }
}

fn remedy(standin: &Standin) -> String {
    match standin {
        Standin::BuiltIn { .. } => "`k3s-arc standin-image --output standin.tar` writes it; import that on every node (`k3s ctr images \
             import standin.tar`, `kind load image-archive standin.tar`, `k3d image import standin.tar`), or push it to a registry \
             of the cluster's and name it in K3S_ARC_STANDIN_IMAGE"
            .to_owned(),
        Standin::Published { .. } => {
            "K3S_ARC_STANDIN_IMAGE names it: see that every node can pull it, and that it is of their architecture".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(phase: &str, state: Value) -> Pod {
        let status = json!({"name": "probe", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        serde_json::from_value(json!({"metadata": {}, "status": {"phase": phase, "containerStatuses": [status]}})).unwrap()
    }

    #[rstest]
    #[case::ran(pod("Succeeded", json!({"terminated": {"exitCode": 0}})), true, Seen::Done(()))]
    #[case::in_no_registry(
        pod("Pending", json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}})), true,
        Seen::Never("ErrImagePull: not found".to_owned())
    )]
    #[case::perhaps_later(
        pod("Pending", json!({"waiting": {"reason": "ErrImagePull", "message": "timeout"}})), false,
        Seen::NotYet("ErrImagePull: timeout".to_owned())
    )]
    #[case::of_another_architecture(
        pod("Failed", json!({"terminated": {"exitCode": 255, "reason": "Error", "message": "exec format error"}})), false,
        Seen::Never("it ended with 255: Error: exec format error".to_owned())
    )]
    fn a_pods_status_tells_whether_the_image_is_there(#[case] pod: Pod, #[case] built_in: bool, #[case] expected: Seen<()>) {
        assert_eq!(ran(&[pod], built_in), expected);
    }
}
