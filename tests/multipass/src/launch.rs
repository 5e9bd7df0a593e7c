//! `launch`: a privileged container, with what a machine has put into it.

use crate::{
    arguments::Launch,
    cloud_init::{self, CloudInit},
    docker,
    failure::Failure,
    faults::{Fault, Faults},
    machine::{self, ASKED, LABEL, Machine},
    version::Version,
};

/// What is put into a machine, where its users' `PATH` begins: the image may have programs of these names that expect systemd.
const TOOLS: [(&str, &str); 5] = [
    ("usr/local/lib/init", include_str!("machine/init.sh")),
    ("usr/local/bin/systemctl", include_str!("machine/systemctl.sh")),
    ("usr/local/bin/journalctl", include_str!("machine/journalctl.sh")),
    ("usr/local/bin/sudo", include_str!("machine/sudo.sh")),
    ("usr/local/bin/cloud-init", include_str!("machine/cloud-init.sh")),
];

/// What K3s keeps on file systems of its own: containerd's overlays cannot lie on the container's.
const VOLUMES: [&str; 2] = ["/var/lib/rancher", "/var/lib/kubelet"];

/// The images that can be asked for: their names and releases. The containers are of one image all the same.
pub(crate) const IMAGES: [(&[&str], &str); 4] = [
    (&["24.04", "noble", "lts", "default", "ubuntu"], "24.04 LTS"),
    (&["22.04", "jammy"], "22.04 LTS"),
    (&["20.04", "focal"], "20.04 LTS"),
    (&["26.04", "resolute", "devel"], "26.04 LTS"),
];

/// The smallest disk that an Ubuntu image asks for, in bytes.
const SMALLEST_DISK: u64 = 3_758_096_384;

/// The public image that machines are made of, unless the environment names another that is like it.
const IMAGE: &str = "debian:12";

/// The name of the container image.
pub(crate) fn image() -> String {
    std::env::var("FAKE_MULTIPASS_IMAGE").ok().filter(|image| !image.is_empty()).unwrap_or_else(|| IMAGE.to_owned())
}

/// Makes and starts a machine, and waits until it is initialized.
pub(crate) fn launch(asked: &Launch, version: &Version, faults: &Faults) -> Result<(), Failure> {
    let name = asked.name.clone().unwrap_or_else(|| "accurate-armadillo".to_owned());
    let sizes = Sizes::read(asked, &name)?;
    let cloud_init = asked.cloud_init.as_deref().map(CloudInit::load).transpose()?;
    let release = release(asked.image.as_deref().unwrap_or("default"))?;
    if faults.has(Fault::NameTaken) {
        let container = machine::container(&name);
        create(&name, &container, &sizes, release, &image())?;
        start(&container)?;
    }
    if machine::all(faults)?.iter().any(|machine| machine.name == name) {
        return Err(Failure::refused(format!("instance \"{name}\" already exists")));
    }
    faults.of_a_launch(SMALLEST_DISK)?;

    print!("\x1b[2K\x1b[0A\x1b[0ECreating {name}  ");
    let container = machine::container(&name);
    create(&name, &container, &sizes, release, &image())?;
    start(&container)?;
    if faults.has(Fault::LaunchTimeout) {
        return Err(timed_out(asked.timeout.is_some(), "Timed out waiting for instance launch."));
    }
    if faults.has(Fault::LaunchNoResponse) {
        return Err(Failure::errors(&[format!("{name}: timed out waiting for response")]));
    }
    if let Some(cloud_init) = &cloud_init {
        cloud_init::apply(cloud_init, &container)?;
    }
    let zone = if version.has_zones() { " in zone1" } else { "" };
    println!("\x1b[2K\x1b[0A\x1b[0ELaunched: {name}{zone}");
    Ok(())
}

/// That a machine did not get ready. With `--timeout` the client's own clock is the first to say so, with a code of its own.
pub(crate) fn timed_out(by_client: bool, said: &str) -> Failure {
    if by_client {
        return Failure::Client { text: said.to_owned(), code: 5 };
    }
    Failure::errors(&["timed out waiting for initialization to complete".to_owned()])
}

/// A container like this one, from this image: stopped, with what a machine has in it.
pub(crate) fn like(machine: &Machine, image: &str) -> Result<(), Failure> {
    let sizes = ["cpus", "memory", "disk"].map(|what| (what, machine.asked(what).to_owned()));
    create(&machine.name, &machine.container, &Sizes(sizes), machine.asked("image"), image)
}

fn create(name: &str, container: &str, sizes: &Sizes, release: &str, image: &str) -> Result<(), Failure> {
    let mut arguments = ["create", "--name", container, "--hostname", name].map(str::to_owned).to_vec();
    let labels = [(LABEL.to_owned(), machine::host())]
        .into_iter()
        .chain(sizes.0.iter().map(|(what, size)| (format!("{ASKED}{what}"), size.clone())));
    for (label, value) in labels.chain([(format!("{ASKED}image"), release.to_owned())]) {
        arguments.extend(["--label".to_owned(), format!("{label}={value}")]);
    }
    // A namespace of its own for cgroups, as a virtual machine has its own: else K3s finds the host's.
    arguments.extend(["--privileged", "--cgroupns", "private", "--tmpfs", "/run:exec"].map(str::to_owned));
    arguments.extend(VOLUMES.iter().flat_map(|volume| ["--volume".to_owned(), (*volume).to_owned()]));
    arguments.extend([image.to_owned(), "/usr/local/lib/init".to_owned()]);
    docker::output(arguments)?;
    docker::feed(["cp", "-", &format!("{container}:/")], &tools()?).map(drop)
}

/// Starts a container, and waits until its init has done its work.
pub(crate) fn start(container: &str) -> Result<(), Failure> {
    docker::output(["start", container])?;
    let script = "for _ in $(seq 600); do [ ! -e /run/booted ] || exit 0; sleep 0.1; done; exit 1";
    docker::output(["exec", container, "sh", "-c", script]).map(drop)
}

/// The machine's tools as an archive.
fn tools() -> Result<Vec<u8>, Failure> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in TOOLS {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, text.as_bytes()).map_err(|error| Failure::Fake(format!("{path}: {error}")))?;
    }
    archive.into_inner().map_err(|error| Failure::Fake(format!("the machine's tools: {error}")))
}

/// What a machine is asked to have. It is told, and not enforced.
struct Sizes([(&'static str, String); 3]);

impl Sizes {
    /// Checked in the order, and with the texts, of `src/client/cli/cmd/launch.cpp`.
    fn read(asked: &Launch, name: &str) -> Result<Self, Failure> {
        if !asked.cpus.parse::<u32>().is_ok_and(|cpus| cpus > 0) {
            let text = format!("Error: invalid CPU count '{}', need a positive integer value.", asked.cpus);
            return Err(Failure::CommandLine(text));
        }
        if asked.timeout.as_ref().is_some_and(|seconds| !seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)) {
            return Err(Failure::CommandLine("error: --timeout value has to be a positive integer".to_owned()));
        }
        let size = |text: &str| bytes(text).ok_or_else(|| Failure::CommandLine(format!("{text} is not a valid memory size")));
        let (memory, disk) = (size(&asked.memory)?, size(&asked.disk)?);
        let invalid = |what: String| Err(Failure::Refused { message: "Invalid arguments supplied".to_owned(), details: what });
        if memory < 128 << 20 {
            return invalid(format!("Invalid memory size value supplied: {}.", asked.memory));
        }
        if disk < 512 << 20 {
            return invalid(format!("Invalid disk size value supplied: {}.", asked.disk));
        }
        if !is_hostname(name) {
            return invalid(format!("Invalid instance name supplied: {name}"));
        }
        if disk < SMALLEST_DISK {
            let text = format!("Requested disk ({disk} bytes) below minimum for this image ({SMALLEST_DISK} bytes)");
            return Err(Failure::refused(text));
        }
        Ok(Self([("cpus", asked.cpus.clone()), ("memory", memory.to_string()), ("disk", disk.to_string())]))
    }
}

/// A size in bytes, as `include/multipass/memory_size.h` reads it: `1G`, `512MiB`, `1.5GB`, `1073741824`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // Sizes of machines are far below what a float tells apart.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    Some((number * factor as f64) as u64)
}

/// `valid_hostname` of `src/utils/utils.cpp`.
pub(crate) fn is_hostname(name: &str) -> bool {
    let is_inner = |character: char| character.is_ascii_alphanumeric() || character == '-';
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(is_inner) && !name.ends_with('-')
}

/// The release of an image.
fn release(image: &str) -> Result<&'static str, Failure> {
    let known = IMAGES.iter().find(|(names, _)| names.contains(&image));
    let known = known.map(|(_, release)| *release);
    known.ok_or_else(|| Failure::refused(format!("Unable to find an image matching \"{image}\" in remote \"\".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_the_real_one_reads_them() {
        assert_eq!(["1G", "512MiB", "1.5GB", "100"].map(bytes), [Some(1 << 30), Some(512 << 20), Some(3 << 29), Some(100)]);
        assert_eq!(["", "4X", "G"].map(bytes), [None, None, None]);
    }

    #[test]
    fn names_are_host_names() {
        assert_eq!(["box-1", "1box", "box-", "a.b", ""].map(is_hostname), [true, false, false, false, false]);
    }

    #[test]
    fn what_the_real_one_refuses_is_refused_in_its_words() {
        let refusal = |name: &str, cpus: &str, memory: &str, disk: &str| {
            let [cpus, memory, disk] = [cpus, memory, disk].map(str::to_owned);
            let asked = Launch { image: None, name: None, cpus, memory, disk, cloud_init: None, timeout: None };
            Sizes::read(&asked, name).map(drop).map_err(|failure| failure.told_by("launch")).err()
        };
        assert_eq!(refusal("box", "8", "20G", "50G"), None);
        assert_eq!(refusal("box", "0", "20G", "50G").unwrap(), "Error: invalid CPU count '0', need a positive integer value.\n");
        assert!(refusal("box", "1", "1M", "50G").unwrap().contains("Invalid memory size value supplied: 1M."));
        assert!(refusal("box", "1", "1G", "1G").unwrap().contains("Requested disk (1073741824 bytes) below minimum"));
        assert!(refusal("b.x", "1", "1G", "5G").unwrap().contains("Invalid instance name supplied: b.x"));
        let unknown = release("23.10").unwrap_err().told_by("launch");
        assert_eq!(unknown, "launch failed: Unable to find an image matching \"23.10\" in remote \"\".\n");
    }
}
