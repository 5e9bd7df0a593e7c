//! Storage: claims, volumes and the node's disk under K3s's local-path provisioner.

use k3s_arc_harness::{
    check::storage,
    fixture::{Target, Verdict},
};
use rstest::rstest;

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::DEFAULT_CLASS)]
async fn default_class(#[case] target: Target) -> Verdict {
    target.ask(&storage::DEFAULT_CLASS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::A_CLAIM_WAITS_THEN_BINDS)]
async fn a_claim_waits_then_binds(#[case] target: Target) -> Verdict {
    target.ask(&storage::A_CLAIM_WAITS_THEN_BINDS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::VOLUMES_ARE_OPEN_TO_ANY_USER)]
async fn volumes_are_open_to_any_user(#[case] target: Target) -> Verdict {
    target.ask(&storage::VOLUMES_ARE_OPEN_TO_ANY_USER).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::DATA_OUTLIVES_ITS_POD)]
async fn data_outlives_its_pod(#[case] target: Target) -> Verdict {
    target.ask(&storage::DATA_OUTLIVES_ITS_POD).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::READ_WRITE_MANY_IS_REFUSED)]
async fn read_write_many_is_refused(#[case] target: Target) -> Verdict {
    target.ask(&storage::READ_WRITE_MANY_IS_REFUSED).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::CAPACITY_IS_NOT_ENFORCED)]
async fn capacity_is_not_enforced(#[case] target: Target) -> Verdict {
    target.ask(&storage::CAPACITY_IS_NOT_ENFORCED).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::RECLAIM_DELETE)]
async fn reclaim_delete_empties_the_disk(#[case] target: Target) -> Verdict {
    target.ask(&storage::RECLAIM_DELETE).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::RECLAIM_RETAIN)]
async fn reclaim_retain_keeps_what_was_written(#[case] target: Target) -> Verdict {
    target.ask(&storage::RECLAIM_RETAIN).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = storage::CLAIMS_OUTLIVE_THEIR_STATEFUL_SET)]
async fn claims_outlive_their_stateful_set(#[case] target: Target) -> Verdict {
    target.ask(&storage::CLAIMS_OUTLIVE_THEIR_STATEFUL_SET).await
}
