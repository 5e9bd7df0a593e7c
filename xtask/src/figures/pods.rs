//! How fast pods come to run, and what a cluster costs that has nothing to do.

use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use miette::{Context as _, IntoDiagnostic as _, miette};
use serde_json::{Value, json};

use super::{Emulated, NAMESPACE};
use crate::cluster::Cluster;

/// Pods of a Deployment; a real node takes 110 in all.
const PODS: u64 = 1_000;
/// Replicas of a StatefulSet, each with a claim.
const CLAIMED: u64 = 3;
/// What they run: an image that every K3s has on its nodes.
const IMAGE: &str = "rancher/mirrored-library-busybox:1.36.1";
/// How long a cluster is left alone to see what it costs.
const IDLE: Duration = Duration::from_secs(10);
/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures and prints.
pub(super) async fn measure(cluster: &Cluster, emulated: Option<&Emulated>) -> miette::Result<()> {
    let took = ready(cluster, "statefulsets", &stateful_set()).await?;
    println!("a StatefulSet of {CLAIMED} with claims    {took:8.1} s");
    let Some(emulated) = emulated else { return Ok(()) };
    let before = emulated.resident();
    let took = ready(cluster, "deployments", &deployment()).await?;
    println!("a Deployment of {PODS} pods Ready   {took:8.1} s");
    if let (Some(before), Some(after)) = (before, emulated.resident()) {
        println!("memory with them                  {after:8.0} MiB (before: {before:.0} MiB)");
    }
    // What their start left to do is done by then.
    tokio::time::sleep(IDLE).await;
    if let Some(share) = idle(emulated.child.id()).await {
        println!("CPU with them, idle               {:8.2} %", share * 100.0);
    }
    Ok(())
}

fn template(name: &str) -> Value {
    let command = json!(["sh", "-c", "trap exit TERM; sleep 86400 & wait"]);
    json!({
        "metadata": {"labels": {"figures": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": IMAGE, "command": command}],
        },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {"replicas": PODS, "selector": {"matchLabels": {"figures": "many"}}, "template": template("many")},
    })
}

fn stateful_set() -> Value {
    let mut template = template("claimed");
    template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let resources = json!({"requests": {"storage": "1Mi"}});
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "claimed"},
        "spec": {
            "replicas": CLAIMED,
            "serviceName": "claimed",
            "selector": {"matchLabels": {"figures": "claimed"}},
            "template": template,
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
            }],
        },
    })
}

/// Seconds from the create's answer until all replicas are ready.
async fn ready(cluster: &Cluster, resource: &str, object: &Value) -> miette::Result<f64> {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{resource}");
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let watch = format!("{path}?watch=true&fieldSelector=metadata.name%3D{name}");
    let request = http::Request::get(watch).body(bytes::Bytes::new()).into_diagnostic()?;
    let mut events = cluster.send(request).await?.into_body();
    cluster.connect().await?.post(&path, object.to_string()).await?;
    let started = Instant::now();
    let mut unread: Vec<u8> = Vec::new();
    while started.elapsed() < PATIENCE {
        let frame = tokio::time::timeout(PATIENCE, events.frame()).await.into_diagnostic()?;
        let frame = frame.ok_or_else(|| miette!("the watch of {name} ended early"))?.into_diagnostic()?;
        unread.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).into_diagnostic().wrap_err("an event of the watch")?;
            if event["object"]["status"]["readyReplicas"] == object["spec"]["replicas"] {
                return Ok(started.elapsed().as_secs_f64());
            }
        }
    }
    Err(miette!("{resource} {name} did not become ready within {} s", PATIENCE.as_secs()))
}

/// Which share of one CPU a process uses while nobody asks anything of it, where the system tells.
async fn idle(process: u32) -> Option<f64> {
    let before = ticks(process)?;
    let started = Instant::now();
    tokio::time::sleep(IDLE).await;
    let used = ticks(process)?.checked_sub(before)?;
    // Of Linux on all of its architectures: USER_HZ.
    let ticks_per_second = 100.0;
    Some(used as f64 / ticks_per_second / started.elapsed().as_secs_f64())
}

/// The CPU time of a process, in ticks: fields 14 and 15 of proc(5)'s `stat`.
fn ticks(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The second field is a name in parentheses, which may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}
