//! What goes wrong before K3s serves.

use k3s_arc_harness::fixture::Target;
use rstest::rstest;

use super::host::{Host, lacks_k3s, lacks_machines};
use crate::{OWN, assert_tells};

/// What the environment lacks ends the program with this code.
const ENVIRONMENT: Option<i32> = Some(3);

#[rstest]
#[case::no_daemon_k3s("no-daemon", &["the Multipass daemon does not answer", "snap start multipass", "cannot connect to the multipass socket"])]
#[case::no_permission_k3s("no-permission", &["this user may not use Multipass", "multipass authenticate", "socket access denied"])]
#[case::not_authenticated_k3s("not-authenticated", &["this user may not use Multipass", "multipass authenticate"])]
#[case::no_kvm_k3s("no-kvm", &["this host runs no VMs", "nested virtualization", "KVM support is not enabled"])]
#[case::no_space_k3s("no-space", &["there is no space for the VM", "K3S_ARC_MULTIPASS_DISK", "below minimum for this image"])]
#[case::no_image_k3s("no-image", &["there is no image of Ubuntu 24.04", "multipass find", "failed to download"])]
#[case::late_k3s("launch-timeout", &["did not come up within", "K3S_ARC_MULTIPASS_CPUS", "Timed out waiting for instance launch"])]
#[case::no_response_k3s("launch-no-response", &["did not come up within", "timed out waiting for response"])]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn a_launch_that_fails_tells_why_and_what_to_do(#[case] fault: &str, #[case] told: &[&str]) {
    let host = Host::new().with("FAKE_MULTIPASS_FAULTS", fault);
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_tells(&printed, told);
    assert_eq!(code, ENVIRONMENT, "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn a_name_that_somebody_else_took_is_told_and_his_machine_left(#[case] _target: Target) {
    let host = Host::new().with("FAKE_MULTIPASS_FAULTS", "name-taken");
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    let name = host.machine_that_is("Running", &[]).await;
    assert_tells(&printed, &[&format!("there is a VM {name} already"), "multipass info"]);
    assert_eq!(code, ENVIRONMENT, "{printed}");
    host.assert_nothing_is_left_but(&[(&name, "Running")]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn a_vm_that_gets_no_address_is_told_and_removed(#[case] _target: Target) {
    let host = Host::new().with("FAKE_MULTIPASS_FAULTS", "no-address");
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_tells(&printed, &["has no address", "DHCP"]);
    assert_eq!(code, ENVIRONMENT, "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_connection_that_is_lost_during_the_installation_is_told(#[case] _target: Target) {
    let host = Host::new().with("FAKE_MULTIPASS_EXEC_LOST", "INSTALL_K3S_");
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_tells(&printed, &["install K3s in the VM", "ssh connection failed"]);
    assert_eq!(code, ENVIRONMENT, "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_command_that_hangs_in_the_vm_ends_with_the_deadline(#[case] _target: Target) {
    let host = Host::new().with("FAKE_MULTIPASS_EXEC_HANGS", "systemctl start k3s").with("K3S_ARC_BOOT_TIMEOUT", "5");
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_tells(&printed, &["did not serve within 5 s", "K3s in the VM", "K3S_ARC_BOOT_TIMEOUT"]);
    assert_eq!(code, ENVIRONMENT, "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn more_than_the_host_has_is_refused_before_anything_is_made(#[case] _target: Target) {
    let host = Host::new().with("K3S_ARC_MULTIPASS_CPUS", "4096");
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_tells(&printed, &["the VM is to have 4096 cores", "K3S_ARC_MULTIPASS_CPUS"]);
    assert_ne!(code, Some(0), "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}
