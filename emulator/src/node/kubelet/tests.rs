//! A kubelet at work on a cluster of its own, seen through the API. What is expected was recorded on a real K3s v1.34.1.

mod ends;
mod evictions;
mod images;
mod lives;
mod logs;
mod node;
mod probes;
mod restarts;

use std::sync::Arc;
use std::time::Duration;

use k3s_arc_container::{Image, Output, Process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use super::client::{Client, EVENTS, NODES, PODS};
use super::{Kubelet, LogOptions, start};
use crate::access::authority::Authority;
use crate::boot;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::kinds::view::{list, text};
use crate::net::Network;
use crate::node::images::Images;
use crate::node::{Node, NodeSpec};
use crate::store::{Range, Store};

const NS: &str = "default";
const IMAGE: &str = "test/tool:1";

/// A cluster of one node, whose pods are bound by hand.
struct World {
    kubelet: Arc<Kubelet>,
    client: Client,
    images: Arc<Images>,
    _tasks: JoinSet<()>,
    _disk: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::at_speed(1.0)
    }

    fn at_speed(speed: f64) -> Self {
        let network = Arc::new(Network::new(([127, 0, 0, 1], 6443).into()));
        let (store, authority) = (Store::open(None).unwrap(), Authority::open(None).unwrap());
        let cluster = Arc::new(Cluster::new(store, authority, network.clone(), Clock::new(speed)));
        network.serve(&cluster);
        boot::boot(&cluster, "n").unwrap();
        let images = Arc::new(Images::default());
        images.register(IMAGE, tool());
        let (disk, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let node = Node {
            spec: NodeSpec::new("n").cpus(2),
            number: 0,
            root: disk.path().canonicalize().unwrap(),
            disk: Arc::default(),
            images: images.clone(),
            network,
            cluster: cluster.clone(),
        };
        let client = Client::new(cluster, "n");
        for (resource, object) in [
            ("serviceaccounts", json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}})),
            ("configmaps", json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-root-ca.crt"}})),
        ] {
            // The objects of a new cluster may have it.
            let _ = client.create(("", resource), NS, object);
        }
        let kubelet = start(node, &mut tasks);
        Self { kubelet, client, images, _tasks: tasks, _disk: disk }
    }

    /// Creates a pod on the node.
    fn create(&self, name: &str, mut spec: Value) -> Value {
        spec["nodeName"] = "n".into();
        spec["automountServiceAccountToken"] = false.into();
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec});
        self.client.create(PODS, NS, pod).unwrap()
    }

    /// Creates a pod of one container `c` that runs a command.
    fn run(&self, name: &str, command: &[&str], container: Value, mut spec: Value) -> Value {
        let mut own = container_of("c", command);
        own.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        spec["containers"] = json!([own]);
        self.create(name, spec)
    }

    fn pod(&self, name: &str) -> Option<Value> {
        self.client.get(PODS, NS, name)
    }

    /// The pod, once it is so.
    async fn when(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.client.cluster.store.follow();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(pod) = self.pod(name).filter(|pod| is_so(pod)) {
                    return pod;
                }
                changes.changed().await.unwrap();
            }
        };
        let patience = Duration::from_secs(60);
        let Ok(pod) = tokio::time::timeout(patience, found).await else {
            panic!("{name} is {:#}; events: {:#?}", self.pod(name).unwrap_or_default()["status"], self.events(name));
        };
        pod
    }

    async fn running(&self, name: &str) -> Value {
        self.when(name, |pod| pod["status"]["phase"] == "Running" && is_ready(pod)).await
    }

    async fn over(&self, name: &str) -> Value {
        self.when(name, |pod| {
            matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
                && condition(pod, "PodReadyToStartContainers") == "False"
        })
        .await
    }

    async fn gone(&self, name: &str) {
        let mut changes = self.client.cluster.store.follow();
        let gone = async {
            while self.pod(name).is_some() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the pod goes");
    }

    fn delete(&self, name: &str) {
        let served = self.client.served(PODS).unwrap();
        let call = crate::controllers::call(&self.client.cluster, &self.client.user, &served, NS, name, "");
        call.delete(&crate::verbs::DeleteOptions::default()).unwrap();
    }

    /// `reason: message` of the events of an object, in the order in which they were first told.
    fn events(&self, name: &str) -> Vec<String> {
        let served = self.client.served(EVENTS).unwrap();
        let (_, all) = self.client.cluster.store.list(&served.table, &Range::default(), None).unwrap();
        let mut all: Vec<Value> = all.iter().map(|stored| served.live(stored)).collect();
        all.retain(|event| text(&event["involvedObject"]["name"]) == name);
        all.sort_by_key(|event| text(&event["metadata"]["name"]).to_owned());
        all.iter().map(|event| format!("{}: {}", text(&event["reason"]), text(&event["message"]))).collect()
    }

    /// Returns once an event says so.
    async fn told(&self, name: &str, event: &str) {
        let mut changes = self.client.cluster.store.follow();
        let told = async {
            while !self.events(name).iter().any(|told| told.starts_with(event)) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), told).await.is_err() {
            panic!("nobody tells \"{event}\"; events: {:#?}", self.events(name));
        }
    }

    async fn log(&self, name: &str, container: &str, options: LogOptions) -> String {
        let mut pieces = self.kubelet.log(NS, name, container, &options).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).unwrap()
    }
}

fn container_of(name: &str, command: &[&str]) -> Value {
    json!({"name": name, "image": IMAGE, "command": command})
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let all = list(&object["status"]["conditions"]).iter();
    all.filter(|condition| condition["type"] == kind).map(|condition| text(&condition["status"])).next().unwrap_or("")
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

fn first(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// Without what differs from one run to the next.
fn plain(mut status: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields.iter_mut() {
                    match key.as_str() {
                        "lastTransitionTime" | "startTime" | "startedAt" | "finishedAt" if value.is_string() => {
                            *value = "<time>".into()
                        }
                        "containerID" => *value = "<id>".into(),
                        "imageID" if value != "" => *value = "<image>".into(),
                        _ => walk(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut status);
    status
}

/// An image whose programs do what a test needs.
fn tool() -> Image {
    Image::new()
        .program("/bin/pause", |process: Process| async move {
            process.signals.terminated().await;
            0
        })
        // Does not hear that it should end.
        .program("/bin/stubborn", |_: Process| std::future::pending::<i32>())
        .program("/bin/exit", |process: Process| async move { process.args[1].parse().unwrap() })
        .program("/bin/print", |process: Process| async move {
            process.stdout.put(process.args[1].as_bytes()).await.unwrap();
            process.args.get(2).map_or(0, |code| code.parse().unwrap())
        })
        .program("/bin/panic", |_: Process| async move { panic!("at the disco") })
        .program("/bin/write", |process: Process| async move {
            process.container.files.write(&process.args[1], &process.args[2]).unwrap();
            process.args.get(3).map_or(0, |code| code.parse().unwrap())
        })
        // Exits with 0 once the file is there.
        .program("/bin/exists", |process: Process| async move { i32::from(!process.container.files.exists(&process.args[1])) })
        .program("/bin/eat", |process: Process| async move {
            let _held = process.container.memory.allocate(process.args[1].parse().unwrap()).await;
            process.signals.terminated().await;
            0
        })
        .program("/bin/echo-input", echo)
        .program("/bin/serve", serve)
        .entrypoint(["/bin/pause"])
}

/// Prints what it reads.
async fn echo(mut process: Process) -> i32 {
    let mut buffer = [0; 64];
    let stdout: Output = process.stdout.clone();
    while let Ok(read @ 1..) = process.stdin.read(&mut buffer).await {
        stdout.put(&buffer[..read]).await.unwrap();
    }
    0
}

/// Answers each request at a port with a status: that in a file if it is there, or else its argument.
async fn serve(process: Process) -> i32 {
    use tokio::io::AsyncWriteExt as _;
    let listener = process.container.net.listen(process.args[1].parse().unwrap()).await.unwrap();
    loop {
        let (mut stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = process.signals.terminated() => return 0,
        };
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let status = process.container.files.read_to_string("/status").unwrap_or_else(|_| process.args[2].clone());
        let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
    }
}

/// What a pod's status is changed to by someone else.
fn set_status(world: &World, name: &str, edit: impl Fn(&mut Value)) {
    let edited = world.client.update(PODS, NS, name, Part::Status, &|live| {
        edit(&mut live["status"]);
        Ok(())
    });
    edited.unwrap();
}

fn node(world: &World) -> Value {
    world.client.get(NODES, "", "n").unwrap()
}
