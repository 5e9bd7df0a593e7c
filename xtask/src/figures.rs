//! How fast a cluster's API is, and how large: the emulator's figures, and a real K3s's beside them.

mod pods;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use miette::{Context as _, IntoDiagnostic as _, miette};

use crate::cluster::{Cluster, Connection};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kubeconfig of a cluster to measure; without it, an emulator of this program's own build.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

/// Where an emulator's kubeconfig goes.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The file to write once it serves.
    kubeconfig: PathBuf,
}

const NAMESPACE: &str = "k3s-arc-figures";
const OBJECTS: usize = 5_000;
const CLIENTS: usize = 8;
const WATCHERS: usize = 100;

/// Serves an emulator until this process is ended: what is measured runs in a process of its own.
pub(crate) async fn serve(arguments: &Serve) -> miette::Result<()> {
    let node = k3s_arc_emulator::NodeSpec::new("k3s").pods(2_000).cpus(64);
    let emulator = k3s_arc_emulator::Emulator::builder().node(node).start().await.into_diagnostic()?;
    let partial = arguments.kubeconfig.with_extension("partial");
    std::fs::write(&partial, emulator.kubeconfig()).into_diagnostic()?;
    std::fs::rename(&partial, &arguments.kubeconfig).into_diagnostic()?;
    std::future::pending().await
}

/// An emulator in a process of its own, ended with this.
struct Emulated {
    child: Child,
    directory: PathBuf,
}

impl Emulated {
    fn start() -> miette::Result<Self> {
        let directory = std::env::temp_dir().join(format!("k3s-arc-figures-{}", std::process::id()));
        std::fs::create_dir_all(&directory).into_diagnostic()?;
        let program = std::env::current_exe().into_diagnostic()?;
        let child = Command::new(program).arg("serve").arg(directory.join("kubeconfig")).stdin(Stdio::null()).spawn();
        Ok(Self { child: child.into_diagnostic()?, directory })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// What it has in memory, in MiB, where the system tells.
    fn resident(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is no one to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Arguments) -> miette::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("a debug build: its figures mean little; use cargo run --release");
    }
    match &arguments.kubeconfig {
        Some(kubeconfig) => measure(kubeconfig, None).await,
        None => {
            let started = Instant::now();
            let emulated = Emulated::start()?;
            let kubeconfig = emulated.kubeconfig();
            while !kubeconfig.exists() {
                if started.elapsed() > Duration::from_secs(20) {
                    return Err(miette!("the emulator did not start within 20 s"));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let cluster = Cluster::from_kubeconfig(&kubeconfig)?;
            cluster.get("/readyz", "*/*").await?;
            println!("start of the process to served    {:8.0} ms", started.elapsed().as_secs_f64() * 1e3);
            measure(&kubeconfig, Some(&emulated)).await
        }
    }
}

async fn measure(kubeconfig: &Path, emulated: Option<&Emulated>) -> miette::Result<()> {
    let cluster = Arc::new(Cluster::from_kubeconfig(kubeconfig)?);
    let mut connection = cluster.connect().await?;
    let namespace = format!(r#"{{"metadata":{{"name":"{NAMESPACE}"}}}}"#);
    connection.post("/api/v1/namespaces", namespace).await?;
    let measured = exchange(&cluster, emulated).await;
    // Whatever was measured, nothing of it stays.
    connection = cluster.connect().await?;
    connection.delete(&format!("/api/v1/namespaces/{NAMESPACE}")).await?;
    measured
}

fn path(resource: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{resource}")
}

async fn exchange(cluster: &Arc<Cluster>, emulated: Option<&Emulated>) -> miette::Result<()> {
    let before = emulated.and_then(Emulated::resident);
    let rate = create(cluster, 0).await?;
    println!("{OBJECTS} ConfigMaps by {CLIENTS} clients      {rate:8.0} /s");

    let mut connection = cluster.connect().await?;
    let mut took = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let size = connection.get(&path("configmaps")).await?.len();
        took.push((started.elapsed(), size));
    }
    took.sort();
    let (median, size) = took[took.len() / 2];
    println!("a list of them, median of 5       {:8.1} ms ({:.1} MB)", median.as_secs_f64() * 1e3, size as f64 / 1e6);

    let reached = watch(cluster).await?;
    println!("one event reaches {WATCHERS} watchers in {:8.1} ms (median of 5)", reached.as_secs_f64() * 1e3);

    if let Some(emulated) = emulated {
        create(cluster, OBJECTS).await?;
        if let (Some(before), Some(after)) = (before, emulated.resident()) {
            println!("memory with {} objects         {after:8.0} MiB (empty: {before:.0} MiB)", 2 * OBJECTS);
        }
    }
    pods::measure(cluster, emulated).await
}

/// Creates ConfigMaps of 200 bytes of data, numbered from `first`; how many a second.
async fn create(cluster: &Arc<Cluster>, first: usize) -> miette::Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(cluster.connect().await?);
    }
    let started = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for (client, mut connection) in connections.into_iter().enumerate() {
        clients.spawn(async move {
            for number in (first + client..first + OBJECTS).step_by(CLIENTS) {
                let data = "x".repeat(200);
                let body =
                    format!(r#"{{"metadata":{{"name":"c-{number}","labels":{{"app":"figures"}}}},"data":{{"k":"{data}"}}}}"#);
                connection.post(&path("configmaps"), body).await?;
            }
            miette::Result::<()>::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.into_diagnostic()??;
    }
    Ok(OBJECTS as f64 / started.elapsed().as_secs_f64())
}

/// From a create's answer until the last of the watchers has its event.
async fn watch(cluster: &Arc<Cluster>) -> miette::Result<Duration> {
    let mut watches = Vec::new();
    for _ in 0..WATCHERS {
        let request = http::Request::get(format!("{}?watch=true&timeoutSeconds=60", path("secrets"))).body(Bytes::new());
        watches.push(cluster.send(request.into_diagnostic()?).await?.into_body());
    }
    let mut connection = cluster.connect().await?;
    let mut took = Vec::new();
    for number in 0..5 {
        let started = Instant::now();
        let body = format!(r#"{{"metadata":{{"name":"s-{number}"}}}}"#);
        connection.post(&path("secrets"), body).await?;
        for watch in &mut watches {
            watch.frame().await.ok_or_else(|| miette!("a watch ended early"))?.into_diagnostic()?;
        }
        took.push(started.elapsed());
    }
    took.sort();
    Ok(took[took.len() / 2])
}

impl Connection {
    async fn post(&mut self, path: &str, body: String) -> miette::Result<Bytes> {
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(body.into());
        self.ask(request.into_diagnostic()?).await.wrap_err_with(|| format!("POST {path}"))
    }

    async fn get(&mut self, path: &str) -> miette::Result<Bytes> {
        self.ask(http::Request::get(path).body(Bytes::new()).into_diagnostic()?).await.wrap_err_with(|| format!("GET {path}"))
    }

    async fn delete(&mut self, path: &str) -> miette::Result<Bytes> {
        self.ask(http::Request::delete(path).body(Bytes::new()).into_diagnostic()?)
            .await
            .wrap_err_with(|| format!("DELETE {path}"))
    }
}
