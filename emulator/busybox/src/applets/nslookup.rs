//! `nslookup`, which has a resolver of its own: names with a dot are not searched for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use k3s_arc_container::Resolver;

use crate::applet::{Applet, Ended, Stop};
use crate::reason::reason;

const TYPES: [(&str, RecordType); 9] = [
    ("soa", RecordType::SOA),
    ("ns", RecordType::NS),
    ("a", RecordType::A),
    ("aaaa", RecordType::AAAA),
    ("cname", RecordType::CNAME),
    ("mx", RecordType::MX),
    ("txt", RecordType::TXT),
    ("ptr", RecordType::PTR),
    ("srv", RecordType::SRV),
];

/// What the command line says.
struct Asked {
    types: Vec<RecordType>,
    port: u16,
    timeout: Duration,
    host: String,
    server: Option<String>,
}

fn parse(applet: &Applet) -> Result<Asked, Stop> {
    let mut asked = Asked { types: Vec::new(), port: 53, timeout: Duration::from_secs(5), host: String::new(), server: None };
    let mut words = Vec::new();
    for arg in &applet.args {
        let Some(option) = arg.strip_prefix('-').filter(|_| words.is_empty()) else {
            words.push(arg.clone());
            continue;
        };
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let is = |full: &str| !name.is_empty() && full.starts_with(name);
        if is("type") || is("querytype") {
            let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
            let Some((_, kind)) = known else { return Err(applet.fail(format_args!("invalid query type \"{value}\""))) };
            asked.types.push(*kind);
        } else if is("port") {
            asked.port = applet.number(value)?;
        } else if is("timeout") {
            asked.timeout = Duration::from_secs(u64::from(applet.number::<u32>(value)?));
        } else if !is("retry") && !is("debug") {
            return Err(applet.misused());
        }
    }
    match words.as_slice() {
        [host] => asked.host.clone_from(host),
        [host, server] => (asked.host, asked.server) = (host.clone(), Some(server.clone())),
        _ => return Err(applet.misused()),
    }
    Ok(asked)
}

pub(super) async fn nslookup(mut applet: Applet) -> Ended {
    let asked = parse(&applet)?;
    let mut resolver = Resolver::of(&applet.view.container);
    resolver.timeout = asked.timeout;
    let servers = match &asked.server {
        Some(name) => vec![(name.clone(), applet.resolve(&resolver, name, asked.port).await?)],
        None => {
            resolver.servers.iter().map(|server| (server.ip().to_string(), SocketAddr::new(server.ip(), asked.port))).collect()
        }
    };
    let queries = queries(&asked, &resolver);
    for (name, server) in &servers {
        let asking = queries.iter().map(|(name, kind)| answered(&resolver, *server, name, *kind));
        let answers = futures::future::join_all(asking).await;
        if answers.iter().all(Result::is_err) {
            let refused = answers
                .iter()
                .find_map(|answer| answer.as_ref().err().filter(|error| error.kind() != std::io::ErrorKind::TimedOut));
            if let Some(error) = refused {
                applet.complain(format_args!("write to '{name}': {}", reason(error)));
            }
            continue;
        }
        return show(&mut applet, name, *server, &queries, &answers).await;
    }
    applet.put(";; connection timed out; no servers could be reached\n\n").await?;
    applet.end(1).await
}

/// What to ask: addresses, or the name of an address.
fn queries(asked: &Asked, resolver: &Resolver) -> Vec<(String, RecordType)> {
    if let (true, Ok(address)) = (asked.types.is_empty(), asked.host.parse::<IpAddr>()) {
        let name = hickory_proto::rr::Name::from(address).to_ascii();
        return vec![(name.trim_end_matches('.').to_owned(), RecordType::PTR)];
    }
    let types = if asked.types.is_empty() { vec![RecordType::A, RecordType::AAAA] } else { asked.types.clone() };
    let mut queries = Vec::new();
    for kind in types {
        if asked.host.contains('.') || resolver.search.is_empty() || kind == RecordType::PTR {
            queries.push((asked.host.clone(), kind));
        } else {
            queries.extend(resolver.search.iter().map(|domain| (format!("{}.{domain}", asked.host), kind)));
        }
    }
    queries
}

/// A server that fails is asked again.
async fn answered(resolver: &Resolver, server: SocketAddr, name: &str, kind: RecordType) -> std::io::Result<Message> {
    let first = resolver.ask(server, name, kind).await?;
    if first.metadata.response_code != ResponseCode::ServFail {
        return Ok(first);
    }
    resolver.ask(server, name, kind).await
}

async fn show(
    applet: &mut Applet,
    name: &str,
    server: SocketAddr,
    queries: &[(String, RecordType)],
    answers: &[std::io::Result<Message>],
) -> Ended {
    applet.put(format!("Server:\t\t{name}\nAddress:\t{server}\n\n")).await?;
    let mut status = 0;
    let mut unanswered = String::new();
    for ((name, _), answer) in queries.iter().zip(answers) {
        match answer {
            Ok(answer) if answer.metadata.response_code == ResponseCode::NoError => {
                let text: String = answer.answers.iter().filter_map(|record| shown(&plain(&record.name), &record.data)).collect();
                applet.put(text + "\n").await?;
            }
            Ok(answer) => {
                let code = format!("{:?}", answer.metadata.response_code).to_ascii_uppercase();
                applet.put(format!("** server can't find {name}: {code}\n\n")).await?;
                status = 1;
            }
            Err(_) => unanswered += &format!("*** Can't find {name}: No answer\n"),
        }
    }
    if !unanswered.is_empty() {
        applet.put(unanswered + "\n").await?;
    }
    applet.end(status).await
}

/// A name without the dot at its end.
fn plain(name: &hickory_proto::rr::Name) -> String {
    let text = name.to_ascii();
    if text == "." { text } else { text.trim_end_matches('.').to_owned() }
}

fn shown(name: &str, data: &RData) -> Option<String> {
    Some(match data {
        RData::A(address) => format!("Name:\t{name}\nAddress: {address}\n"),
        RData::AAAA(address) => format!("Name:\t{name}\nAddress: {address}\n"),
        RData::NS(server) => format!("{name}\tnameserver = {}\n", plain(&server.0)),
        RData::CNAME(other) => format!("{name}\tcanonical name = {}\n", plain(&other.0)),
        RData::PTR(other) => format!("{name}\tname = {}\n", plain(&other.0)),
        RData::MX(mail) => format!("{name}\tmail exchanger = {} {}\n", mail.preference, plain(&mail.exchange)),
        RData::SRV(at) => format!("{name}\tservice = {} {} {} {}\n", at.priority, at.weight, at.port, plain(&at.target)),
        RData::TXT(text) => {
            let first = text.txt_data.first().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
            format!("{name}\ttext = \"{first}\"\n")
        }
        RData::SOA(zone) => format!(
            "{name}\n\torigin = {}\n\tmail addr = {}\n\tserial = {}\n\trefresh = {}\n\tretry = {}\n\texpire = {}\n\tminimum = {}\n",
            plain(&zone.mname),
            plain(&zone.rname),
            zone.serial,
            zone.refresh,
            zone.retry,
            zone.expire,
            zone.minimum
        ),
        _ => return None,
    })
}

impl Applet {
    /// The first address of a host, or the end.
    pub(super) async fn resolve(&self, resolver: &Resolver, host: &str, port: u16) -> Result<SocketAddr, Stop> {
        match resolver.lookup(host.trim_matches(['[', ']'])).await {
            Ok(found) if !found.is_empty() => Ok(SocketAddr::new(found[0], port)),
            _ => Err(self.fail(format_args!("bad address '{host}'"))),
        }
    }
}
