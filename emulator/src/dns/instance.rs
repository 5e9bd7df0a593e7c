//! What a Corefile says is to be served: its plugins, set up in the order in which CoreDNS has them (`plugin.cfg`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::rr::Name;
use k3s_arc_container::{Files, Net};

use super::corefile::{Block, Dispenser, Source, parse};
use super::names;
use super::output::Log;
use super::plugin::Plugin;
use super::plugin::cache::Cache;
use super::plugin::errors::Errors;
use super::plugin::forward::Forward;
use super::plugin::hosts::Hosts;
use super::plugin::kubernetes::Kubernetes;
use super::plugin::loadbalance::LoadBalance;
use super::plugin::log::Logger;
use super::plugin::metrics::{Counts, Metrics};
use super::plugin::recursion::{Found, Loop};
use super::plugin::rewrite::Rewrite;
use super::server::{Chain, Server};
use super::setup::{duration, port_of};
use crate::cluster::Cluster;

/// Every directive of CoreDNS, in the order in which their plugins are asked.
const DIRECTIVES: [&str; 55] = [
    "root",
    "metadata",
    "geoip",
    "cancel",
    "tls",
    "quic",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "acl",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "cache",
    "rewrite",
    "header",
    "dnssec",
    "autopath",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];
const PORT: u16 = 53;
const SHORTEST_RELOAD: Duration = Duration::from_secs(2);
const SHORTEST_JITTER: Duration = Duration::from_secs(1);

/// What plugins are set up with.
pub(super) struct World<'a> {
    pub(super) filename: &'a str,
    pub(super) cwd: &'a Path,
    pub(super) files: &'a Files,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) net: &'a Arc<dyn Net>,
    pub(super) cluster: &'a Weak<Cluster>,
    pub(super) log: &'a Log,
    pub(super) counts: &'a Counts,
    pub(super) loops: &'a Found,
}

/// What is told over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Health,
    Ready,
    Metrics,
}

/// A configuration, ready to be served.
#[derive(Default)]
pub(super) struct Instance {
    /// By port.
    pub(super) servers: BTreeMap<u16, Server>,
    pub(super) pages: BTreeMap<u16, Page>,
    /// For how long it goes on when it is told to end.
    pub(super) lame_duck: Duration,
    pub(super) reloads: bool,
    /// What is done once it serves.
    pub(super) begun: Vec<BoxFuture<'static, ()>>,
    /// Addresses that blocks are bound to, by port.
    bound: BTreeMap<u16, String>,
}

/// A block that is being set up.
struct Site {
    zones: Vec<(Name, u16)>,
    keys: Vec<String>,
    plugins: Vec<Box<dyn Plugin>>,
}

impl World<'_> {
    /// Reads the words of a Corefile. What is to be warned of is.
    pub(super) fn blocks(&self, text: &str, all_known: bool) -> Result<Vec<Block>, String> {
        let directives = all_known.then_some(&DIRECTIVES[..]);
        let source = Source { filename: self.filename, cwd: self.cwd, files: self.files, env: self.env, directives };
        let (parsed, warnings) = parse(text, source);
        for warning in warnings {
            self.log.line(&format!("[WARNING] {warning}"));
        }
        parsed
    }

    /// Makes what a Corefile says.
    pub(super) fn instance(&self, text: &str) -> Result<Instance, String> {
        let blocks = self.blocks(text, true)?;
        if blocks.is_empty() {
            return Err("an empty Corefile stands for one of the plugin whoami, which is not emulated".to_owned());
        }
        let mut sites = blocks
            .iter()
            .map(site)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("error inspecting server blocks: {why}"))?;
        let mut instance = Instance::default();
        for directive in DIRECTIVES {
            for (block, site) in blocks.iter().zip(&mut sites) {
                if let Some(tokens) = block.tokens.get(directive) {
                    let mut words = Dispenser::new(self.filename, tokens.clone());
                    self.set_up(directive, &mut words, site, &mut instance)
                        .map_err(|why| format!("plugin/{directive}: {why}"))?;
                }
            }
        }
        let mut seen = BTreeSet::new();
        for site in sites {
            let chain: Chain = Arc::new(site.plugins);
            for (zone, port) in site.zones {
                if !seen.insert((names::text(&zone), port)) {
                    return Err(format!("cannot serve dns://{}:{port} - it is already defined", names::text(&zone)));
                }
                let server = instance.servers.entry(port).or_insert_with(|| Server { zones: Vec::new() });
                server.zones.push((zone, chain.clone()));
            }
        }
        Ok(instance)
    }

    fn set_up(&self, directive: &str, words: &mut Dispenser<'_>, site: &mut Site, instance: &mut Instance) -> Result<(), String> {
        let port = site.zones.first().map_or(PORT, |(_, port)| *port);
        let keys = &site.keys;
        let plugin: Box<dyn Plugin> = match directive {
            "reload" => return reload(words, instance),
            "bind" => return self.bind(words, site, instance),
            "debug" => return Ok(()),
            "ready" => {
                instance.pages.insert(ready(words)?, Page::Ready);
                return Ok(());
            }
            "health" => {
                let (port, lame_duck) = health(words)?;
                instance.pages.insert(port, Page::Health);
                instance.lame_duck = instance.lame_duck.max(lame_duck);
                return Ok(());
            }
            "prometheus" => {
                let (plugin, port) = Metrics::setup(words, keys, port, self.counts)?;
                instance.pages.insert(port, Page::Metrics);
                Box::new(plugin)
            }
            "errors" => Box::new(Errors::setup(words, self.log)?),
            "log" => Box::new(Logger::setup(words, self.log)?),
            "loadbalance" => Box::new(LoadBalance::setup(words)?),
            "cache" => Box::new(Cache::setup(words, keys, self.cluster)?),
            "rewrite" => Box::new(Rewrite::setup(words)?),
            "hosts" => Box::new(Hosts::setup(words, keys, self.files, self.log)?),
            "kubernetes" => Box::new(Kubernetes::setup(words, keys, self.net, self.cluster)?),
            "loop" => {
                let plugin = Loop::setup(words, keys, port, self.loops)?;
                instance.begun.push(plugin.probe(self.net.clone()).boxed());
                Box::new(plugin)
            }
            "forward" => {
                for forward in Forward::setup(words, self.files, self.net)? {
                    site.plugins.push(Box::new(forward));
                }
                return Ok(());
            }
            _ => return Err("this plugin is not emulated".to_owned()),
        };
        site.plugins.push(plugin);
        Ok(())
    }

    /// Binding to an address of the pod's own is binding to the pod.
    fn bind(&self, words: &mut Dispenser<'_>, site: &Site, instance: &mut Instance) -> Result<(), String> {
        words.next();
        let addresses = words.arguments();
        if addresses.is_empty() {
            return Err("at least one address or interface name is expected".to_owned());
        }
        for address in addresses {
            let own = match address.parse::<IpAddr>() {
                Ok(ip) if ip == self.net.address() => address.clone(),
                Ok(ip) if ip.is_unspecified() => address.clone(),
                Err(_) if address == "eth0" => self.net.address().to_string(),
                _ => return Err(format!("binding to {address:?} alone is not emulated")),
            };
            instance.bound.extend(site.zones.iter().map(|(_, port)| (*port, own.clone())));
        }
        if words.next_in_block() { Err(words.not_emulated()) } else { Ok(()) }
    }
}

impl Instance {
    /// What is said of what is served.
    pub(super) fn start_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (port, server) in &self.servers {
            let mut zones: Vec<_> = server.zones.iter().map(|(zone, _)| names::text(zone)).collect();
            zones.sort();
            let on = self.bound.get(port).map(|address| format!(" on {address}")).unwrap_or_default();
            for zone in zones {
                if !is_preferred(&zone) {
                    lines.push(format!("Warning: Domain {zone:?} does not follow RFC1035 preferred syntax"));
                }
                lines.push(format!("{zone}:{port}{on}"));
            }
        }
        lines
    }
}

/// Whether a zone is a name as RFC 1035 would have it (`checkZoneSyntax`).
fn is_preferred(zone: &str) -> bool {
    let is_label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphabetic())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_reverse = zone.ends_with(".in-addr.arpa.") || zone.ends_with(".ip6.arpa.");
    zone == "." || is_reverse || zone.trim_end_matches('.').split('.').all(is_label)
}

fn site(block: &Block) -> Result<Site, String> {
    let mut site = Site { zones: Vec::new(), keys: Vec::new(), plugins: Vec::new() };
    for key in &block.keys {
        if let Some((transport, _)) = key.split_once("://")
            && transport != "dns"
        {
            return Err(format!("the transport '{transport}' is not emulated"));
        }
        let (zones, port) = names::split(key)?;
        let port = port.unwrap_or(PORT);
        for zone in zones {
            site.keys.push(format!("{zone}:{port}"));
            site.zones.push((zone, port));
        }
    }
    Ok(site)
}

fn reload(words: &mut Dispenser<'_>, instance: &mut Instance) -> Result<(), String> {
    words.next();
    let arguments = words.arguments();
    if arguments.len() > 2 {
        return Err(words.argument_error());
    }
    let durations = arguments.iter().map(|text| duration(text)).collect::<Result<Vec<_>, _>>()?;
    if durations.first().is_some_and(|interval| *interval < SHORTEST_RELOAD) {
        return Err("interval value must be greater or equal to 2s".to_owned());
    }
    if durations.get(1).is_some_and(|jitter| *jitter < SHORTEST_JITTER) {
        return Err("jitter value must be greater or equal to 1s".to_owned());
    }
    instance.reloads = true;
    Ok(())
}

fn ready(words: &mut Dispenser<'_>) -> Result<u16, String> {
    words.next();
    let port = match words.arguments().as_slice() {
        [] => 8181,
        [address] => port_of(address)?,
        _ => return Err(words.argument_error()),
    };
    while words.next_in_block() {
        if words.word() == "monitor" {
            match words.arguments().as_slice() {
                [kind] if kind == "until-ready" || kind == "continuously" => {}
                [kind] => return Err(words.error(&format!("monitor type '{kind}' not supported"))),
                _ => return Err(words.argument_error()),
            }
        }
    }
    Ok(port)
}

fn health(words: &mut Dispenser<'_>) -> Result<(u16, Duration), String> {
    words.next();
    let port = match words.arguments().as_slice() {
        [] => 8080,
        [address] => port_of(address)?,
        _ => return Err(words.argument_error()),
    };
    let mut lame_duck = Duration::ZERO;
    while words.next_in_block() {
        if words.word() != "lameduck" {
            return Err(words.argument_error());
        }
        let arguments = words.arguments();
        let [text] = arguments.as_slice() else { return Err(words.argument_error()) };
        lame_duck = duration(text).map_err(|why| format!("unable to parse lameduck duration value: '{text}' : {why}"))?;
    }
    Ok((port, lame_duck))
}
