//! What tests of DNS share: a container's folder, what is printed, and exchanges as they are recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, Weak};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use k3s_arc_container::files::{Disk, Files, Mount};
use k3s_arc_container::{Net, Output, Transport, User};
use serde::Deserialize;

use super::instance::{Instance, World as Setting};
use super::message::{Received, Request};
use super::names::name;
use super::output::Log;
use super::plugin::metrics::Counts;
use super::plugin::recursion::Found;
use crate::cluster::Cluster;

/// The folder of a container.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    /// With these files in `/etc/coredns`.
    pub(super) fn with(files: &BTreeMap<String, String>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(folder.0.path().join("etc/coredns/custom")).unwrap();
        folder.write("etc/resolv.conf", "nameserver 192.0.2.53\n");
        for (name, content) in files {
            folder.write(&format!("etc/coredns/{name}"), content);
        }
        folder
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.0.path().join(path), content).unwrap();
    }

    pub(super) fn files(&self) -> Files {
        let root = Mount { at: "/".into(), source: self.0.path().to_owned(), lower: None, read_only: false };
        Files::new(vec![root], User::default(), Arc::new(Disk::default()))
    }
}

/// What was printed so far.
#[derive(Clone, Default)]
pub(super) struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    pub(super) fn output(&self) -> Output {
        let printed = self.0.clone();
        Output::new(move |bytes| {
            printed.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().map(str::to_owned).collect()
    }
}

/// Makes what a Corefile says, for a pod of a network.
pub(super) fn instance(
    folder: &Folder,
    env: &BTreeMap<String, String>,
    net: Arc<dyn Net>,
    cluster: &Weak<Cluster>,
    printed: &Printed,
) -> Result<Instance, String> {
    let files = folder.files();
    let (log, counts, loops) = (Log::new(printed.output()), Counts::default(), Found::new(None));
    let world = Setting {
        filename: "/etc/coredns/Corefile",
        cwd: Path::new("/"),
        files: &files,
        env,
        net: &net,
        cluster,
        log: &log,
        counts: &counts,
        loops: &loops,
    };
    world.instance(&files.read_to_string("/etc/coredns/Corefile").unwrap())
}

#[derive(Clone, Deserialize)]
pub(super) struct Exchange {
    pub(super) ask: Ask,
    pub(super) told: Told,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ask {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) class: String,
    pub(super) over: String,
    pub(super) edns: Option<AskedEdns>,
    pub(super) norecurse: bool,
    pub(super) ad: bool,
    pub(super) cd: bool,
    pub(super) opcode: String,
    pub(super) after_ms: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AskedEdns {
    size: u16,
    #[serde(rename = "do")]
    dnssec: bool,
    version: u8,
    cookie: String,
    subnet: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) code: String,
    flags: String,
    question: String,
    pub(super) answer: Vec<String>,
    pub(super) authority: Vec<String>,
    additional: Vec<String>,
    edns: String,
}

pub(super) fn kind(text: &str) -> RecordType {
    match (text, text.strip_prefix("TYPE")) {
        (_, Some(number)) => RecordType::from(number.parse::<u16>().unwrap()),
        ("IXFR", _) => RecordType::IXFR,
        ("AXFR", _) => RecordType::AXFR,
        _ => RecordType::from_str(text).unwrap(),
    }
}

/// A question as it was asked.
pub(super) fn question(ask: &Ask) -> Vec<u8> {
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

pub(super) fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        // Two codes have this number, and the recording has the other one's name.
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADSIG".to_owned(),
        code => format!("{code:?}").to_uppercase(),
    }
}

pub(super) fn record(record: &Record) -> String {
    let data = match &record.data {
        RData::TXT(text) => text.txt_data.iter().map(|part| format!("{:?}", String::from_utf8_lossy(part))).collect(),
        data => data.to_string(),
    };
    format!("{} {} IN {} {data}", record.name, record.ttl, record.record_type())
}

pub(super) fn told(bytes: &[u8]) -> Told {
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
pub(super) fn comparable(told: &Told, may_be_old: bool) -> Told {
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

/// Asks the server at a port what was asked, and tells what is not as it was.
pub(super) async fn unlike(instance: &Instance, port: u16, exchange: &Exchange) -> Option<String> {
    let Exchange { ask, told: expected } = exchange;
    let transport = if ask.over == "tcp" { Transport::Tcp } else { Transport::Udp };
    let reply = match Request::read(&question(ask), ([127, 0, 0, 1], 40000).into(), transport) {
        Received::Question(request) => instance.servers[&port].serve(&request).await,
        Received::Refused(refusal) => *refusal,
        Received::Ignored => panic!("{ask:?} is ignored"),
    };
    let found = told(&reply.to_bytes().unwrap());
    let may_be_old = (1000..5000).contains(&ask.after_ms);
    let same = comparable(&found, may_be_old) == comparable(expected, may_be_old);
    (!same).then(|| format!("{ask:?}\n  is      {found:?}\n  must be {expected:?}"))
}
