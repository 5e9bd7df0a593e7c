//! What a VM is to have: no more than the host has, and no less than the suite needs.

use super::{
    Finding, Verdict,
    needs::{Needs, size},
};
use crate::cluster::multipass::{Host, Shape};

pub(super) fn judge(host: Host, shape: &Shape, needs: &Needs) -> Vec<Finding> {
    let number = |number: u64| number.to_string();
    let (cores, disk) = (needs.cores, needs.disk);
    vec![
        Share { what: "VM: cores", variable: "K3S_ARC_MULTIPASS_CPUS", written: number }.judge(
            u64::from(shape.cpus),
            host.cpus.map(u64::from),
            cores,
            "it runs, slowly: give launches and checks more time",
        ),
        Share { what: "VM: memory", variable: "K3S_ARC_MULTIPASS_MEMORY", written: size }.judge(
            shape.memory.bytes(),
            host.memory.map(|memory| memory.bytes()),
            (needs.memory, needs.memory),
            "",
        ),
        Share { what: "VM: disk", variable: "K3S_ARC_MULTIPASS_DISK", written: size }.judge(
            shape.disk.bytes(),
            host.disk.map(|disk| disk.bytes()),
            disk,
            "images, claims and logs may not all fit",
        ),
    ]
}

/// Something that a VM is given of the host's.
struct Share {
    what: &'static str,
    variable: &'static str,
    written: fn(u64) -> String,
}

impl Share {
    fn judge(self, given: u64, host: Option<u64>, (least, good): (u64, u64), little: &str) -> Finding {
        let Self { what, variable, written } = self;
        let needed = if least == good { written(least) } else { format!("{}, better {}", written(least), written(good)) };
        let of_host = host.map_or_else(|| "an unknown number".to_owned(), written);
        let finding = Finding::ok(what, format!("{} of this host's {of_host}", written(given)), needed);
        match host {
            Some(has) if has < given => {
                finding.but(Verdict::Missing, format!("ask for less in {variable}: the host has no more"))
            }
            _ if given < least => finding.but(Verdict::Missing, format!("ask for more in {variable}")),
            _ => finding.unless(given >= good, Verdict::Warning, little),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{cluster::multipass::Size, config::Config};

    #[rstest]
    #[case::as_documented(8, 20, 50, [Verdict::Ok, Verdict::Ok, Verdict::Ok])]
    #[case::more_than_there_is(32, 100, 500, [Verdict::Missing, Verdict::Missing, Verdict::Missing])]
    #[case::less_than_arc_requests(1, 8, 1, [Verdict::Missing, Verdict::Missing, Verdict::Missing])]
    #[case::little(2, 12, 4, [Verdict::Ok, Verdict::Ok, Verdict::Warning])]
    fn a_vm_is_measured_by_its_host_and_by_the_suite(
        #[case] cpus: u32,
        #[case] memory: u64,
        #[case] disk: u64,
        #[case] verdicts: [Verdict; 3],
    ) {
        let needs = Needs::of(&Config::read(|asked| (asked == "K3S_ARC_PROVIDER").then(|| "multipass".into())).unwrap());
        let shape = Shape { cpus, memory: Size::gib(memory), disk: Size::gib(disk), ..Shape::default() };
        let host = Host { cpus: Some(16), memory: Some(Size::gib(64)), disk: Some(Size::gib(100)) };
        let findings = judge(host, &shape, &needs);
        assert_eq!(findings.iter().map(|finding| finding.verdict).collect::<Vec<_>>(), verdicts);
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok || finding.remedy.is_some()), "{findings:?}");
    }
}
