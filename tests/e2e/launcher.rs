//! What the launcher leaves.

use k3s_arc_harness::{
    check::launcher,
    fixture::{Target, Verdict},
};
use rstest::rstest;

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = launcher::LEAVES_NOTHING)]
async fn the_launcher_leaves_nothing(#[case] target: Target) -> Verdict {
    target.ask(&launcher::LEAVES_NOTHING).await
}
