//! What the node says of its clock and its disks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::ASKED;
use crate::{
    cluster::NodeAccess,
    diagnosis::{Finding, Standing},
};

/// What a node says of itself, asked on the node itself.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NodeView {
    /// By how many seconds its clock is ahead of this host's.
    pub ahead_s: f64,
    /// How exactly that is known, in seconds: the question itself takes its time.
    pub within_s: f64,
    /// The file systems that K3s needs room on.
    pub disks: Vec<Disk>,
}

/// A file system of the node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mounted: String,
    /// Its size in KiB.
    pub size_kib: u64,
    /// What is free of it for others than root, in KiB.
    pub free_kib: u64,
}

impl Disk {
    /// Less than 5 % are free, below which K3s's kubelet evicts pods:
    /// <https://github.com/k3s-io/k3s/blob/v1.34.1%2Bk3s1/pkg/daemons/agent/agent.go> (`eviction-hard`).
    fn is_full(&self) -> bool {
        self.free_kib.saturating_mul(20) < self.size_kib
    }
}

/// Seconds since the epoch, then a file system a line. What is not there is passed over, with a complaint that nobody reads.
const LOOK: &str = "date +%s; df -Pk /var/lib/rancher/k3s /var/lib/rancher/k3s/storage /var/lib/kubelet /run; true";

/// Clocks that differ by less trouble nobody: certificates and tokens are made with minutes in hand.
const OFF_S: f64 = 5.0;

pub(super) async fn look(node: &dyn NodeAccess) -> Option<NodeView> {
    let begun = (SystemTime::now(), Instant::now());
    let command = ["sh", "-c", LOOK];
    let output = timeout(ASKED, node.exec(&command)).await.ok()?.ok()?;
    read(&output.stdout, begun.0.duration_since(UNIX_EPOCH).ok()?.as_secs_f64(), begun.1.elapsed().as_secs_f64())
}

/// Reads what a node printed that was asked at a time of this host, and took some seconds.
fn read(printed: &str, asked_s: f64, took_s: f64) -> Option<NodeView> {
    let mut lines = printed.lines();
    let clock_s: f64 = lines.next()?.trim().parse().ok()?;
    let mut disks: Vec<Disk> = lines.filter_map(disk).collect();
    disks.sort_by(|one, other| one.mounted.cmp(&other.mounted));
    disks.dedup();
    // It looked at its clock, which shows whole seconds, somewhere between question and answer.
    Some(NodeView { ahead_s: clock_s + 0.5 - (asked_s + took_s / 2.0), within_s: took_s / 2.0 + 0.5, disks })
}

/// `overlay 263174212 40000000 53000000 43% /`, as POSIX has it.
fn disk(line: &str) -> Option<Disk> {
    let [_, size, _, free, share, mounted] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    share.strip_suffix('%')?;
    Some(Disk { mounted: mounted.to_owned(), size_kib: size.parse().ok()?, free_kib: free.parse().ok()? })
}

pub(super) fn findings(view: &NodeView) -> Vec<Finding> {
    let full = view.disks.iter().filter(|disk| disk.is_full()).map(|disk| {
        let evidence = format!("{}: {} of {} KiB are free", disk.mounted, disk.free_kib, disk.size_kib);
        Finding::new(
            Standing::Stuck,
            format!(
                "the node's disk is full at {}: what writes there fails, and below 5 % free the kubelet evicts pods",
                disk.mounted
            ),
            vec![evidence],
            "free space on it (images, logs, volumes of deleted claims), or give the node a larger one",
        )
    });
    full.chain(clock(view)).collect()
}

fn clock(view: &NodeView) -> Option<Finding> {
    if view.ahead_s.abs() - view.within_s < OFF_S {
        return None;
    }
    let (by, way) = (view.ahead_s.abs().round(), if view.ahead_s > 0.0 { "ahead of" } else { "behind" });
    Some(Finding::new(
        Standing::Stuck,
        format!("the node's clock is {by} s {way} this host's: certificates, tokens and times of events are judged wrongly"),
        vec![format!("asked on the node, within {:.1} s", view.within_s)],
        "set the clocks by NTP; a machine that slept or was restored from a snapshot shows the time of then",
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// As busybox of K3s v1.34.1 prints it.
    const PRINTED: &str = "1764194400
Filesystem           1024-blocks    Used Available Capacity Mounted on
/dev/vda             263174212  40000000  53000000  43% /var/lib/rancher/k3s
tmpfs                      8192      8192         0 100% /var/lib/rancher/k3s/storage
/dev/vda             263174212  40000000  53000000  43% /var/lib/kubelet
tmpfs                 12000000       400  11999600   0% /run
";

    #[rstest]
    #[case::same(1_764_194_400.2, None)]
    #[case::within_what_is_known(1_764_194_394.9, None)]
    #[case::ahead(1_764_190_800.0, Some("3600 s ahead of this host's"))]
    #[case::behind(1_764_198_000.0, Some("3600 s behind this host's"))]
    fn a_clock_that_is_off_is_told(#[case] asked_s: f64, #[case] told: Option<&str>) {
        let found = clock(&read(PRINTED, asked_s, 0.2).unwrap());
        match told {
            Some(told) => assert!(found.unwrap().diagnosis.cause.contains(told)),
            None => assert!(found.is_none(), "{found:?}"),
        }
    }

    #[test]
    fn a_question_that_took_long_proves_little() {
        assert!(clock(&read(PRINTED, 1_764_194_380.0, 30.0).unwrap()).is_none());
    }

    #[test]
    fn a_full_disk_is_told_and_the_others_are_not() {
        let view = read(PRINTED, 1_764_194_400.0, 0.2).unwrap();
        assert_eq!(view.disks.len(), 4);
        let told: Vec<String> = findings(&view).into_iter().map(|finding| finding.diagnosis.to_string()).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        cause:     the node's disk is full at /var/lib/rancher/k3s/storage: what writes there fails, and below 5 % free the kubelet evicts pods
          /var/lib/rancher/k3s/storage: 0 of 8192 KiB are free
        remedy:    free space on it (images, logs, volumes of deleted claims), or give the node a larger one
        ");
    }
}
