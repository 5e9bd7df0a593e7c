//! What is to hold while K3s boots in a VM, serves there, and is removed.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use k3s_arc_harness::fixture::Target;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::host::{Host, lacks_k3s, text};
use crate::{OWN, assert_tells};

/// Somebody else's machines: one that runs, and one in the trash.
const OTHERS: [(&str, &str); 2] = [("precious", "Running"), ("regretted", "Deleted")];

fn with_others(host: Host) -> Host {
    for (name, _) in OTHERS {
        host.multipass(&["launch", "--name", name]);
    }
    host.multipass(&["delete", "regretted"]);
    host
}

#[rstest]
#[case::first_json_k3s("1.8.1")]
#[case::current_k3s("1.16.1")]
#[case::with_zones_k3s("1.17.0-dev")]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_run_passes_whatever_the_version_and_leaves_others_machines_and_trash(#[case] version: &str) {
    // An address that comes only after a while, as by DHCP.
    let host = Host::new().with("FAKE_MULTIPASS_VERSION", version).with("FAKE_MULTIPASS_ADDRESS_AFTER", "2");
    let host = with_others(host);
    let (code, printed) = host.run(&["validate", "readiness::api", "dns::node_names"]);
    assert_eq!(code, Some(0), "{printed}");
    assert_tells(&printed, &["(multipass)", "2 passed"]);
    host.assert_nothing_is_left_but(&OTHERS).await;
    let (code, printed) = host.run(&["down", "--all"]);
    assert_eq!(code, Some(0), "{printed}");
    host.assert_nothing_is_left_but(&OTHERS).await;
}

/// Who is killed, when there is what.
#[rstest]
#[case::as_its_machine_comes_k3s(Duration::ZERO, false)]
#[case::while_k3s_is_installed_k3s(Duration::from_secs(3), true)]
#[case::while_it_serves_k3s(Duration::from_secs(20), false)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_run_that_is_killed_leaves_no_machine(#[case] after: Duration, #[case] with_its_group: bool) {
    let host = with_others(Host::new());
    let mut run =
        host.k3s_arc(&["validate", "readiness"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    host.machine_that_is("Running", &["precious"]).await;
    tokio::time::sleep(after).await;
    let pid = Pid::from_child(&run);
    let killed = if with_its_group { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::KILL) };
    killed.expect("it runs");
    run.wait().expect("it can be waited for");
    host.assert_nothing_is_left_but(&OTHERS).await;
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_k3s)]
async fn a_vm_that_loses_its_address_is_told_and_removed(#[case] _target: Target) {
    let host = Host::new();
    let log = std::fs::File::create(host.log()).expect("a log");
    let mut run = host.k3s_arc(&["validate", "readiness"]).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
    let printed = || std::fs::read_to_string(host.log()).expect("the log is there");
    // Arc is launched by then, and everybody waits for it.
    while !printed().contains("created Deployment bootstrapper") {
        assert!(run.try_wait().expect("it can be waited for").is_none(), "{}", printed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let name = host.machine_that_is("Running", &[]).await;
    let cut = Command::new("docker").args(["network", "disconnect", "bridge", &host.container(&name)]).output();
    let cut = cut.expect("docker starts");
    assert!(cut.status.success(), "{}", text(&cut));
    let ended = tokio::task::spawn_blocking(move || run.wait()).await.expect("it is waited for").expect("it ends");
    let printed = printed();
    assert!(!ended.success(), "{printed}");
    assert_tells(&printed, &["its node was lost meanwhile", "runs, and is not reached", "something took its network away"]);
    host.assert_nothing_is_left_but(&[]).await;
}
