//! What becomes of a volume when its claim is deleted.

use std::fmt::{self, Display};

use futures::{FutureExt, future::try_join};
use k3s_arc_standin::kubernetes::unless_not_found;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{PROVISIONER, STORAGE_DIRECTORY, claims};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::files::Act,
    wait::{self, Seen, WaitError},
};

/// See its question.
pub const RECLAIM_DELETE: Check = Check {
    area: Area::Storage,
    name: "reclaim_delete",
    question: "Does deleting a claim of the default class remove its volume and empty the node's disk?",
    needs: &[Capability::NodeExec, Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask_delete(cx, evidence)),
};

/// See its question.
pub const RECLAIM_RETAIN: Check = Check {
    area: Area::Storage,
    name: "reclaim_retain",
    question: "Does a volume of a class with reclaimPolicy Retain, and what is in it, stay when its claim is deleted?",
    needs: &[Capability::NodeExec, Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask_retain(cx, evidence)),
};

const CLAIM: &str = "reclaimed";
/// One that is not retained, beside one that is.
const OTHER: &str = "not-retained";
const FILE: &str = "data.mdf";

async fn ask_delete(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let volume = Volume::filled(cx, claims::claim(CLAIM)).await?;
    evidence.saw("volume", &volume);
    volume.delete_claim(cx).await?;
    volume.gone(cx).await?;
    // The provisioner removes the directory before the volume.
    let left = claims::is_on_node(cx, &volume.directory).await?;
    evidence
        .saw("after the claim was deleted", if left { "the volume is gone, its directory is there" } else { "both are gone" });
    evidence.require(!left, "the volume's directory goes with it", format!("{} is still on the node", volume.directory))
}

async fn ask_retain(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    // Nor may a panic leave anything on the node.
    let answer = std::panic::AssertUnwindSafe(retain(cx, evidence)).catch_unwind().await;
    let removed = remove_what_was_retained(cx).await;
    answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    removed
}

async fn retain(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let class = StorageClass {
        metadata: ObjectMeta { name: Some(class_name(cx)), labels: Some(cx.cluster().labels()), ..ObjectMeta::default() },
        provisioner: PROVISIONER.to_owned(),
        reclaim_policy: Some("Retain".to_owned()),
        volume_binding_mode: Some("WaitForFirstConsumer".to_owned()),
        ..StorageClass::default()
    };
    cx.api_all().create(&PostParams::default(), &class).await?;
    let retained = claims::claim_of_class(CLAIM, &class_name(cx));
    let (retained, other) = try_join(Volume::filled(cx, retained), Volume::filled(cx, claims::claim(OTHER))).await?;
    evidence.saw("volume", &retained).saw("volume of the default class", &other);
    evidence.require(retained.policy == "Retain", "the volume has its class's reclaim policy", &retained.policy)?;
    let labels = Patch::Merge(json!({"metadata": {"labels": cx.cluster().labels()}}));
    cx.api_all::<PersistentVolume>().patch_metadata(&retained.name, &PatchParams::default(), &labels).await?;

    retained.delete_claim(cx).await?;
    retained.released(cx).await?;
    // A volume that is only about to be deleted is Released, too. When one whose claim was deleted later is gone, whoever
    // deletes volumes has had this one before.
    other.delete_claim(cx).await?;
    other.gone(cx).await?;
    let phase = retained.phase(cx).await?;
    let kept = claims::is_on_node(cx, &retained.file()).await?;
    evidence
        .saw("phase when the one of the default class was gone", &phase)
        .saw("its file on the node", if kept { "is there" } else { "is gone" });
    evidence.require(phase == "Released", "the volume stays, Released", phase)?;
    evidence.require(kept, "what was written stays on the node", format!("{} is gone", retained.file()))
}

/// A volume with a file in it.
struct Volume {
    name: String,
    claim: String,
    policy: String,
    directory: String,
}

impl Volume {
    /// Creates the claim and has a pod write a file to its volume, which the node then has.
    async fn filled(cx: &Context, claim: PersistentVolumeClaim) -> Result<Self, Failure> {
        let claim = claims::create(cx, &claim).await?.name_any();
        let acts = vec![Act::Write { path: claims::on_volume(FILE), text: "worth keeping".to_owned() }];
        let wrote = claims::act(cx, &claim, acts).await?.done;
        if wrote.iter().any(Result::is_err) {
            return Err(Failure::new("a pod can write to the volume", format!("{wrote:?}")));
        }
        let volume = claims::volume(cx, &claim).await?;
        let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.clone()).unwrap_or_default();
        let volume = Self { name: volume.name_any(), claim, policy, directory: claims::directory(&volume)?.to_owned() };
        match claims::is_on_node(cx, &volume.file()).await? {
            true => Ok(volume),
            false => Err(Failure::new("the file that the pod wrote is on the node", format!("there is no {}", volume.file()))),
        }
    }

    fn file(&self) -> String {
        format!("{}/{FILE}", self.directory)
    }

    async fn delete_claim(&self, cx: &Context) -> Result<(), kube::Error> {
        cx.api::<PersistentVolumeClaim>().delete(&self.claim, &DeleteParams::default()).await.map(drop)
    }

    async fn gone(&self, cx: &Context) -> Result<(), WaitError> {
        let what = format!("volume {} goes with its claim", self.name);
        wait::until_gone(cx.api_all::<PersistentVolume>(), wait::named(&self.name), what, claims::DEADLINE).await
    }

    async fn released(&self, cx: &Context) -> Result<(), WaitError> {
        let what = format!("volume {} is released", self.name);
        wait::until(cx.api_all(), wait::named(&self.name), what, claims::DEADLINE, |volumes| match volumes.first().map(phase) {
            Some("Released") => Seen::Done(()),
            Some(phase) => Seen::NotYet(format!("it is {phase}")),
            None => Seen::Never("it is gone".to_owned()),
        })
        .await
    }

    async fn phase(&self, cx: &Context) -> Result<String, kube::Error> {
        let volume = cx.api_all::<PersistentVolume>().get_opt(&self.name).await?;
        Ok(volume.as_ref().map_or("none: the volume is gone", phase).to_owned())
    }
}

impl Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, reclaim policy {}, in {}", self.name, self.policy, self.directory)
    }
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("none")
}

/// Of this check alone: its namespace is, and a class belongs to the whole cluster.
fn class_name(cx: &Context) -> String {
    format!("retain-{}", cx.namespace())
}

/// Removes class, claim, volume and directory, as far as the check came in making them.
async fn remove_what_was_retained(cx: &Context) -> Result<(), Failure> {
    // First the class, so that nothing new is made of it.
    unless_not_found(cx.api_all::<StorageClass>().delete(&class_name(cx), &DeleteParams::default()).await)?;
    unless_not_found(cx.api::<PersistentVolumeClaim>().delete(CLAIM, &DeleteParams::default()).await)?;
    let volumes: Api<PersistentVolume> = cx.api_all();
    for volume in volumes.list(&ListParams::default()).await?.items {
        let spec = volume.spec.as_ref();
        if spec.and_then(|spec| spec.storage_class_name.as_deref()) != Some(&class_name(cx)) {
            continue;
        }
        unless_not_found(volumes.delete(&volume.name_any(), &DeleteParams::default()).await)?;
        let directory = claims::directory(&volume)?;
        // What is removed as root on somebody's node is certain to be this check's.
        let own = format!("{STORAGE_DIRECTORY}/{}_{}_{CLAIM}", volume.name_any(), cx.namespace());
        if directory == own {
            let command = ["rm", "-rf", directory];
            cx.cluster().node().exec(&command).await?.success(&command)?;
        }
    }
    Ok(())
}
