use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use k3s_arc_container::{Container, Input, Killer, Net, Process, Signals, TERMINATE, Transport};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::message::question;
use super::names::name;
use super::plugin::forward::exchange;
use super::sockets::Sockets;
use super::testing::{Exchange, Folder, Printed, instance, unlike};
use crate::cluster::Cluster;
use crate::net::{Network, PodNet};
use crate::store::Key;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// A Corefile with the files it imports, and what a CoreDNS 1.13.1 said to it.
#[derive(Deserialize)]
struct Told {
    name: String,
    files: BTreeMap<String, String>,
    code: i32,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Of which this one is known to say something else.
const UNLIKE: [&str; 3] = [
    // It serves `whoami`.
    "empty",
    "comment only",
    // It looks for its API server after the plugin was read without an error.
    "kubernetes of reverse zones only",
];

#[tokio::test]
async fn corefiles_are_read_as_coredns_reads_them() {
    let all: Vec<Told> = serde_json::from_str(include_str!("recorded/corefiles.json")).unwrap();
    let mut unlike = Vec::new();
    for told in all.iter().filter(|told| !UNLIKE.contains(&told.name.as_str())) {
        let (folder, printed) = (Folder::with(&told.files), Printed::default());
        let net = Arc::new(Network::new(([127, 0, 0, 1], 6443).into())).attach(0).unwrap();
        let env = BTreeMap::from([("NETDNS_PORT".to_owned(), "1053".to_owned())]);
        let made = instance(&folder, &env, net, &Weak::new(), &printed);
        let is_start = |line: &&String| !line.starts_with("maxprocs") && !line.contains("SIGTERM") && !line.starts_with('[');
        // The version comes last.
        let mut begun: Vec<&String> = told.stdout.iter().filter(is_start).collect();
        begun.truncate(begun.len().saturating_sub(2));
        // Ports come in any order.
        begun.sort();
        let same = match (&made, told.code) {
            (Ok(instance), 0) => {
                let mut lines = instance.start_lines();
                lines.sort();
                lines.iter().eq(begun)
            }
            // It finds no API server.
            (Ok(_), 1) => told.stderr[0].contains("KUBERNETES_SERVICE_HOST"),
            (Err(why), 1) => told.stderr == [why.clone()],
            _ => false,
        };
        let warnings = told.stdout.iter().filter(|line| line.starts_with("[WARNING]"));
        if !same || !printed.lines().iter().eq(warnings) {
            let made = made.map(|instance| instance.start_lines());
            unlike.push(format!("{}: {made:?} {:?}, not {:?} {:?}", told.name, printed.lines(), told.stderr, told.stdout));
        }
    }
    assert!(all.len() > 60 && unlike.is_empty(), "{}", unlike.join("\n"));
}

/// Rewriting, forwarding, caching, hosts and zones of every kind, as a CoreDNS 1.13.1 does it.
#[derive(Deserialize)]
struct Plugins {
    files: BTreeMap<String, String>,
    answers: Vec<Exchange>,
}

#[tokio::test]
async fn plugins_do_what_those_of_coredns_do() {
    let recorded: Plugins = serde_json::from_str(include_str!("recorded/plugins.json")).unwrap();
    let folder = Folder::with(&recorded.files);
    let net: Arc<dyn Net> = Arc::new(Network::new(([127, 0, 0, 1], 6443).into())).attach(0).unwrap();
    let mut instance = instance(&folder, &BTreeMap::new(), net.clone(), &Weak::new(), &Printed::default()).unwrap();
    // The upstream of the others.
    let (_current, changes) = tokio::sync::watch::channel(Arc::new(instance.servers.remove(&1054).unwrap()));
    tokio::spawn(Sockets::open(&*net, 1054).await.unwrap().serve(changes));
    let mut all_unlike = Vec::new();
    for exchange in &recorded.answers {
        all_unlike.extend(unlike(&instance, 1053, exchange).await);
    }
    assert!(recorded.answers.len() > 90);
    assert!(all_unlike.is_empty(), "{} answers differ:\n{}", all_unlike.len(), all_unlike.join("\n"));
}

/// A CoreDNS in a pod.
struct World {
    cluster: Arc<Cluster>,
    client: Arc<PodNet>,
    folder: Folder,
    printed: Printed,
    killer: Killer,
    running: JoinHandle<i32>,
}

const COREFILE: &str = ".:53 {
    errors
    health {
        lameduck 1ms
    }
    ready
    hosts /etc/coredns/NodeHosts {
        fallthrough
    }
    prometheus :9153
    reload
    import /etc/coredns/custom/*.override
}
";

impl World {
    fn start(corefile: &str) -> Self {
        let cluster = Cluster::new_in_memory();
        let files = [("Corefile", corefile), ("NodeHosts", "192.0.2.1 server-0\n")];
        let folder = Folder::with(&files.map(|(name, content)| (name.to_owned(), content.to_owned())).into());
        let (printed, (killer, signals)) = (Printed::default(), Signals::by_hand());
        let (net, client) = (cluster.network.attach(0).unwrap(), cluster.network.attach(0).unwrap());
        let image = super::image(Arc::downgrade(&cluster));
        let process = Process {
            args: ["/coredns", "-conf", "/etc/coredns/Corefile"].map(str::to_owned).into(),
            env: BTreeMap::new(),
            cwd: "/".into(),
            stdin: Input::empty(),
            stdout: printed.output(),
            stderr: printed.output(),
            signals,
            container: Arc::new(Container {
                files: folder.files(),
                net,
                programs: image.programs.clone(),
                ..Container::native()
            }),
        };
        let (_, program) = image.programs.find("/coredns", None).unwrap();
        let running = tokio::spawn(program.run(process));
        Self { cluster, client, folder, printed, killer, running }
    }

    /// Waits until a line was printed.
    async fn until(&self, line: &str) {
        while !self.printed.lines().iter().any(|printed| printed.starts_with(line)) {
            assert!(!self.running.is_finished(), "{:?}", self.printed.lines());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What the API and a kubelet do: a ConfigMap changes, and the file after it.
    fn change(&self, path: &str, content: &str) {
        self.folder.write(path, content);
        let name = format!("changed-{}", self.cluster.store.revision());
        self.cluster.store.create(&Key::new(&"configmaps".into(), "kube-system", &name), serde_json::json!({})).unwrap();
    }

    async fn ask(&self, transport: Transport) -> Message {
        let query = Query::query(name("server-0.").unwrap(), RecordType::A);
        exchange(&*self.client, ([10, 42, 0, 2], 53).into(), transport, &question(5, query), PATIENCE).await.unwrap()
    }

    async fn page(&self, port: u16, path: &str) -> String {
        let net: &dyn Net = &*self.client;
        let mut stream = net.connect(([10, 42, 0, 2], port).into()).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_end() {
    let world = World::start(COREFILE);
    world.until("linux/amd64").await;
    let lines = world.printed.lines();
    let warning = "[WARNING] No files matching import glob pattern: /etc/coredns/custom/*.override";
    assert!(lines[0].starts_with("maxprocs: "));
    assert_eq!(lines[1..4], [warning, ".:53", warning]);
    assert!(lines[4].starts_with("[INFO] plugin/reload: Running configuration SHA512 = "));
    assert_eq!(lines[5..], ["CoreDNS-1.13.1", "linux/amd64, go1.24.6, 1db4568df"]);
    for transport in [Transport::Udp, Transport::Tcp] {
        let reply = world.ask(transport).await;
        assert_eq!((reply.metadata.id, reply.answers.len()), (5, 1));
    }
    assert!(world.page(8080, "/health").await.ends_with("\r\n\r\nOK"));
    assert!(world.page(8181, "/ready").await.ends_with("\r\n\r\nOK"));
    assert!(world.page(8181, "/else").await.starts_with("HTTP/1.0 404 "));
    let metrics = world.page(9153, "/metrics").await;
    let counted = "coredns_dns_responses_total{plugin=\"\",rcode=\"NOERROR\",server=\"dns://:53\",view=\"\",zone=\".\"} 2\n";
    assert!(metrics.contains(counted), "{metrics}");
    world.killer.send(TERMINATE);
    let (printed, client) = (world.printed.clone(), world.client.clone());
    assert_eq!(world.running.await.unwrap(), 0);
    let end =
        ["[INFO] SIGTERM: Shutting down servers then terminating", "[INFO] plugin/health: Going into lameduck mode for 1ms"];
    assert_eq!(printed.lines()[7..], end);
    let net: &dyn Net = &*client;
    assert!(net.connect(([10, 42, 0, 2], 53).into()).await.is_err());
}

#[tokio::test]
async fn it_does_not_start_with_a_corefile_that_is_wrong() {
    let world = World::start(".:53 {\n    errors\n    nope\n}\n");
    let printed = world.printed.clone();
    assert_eq!(world.running.await.unwrap(), 1);
    assert_eq!(printed.lines()[1..], ["/etc/coredns/Corefile:3 - Error during parsing: Unknown directive 'nope'"]);
}

#[tokio::test]
async fn a_changed_corefile_is_taken_if_it_can_be() {
    let world = World::start(COREFILE);
    world.until("linux/amd64").await;
    world.change("etc/coredns/custom/a.override", "nope\n");
    world.until("[ERROR] plugin/reload: Corefile changed but reload failed").await;
    assert_eq!(world.ask(Transport::Udp).await.answers.len(), 1, "the old one is still served");
    let lines = world.printed.lines();
    let why = "/etc/coredns/custom/a.override:1 - Error during parsing: Unknown directive 'nope'";
    assert_eq!(
        lines[7..],
        [
            "[INFO] Reloading".to_owned(),
            format!("[ERROR] Restart failed: {why}"),
            format!("[ERROR] plugin/reload: Corefile changed but reload failed: starting with listener file descriptors: {why}"),
        ]
    );
    world.change("etc/coredns/custom/a.override", "log\n");
    world.until("[INFO] Reloading complete").await;
    world.ask(Transport::Udp).await;
    world.until("[INFO] 127.0.0.1:").await;
    let line = world.printed.lines().pop().unwrap();
    assert!(line.contains(" - 5 \"A IN server-0. udp 26 false 512\" NOERROR qr,aa,rd "), "{line}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_of() {
    let world = World::start(".:53 {\n    errors\n    forward . 10.42.0.3\n}\n");
    world.until("linux/amd64").await;
    let reply = world.ask(Transport::Tcp).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    world.until("[ERROR] plugin/errors: 2 server-0. A: dial tcp 10.42.0.3:53: connect: connection refused").await;
    world.ask(Transport::Udp).await;
    world.until("[ERROR] plugin/errors: 2 server-0. A: read udp 10.42.0.2:").await;
    let line = world.printed.lines().pop().unwrap();
    assert!(line.ends_with("->10.42.0.3:53: read: connection refused"), "{line}");
}

#[tokio::test]
async fn a_server_that_forwards_to_itself_ends() {
    let world = World::start(".:53 {\n    errors\n    loop\n    forward . 10.42.0.2\n}\n");
    let printed = world.printed.clone();
    assert_eq!(world.running.await.unwrap(), 1);
    let line = printed.lines().into_iter().find(|line| line.starts_with("[FATAL]")).unwrap();
    assert!(
        line.starts_with("[FATAL] plugin/loop: Loop (127.0.0.1:") && line.contains("-> :53) detected for zone \".\""),
        "{line}"
    );
}
