//! The kernel's limits on open and watched files. Container runtimes and kubelets watch many, and what reaches a limit fails with "too many open
//! files", far from the cause.

use std::{fs, os::unix::fs::MetadataExt};

use super::{Finding, Verdict, files};

/// What one K3s takes of inotify instances, with room: seen were 23 with Arc's pods on it.
const OF_ONE_K3S: u64 = 40;

/// The limits, each as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `fs.inotify.max_user_instances`.
    pub(super) instances: Option<u64>,
    /// How many of them root's processes have, where they can be looked into: the limit is one of each user's, and K3s is root.
    pub(super) used: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub(super) watches: Option<u64>,
    /// `fs.file-max`.
    pub(super) files: Option<u64>,
    /// This process's own soft limit on open files.
    pub(super) own: Option<u64>,
}

pub(super) fn gather() -> Facts {
    let number = |path| files::read(path)?.parse().ok();
    Facts {
        instances: number("/proc/sys/fs/inotify/max_user_instances"),
        used: instances_of_root(),
        watches: number("/proc/sys/fs/inotify/max_user_watches"),
        files: number("/proc/sys/fs/file-max"),
        own: files::read("/proc/self/limits").as_deref().and_then(open_files),
    }
}

/// The inotify instances that root's processes have open; none where this user may not look.
fn instances_of_root() -> Option<u64> {
    let processes = fs::read_dir("/proc").ok()?.flatten().filter(|entry| {
        let is_process = entry.file_name().to_string_lossy().bytes().all(|digit| digit.is_ascii_digit());
        is_process && entry.metadata().is_ok_and(|metadata| metadata.uid() == 0)
    });
    let mut open = None;
    for process in processes {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let instances = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        let instances = instances.filter(|target| target.to_string_lossy() == "anon_inode:inotify").count();
        *open.get_or_insert(0) += instances as u64;
    }
    open
}

/// The soft limit in `/proc/self/limits`.
fn open_files(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A limit: its name, its value, what will not do, what is good, and what happens else.
type Limit = (&'static str, Option<u64>, u64, u64, &'static str);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    // 512 and 65536 are what https://kind.sigs.k8s.io/docs/user/known-issues names.
    let limits: [Limit; 3] = [
        (
            "inotify watches",
            facts.watches,
            8192,
            65536,
            "one K3s fits, several at once may not: `sudo sysctl fs.inotify.max_user_watches=65536`",
        ),
        ("open files, all", facts.files, 65536, 65536, "`sudo sysctl fs.file-max=1048576`"),
        ("open files, own", facts.own, 256, 1024, "`ulimit -n 1024`, before k3s-arc is started"),
    ];
    [instances(facts)].into_iter().chain(limits.into_iter().map(limit)).collect()
}

fn instances(facts: &Facts) -> Finding {
    const GOOD: u64 = 512;
    const WHAT: &str = "inotify instances";
    let needed = format!("{OF_ONE_K3S} free, better {GOOD} in all");
    let Some(all) = facts.instances else { return Finding::not_seen(WHAT, needed, "the kernel does not tell") };
    let used = facts.used.map(|used| format!(", {used} used")).unwrap_or_default();
    let finding = Finding::ok(WHAT, format!("{all}{used}"), needed);
    let remedy = format!("`sudo sysctl fs.inotify.max_user_instances={GOOD}`");
    if all.saturating_sub(facts.used.unwrap_or_default()) < OF_ONE_K3S {
        finding.but(Verdict::Missing, format!("another K3s ends with \"too many open files\": {remedy}, or end other clusters"))
    } else {
        finding.unless(all >= GOOD, Verdict::Warning, format!("one K3s fits, several at once may not: {remedy}"))
    }
}

fn limit((what, found, least, good, remedy): Limit) -> Finding {
    let needed = if least == good { least.to_string() } else { format!("{least}, better {good}") };
    match found {
        None => Finding::not_seen(what, needed, "the kernel does not tell"),
        Some(found) => {
            let told = if found >= i64::MAX as u64 { "no limit".to_owned() } else { found.to_string() };
            let verdict = if found < least { Verdict::Missing } else { Verdict::Warning };
            Finding::ok(what, told, needed).unless(found >= good, verdict, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_a_warning_and_one_too_low_is_missing() {
        let facts = Facts { instances: Some(128), used: Some(88), watches: Some(8000), files: Some(u64::MAX >> 1), own: None };
        let findings = judge(&facts);
        let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warning, Verdict::Missing, Verdict::Ok, Verdict::NotSeen]);
        assert_eq!((findings[0].found.as_str(), findings[2].found.as_str()), ("128, 88 used", "no limit"));
        let crowded = instances(&Facts { used: Some(89), ..facts });
        assert_eq!(crowded.verdict, Verdict::Missing);
    }

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max processes             94115                94115                processes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(open_files("Max open files   unlimited  unlimited  files"), Some(u64::MAX));
    }
}
