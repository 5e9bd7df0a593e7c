//! What others take: a bare `docker run`, and testcontainers' K3s module as its documentation uses it.

use std::time::{Duration, Instant};

use miette::{IntoDiagnostic as _, miette};
use testcontainers_modules::{
    k3s::{K3s, KUBE_SECURE_PORT},
    testcontainers::{ImageExt as _, runners::AsyncRunner as _},
};
use tokio::process::Command;

use crate::pod;

const LOOK: Duration = Duration::from_millis(50);

/// A container that is removed with its volumes, whatever becomes of the measurement.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        // A container that cannot be removed is seen by whoever looks at the engine.
        let _ = std::process::Command::new("docker").args(["rm", "--force", "--volumes", &self.0]).output();
    }
}

async fn docker(arguments: &[&str]) -> miette::Result<String> {
    let output = Command::new("docker").args(arguments).output().await.into_diagnostic()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(miette!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// Seconds from `docker run` to a new pod with a new claim that runs.
pub(crate) async fn raw(k3s: &str) -> miette::Result<f64> {
    let started = Instant::now();
    let options =
        ["run", "--detach", "--privileged", "--publish", "127.0.0.1::6443", "--tmpfs", "/run", "--tmpfs", "/var/run", k3s];
    let server = ["server", "--disable=traefik", "--disable=servicelb", "--disable=metrics-server"];
    let container = Container(docker(&[&options[..], &server[..]].concat()).await?);
    let kubeconfig = loop {
        match docker(&["exec", &container.0, "cat", "/etc/rancher/k3s/k3s.yaml"]).await {
            Ok(text) if !text.is_empty() => break text,
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    let published = docker(&["port", &container.0, "6443/tcp"]).await?;
    let port = published.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
    let client = pod::client(&kubeconfig, Some(port.ok_or_else(|| miette!("no port in `{published}`"))?)).await?;
    pod::possible(&client).await?;
    pod::runs(&client).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds from the module's `start` to a new pod with a new claim that runs.
pub(crate) async fn testcontainers(k3s: &str) -> miette::Result<f64> {
    let (name, tag) = k3s.rsplit_once(':').ok_or_else(|| miette!("{k3s} has no tag"))?;
    let directory = tempfile::tempdir().into_diagnostic()?;
    let started = Instant::now();
    let image = K3s::default().with_conf_mount(directory.path()).with_privileged(true).with_userns_mode("host");
    let container = image.with_name(name).with_tag(tag).start().await.into_diagnostic()?;
    // It removes the container, and leaves its four anonymous volumes.
    let removed = Container(container.id().to_owned());
    let port = container.get_host_port_ipv4(KUBE_SECURE_PORT).await.into_diagnostic()?;
    let kubeconfig = container.image().read_kube_config().into_diagnostic()?;
    let client = pod::client(&kubeconfig, Some(port)).await?;
    pod::possible(&client).await?;
    pod::runs(&client).await?;
    let seconds = started.elapsed().as_secs_f64();
    drop(removed);
    Ok(seconds)
}
