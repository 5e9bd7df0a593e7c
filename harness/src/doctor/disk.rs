//! Room on the disk that images, volumes and claims go to.

use std::path::Path;

use super::{
    Finding, Verdict,
    needs::{Needs, size},
};

/// K3s's kubelet reports DiskPressure and evicts pods below this share of free space, in percent:
/// <https://docs.k3s.io/cli/server#agent-runtime>, `eviction-hard`.
const EVICTION: u64 = 5;

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// In bytes.
    pub(super) total: u64,
    /// In bytes, for who is not root.
    pub(super) free: u64,
}

/// The file system that a path is on, or will be.
pub(super) fn gather(path: &Path) -> Option<Facts> {
    let there = path.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Facts { total: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
}

pub(super) fn judge(place: &str, facts: Option<Facts>, needs: &Needs, eviction: bool) -> Finding {
    let (least, good) = needs.disk;
    let what = format!("disk of {place}");
    let needed =
        if least == good { format!("{} free", size(least)) } else { format!("{} free, better {}", size(least), size(good)) };
    let Some(Facts { total, free }) = facts else {
        return Finding::not_seen(what, needed, "it is on another host, or may not be looked at");
    };
    let share = free.saturating_mul(100).checked_div(total).unwrap_or(0);
    let finding = Finding::ok(what, format!("{} free, {share}%", size(free)), needed);
    if free < least {
        finding.but(Verdict::Missing, "make room: `docker system df` shows what Docker's images and volumes take")
    } else if eviction && share < EVICTION {
        finding.but(Verdict::Missing, "make room: below 5% of the disk, K3s's kubelet reports DiskPressure and evicts pods")
    } else if eviction && share < 2 * EVICTION {
        finding.but(Verdict::Warning, "make room: at 5% of the disk, K3s's kubelet reports DiskPressure and evicts pods")
    } else {
        finding.unless(free >= good, Verdict::Warning, "images, claims and logs may not all fit")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Config;

    const GIB: u64 = 1 << 30;

    #[rstest]
    #[case::enough(100, 50, Verdict::Ok)]
    #[case::little(100, 1, Verdict::Missing)]
    #[case::no_room_to_grow(20, 4, Verdict::Warning)]
    #[case::enough_and_too_small_a_share(1000, 49, Verdict::Missing)]
    #[case::nearly_too_small_a_share(1000, 99, Verdict::Warning)]
    fn room_counts_in_bytes_and_as_a_share(#[case] total: u64, #[case] free: u64, #[case] verdict: Verdict) {
        let needs = Needs::of(&Config::read(|_| None).unwrap());
        let facts = Facts { total: total * GIB, free: free * GIB };
        assert_eq!(judge("/", Some(facts), &needs, true).verdict, verdict);
        assert_eq!(judge("/", None, &needs, true).verdict, Verdict::NotSeen);
    }

    #[test]
    fn a_path_that_is_not_there_yet_is_on_its_parents_disk() {
        let directory = tempfile::tempdir().unwrap();
        let facts = gather(&directory.path().join("not/yet")).unwrap();
        assert!(facts.total >= facts.free && facts.total > 0);
    }
}
