//! Compared with the answers of a CoreDNS 1.13.1 on a K3s v1.34.1, over the same objects and the same Corefile.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{DNSClass, RData, Record};
use hickory_proto::serialize::binary::BinEncodable as _;
use k3s_arc_container::{Net, Transport};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cluster::Cluster;
use crate::dns::corefile;
use crate::dns::instance::Instance;
use crate::dns::message::{Received, Request};
use crate::dns::names::name;
use crate::dns::testing::{Ask, Exchange, Folder, Printed, instance, kind, question, told, unlike};
use crate::net::PodNet;
use crate::store::Key;

#[derive(Deserialize)]
struct Recording {
    files: BTreeMap<String, String>,
    sum: String,
    address: IpAddr,
    upstream: Upstream,
    objects: BTreeMap<String, Vec<Value>>,
    answers: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Upstream {
    address: IpAddr,
    answers: Vec<Exchange>,
}

impl Recording {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../recorded/answers.json")).unwrap()
    }
}

struct World {
    recording: Recording,
    cluster: Arc<Cluster>,
    pods: Vec<Arc<PodNet>>,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let recording = Recording::read();
        let cluster = Cluster::new_in_memory();
        for (resource, objects) in &recording.objects {
            let table: Arc<str> =
                if resource == "endpointslices" { "endpointslices.discovery.k8s.io".into() } else { resource.as_str().into() };
            for object in objects {
                let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                let key = Key::new(&table, text("namespace"), text("name"));
                if let Some(old) = cluster.store.get(&key) {
                    cluster.store.remove(&key, old.revision).unwrap();
                }
                cluster.store.create(&key, object.clone()).unwrap();
            }
        }
        let folder = Folder::with(&recording.files);
        folder.write("etc/resolv.conf", "nameserver 10.42.0.20\n");
        let pods = (2..=20).map(|_| cluster.network.attach(0).unwrap()).collect();
        Self { recording, cluster, pods, folder }
    }

    fn pod(&self, address: IpAddr) -> &Arc<PodNet> {
        self.pods.iter().find(|pod| pod.address() == address).unwrap()
    }

    fn instance(&self) -> Instance {
        let net: Arc<dyn Net> = self.pod(self.recording.address).clone();
        let cluster = Arc::downgrade(&self.cluster);
        instance(&self.folder, &BTreeMap::new(), net, &cluster, &Printed::default()).unwrap()
    }
}

/// Serves replies at a pod's port 53.
async fn upstream(pod: &PodNet, reply: impl Fn(&Message) -> Message + Clone + Send + 'static) {
    let (udp, tcp) = (pod.bind(53).await.unwrap(), pod.listen(53).await.unwrap());
    let over_udp = reply.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
            let told = over_udp(&Message::from_vec(&buffer[..length]).unwrap());
            udp.send_to(&told.to_bytes().unwrap(), client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut asked).await.unwrap();
            let told = reply(&Message::from_vec(&asked).unwrap()).to_bytes().unwrap();
            stream.write_u16(told.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&told).await.unwrap();
        }
    });
}

/// A record of a line as recordings have it.
fn parsed(line: &str) -> Record {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    let data = match words[3] {
        "A" => RData::A(A(words[4].parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(name(words[4]).unwrap())),
        "SOA" => {
            let [refresh, retry, expire] = [7, 8, 9].map(|at| number(at).try_into().unwrap());
            let (server, mail) = (name(words[4]).unwrap(), name(words[5]).unwrap());
            RData::SOA(SOA::new(server, mail, number(6), refresh, retry, expire, number(10)))
        }
        kind => panic!("{kind}"),
    };
    Record::from_rdata(name(words[0]).unwrap(), number(1), data)
}

fn reply_to(asked: &Message) -> Message {
    let mut reply = Message::response(asked.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    reply.queries = asked.queries.clone();
    reply
}

fn scripted(asked: &Message, script: &[Exchange]) -> Message {
    let query = &asked.queries[0];
    let same =
        |exchange: &&Exchange| name(&exchange.ask.name).unwrap() == query.name && kind(&exchange.ask.kind) == query.query_type;
    let told = &script.iter().find(same).unwrap_or_else(|| panic!("the upstream was not asked {query}")).told;
    let mut reply = reply_to(asked);
    reply.metadata.authoritative = true;
    reply.metadata.response_code = if told.code == "NXDOMAIN" { ResponseCode::NXDomain } else { ResponseCode::NoError };
    reply.answers = told.answer.iter().map(|line| parsed(line)).collect();
    reply.authorities = told.authority.iter().map(|line| parsed(line)).collect();
    reply
}

#[tokio::test]
async fn answers_are_those_of_coredns_on_k3s() {
    let world = World::new();
    let script = world.recording.upstream.answers.clone();
    upstream(world.pod(world.recording.upstream.address), move |asked| scripted(asked, &script)).await;
    upstream(world.pod(Ipv4Addr::new(10, 42, 0, 20).into()), |asked| {
        let mut reply = reply_to(asked);
        let known = asked.queries[0].query_class == DNSClass::IN;
        reply.metadata.recursion_available = known;
        reply.metadata.response_code = if known { ResponseCode::NXDomain } else { ResponseCode::ServFail };
        reply
    })
    .await;
    let mut instance = world.instance();
    let mut all_unlike = Vec::new();
    for exchange in &world.recording.answers {
        if exchange.ask.after_ms > 5000 {
            // Whatever was cached is not any more.
            instance = world.instance();
        }
        all_unlike.extend(unlike(&instance, 53, exchange).await);
    }
    assert!(world.recording.answers.len() > 300);
    assert!(all_unlike.is_empty(), "{} answers differ:\n{}", all_unlike.len(), all_unlike.join("\n"));
}

#[test]
fn the_sum_of_a_corefile_is_the_one_that_coredns_logs() {
    let recording = Recording::read();
    let folder = Folder::with(&recording.files);
    let files = folder.files();
    let source = corefile::Source {
        filename: "/etc/coredns/Corefile",
        cwd: std::path::Path::new("/"),
        files: &files,
        env: &BTreeMap::new(),
        directives: None,
    };
    let (blocks, warnings) = corefile::parse(&recording.files["Corefile"], source);
    assert_eq!((corefile::sum(&blocks.unwrap()), warnings), (recording.sum, Vec::<String>::new()));
}

#[tokio::test]
async fn what_changes_is_answered_at_once() {
    let world = World::new();
    let ask = Ask { name: "new.dns-b.svc.cluster.local.".into(), kind: "A".into(), over: "udp".into(), ..Ask::default() };
    let answer = async || {
        // Another instance has cached nothing.
        let instance = world.instance();
        let Received::Question(request) = Request::read(&question(&ask), ([127, 0, 0, 1], 1).into(), Transport::Udp) else {
            panic!("no question")
        };
        told(&instance.servers[&53].serve(&request).await.to_bytes().unwrap()).answer
    };
    assert_eq!(answer().await, [""; 0]);
    let key = Key::new(&"services".into(), "dns-b", "new");
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.43.0.77", "clusterIPs": ["10.43.0.77"], "ports": [{"port": 1, "protocol": "TCP"}]});
    let stored = world.cluster.store.create(&key, json!({"metadata": {"name": "new"}, "spec": spec})).unwrap();
    assert_eq!(answer().await, ["new.dns-b.svc.cluster.local. 5 IN A 10.43.0.77"]);
    world.cluster.store.remove(&key, stored.revision).unwrap();
    assert_eq!(answer().await, [""; 0]);
}
