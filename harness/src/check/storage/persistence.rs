//! Data and the pods that come and go over it.

use super::claims;
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::files::{Act, Done},
};

/// See its question.
pub const DATA_OUTLIVES_ITS_POD: Check = Check {
    area: Area::Storage,
    name: "data_outlives_its_pod",
    question: "Does a pod find on its volume what the pod before it wrote?",
    needs: &[Capability::DefaultClass],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const CLAIM: &str = "kept";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let claim = claims::create(cx, &claims::claim(CLAIM)).await?;
    // Of this claim alone, so that it cannot be what another volume holds.
    let text = format!("written for claim {}", claim.metadata.uid.unwrap_or_default());
    let path = claims::on_volume("note");

    let wrote = claims::act(cx, CLAIM, vec![Act::Write { path: path.clone(), text: text.clone() }]).await?.done;
    evidence.saw("the first pod wrote", &text);
    evidence.require(wrote.iter().all(Result::is_ok), "the first pod can write", format!("{wrote:?}"))?;

    let read = claims::act(cx, CLAIM, vec![Act::Read(path)]).await?.done;
    let seen = match read.as_slice() {
        [Ok(Done::Read(text))] => text.clone(),
        other => format!("{other:?}"),
    };
    evidence.saw("the second pod read", &seen);
    evidence.require(seen == text, "the second pod reads what the first wrote", seen)?;
    Ok(())
}
