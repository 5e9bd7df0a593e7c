//! The control group that a container sees at `/sys/fs/cgroup`: that of version 2, in files. The kubelet turns requests and limits
//! into shares and quotas (`kuberuntime_container_linux.go`), runc writes them (`opencontainers/cgroups/fs2`), and the kernel shows
//! them its own way.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k3s_arc_container::{Cpu, Memory, Throttling};
use serde_json::Value;

use super::super::Node;
use super::{metadata, real};
use crate::kinds::quantity::Quantity;
use crate::kinds::view::text;

/// Microseconds.
const PERIOD: u64 = 100_000;
const LEAST_QUOTA: u64 = 1000;
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;
const PAGE: u64 = 4096;

/// The folder of a pod's control groups on its node.
pub(super) fn of_pod(pod: &Value) -> PathBuf {
    let class = match text(&pod["status"]["qosClass"]) {
        "Burstable" => "burstable",
        "BestEffort" => "besteffort",
        _ => "",
    };
    Path::new("/sys/fs/cgroup/kubepods").join(class).join(format!("pod{}", metadata(pod, "uid")))
}

/// The folder of a container's control group, a path of this machine. It is there once the container's mounts are.
pub(crate) fn directory(node: &Node, pod: &Value, container: &Value) -> PathBuf {
    real(node, &of_pod(pod).join(text(&container["name"])))
}

/// Writes the files of a new container.
pub(super) fn prepare(node: &Node, pod: &Value, container: &Value) -> io::Result<PathBuf> {
    let directory = directory(node, pod, container);
    node.files().create_dir_all(of_pod(pod).join(text(&container["name"])))?;
    let resources = &container["resources"];
    let millicores = |list: &str| u64::try_from(Quantity::of(&resources[list]["cpu"]).milli_value()).unwrap_or(0);
    let limit = millicores("limits");
    let request = if resources["requests"]["cpu"].is_null() { limit } else { millicores("requests") };
    let memory = u64::try_from(Quantity::of(&resources["limits"]["memory"]).value()).unwrap_or(0);
    let quota = if limit == 0 { "max".to_owned() } else { (limit.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA).to_string() };
    let memory = if memory == 0 { "max".to_owned() } else { (memory / PAGE * PAGE).to_string() };
    let files = [
        ("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc".to_owned()),
        ("cpu.max", format!("{quota} {PERIOD}")),
        ("cpu.weight", weight(request).to_string()),
        ("memory.max", memory),
        ("memory.current", "0".to_owned()),
        ("pids.max", "max".to_owned()),
    ];
    for (name, value) in files {
        put(&directory, name, &value)?;
    }
    update(&directory, &Throttling::default())?;
    Ok(directory)
}

/// The weight of a request of so many millicores: by way of version 1's shares, as runc 1.3.1 converts them.
fn weight(millicores: u64) -> u64 {
    let shares = (millicores.saturating_mul(1024) / 1000).clamp(*SHARES.start(), *SHARES.end());
    1 + (shares - 2) * 9999 / 262_142
}

/// Writes what a limit of CPU time has cost.
pub(crate) fn update(directory: &Path, throttling: &Throttling) -> io::Result<()> {
    let Throttling { periods, throttled_periods, throttled_us } = throttling;
    put(directory, "cpu.stat", &format!("nr_periods {periods}\nnr_throttled {throttled_periods}\nthrottled_usec {throttled_us}"))
}

/// Keeps the files of a container up to date with what it uses, from now on.
pub(crate) fn follow(directory: &Path, memory: &Arc<Memory>, cpu: &Arc<Cpu>) {
    let warn = |done: io::Result<()>| {
        if let Err(error) = done {
            tracing::debug!(%error, "a control group's file could not be written");
        }
    };
    let own = directory.to_owned();
    cpu.on_period(move |throttling| warn(update(&own, &throttling)));
    let own = directory.to_owned();
    memory.on_change(move |used| warn(put(&own, "memory.current", &used.to_string())));
}

/// Whoever reads at that moment sees the old content or the new.
fn put(directory: &Path, name: &str, content: &str) -> io::Result<()> {
    let next = directory.join(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    fs::write(&next, format!("{content}\n"))?;
    // Any user may read it, whatever this process's mask.
    fs::set_permissions(&next, Permissions::from_mode(0o644))?;
    fs::rename(next, directory.join(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::testing::World;
    use super::*;

    #[rstest]
    #[case::limited(
        json!({"limits": {"cpu": "1800m", "memory": "2Gi"}, "requests": {"cpu": "400m"}}),
        "180000 100000", "16", "2147483648"
    )]
    #[case::nothing(json!({}), "max 100000", "1", "max")]
    #[case::requests_default_to_limits(json!({"limits": {"cpu": "1"}}), "100000 100000", "39", "max")]
    #[case::least(json!({"limits": {"cpu": "1m"}}), "1000 100000", "1", "max")]
    #[case::most(
        json!({"limits": {"cpu": "9000000000000000", "memory": "8Ei"}}),
        "18446744073709551 100000", "10000", "9223372036854771712"
    )]
    #[case::pages(json!({"limits": {"memory": "100M"}}), "max 100000", "1", "99999744")]
    fn files_say_the_limits(#[case] resources: Value, #[case] max: &str, #[case] weight: &str, #[case] memory: &str) {
        let world = World::new();
        let pod = json!({"metadata": {"uid": "u1"}, "status": {"qosClass": "Burstable"}});
        let directory = prepare(&world.node, &pod, &json!({"name": "c", "resources": resources})).unwrap();
        assert_eq!(directory, world.node.root.join("sys/fs/cgroup/kubepods/burstable/podu1/c"));
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(read("cpu.max"), format!("{max}\n"));
        assert_eq!(read("cpu.weight"), format!("{weight}\n"));
        assert_eq!(read("memory.max"), format!("{memory}\n"));
        assert_eq!(read("cpu.stat"), "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 7);
    }

    #[tokio::test]
    async fn files_follow_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (memory, cpu) = (Arc::new(Memory::unlimited()), Arc::new(Cpu::limited(100)));
        follow(folder.path(), &memory, &cpu);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let held = memory.allocate(4096).await;
        assert_eq!(read("memory.current"), "4096\n");
        drop(held);
        assert_eq!(read("memory.current"), "0\n");
        cpu.spend(|| {}).await;
        assert!(read("cpu.stat").starts_with("nr_periods 1\nnr_throttled 1\n"));
    }
}
