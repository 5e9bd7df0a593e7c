//! What K3s needs of the kernel: overlay mounts, bridged traffic that iptables sees, iptables itself, VXLAN between nodes; and that
//! privileged containers have the capabilities they are meant to have.

use std::path::Path;

use super::{Finding, Verdict, files};

/// How a part of the kernel is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Built in, or loaded.
    There,
    /// On the disk, and not loaded.
    Loadable,
    /// Neither.
    Absent,
}

/// The kernel's parts, by module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The kernel's release, as `uname -r`.
    pub(super) release: Option<String>,
    pub(super) overlay: Part,
    pub(super) br_netfilter: Part,
    pub(super) iptables: Part,
    pub(super) conntrack: Part,
    pub(super) vxlan: Part,
    /// The capabilities that containers can have at most, as a bit set.
    pub(super) capabilities: Option<u64>,
}

/// The kernel of this host; none on systems other than Linux.
pub(super) fn gather() -> Option<Facts> {
    let release = files::read("/proc/sys/kernel/osrelease")?;
    let part = |module: &str, signs: &[&str]| {
        let signs = signs.iter().map(|sign| (*sign).to_owned()).chain([format!("/sys/module/{module}")]);
        if signs.into_iter().any(|sign| Path::new(&sign).exists()) || listed(&release, "modules.builtin", module) {
            Part::There
        } else if listed(&release, "modules.dep", module) {
            Part::Loadable
        } else {
            Part::Absent
        }
    };
    let has_overlay = files::read("/proc/filesystems").is_some_and(|text| text.lines().any(|line| line.ends_with("\toverlay")));
    Some(Facts {
        overlay: if has_overlay { Part::There } else { part("overlay", &[]) },
        br_netfilter: part("br_netfilter", &["/proc/sys/net/bridge/bridge-nf-call-iptables"]),
        iptables: part("ip_tables", &["/proc/net/ip_tables_names", "/sys/module/nf_tables"]),
        conntrack: part("nf_conntrack", &["/proc/sys/net/netfilter/nf_conntrack_max"]),
        vxlan: part("vxlan", &[]),
        capabilities: engines_capabilities(),
        release: Some(release),
    })
}

/// Whether a list of the kernel's modules names one.
fn listed(release: &str, list: &str, module: &str) -> bool {
    let text = files::read(&format!("/lib/modules/{release}/{list}")).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split([':', ' ']).next()?.rsplit('/').next()?.split('.').next());
    names.into_iter().any(|name| name.replace('-', "_") == module)
}

/// The bounding set of the Docker Engine's process, or of the host's first.
fn engines_capabilities() -> Option<u64> {
    let engine = files::read("/var/run/docker.pid").and_then(|pid| files::read(&format!("/proc/{pid}/status")));
    let status = engine.or_else(|| files::read("/proc/1/status"))?;
    bounding_set(&status)
}

fn bounding_set(status: &str) -> Option<u64> {
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?.trim(), 16).ok()
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    use Verdict::{Missing, Warning};
    let parts = [
        ("overlay", facts.overlay, Missing, "K3s then runs with the native snapshotter: slow, and a copy of every layer"),
        ("br_netfilter", facts.br_netfilter, Missing, "Services do not answer pods of their own node"),
        ("ip_tables", facts.iptables, Missing, "kube-proxy cannot make Services"),
        ("nf_conntrack", facts.conntrack, Missing, "kube-proxy cannot make Services"),
        (
            "vxlan",
            facts.vxlan,
            Warning,
            "flannel cannot join several nodes; a single one needs no VXLAN where its backend is host-gw",
        ),
    ];
    let module = |(name, part, verdict, consequence): (&str, Part, Verdict, &str)| {
        let finding = |found: &str| Finding::ok(format!("kernel: {name}"), found, "built in or loaded");
        match part {
            Part::There => finding("there"),
            Part::Loadable => {
                finding("not loaded").but(Warning, format!("`sudo modprobe {name}`; else, unless Docker loads it: {consequence}"))
            }
            Part::Absent => finding("absent").but(verdict, format!("take a kernel that has it; else {consequence}")),
        }
    };
    parts.into_iter().map(module).chain([capabilities(facts.capabilities)]).collect()
}

/// The capabilities without which K3s does not run in a container, and those without which it runs worse; their numbers are of
/// `linux/capability.h`.
const CAPABILITIES: [(&str, u32, Verdict); 6] = [
    ("CHOWN", 0, Verdict::Missing),
    ("NET_ADMIN", 12, Verdict::Missing),
    ("SYS_ADMIN", 21, Verdict::Missing),
    ("SYS_PTRACE", 19, Verdict::Warning),
    ("SYS_RESOURCE", 24, Verdict::Warning),
    ("MKNOD", 27, Verdict::Missing),
];

fn capabilities(found: Option<u64>) -> Finding {
    const WHAT: &str = "capabilities";
    const NEEDED: &str = "all, for privileged containers";
    let Some(found) = found else {
        return Finding::not_seen(WHAT, NEEDED, "the Docker Engine's process is not to be seen from here");
    };
    let lacking = || CAPABILITIES.into_iter().filter(|(_, bit, _)| found & (1 << bit) == 0);
    let names: Vec<String> = lacking().map(|(name, ..)| format!("CAP_{name}")).collect();
    if names.is_empty() {
        return Finding::ok(WHAT, "all that K3s uses", NEEDED);
    }
    let verdict = lacking().map(|(.., verdict)| verdict).max().unwrap_or(Verdict::Warning);
    let remedy = match verdict {
        Verdict::Missing => "privileged containers are not: run Docker on a host, not within a container or a sandbox",
        _ => {
            "limits cannot be raised, nor processes be spared from the kernel's OOM killer: a container runtime that insists on either \
             refuses pods"
        }
    };
    Finding::ok(WHAT, format!("without {}", names.join(", ")), NEEDED).but(verdict, remedy)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_module_that_is_not_loaded_is_told_with_how_to_load_it() {
        let facts = Facts {
            release: None,
            overlay: Part::There,
            br_netfilter: Part::Loadable,
            iptables: Part::Absent,
            conntrack: Part::There,
            vxlan: Part::Absent,
            capabilities: None,
        };
        let findings = judge(&facts);
        let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
        use Verdict::{Missing, NotSeen, Ok, Warning};
        assert_eq!(verdicts, [Ok, Warning, Missing, Ok, Warning, NotSeen]);
        assert!(findings[1].remedy.as_deref().unwrap().starts_with("`sudo modprobe br_netfilter`"));
    }

    #[rstest]
    #[case::all("000001ffffffffff", Verdict::Ok, "all that K3s uses")]
    #[case::without_resource("000001fffeffffff", Verdict::Warning, "without CAP_SYS_RESOURCE")]
    #[case::of_a_container(
        "00000000a80425fb",
        Verdict::Missing,
        "without CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RESOURCE"
    )]
    fn what_privileged_containers_lack_is_named(#[case] set: &str, #[case] verdict: Verdict, #[case] found: &str) {
        let set = bounding_set(&format!("Name:\tdockerd\nCapBnd:\t{set}\nCapAmb:\t0\n"));
        let finding = capabilities(set);
        assert_eq!((finding.verdict, finding.found.as_str()), (verdict, found));
    }
}
