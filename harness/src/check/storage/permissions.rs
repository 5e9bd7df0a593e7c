//! Who may look into volumes: everyone in the pod, nobody else on the node.

use super::{STORAGE_DIRECTORY, claims};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::files::Act,
};

/// See its question.
pub const VOLUMES_ARE_OPEN_TO_ANY_USER: Check = Check {
    area: Area::Storage,
    name: "volumes_are_open_to_any_user",
    question: "Can a user other than root write to a volume, while the node's storage directory is closed to others?",
    needs: &[Capability::NodeExec, Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const CLAIM: &str = "open";

/// A user and group that no image knows: nothing but the directory's mode lets it write.
const USER: i64 = 10_001;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    claims::create(cx, &claims::claim(CLAIM)).await?;
    let acts = vec![Act::Write { path: claims::on_volume("by-user"), text: "written".to_owned() }];
    let probe = claims::probe(CLAIM, acts).with_pod(|pod| {
        let context = pod.spec.get_or_insert_default().security_context.get_or_insert_default();
        context.run_as_user = Some(USER);
        context.run_as_group = Some(USER);
        context.run_as_non_root = Some(true);
    });
    let answer: crate::probe::files::Answer = probe.run(cx).await?;
    evidence.saw("user of the pod", format!("{}:{}", answer.uid, answer.gid));
    evidence.require(i64::from(answer.uid) == USER, format!("the pod runs as user {USER}"), answer.uid)?;
    let written = answer.done.into_iter().find_map(Result::err);
    evidence.saw("writes", written.as_deref().unwrap_or("succeeded"));

    let volume = claims::volume(cx, CLAIM).await?;
    let directory = claims::directory(&volume)?;
    let parent = mode(cx, STORAGE_DIRECTORY).await?;
    let own = mode(cx, directory).await?;
    evidence.saw(format!("mode of {STORAGE_DIRECTORY}"), &parent).saw("mode of the volume's directory", &own);
    evidence.require(parent == "700 0:0", "the storage directory is root's alone (700 0:0)", &parent)?;
    evidence.require(own == "777 0:0", "a volume's directory is open to any user (777 0:0)", &own)?;
    evidence.require(written.is_none(), format!("user {USER} can write to the volume"), written.unwrap_or_default())?;

    let owner = mode(cx, &format!("{directory}/by-user")).await?;
    evidence.saw("the file on the node", &owner);
    evidence.require(owner.ends_with(&format!(" {USER}:{USER}")), "what was written belongs to its writer", &owner)?;
    Ok(())
}

/// Mode, owner and group of a path of the node: `700 0:0`.
async fn mode(cx: &Context, path: &str) -> Result<String, Failure> {
    let command = ["stat", "-c", "%a %u:%g", path];
    let looked = cx.cluster().node().exec(&command).await?.success(&command)?;
    Ok(looked.trim().to_owned())
}
