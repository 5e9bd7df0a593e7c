//! What the checks do with claims and their volumes.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{
        Event, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Pod,
        Volume, VolumeMount, VolumeResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    ResourceExt,
    api::{ObjectMeta, PostParams},
};

use crate::{
    check::{Context, Failure},
    namespace::MANAGED_BY,
    probe::{
        Probe, ProbeError, Request,
        files::{self, Act},
    },
    wait::{self, Seen, WaitError},
};

/// Where pods of the checks mount their volume.
pub(super) const MOUNT: &str = "/data";

/// What a claim of the checks asks for, in Kubernetes' notation.
pub(super) const SIZE: &str = "1Mi";

/// Within this, the cluster has done what it does with a claim. Provisioning takes 6 s on a K3s that has nothing else to do.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// The labels of everything that a check makes.
pub(super) fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])
}

/// A claim of the default class for one node to write to.
pub(super) fn claim(name: &str) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(SIZE.to_owned()))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// The same, of another class than the default one.
pub(super) fn claim_of_class(name: &str, class: &str) -> PersistentVolumeClaim {
    let mut claim = claim(name);
    claim.spec.get_or_insert_default().storage_class_name = Some(class.to_owned());
    claim
}

/// Creates a claim in the check's namespace.
pub(super) async fn create(cx: &Context, claim: &PersistentVolumeClaim) -> Result<PersistentVolumeClaim, kube::Error> {
    cx.api().create(&PostParams::default(), claim).await
}

/// Gives the pod's containers the claim's volume at [`MOUNT`].
pub(super) fn mount(pod: &mut Pod, claim: &str) {
    let spec = pod.spec.get_or_insert_default();
    spec.volumes.get_or_insert_default().push(Volume {
        name: "data".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None }),
        ..Volume::default()
    });
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let mount = VolumeMount { name: "data".to_owned(), mount_path: MOUNT.to_owned(), ..VolumeMount::default() };
        container.volume_mounts.get_or_insert_default().push(mount);
    }
}

/// A path on the volume.
pub(super) fn on_volume(name: &str) -> std::path::PathBuf {
    std::path::Path::new(MOUNT).join(name)
}

/// Does these things in a pod that has the claim's volume, and ends.
pub(super) async fn act(cx: &Context, claim: &str, acts: Vec<Act>) -> Result<files::Answer, ProbeError> {
    probe(claim, acts).run(cx).await
}

/// The probe that does these things in a pod that has the claim's volume.
pub(super) fn probe(claim: &str, acts: Vec<Act>) -> Probe {
    Probe::new(claim).asking(Request::Files(files::Request { acts })).with_pod(|pod| mount(pod, claim))
}

/// Waits for an event about the claim with this reason.
pub(super) async fn event(cx: &Context, claim: &str, reason: &str) -> Result<Event, WaitError> {
    let about =
        wait::Selection::default().fields(&format!("involvedObject.name={claim},involvedObject.kind=PersistentVolumeClaim"));
    let what = format!("event {reason} about claim {claim}");
    wait::until(cx.api::<Event>(), about, what, DEADLINE, |events| {
        match events.iter().find(|event| event.reason.as_deref() == Some(reason)) {
            Some(event) => Seen::Done(event.clone()),
            None => {
                let told = |event: &Event| {
                    format!("{}: {}", event.reason.as_deref().unwrap_or_default(), event.message.as_deref().unwrap_or_default())
                };
                match events {
                    [] => Seen::NotYet("no event about it".to_owned()),
                    others => Seen::NotYet(others.iter().map(told).collect::<Vec<_>>().join("; ")),
                }
            }
        }
    })
    .await
}

/// The claim's phase now.
pub(super) async fn phase(cx: &Context, claim: &str) -> Result<String, kube::Error> {
    let claim: Option<PersistentVolumeClaim> = cx.api().get_opt(claim).await?;
    Ok(match claim {
        Some(claim) => claim.status.and_then(|status| status.phase).unwrap_or_else(|| "none".to_owned()),
        None => "none: the claim is gone".to_owned(),
    })
}

/// The volume that a claim is bound to.
pub(super) async fn volume(cx: &Context, claim: &str) -> Result<PersistentVolume, Failure> {
    let claim: PersistentVolumeClaim = cx.api().get(claim).await?;
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("none");
    match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        Some(volume) if phase == "Bound" => Ok(cx.api_all().get(volume).await?),
        _ => Err(Failure::new(
            format!("claim {} is bound once a pod has used it", claim.name_any()),
            format!("its phase is {phase}"),
        )),
    }
}

/// The directory on the node that is the volume. The provisioner makes volumes of type `local` or `hostPath`, as its class
/// says.
pub(super) fn directory(volume: &PersistentVolume) -> Result<&str, Failure> {
    let spec = volume.spec.as_ref();
    let local = spec.and_then(|spec| spec.local.as_ref()).map(|local| local.path.as_str());
    local.or_else(|| spec.and_then(|spec| spec.host_path.as_ref()).map(|host| host.path.as_str())).ok_or_else(|| {
        Failure::new("a local-path volume is a directory of a node (local or hostPath)", format!("{} is none", volume.name_any()))
    })
}

/// Whether the node has this file or directory.
pub(super) async fn is_on_node(cx: &Context, path: &str) -> Result<bool, Failure> {
    let looked = cx.cluster().node().exec(&["stat", path]).await?;
    match looked.exit_code {
        0 => Ok(true),
        _ if looked.stderr.contains("No such file") => Ok(false),
        _ => Err(Failure::new(format!("the node tells whether {path} is there"), looked.stderr.trim())),
    }
}
