//! The machines themselves: they do what Multipass's would, so that a provider that passes here has done the right thing.

use k3s_arc_harness::fixture::Target;
use rstest::rstest;

use super::host::{Host, lacks_machines};
use crate::OWN;

/// The state of a machine, if there is one of this name.
fn state(host: &Host, name: &str) -> Option<String> {
    host.machines().into_iter().find(|(its_name, _)| its_name == name).map(|(_, state)| state)
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn the_trash_is_emptied_by_a_bare_purge_alone(#[case] _target: Target) {
    let (host, other) = (Host::new(), Host::new());
    for (host, name) in [(&host, "kept"), (&host, "first"), (&host, "second"), (&other, "elsewhere")] {
        host.multipass(&["launch", "--name", name]);
    }
    host.multipass(&["delete", "first", "second"]);
    other.multipass(&["delete", "elsewhere"]);
    host.multipass(&["recover", "second"]);
    assert_eq!(state(&host, "second").as_deref(), Some("Stopped"));
    host.multipass(&["delete", "second"]);
    host.multipass(&["delete", "--purge", "second"]);
    assert_eq!([state(&host, "first").as_deref(), state(&host, "second").as_deref()], [Some("Deleted"), None]);
    host.multipass(&["purge"]);
    assert_eq!(host.machines(), [("kept".to_owned(), "Running".to_owned())]);
    assert_eq!(state(&other, "elsewhere").as_deref(), Some("Deleted"), "it is another host's");
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn a_machine_keeps_what_it_had_over_stops_and_suspensions_and_takes_back_a_snapshot(#[case] _target: Target) {
    let host = Host::new();
    host.multipass(&["launch", "--name", "box"]);
    let root = |script: &str| host.multipass(&["exec", "box", "--", "sudo", "sh", "-c", script]).trim().to_owned();
    assert_eq!(host.multipass(&["exec", "box", "--", "id", "-un"]).trim(), "ubuntu");
    // One on the disk that is an image, and one on what is a volume.
    root("echo then >/root/file && echo then >/var/lib/rancher/file");
    host.multipass(&["stop", "box"]);
    assert_eq!(state(&host, "box").as_deref(), Some("Stopped"));
    host.multipass(&["snapshot", "box", "--name", "base"]);
    host.multipass(&["start", "box"]);
    assert_eq!(root("cat /root/file /var/lib/rancher/file; echo now >/root/file; rm /var/lib/rancher/file"), "then\nthen");
    host.multipass(&["suspend", "box"]);
    assert_eq!(state(&host, "box").as_deref(), Some("Suspended"));
    // As the real one's, this starts it.
    assert_eq!(root("cat /root/file"), "now");
    host.multipass(&["stop", "box"]);
    host.multipass(&["restore", "box.base", "--destructive"]);
    host.multipass(&["start", "box"]);
    assert_eq!(root("cat /root/file /var/lib/rancher/file"), "then\nthen");
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN, unless = lacks_machines)]
async fn a_service_is_started_watched_and_started_again_with_its_machine(#[case] _target: Target) {
    let host = Host::new();
    host.multipass(&["launch", "--name", "box"]);
    let root = |script: &str| host.multipass(&["exec", "box", "--", "sudo", "sh", "-c", script]).trim().to_owned();
    let ready = r#"my $s; socket($s, AF_UNIX, SOCK_DGRAM, 0); send($s, "READY=1", 0, sockaddr_un($ENV{NOTIFY_SOCKET}))"#;
    let service = format!(
        "[Service]\nType=notify\nRestart=always\nExecStart=/bin/sh \\\n  -c 'echo up; sleep 1; perl -MSocket -e \"$0\"; sleep 600' \\\n  '{ready}'\n"
    );
    root(&format!("cat >/etc/systemd/system/up.service <<'EOF'\n{service}EOF"));
    let started = root("systemctl enable up && systemctl start up && systemctl is-active up && journalctl -u up");
    assert_eq!(started, "active\nup", "`start` waits until a unit is ready");
    root("kill $(cat /run/units/up.service/main); until [ \"$(journalctl -u up | grep -c ^up)\" = 2 ]; do sleep 0.1; done");
    host.multipass(&["restart", "box"]);
    root("until systemctl is-active --quiet up; do sleep 0.1; done");
    let broken = "printf '[Service]\\nType=notify\\nExecStart=/bin/false\\n' >/etc/systemd/system/down.service; systemctl start down; echo $?";
    assert_eq!(root(broken), "1", "a unit that ends before it is ready has failed");
}
