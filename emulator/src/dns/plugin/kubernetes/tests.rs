//! Compared with the answers of a CoreDNS 1.13.1 on a K3s v1.34.1, over the same objects and the same Corefile.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
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
use crate::dns::tests::{Folder, Printed, instance};
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

#[derive(Clone, Deserialize)]
struct Exchange {
    ask: Ask,
    told: Told,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Ask {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    class: String,
    over: String,
    edns: Option<AskedEdns>,
    norecurse: bool,
    ad: bool,
    cd: bool,
    opcode: String,
    after_ms: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AskedEdns {
    size: u16,
    #[serde(rename = "do")]
    dnssec: bool,
    version: u8,
    cookie: String,
    subnet: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Told {
    code: String,
    flags: String,
    question: String,
    answer: Vec<String>,
    authority: Vec<String>,
    additional: Vec<String>,
    edns: String,
}

impl Recording {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../recorded/answers.json")).unwrap()
    }
}

fn kind(text: &str) -> RecordType {
    match (text, text.strip_prefix("TYPE")) {
        (_, Some(number)) => RecordType::from(number.parse::<u16>().unwrap()),
        ("IXFR", _) => RecordType::IXFR,
        ("AXFR", _) => RecordType::AXFR,
        _ => RecordType::from_str(text).unwrap(),
    }
}

/// A question as it was asked.
fn question(ask: &Ask) -> Vec<u8> {
    let op_code = match ask.opcode.as_str() {
        "NOTIFY" => OpCode::Notify,
        "UPDATE" => OpCode::Update,
        "STATUS" => OpCode::Status,
        _ => OpCode::Query,
    };
    let mut message = Message::new(7, MessageType::Query, op_code);
    message.metadata.recursion_desired = !ask.norecurse;
    message.metadata.authentic_data = ask.ad;
    message.metadata.checking_disabled = ask.cd;
    let mut query = Query::query(name(&ask.name).unwrap(), kind(&ask.kind));
    query.query_class = match ask.class.as_str() {
        "CH" => DNSClass::CH,
        "ANY" => DNSClass::ANY,
        _ => DNSClass::IN,
    };
    message.queries = vec![query];
    message.edns = ask.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.size).set_dnssec_ok(asked.dnssec).set_version(asked.version);
        if !asked.cookie.is_empty() {
            let cookie = u64::from_str_radix(&asked.cookie, 16).unwrap().to_be_bytes().to_vec();
            edns.options_mut().options.push((EdnsCode::Cookie, EdnsOption::Unknown(10, cookie)));
        }
        if asked.subnet {
            let subnet = EdnsOption::Unknown(8, vec![0, 1, 24, 0, 198, 18, 0]);
            edns.options_mut().options.push((EdnsCode::Subnet, subnet));
        }
        edns
    });
    message.to_bytes().unwrap()
}

fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        // Two codes have this number, and the recording has the other one's name.
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADSIG".to_owned(),
        code => format!("{code:?}").to_uppercase(),
    }
}

fn record(record: &Record) -> String {
    let data = match &record.data {
        RData::TXT(text) => text.txt_data.iter().map(|part| format!("{:?}", String::from_utf8_lossy(part))).collect(),
        data => data.to_string(),
    };
    format!("{} {} IN {} {data}", record.name, record.ttl, record.record_type())
}

fn told(bytes: &[u8]) -> Told {
    let reply = Message::from_vec(bytes).unwrap();
    let of = &reply.metadata;
    let flags = [
        (of.message_type == MessageType::Response, "qr"),
        (of.authoritative, "aa"),
        (of.truncation, "tc"),
        (of.recursion_desired, "rd"),
        (of.recursion_available, "ra"),
        (of.authentic_data, "ad"),
        (of.checking_disabled, "cd"),
    ];
    let edns = reply.edns.as_ref().map(|edns| {
        let (version, size) = (edns.version(), edns.max_payload());
        let mut text = format!("version {version} do {} size {size}", edns.flags().dnssec_ok);
        for (_, option) in &edns.options().options {
            let EdnsOption::Unknown(number, data) = option else { panic!("{option:?}") };
            text += &format!(" option {number} {}", data.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        text
    });
    let records = |section: &[Record]| section.iter().map(record).collect();
    let class = |class: DNSClass| if class == DNSClass::ANY { "CLASS255".to_owned() } else { class.to_string() };
    let asked = reply.queries.first().map(|query| format!("{} {} {}", query.name, class(query.query_class), query.query_type));
    Told {
        code: code(of.response_code),
        flags: flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect::<Vec<_>>().join(" "),
        question: asked.unwrap_or_default(),
        answer: records(&reply.answers),
        authority: records(&reply.authorities),
        additional: records(&reply.additionals),
        edns: edns.unwrap_or_default(),
    }
}

/// What does not differ from one time to another: no serial of a SOA, and records in order. Of a reply that was cut, which records were
/// left is chance; how many, is not.
fn comparable(told: &Told, may_be_old: bool) -> Told {
    let mut told = told.clone();
    let is_cut = told.flags.contains("tc");
    for section in [&mut told.answer, &mut told.authority, &mut told.additional] {
        for record in section.iter_mut() {
            let mut words: Vec<&str> = record.split(' ').collect();
            if may_be_old {
                words[1] = "a while";
            }
            if words[3] == "SOA" {
                words[6] = "serial";
            }
            *record = if is_cut { words[3].to_owned() } else { words.join(" ") };
        }
        section.sort();
    }
    // Less than 512 bytes are 512 (RFC 6891, 6.2.3), and are told so here.
    for size in ["size 0", "size 100"] {
        if told.edns.ends_with(size) {
            told.edns = told.edns.replace(size, "size 512");
        }
    }
    told
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
    let client: SocketAddr = ([127, 0, 0, 1], 40000).into();
    let mut instance = world.instance();
    let mut unlike = Vec::new();
    for Exchange { ask, told: expected } in &world.recording.answers {
        if ask.after_ms > 5000 {
            // Whatever was cached is not any more.
            instance = world.instance();
        }
        let transport = if ask.over == "tcp" { Transport::Tcp } else { Transport::Udp };
        let reply = match Request::read(&question(ask), client, transport) {
            Received::Question(request) => instance.servers[&53].serve(&request).await,
            Received::Refused(refusal) => *refusal,
            Received::Ignored => panic!("{ask:?} is ignored"),
        };
        let found = told(&reply.to_bytes().unwrap());
        let may_be_old = (1000..5000).contains(&ask.after_ms);
        if comparable(&found, may_be_old) != comparable(expected, may_be_old) {
            unlike.push(format!("{ask:?}\n  is      {found:?}\n  must be {expected:?}"));
        }
    }
    assert!(world.recording.answers.len() > 300);
    assert!(unlike.is_empty(), "{} answers differ:\n{}", unlike.len(), unlike.join("\n"));
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
