//! Cores and memory, of the host that K3s would run on.

use sysinfo::{MemoryRefreshKind, System};

use super::{
    Finding, Verdict,
    needs::{Needs, size},
};
use crate::cluster::docker::Engine;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) cores: Option<u64>,
    /// All of it, in bytes.
    pub(super) memory: Option<u64>,
    /// What is free or can be made so, in bytes; of this host alone.
    pub(super) free: Option<u64>,
}

pub(super) fn gather() -> Facts {
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.get() as u64);
    let mut system = System::new().ok();
    if let Some(system) = &mut system {
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    }
    let memory = |of: fn(&System) -> u64| system.as_ref().map(of).filter(|bytes| *bytes > 0);
    Facts { cores, memory: memory(System::total_memory), free: memory(System::available_memory) }
}

/// The same of an engine's host that is not this one.
pub(super) fn of_engine(engine: &Engine) -> Facts {
    Facts { cores: engine.cores, memory: engine.memory, free: None }
}

pub(super) fn judge(facts: Facts, needs: &Needs) -> Vec<Finding> {
    vec![cores(facts, needs), memory(facts, needs), free(facts, needs)]
}

fn cores(facts: Facts, needs: &Needs) -> Finding {
    let (least, good) = needs.cores;
    let needed = if least == good { format!("{least}") } else { format!("{least}, better {good}") };
    let Some(cores) = facts.cores else {
        return Finding::not_seen("cores", needed, "the system does not tell");
    };
    let finding = Finding::ok("cores", cores.to_string(), needed);
    if cores < least {
        finding
            .but(Verdict::Missing, "Arc's pods request 1320m of CPU, and K3s works beside them: take a machine with more cores")
    } else {
        finding.unless(cores >= good, Verdict::Warning, "it runs, slowly: give launches and checks more time")
    }
}

fn memory(facts: Facts, needs: &Needs) -> Finding {
    let needed = size(needs.memory);
    let Some(memory) = facts.memory else {
        return Finding::not_seen("memory", needed, "the system does not tell");
    };
    let remedy = "Arc's pods request 9544Mi of memory, whoever plays Arc: with less, the scheduler leaves some Pending";
    Finding::ok("memory", size(memory), needed).unless(memory >= needs.memory, Verdict::Missing, remedy)
}

fn free(facts: Facts, needs: &Needs) -> Finding {
    let needed = size(needs.free_memory);
    let Some(free) = facts.free else {
        return Finding::not_seen("free memory", needed, "Docker runs on another host, and does not tell");
    };
    let remedy = "end what uses it, or pods are killed for it while the suite runs";
    Finding::ok("free memory", size(free), needed).unless(free >= needs.free_memory, Verdict::Warning, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, doctor::needs::Needs};

    const GIB: u64 = 1 << 30;

    fn verdicts(cores: u64, memory: u64, free: Option<u64>, image: &str) -> Vec<Verdict> {
        let config = Config::read(|asked| (asked == "K3S_ARC_LAUNCHER_IMAGE").then(|| image.into())).unwrap();
        let facts = Facts { cores: Some(cores), memory: Some(memory), free };
        judge(facts, &Needs::of(&config)).iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_machine_is_measured_by_who_plays_arc() {
        use Verdict::{Missing, NotSeen, Ok, Warning};
        assert_eq!(verdicts(2, 24 * GIB, Some(8 * GIB), "standin"), [Ok, Ok, Ok]);
        assert_eq!(verdicts(2, 24 * GIB, Some(8 * GIB), "tree"), [Warning, Ok, Warning]);
        assert_eq!(verdicts(1, 8 * GIB, Some(2 * GIB), "standin"), [Missing, Missing, Warning]);
        assert_eq!(verdicts(8, 32 * GIB, None, "tree"), [Ok, Ok, NotSeen]);
    }

    #[test]
    fn this_machine_has_cores_and_memory() {
        let facts = gather();
        assert!(facts.cores >= Some(1) && facts.memory >= facts.free && facts.free.is_some(), "{facts:?}");
    }
}
