//! K3s in a VM, installed as its users install it: by its install script, with what that fetches or with a release's own assets.
//!
//! <https://docs.k3s.io/installation/configuration#configuration-with-install-script> and
//! <https://docs.k3s.io/installation/airgap#manually-deploy-images-method>.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::config::Kubeconfig;

use super::{
    MultipassError,
    command::{CallError, Input},
    node::{VmNode, api, succeeded},
};
use crate::{
    cluster::{ClusterSpec, ExitCause, LogTail, Run, client, docker, run::write_private},
    image::Standin,
};

/// Where the install script comes from.
const SCRIPT_URL: &str = "https://get.k3s.io";
/// Where it is in the VM.
const SCRIPT: &str = "/usr/local/share/k3s-arc/install.sh";
/// Where the script puts K3s, and expects it when it is not to fetch it.
const BINARY: &str = "/usr/local/bin/k3s";
/// From where K3s imports every archive when it starts.
const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// Where K3s writes its kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// What is quick.
const QUICK: Duration = Duration::from_secs(60);
/// How long the script may take: it fetches 70 MB.
const INSTALLATION: Duration = Duration::from_secs(600);

/// A release's assets, by which K3s is installed without network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assets {
    binary: PathBuf,
    script: PathBuf,
    images: PathBuf,
}

impl Assets {
    /// Those of a version in a directory that is of this release alone, or has a directory for each.
    pub(super) fn of(directory: &Path, version: &str) -> Result<Self, MultipassError> {
        let own = directory.join(version);
        let directory = if own.is_dir() { own } else { directory.to_owned() };
        let architecture = architecture();
        let first = |names: &[String]| names.iter().map(|name| directory.join(name)).find(|path| path.is_file());
        let missing = |missing: &str| MultipassError::Airgap {
            directory: directory.clone(),
            missing: missing.to_owned(),
            version: version.to_owned(),
            architecture,
        };
        // As releases name them: https://github.com/k3s-io/k3s/releases.
        let binaries =
            if architecture == "amd64" { vec!["k3s".to_owned()] } else { vec![format!("k3s-{architecture}"), "k3s".to_owned()] };
        let images = ["tar.zst", "tar.gz", "tar"].map(|suffix| format!("k3s-airgap-images-{architecture}.{suffix}"));
        Ok(Self {
            binary: first(&binaries).ok_or_else(|| missing(&binaries[0]))?,
            script: first(&["install.sh".to_owned()]).ok_or_else(|| missing("install.sh"))?,
            images: first(&images).ok_or_else(|| missing(&images[0]))?,
        })
    }
}

/// This host's architecture, which its VMs have too, as K3s names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What is to be installed in a VM.
#[derive(Debug)]
pub(super) struct Installation<'a> {
    pub(super) run: &'a Run,
    pub(super) spec: &'a ClusterSpec,
    pub(super) version: &'a str,
    pub(super) assets: Option<&'a Assets>,
    pub(super) standin: &'a Standin,
    pub(super) address: Ipv4Addr,
}

impl Installation<'_> {
    /// Installs K3s, with all images that it is to have, and does not start it.
    pub(super) async fn install(&self, node: &VmNode) -> Result<(), MultipassError> {
        self.put_images(node).await?;
        match self.assets {
            Some(assets) => {
                tracing::info!("putting K3s {} from {} into the VM", self.version, assets.binary.display());
                put(node, &assets.images, &format!("{IMAGES}/{}", file_name(&assets.images)), "0644").await?;
                put(node, &assets.binary, BINARY, "0755").await?;
                put(node, &assets.script, SCRIPT, "0755").await?;
            }
            None => {
                tracing::info!("installing K3s {} in the VM, from {SCRIPT_URL}", self.version);
                let script = r#"mkdir -p "$(dirname "$1")" && curl -sSfL --retry 3 -o "$1" "$0""#;
                self.installed(node.sudo(&["sh", "-c", script, SCRIPT_URL, SCRIPT], INSTALLATION).await)?;
            }
        }
        let environment = self.environment();
        let mut command = vec!["env"];
        command.extend(environment.iter().map(String::as_str));
        let arguments = self.arguments();
        command.extend(["sh", SCRIPT]);
        command.extend(arguments.iter().map(String::as_str));
        self.installed(node.sudo(&command, INSTALLATION).await)?;
        self.is_the_version(node).await
    }

    /// What the install script is told. The channel that somebody asked for is a version by now, which the script is given: what a channel
    /// is may change from one run to the next.
    fn environment(&self) -> Vec<String> {
        let source = match self.assets {
            Some(_) => "INSTALL_K3S_SKIP_DOWNLOAD=true".to_owned(),
            None => format!("INSTALL_K3S_VERSION={}", self.version),
        };
        // It is started once all is in its place, with a deadline.
        vec![source, "INSTALL_K3S_SKIP_START=true".to_owned()]
    }

    /// The arguments of `k3s`, as the install script takes them: to it they are the same as `INSTALL_K3S_EXEC`, which it would split at spaces.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = self.spec.command();
        // It is reached at an address, of which K3s may know others.
        arguments.push(format!("--tls-san={}", self.address));
        arguments
    }

    async fn put_images(&self, node: &VmNode) -> Result<(), MultipassError> {
        if let Some(archive) = self.standin.archive()? {
            let path = format!("{IMAGES}/k3s-arc-standin.tar");
            let uploaded = node.upload(Input::Bytes(&archive), &path, "0644").await;
            uploaded.map_err(|source| MultipassError::of("put the stand-in's image into the VM", source))?;
        }
        for archive in self.spec.image_archives() {
            put(node, archive, &format!("{IMAGES}/{}", file_name(archive)), "0644").await?;
        }
        // Kept until the upload is over; it may be of gigabytes, so it is a file and not memory.
        if let Some(saved) = docker::saved_images(self.spec, self.run.directory()).await? {
            put(node, saved.path(), &format!("{IMAGES}/k3s-arc-engine-images.tar"), "0644").await?;
        }
        Ok(())
    }

    fn installed(&self, ran: Result<super::command::Output, CallError>) -> Result<(), MultipassError> {
        let failed = |output| MultipassError::Install { version: self.version.to_owned(), output };
        match ran {
            Ok(output) if output.code == Some(0) => Ok(()),
            Ok(output) => Err(failed(output.all())),
            Err(source) => Err(MultipassError::of("install K3s in the VM", source)),
        }
    }

    /// What is in a directory need not be what its name says.
    async fn is_the_version(&self, node: &VmNode) -> Result<(), MultipassError> {
        let output = node.sudo(&[BINARY, "--version"], QUICK).await.and_then(|output| succeeded("k3s --version", output));
        let output = output.map_err(|source| MultipassError::of("tell which K3s is installed", source))?;
        // `k3s version v1.34.1+k3s1 (24fc436e)`.
        let found = output.split_whitespace().nth(2).unwrap_or_default();
        if found == self.version {
            return Ok(());
        }
        Err(MultipassError::Version {
            version: self.version.to_owned(),
            found: output.lines().next().unwrap_or_default().to_owned(),
        })
    }

    /// Starts K3s, and returns once it says that it is up; nothing if that takes longer.
    pub(super) async fn start(&self, node: &VmNode, limit: Duration) -> Result<Option<()>, MultipassError> {
        if let Some(subnet) = self.spec.flannel_subnet() {
            let script = r#"mkdir -p /run/flannel && printf %s "$0" >/run/flannel/subnet.env"#;
            let written = node.sudo(&["sh", "-c", script, subnet], QUICK).await;
            let written = written.and_then(|output| succeeded("write /run/flannel/subnet.env", output));
            written.map_err(|source| MultipassError::of("prepare the VM for K3s", source))?;
        }
        // The service is one that notifies: systemd waits until the API answers, or K3s has ended.
        match node.sudo(&["systemctl", "start", "k3s"], limit).await {
            Ok(output) if output.code == Some(0) => Ok(Some(())),
            Ok(_) => {
                let lines = log(node).await;
                let (line, cause) = ExitCause::in_log(&lines).unzip();
                Err(MultipassError::Exited { cause, last_lines: LogTail::new(&lines, line) })
            }
            Err(CallError::Silent { .. }) => Ok(None),
            Err(source) => Err(MultipassError::of("start K3s in the VM", source)),
        }
    }

    /// Fetches the kubeconfig, for the address at which the VM is reached.
    pub(super) async fn fetch_kubeconfig(&self, node: &VmNode, kubeconfig: &Path) -> Result<(), MultipassError> {
        let unusable = |path: &Path, source| MultipassError::Kubeconfig { path: path.to_owned(), source };
        let text =
            node.sudo(&["cat", KUBECONFIG], QUICK).await.and_then(|output| succeeded(&format!("cat {KUBECONFIG}"), output));
        let text = text.map_err(|error| unusable(KUBECONFIG.as_ref(), error.into()))?;
        let yaml = led_to(&text, self.address).map_err(|error| unusable(KUBECONFIG.as_ref(), error))?;
        write_private(kubeconfig, yaml.as_bytes()).map_err(|error| unusable(kubeconfig, error.into()))
    }
}

/// A kubeconfig of K3s's, leading to another address than the loopback one that it writes.
fn led_to(text: &str, address: Ipv4Addr) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut config = Kubeconfig::from_yaml(text)?;
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        cluster.server = Some(format!("https://{}", api(address)));
        cluster.extensions = Some(vec![client::direct()]);
    }
    Ok(serde_saphyr::to_string(&config)?)
}

/// What K3s said last in a VM.
pub(super) async fn log(node: &VmNode) -> Vec<String> {
    let journal = node.sudo(&["journalctl", "-u", "k3s", "-n", "200", "--no-pager", "-o", "cat"], QUICK).await;
    let text = journal.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

async fn put(node: &VmNode, file: &Path, path: &str, mode: &str) -> Result<(), MultipassError> {
    tracing::debug!("putting {} into the VM, as {path}", file.display());
    let uploaded = node.upload(Input::File(file), path, mode).await;
    uploaded.map_err(|source| MultipassError::of(format!("put {} into the VM", file.display()), source))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(directory: &Path) {
        std::fs::create_dir_all(directory).unwrap_or_default();
        for name in ["k3s", "k3s-arm64", "install.sh", "k3s-airgap-images-amd64.tar.zst", "k3s-airgap-images-arm64.tar.zst"] {
            let _ = std::fs::write(directory.join(name), "");
        }
    }

    #[test]
    fn a_release_has_the_directory_for_itself_or_one_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let error = Assets::of(directory.path(), "v1.34.1+k3s1").unwrap_err();
        let report = crate::report_of(&error);
        assert!(report.contains("has no k3s") && report.contains("https://docs.k3s.io/installation/airgap"), "{report}");
        release(&directory.path().join("v1.34.1+k3s1"));
        let own = Assets::of(directory.path(), "v1.34.1+k3s1").unwrap();
        assert!(own.images.starts_with(directory.path().join("v1.34.1+k3s1")));
        assert!(Assets::of(directory.path(), "v1.33.2+k3s1").is_err());
        release(directory.path());
        let shared = Assets::of(directory.path(), "v1.33.2+k3s1").unwrap();
        assert_eq!(shared.script, directory.path().join("install.sh"));
        assert!(file_name(&shared.images).ends_with(&format!("-{}.tar.zst", architecture())));
    }

    #[test]
    fn a_kubeconfig_leads_to_the_vm() {
        let text = "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    server: https://127.0.0.1:6443\n";
        let led = led_to(text, Ipv4Addr::new(10, 97, 0, 76)).unwrap();
        assert!(led.contains("https://10.97.0.76:6443") && !led.contains("127.0.0.1"), "{led}");
        assert!(led.contains("k3s-arc.direct"), "no proxy leads there: {led}");
        assert!(led_to("nonsense: [", Ipv4Addr::LOCALHOST).is_err());
    }
}
