//! The limits that the kernel holds a container to, read in the container itself.
//!
//! Version 1 has a hierarchy for each controller (`Documentation/admin-guide/cgroup-v1/memory.rst` and
//! `Documentation/scheduler/sched-bwc.rst` of the kernel), version 2 one for all
//! (`Documentation/admin-guide/cgroup-v2.rst`). A container sees its own group as the root of either.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use k3s_arc_container::Container;
use serde::{Deserialize, Serialize};

/// Where a container has its control group.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Asks for the container's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Another root than `/sys/fs/cgroup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
}

/// The container's limits, and what they have cost it so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which version the values were read of.
    pub version: Version,
    /// The memory limit in bytes; none: unlimited.
    pub memory_limit: Option<u64>,
    /// How much CPU time the container may use; none: unlimited.
    pub cpu_limit: Option<CpuLimit>,
    /// Its share of the CPU when others want it too: `cpu.shares` (2 to 262144) of version 1, `cpu.weight` (1 to
    /// 10000) of version 2.
    pub cpu_share: u64,
    /// What the CPU limit has cost so far.
    pub throttling: Throttling,
}

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// So much CPU time in every period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimit {
    /// Microseconds of CPU time ...
    pub quota_us: u64,
    /// ... in this many microseconds of time.
    pub period_us: u64,
}

impl CpuLimit {
    /// The limit in millicores, rounded to the nearest.
    pub fn millicores(self) -> u64 {
        let period = self.period_us.max(1);
        (self.quota_us.saturating_mul(1000).saturating_add(period / 2)) / period
    }
}

/// How often a container was stopped because it had used up its CPU time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods in which it ran.
    pub periods: u64,
    /// Periods in which it was stopped.
    pub throttled_periods: u64,
    /// Microseconds for which it was stopped.
    pub throttled_us: u64,
}

/// The files that the values are read of, in both versions, below the root.
pub const FILES: [&str; 10] = [
    "memory/memory.limit_in_bytes",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "cpu/cpu.shares",
    "cpu/cpu.stat",
    "memory.max",
    "cpu.max",
    "cpu.weight",
    "cpu.stat",
    CONTROLLERS,
];

/// At the root of the unified hierarchy, and nowhere in version 1.
const CONTROLLERS: &str = "cgroup.controllers";

/// Reads them.
///
/// # Errors
/// Which file could not be read, or understood.
pub async fn answer(request: Request, container: &Container) -> Result<Answer, String> {
    read(container, request.root.as_deref().unwrap_or(Path::new(ROOT)))
}

/// Reads the group at the root of a container.
pub(super) fn read_own(container: &Container) -> Result<Answer, String> {
    read(container, Path::new(ROOT))
}

fn read(container: &Container, root: &Path) -> Result<Answer, String> {
    let read = |name: &&'static str| Some((*name, container.files.read_to_string(root.join(name)).ok()?));
    parse(&Files(FILES.iter().filter_map(read).collect())).map_err(|error| format!("{}: {error}", root.display()))
}

/// The contents of those of [`FILES`] that a container has, read by whatever means.
#[derive(Debug, Clone, Default)]
pub struct Files(pub BTreeMap<&'static str, String>);

/// What they say.
///
/// # Errors
/// Which of them is missing, or not understood.
pub fn parse(files: &Files) -> Result<Answer, String> {
    if files.0.contains_key(CONTROLLERS) { parse_v2(files) } else { parse_v1(files) }
}

fn parse_v1(files: &Files) -> Result<Answer, String> {
    /// From here on a limit means none: the kernel rounds "unlimited" down to whole pages.
    const UNLIMITED: u64 = i64::MAX as u64 / PAGE * PAGE;
    /// The largest page size in use, so that the figure is below any kernel's.
    const PAGE: u64 = 64 * 1024;

    let memory = files.number("memory/memory.limit_in_bytes")?;
    let quota = files.number::<i64>("cpu/cpu.cfs_quota_us")?;
    let period_us = files.number("cpu/cpu.cfs_period_us")?;
    let stat = files.text("cpu/cpu.stat")?;
    Ok(Answer {
        version: Version::V1,
        memory_limit: (memory < UNLIMITED).then_some(memory),
        // -1 stands for none.
        cpu_limit: u64::try_from(quota).ok().map(|quota_us| CpuLimit { quota_us, period_us }),
        cpu_share: files.number("cpu/cpu.shares")?,
        throttling: Throttling {
            periods: field(stat, "nr_periods"),
            throttled_periods: field(stat, "nr_throttled"),
            throttled_us: field(stat, "throttled_time") / 1000,
        },
    })
}

fn parse_v2(files: &Files) -> Result<Answer, String> {
    /// What stands in place of a number for none.
    const UNLIMITED: &str = "max";

    let memory = files.text("memory.max")?;
    let cpu = files.text("cpu.max")?;
    let (quota, period) = cpu.split_once(' ').ok_or_else(|| not_understood("cpu.max", cpu))?;
    let stat = files.text("cpu.stat")?;
    Ok(Answer {
        version: Version::V2,
        memory_limit: if memory == UNLIMITED { None } else { Some(files.number("memory.max")?) },
        cpu_limit: if quota == UNLIMITED {
            None
        } else {
            let parsed = |text: &str| text.parse().map_err(|_| not_understood("cpu.max", cpu));
            Some(CpuLimit { quota_us: parsed(quota)?, period_us: parsed(period)? })
        },
        cpu_share: files.number("cpu.weight")?,
        throttling: Throttling {
            periods: field(stat, "nr_periods"),
            throttled_periods: field(stat, "nr_throttled"),
            throttled_us: field(stat, "throttled_usec"),
        },
    })
}

impl Files {
    fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(|text| text.trim()).ok_or_else(|| format!("{name} is missing"))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name)?;
        text.parse().map_err(|_| not_understood(name, text))
    }
}

fn not_understood(name: &str, text: &str) -> String {
    format!("{name} is not understood: {text:?}")
}

/// A line `name value` of a flat keyed file; 0, if it is not there, as with kernels that count nothing.
fn field(stat: &str, name: &str) -> u64 {
    let value = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;

    fn read(root: &Path) -> Result<Answer, String> {
        super::read(&Container::native(), root)
    }

    /// A directory tree with these files, gone when dropped.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("k3s-arc-cgroup-{name}-{}", std::process::id()));
            for (path, content) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[rstest]
    #[case::limited("v1-limited", "2147483648\n", "180000\n", Some(2 << 30), Some(1800))]
    #[case::unlimited("v1-unlimited", "9223372036854771712\n", "-1\n", None, None)]
    #[case::unlimited_in_large_pages("v1-large-pages", "9223372036854710272\n", "-1\n", None, None)]
    fn version_1_is_read(
        #[case] name: &str,
        #[case] memory: &str,
        #[case] quota: &str,
        #[case] bytes: Option<u64>,
        #[case] millicores: Option<u64>,
    ) {
        let tree = Tree::new(
            name,
            &[
                ("memory/memory.limit_in_bytes", memory),
                ("cpu/cpu.cfs_quota_us", quota),
                ("cpu/cpu.cfs_period_us", "100000\n"),
                ("cpu/cpu.shares", "409\n"),
                ("cpu/cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 2500000\nnr_bursts 0\nburst_time 0\n"),
            ],
        );
        let answer = read(&tree.0).unwrap();
        assert_eq!((answer.version, answer.cpu_share), (Version::V1, 409));
        assert_eq!((answer.memory_limit, answer.cpu_limit.map(CpuLimit::millicores)), (bytes, millicores));
        assert_eq!(answer.throttling, Throttling { periods: 7, throttled_periods: 3, throttled_us: 2500 });
    }

    #[rstest]
    #[case::limited("v2-limited", "2147483648\n", "180000 100000\n", Some(2 << 30), Some(1800))]
    #[case::unlimited("v2-unlimited", "max\n", "max 100000\n", None, None)]
    fn version_2_is_read(
        #[case] name: &str,
        #[case] memory: &str,
        #[case] cpu: &str,
        #[case] bytes: Option<u64>,
        #[case] millicores: Option<u64>,
    ) {
        let stat = "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 7\nnr_throttled 3\nthrottled_usec 2500\n";
        let tree = Tree::new(
            name,
            &[
                ("cgroup.controllers", "cpu memory pids\n"),
                ("memory.max", memory),
                ("cpu.max", cpu),
                ("cpu.weight", "16\n"),
                ("cpu.stat", stat),
            ],
        );
        let answer = read(&tree.0).unwrap();
        assert_eq!((answer.version, answer.cpu_share), (Version::V2, 16));
        assert_eq!((answer.memory_limit, answer.cpu_limit.map(CpuLimit::millicores)), (bytes, millicores));
        assert_eq!(answer.throttling, Throttling { periods: 7, throttled_periods: 3, throttled_us: 2500 });
    }

    #[test]
    fn a_file_that_is_missing_or_strange_is_named() {
        let tree = Tree::new("strange", &[("cgroup.controllers", ""), ("memory.max", "much\n"), ("cpu.max", "max 100000\n")]);
        assert!(read(&tree.0).unwrap_err().ends_with("cpu.stat is missing"));
        fs::write(tree.0.join("cpu.stat"), "").unwrap();
        assert!(read(&tree.0).unwrap_err().ends_with("memory.max is not understood: \"much\""));
    }
}
