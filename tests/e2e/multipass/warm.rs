//! VMs that are kept warm, where it is asked for.

use std::{process::Stdio, time::Duration};

use k3s_arc_harness::fixture::Target;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use super::host::{Host, lacks_k3s};
use crate::{OWN, assert_tells};

/// Runs a check, which passes, and tells what it says.
fn run(host: &Host, texts: &[&str]) {
    let (code, printed) = host.run(&["validate", "readiness::api"]);
    assert_eq!(code, Some(0), "{printed}");
    assert_tells(&printed, texts);
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_vm_is_restored_for_the_next_run_and_made_anew_if_it_is_no_good(#[case] _target: Target) {
    let host = Host::new().with("K3S_ARC_CACHE", "use");
    run(&host, &["keeping the VM for the next boot of its kind"]);
    let machines = host.machines();
    let [(vm, state)] = &machines[..] else { panic!("one VM is kept: {machines:?}") };
    assert!(vm.starts_with("k3s-arc-warm-") && state == "Stopped", "{machines:?}");
    let kept = [(vm.as_str(), "Stopped")];
    run(&host, &[&format!("restoring the VM {vm}")]);
    host.assert_nothing_is_left_but(&kept).await;

    // Whatever ends a run gives it back.
    let mut killed =
        host.k3s_arc(&["validate", "readiness"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    host.machine_that_is("Running", &[]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    kill_process(Pid::from_child(&killed), Signal::KILL).expect("it runs");
    killed.wait().expect("it can be waited for");
    host.assert_nothing_is_left_but(&kept).await;

    host.multipass(&["delete", "--purge", vm]);
    run(&host, &[&format!("the kept VM {vm} is of no use"), "it is discarded, and K3s boots from nothing"]);
    host.assert_nothing_is_left_but(&kept).await;
    let (_, key) = vm.rsplit_once('-').expect("its name has its key");
    let (code, printed) = host.run(&["cache", "clear", key]);
    assert_eq!(code, Some(0), "{printed}");
    host.assert_nothing_is_left_but(&[]).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn without_snapshots_no_vm_is_kept(#[case] _target: Target) {
    let host = Host::new().with("K3S_ARC_CACHE", "use").with("FAKE_MULTIPASS_VERSION", "1.12.2");
    run(&host, &["this boot is not kept in the cache"]);
    host.assert_nothing_is_left_but(&[]).await;
}
