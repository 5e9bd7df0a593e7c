//! Is it up, and does it answer?

use k3s_arc_harness::{
    check::readiness,
    fixture::{Target, Verdict},
};
use rstest::rstest;

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::API)]
async fn every_part_of_the_api_is_ready(#[case] target: Target) -> Verdict {
    target.ask(&readiness::API).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::NODES)]
async fn nodes_are_ready_and_of_one_version(#[case] target: Target) -> Verdict {
    target.ask(&readiness::NODES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::PACKAGED_COMPONENTS)]
async fn packaged_components_are_available(#[case] target: Target) -> Verdict {
    target.ask(&readiness::PACKAGED_COMPONENTS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::DEFAULT_STORAGE_CLASS)]
async fn one_storage_class_is_the_default(#[case] target: Target) -> Verdict {
    target.ask(&readiness::DEFAULT_STORAGE_CLASS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::LAUNCHER)]
async fn the_launcher_becomes_ready_and_ends_with_0(#[case] target: Target) -> Verdict {
    target.ask(&readiness::LAUNCHER).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::DATA_CONTROLLER)]
async fn the_data_controller_is_ready_in_time(#[case] target: Target) -> Verdict {
    target.ask(&readiness::DATA_CONTROLLER).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::COMPONENTS)]
async fn components_answer_through_their_services(#[case] target: Target) -> Verdict {
    target.ask(&readiness::COMPONENTS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = readiness::STEADY)]
async fn no_container_is_restarted(#[case] target: Target) -> Verdict {
    target.ask(&readiness::STEADY).await
}
