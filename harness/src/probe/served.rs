//! *Ready means served*: whether something new works on a cluster.

use std::{collections::BTreeMap, time::Duration};

use k3s_arc_standin::{kubernetes::unless_not_found, probe::served};
use k8s_openapi::{
    api::core::v1::{
        PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Pod, Volume, VolumeMount,
        VolumeResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use super::{Probe, ProbeError, Request};

const NAME: &str = "served";
const DIRECTORY: &str = "/data";
const SERVICE: &str = "kubernetes.default.svc";

/// Whether the cluster serves: a new pod with a new claim of the default class runs, writes to its volume, and resolves the
/// name of the API's Service. After a restart the API shows statuses from before; only something new proves anything.
///
/// Pod and claim are removed afterwards, in failure too; a pod that was judged too early is replaced.
///
/// # Errors
/// [`ProbeError`], which says how far it came.
pub async fn served(client: Client, namespace: &str, image: &str, deadline: Duration) -> Result<(), ProbeError> {
    let api = |attempted| move |source| ProbeError::Api { probe: NAME.to_owned(), attempted, source };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.create(&PostParams::default(), &claim()).await.map_err(api("create its claim"))?.name_any();

    // Half of the time, so that a DNS that does not come is told by the probe and not by the deadline.
    let patience_ms = u64::try_from(deadline.as_millis() / 2).unwrap_or(u64::MAX);
    let request = Request::Served(served::Request { directory: DIRECTORY.into(), name: SERVICE.to_owned(), patience_ms });
    let probe = Probe::new(NAME).asking(request).with_pod(|pod| mount(pod, &claim)).deadline(deadline);
    let served: Result<served::Answer, _> = probe.run_in(client.clone(), namespace, image).await;

    // A pod that failed is still there, and would hold the claim.
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let removed = pods.delete(&claim, &DeleteParams::default().grace_period(0)).await;
    let released = claims.delete(&claim, &DeleteParams::default()).await;
    served?;
    unless_not_found(removed).map_err(api("delete its pod"))?;
    released.map_err(api("delete its claim"))?;
    Ok(())
}

fn claim() -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { generate_name: Some(format!("probe-{NAME}-")), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity("1Mi".to_owned()))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// Gives the pod the claim, and the claim's name, so that it can be removed by it.
fn mount(pod: &mut Pod, claim: &str) {
    pod.metadata.name = Some(claim.to_owned());
    let Some(spec) = &mut pod.spec else { return };
    spec.volumes.get_or_insert_default().push(Volume {
        name: "data".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None }),
        ..Volume::default()
    });
    for container in &mut spec.containers {
        container.volume_mounts.get_or_insert_default().push(VolumeMount {
            name: "data".to_owned(),
            mount_path: DIRECTORY.to_owned(),
            ..VolumeMount::default()
        });
    }
}
