//! A VM: what it is to have, whether the host has as much, and its launch.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use serde_json::json;
use sysinfo::{MemoryRefreshKind, System};
use tokio::time::{Instant, sleep};

use super::{
    MultipassError,
    cause::Asked,
    command::{Input, Multipass},
    info::{State, Version, Vm, names},
    size::Size,
};
use crate::cluster::{ClusterSpec, Run};

/// How long Multipass may take to tell something. It asks VMs that run by SSH, one after the other.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// From the request to a VM whose first boot is over, with the download of its image.
const LAUNCH: Duration = Duration::from_secs(900);
/// How long a VM may take to start, once it has booted for the first time.
const START: Duration = Duration::from_secs(300);
/// How long one may take to stop, or to become a snapshot, or one again.
pub(super) const CHANGE: Duration = Duration::from_secs(300);
/// How much longer than it says itself the command may take.
const SLACK: Duration = Duration::from_secs(30);
/// How long a VM that is up may be without an address.
const ADDRESS: Duration = Duration::from_secs(60);
/// Between two looks at one.
const LOOK: Duration = Duration::from_secs(1);

/// Where its packages keep VMs: <https://canonical.com/multipass/docs/stable/how-to-guides/customise-multipass/>.
const STORES: [&str; 3] =
    ["/var/snap/multipass/common/data/multipassd", "/var/root/Library/Application Support/multipassd", "/var/lib/multipass"];

/// What a VM is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// `K3S_ARC_MULTIPASS_CPUS`: cores.
    pub cpus: u32,
    /// `K3S_ARC_MULTIPASS_MEMORY`.
    pub memory: Size,
    /// `K3S_ARC_MULTIPASS_DISK`.
    pub disk: Size,
    /// `K3S_ARC_MULTIPASS_RELEASE`: the release of Ubuntu, or anything else that `multipass launch` takes an image by.
    pub release: String,
}

impl Default for Shape {
    /// What the first deployment of Arc data services on K3s was given, on the Ubuntu that is supported longest.
    fn default() -> Self {
        Self { cpus: 8, memory: Size::gib(20), disk: Size::gib(50), release: "24.04".to_owned() }
    }
}

/// What the host has for VMs; nothing where it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) cpus: Option<u32>,
    pub(crate) memory: Option<Size>,
    /// Free, where Multipass keeps VMs.
    pub(crate) disk: Option<Size>,
}

impl Host {
    /// What this one has.
    pub(crate) fn look() -> Self {
        let cpus = std::thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
        let memory = System::new().ok().map(|mut system| {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            Size::of(system.total_memory())
        });
        let store = Self::store();
        let there = store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let disk = rustix::fs::statvfs(there).ok().map(|found| Size::of(found.f_bavail * found.f_frsize));
        Self { cpus, memory, disk }
    }

    /// Where Multipass keeps VMs.
    pub(crate) fn store() -> &'static Path {
        let stores = STORES.iter().map(Path::new);
        stores.into_iter().find(|store| store.parent().is_some_and(Path::exists)).unwrap_or(Path::new("/"))
    }
}

impl Shape {
    /// Refuses what the host does not have. Some drivers promise VMs more than there is, and K3s is then killed, or its VM frozen,
    /// in the middle of something.
    pub(crate) fn fits(&self, host: &Host) -> Result<(), MultipassError> {
        let sizes = [
            ("of memory", Some(self.memory), host.memory, "K3S_ARC_MULTIPASS_MEMORY"),
            ("of disk", Some(self.disk), host.disk, "K3S_ARC_MULTIPASS_DISK"),
        ];
        if let Some(has) = host.cpus.filter(|has| *has < self.cpus) {
            let (asked, has) = (self.cpus.to_string(), has.to_string());
            return Err(MultipassError::TooBig { what: "cores", asked, has, variable: "K3S_ARC_MULTIPASS_CPUS" });
        }
        for (what, asked, has, variable) in sizes {
            if let (Some(asked), Some(has)) = (asked, has)
                && asked > has
            {
                return Err(MultipassError::TooBig { what, asked: asked.to_string(), has: has.to_string(), variable });
            }
        }
        Ok(())
    }
}

/// The name of a spec's VM: it carries the run.
pub(super) fn name(run: &Run, spec: &ClusterSpec) -> String {
    // A nextest run's id is a UUID, whose first group tells it apart well enough; other ids begin with a time, which others share.
    let is_uuid = run.id().split('-').count() == 5;
    let run = run.id().split_once('-').filter(|_| is_uuid).map_or(run.id(), |(first, _)| first);
    format!("k3s-arc-{run}-{}", spec.digest())
}

/// Which Multipass it is; it must have a daemon that answers.
pub(super) async fn version(multipass: &Multipass) -> Result<Version, MultipassError> {
    let arguments = ["version", "--format", "json"];
    let json = multipass.run(&arguments, Input::Nothing, ANSWER).await;
    let json = json.map_err(|source| MultipassError::of("tell its version", source))?;
    Version::of(&json).map_err(|source| MultipassError::Answer { command: arguments.join(" "), source })
}

/// The names of all VMs that there are, of whoever they are.
pub(super) async fn all_names(multipass: &Multipass) -> Result<Vec<String>, MultipassError> {
    let arguments = ["list", "--format", "json"];
    let json = multipass.run(&arguments, Input::Nothing, ANSWER).await;
    let json = json.map_err(|source| MultipassError::of("list the VMs", source))?;
    names(&json).map_err(|source| MultipassError::Answer { command: arguments.join(" "), source })
}

/// How a VM is; nothing, if there is none.
pub(super) async fn look(multipass: &Multipass, name: &str, limit: Duration) -> Result<Option<Vm>, MultipassError> {
    let arguments = ["info", name, "--format", "json"];
    match multipass.run(&arguments, Input::Nothing, limit).await {
        Ok(json) => {
            let vm = Vm::of_info(name, &json);
            vm.map(Some).map_err(|source| MultipassError::Answer { command: arguments.join(" "), source })
        }
        Err(error) if super::cause::is_of_no_vm(&error) => Ok(None),
        Err(source) => Err(MultipassError::of(format!("tell how the VM {name} is"), source)),
    }
}

/// Launches a VM and returns once its first boot is over.
pub(super) async fn launch(
    multipass: &Multipass,
    name: &str,
    shape: &Shape,
    labels: &[(String, String)],
) -> Result<(), MultipassError> {
    tracing::info!(
        "launching the VM {name}: Ubuntu {}, {} cores, {} of memory, {} of disk",
        shape.release,
        shape.cpus,
        shape.memory,
        shape.disk
    );
    let (cpus, memory, disk) = (shape.cpus.to_string(), shape.memory.to_string(), shape.disk.to_string());
    let within = LAUNCH.as_secs().to_string();
    let arguments = [
        "launch",
        &shape.release,
        "--name",
        name,
        "--cpus",
        &cpus,
        "--memory",
        &memory,
        "--disk",
        &disk,
        "--timeout",
        &within,
        "--cloud-init",
        "-",
    ];
    let asked = Asked { name, release: &shape.release, memory: shape.memory, disk: shape.disk, within: LAUNCH };
    let cloud_init = cloud_init(labels);
    let launched = multipass.run(&arguments, Input::Bytes(cloud_init.as_bytes()), LAUNCH + SLACK).await;
    launched.map(drop).map_err(|source| MultipassError::of_launch(asked, source))
}

/// Starts a VM that is off, and returns once it is up.
pub(super) async fn start(multipass: &Multipass, name: &str) -> Result<(), MultipassError> {
    let within = START.as_secs().to_string();
    let started = multipass.run(&["start", name, "--timeout", &within], Input::Nothing, START + SLACK).await;
    started.map(drop).map_err(|source| MultipassError::of(format!("start the VM {name}"), source))
}

/// What the VM is told for its first boot. Nothing in it needs the network. It says whose the VM is, for who comes upon it; and Ubuntu's
/// daily upgrades stay away, which restart services whenever they happen to be due. All else is as a user would find it.
fn cloud_init(labels: &[(String, String)]) -> String {
    let labels: serde_json::Map<_, _> = labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let told = json!({
        "package_update": false,
        "package_upgrade": false,
        "write_files": [{"path": "/etc/k3s-arc.json", "content": format!("{}\n", json!(labels))}],
        "bootcmd": [["systemctl", "mask", "--now", "apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service"]],
    });
    // JSON is YAML.
    format!("#cloud-config\n{told}\n")
}

/// The address of a VM that is up. Some drivers know it only a while after.
pub(super) async fn address(multipass: &Multipass, name: &str) -> Result<Ipv4Addr, MultipassError> {
    let since = Instant::now();
    loop {
        let vm = look(multipass, name, ANSWER).await?;
        match vm.as_ref().map(|vm| (&vm.state, vm.address())) {
            Some((State::Running, Some(address))) => return Ok(address),
            Some((State::Running | State::Starting | State::Restarting | State::Unknown | State::Other(_), _))
                if since.elapsed() < ADDRESS =>
            {
                sleep(LOOK).await;
            }
            Some((State::Running, None)) => return Err(MultipassError::NoAddress { name: name.to_owned(), after: ADDRESS }),
            _ => {
                let state = vm.as_ref().map_or(crate::cluster::MachineState::Gone, super::node::state);
                return Err(MultipassError::Gone { name: name.to_owned(), state });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::command::tests::scripted, *};

    const HOST: Host = Host { cpus: Some(2), memory: Some(Size::of(25_000_000_000)), disk: Some(Size::gib(40)) };

    #[rstest]
    #[case::cores(8, 20, 30, "the VM is to have 8 cores, and this host has 2", "K3S_ARC_MULTIPASS_CPUS")]
    #[case::memory(2, 30, 30, "the VM is to have 30G of memory, and this host has 23.3G", "K3S_ARC_MULTIPASS_MEMORY")]
    #[case::disk(2, 20, 50, "the VM is to have 50G of disk, and this host has 40G", "K3S_ARC_MULTIPASS_DISK")]
    fn what_the_host_has_not_is_not_asked_for(
        #[case] cpus: u32,
        #[case] memory: u64,
        #[case] disk: u64,
        #[case] message: &str,
        #[case] variable: &str,
    ) {
        let shape = Shape { cpus, memory: Size::gib(memory), disk: Size::gib(disk), ..Shape::default() };
        let report = crate::report_of(&shape.fits(&HOST).unwrap_err());
        assert!(report.contains(message) && report.contains(variable), "{report}");
    }

    #[test]
    fn what_the_host_does_not_tell_is_not_held_against_a_vm() {
        Shape { cpus: 2, memory: Size::gib(12), disk: Size::gib(15), ..Shape::default() }.fits(&HOST).unwrap();
        Shape::default().fits(&Host { cpus: None, memory: None, disk: None }).unwrap();
        let here = Host::look();
        assert!(here.cpus >= Some(1) && here.memory > Some(Size::gib(0)) && here.disk.is_some(), "{here:?}");
    }

    #[tokio::test]
    async fn a_launch_says_what_the_vm_is_to_have_and_whose_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("told");
        let multipass = scripted(directory.path(), &format!(r#"{{ echo "$@"; cat; }} >{}"#, told.display()));
        launch(&multipass, "k3s-arc-1-2", &Shape::default(), &[("k3s-arc.run".to_owned(), "1".to_owned())]).await.unwrap();
        let told = std::fs::read_to_string(told).unwrap();
        let (command, cloud_init) = told.split_once('\n').unwrap();
        let expected = "launch 24.04 --name k3s-arc-1-2 --cpus 8 --memory 20G --disk 50G --timeout 900 --cloud-init -";
        assert_eq!(command, expected);
        let json: serde_json::Value = serde_json::from_str(cloud_init.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(json["write_files"][0]["content"], "{\"k3s-arc.run\":\"1\"}\n");
    }

    #[tokio::test]
    async fn an_address_that_comes_late_is_waited_for_and_a_vm_that_stops_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let looked = directory.path().join("looked");
        let script = format!(
            r#"if [ -e {0} ]; then ip='"10.97.0.76"'; fi; touch {0}
            echo "{{\"info\": {{\"vm\": {{\"state\": \"Running\", \"ipv4\": [$ip]}}}}}}""#,
            looked.display()
        );
        let found = address(&scripted(directory.path(), &script), "vm").await.unwrap();
        assert_eq!(found, Ipv4Addr::new(10, 97, 0, 76));
        let stopped = scripted(directory.path(), r#"echo '{"info": {"vm": {"state": "Stopped", "ipv4": []}}}'"#);
        let error = address(&stopped, "vm").await.unwrap_err();
        assert_eq!(error.to_string(), "the VM vm of this run is stopped");
        let gone = scripted(directory.path(), r#"echo 'info failed: instance "vm" does not exist' >&2; exit 2"#);
        assert_eq!(address(&gone, "vm").await.unwrap_err().to_string(), "the VM vm of this run does not exist any more");
    }
}
