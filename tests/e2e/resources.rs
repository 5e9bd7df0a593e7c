//! Resources: requests, limits and quotas, enforced and told; and those of Arc's components.

use k3s_arc_harness::{
    check::resources,
    fixture::{Target, Verdict},
};
use rstest::rstest;

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::MEMORY_LIMIT_KILLS)]
async fn memory_limit_kills(#[case] target: Target) -> Verdict {
    target.ask(&resources::MEMORY_LIMIT_KILLS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::CPU_LIMIT_THROTTLES)]
async fn cpu_limit_throttles(#[case] target: Target) -> Verdict {
    target.ask(&resources::CPU_LIMIT_THROTTLES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::QUOTA_REFUSES)]
async fn quota_refuses(#[case] target: Target) -> Verdict {
    target.ask(&resources::QUOTA_REFUSES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::LIMIT_RANGE_GIVES_DEFAULTS_AND_REFUSES)]
async fn limit_range_gives_defaults_and_refuses(#[case] target: Target) -> Verdict {
    target.ask(&resources::LIMIT_RANGE_GIVES_DEFAULTS_AND_REFUSES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::UNSCHEDULABLE_IS_EXPLAINED)]
async fn unschedulable_is_explained(#[case] target: Target) -> Verdict {
    target.ask(&resources::UNSCHEDULABLE_IS_EXPLAINED).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::COMPONENTS_ARE_SIZED_AS_DOCUMENTED)]
async fn components_are_sized_as_documented(#[case] target: Target) -> Verdict {
    target.ask(&resources::COMPONENTS_ARE_SIZED_AS_DOCUMENTED).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::COMPONENTS_ARE_HELD_TO_THEIR_LIMITS)]
async fn components_are_held_to_their_limits(#[case] target: Target) -> Verdict {
    target.ask(&resources::COMPONENTS_ARE_HELD_TO_THEIR_LIMITS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = resources::REQUESTS_FIT_THE_NODES)]
async fn requests_fit_the_nodes(#[case] target: Target) -> Verdict {
    target.ask(&resources::REQUESTS_FIT_THE_NODES).await
}
