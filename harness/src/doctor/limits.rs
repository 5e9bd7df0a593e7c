//! The kernel's limits on open and watched files. Container runtimes and kubelets watch many, and what reaches a limit fails with "too many open
//! files", far from the cause.

use super::{Finding, Verdict, files};

/// The limits, each as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `fs.inotify.max_user_instances`.
    pub(super) instances: Option<u64>,
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
        watches: number("/proc/sys/fs/inotify/max_user_watches"),
        files: number("/proc/sys/fs/file-max"),
        own: files::read("/proc/self/limits").as_deref().and_then(open_files),
    }
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
    // One K3s node takes some 30 instances and 3000 watches. 512 and 65536 are what https://kind.sigs.k8s.io/docs/user/known-issues names.
    let limits: [Limit; 4] = [
        (
            "inotify instances",
            facts.instances,
            64,
            512,
            "one K3s fits, several clusters at once may not: `sudo sysctl fs.inotify.max_user_instances=512`",
        ),
        (
            "inotify watches",
            facts.watches,
            8192,
            65536,
            "one K3s fits, several clusters at once may not: `sudo sysctl fs.inotify.max_user_watches=65536`",
        ),
        ("open files, all", facts.files, 65536, 65536, "`sudo sysctl fs.file-max=1048576`"),
        ("open files, own", facts.own, 256, 1024, "`ulimit -n 1024`, before k3s-arc is started"),
    ];
    limits.into_iter().map(limit).collect()
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
        let facts = Facts { instances: Some(128), watches: Some(8000), files: Some(u64::MAX >> 1), own: None };
        let findings = judge(&facts);
        let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warning, Verdict::Missing, Verdict::Ok, Verdict::NotSeen]);
        assert_eq!(findings[2].found, "no limit");
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
