//! Whether a host has what the chosen suite needs, before anything is pulled or started.
//!
//! Each area of questions is a file: it gathers facts, with a deadline where somebody else is asked, and judges them with functions that see
//! nothing but the facts and what the suite needs. All is gathered at once, so that an examination takes as long as its slowest
//! question: two seconds, where nobody answers.
//!
//! K3s in Docker runs on the engine's host. Where that is another than this one, what this one's kernel tells is of no use, and is
//! not told.

mod cgroups;
mod clock;
mod disk;
mod docker;
mod egress;
mod files;
mod finding;
mod kernel;
mod limits;
mod machine;
mod multipass;
mod needs;
mod network;
mod proxies;
mod vm;

use std::path::Path;

pub use self::finding::{Finding, Verdict};
use self::needs::{Needs, Place};
use crate::{
    cluster::{
        docker::{DockerError, Engine},
        multipass::Host,
        run_base,
    },
    config::Config,
};

/// What was found of a host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Examination {
    /// What the host was measured by.
    pub suite: String,
    /// Line by line.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// The worst of the findings.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }
}

/// Looks at this host, and judges it by what the configuration asks for. Nothing is changed, pulled or started.
pub async fn examine(config: &Config) -> Examination {
    let needs = Needs::of(config);
    let engine = async {
        match needs.place {
            Place::Docker => Some(Engine::look().await),
            Place::Vm | Place::Elsewhere | Place::Emulator => None,
        }
    };
    let (engine, servers, multipass) = futures::join!(engine, egress::gather(egress::servers(&needs)), multipass::gather());
    let mut findings = match &engine {
        Some(engine) => of_k3s(engine, &needs),
        None if needs.place == Place::Vm => of_vm(&needs),
        None => machine::judge(machine::gather(), &needs),
    };
    let runs = run_base(config);
    let on_disk = Needs { disk: (RUNS, RUNS), ..needs.clone() };
    findings.push(disk::judge(&format!("runs, {}", runs.display()), disk::gather(&runs), &on_disk, false));
    findings.push(clock::judge(clock::gather(servers.iter().find_map(|server| server.date.as_deref()))));
    findings.extend(multipass::judge(&multipass, &needs));
    findings.extend(network::judge(&network::gather()));
    findings.extend(proxies::judge(&proxies::gather()));
    let has_images = match &engine {
        Some(engine) => engine.as_ref().is_ok_and(|engine| docker::has_all(engine, &needs)),
        None => needs.airgap.is_some(),
    };
    findings.extend(egress::judge(&servers, &needs, has_images));
    Examination { suite: suite(&needs), findings }
}

/// What a run keeps beside its clusters, in bytes: kubeconfigs and records, and the folders of emulated nodes.
const RUNS: u64 = 100 << 20;

/// What a VM needs of this host. Its kernel and limits are its own.
fn of_vm(needs: &Needs) -> Vec<Finding> {
    let mut findings = vm::judge(Host::look(), &needs.vm, needs);
    let store = Host::store();
    // A VM's disk takes of the host's only what is written to it.
    findings.push(disk::judge(&format!("VMs, {}", store.display()), disk::gather(store), needs, false));
    findings
}

/// What K3s needs of the host it runs on.
fn of_k3s(engine: &Result<Engine, DockerError>, needs: &Needs) -> Vec<Finding> {
    let here = kernel::gather();
    let elsewhere = match engine {
        // Docker Desktop's engine answers at a socket of this host, and has a kernel of its own; hosts of one kind have kernels of one release.
        Ok(engine) => !engine.is_here() || engine.kernel != here.as_ref().and_then(|kernel| kernel.release.clone()),
        Err(_) => here.is_none() || !Engine::is_local(),
    };
    let mut findings = match (elsewhere, engine) {
        (false, _) => machine::judge(machine::gather(), needs),
        (true, Ok(engine)) => machine::judge(machine::of_engine(engine), needs),
        (true, Err(_)) => Vec::new(),
    };
    let room = engine.as_ref().ok().and_then(|engine| engine.data_root.as_deref()).unwrap_or("/var/lib/docker");
    let facts = if elsewhere { None } else { disk::gather(Path::new(room)) };
    findings.push(disk::judge(&format!("Docker, {room}"), facts, needs, true));
    findings.extend(docker::judge(engine, needs));
    let cgroups = match (elsewhere, engine) {
        (false, _) => cgroups::gather(),
        (true, Ok(engine)) => cgroups::Facts { version: engine.cgroups, controllers: None },
        (true, Err(_)) => cgroups::Facts::default(),
    };
    findings.extend(cgroups::judge(&cgroups, needs));
    match &here {
        Some(kernel) if !elsewhere => {
            findings.extend(limits::judge(&limits::gather()));
            findings.extend(kernel::judge(kernel));
        }
        _ => findings.push(Finding::not_seen(
            "kernel and limits",
            "those of a Linux host",
            "K3s runs on another host than this one",
        )),
    }
    findings
}

fn suite(needs: &Needs) -> String {
    let place = match needs.place {
        Place::Docker => "K3s in Docker",
        Place::Vm => "K3s in a VM of Multipass",
        Place::Elsewhere => "a cluster that exists",
        Place::Emulator => "the emulated K3s",
    };
    let arc = if needs.microsofts { "Microsoft's Arc data services" } else { "Arc data services played by the stand-in" };
    format!("{place}, {arc}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(provider: &'static str) -> Config {
        Config::read(|asked| (asked == "K3S_ARC_PROVIDER").then(|| provider.into())).unwrap()
    }

    #[tokio::test]
    async fn the_emulator_is_not_measured_by_docker() {
        let examination = examine(&config("emulator")).await;
        let asked = |text: &str| examination.findings.iter().any(|finding| finding.what.starts_with(text));
        assert!(asked("memory") && asked("ports") && !asked("Docker") && !asked("egress"), "{examination:#?}");
    }

    #[tokio::test]
    async fn a_vm_and_a_cluster_that_exists_are_not_measured_by_docker() {
        let examination = examine(&config("multipass")).await;
        let asked = |text: &str| examination.findings.iter().any(|finding| finding.what.starts_with(text));
        assert!(asked("VM: memory") && asked("Multipass") && asked("egress: get.k3s.io"), "{examination:#?}");
        assert!(!asked("Docker") && !asked("cgroup"), "{examination:#?}");
        assert_eq!(examination.suite, "K3s in a VM of Multipass, Arc data services played by the stand-in");

        let examination = examine(&config("kubeconfig")).await;
        let asked = |text: &str| examination.findings.iter().any(|finding| finding.what.starts_with(text));
        assert!(!asked("Docker") && !asked("cgroup") && !asked("VM") && !asked("egress"), "{examination:#?}");
    }

    #[tokio::test]
    async fn every_line_that_is_not_ok_says_what_to_do() {
        let examination = examine(&config("docker")).await;
        assert!(examination.findings.iter().any(|finding| finding.what.starts_with("Docker")));
        for finding in &examination.findings {
            assert!(finding.verdict == Verdict::Ok || finding.remedy.is_some(), "{finding:?}");
        }
    }
}
