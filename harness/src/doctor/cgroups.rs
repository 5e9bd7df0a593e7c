//! Control groups: which version, and whether the controllers that a kubelet needs are there.

use std::{collections::BTreeSet, path::Path};

use super::{Finding, Verdict, files, needs::Needs};
use crate::versions::Host;

/// What a kubelet and containerd need; `k3s check-config` asks for the same.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// The cgroups of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// 1 or 2.
    pub(super) version: Option<u32>,
    /// The controllers that can be used; none where that is not known.
    pub(super) controllers: Option<BTreeSet<String>>,
}

pub(super) fn gather() -> Facts {
    match files::read("/sys/fs/cgroup/cgroup.controllers") {
        Some(controllers) => {
            Facts { version: Some(2), controllers: Some(controllers.split_whitespace().map(str::to_owned).collect()) }
        }
        None => match files::read("/proc/cgroups") {
            // In a version 1 hierarchy each controller is a directory, once it is mounted.
            Some(table) => {
                let mounted = |name: &String| Path::new("/sys/fs/cgroup").join(name).is_dir();
                Facts { version: Some(1), controllers: Some(enabled(&table).into_iter().filter(mounted).collect()) }
            }
            None => Facts::default(),
        },
    }
}

/// The controllers of `/proc/cgroups` that are not turned off.
fn enabled(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() == 4 && row[3] == "1").map(|row| row[0].to_owned()).collect()
}

pub(super) fn judge(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    vec![version(facts, needs), controllers(facts)]
}

fn version(facts: &Facts, needs: &Needs) -> Finding {
    const NEEDED: &str = "v2 for K3s from v1.35 on";
    let Some(version) = facts.version else {
        return Finding::not_seen("cgroups", NEEDED, "neither the kernel nor Docker tells");
    };
    let host = Host { no_engine: None, cgroups: facts.version, architecture: None, images: Vec::new() };
    let refused: Vec<String> = needs.versions().filter(|k3s| host.refuses(*k3s).is_some()).map(|k3s| k3s.to_string()).collect();
    let finding = Finding::ok("cgroups", format!("v{version}"), NEEDED);
    match (version, refused.is_empty()) {
        (1, false) => finding.but(
            Verdict::Missing,
            format!(
                "the kubelet of {} does not start here: boot with systemd.unified_cgroup_hierarchy=1, or take a K3s before v1.35",
                refused.join(", ")
            ),
        ),
        (1, true) => finding.but(
            Verdict::Warning,
            "only K3s before v1.35 runs here; systemd.unified_cgroup_hierarchy=1 on the kernel's command line makes it v2",
        ),
        _ => finding,
    }
}

fn controllers(facts: &Facts) -> Finding {
    let needed = CONTROLLERS.join(", ");
    let Some(controllers) = &facts.controllers else {
        return Finding::not_seen("cgroup controllers", needed, "K3s runs on another host than this one");
    };
    let lacking: Vec<&str> = CONTROLLERS.into_iter().filter(|name| !controllers.contains(*name)).collect();
    let found = controllers.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let remedy = format!(
        "without {} limits are not kept, and K3s may not start: on a Raspberry Pi add cgroup_memory=1 cgroup_enable=memory to the kernel's \
         command line",
        lacking.join(" and ")
    );
    Finding::ok("cgroup controllers", found, needed).unless(lacking.is_empty(), Verdict::Missing, remedy)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Config;

    #[rstest]
    #[case::of_old(1, "v1.34.1+k3s1", Verdict::Warning)]
    #[case::too_new(1, "v1.34.1+k3s1,v1.35.0+k3s1", Verdict::Missing)]
    #[case::unknown_k3s(1, "edge/k3s:dev", Verdict::Warning)]
    #[case::unified(2, "v1.37.1+k3s1", Verdict::Ok)]
    fn the_cgroup_version_counts_for_the_k3s_asked_for(#[case] cgroups: u32, #[case] k3s: &str, #[case] verdict: Verdict) {
        let config = Config::read(|asked| (asked == "K3S_ARC_K3S").then(|| k3s.into())).unwrap();
        let finding = version(&Facts { version: Some(cgroups), controllers: None }, &Needs::of(&config));
        assert_eq!(finding.verdict, verdict, "{finding:?}");
    }

    #[test]
    fn a_controller_that_is_turned_off_is_missing() {
        let table =
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t3\t2\t1\ncpu\t1\t2\t1\nmemory\t0\t1\t0\npids\t8\t2\t1\n";
        let facts = Facts { version: Some(1), controllers: Some(enabled(table)) };
        let finding = controllers(&facts);
        assert_eq!((finding.verdict, finding.found.as_str()), (Verdict::Missing, "cpu, cpuset, pids"));
        assert!(finding.remedy.unwrap().starts_with("without memory limits"));
    }
}
