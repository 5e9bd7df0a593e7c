//! Capacity: what a claim asks for, and what its volume takes.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::claims;
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::files::{Act, Done},
    quantity::{Amount, amount_in},
};

/// See its question.
pub const CAPACITY_IS_NOT_ENFORCED: Check = Check {
    area: Area::Storage,
    name: "capacity_is_not_enforced",
    question: "Does a volume take more than its claim asked for, as local-path documents (capacity is not enforced)?",
    needs: &[Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const CLAIM: &str = "small";

/// Many times what the claim asks for, and little for a disk.
const WRITTEN: u64 = 16 << 20;

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    claims::create(cx, &claims::claim(CLAIM)).await?;
    let path = claims::on_volume("big");
    let done = claims::act(cx, CLAIM, vec![Act::Fill { path: path.clone(), bytes: WRITTEN }, Act::Stat(path)]).await?.done;

    let claim: PersistentVolumeClaim = cx.api().get(CLAIM).await?;
    let capacity = amount_in(claim.status.as_ref().and_then(|status| status.capacity.as_ref()), "storage").unwrap_or_default();
    let size = match done.as_slice() {
        [Ok(Done::Wrote(_)), Ok(Done::Stat(stat))] => Amount::units(stat.size.cast_signed()),
        _ => Amount::default(),
    };
    evidence.saw("capacity of the claim", capacity.of("storage")).saw("written to its volume", size.of("storage"));
    evidence.require(
        Some(capacity) == Amount::parse(claims::SIZE),
        "the claim has the capacity that it asked for",
        capacity.of("storage"),
    )?;
    evidence.require(
        size == Amount::units(WRITTEN.cast_signed()),
        "more is written than the claim's capacity",
        format!("{done:?}"),
    )?;
    evidence.saw(
        "finding",
        "nothing holds a local-path volume to its claim's capacity: one component can fill the disk of all; watch the node's disk \
         (spec.storage of a DataController only reserves on paper)",
    );
    Ok(())
}
