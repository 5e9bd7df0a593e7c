//! Access modes: a local-path volume is for one node.

use super::claims;
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
};
use kube::api::PostParams;

/// See its question.
pub const READ_WRITE_MANY_IS_REFUSED: Check = Check {
    area: Area::Storage,
    name: "read_write_many_is_refused",
    question: "Is a ReadWriteMany claim refused, and does an event say why?",
    needs: &[Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const CLAIM: &str = "shared";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let mut claim = claims::claim(CLAIM);
    claim.spec.get_or_insert_default().access_modes = Some(vec!["ReadWriteMany".to_owned()]);
    // The API accepts it, as it does not know what a provisioner can do.
    claims::create(cx, &claim).await?;
    evidence.saw("the API", "accepts the claim");

    // The provisioner is asked once a pod wants the claim; that pod never runs.
    let pod = claims::probe(CLAIM, Vec::new()).pod(cx.cluster().standin_image());
    cx.api().create(&PostParams::default(), &pod).await?;
    let refused = claims::event(cx, CLAIM, "ProvisioningFailed").await?.message.unwrap_or_default();
    let phase = claims::phase(cx, CLAIM).await?;
    evidence.saw("event ProvisioningFailed", &refused).saw("phase of the claim", &phase);
    // "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes", or "Only support ReadWriteOnce access mode"
    evidence.require(
        refused.contains("ReadWriteOnce") && refused.contains("access mode"),
        "the provisioner's event names the access modes that it supports",
        &refused,
    )?;
    evidence.require(phase == "Pending", "the claim stays Pending", phase)?;
    Ok(())
}
