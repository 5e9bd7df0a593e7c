//! Why K3s ends while it boots, told from what it said last.

/// The telling lines of K3s's log, as an error's source.
#[derive(Debug, Clone, Default, thiserror::Error)]
#[error("K3s's last lines:\n{}", .0.join("\n"))]
pub struct LogTail(pub Vec<String>);

impl LogTail {
    /// How many lines an error shows.
    const LINES: usize = 12;

    /// The last lines up to the one that names the cause, or up to the end: what follows a bad argument is the
    /// whole of K3s's usage.
    pub(super) fn new(lines: &[String], cause: Option<usize>) -> Self {
        let end = cause.map_or(lines.len(), |line| line + 1);
        Self(lines[end.saturating_sub(Self::LINES)..end].to_vec())
    }
}

/// Why K3s ends while it boots, as far as it is known to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// Kubelets from 1.35 on refuse cgroup v1: <https://kubernetes.io/docs/concepts/architecture/cgroups/#deprecation-of-cgroup-v1>.
    CgroupV1,
    /// A port that K3s listens on is taken (with the host's network, or a second server).
    PortTaken,
    /// The disk is full.
    NoSpace,
    /// An argument that this K3s does not know or accept.
    BadArgument,
    /// The data directory's file system cannot hold overlayfs.
    Overlayfs,
    /// The kernel gives no more inotify instances or files: other clusters on the host have them.
    TooManyFiles,
    /// The container is not privileged enough: mounts, cgroups or kernel settings are denied.
    NotPrivileged,
}

impl ExitCause {
    /// What K3s's log names as the cause, and in which line; the last line that names one counts.
    pub(super) fn in_log(lines: &[String]) -> Option<(usize, Self)> {
        // Texts of K3s v1.21 to v1.35 and of the kubelet in it.
        const SIGNS: [(&str, ExitCause); 14] = [
            ("configured to not run on a host using cgroup v1", ExitCause::CgroupV1),
            ("cgroup v1 support is unsupported", ExitCause::CgroupV1),
            ("address already in use", ExitCause::PortTaken),
            ("no space left on device", ExitCause::NoSpace),
            ("flag provided but not defined", ExitCause::BadArgument),
            ("Incorrect Usage", ExitCause::BadArgument),
            ("unknown flag", ExitCause::BadArgument),
            ("invalid argument \"", ExitCause::BadArgument),
            ("No help topic for", ExitCause::BadArgument),
            ("too many open files", ExitCause::TooManyFiles),
            ("snapshotter cannot be enabled", ExitCause::Overlayfs),
            ("operation not permitted", ExitCause::NotPrivileged),
            ("Read-only file system", ExitCause::NotPrivileged),
            ("permission denied", ExitCause::NotPrivileged),
        ];
        // Fatal lines decide before mere errors do: K3s goes on after many of those.
        let sign = |(number, line): (usize, &String)| {
            // Said on every host that keeps a container from raising its limits, and of no consequence.
            if line.contains("Failed to set rlimit") {
                return None;
            }
            SIGNS.iter().find(|(sign, _)| line.contains(sign)).map(|(_, cause)| (number, *cause))
        };
        let fatal =
            |(_, line): &(usize, &String)| line.contains("level=fatal") || line.starts_with('F') || line.starts_with("Incorrect");
        let last_first = || lines.iter().enumerate().rev();
        last_first().filter(fatal).find_map(sign).or_else(|| last_first().find_map(sign))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CgroupV1 => "its kubelet refuses hosts with cgroup v1",
            Self::PortTaken => "a port it listens on is taken",
            Self::NoSpace => "no space is left on the device",
            Self::BadArgument => "it does not accept an argument",
            Self::Overlayfs => "overlayfs cannot be used on its data directory",
            Self::TooManyFiles => "the host has no more inotify instances or open files to give",
            Self::NotPrivileged => "the container may not do what K3s needs",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::kubelet_135(
        "E1023 10:00:00.000000 1 run.go:72] \"command failed\" err=\"kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported\"",
        ExitCause::CgroupV1
    )]
    #[case::port(
        "time=\"x\" level=fatal msg=\"starting kubernetes: preparing server: listen tcp :6443: bind: address already in use\"",
        ExitCause::PortTaken
    )]
    #[case::space("level=fatal msg=\"write /var/lib/rancher/k3s/x: no space left on device\"", ExitCause::NoSpace)]
    #[case::argument("Incorrect Usage: flag provided but not defined: -bogus", ExitCause::BadArgument)]
    #[case::overlay(
        "level=fatal msg=\"\\\"overlayfs\\\" snapshotter cannot be enabled for \\\"/var/lib/rancher/k3s/agent/containerd\\\", try using \\\"fuse-overlayfs\\\" or \\\"native\\\"\"",
        ExitCause::Overlayfs
    )]
    fn what_k3s_says_last_is_recognised(#[case] line: &str, #[case] cause: ExitCause) {
        let lines = ["level=info msg=\"Starting k3s v1.34.1+k3s1\"".to_owned(), line.to_owned(), "level=info msg=bye".to_owned()];
        assert_eq!(ExitCause::in_log(&lines), Some((1, cause)));
        assert_eq!(LogTail::new(&lines, Some(1)).0, lines[..2], "what follows the cause is left out");
    }

    #[test]
    fn too_many_watchers_are_told_though_a_limit_could_not_be_raised_after() {
        let lines = [
            "E1126 22:37:53.048675      15 plugins.go:586] \"Error initializing dynamic plugin prober\" err=\"error initializing watcher: too many open files\"".to_owned(),
            "E1126 22:37:53.049002      15 server.go:1280] \"Failed to set rlimit on max file handles\" err=\"operation not permitted\"".to_owned(),
        ];
        assert_eq!(ExitCause::in_log(&lines), Some((0, ExitCause::TooManyFiles)));
    }

    #[test]
    fn a_fatal_line_counts_before_an_error_that_k3s_survived() {
        let lines = [
            "level=fatal msg=\"flag provided but not defined: -x\"".to_owned(),
            "level=warning msg=\"cannot set rlimit: operation not permitted\"".to_owned(),
        ];
        assert_eq!(ExitCause::in_log(&lines), Some((0, ExitCause::BadArgument)));
        assert_eq!(ExitCause::in_log(&["all is well".to_owned()]), None);
    }
}
